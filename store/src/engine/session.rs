//! What the engine knows about a client.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::tracking::TrackingMode;
use crate::acl;
use crate::command::index::Callable;
use crate::replication::{AckWait, Introduction};
use crate::resp::reply::Protocol;

/// The number of a client: never used twice, shown by CLIENT ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// Hashes numbers of clients for a table. They are ours, so nobody can choose them to collide.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClientIdHash(u64);

impl BuildHasher for ClientIdHash {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for ClientIdHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(self.0 ^ u64::from(byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // Knuth's multiplicative hashing; the table looks at the highest and at the lowest bits.
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

/// Bytes of a subscription or a watched key beside its name: its places in the tables of the client and of the engine.
const SUBSCRIPTION_BYTES: usize = 96;

/// The most that `rbs` of CLIENT LIST shows, in bytes: what Redis keeps beyond that is in no buffer, but in `omem`.
const REPLY_BUFFER_MAX: usize = 16 * 1024;

/// Where a client comes from, as its connection knows.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Address and port of the client.
    pub addr: String,
    /// Address and port it reached.
    pub laddr: String,
    /// File descriptor of the connection.
    pub fd: i32,
    /// Buffers of the connection, kept up to date by it.
    pub gauges: Arc<ConnectionGauges>,
}

impl Peer {
    /// Whether the connection comes from this machine.
    pub fn is_local(&self) -> bool {
        let addr = &self.addr;
        addr.starts_with("127.") || addr.starts_with("[::1]") || addr.starts_with('/') || addr.is_empty()
    }
}

/// Sizes of the buffers of a connection, in bytes.
#[derive(Debug, Default)]
pub struct ConnectionGauges {
    /// Received and not yet executed.
    pub query: AtomicUsize,
    /// Room for receiving.
    pub query_capacity: AtomicUsize,
    /// Waiting to be sent.
    pub output: AtomicUsize,
    /// Room for replies.
    pub output_capacity: AtomicUsize,
    /// Messages of others, waiting to be sent.
    pub mail: AtomicUsize,
    /// Arguments of a request that has come in only in part.
    pub arguments: AtomicUsize,
}

impl ConnectionGauges {
    /// Bytes received and not yet executed.
    pub fn query(&self) -> usize {
        self.query.load(Ordering::Relaxed)
    }

    /// Room for receiving.
    pub fn query_capacity(&self) -> usize {
        self.query_capacity.load(Ordering::Relaxed)
    }

    /// Room for replies, in bytes.
    pub fn output_capacity(&self) -> usize {
        self.output_capacity.load(Ordering::Relaxed)
    }

    /// Bytes of arguments of a request that has come in only in part.
    pub fn arguments(&self) -> usize {
        self.arguments.load(Ordering::Relaxed)
    }

    /// Bytes waiting to be sent.
    pub fn output(&self) -> usize {
        self.output.load(Ordering::Relaxed) + self.mail.load(Ordering::Relaxed)
    }
}

/// What becomes of the replies to a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ReplyMode {
    /// Sent.
    #[default]
    On,
    /// Dropped until CLIENT REPLY ON.
    Off,
    /// The next one is dropped.
    SkipNext,
    /// This one is dropped.
    Skip,
}

/// A transaction that is being queued.
#[derive(Debug, Default)]
pub(crate) struct Multi {
    pub(crate) queue: Vec<Queued>,
    /// Something was wrong while queueing, so EXEC refuses.
    pub(crate) broken: bool,
}

/// A queued command.
pub(crate) struct Queued {
    pub(crate) command: Callable,
    /// The flags of the command, or those of the script that it calls, as of then.
    pub(crate) flags: u32,
    pub(crate) args: Vec<Box<[u8]>>,
}

impl std::fmt::Debug for Queued {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} with {} arguments", self.command.full_name(), self.args.len())
    }
}

/// A watched key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watch {
    pub(crate) db: usize,
    pub(crate) key: Box<[u8]>,
    /// It was there when the watch began; what is past its date now and was not there came by SWAPDB.
    pub(crate) existed: bool,
    /// It was past its date already when the watch began, so its removal changes nothing.
    pub(crate) expired: bool,
}

