//! A daemon without threads: what `pbjd` does with the engine and the log, in steps that somebody else orders.
//!
//! It follows `daemon/src/shared.rs`, `boot.rs` and `log_writer.rs`; the decisions of the last are those of
//! [`Pace`], which both use. Between any two steps the process may end or the power may go.

mod rewriting;

use std::collections::VecDeque;

use pbj_queue::Queues;
use pbj_store::DatasetDigest;
use pbj_store::config::Config;
use pbj_store::durable::{
    BaseForm, Cut, Health, LoadFault, Log, LogFiles, LogNames, Pace, SyncPolicy, Syncer,
};
use pbj_store::engine::{ClientId, Engine, EngineOptions, NoHost, Output, Peer, Place, Requests, Step};
use pbj_store::resp::request::{Batch, Parser, RequestLimits};
use pbj_store::time::Now;

use self::rewriting::Rewriting;
use super::disk::FaultyDisk;

/// How the log of the laboratory is called.
pub const LOG_FOLDER: &str = "appendonlydir";

/// What a server begins with.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Source of chance of the engine.
    pub seed: u64,
    /// `appendfsync`.
    pub policy: SyncPolicy,
    /// Name of the boot of the machine.
    pub boot: String,
    /// Check every effect on a second engine, in builds that can.
    pub check_effects: bool,
    /// Whom it follows.
    pub master: Option<(String, u16)>,
    /// Further directives and their values.
    pub directives: Vec<(String, String)>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            policy: SyncPolicy::EverySecond,
            boot: "boot-1".to_owned(),
            check_effects: false,
            master: None,
            directives: Vec::new(),
        }
    }
}

/// A reply on its way: it leaves when the log has come to `offset`.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Who gets it.
    pub client: ClientId,
    /// The reply.
    pub bytes: Vec<u8>,
    /// What it depends on; 0 for nothing.
    pub offset: u64,
}

/// What came of a request.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The reply; empty if the client has to wait for it.
    pub bytes: Vec<u8>,
    /// Offset of the stream before and behind what the request wrote.
    pub offsets: (u64, u64),
    /// Replies to others who waited, with their clients.
    pub woken: Vec<(ClientId, Vec<u8>)>,
    /// A client asked for the end.
    pub shutdown: bool,
}

/// Frames behind the instant of a rewrite, which wait for the next increment.
struct LogCut {
    increment: String,
    after: Vec<u8>,
    end: u64,
}

/// A running server.
pub struct Server {
    /// The engine.
    pub engine: Engine,
    /// What the load came to: the fingerprint of what was read, and what was cut off.
    pub loaded: (DatasetDigest, Option<Cut>),
    /// The place of which history that was.
    pub loaded_at: Option<Place>,
    disk: FaultyDisk,
    log: Log,
    files: LogFiles,
    rewriting: Option<Rewriting>,
    cut: Option<LogCut>,
    syncer: Box<dyn Syncer>,
    pace: Pace,
    health: Health,
    queue: Vec<u8>,
    held: VecDeque<Delivery>,
    stream: Vec<u8>,
    names: LogNames,
}

impl Server {
    /// Starts a server on a disk.
    ///
    /// # Errors
    /// The log cannot be loaded.
    pub fn start(disk: &FaultyDisk, now: Now, options: &ServerOptions) -> Result<Self, LoadFault> {
        let names = LogNames { folder: LOG_FOLDER.to_owned(), file: "appendonly.aof".to_owned() };
        let mut disk = disk.clone();
        let mut engine = engine(now, options);
        let form = BaseForm::of(engine.config());
        let (mut files, mut log, mut loader) = LogFiles::open(&mut disk, &names, "dump.rdb", form)?;
        files.remove_history(&mut disk)?;
        engine.set_loading(true);
        #[cfg(debug_assertions)]
        if options.check_effects {
            engine.check_effects_from_now_on();
        }
        let report = loop {
            if let Some(report) = loader.step(&mut disk, &mut engine, now, true)? {
                break report;
            }
        };
        log.was_loaded(&report);
        let syncer = log.syncer(&mut disk)?;
        let loaded = (engine.digest(), report.cut);
        let loaded_at = report.place;
        engine.set_feed_wanted(true);
        engine.resume(loaded_at.clone());
        engine.follow_configured();
        if report.is_new {
            engine.loaded(now);
        } else {
            engine.restarted(now);
        }
        let mut server = Self {
            engine,
            loaded,
            loaded_at,
            disk,
            log,
            files,
            rewriting: None,
            cut: None,
            syncer,
            pace: Pace::new(options.policy),
            health: Health::Sound,
            queue: Vec::new(),
            held: VecDeque::new(),
            stream: Vec::new(),
            names,
        };
        let mut answer = Answer::default();
        server.deliver_outputs(&mut answer);
        server.submit();
        Ok(server)
    }

