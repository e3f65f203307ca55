//! What the engine knows about a client.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::command::index::Callable;
use crate::resp::reply::Protocol;

/// The number of a client: never used twice, shown by CLIENT ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

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

/// Sizes of the buffers of a connection, in bytes.
#[derive(Debug, Default)]
pub struct ConnectionGauges {
    /// Received and not yet executed.
    pub query: AtomicUsize,
    /// Room for receiving.
    pub query_capacity: AtomicUsize,
    /// Waiting to be sent.
    pub output: AtomicUsize,
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

    /// Bytes waiting to be sent.
    pub fn output(&self) -> usize {
        self.output.load(Ordering::Relaxed)
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
    pub(crate) authenticated: bool,
    pub(crate) reply_mode: ReplyMode,
    pub(crate) multi: Option<Multi>,
    pub(crate) watches: Vec<Watch>,
    /// A watched key changed, so EXEC does nothing.
    pub(crate) watch_failed: bool,
    pub(crate) channels: BTreeSet<Box<[u8]>>,
    pub(crate) patterns: BTreeSet<Box<[u8]>>,
    pub(crate) shard_channels: BTreeSet<Box<[u8]>>,
    /// The waiter that stands for it, while it waits.
    pub(crate) waiting: Option<u64>,
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
            authenticated,
            reply_mode: ReplyMode::On,
            multi: None,
            watches: Vec::new(),
            watch_failed: false,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            shard_channels: BTreeSet::new(),
            waiting: None,
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

    /// Whether it may only change its subscriptions: RESP2 has no way to tell replies from messages.
    pub(crate) fn only_listens(&self) -> bool {
        self.protocol == Protocol::V2 && self.subscriptions() + self.shard_channels.len() > 0
    }

    /// Whether requests of this client need more than the straight path.
    pub(crate) fn is_special(&self) -> bool {
        !self.authenticated
            || self.multi.is_some()
            || self.reply_mode != ReplyMode::On
            || self.no_touch
            || self.subscriptions() + self.shard_channels.len() > 0
    }

    /// The letters that CLIENT LIST shows as flags.
    pub(crate) fn flag_letters(&self) -> String {
        let letters = [
            (self.subscriptions() + self.shard_channels.len() > 0, 'P'),
            (self.multi.is_some(), 'x'),
            (self.waiting.is_some(), 'b'),
            (self.watch_failed, 'd'),
            (self.closing, 'c'),
            (self.no_evict, 'e'),
            (self.no_touch, 'T'),
        ];
        let set: String = letters.iter().filter(|(on, _)| *on).map(|&(_, letter)| letter).collect();
        if set.is_empty() { "N".to_owned() } else { set }
    }
}