/// Everything about a client.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: ClientId,
    pub(crate) peer: Peer,
    pub(crate) db: usize,
    pub(crate) protocol: Protocol,
    pub(crate) name: Box<[u8]>,
    pub(crate) library: [Box<[u8]>; 2],
    pub(crate) user: Box<[u8]>,
    pub(crate) authenticated: bool,
    /// The user may not do everything, so each command is checked.
    pub(crate) limited: bool,
    pub(crate) reply_mode: ReplyMode,
    pub(crate) multi: Option<Multi>,
    /// Its EXEC is running.
    pub(crate) in_exec: bool,
    pub(crate) watches: Vec<Watch>,
    /// A watched key changed, so EXEC does nothing.
    pub(crate) watch_failed: bool,
    pub(crate) channels: BTreeSet<Box<[u8]>>,
    pub(crate) patterns: BTreeSet<Box<[u8]>>,
    pub(crate) shard_channels: BTreeSet<Box<[u8]>>,
    /// The waiter that stands for it, while it waits.
    pub(crate) waiting: Option<u64>,
    /// A command of it is held back by CLIENT PAUSE.
    pub(crate) postponed: bool,
    /// What it said about itself before it asked for the stream.
    pub(crate) introduction: Option<Box<Introduction>>,
    /// It follows.
    pub(crate) is_replica: bool,
    /// It is no client: it stands for the link to the master.
    pub(crate) is_master: bool,
    /// What it waits for with WAIT or WAITAOF.
    pub(crate) ack_wait: Option<AckWait>,
    /// Where its last write ended: its place in the log, and its offset of replication.
    pub(crate) written: (u64, u64),
    pub(crate) tracking: Option<TrackingMode>,
    pub(crate) monitors: bool,
    /// It waits for the host to finish something.
    pub(crate) held: bool,
    pub(crate) closing: bool,
    pub(crate) no_evict: bool,
    pub(crate) no_touch: bool,
    /// Monotonic milliseconds.
    pub(crate) connected_at: u64,
    /// Monotonic milliseconds.
    pub(crate) last_used_at: u64,
    pub(crate) last_command: Option<Callable>,
}

impl std::fmt::Debug for Callable {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.full_name())
    }
}

impl Session {
    pub(crate) fn new(id: ClientId, peer: Peer, authenticated: bool, mono_ms: u64) -> Self {
        Self {
            id,
            peer,
            db: 0,
            protocol: Protocol::V2,
            name: Box::default(),
            library: Default::default(),
            user: acl::DEFAULT.into(),
            authenticated,
            limited: false,
            reply_mode: ReplyMode::On,
            multi: None,
            in_exec: false,
            watches: Vec::new(),
            watch_failed: false,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            shard_channels: BTreeSet::new(),
            waiting: None,
            postponed: false,
            introduction: None,
            is_replica: false,
            is_master: false,
            ack_wait: None,
            written: (0, 0),
            tracking: None,
            monitors: false,
            held: false,
            closing: false,
            no_evict: false,
            no_touch: false,
            connected_at: mono_ms,
            last_used_at: mono_ms,
            last_command: None,
        }
    }

    /// How many channels and patterns it listens to.
    pub(crate) fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// Whether it listens to anything.
    pub(crate) fn listens(&self) -> bool {
        self.subscriptions() + self.shard_channels.len() > 0
    }

    /// Whether it may only change its subscriptions: RESP2 has no way to tell replies from messages.
    pub(crate) fn only_listens(&self) -> bool {
        self.protocol == Protocol::V2 && self.listens()
    }

    /// Whether requests of this client need more than the straight path.
    pub(crate) fn is_special(&self) -> bool {
        !self.authenticated
            || self.limited
            || self.multi.is_some()
            || self.reply_mode != ReplyMode::On
            || self.tracking.is_some()
            || self.listens()
            || self.is_replica
    }

