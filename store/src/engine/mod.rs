//! The engine: clients, commands and keys as one synchronous state machine.
//!
//! Law: same calls with the same times and the same seed, same outputs. The engine does no I/O and reads no clock; the
//! host passes requests in, and takes replies, outputs and frames out.
//! - [`Engine::execute`] runs the requests of one connection, [`Engine::tick`] what is due, [`Engine::deadline`] says
//!   when something is due next.
//! - A *unit* is what becomes visible at once: a command, an EXEC, a tick. When it ends, `unit.rs` turns its effects into
//!   a frame, serves who waited for what it touched, and tells listeners.
//!
//! Not here: what commands do ([`crate::commands`]) and how data is kept ([`crate::keyspace`]).

mod channels;
#[cfg(debug_assertions)]
mod check;
mod dispatch;
mod extension;
mod host;
mod output;
mod replay;
mod session;
mod stats;
mod timing;
mod unit;
mod wait;
mod watch;

use hashbrown::HashMap;

pub(crate) use channels::{Channels, Scope};
pub(crate) use dispatch::Invocation;
pub use dispatch::{Executed, Requests};
pub use extension::Extension;
pub use host::{Facts, Host, LogFacts, NoHost};
pub use output::{Output, Step};
pub use replay::ReplayFault;
pub use session::{ClientId, ConnectionGauges, Peer};
pub(crate) use session::{Multi, ReplyMode, Session};
pub use stats::{CommandStats, RateMeter, Stats};

