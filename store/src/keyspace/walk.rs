//! The part of a database in a walk: what it was at one instant, read while it is being written.
//!
//! Law: a walk visits hashes in their order, whatever segments split or merge meanwhile. Before the first change at a
//! hash that the walk has not reached, what is there is written down as it is (its *image*), and the hash is noted, so
//! that the walk passes over it. What is behind the walk may change as it likes. So each entry of the beginning is
//! written exactly once, and nothing else is.
//!
//! A value of very many elements is written in parts: the walk goes on behind it only when it is whole, and images wait
//! as long. If it changes in between, what is left of it is written at once, before the change. If it is removed or
//! replaced, the walk keeps it, and whoever does so waits for nothing.
//!
//! A hash, not a key, is what is noted: should two keys share one, both images are taken at once.
//! Not here: the order of databases, and where the bytes go (`rdb/walk.rs`).

use std::collections::{BTreeSet, VecDeque};

use super::{Database, Entry, EntryRef, Keyspace, Value, unfile};
use crate::rdb::{Progress, Records, is_huge};
use crate::table::{Item, Keyed, Table};

/// Elements of a removed value that are looked at, to say how many bytes it takes.
const FOOTPRINT_SAMPLES: usize = 5;

/// How far a walk has come in a database.
pub(crate) struct Walked {
    /// What its number was at the beginning; it may have been exchanged or emptied since.
    number: usize,
    /// The first hash that was not reached; nothing at the end.
    position: Option<u64>,
    /// Hashes ahead whose images were taken, or that were not there at the beginning. Ordered, because a table would
    /// stall the daemon when it grows.
    noted: BTreeSet<u64>,
    images: Records,
    /// Huge values that the walk came to, with their hashes; only the first one may have been begun.
    huge: VecDeque<Huge>,
    /// What was left of the huge value that was begun, when it was about to change.
    rest: Option<Records>,
    /// Huge values that were removed from their keys and are written now: what is left is to free them.
    written: Vec<Entry>,
}

/// A huge value that is being written, or will be next.
struct Huge {
    hash: u64,
    key: Box<[u8]>,
    /// How far it is written; nothing if it was not begun.
    progress: Option<Progress>,
    /// The value, if it was removed from its key, and the bytes that it takes, about.
    removed: Option<(Entry, usize)>,
}

impl Walked {
    fn before_change(&mut self, table: &Table<Entry>, hash: u64) {
        if self.position.is_some_and(|position| hash >= position) {
            if self.noted.insert(hash) {
                table.with_hash(hash, |entry| self.images.entry(entry));
            }
        } else if !self.huge.is_empty() {
            self.finish_huge(table, hash);
        }
    }

    /// Writes at once what is left of huge values at a hash.
    fn finish_huge(&mut self, table: &Table<Entry>, hash: u64) {
        while let Some(at) = self.huge.iter().position(|huge| huge.hash == hash && huge.removed.is_none()) {
            let Some(huge) = self.huge.remove(at) else { return };
            let Some(entry) = table.find(hash, &huge.key) else { return };
            match huge.progress {
                None => self.images.entry(entry),
                Some(progress) => {
                    let mut rest = self.images.like();
                    let left = rest.go_on(entry, progress, usize::MAX);
                    debug_assert!(left.is_none(), "all of it is written");
                    self.rest = Some(rest);
                }
            }
        }
    }

    /// Whether a value is huge and was not written yet. If so it is among those that are written next.
    fn wants(&mut self, table: &Table<Entry>, hash: u64, key: &[u8]) -> bool {
        if !table.find(hash, key).is_some_and(|entry| is_huge(entry.view())) {
            return false;
        }
        if self.position.is_none_or(|position| hash < position) {
            return self.huge.iter().any(|huge| huge.is_at(hash, key));
        }
        let is_wanted = self.noted.insert(hash);
        if is_wanted {
            table.with_hash(hash, |entry| {
                if entry.key() != key {
                    self.images.entry(entry);
                }
            });
            self.huge.push_back(Huge { hash, key: key.into(), progress: None, removed: None });
        }
        is_wanted
    }

    /// Keeps a value that was removed from its key.
    fn keep(&mut self, hash: u64, key: &[u8], entry: Entry) {
        if let Some(huge) = self.huge.iter_mut().find(|huge| huge.is_at(hash, key)) {
            let bytes = entry.view().footprint(FOOTPRINT_SAMPLES);
            huge.removed = Some((entry, bytes));
        }
    }
}

impl Huge {
    /// Whether it is at a key still.
    fn is_at(&self, hash: u64, key: &[u8]) -> bool {
        self.removed.is_none() && self.hash == hash && *self.key == *key
    }
}

impl Database {
    /// Whatever is about to change at a hash: a walk that is under way keeps what is there.
    #[inline]
    pub(super) fn before_change(&mut self, hash: u64) {
        if let Some(walked) = &mut self.walked {
            walked.before_change(&self.table, hash);
        }
    }

    /// The value of a key is about to be removed or replaced: a walk that is under way keeps what is there.
    #[inline]
    pub(super) fn before_replacement(&mut self, hash: u64, key: &[u8]) {
        if self.walked.is_some() {
            self.give_to_walk(hash, key);
        }
    }

