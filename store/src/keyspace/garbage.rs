//! Data that nobody needs any more.
//!
//! To free a value of a million elements takes as long as to write it, so whoever holds the lock of the engine hands it
//! on instead. What is small is freed at once: to hand it on would take longer.

use std::any::Any;
use std::fmt;

use super::walk::Walked;
use super::{Database, Entry, EntryRef, Keyspace, View};
use crate::limits::{
    FOOTPRINT_SAMPLES, FREED_ASIDE_MAX, FREED_AT_ONCE_MAX, FREED_PIECE_BYTES, LIST_NODE_ELEMENTS,
};
use crate::waiting::{Leftover, Waiting};

/// Data that nobody needs any more. Dropping it frees it, which may take long: best without the lock of the engine.
#[derive(Default)]
pub struct Garbage {
    /// Databases that were emptied.
    pub(super) emptied: Vec<Database>,
    /// Values that were removed.
    pub(super) removed: Vec<Entry>,
    /// What was kept for a walk.
    pub(super) kept: Vec<Leftover>,
    /// What databases kept for a walk.
    pub(super) walked: Vec<Walked>,
    /// What this is in the sums of all that is not freed yet. The last field: it goes when the others are freed.
    unfreed: Unfreed,
}

/// Sums of what is not freed yet, or the part of one in them.
#[derive(Default)]
pub(super) struct Unfreed {
    keys: Waiting,
    bytes: Waiting,
}

impl Garbage {
    /// Adds what else nobody needs any more.
    pub(crate) fn add(&mut self, other: impl Any + Send + Sync) {
        self.kept.push(Box::new(other));
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.emptied.is_empty() && self.removed.is_empty() && self.kept.is_empty() && self.walked.is_empty()
    }

    /// How many keys are gone with it.
    pub(crate) fn keys(&self) -> usize {
        self.removed.len() + self.emptied.iter().map(Database::len).sum::<usize>()
    }

    /// About how many bytes it takes.
    fn footprint(&self) -> usize {
        let removed = self.removed.iter().map(footprint);
        removed.chain(self.emptied.iter().map(Database::footprint)).sum()
    }
}

/// About how many bytes an entry takes.
fn footprint(entry: &Entry) -> usize {
    entry.look().footprint(FOOTPRINT_SAMPLES)
}

impl fmt::Debug for Garbage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Garbage").finish_non_exhaustive()
    }
}

impl EntryRef<'_> {
    /// About how many pieces of memory Redis would have to free for the value.
    fn pieces(self) -> usize {
        match self.view() {
            View::Integer(_) | View::Inline(_) => 1,
            // One there, but to give the pages of a long text back takes long.
            View::Raw(text) => text.footprint() / FREED_PIECE_BYTES + 1,
            View::List(list) => list.len() / LIST_NODE_ELEMENTS + 1,
            View::Set(set) if set.encoding() == "hashtable" => set.len(),
            View::Hash(hash) if hash.encoding() == "hashtable" => hash.len(),
            View::Zset(zset) if zset.encoding() == "skiplist" => zset.len(),
            View::Stream(stream) => stream.pieces(),
            View::Set(_) | View::Hash(_) | View::Zset(_) => 1,
        }
    }
}

impl Database {
    /// Frees an entry that was removed, at once or, if that takes long, later.
    #[inline]
    pub(super) fn retire(&mut self, entry: Entry) {
        let pieces = entry.look().pieces();
        if pieces > FREED_AT_ONCE_MAX && self.removed_pieces < FREED_ASIDE_MAX {
            self.removed_pieces += pieces;
            self.removed.push(entry);
        }
    }

    /// About how many bytes the table, the dates and the entries take, told from a few of them.
    fn footprint(&self) -> usize {
        let few = self.iter().take(FOOTPRINT_SAMPLES);
        let (count, bytes) =
            few.fold((0, 0), |(count, bytes), entry| (count + 1, bytes + entry.footprint(FOOTPRINT_SAMPLES)));
        self.overhead() + bytes * self.len() / usize::max(count, 1)
    }
}

impl Keyspace {
    /// Frees a database that was emptied and that no walk needs, at once or, if that takes long, later.
    pub(super) fn retire(&mut self, emptied: Database) {
        let takes_long = emptied.len() > FREED_AT_ONCE_MAX
            || emptied.iter().any(|entry| entry.pieces() > FREED_AT_ONCE_MAX);
        if takes_long && self.emptied.iter().map(Database::len).sum::<usize>() < FREED_ASIDE_MAX {
            self.emptied.push(emptied);
        }
    }

    /// Whether there is anything to free.
    pub(crate) fn has_garbage(&self) -> bool {
        !self.emptied.is_empty() || self.databases[..self.used].iter().any(|db| !db.removed.is_empty())
    }

    /// Frees what is to be freed.
    pub(crate) fn free_now(&mut self) {
        if self.has_garbage() {
            drop(self.take_garbage());
        }
    }

    /// Takes what is to be freed.
    pub(crate) fn take_garbage(&mut self) -> Garbage {
        let taken = self.databases[..self.used].iter_mut().map(|db| {
            db.removed_pieces = 0;
            std::mem::take(&mut db.removed)
        });
        let removed = taken.flatten().collect();
        let emptied = std::mem::take(&mut self.emptied);
        self.counted(Garbage { emptied, removed, ..Garbage::default() })
    }