    /// Registers a connection.
    pub fn connect(&mut self, now: Now) -> ClientId {
        self.engine.connect(now, Peer::default())
    }

    /// Forgets a connection, and what was on its way to it.
    pub fn disconnect(&mut self, client: ClientId) {
        self.engine.forget(client);
        self.held.retain(|delivery| delivery.client != client);
    }

    /// Runs requests of a client. Its replies are held until the log has come far enough.
    pub fn execute(&mut self, now: Now, client: ClientId, bytes: &[u8]) -> Answer {
        let (mut parser, mut batch) = (Parser::default(), Batch::default());
        let limits = RequestLimits { bulk_max: 1 << 30, authenticated: true };
        parser.parse(bytes, limits, &mut batch).expect("tests send protocol");
        let before = self.engine.offset();
        let mut answer = Answer::default();
        let executed = self.engine.execute(now, client, &Requests::new(&batch, bytes), &mut answer.bytes);
        self.deliver_outputs(&mut answer);
        answer.offsets = (before, self.engine.offset());
        // Under `always` a reply also waits for what it has seen others write; otherwise only for its own writes.
        let depends = executed.wrote || self.pace.policy() == SyncPolicy::Always;
        if !answer.bytes.is_empty() {
            let offset = if depends { executed.offset } else { 0 };
            self.held.push_back(Delivery { client, bytes: answer.bytes.clone(), offset });
        }
        self.hold(&answer.woken);
        self.submit();
        answer
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Now) -> Answer {
        let mut answer = Answer { offsets: (self.engine.offset(), 0), ..Answer::default() };
        self.engine.tick(now);
        self.deliver_outputs(&mut answer);
        answer.offsets.1 = self.engine.offset();
        self.hold(&answer.woken);
        self.submit();
        answer
    }

    /// Something was done with the engine itself: what came of it goes where it belongs. Returns replies to those who
    /// waited.
    pub fn settle(&mut self) -> Vec<(ClientId, Vec<u8>)> {
        let mut answer = Answer::default();
        self.deliver_outputs(&mut answer);
        self.hold(&answer.woken);
        self.submit();
        answer.woken
    }

    fn hold(&mut self, woken: &[(ClientId, Vec<u8>)]) {
        let offset = self.engine.offset();
        self.held.extend(woken.iter().map(|(client, bytes)| Delivery {
            client: *client,
            bytes: bytes.clone(),
            offset,
        }));
    }

    fn deliver_outputs(&mut self, answer: &mut Answer) {
        while self.engine.has_outputs() {
            for output in self.engine.take_outputs() {
                match output {
                    Output::Reply { client, bytes } => answer.woken.push((client, bytes)),
                    Output::Push { .. }
                    | Output::Close { .. }
                    | Output::Fed
                    | Output::Link
                    | Output::Garbage(_) => {}
                    Output::Step { client, step } => {
                        let result = self.step(&step, answer);
                        if let Some(client) = client {
                            let fault = result.map_err(pbj_store::command::Fault::other);
                            self.engine.finish_step(client, &fault);
                        }
                    }
                }
            }
        }
    }

    fn step(&mut self, step: &Step, answer: &mut Answer) -> Result<(), String> {
        match step {
            Step::Stall(_) | Step::PauseBeforeWrites(_) | Step::Log(_) | Step::Panic | Step::EndGivenUp => {
                Ok(())
            }
            Step::Shutdown { .. } => {
                answer.shutdown = true;
                Ok(())
            }
            Step::ConfigChanged { names, .. } => {
                if names.contains(&"appendfsync") {
                    self.pace.set_policy(SyncPolicy::named(self.engine.config().text("appendfsync")));
                }
                Ok(())
            }
            Step::Migrate(_) => Err("there is no other server here".to_owned()),
            Step::RewriteLog { number } => {
                self.rewriting = Some(Rewriting::Asked(*number));
                Ok(())
            }
            Step::ReloadLog => self.reload(),
            Step::Save
            | Step::Reload { .. }
            | Step::SaveInBackground { .. }
            | Step::CancelSave
            | Step::RewriteConfig { .. }
            | Step::SaveUsers
            | Step::LoadUsers => Err("there are no such files here".to_owned()),
        }
    }