    /// Gives the walk what is there. In its place a number stays, with the same date.
    #[inline(never)]
    fn give_to_walk(&mut self, hash: u64, key: &[u8]) {
        let Some(walked) = &mut self.walked else { return };
        if walked.wants(&self.table, hash, key)
            && let Some(mut found) = self.table.find_mut(hash, key)
        {
            unfile(&mut self.field_dates, found.view(), hash);
            let look = found.view();
            let (date, access) = (look.expires_at(), look.access());
            let stand_in = Entry::new(key, Value::Integer(0), date);
            let entry = found.update(|entry| std::mem::replace(entry, stand_in));
            found.view().set_access(access);
            walked.keep(hash, key, entry);
        }
        self.before_change(hash);
    }

    /// The number that a walk knows this database by.
    fn walked_as(&self) -> Option<usize> {
        self.walked.as_ref().map(|walked| walked.number)
    }

    /// Writes the next part of a huge value that the walk came to, of about so many elements. Says whether it was the
    /// last one; nothing if there is no such value.
    pub(crate) fn walk_huge(&mut self, records: &mut Records, elements: usize) -> Option<bool> {
        let (table, walked) = (&self.table, self.walked.as_mut()?);
        if let Some(mut rest) = walked.rest.take() {
            records.bytes(&rest.take());
            return Some(true);
        }
        let huge = walked.huge.front_mut()?;
        let entry = match &huge.removed {
            Some((entry, _)) => Some(entry.view()),
            None => table.find(huge.hash, &huge.key),
        };
        huge.progress = entry.and_then(|entry| {
            let progress = huge.progress.or_else(|| records.begin_huge(entry))?;
            records.go_on(entry, progress, elements)
        });
        let is_last = huge.progress.is_none();
        if is_last && let Some(huge) = walked.huge.pop_front() {
            walked.written.extend(huge.removed.map(|(entry, _)| entry));
        }
        Some(is_last)
    }

    /// Lets a walk visit the entries of the next bucket that it has to write, except huge ones, which wait for
    /// [`Self::walk_huge`]. Returns how many it looked at, the bucket counted as one; nothing at the end.
    pub(crate) fn walk_bucket(&mut self, mut visit: impl FnMut(EntryRef<'_>)) -> Option<usize> {
        let (table, walked) = (&self.table, self.walked.as_mut()?);
        let position = walked.position?;
        let mut seen = 1;
        walked.position = table.walk(position, |entry| {
            seen += 1;
            // A bucket that was merged since may begin before the position.
            let hash = table.hash(entry.key());
            if hash < position || walked.noted.contains(&hash) {
                return;
            }
            if is_huge(entry.view()) {
                walked.huge.push_back(Huge { hash, key: entry.key().into(), progress: None, removed: None });
            } else {
                visit(entry);
            }
        });
        let is_behind = |hash: &u64| walked.position.is_none_or(|position| *hash < position);
        while walked.noted.first().is_some_and(is_behind) {
            walked.noted.pop_first();
        }
        Some(seen)
    }
}

impl Keyspace {
    /// Begins a walk over everything that is there now; `images` takes what has to be kept. Returns number, size and
    /// keys with a date of each database that is not empty.
    pub(crate) fn begin_walk(&mut self, images: &Records) -> Vec<(usize, usize, usize)> {
        let mut sizes = Vec::new();
        for (number, database) in self.databases.iter_mut().enumerate() {
            if database.len() > 0 {
                sizes.push((number, database.len(), database.dated()));
                database.walked = Some(Box::new(Walked {
                    number,
                    position: Some(0),
                    noted: BTreeSet::new(),
                    images: images.like(),
                    huge: VecDeque::new(),
                    rest: None,
                    written: Vec::new(),
                }));
            }
        }
        sizes
    }

    /// The database that had this number when the walk began, wherever it is now.
    pub(crate) fn walked(&mut self, number: usize) -> Option<&mut Database> {
        let mut all = self.databases.iter_mut().chain(&mut self.leaving);
        all.find(|database| database.walked_as() == Some(number))
    }

    /// Takes the images that were kept since the last time, with the number of their database.
    pub(crate) fn take_images(&mut self, mut take: impl FnMut(usize, &[u8])) {
        let all = self.databases.iter_mut().chain(&mut self.leaving);
        for walked in all.filter_map(|database| database.walked.as_mut()) {
            if walked.images.pending() > 0 {
                take(walked.number, &walked.images.take());
            }
        }
    }

    /// Takes the huge values that were removed and are written: freeing them takes time.
    pub(crate) fn take_written(&mut self) -> Vec<Entry> {
        let all = self.databases.iter_mut().chain(&mut self.leaving);
        let walked = all.filter_map(|database| database.walked.as_mut());
        walked.flat_map(|walked| std::mem::take(&mut walked.written)).collect()
    }

    /// Bytes of images that wait to be taken, and of values that were removed and wait to be written.
    pub(crate) fn image_bytes(&self) -> usize {
        let all = self.databases.iter().chain(&self.leaving);
        let bytes = |walked: &Walked| {
            let removed: usize = walked.huge.iter().filter_map(|huge| Some(huge.removed.as_ref()?.1)).sum();
            walked.images.pending() + walked.rest.as_ref().map_or(0, Records::pending) + removed
        };
        all.filter_map(|database| database.walked.as_deref()).map(bytes).sum()
    }

    /// Ends the walk. Returns what was emptied meanwhile: freeing it takes time.
    pub(crate) fn end_walk(&mut self) -> Vec<Database> {
        self.databases.iter_mut().for_each(|database| database.walked = None);
        std::mem::take(&mut self.leaving)
    }
}