    /// Counts garbage as not freed yet, until it is.
    pub(super) fn counted(&self, mut garbage: Garbage) -> Garbage {
        let (keys, bytes) = (garbage.keys(), garbage.footprint());
        garbage.unfreed = Unfreed { keys: self.unfreed.keys.another(), bytes: self.unfreed.bytes.another() };
        garbage.unfreed.keys.add(keys);
        garbage.unfreed.bytes.add(bytes);
        garbage
    }

    /// Keys that were handed on and are not freed yet.
    pub(crate) fn unfreed_keys(&self) -> usize {
        self.unfreed.keys.sum()
    }

    /// About how many bytes are to be freed, handed on or not.
    pub(crate) fn unfreed_bytes(&self) -> usize {
        let mut bytes = self.unfreed.bytes.sum();
        if self.has_garbage() {
            let removed = self.databases[..self.used].iter().flat_map(|db| &db.removed);
            bytes += removed.map(footprint).sum::<usize>();
            bytes += self.emptied.iter().map(Database::footprint).sum::<usize>();
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::HashKey;
    use crate::keyspace::{DateChange, Mark, Value};
    use crate::types::Thresholds;
    use crate::types::set::Set;

    const HASH_KEY: HashKey = HashKey::new(1, 2);
    const MARK: Mark = Mark { date: DateChange::Keep, access: 0, keep_access: false };

    fn keyspace() -> Keyspace {
        Keyspace::new(2, HASH_KEY)
    }

    fn set_of(members: usize) -> Value {
        let mut set = Set::new();
        for nth in 0..members {
            set.insert(format!("member {nth}").as_bytes(), &Thresholds::default(), HASH_KEY);
        }
        Value::Set(set)
    }

    fn put(keyspace: &mut Keyspace, key: &[u8], members: usize) {
        let database = keyspace.db_mut(0);
        database.set_value(database.hash(key), key, set_of(members), MARK);
    }

    fn discard(keyspace: &mut Keyspace, key: &[u8]) {
        let database = keyspace.db_mut(0);
        database.discard(database.hash(key), key);
    }

    #[test]
    fn big_values_are_handed_on_however_they_go() {
        let mut keyspace = keyspace();
        for key in [b"a", b"b", b"c", b"d"] {
            put(&mut keyspace, key, 1000);
        }
        discard(&mut keyspace, b"a");
        let database = keyspace.db_mut(0);
        database.set_text(database.hash(b"b"), b"b", b"small", MARK);
        put(&mut keyspace, b"c", 3);
        assert!(keyspace.has_garbage());
        let bytes = keyspace.unfreed_bytes();
        assert!(bytes > 3 * 1000 * 10, "{bytes} bytes");
        let garbage = keyspace.take_garbage();
        assert_eq!((garbage.keys(), keyspace.has_garbage()), (3, false));
        assert_eq!((keyspace.unfreed_keys(), keyspace.unfreed_bytes()), (3, bytes));
        drop(garbage);
        assert_eq!((keyspace.unfreed_keys(), keyspace.unfreed_bytes()), (0, 0));
    }

    #[test]
    fn long_texts_are_handed_on_as_well() {
        let mut keyspace = keyspace();
        for (len, keys) in [(FREED_AT_ONCE_MAX * FREED_PIECE_BYTES / 2, 0), (4 << 20, 1)] {
            let database = keyspace.db_mut(0);
            database.set_text(database.hash(b"text"), b"text", &vec![b'x'; len], MARK);
            discard(&mut keyspace, b"text");
            assert_eq!(keyspace.take_garbage().keys(), keys, "{len} bytes");
        }
    }

    #[test]
    fn small_values_are_freed_at_once() {
        let mut keyspace = keyspace();
        put(&mut keyspace, b"a", 10);
        discard(&mut keyspace, b"a");
        put(&mut keyspace, b"a", 10);
        assert_eq!(keyspace.empty(0), 1);
        assert!(!keyspace.has_garbage());
    }

    #[test]
    fn a_database_that_is_emptied_is_handed_on_if_anything_in_it_is_big_or_if_there_is_much_of_it() {
        let mut keyspace = keyspace();
        put(&mut keyspace, b"one big value", 1000);
        keyspace.empty(0);
        assert_eq!(keyspace.take_garbage().keys(), 1);
        for nth in 0..100 {
            put(&mut keyspace, format!("{nth}").as_bytes(), 1);
        }
        keyspace.empty(0);
        assert_eq!(keyspace.take_garbage().keys(), 100);
    }

    #[test]
    fn who_removes_without_end_frees_it_himself() {
        let mut keyspace = keyspace();
        let rounds = FREED_ASIDE_MAX / 50_000 + 10;
        for _ in 0..rounds {
            put(&mut keyspace, b"a", 50_000);
        }
        let garbage = keyspace.take_garbage();
        assert!(garbage.keys() < rounds - 5, "{} of {rounds}", garbage.keys());
        // And afterwards it is as before.
        put(&mut keyspace, b"a", 1);
        assert_eq!(keyspace.take_garbage().keys(), 1);
    }

    #[test]
    fn what_was_removed_before_a_database_was_emptied_or_moved_is_still_freed() {
        let mut keyspace = keyspace();
        put(&mut keyspace, b"a", 1000);
        discard(&mut keyspace, b"a");
        keyspace.empty(0);
        keyspace.swap(0, 1);
        assert_eq!(keyspace.take_garbage().keys(), 1);
    }
}
