//! Which keys a unit changed, as far as anybody wants to know.
//!
//! Waiting and watching clients say which keys they care about. A write costs a comparison while nobody does, and a
//! look-up while somebody does.

use crate::hash::{ByteMap, HashKey};

/// A key and the number of its database.
pub(crate) type DbKey = (usize, Box<[u8]>);

/// Keys somebody cares about, and those of them that were touched.
pub(crate) struct Touched {
    /// How many care about a key, by database.
    wanted: Vec<ByteMap<u32>>,
    /// How many wanted keys there are in all.
    wanted_len: usize,
    /// Note every key.
    all: bool,
    /// Note every key, because a checker wants it.
    checked: bool,
    /// Note every key, because a client writes at a replica.
    local: bool,
    keys: Vec<DbKey>,
    /// Keys that changed with their whole database.
    swept: Vec<Swept>,
    flushed: Vec<Flushed>,
}

/// A key that changed with its whole database.
pub(crate) struct Swept {
    /// Which one.
    pub(crate) key: DbKey,
    /// Whether there was or is a value. If not, there is a key past its date: for those who watch nothing changed, and
    /// those who wait look, and find it gone.
    pub(crate) is_alive: bool,
}

/// Databases that changed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// All keys are gone.
    Emptied(usize),
    /// Two databases were exchanged.
    Swapped(usize, usize),
}

impl Touched {
    pub(crate) fn new(databases: usize, key: HashKey) -> Self {
        Self {
            wanted: (0..databases).map(|_| ByteMap::with_hasher(key)).collect(),
            wanted_len: 0,
            all: false,
            checked: false,
            local: false,
            keys: Vec::new(),
            swept: Vec::new(),
            flushed: Vec::new(),
        }
    }

    /// What was noted, without taking it.
    #[cfg(debug_assertions)]
    pub(crate) fn noted(&self) -> &[DbKey] {
        &self.keys
    }

    /// Somebody wants every key, or nobody does any more.
    pub(crate) fn note_all(&mut self, all: bool) {
        self.all = all;
    }

    /// A client writes at a replica, which wants every key, or does not any more.
    pub(crate) fn note_all_of_local_write(&mut self, all: bool) {
        self.local = all;
    }

    /// Notes every key, for ever: a checker wants it.
    #[cfg(debug_assertions)]
    pub(crate) fn note_all_for_checks(&mut self) {
        self.checked = true;
    }

    /// Somebody begins to care about a key.
    pub(crate) fn want(&mut self, db: usize, key: &[u8]) {
        self.wanted_len += 1;
        match self.wanted[db].get_mut(key) {
            Some(count) => *count += 1,
            None => {
                self.wanted[db].insert(key.into(), 1);
            }
        }
    }

    /// Somebody does not care about a key any more.
    pub(crate) fn unwant(&mut self, db: usize, key: &[u8]) {
        self.wanted_len -= 1;
        let count = self.wanted[db].get_mut(key).map_or(0, |count| {
            *count -= 1;
            *count
        });
        if count == 0 {
            self.wanted[db].remove(key);
        }
    }

    /// Notes that a key changed.
    #[inline]
    pub(crate) fn touch(&mut self, db: usize, key: &[u8]) {
        let of_interest = self.all
            || self.checked
            || self.local
            || (self.wanted_len > 0 && self.wanted[db].contains_key(key));
        if of_interest {
            self.keys.push((db, key.into()));
        }
    }

    /// Notes that a key, which somebody wants, changed with its whole database: waiting and watching clients are to
    /// know, but nobody who was told about the database.
    pub(crate) fn sweep(&mut self, db: usize, key: &[u8], is_alive: bool) {
        self.swept.push(Swept { key: (db, key.into()), is_alive });
    }

    /// What was swept since the last call.
    pub(crate) fn take_swept(&mut self) -> Vec<Swept> {
        std::mem::take(&mut self.swept)
    }

    /// Notes that a database changed as a whole.
    pub(crate) fn flush(&mut self, flushed: Flushed) {
        self.flushed.push(flushed);
    }

    /// Whether nothing was noted.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.flushed.is_empty()
    }

    /// Gives back what was taken, to be taken again.
    pub(crate) fn give_back(&mut self, keys: Vec<DbKey>, flushed: Vec<Flushed>) {
        (self.keys, self.flushed) = (keys, flushed);
    }

    /// What was noted since the last call.
    pub(crate) fn take(&mut self) -> (Vec<DbKey>, Vec<Flushed>) {
        (std::mem::take(&mut self.keys), std::mem::take(&mut self.flushed))
    }

    /// The keys of a database that somebody waits for or watches.
    pub(crate) fn wanted_in(&self, db: usize) -> Vec<Box<[u8]>> {
        self.wanted[db].keys().cloned().collect()
    }
}
