//! What all threads of the daemon share: the engine behind its lock, mailboxes, the log.
//!
//! Law: whoever holds the lock executes, delivers what came out to mailboxes, and notes the offset, in this order; so
//! that mail and frames have one order. Nothing else happens under the lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use pbj_store::engine::{ClientId, Engine, Executed, Output, Peer, Requests, Step};
use tokio::sync::{Notify, mpsc};

use crate::clock::Clock;
use crate::host::Traffic;
use crate::log_writer::LogDoor;
use crate::mailbox::{Mailbox, OutputLimit};

/// Something for the thread that controls the daemon.
#[derive(Debug)]
pub enum Control {
    /// End the process; a client asked for it.
    Shutdown {
        /// End even if something fails.
        force: bool,
    },
    /// Directives of the configuration changed.
    ConfigChanged(Vec<&'static str>),
}

/// The engine and those who are connected to it.
pub struct Core {
    /// The engine.
    pub engine: Engine,
    mailboxes: HashMap<ClientId, Arc<Mailbox>>,
}

/// What all threads share.
pub struct Shared {
    core: Mutex<Core>,
    /// The clock.
    pub clock: Clock,
    /// The log, if it is on.
    pub log: Option<Arc<LogDoor>>,
    /// Counters of connections.
    pub traffic: Arc<Traffic>,
    /// Told when something is due earlier than known.
    pub timer: Notify,
    /// When the timer wakes next, in monotonic milliseconds.
    pub armed_ms: AtomicU64,
    /// Set when the daemon ends.
    pub stopping: AtomicBool,
    /// Told when the daemon ends.
    pub stop: Notify,
    /// Limits of messages that wait for listeners.
    pub listener_limit: Mutex<OutputLimit>,
    /// How often the timer has run: the watchdog looks at it.
    pub timer_runs: AtomicU64,
    control: mpsc::UnboundedSender<Control>,
    reload: Mutex<Option<Reload>>,
}

/// Loads all data again, from the log: DEBUG LOADAOF.
pub type Reload = Box<dyn FnMut(&mut Engine) -> Result<(), String> + Send>;

impl Shared {
    /// Shares an engine. What needs control is sent to `control`.
    pub fn new(
        engine: Engine,
        log: Option<Arc<LogDoor>>,
        traffic: Arc<Traffic>,
        control: mpsc::UnboundedSender<Control>,
    ) -> Self {
        Self {
            core: Mutex::new(Core { engine, mailboxes: HashMap::new() }),
            clock: Clock,
            log,
            traffic,
            timer: Notify::new(),
            armed_ms: AtomicU64::new(u64::MAX),
            stopping: AtomicBool::new(false),
            stop: Notify::new(),
            listener_limit: Mutex::new(OutputLimit::default()),
            timer_runs: AtomicU64::new(0),
            control,
            reload: Mutex::new(None),
        }
    }

    /// Says how DEBUG LOADAOF works.
    pub fn set_reload(&self, reload: Reload) {
        *self.reload.lock() = Some(reload);
    }

    /// The engine, for a short look.
    pub fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock()
    }

    /// Registers a connection.
    pub fn connect(&self, peer: Peer) -> (ClientId, Arc<Mailbox>) {
        let mut core = self.core.lock();
        let client = core.engine.connect(self.clock.now(), peer);
        let mailbox = Arc::new(Mailbox::default());
        core.mailboxes.insert(client, Arc::clone(&mailbox));
        (client, mailbox)
    }

    /// Forgets a connection.
    pub fn disconnect(&self, client: ClientId) {
        let mut core = self.core.lock();
        core.engine.forget(client);
        core.mailboxes.remove(&client);
        self.deliver(&mut core);
    }

    /// Runs requests of a client. Mail that came before goes to `out` first.
    pub fn execute(
        &self,
        client: ClientId,
        requests: &Requests<'_>,
        mailbox: &Mailbox,
        out: &mut Vec<u8>,
    ) -> Executed {
        let now = self.clock.now();
        let mut core = self.core.lock();
        let mail = mailbox.take(None).unwrap_or_default();
        out.extend_from_slice(&mail.bytes);
        let mut executed = core.engine.execute(now, client, requests, out);
        executed.close |= mail.close;
        self.deliver(&mut core);
        // Under `always` a reply also waits for what it has seen others write; otherwise only for its own writes.
        let depends = executed.wrote || self.log.as_ref().is_some_and(|log| log.is_always());
        if !depends {
            executed.offset = 0;
        }
        executed.offset = executed.offset.max(mail.offset);
        self.note_deadline(&core);
        executed
    }