    /// The letters that CLIENT LIST shows as flags.
    pub(crate) fn flag_letters(&self) -> String {
        let mode = self.tracking.as_ref();
        let letters = [
            (self.is_replica, 'S'),
            (self.is_master, 'M'),
            (self.monitors, 'O'),
            (self.listens(), 'P'),
            (self.multi.is_some(), 'x'),
            (self.waiting.is_some() || self.postponed, 'b'),
            (mode.is_some(), 't'),
            (mode.is_some_and(|mode| mode.broken), 'R'),
            (mode.is_some_and(|mode| mode.broadcast), 'B'),
            (self.watch_failed, 'd'),
            (self.closing, 'c'),
            (self.peer.addr.starts_with('/'), 'U'),
            (self.no_evict, 'e'),
            (self.no_touch, 'T'),
        ];
        let set: String = letters.iter().filter(|(on, _)| *on).map(|&(_, letter)| letter).collect();
        if set.is_empty() { "N".to_owned() } else { set }
    }

    /// The class by which CLIENT LIST and KILL select.
    pub(crate) fn class(&self) -> &'static str {
        if self.is_master {
            "master"
        } else if self.monitors || self.is_replica {
            "replica"
        } else if self.listens() {
            "pubsub"
        } else {
            "normal"
        }
    }

    /// Bytes of the arguments that are queued.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.multi
            .iter()
            .flat_map(|multi| &multi.queue)
            .flat_map(|queued| &queued.args)
            .map(|arg| arg.len())
            .sum()
    }

    /// Bytes that the client takes, buffers included.
    pub(crate) fn footprint(&self) -> usize {
        let gauges = &self.peer.gauges;
        let names = [&self.channels, &self.patterns, &self.shard_channels].into_iter().flatten();
        let prefixes = self.tracking.iter().flat_map(|mode| &mode.prefixes);
        let listening: usize = names.chain(prefixes).map(|name| name.len() + SUBSCRIPTION_BYTES).sum();
        let watching: usize = self.watches.iter().map(|watch| watch.key.len() + SUBSCRIPTION_BYTES).sum();
        let buffers = gauges.query_capacity() + gauges.output_capacity().max(gauges.output());
        buffers + self.queued_bytes() + listening + watching + size_of::<Self>()
    }

    /// A line of CLIENT LIST, in the order of fields of Redis 7.
    pub(crate) fn describe(&self, now_mono: u64) -> Vec<u8> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let gauges = &self.peer.gauges;
        let queued = self.multi.as_ref().map_or(-1, |multi| multi.queue.len() as i64);
        let room = gauges.query_capacity().saturating_sub(gauges.query());
        format!(
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={} qbuf={} \
             qbuf-free={} argv-mem={} multi-mem={} rbs={} rbp={} obl=0 oll={} omem={} tot-mem={} events=r cmd={} \
             user={} redir={} resp={} lib-name={} lib-ver={}\n",
            self.id.0,
            self.peer.addr,
            self.peer.laddr,
            self.peer.fd,
            text(&self.name),
            now_mono.saturating_sub(self.connected_at) / 1000,
            now_mono.saturating_sub(self.last_used_at) / 1000,
            self.flag_letters(),
            self.db,
            self.channels.len(),
            self.patterns.len(),
            self.shard_channels.len(),
            queued,
            gauges.query(),
            room,
            gauges.arguments(),
            self.queued_bytes(),
            gauges.output_capacity().min(REPLY_BUFFER_MAX),
            gauges.output_capacity().min(REPLY_BUFFER_MAX),
            usize::from(gauges.output() > 0),
            gauges.output(),
            self.footprint(),
            self.last_command.map_or_else(|| "NULL".to_owned(), |command| command.full_name()),
            text(&self.user),
            self.tracking.as_ref().map_or(-1, |mode| mode.redirect as i64),
            if self.protocol == Protocol::V3 { 3 } else { 2 },
            text(&self.library[0]),
            text(&self.library[1]),
        )
        .into_bytes()
    }
}