    /// DEBUG LOADAOF: everything is written, then forgotten, then loaded.
    fn reload(&mut self) -> Result<(), String> {
        let now = self.engine.now();
        self.submit();
        while !self.queue.is_empty() || self.cut.is_some() {
            if self.is_broken() {
                return Err("the log cannot be written".to_owned());
            }
            if self.pace.is_syncing() {
                self.sync_ends().map_err(|error| error.to_string())?;
            }
            if self.write(now.mono_ms).is_err() {
                return Err("cannot write the log".to_owned());
            }
        }
        let mut loader =
            LogFiles::load_again(&mut self.disk, &self.names).map_err(|fault| fault.to_string())?;
        self.engine.forget_data();
        while loader
            .step(&mut self.disk, &mut self.engine, now, false)
            .map_err(|fault| fault.to_string())?
            .is_none()
        {}
        self.engine.loaded(now);
        Ok(())
    }

    /// Hands the frames that gathered to the log.
    fn submit(&mut self) {
        if self.engine.has_frames() {
            let frames = self.engine.fetch_frames(Vec::new());
            self.stream.extend_from_slice(&frames);
            if self.health == Health::Lost {
                return;
            }
            match &mut self.cut {
                Some(cut) => {
                    cut.after.extend_from_slice(&frames);
                    cut.end = self.engine.offset();
                }
                None => {
                    self.queue.extend_from_slice(&frames);
                    self.pace.submit(self.engine.offset());
                }
            }
        }
    }

    /// Writes what was handed over; says whether there was anything.
    ///
    /// # Errors
    /// The disk refuses. Under `always` the process has to end; otherwise writes are refused from now on.
    pub fn write(&mut self, mono_ms: u64) -> Result<bool, std::io::Error> {
        if self.may_change_files() {
            return self.change_files(mono_ms);
        }
        if !self.pace.may_write(mono_ms) {
            return Ok(false);
        }
        if self.health == Health::Stalled
            && let Err(error) = self.log.cut_torn_end(&mut self.disk)
        {
            return self.lose(error);
        }
        match self.log.append(&mut self.disk, &mut self.queue) {
            Ok(()) => {
                self.queue.clear();
                self.pace.wrote(self.pace.submitted(), mono_ms);
                if self.health == Health::Stalled {
                    self.recover();
                }
                Ok(true)
            }
            Err(error) if self.health == Health::Proving => self.lose(error),
            Err(error) => {
                self.health = Health::Stalled;
                self.pace.write_failed(mono_ms);
                self.refuse(error)
            }
        }
    }

    /// Goes on in the increment behind the cut.
    fn change_files(&mut self, mono_ms: u64) -> Result<bool, std::io::Error> {
        let Some(cut) = self.cut.take() else { return Ok(false) };
        self.pace.sync_begins(mono_ms);
        let changed = self.log.go_on_in(&mut self.disk, cut.increment.clone());
        match changed.and_then(|()| self.log.syncer(&mut self.disk)) {
            Ok(syncer) => {
                self.pace.sync_ends();
                self.syncer = syncer;
                self.queue = cut.after;
                self.pace.submit(cut.end);
                Ok(true)
            }
            Err(error) => self.lose(error),
        }
    }

    /// Whether something can be written.
    pub fn may_write(&self, mono_ms: u64) -> bool {
        self.pace.may_write(mono_ms) || self.may_change_files()
    }

    fn may_change_files(&self) -> bool {
        self.cut.is_some() && self.queue.is_empty() && !self.pace.is_syncing()
    }

    /// Whether something waits to be written.
    pub fn wants_to_write(&self) -> bool {
        self.pace.submitted() > self.pace.written() || self.cut.is_some()
    }

    /// The increment that frames handed over from now on go to.
    pub fn increment(&self) -> &str {
        self.cut.as_ref().map_or(self.log.current(), |cut| &cut.increment)
    }

    /// Whether writes are refused.
    pub fn is_broken(&self) -> bool {
        self.health != Health::Sound
    }

    /// Whether the log has to begin anew.
    pub fn is_lost(&self) -> bool {
        self.health == Health::Lost
    }

    /// Whether the log has to begin anew, and nobody has asked for that yet.
    pub fn wants_healing(&self) -> bool {
        self.health == Health::Lost && self.rewriting.is_none()
    }

    /// The log has grown, or has to begin anew: it is to be rewritten.
    pub fn ask_rewrite(&mut self) {
        self.engine.ask_rewrite();
        self.deliver_outputs(&mut Answer::default());
    }

