//! The engine: clients, commands and keys as one synchronous state machine.
//!
//! Law: same calls with the same times and the same seed, same outputs. The engine does no I/O and reads no clock; the
//! host passes requests in, and takes replies, outputs and frames out.
//! - [`Engine::execute`] runs the requests of one connection, [`Engine::tick`] what is due, [`Engine::deadline`] says
//!   when something is due next.
//! - A *unit* is what becomes visible at once: a command, an EXEC, a tick. When it ends, `unit.rs` turns its effects
//!   into a frame, serves who waited for what it touched, and tells listeners.
//!
//! Not here: what commands do ([`crate::commands`]) and how data is kept ([`crate::keyspace`]).

mod access;
mod busy;
mod channels;
#[cfg(debug_assertions)]
mod check;
mod dispatch;
mod due;
mod ending;
mod evict;
mod evict_clients;
mod extension;
mod gates;
mod host;
mod idle;
mod latency;
mod migration;
mod monitor;
mod output;
mod pause;
mod persistence;
mod replay;
mod session;
mod stats;
mod timing;
mod tracking;
mod unit;
mod wait;
mod watch;

use std::collections::BTreeSet;

use hashbrown::HashMap;

pub use crate::keyspace::Garbage;
pub use crate::replication::{Feeding, Keep, LinkFault, MasterAddress, Place, ReplicationCounts};
pub(crate) use access::Access;
pub(crate) use channels::{Channels, Scope};
pub use dispatch::{Executed, OwnedRequests, Requests};
pub(crate) use dispatch::{Invocation, exec_abort};
pub use ending::EndRequest;
pub(crate) use evict::Policy;
pub use extension::Extension;
pub use host::{Facts, Host, LogFacts, LogLevel, NoHost};
pub(crate) use latency::LatencyMonitor;
pub use migration::{Credentials, Migrated, Migration, Moving, restore_request};
pub(crate) use monitor::SlowLog;
pub use output::{Output, Step};
pub(crate) use pause::Pause;
pub(crate) use persistence::{Asked, Persistence};
pub use persistence::{PersistenceFacts, Runs};
pub use replay::ReplayFault;
pub use session::{ClientId, ConnectionGauges, Peer};
pub(crate) use session::{Multi, ReplyMode, Session};
pub use stats::{CommandStats, DatabaseSize, RateMeter, Stats};
pub(crate) use tracking::{Tracking, TrackingMode};

use crate::command::{Command, Fault, Index, Outcome, Run};
use crate::commands;
use crate::config::Config;
use crate::hash::HashKey;
use crate::keyspace::digest::{self, DatasetDigest};
use crate::rdb::Walk;
use crate::replication::{Replication, new_id};
use crate::resp::reply::Reply;
use crate::script::{Running, Scripting};
use crate::time::Now;
use crate::txn::{AccessMode, Data, DataCounters, Origin, Txn};
use session::ClientIdHash;
use timing::Timing;
use wait::Waiters;
use watch::Watchers;

/// What an engine begins with.
pub struct EngineOptions {
    /// Directives of the configuration.
    pub config: Config,
    /// Source of chance and of the secret of the hash tables.
    pub seed: u64,
    /// Further commands.
    pub extension: Option<Box<dyn Extension>>,
    /// Readings of the process.
    pub host: Box<dyn Host>,
    /// The time.
    pub now: Now,
}

