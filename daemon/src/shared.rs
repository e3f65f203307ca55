//! What all threads of the daemon share: the engine behind its lock, mailboxes, the log.
//!
//! Law: whoever holds the lock executes, delivers what came out to mailboxes, and notes the offset, in this order; so
//! that mail and frames have one order. Nothing else happens under the lock. A script may hold it for long: who must
//! not wait for that uses [`Shared::with_engine`], or tries (`busy.rs` has the story).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use pbj_store::command::Fault;
use pbj_store::config::Config;
use pbj_store::engine::{ClientId, Engine, Executed, Migrated, Output, Peer, Requests, Step};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::busy::{Busy, Note, Reached};
use crate::clock::Clock;
use crate::control::{Control, Controller};
use crate::freer::Freer;
use crate::host::Traffic;
use crate::log_writer::LogDoor;
use crate::mailbox::{Mailbox, OutputLimits};
use crate::migrate::Migrator;
use crate::saver::{Job, Saver};
use crate::{rewrite, users_file};

/// The engine.
pub struct Core {
    /// The engine.
    pub engine: Engine,
}

/// How long the timer waits for the engine.
const TIMER_PATIENCE: Duration = Duration::from_millis(20);

/// What makes data last.
pub struct Lasting {
    /// The log; closed if it is off.
    pub log: Arc<LogDoor>,
    /// Who writes snapshots and rewrites the log.
    pub saver: Arc<Saver>,
    /// Who frees what nobody needs any more.
    pub freer: Freer,
    /// The data folder.
    pub folder: PathBuf,
}

/// A registered connection.
pub struct Connected {
    /// Its number.
    pub client: ClientId,
    /// What others send to it.
    pub mailbox: Arc<Mailbox>,
    /// Longest string in bytes.
    pub bulk_max: usize,
    /// It need not authenticate.
    pub authenticated: bool,
}

/// What all threads share.
pub struct Shared {
    core: Mutex<Core>,
    /// Of those who are connected.
    mailboxes: Mutex<HashMap<ClientId, Arc<Mailbox>>>,
    /// How the engine is reached while a script runs.
    pub busy: Arc<Busy>,
    /// The clock.
    pub clock: Clock,
    /// The log; closed if it is off.
    pub log: Arc<LogDoor>,
    /// Who writes snapshots and rewrites the log.
    pub saver: Arc<Saver>,
    /// Who frees what nobody needs any more.
    freer: Freer,
    /// The data folder.
    folder: PathBuf,
    /// A snapshot is to be written at the end, if there is anything new.
    saves_at_end: AtomicBool,
    /// The log was switched on, and its base is not whole yet.
    log_begins: AtomicBool,
    /// Counters of connections.
    pub traffic: Arc<Traffic>,
    /// Told when there is something for those who follow.
    pub fed: Notify,
    /// Told when there is something for the link to the master.
    pub link: Notify,
    /// Told when something is due earlier than known.
    pub timer: Notify,
    /// When the timer wakes next, in monotonic milliseconds.
    pub armed_ms: AtomicU64,
    /// Cancelled when the daemon ends.
    pub stop: CancellationToken,
    /// All data is loaded: clients are served.
    pub ready: AtomicBool,
    /// Told when that is so.
    pub became_ready: Notify,
    /// Most bytes that a request may take while it comes in.
    pub query_max: AtomicUsize,
    /// Limits of what waits for clients, by class.
    pub limits: Mutex<OutputLimits>,
    /// The least of these limits in bytes: below it, nobody asks for them.
    pub least_limit: AtomicUsize,
    /// How often the timer has run: the watchdog looks at it.
    pub timer_runs: AtomicU64,
    control: Controller,
    reload: Mutex<Option<Reload>>,
    reconfigure: Mutex<Option<Reconfigure>>,
    migrator: Migrator,
    myself: Weak<Self>,
    /// The file of the configuration, for CONFIG REWRITE.
    pub config_file: Option<PathBuf>,
}

/// Loads all data again, from the log: DEBUG LOADAOF.
pub type Reload = Box<dyn FnMut(&mut Engine) -> Result<(), String> + Send>;