    /// Whether the log is being rewritten.
    pub fn is_rewriting(&self) -> bool {
        self.rewriting.is_some()
    }

    /// When the next sync is to begin.
    pub fn sync_due_ms(&self, mono_ms: u64) -> Option<u64> {
        self.pace.sync_due_ms(mono_ms)
    }

    /// A sync begins; it covers what is written now.
    pub fn sync_begins(&mut self, mono_ms: u64) {
        self.disk.sync_begins(self.log.current());
        self.pace.sync_begins(mono_ms);
    }

    /// The sync that is going on ends.
    ///
    /// # Errors
    /// The disk refuses. Under `always` the process has to end; otherwise writes are refused from now on.
    pub fn sync_ends(&mut self) -> Result<bool, std::io::Error> {
        if !self.pace.is_syncing() {
            // The file was given up meanwhile.
            return Ok(false);
        }
        match self.syncer.sync() {
            Ok(()) => {
                self.pace.sync_ends();
                Ok(true)
            }
            Err(error) => self.lose(error),
        }
    }

    /// The file cannot be trusted any more.
    fn lose(&mut self, error: std::io::Error) -> Result<bool, std::io::Error> {
        self.forget_file();
        self.refuse(error)
    }

    fn forget_file(&mut self) {
        self.health = Health::Lost;
        self.pace.fail();
        self.queue.clear();
        self.cut = None;
    }

    /// What had failed works again.
    fn recover(&mut self) {
        self.health = Health::Sound;
        self.pace.prove();
        self.engine.set_broken(None);
    }

    fn refuse(&mut self, error: std::io::Error) -> Result<bool, std::io::Error> {
        self.engine.set_broken(Some(format!("Errors writing to the AOF file: {error}")));
        // Whoever waits for the log is never answered.
        self.held.retain(|delivery| self.pace.is_safe(delivery.offset));
        Err(error)
    }

    /// Replies that may leave now.
    pub fn deliver(&mut self) -> Vec<Delivery> {
        let mut leaving = Vec::new();
        let mut stuck: Vec<ClientId> = Vec::new();
        self.held.retain(|delivery| {
            // Replies of one connection leave in their order.
            let leaves = self.pace.is_safe(delivery.offset) && !stuck.contains(&delivery.client);
            if leaves {
                leaving.push(delivery.clone());
            } else {
                stuck.push(delivery.client);
            }
            !leaves
        });
        leaving
    }

    /// How far the log has come.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The extension.
    pub fn queues(&self) -> &Queues {
        queues(&self.engine)
    }

    /// Takes the bytes of the stream since the last call.
    pub fn take_stream(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.stream)
    }

    /// Writes and syncs everything, as an orderly end does.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn stop(&mut self) -> Result<(), std::io::Error> {
        self.submit();
        if matches!(self.health, Health::Sound | Health::Stalled) {
            if self.health == Health::Stalled {
                self.log.cut_torn_end(&mut self.disk)?;
            }
            let mut frames = std::mem::take(&mut self.queue);
            self.log.append(&mut self.disk, &mut frames)?;
            if let Some(mut cut) = self.cut.take() {
                self.log.go_on_in(&mut self.disk, cut.increment)?;
                self.log.append(&mut self.disk, &mut cut.after)?;
            }
            self.log.sync(&mut self.disk)?;
        }
        Ok(())
    }
}

/// The queue extension of an engine of the laboratory.
pub fn queues(engine: &Engine) -> &Queues {
    let any = engine.extension().expect("the laboratory has the queue");
    any.downcast_ref::<Queues>().expect("the extension is the queue")
}

/// An engine with the queue, that checks nothing and holds nothing yet.
pub fn engine(now: Now, options: &ServerOptions) -> Engine {
    let mut config = Config::default();
    let policy = match options.policy {
        SyncPolicy::Always => "always",
        SyncPolicy::EverySecond => "everysec",
        SyncPolicy::Never => "no",
    };
    for (name, value) in [("appendfsync", policy), ("enable-debug-command", "yes")] {
        config.set(name, &[value]).expect("directives of ours");
    }
    for (name, value) in &options.directives {
        config.set(name, &[value]).expect("directives that there are");
    }
    if let Some((host, port)) = &options.master {
        config.set("replicaof", &[host, &port.to_string()]).expect("a master");
    }
    Engine::new(EngineOptions {
        config,
        seed: options.seed,
        extension: Some(Box::new(Queues::new(&options.boot))),
        host: Box::new(NoHost),
        now,
    })
}