/// The engine.
pub struct Engine {
    pub(crate) data: Data,
    pub(crate) sessions: HashMap<ClientId, Session, ClientIdHash>,
    pub(crate) channels: Channels,
    pub(crate) index: Index,
    pub(crate) config: Config,
    pub(crate) access: Access,
    pub(crate) tracking: Tracking,
    pub(crate) monitors: BTreeSet<ClientId>,
    pub(crate) slow_log: SlowLog,
    pub(crate) latency: LatencyMonitor,
    pub(crate) pause: Option<Pause>,
    /// The end was asked for.
    pub(crate) ending: Option<ending::Ending>,
    /// DEBUG PAUSE-CRON: what is due is not done.
    timer_paused: bool,
    /// Keys on their way to another server.
    migration: Option<migration::Underway>,
    pub(crate) policy: Policy,
    eviction_pool: evict::Pool,
    /// Whose request is being executed.
    current_client: Option<ClientId>,
    /// Bytes of clients that were closed to make room and whose connections still end.
    leaving: HashMap<ClientId, usize, ClientIdHash>,
    /// When the memory of all clients was looked at, in monotonic milliseconds.
    clients_looked_at: u64,
    /// Bytes of messages since then.
    unseen_messages: usize,
    pub(crate) stats: Stats,
    pub(crate) host: Box<dyn Host>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) now: Now,
    pub(crate) started: Now,
    /// Forty hexadecimal digits that name this run.
    pub(crate) run_id: String,
    /// Bytes that were taken when the engine began.
    pub(crate) memory_at_start: usize,
    pub(crate) persistence: Persistence,
    pub(crate) active_expire: bool,
    pub(crate) loading: bool,
    pub(crate) replication: Replication,
    /// The log reads the stream of effects.
    pub(crate) log_wanted: bool,
    /// Where the last write of the batch at hand ended: its place in the log, and its offset of replication.
    pub(crate) written: Option<(u64, u64)>,
    /// When idle clients were looked for, in monotonic milliseconds.
    idle_looked_at: u64,
    /// Why writes are refused.
    broken: Option<String>,
    extension: Option<Box<dyn Extension>>,
    /// Scripts and their interpreters; not there while one of them runs.
    pub(crate) scripting: Option<Box<Scripting>>,
    /// The snapshot that is being written while clients are served.
    pub(crate) walk: Option<Walk>,
    /// How many walks there were.
    pub(crate) walks: u64,
    /// What the last DEBUG RELOAD wrote.
    pub(crate) kept_snapshot: Vec<u8>,
    /// The script that runs.
    pub(crate) running: Option<Running>,
    /// The time, while a script runs and its own stands still.
    pub(crate) busy_now: Now,
    pub(crate) waiters: Waiters,
    watchers: Watchers,
    timing: Timing,
    plan: Vec<dispatch::Planned>,
    next_client: u64,
    replaying: replay::ReplayState,
    #[cfg(debug_assertions)]
    shadow: Option<check::Shadow>,
}

impl Engine {
    /// An engine without keys and clients.
    pub fn new(options: EngineOptions) -> Self {
        let EngineOptions { config, seed, extension, host, now } = options;
        let mut rng = fastrand::Rng::with_seed(seed);
        let key = HashKey::new(rng.u64(..), rng.u64(..));
        let databases = config.databases();
        let rows: &'static [Command] = extension.as_ref().map_or(&[], |extension| extension.rows());
        let mut index = Index::new(commands::all().chain(rows));
        for (name, other) in config.renames() {
            index.rename(name, other);
        }
        let mut engine = Self {
            data: Data::new(databases, key, rng.u64(..)),
            sessions: HashMap::default(),
            channels: Channels::new(key),
            access: Access::default(),
            tracking: Tracking::new(key),
            monitors: BTreeSet::new(),
            slow_log: SlowLog::default(),
            latency: LatencyMonitor::default(),
            pause: None,
            ending: None,
            timer_paused: false,
            migration: None,
            policy: Policy::default(),
            eviction_pool: evict::Pool::default(),
            current_client: None,
            leaving: HashMap::default(),
            clients_looked_at: 0,
            unseen_messages: 0,
            stats: Stats { by_command: vec![CommandStats::default(); index.all().len()], ..Stats::default() },
            index,
            host,
            outputs: Vec::new(),
            now,
            started: now,
            run_id: (0..40).map(|_| char::from_digit(rng.u32(..16), 16).unwrap_or('0')).collect(),
            memory_at_start: 0,
            persistence: Persistence::new(now),
            active_expire: true,
            loading: false,
            replication: Replication::new(String::new()),
            log_wanted: false,
            written: None,
            idle_looked_at: 0,
            broken: None,
            scripting: Some(Box::default()),
            walk: None,
            walks: 0,
            kept_snapshot: Vec::new(),
            running: None,
            busy_now: now,
            waiters: Waiters::new(databases, key),
            watchers: Watchers::new(databases, key),
            timing: Timing::default(),
            plan: Vec::new(),
            next_client: 1,
            replaying: replay::ReplayState::default(),
            #[cfg(debug_assertions)]
            shadow: None,
            config,
            extension,
        };
        if let Some(extension) = &engine.extension {
            engine.data.reserved = extension.prefix();
        }
        engine.replication = Replication::new(new_id(&mut engine.data.rng));
        engine.apply_config();
        engine.apply_password();
        engine.memory_at_start = engine.host.memory_used();
        engine
    }