    /// Runs what is due, and returns when something is due next, in monotonic milliseconds.
    pub fn tick(&self) -> Option<u64> {
        let mut core = self.core.lock();
        core.engine.tick(self.clock.now());
        self.deliver(&mut core);
        self.timer_runs.fetch_add(1, Ordering::Relaxed);
        core.engine.deadline()
    }

    /// Hands the frames that gathered to the log.
    pub fn flush(&self) {
        let Some(log) = &self.log else { return };
        let mut core = self.core.lock();
        if core.engine.has_frames() {
            let frames = core.engine.fetch_frames(log.spare());
            // Under the lock, so that frames of two threads cannot change places.
            log.submit(frames, core.engine.offset());
        }
    }

    fn note_deadline(&self, core: &Core) {
        if let Some(deadline) = core.engine.deadline()
            && deadline < self.armed_ms.load(Ordering::Relaxed)
        {
            self.timer.notify_one();
        }
    }

    /// Brings what the engine wants done to those who do it.
    fn deliver(&self, core: &mut Core) {
        while core.engine.has_outputs() {
            let offset = core.engine.offset();
            for output in core.engine.take_outputs() {
                match output {
                    Output::Reply { client, bytes } => {
                        if let Some(mailbox) = core.mailboxes.get(&client) {
                            mailbox.reply(&bytes, offset);
                        }
                    }
                    Output::Push { client, bytes } => {
                        if let Some(mailbox) = core.mailboxes.get(&client) {
                            mailbox.push(&bytes, *self.listener_limit.lock(), core.engine.now().mono_ms);
                        }
                    }
                    Output::Close { client } => {
                        if let Some(mailbox) = core.mailboxes.get(&client) {
                            mailbox.close();
                        }
                    }
                    Output::Step { client, step } => self.step(core, client, step),
                }
            }
        }
    }

    fn step(&self, core: &mut Core, client: Option<ClientId>, step: Step) {
        let result = match step {
            Step::Stall(us) => {
                // The point of DEBUG SLEEP: nobody else does anything meanwhile.
                std::thread::sleep(Duration::from_micros(us));
                Ok(())
            }
            Step::ReloadLog => self.reload_log(core),
            Step::Shutdown { force, .. } => {
                self.send_control(Control::Shutdown { force });
                return; // The reply is the end of the connection.
            }
            Step::ConfigChanged(names) => {
                self.send_control(Control::ConfigChanged(names));
                Ok(())
            }
        };
        if let Some(client) = client {
            core.engine.finish_step(client, &result.map_err(pbj_store::command::Fault::other));
        }
    }

    fn send_control(&self, control: Control) {
        if self.control.send(control).is_err() {
            tracing::debug!("nobody controls the daemon any more");
        }
    }

    fn reload_log(&self, core: &mut Core) -> Result<(), String> {
        let Some(log) = &self.log else { return Err("The append only file is off".to_owned()) };
        if core.engine.has_frames() {
            let frames = core.engine.fetch_frames(log.spare());
            log.submit(frames, core.engine.offset());
        }
        if !log.wait_written(core.engine.offset()) {
            return Err("Error trying to load the AOF file, check the log for details".to_owned());
        }
        let mut reload = self.reload.lock();
        let Some(reload) = reload.as_mut() else { return Err("The log cannot be loaded again".to_owned()) };
        reload(&mut core.engine)
    }

    /// Ends the daemon: everybody who waits for [`Self::stopped`] is told.
    pub fn request_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.stop.notify_waiters();
        self.timer.notify_one();
    }

    /// Waits until the daemon ends.
    pub async fn stopped(&self) {
        let told = self.stop.notified();
        if !self.stopping.load(Ordering::Relaxed) {
            told.await;
        }
    }
}
