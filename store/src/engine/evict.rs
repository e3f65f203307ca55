//! Eviction: what goes when `maxmemory` is reached.
//!
//! Law: keys of the extension never go, whatever the policy says; a policy that finds nothing else lets writes fail.
//! As Redis does, a few keys are sampled and the best of them go, with the best of earlier samples kept for the next
//! time; `volatile-ttl` needs no samples, because dates are in order here.

use super::Engine;
use crate::limits::{EVICT_PER_COMMAND, EVICT_SAMPLE_TRIES, FOOTPRINT_SAMPLES};
use crate::table::Keyed;
use crate::txn::AccessMode;

/// Candidates that are kept.
const POOL: usize = 16;

/// Which keys may go, and which of them go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Only keys with a date.
    only_dated: bool,
    order: Order,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    /// Nothing goes.
    #[default]
    Never,
    LeastRecent,
    LeastFrequent,
    NearestDate,
    Chance,
}

impl Policy {
    /// The policy of this name.
    pub(crate) fn named(name: &str) -> Self {
        let (scope, order) = name.split_once('-').unwrap_or((name, ""));
        let order = match order {
            "lru" => Order::LeastRecent,
            "lfu" => Order::LeastFrequent,
            "ttl" => Order::NearestDate,
            "random" => Order::Chance,
            _ => Order::Never,
        };
        Self { only_dated: scope == "volatile", order }
    }

    /// What accesses leave at keys.
    pub(crate) fn access_mode(self) -> AccessMode {
        match self.order {
            Order::LeastFrequent => AccessMode::Frequency,
            Order::LeastRecent => AccessMode::Time { shares_integers: false },
            _ => AccessMode::Time { shares_integers: true },
        }
    }
}

/// A key that may go: the higher the score, the sooner.
struct Candidate {
    score: u32,
    db: usize,
    key: Box<[u8]>,
}

/// The best candidates so far, the best last.
#[derive(Default)]
pub(crate) struct Pool {
    candidates: Vec<Candidate>,
}

impl Pool {
    /// Forgets all: scores of another policy mean nothing.
    pub(crate) fn clear(&mut self) {
        self.candidates.clear();
    }

    fn add(&mut self, score: u32, db: usize, key: &[u8]) {
        if self.candidates.iter().any(|known| known.db == db && *known.key == *key) {
            return;
        }
        let at = self.candidates.partition_point(|known| known.score < score);
        if at == 0 && self.candidates.len() >= POOL {
            return;
        }
        self.candidates.insert(at, Candidate { score, db, key: key.into() });
        if self.candidates.len() > POOL {
            self.candidates.remove(0);
        }
    }
}

impl Engine {
    /// Bytes beyond the limit. What clients take that are gone already, but whose connections still end, is as good as
    /// free, and so is what is being freed; so is what waits to be written into a snapshot, or evicting a key would
    /// free nothing; and so is what slow replicas still have to get, or evicting keys would make it more.
    fn excess(&self) -> usize {
        match usize::try_from(self.config.maxmemory()) {
            Ok(limit @ 1..) => {
                let leaving: usize = self.leaving.values().sum();
                let waiting = if self.walk.is_some() { self.walk_bytes_waiting() } else { 0 };
                let unfreed = self.data.keyspace.unfreed_bytes();
                let apart = leaving + waiting + unfreed + self.bytes_not_counted() as usize;
                self.host.memory_used().saturating_sub(apart).saturating_sub(limit)
            }
            _ => 0,
        }
    }

