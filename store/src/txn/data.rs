//! What transactions work on: keys, the stream of effects, and the notes of the unit that is going on.

use super::access::Access;
use super::{DbKey, Event, EventMask, Feed, Touched};
use crate::hash::HashKey;
use crate::keyspace::Keyspace;
use crate::limits::RESERVED_PACKED_VALUE_MAX;
use crate::rdb::Output;
use crate::types::Thresholds;

/// Everything a [`super::Txn`] can reach.
pub(crate) struct Data {
    pub(crate) keyspace: Keyspace,
    pub(crate) feed: Feed,
    pub(crate) rng: fastrand::Rng,
    pub(crate) counters: DataCounters,
    pub(crate) limits: DataLimits,
    /// The command at hand stated something in place of itself.
    pub(crate) restated: bool,
    /// Changes since the last snapshot.
    pub(crate) dirty: u64,
    /// All databases were emptied at once: a snapshot that is being written is not wanted any more.
    pub(crate) emptied_all: bool,
    pub(crate) touched: Touched,
    pub(crate) events_wanted: EventMask,
    pub(crate) events: Vec<Event>,
    pub(crate) hints: Hints,
    /// Keys with this prefix are the extension's.
    pub(crate) reserved: &'static [u8],
    /// Those of them that are gone because of their dates.
    pub(crate) expired_reserved: Vec<DbKey>,
    /// What accesses leave at entries.
    pub(crate) access: Access,
    /// Nothing disappears on its own: clients are paused. Keys past their date are there, but nobody sees them.
    pub(crate) frozen: bool,
    /// Whether the client asked to leave no traces of access (CLIENT NO-TOUCH).
    pub(crate) quiet: bool,
    /// Whether the client may not read every key, although the command might lead to any.
    pub(crate) keys_limited: bool,
    /// A script runs the command at hand.
    pub(crate) in_script: bool,
    /// Writes values as bytes.
    pub(crate) output: Output,
    /// Why payloads of the unit that is going on were refused, for the log of the daemon.
    pub(crate) notes: Vec<String>,
    /// The checksums of dumps are not looked at: DEBUG SET-SKIP-CHECKSUM-VALIDATION.
    pub(crate) trusts_dumps: bool,
}

/// Counts of what happened to keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct DataCounters {
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Keys that disappeared because of their date.
    pub expired: u64,
    /// Fields of hashes that disappeared because of their date.
    pub expired_fields: u64,
    /// Keys removed to make room.
    pub evicted: u64,
    /// Keys that were removed and handed on, for somebody to free them.
    pub handed_on: u64,
    /// Payloads of RESTORE that were read.
    pub payloads: u64,
}

/// What the configuration says about data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DataLimits {
    pub(crate) thresholds: Thresholds,
    /// Longest string in bytes.
    pub(crate) bulk_max: usize,
    /// It is left to others to free big values whose date has come.
    pub(crate) frees_expired_aside: bool,
    /// DEL leaves it to others to free big values, as UNLINK does.
    pub(crate) frees_deleted_aside: bool,
    /// FLUSHALL and FLUSHDB do so, unless told otherwise.
    pub(crate) frees_flushed_aside: bool,
}

/// Longest key of which [`Hints`] keeps a copy.
const KEPT_KEY_MAX: usize = 64;

/// Hashes of keys that were computed ahead of time.
pub(crate) struct Hints {
    key: (usize, usize),
    hash: u64,
    /// The key to which an extension comes back, its length (one that no key has if there is none), and its hash.
    kept: [u8; KEPT_KEY_MAX],
    kept_len: usize,
    kept_hash: u64,
}

impl Default for Hints {
    fn default() -> Self {
        Self { key: (0, 0), hash: 0, kept: [0; KEPT_KEY_MAX], kept_len: usize::MAX, kept_hash: 0 }
    }
}

impl Hints {
    /// Says that the key in these bytes has this hash, until told otherwise. The bytes must stay where they are.
    #[inline]
    pub(crate) fn set(&mut self, key: &[u8], hash: u64) {
        self.key = (key.as_ptr().addr(), key.len());
        self.hash = hash;
    }

    /// Forgets what was said.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.key = (0, 0);
    }

    /// Keeps the hash of a key, wherever its bytes lie, until that of another one is kept.
    fn keep(&mut self, key: &[u8], hash: u64) {
        if let Some(kept) = self.kept.get_mut(..key.len()) {
            kept.copy_from_slice(key);
            (self.kept_len, self.kept_hash) = (key.len(), hash);
        }
    }

    #[inline]
    pub(crate) fn hash(&self, keyspace: &Keyspace, db: usize, key: &[u8]) -> u64 {
        if self.key == (key.as_ptr().addr(), key.len()) {
            self.hash
        } else if self.kept_len == key.len() && self.kept[..key.len()] == *key {
            self.kept_hash
        } else {
            keyspace.db(db).hash(key)
        }
    }
}

impl Data {
    pub(crate) fn new(databases: usize, key: HashKey, seed: u64) -> Self {
        Self {
            keyspace: Keyspace::new(databases, key),
            feed: Feed::default(),
            rng: fastrand::Rng::with_seed(seed),
            counters: DataCounters::default(),
            limits: DataLimits {
                thresholds: Thresholds::default(),
                bulk_max: 512 << 20,
                frees_expired_aside: true,
                frees_deleted_aside: true,
                frees_flushed_aside: true,
            },
            restated: false,
            dirty: 0,
            emptied_all: false,
            touched: Touched::new(databases, key),
            events_wanted: EventMask::default(),
            events: Vec::new(),
            hints: Hints::default(),
            reserved: b"\0",
            expired_reserved: Vec::new(),
            access: Access::default(),
            frozen: false,
            quiet: false,
            keys_limited: false,
            in_script: false,
            output: Output::default(),
            notes: Vec::new(),
            trusts_dumps: false,
        }
    }

    /// What the hash at a key has to know to grow; see [`super::Txn::hash_setup`].
    pub(crate) fn hash_setup(&self, key: &[u8]) -> (Thresholds, HashKey) {
        let mut limits = self.limits.thresholds;
        if key.starts_with(self.reserved) {
            limits.hash_value = limits.hash_value.max(RESERVED_PACKED_VALUE_MAX);
        }
        (limits, self.keyspace.hash_key())
    }

    /// Says that several look-ups of a key follow, so that its hash is computed once.
    pub(crate) fn keep_hash(&mut self, key: &[u8]) {
        // All databases share one secret.
        let hash = self.keyspace.db(0).hash(key);
        self.hints.keep(key, hash);
    }

    /// The hash of a key; all databases share one secret, so it is the same in each.
    #[inline]
    pub(crate) fn hash(&self, db: usize, key: &[u8]) -> u64 {
        self.hints.hash(&self.keyspace, db, key)
    }
}