/// Brings directives that changed into the world.
pub type Reconfigure = Box<dyn FnMut(&Config, &[&'static str]) -> Result<(), ConfigRefusal> + Send>;

/// Why a directive cannot be changed.
#[derive(Clone, Debug)]
pub struct ConfigRefusal {
    /// The directive.
    pub name: &'static str,
    /// Why.
    pub reason: String,
}

impl Shared {
    /// Shares an engine. What needs control is sent to `control`.
    pub fn new(
        engine: Engine,
        lasting: Lasting,
        traffic: Arc<Traffic>,
        busy: Arc<Busy>,
        control: Controller,
        stop: CancellationToken,
    ) -> Self {
        Self {
            core: Mutex::new(Core { engine }),
            mailboxes: Mutex::new(HashMap::new()),
            busy,
            clock: Clock,
            log: lasting.log,
            saver: lasting.saver,
            freer: lasting.freer,
            folder: lasting.folder,
            saves_at_end: AtomicBool::new(false),
            log_begins: AtomicBool::new(false),
            traffic,
            fed: Notify::new(),
            link: Notify::new(),
            timer: Notify::new(),
            armed_ms: AtomicU64::new(u64::MAX),
            stop,
            ready: AtomicBool::new(false),
            became_ready: Notify::new(),
            query_max: AtomicUsize::new(usize::MAX),
            limits: Mutex::new(OutputLimits::default()),
            least_limit: AtomicUsize::new(usize::MAX),
            timer_runs: AtomicU64::new(0),
            control,
            reload: Mutex::new(None),
            reconfigure: Mutex::new(None),
            migrator: Migrator::default(),
            myself: Weak::new(),
            config_file: None,
        }
    }

    /// Sets the limits of what waits for clients.
    pub fn set_limits(&self, limits: OutputLimits) {
        *self.limits.lock() = limits;
        self.least_limit.store(limits.least(), Ordering::Relaxed);
    }

    /// Puts it where all threads find it.
    pub fn share(self) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self { myself: myself.clone(), ..self })
    }

    /// The data folder.
    pub(crate) fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Whether a snapshot is to be written at the end.
    pub(crate) fn saves_at_end(&self) -> &AtomicBool {
        &self.saves_at_end
    }

    /// Whether the log was switched on, and its base is not whole yet.
    pub(crate) fn log_begins(&self) -> bool {
        self.log_begins.load(Ordering::Relaxed)
    }

    pub(crate) fn set_log_begins(&self, begins: bool) {
        self.log_begins.store(begins, Ordering::Relaxed);
    }

    pub(crate) fn set_saves_at_end(&self, saves: bool) {
        self.saves_at_end.store(saves, Ordering::Relaxed);
    }

    /// Says how changes of the configuration reach the world.
    pub fn set_reconfigure(&self, reconfigure: Reconfigure) {
        *self.reconfigure.lock() = Some(reconfigure);
    }

    /// Says how DEBUG LOADAOF works.
    pub fn set_reload(&self, reload: Reload) {
        *self.reload.lock() = Some(reload);
    }

    /// The engine, for a short look.
    pub fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock()
    }

    /// Does something short with the engine, even while a script runs; then it must touch no data.
    pub fn with_engine<R: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Engine) -> R + Clone + Send + 'static,
    ) -> R {
        if let Some(mut core) = self.core.try_lock() {
            return self.do_with(&mut core.engine, work);
        }
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let (shared, again) = (Arc::clone(self), work.clone());
        let note = Note::new(move |engine| {
            // Whoever asked waits for this.
            let _ = sender.send(shared.do_with(engine, work));
        });
        match self.busy.lock_or_leave(|patience| self.core.try_lock_for(patience), &note, &receiver) {
            Reached::Lock(mut core) => self.do_with(&mut core.engine, again),
            Reached::Answer(answer) => answer,
            Reached::Nothing => self.do_with(&mut self.core.lock().engine, again),
        }
    }

    fn do_with<R>(&self, engine: &mut Engine, work: impl FnOnce(&mut Engine) -> R) -> R {
        let result = work(engine);
        self.deliver(engine);
        result
    }

    /// Does something with the engine that touches data; waits for a script that runs.
    pub fn with_data<R>(&self, work: impl FnOnce(&mut Engine) -> R) -> R {
        let mut core = self.core.lock();
        let result = self.do_with(&mut core.engine, work);
        self.note_deadline(&core);
        result
    }

    /// Registers a connection.
    pub fn connect(self: &Arc<Self>, peer: Peer) -> Connected {
        let now = self.clock.now();
        let mailbox = Arc::new(Mailbox::new(Arc::clone(&peer.gauges)));
        let (client, bulk_max, authenticated) = self.with_engine(move |engine| {
            let client = engine.connect(now, peer);
            (client, engine.config().bulk_max(), engine.is_authenticated(client))
        });
        self.mailboxes.lock().insert(client, Arc::clone(&mailbox));
        if self.stop.is_cancelled() {
            mailbox.close();
        }
        Connected { client, mailbox, bulk_max, authenticated }
    }

    /// Forgets a connection.
    pub fn disconnect(self: &Arc<Self>, client: ClientId) {
        self.mailboxes.lock().remove(&client);
        self.with_engine(move |engine| engine.forget(client));
    }

    /// Runs requests of a client. Mail that came before goes to `out` first.
    pub fn execute(
        self: &Arc<Self>,
        client: ClientId,
        requests: &Requests<'_>,
        mailbox: &Mailbox,
        out: &mut Vec<u8>,
    ) -> Executed {
        let Some(mut core) = self.core.try_lock() else {
            return self.execute_or_be_told(client, requests, mailbox, out);
        };
        self.execute_with(&mut core, client, requests, mailbox, out)
    }

    /// Runs requests once the engine is to be had; while a script runs for long, the client is told so instead.
    fn execute_or_be_told(
        self: &Arc<Self>,
        client: ClientId,
        requests: &Requests<'_>,
        mailbox: &Mailbox,
        out: &mut Vec<u8>,
    ) -> Executed {
        // In most cases somebody else is just about to be done.
        if let Some(mut core) = self.core.try_lock_for(Duration::from_millis(5)) {
            return self.execute_with(&mut core, client, requests, mailbox, out);
        }
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let (shared, copy) = (Arc::clone(self), requests.to_owned());
        let note = Note::new(move |engine| {
            let mut out = Vec::new();
            let executed = engine.execute_while_busy(shared.clock.now(), client, &copy.requests(), &mut out);
            shared.deliver(engine);
            // Whoever asked waits for this.
            let _ = sender.send((executed, out));
        });
        match self.busy.lock_or_leave(|patience| self.core.try_lock_for(patience), &note, &receiver) {
            Reached::Lock(mut core) => self.execute_with(&mut core, client, requests, mailbox, out),
            Reached::Nothing => Executed { close: true, ..Executed::default() },
            Reached::Answer((mut executed, bytes)) => {
                let mail = mailbox.take(None).unwrap_or_default();
                out.extend_from_slice(&mail.bytes);
                out.extend_from_slice(&bytes);
                executed.close |= mail.close;
                executed.offset = mail.offset;
                executed
            }
        }
    }

    fn execute_with(
        &self,
        core: &mut Core,
        client: ClientId,
        requests: &Requests<'_>,
        mailbox: &Mailbox,
        out: &mut Vec<u8>,
    ) -> Executed {
        let now = self.clock.now();
        let mail = mailbox.take(None).unwrap_or_default();
        out.extend_from_slice(&mail.bytes);
        let mut executed = core.engine.execute(now, client, requests, out);
        executed.close |= mail.close;
        self.deliver(&mut core.engine);
        // Behind the steps: a log that is loaded again may have scripts, too.
        self.busy.script_is_over();
        // Under `always` a reply also waits for what it has seen others write; otherwise only for its own writes.
        let depends = executed.wrote || self.log.is_always();
        if !depends {
            executed.offset = 0;
        }
        executed.offset = executed.offset.max(mail.offset);
        if !executed.only_read {
            self.note_deadline(core);
        }
        executed
    }

    /// Runs what is due, and returns when something is due next, in monotonic milliseconds.
    pub fn tick(&self) -> Option<u64> {
        let Some(mut core) = self.core.try_lock_for(TIMER_PATIENCE) else {
            // A script runs; what is due is due when it is over.
            return Some(self.clock.now().mono_ms + TIMER_PATIENCE.as_millis() as u64);
        };
        if let Some(failure) = self.log.news() {
            let reason = failure.map(|reason| format!("Errors writing to the AOF file: {reason}"));
            core.engine.set_broken(reason);
        }
        core.engine.tick(self.clock.now());
        self.deliver(&mut core.engine);
        self.timer_runs.fetch_add(1, Ordering::Relaxed);
        core.engine.deadline()
    }

    /// Hands the frames that gathered to the log; says whether it could. While a script runs for long it cannot.
    pub fn flush(&self) -> bool {
        let locked =
            if self.busy.is_slow() { self.core.try_lock() } else { self.core.try_lock_for(TIMER_PATIENCE) };
        let Some(mut core) = locked else { return false };
        self.submit_frames(&mut core.engine);
        // Whoever is too far behind is cut off by it.
        self.deliver(&mut core.engine);
        drop(core);
        self.log.write();
        true
    }

    /// Hands the frames that gathered over. Under the lock of the engine, so that frames of two threads cannot change
    /// places.
    pub fn submit_frames(&self, engine: &mut Engine) {
        if engine.has_frames() {
            let frames = engine.fetch_frames(self.log.spare());
            self.log.submit(frames, engine.offset(), engine.now());
            if engine.is_followed() {
                self.fed.notify_waiters();
            }
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
    fn deliver(&self, engine: &mut Engine) {
        while engine.has_outputs() {
            let offset = engine.offset();
            let outputs = engine.take_outputs();
            let mailboxes = self.mailboxes.lock();
            let mut steps = Vec::new();
            for output in outputs {
                match output {
                    Output::Reply { client, bytes } => {
                        if let Some(mailbox) = mailboxes.get(&client) {
                            mailbox.reply(&bytes, offset);
                        }
                    }
                    Output::Push { client, bytes, .. } => {
                        if let Some(mailbox) = mailboxes.get(&client) {
                            let limit = self.limits.lock().of(engine.class_of(client));
                            mailbox.push(&bytes, limit, engine.now().mono_ms);
                        }
                    }
                    Output::Close { client } => {
                        if let Some(mailbox) = mailboxes.get(&client) {
                            mailbox.cut();
                        }
                    }
                    Output::Fed => self.fed.notify_waiters(),
                    Output::Link => self.link.notify_waiters(),
                    Output::Garbage(garbage) => self.freer.free(garbage),
                    Output::Step { client, step } => steps.push((client, step)),
                }
            }
            drop(mailboxes);
            steps.into_iter().for_each(|(client, step)| self.step(engine, client, step));
        }
    }

    fn step(&self, engine: &mut Engine, client: Option<ClientId>, step: Step) {
        let result = match step {
            Step::Migrate(migration) => {
                let Some(client) = client else { return };
                let Err(error) = self.migrator.begin(&self.myself, client, *migration) else { return };
                let fault = Some(Fault::other(format!("MIGRATE cannot begin: {error}")));
                return engine.finish_migration(
                    self.clock.now(),
                    client,
                    Migrated { fault, ..Migrated::default() },
                );
            }
            Step::Stall(us) => {
                // The point of DEBUG SLEEP: nobody else does anything meanwhile.
                std::thread::sleep(Duration::from_micros(us));
                Ok(())
            }
            Step::PauseBeforeWrites(us) => {
                self.log.pause_before_writes(us);
                Ok(())
            }
            Step::Panic => asked_for_panic(),
            Step::ReloadLog => self.reload_log(engine),
            Step::Shutdown { save, force, .. } => {
                match self.save_before_end(engine, save, force) {
                    // The reply is the end of the connection.
                    Ok(()) => self.control.ask(Control::Shutdown { force, by_signal: false }),
                    Err(reason) => {
                        tracing::error!("{reason}");
                        tracing::error!(
                            "Errors trying to shut down the server. Check the logs for more information."
                        );
                        engine.end_failed();
                    }
                }
                return;
            }
            Step::EndGivenUp => {
                self.control.end_is_given_up();
                Ok(())
            }
            Step::Save => self.save(engine),
            Step::Reload { save, flush, merge } => self.reload_snapshot(engine, save, flush, merge),
            Step::SaveInBackground { number } => {
                self.saver.ask(Job::Save(number));
                Ok(())
            }
            Step::RewriteLog { number } => {
                self.saver.ask(Job::Rewrite(number));
                Ok(())
            }
            Step::CancelSave => {
                self.saver.nudge();
                Ok(())
            }
            Step::Log(text) => {
                tracing::warn!("DEBUG LOG: {text}");
                Ok(())
            }
            Step::RewriteConfig { all } => self.rewrite_config(engine, all),
            Step::SaveUsers => users_file::save(engine),
            Step::LoadUsers => users_file::load(engine, client),
            Step::ConfigChanged { names, before } => self.reconfigure(engine, &names, before),
        };
        if let Some(client) = client {
            engine.finish_step(client, &result.map_err(Fault::other));
        }
    }

    /// Takes over what became of a migration.
    pub fn end_migration(&self, client: ClientId, migrated: Migrated) {
        let mut core = self.core.lock();
        core.engine.finish_migration(self.clock.now(), client, migrated);
        self.deliver(&mut core.engine);
    }

    fn rewrite_config(&self, engine: &Engine, all: bool) -> Result<(), String> {
        let file = self.config_file.as_deref().ok_or("The server is running without a config file")?;
        rewrite::rewrite(file, engine, all).map_err(|error| format!("Rewriting config file: {error}"))
    }

    /// Brings a change of the configuration into the world, or takes it back.
    fn reconfigure(
        &self,
        engine: &mut Engine,
        names: &[&'static str],
        before: Box<Config>,
    ) -> Result<(), String> {
        let mut reconfigure = self.reconfigure.lock();
        let Some(reconfigure) = reconfigure.as_mut() else { return Ok(()) };
        reconfigure(engine.config(), names).map_err(|ConfigRefusal { name, reason }| {
            tracing::warn!("the configuration stays as it is: '{name}': {reason}");
            engine.set_config(*before);
            format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}")
        })?;
        if names.contains(&"appendonly") {
            self.switch_log(engine);
        }
        if names.contains(&"rdb-key-save-delay") {
            self.saver.nudge();
        }
        Ok(())
    }

    /// Changes the configuration, as CONFIG SET does.
    ///
    /// # Errors
    /// The world does not allow it; everything is as before then.
    pub fn change_config(&self, config: Config, names: &[&'static str]) -> Result<(), String> {
        let mut core = self.core.lock();
        let before = Box::new(core.engine.config().clone());
        core.engine.set_config(config);
        self.reconfigure(&mut core.engine, names, before)
    }

    fn reload_log(&self, engine: &mut Engine) -> Result<(), String> {
        // With the log off, what is there of it is loaded: a rewrite may have left one.
        self.submit_frames(engine);
        if self.log.is_open() && !self.log.wait_written(engine.offset()) {
            return Err("Error trying to load the AOF file, check the log for details".to_owned());
        }
        let mut reload = self.reload.lock();
        let Some(reload) = reload.as_mut() else { return Err("The log cannot be loaded again".to_owned()) };
        reload(engine)
    }

    /// Ends the daemon: no new connections, and those there are end with the reply they are at.
    pub fn request_stop(&self) {
        self.ready.store(false, Ordering::Relaxed);
        self.busy.stop();
        self.stop.cancel();
        self.mailboxes.lock().values().for_each(|mailbox| mailbox.close());
        self.timer.notify_one();
    }
}

#[expect(clippy::panic, reason = "this is what was asked for")]
fn asked_for_panic() -> ! {
    panic!("DEBUG PANIC asked for it")
}