    /// Whether more memory is taken than allowed.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        self.excess() > 0
    }

    /// Makes room, as the policy allows; says whether there is too little still.
    pub(super) fn make_room(&mut self) -> bool {
        let mut excess = self.excess();
        if excess == 0 {
            return false;
        }
        if self.policy.order == Order::Never || self.data.frozen {
            return true;
        }
        let began = self.host.stopwatch_ns();
        for _ in 0..EVICT_PER_COMMAND {
            let Some((db, key)) = self.next_victim() else {
                self.end_eviction();
                return true;
            };
            // Only what the key itself gives back counts: telling others that it is gone takes memory again, and must
            // not drive out more keys.
            let footprint =
                self.txn(db).raw_entry(&key).map_or(0, |entry| entry.footprint(FOOTPRINT_SAMPLES));
            let before = self.host.memory_used();
            self.txn(db).evict(&key);
            // Now: it is needed for the next command.
            self.data.keyspace.free_now();
            excess = excess.saturating_sub(before.saturating_sub(self.host.memory_used()).max(footprint));
            if excess == 0 {
                break;
            }
        }
        self.end_eviction();
        let took = self.host.stopwatch_ns().saturating_sub(began);
        self.note_latency("eviction-cycle", took);
        // If the bound was reached, the next command goes on; this one need not fail.
        false
    }

    /// Ends the unit of an eviction: keys that go have nothing to do with each other.
    fn end_eviction(&mut self) {
        self.data.feed.loosen_unit();
        self.end_unit();
    }

    fn next_victim(&mut self) -> Option<(usize, Box<[u8]>)> {
        match self.policy.order {
            Order::Never => None,
            Order::NearestDate => {
                let databases = (0..self.data.keyspace.count()).map(|db| (db, self.data.keyspace.db(db)));
                let reserved = self.data.reserved;
                let nearest = databases.filter_map(|(db, database)| {
                    database.first_dated(|key| !key.starts_with(reserved)).map(|(date, key)| (date, db, key))
                });
                nearest.min().map(|(_, db, key)| (db, key))
            }
            Order::Chance => self.sampled(1).into_iter().next().map(|(_, db, key)| (db, key)),
            Order::LeastRecent | Order::LeastFrequent => {
                // A candidate may be gone, or have been used since it was sampled.
                for _ in 0..POOL {
                    for (score, db, key) in self.sampled(self.config.size("maxmemory-samples")) {
                        self.eviction_pool.add(score, db, &key);
                    }
                    while let Some(Candidate { db, key, .. }) = self.eviction_pool.candidates.pop() {
                        if self.is_evictable(db, &key) {
                            return Some((db, key));
                        }
                    }
                }
                None
            }
        }
    }

    fn is_evictable(&self, db: usize, key: &[u8]) -> bool {
        let database = self.data.keyspace.db(db);
        let found = database.find(database.hash(key), key);
        found.is_some_and(|entry| !self.policy.only_dated || entry.expires_at().is_some())
    }

    /// Up to `count` keys of each database that may go, with their scores.
    fn sampled(&mut self, count: usize) -> Vec<(u32, usize, Box<[u8]>)> {
        let data = &mut self.data;
        let mut found = Vec::new();
        let first = data.rng.usize(..data.keyspace.count());
        for nth in 0..data.keyspace.count() {
            let db = (first + nth) % data.keyspace.count();
            let database = data.keyspace.db(db);
            let mut chosen = 0;
            for _ in 0..count * EVICT_SAMPLE_TRIES {
                let Some(entry) = database.sample(&mut data.rng) else { break };
                let allowed = !self.policy.only_dated || entry.expires_at().is_some();
                if allowed && !entry.key().starts_with(data.reserved) {
                    found.push((data.access.score(entry.access()), db, entry.key().into()));
                    chosen += 1;
                    if chosen == count {
                        break;
                    }
                }
            }
            if chosen == 0 && self.policy.only_dated {
                // Keys with a date are rare here: take them from the index of dates.
                let reserved = data.reserved;
                if let Some((_, key)) = database.first_dated(|key| !key.starts_with(reserved)) {
                    let access = database.find(database.hash(&key), &key).map_or(0, |entry| entry.access());
                    found.push((data.access.score(access), db, key));
                }
            }
            if count == 1 && !found.is_empty() {
                break;
            }
        }
        found
    }
}