use crate::command::{Command, Fault, Index};
use crate::commands;
use crate::config::Config;
use crate::hash::HashKey;
use crate::keyspace::digest::{self, DatasetDigest};
use crate::limits::EXPIRE_PER_TICK;
use crate::time::Now;
use crate::txn::{Data, DataCounters, Origin, Txn};
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
    pub(crate) sessions: HashMap<ClientId, Session, HashKey>,
    pub(crate) channels: Channels,
    pub(crate) index: Index,
    pub(crate) config: Config,
    pub(crate) stats: Stats,
    pub(crate) host: Box<dyn Host>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) now: Now,
    pub(crate) started: Now,
    /// Forty hexadecimal digits that name this run.
    pub(crate) run_id: String,
    /// Unix seconds of the last snapshot; the start, if there was none.
    pub(crate) last_save: u64,
    pub(crate) active_expire: bool,
    loading: bool,
    /// Why writes are refused.
    broken: Option<String>,
    extension: Option<Box<dyn Extension>>,
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
        let index = Index::new(commands::all().chain(rows), key);
        let mut engine = Self {
            data: Data::new(databases, key, rng.u64(..)),
            sessions: HashMap::with_hasher(key),
            channels: Channels::new(key),
            stats: Stats { by_command: vec![CommandStats::default(); index.all().len()], ..Stats::default() },
            index,
            host,
            outputs: Vec::new(),
            now,
            started: now,
            run_id: (0..40).map(|_| char::from_digit(rng.u32(..16), 16).unwrap_or('0')).collect(),
            last_save: now.wall_ms() / 1000,
            active_expire: true,
            loading: false,
            broken: None,
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
        engine.apply_config();
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

    /// Number of clients.
    pub fn clients(&self) -> usize {
        self.sessions.len()
    }

    /// Number of clients that wait.
    pub fn waiting_clients(&self) -> usize {
        self.waiters.len()
    }

    /// By database that is not empty: its number, keys, keys with a date, and average time to live in milliseconds.
    pub fn database_sizes(&self) -> Vec<(usize, usize, usize, u64)> {
        (0..self.data.keyspace.count())
            .map(|index| (index, self.data.keyspace.db(index)))
            .filter(|(_, database)| database.len() > 0)
            .map(|(index, db)| (index, db.len(), db.dated(), db.average_ttl(self.now.wall_ms())))
            .collect()
    }

    /// The fingerprint of all data: equal to that of a redis-server with the same data.
    pub fn digest(&self) -> DatasetDigest {
        digest::dataset(&self.data.keyspace)
    }

    /// Registers a connection.
    pub fn connect(&mut self, now: Now, peer: Peer) -> ClientId {
        self.advance(now);
        let id = ClientId(self.next_client);
        self.next_client += 1;
        self.stats.connections += 1;
        let open = self.config.password().is_none();
        self.sessions.insert(id, Session::new(id, peer, open, now.mono_ms));
        id
    }

    /// Forgets a connection that is gone. What it waited for stays where it is.
    pub fn forget(&mut self, client: ClientId) {
        self.stop_waiting(client);
        self.unsubscribe_all(client);
        self.unwatch(client);
        self.sessions.remove(&client);
    }

    /// Whether a client has authenticated, or need not.
    pub fn is_authenticated(&self, client: ClientId) -> bool {
        self.sessions.get(&client).is_some_and(|session| session.authenticated)
    }

    /// Ends the waiting of a client for a [`Step`], with its reply.
    pub fn finish_step(&mut self, client: ClientId, result: &Result<(), Fault>) {
        let Some(session) = self.sessions.get_mut(&client) else { return };
        session.held = false;
        let mut bytes = Vec::new();
        let mut reply = crate::resp::reply::Reply::new(&mut bytes, session.protocol);
        match result {
            Ok(()) => reply.ok(),
            Err(fault) => reply.error(&fault.to_bytes()),
        }
        self.outputs.push(Output::Reply { client, bytes });
    }

    /// Takes what is to be done in the world.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// Whether there is something to be done in the world.
    pub fn has_outputs(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// Says whether anybody reads the stream of effects.
    pub fn set_feed_wanted(&mut self, wanted: bool) {
        self.data.feed.set_wanted(wanted);
        self.data.feed.forget_db();
    }

    /// Whether there are frames to fetch.
    pub fn has_frames(&self) -> bool {
        !self.data.feed.is_empty()
    }

    /// Takes the frames of the units since the last call; `spare` is an old buffer to be used again.
    pub fn fetch_frames(&mut self, spare: Vec<u8>) -> Vec<u8> {
        self.data.feed.fetch(spare)
    }

    /// The offset behind the last frame.
    pub fn offset(&self) -> u64 {
        self.data.feed.offset()
    }

    /// Refuses writes from now on, with this reason, or accepts them again.
    pub fn set_broken(&mut self, reason: Option<String>) {
        self.broken = reason;
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

    /// Moves the time on. Wall time may step back (somebody set the clock); before it does, everything happens that was
    /// due at the time before, so that nothing that was gone returns.
    pub(crate) fn advance(&mut self, now: Now) {
        let before = self.now;
        let wall = now.wall_ms() as i64 - before.wall_ms() as i64;
        let mono = now.mono_ms.saturating_sub(before.mono_ms) as i64;
        if (wall - mono).abs() > 1000 && before != Now::default() {
            self.stats.clock_jumps += 1;
        }
        if wall < 0 && !self.loading {
            while self.expire_due() > 0 {}
        }
        self.now = Now { mono_ms: now.mono_ms.max(before.mono_ms), ..now };
        self.data.access_clock = (now.wall_ms() / 1000) as u32 & 0xff_ffff;
    }

    fn expire_due(&mut self) -> usize {
        let mut expired = 0;
        for db in 0..self.data.keyspace.count() {
            if self.data.keyspace.db(db).has_dates() {
                expired += self.txn(db).expire_due(EXPIRE_PER_TICK);
                self.end_unit();
            }
        }
        expired
    }

    /// Does what is due, within bounds. If more is due, [`Self::deadline`] is not later than now.
    pub fn tick(&mut self, now: Now) {
        self.advance(now);
        if self.loading {
            return;
        }
        if self.active_expire {
            self.expire_due();
        }
        self.answer_timeouts();
        self.with_extension(|extension, txn| extension.tick(txn));
        self.end_unit();
        self.stats.rate.sample(now.mono_ms, self.stats.commands);
    }

    /// When something is due next, in monotonic milliseconds.
    pub fn deadline(&self) -> Option<u64> {
        if self.loading {
            return None;
        }
        let dates = if self.active_expire { self.data.keyspace.next_date() } else { None };
        // A key is gone from its date on; the clock has to reach it.
        let expiry = dates.map(|date| self.now.mono_ms + date.saturating_sub(self.now.wall_ms()));
        let extension = self.extension.as_ref().and_then(|extension| extension.deadline(self.now));
        [expiry, self.waiters.deadline(), extension].into_iter().flatten().min()
    }

    /// Lets the extension work on database 0 (it may look at others through the transaction).
    fn with_extension(&mut self, work: impl FnOnce(&mut dyn Extension, &mut Txn<'_>)) {
        if let Some(mut extension) = self.extension.take() {
            work(&mut *extension, &mut self.txn(0));
            self.extension = Some(extension);
        }
    }

    /// All data was loaded: what is derived from it is derived now.
    pub fn loaded(&mut self, now: Now) {
        self.loading = false;
        self.advance(now);
        self.with_extension(|extension, txn| extension.loaded(txn));
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
        self.replaying = replay::ReplayState::default();
    }

    /// Takes over directives that the engine itself follows.
    pub(crate) fn apply_config(&mut self) {
        self.data.limits.thresholds = self.config.thresholds();
        self.data.limits.bulk_max = self.config.bulk_max();
        self.data.events_wanted = self.config.events();
    }

    /// The session of a client.
    ///
    /// # Errors
    /// The client is gone.
    pub(crate) fn session_mut(&mut self, client: ClientId) -> Result<&mut Session, Fault> {
        self.sessions.get_mut(&client).ok_or_else(|| Fault::other("the connection is gone"))
    }

    /// Ends the effect check, where there is one.
    #[cfg(not(debug_assertions))]
    pub(crate) fn forget_shadow(&mut self) {}

    /// Counts an error reply.
    pub(crate) fn count_error(&mut self, text: &str) {
        self.stats.count_error(text);
    }
}