    /// The time, as of the last call.
    pub fn now(&self) -> Now {
        self.now
    }

    /// The directives of the configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Counters for metrics.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Counters about keys, for metrics.
    pub fn data_counters(&self) -> DataCounters {
        self.data.counters
    }

    /// All commands.
    pub fn commands(&self) -> &Index {
        &self.index
    }

    /// The extension, for a host that knows its type.
    pub fn extension(&self) -> Option<&dyn std::any::Any> {
        self.extension.as_ref().map(|extension| extension.as_any())
    }

    /// The class of a client, as `client-output-buffer-limit` names it.
    pub fn class_of(&self, client: ClientId) -> &'static str {
        self.sessions.get(&client).map_or("normal", Session::class)
    }

    /// Number of clients, those who follow and the link to the master among them.
    pub fn clients(&self) -> usize {
        self.sessions.len()
    }

    /// Number of channels that somebody listens to.
    pub fn channel_count(&self) -> usize {
        self.channels.of(Scope::Channel).len()
    }

    /// Number of patterns that somebody listens to.
    pub fn pattern_count(&self) -> usize {
        self.channels.of(Scope::Pattern).len()
    }

    /// The time at the start.
    pub fn started(&self) -> Now {
        self.started
    }

    /// Milliseconds since the start.
    pub fn uptime_ms(&self) -> u64 {
        self.now.mono_ms - self.started.mono_ms
    }

    /// Number of clients that wait.
    pub fn waiting_clients(&self) -> usize {
        self.waiters.len()
    }

    /// The databases that are not empty.
    pub fn database_sizes(&self) -> Vec<DatabaseSize> {
        let databases = (0..self.data.keyspace.count()).map(|index| (index, self.data.keyspace.db(index)));
        databases
            .filter(|(_, database)| database.len() > 0)
            .map(|(index, database)| DatabaseSize {
                index,
                keys: database.len(),
                dated: database.dated(),
                average_ttl_ms: database.average_ttl(self.now.wall_ms()),
                with_dated_fields: database.with_dated_fields(),
            })
            .collect()
    }

    /// The fingerprint of all data: equal to that of a redis-server with the same data.
    pub fn digest(&self) -> DatasetDigest {
        digest::dataset(&self.data.keyspace)
    }

    /// Registers a connection.
    pub fn connect(&mut self, now: Now, peer: Peer) -> ClientId {
        // For a script time stands still.
        if self.running.is_none() {
            self.advance(now);
        }
        let id = ClientId(self.next_client);
        self.next_client += 1;
        self.stats.connections += 1;
        let open = self.access.is_open();
        self.sessions.insert(id, Session::new(id, peer, open, now.mono_ms));
        self.become_user(id, crate::acl::DEFAULT, open);
        id
    }

    /// Forgets a connection that is gone. What it waited for stays where it is.
    pub fn forget(&mut self, client: ClientId) {
        self.leaving.remove(&client);
        self.stop_waiting(client);
        self.stop_tracking(client);
        self.stop_monitor(client);
        self.unsubscribe_all(client);
        self.unwatch(client);
        self.detach(client);
        self.sessions.remove(&client);
    }

    /// Whether a client has authenticated, or need not.
    pub fn is_authenticated(&self, client: ClientId) -> bool {
        self.sessions.get(&client).is_some_and(|session| session.authenticated)
    }

    /// Ends the waiting of a client for a [`Step`], with its reply.
    pub fn finish_step(&mut self, client: ClientId, result: &Result<(), Fault>) {
        self.end_migration(client);
        let Some(session) = self.sessions.get_mut(&client) else { return };
        session.held = false;
        let mut bytes = Vec::new();
        let mut reply = Reply::new(&mut bytes, session.protocol);
        match result {
            Ok(()) => reply.ok(),
            Err(fault) => reply.error(&fault.to_bytes()),
        }
        self.outputs.push(Output::Reply { client, bytes });
    }

    /// Takes what is to be done in the world.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        if self.data.keyspace.has_garbage() {
            let garbage = self.data.keyspace.take_garbage();
            self.hand_on(garbage);
        }
        std::mem::take(&mut self.outputs)
    }

    /// Whether there is something to be done in the world.
    pub fn has_outputs(&self) -> bool {
        !self.outputs.is_empty() || self.data.keyspace.has_garbage()
    }

    /// Says whether a log reads the stream of effects. Those who follow read it on their own account.
    pub fn set_feed_wanted(&mut self, wanted: bool) {
        self.log_wanted = wanted;
        self.replication.logged_id = None;
        self.settle_feed();
        self.data.feed.forget_db();
    }

    /// Whether there are frames to fetch.
    pub fn has_frames(&self) -> bool {
        !self.data.feed.is_empty()
    }

    /// Takes the frames of the units since the last call, as the log wants them; `spare` is an old buffer to be used
    /// again. From here on those who follow can have them, too.
    pub fn fetch_frames(&mut self, spare: Vec<u8>) -> Vec<u8> {
        let frames = self.data.feed.fetch(spare);
        self.file_frames(&frames);
        let mut log = frames.into_log();
        // Nothing but the line of an orderly end names its place already.
        if log.first().is_some_and(|&byte| byte != b'#') {
            self.write_place(&mut log);
        }
        log
    }

    /// The offset behind the last frame.
    pub fn offset(&self) -> u64 {
        self.data.feed.offset()
    }

    /// Refuses writes from now on, with this reason, or accepts them again.
    pub fn set_broken(&mut self, reason: Option<String>) {
        self.broken = reason;
    }

    /// Why writes are refused, if they are.
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Refuses commands that need data, until the data is loaded.
    pub fn set_loading(&mut self, loading: bool) {
        self.loading = loading;
    }

    /// Whether data is being loaded.
    pub fn is_loading(&self) -> bool {
        self.loading
    }

    /// A transaction on a database, outside of any command.
    pub(crate) fn txn(&mut self, db: usize) -> Txn<'_> {
        Txn::new(&mut self.data, db, self.now, Origin::Client)
    }

    /// Lets the extension work on database 0 (it may look at others through the transaction).
    pub(crate) fn with_extension(&mut self, work: impl FnOnce(&mut dyn Extension, &mut Txn<'_>)) {
        if let Some(mut extension) = self.extension.take() {
            work(&mut *extension, &mut self.txn(0));
            self.extension = Some(extension);
        }
    }

    /// All data was loaded: what is derived from it is derived now.
    pub fn loaded(&mut self, now: Now) {
        self.end_loading(now, |extension, txn| extension.loaded(txn));
    }

    /// All data was loaded that another process served before: as [`Self::loaded`], and nothing is given out twice that
    /// was given out once, even where the disk has forgotten that it was.
    pub fn restarted(&mut self, now: Now) {
        self.end_loading(now, |extension, txn| extension.restarted(txn));
    }

    fn end_loading(&mut self, now: Now, derive: impl FnOnce(&mut dyn Extension, &mut Txn<'_>)) {
        self.loading = false;
        self.advance(now);
        // What a replica derives from keys would be old at once; it is derived when it becomes a master.
        if !self.is_replica() {
            self.with_extension(derive);
        }
        self.end_unit();
    }

    /// Forgets all data, so that it can be loaded again.
    pub fn forget_data(&mut self) {
        for db in 0..self.data.keyspace.count() {
            self.txn(db).flush(db);
        }
        self.loading = true;
        #[cfg(debug_assertions)]
        self.restart_shadow();
        self.data.touched.take();
        self.forget_scripts();
        self.data.touched.take_swept();
        self.replaying = replay::ReplayState::default();
    }

    /// Takes another configuration over, as a whole.
    pub fn set_config(&mut self, config: Config) {
        let same_password = self.config.password() == config.password();
        self.config = config;
        self.apply_config();
        if !same_password {
            self.apply_password();
        }
    }

    /// Takes over directives that the engine itself follows.
    pub(crate) fn apply_config(&mut self) {
        self.data.limits.thresholds = self.config.thresholds();
        self.data.limits.frees_expired_aside = self.config.flag("lazyfree-lazy-expire");
        self.data.limits.frees_deleted_aside = self.config.flag("lazyfree-lazy-user-del");
        self.data.limits.frees_flushed_aside = self.config.flag("lazyfree-lazy-user-flush");
        self.data.limits.bulk_max = self.config.bulk_max();
        self.data.output.compress = self.config.flag("rdbcompression");
        self.data.events_wanted = self.config.events();
        self.apply_save_points();
        self.policy = Policy::named(self.config.text("maxmemory-policy"));
        self.eviction_pool.clear();
        let access = &mut self.data.access;
        access.mode = self.policy.access_mode();
        if self.config.maxmemory() == 0 && access.mode != AccessMode::Frequency {
            access.mode = AccessMode::Time { shares_integers: true };
        }
        access.log_factor = self.config.size("lfu-log-factor") as u32;
        access.decay_minutes = self.config.size("lfu-decay-time") as u32;
        // Commands that share a reading cannot be told apart by a limit below what they take together.
        self.timing.exact = self.config.slower_than().is_some_and(|limit| limit < 1000);
        self.timing.keeps_durations = self.config.flag("latency-tracking");
        self.bound_tracking();
        self.evict_clients();
        self.slow_log.entries.truncate(self.config.size("slowlog-max-len"));
    }

    /// The session of a client.
    ///
    /// # Errors
    /// The client is gone.
    pub(crate) fn session_mut(&mut self, client: ClientId) -> Result<&mut Session, Fault> {
        self.sessions.get_mut(&client).ok_or_else(|| Fault::other("the connection is gone"))
    }

    /// Lets the client wait until the host has done something. Within a transaction it is done at the end, and has to
    /// succeed.
    pub(crate) fn hold(&mut self, client: ClientId, step: Step, reply: &mut Reply<'_>) -> Run {
        let session = self.session_mut(client)?;
        session.held = !session.in_exec;
        let waits = session.held.then_some(client);
        if waits.is_none() {
            reply.ok();
        }
        self.outputs.push(Output::Step { client: waits, step });
        Ok(Outcome::Done)
    }

    /// Notes that the command at hand makes everybody wait for so long, after it has run.
    pub(crate) fn charge_stall(&mut self, us: u64) {
        self.timing.charge_ns(us.saturating_mul(1000));
    }

    /// Ends the effect check, where there is one.
    #[cfg(not(debug_assertions))]
    pub(crate) fn forget_shadow(&mut self) {}

    /// Counts an error reply.
    pub(crate) fn count_error(&mut self, text: &str) {
        self.stats.count_error(text);
    }
}
