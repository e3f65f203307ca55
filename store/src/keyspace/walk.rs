//! The part of a database in a walk: what it was at one instant, read while it is being written.
//!
//! Law: a walk visits hashes in their order, whatever segments split or merge meanwhile. Before the first change at a
//! hash that the walk has not reached, what is there is written down as it is (its *image*), and the hash is noted, so
//! that the walk passes over it. What is behind the walk may change as it likes. So each entry of the beginning is
//! written exactly once, and nothing else is.
//!
//! A hash, not a key, is what is noted: should two keys share one, both images are taken at once.
//! Not here: values of very many elements (`huge.rs`), the order of databases, and where the bytes go (`rdb/walk.rs`).

use std::collections::BTreeSet;

use super::huge::HugeValues;
use super::{Database, Entry, EntryRef, Garbage, Keyspace};
use crate::rdb::{Records, Rope, is_huge};
use crate::table::{Keyed, Table};
use crate::waiting::Waiting;

/// How far a walk has come in a database.
pub(super) struct Walked {
    /// What its number was at the beginning; it may have been exchanged or emptied since. Nothing if it was empty.
    number: Option<usize>,
    /// The first hash that was not reached; nothing at the end.
    position: Option<u64>,
    /// Hashes ahead whose images were taken, or that were not there at the beginning. Ordered, because a table would
    /// stall the daemon when it grows.
    noted: BTreeSet<u64>,
    pub(super) images: Records,
    /// The huge values that are in this database now.
    pub(super) huge: HugeValues,
}

impl Walked {
    /// Of a database with this number at the beginning, or of one that was empty then.
    fn new(number: Option<usize>, images: &Records, waiting: &Waiting) -> Self {
        Self {
            number,
            position: number.map(|_| 0),
            noted: BTreeSet::new(),
            images: images.like(),
            huge: HugeValues::new(waiting),
        }
    }

    /// Of a database that was empty, in the same walk.
    pub(super) fn of_another(&self) -> Self {
        Self::new(None, &self.images, self.huge.waiting())
    }

    /// Takes the images of a hash, unless the walk was there; huge values are written later.
    pub(super) fn take_image(&mut self, table: &Table<Entry>, hash: u64) {
        if self.position.is_none_or(|position| hash < position) || !self.noted.insert(hash) {
            return;
        }
        table.with_hash(hash, |entry| {
            if let Some(number) = self.number
                && is_huge(entry.view())
            {
                self.huge.add(number, hash, entry.key());
            } else {
                self.images.entry(entry);
            }
        });
    }
}

impl Database {
    /// The number that a walk knows this database by.
    fn walked_as(&self) -> Option<usize> {
        self.walked.as_ref().and_then(|walked| walked.number)
    }

    /// Lets a walk visit the entries of the next bucket that it has to write, except huge ones, which wait for
    /// [`Self::walk_huge`]. Returns how many it looked at, the bucket counted as one; nothing at the end.
    pub(crate) fn walk_bucket(&mut self, mut visit: impl FnMut(EntryRef<'_>)) -> Option<usize> {
        let (table, walked) = (&self.table, self.walked.as_mut()?);
        let (position, number) = (walked.position?, walked.number?);
        let mut seen = 1;
        walked.position = table.walk(position, |entry| {
            seen += 1;
            // A bucket that was merged since may begin before the position.
            let hash = table.hash(entry.key());
            if hash < position || walked.noted.contains(&hash) {
                return;
            }
            if is_huge(entry.view()) {
                walked.huge.add(number, hash, entry.key());
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
    /// All databases, those included that were emptied before a walk had seen all of them.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Database> {
        self.databases.iter_mut().chain(&mut self.leaving)
    }

    /// Begins a walk over everything that is there now; `images` takes what has to be kept. Returns number, size and
    /// keys with a date of each database that is not empty.
    pub(crate) fn begin_walk(&mut self, images: &Records) -> Vec<(usize, usize, usize)> {
        let (mut sizes, waiting) = (Vec::new(), Waiting::default());
        for (number, database) in self.databases.iter_mut().enumerate() {
            if database.len() > 0 {
                sizes.push((number, database.len(), database.dated()));
                database.walked = Some(Box::new(Walked::new(Some(number), images, &waiting)));
            }
        }
        sizes
    }

    /// The database that had this number when the walk began, wherever it is now.
    pub(crate) fn walked(&mut self, number: usize) -> Option<&mut Database> {
        self.all_mut().find(|database| database.walked_as() == Some(number))
    }

    /// Takes the images that were kept since the last time, with the number of their database.
    pub(crate) fn take_images(&mut self, mut take: impl FnMut(usize, Rope)) {
        for walked in self.all_mut().filter_map(|database| database.walked.as_mut()) {
            if let Some(number) = walked.number
                && walked.images.pending() > 0
            {
                take(number, walked.images.take());
            }
        }
    }

    /// Bytes of images that wait to be taken, of what huge values keep, and of those that were removed and wait to be
    /// written.
    pub(crate) fn image_bytes(&self) -> usize {
        let all = self.databases.iter().chain(&self.leaving);
        let walked = || all.clone().filter_map(|database| database.walked.as_deref());
        let images: usize = walked().map(|walked| walked.images.pending()).sum();
        images + walked().next().map_or(0, |walked| walked.huge.waiting().sum())
    }

    /// Ends the walk. Returns what was kept for it.
    pub(crate) fn end_walk(&mut self) -> Garbage {
        let mut garbage = Garbage::default();
        self.all_mut().for_each(|database| database.let_go(&mut garbage));
        garbage.emptied = std::mem::take(&mut self.leaving);
        self.counted(garbage)
    }
}
