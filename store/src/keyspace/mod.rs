//! The keyspace: numbered databases of keys, and the dates on which keys expire.
//!
//! Law: plain storage. Nothing here decides, logs or notifies; [`crate::txn`] does, and is the only caller that writes.

pub(crate) mod digest;
mod duplicate;
mod entry;
mod garbage;
mod huge;
mod walk;

use std::collections::BTreeSet;

pub(crate) use entry::{Entry, EntryMut, EntryRef, Value, View, ViewMut};
pub use garbage::Garbage;
use garbage::Unfreed;
use walk::Walked;

use crate::hash::HashKey;
use crate::limits::DATED_SEARCH_MAX;
use crate::table::{Keyed, Occupied, Table};
use crate::time::sooner;

/// All databases.
pub(crate) struct Keyspace {
    databases: Vec<Database>,
    /// Databases from this number on were never written; most daemons use the first one only.
    used: usize,
    /// What was emptied before a walk had seen all of it.
    leaving: Vec<Database>,
    /// What was emptied and is to be freed.
    emptied: Vec<Database>,
    unfreed: Unfreed,
    key: HashKey,
}

/// One database.
pub(crate) struct Database {
    table: Table<Entry>,
    /// Date and hash of every key that has a date, the next one first.
    dates: BTreeSet<(u64, u64)>,
    /// Sum of all dates, for the average that INFO reports.
    date_sum: u128,
    /// For every hash of which fields have dates, the next such date and the hash of the key.
    field_dates: BTreeSet<(u64, u64)>,
    /// How far a walk has come that reads this database as it was when the walk began.
    walked: Option<Box<Walked>>,
    /// Entries that were removed and are to be freed, and the pieces of all of them.
    removed: Vec<Entry>,
    removed_pieces: usize,
}

impl Keyspace {
    /// `count` empty databases.
    pub(crate) fn new(count: usize, key: HashKey) -> Self {
        Self {
            databases: (0..count).map(|_| Database::new(key)).collect(),
            used: 0,
            leaving: Vec::new(),
            emptied: Vec::new(),
            unfreed: Unfreed::default(),
            key,
        }
    }

    /// How many databases there are.
    pub(crate) fn count(&self) -> usize {
        self.databases.len()
    }

    /// The secret of its hashes.
    pub(crate) fn hash_key(&self) -> HashKey {
        self.key
    }

    /// A database by number.
    #[inline]
    pub(crate) fn db(&self, index: usize) -> &Database {
        &self.databases[index]
    }

    /// A database by number, to be changed.
    #[inline]
    pub(crate) fn db_mut(&mut self, index: usize) -> &mut Database {
        self.used = self.used.max(index + 1);
        &mut self.databases[index]
    }

    /// Exchanges two databases.
    pub(crate) fn swap(&mut self, a: usize, b: usize) {
        self.used = self.used.max(a.max(b) + 1);
        self.databases.swap(a, b);
    }

    /// The earliest date on which any key, or any field of a hash, expires.
    pub(crate) fn next_date(&self) -> Option<u64> {
        self.databases[..self.used].iter().map(Database::next_date).fold(None, sooner)
    }

    /// Empties a database; returns how many keys were in it. What a walk has to see yet is freed when it has.
    pub(crate) fn empty(&mut self, index: usize) -> usize {
        let mut emptied = std::mem::replace(&mut self.databases[index], Database::new(self.key));
        self.databases[index].removed = std::mem::take(&mut emptied.removed);
        self.databases[index].removed_pieces = emptied.removed_pieces;
        let count = emptied.len();
        if emptied.walked.is_some() {
            self.leaving.push(emptied);
        } else {
            self.retire(emptied);
        }
        count
    }
}

impl Database {
    fn new(key: HashKey) -> Self {
        Self {
            table: Table::new(key),
            dates: BTreeSet::new(),
            date_sum: 0,
            field_dates: BTreeSet::new(),
            walked: None,
            removed: Vec::new(),
            removed_pieces: 0,
        }
    }

    /// How many keys there are, those past their date included.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many keys have a date.
    pub(crate) fn dated(&self) -> usize {
        self.dates.len()
    }

    /// Whether any key has one.
    #[inline]
    pub(crate) fn has_dates(&self) -> bool {
        !self.dates.is_empty()
    }

    /// The average time from `now_ms` to the dates of the keys, in milliseconds.
    pub(crate) fn average_ttl(&self, now_ms: u64) -> u64 {
        let count = self.dates.len() as u128;
        let average = self.date_sum.checked_div(count).unwrap_or(0) as u64;
        average.saturating_sub(now_ms)
    }

    /// The hash of a key, wanted by the other methods.
    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.table.hash(key)
    }

    /// See [`Table::prefetch_bucket`].
    #[inline]
    pub(crate) fn prefetch_bucket(&self, hash: u64) {
        self.table.prefetch_bucket(hash);
    }

    /// See [`Table::prefetch_item`].
    #[inline]
    pub(crate) fn prefetch_entry(&self, hash: u64) {
        self.table.prefetch_item(hash);
    }

    /// The entry of a key.
    #[inline]
    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<EntryRef<'_>> {
        self.table.find(hash, key)
    }

    /// Adds a key that is known to be absent.
    fn insert_new(&mut self, hash: u64, mut entry: Entry, access: u32) {
        self.before_marking(hash, crate::table::Item::view(&entry).key());
        if let ViewMut::Hash(value) = entry.look_mut().into_view() {
            self.field_dates.extend(value.refile().1.map(|date| (date, hash)));
        }
        let look = crate::table::Item::view(&entry);
        look.set_access(access);
        if let Some(date) = look.expires_at() {
            self.add_date(date, hash);
        }
        self.table.insert_new(hash, entry);
    }

    /// Sets a key to a text; says whether it was there.
    #[inline]
    pub(crate) fn set_text(&mut self, hash: u64, key: &[u8], text: &[u8], mark: Mark) -> bool {
        self.before_replacement(hash, key);
        let Some(mut found) = self.table.find_mut(hash, key) else {
            self.insert_new(hash, Entry::text(key, text, mark.date.applied_to(None)), mark.access);
            return false;
        };
        unfile(&mut self.field_dates, found.view(), hash);
        let old = found.view().expires_at();
        let new = mark.date.applied_to(old);
        let access = found.view().access();
        let replaced = found.update(|entry| entry.set_text(text, new));
        found.view().set_access(if mark.keep_access { access } else { mark.access });
        self.move_date(hash, old, new);
        if let Some(entry) = replaced {
            self.retire(entry);
        }
        true
    }

    /// Sets a key to a value; says whether it was there.
    pub(crate) fn set_value(&mut self, hash: u64, key: &[u8], value: Value, mark: Mark) -> bool {
        self.before_replacement(hash, key);
        let Some(mut found) = self.table.find_mut(hash, key) else {
            self.insert_new(hash, Entry::new(key, value, mark.date.applied_to(None)), mark.access);
            return false;
        };
        unfile(&mut self.field_dates, found.view(), hash);
        let old = found.view().expires_at();
        let new = mark.date.applied_to(old);
        let access = found.view().access();
        let is_hash = matches!(value, Value::Hash(_));
        let replaced = found.update(|entry| entry.set_value(value, new));
        found.view().set_access(if mark.keep_access { access } else { mark.access });
        self.move_date(hash, old, new);
        self.retire(replaced);
        if is_hash {
            self.refile(hash, key);
        }
        true
    }

    /// Sets or clears the date of a key; says whether it is there.
    pub(crate) fn set_date(&mut self, hash: u64, key: &[u8], new: Option<u64>) -> bool {
        self.before_marking(hash, key);
        let Some(mut found) = self.table.find_mut(hash, key) else { return false };
        let old = found.view().expires_at();
        if old != new {
            found.update(|entry| entry.set_expiry(new));
            self.move_date(hash, old, new);
        }
        true
    }

    /// An entry, to be changed as a whole; its date must stay.
    pub(crate) fn occupied(&mut self, hash: u64, key: &[u8]) -> Option<Occupied<'_, Entry>> {
        self.before_change(hash, key);
        self.table.find_mut(hash, key)
    }

    /// Takes a key out whose value nobody wants any more, but maybe a walk; says whether it was there.
    pub(crate) fn discard(&mut self, hash: u64, key: &[u8]) -> bool {
        self.before_replacement(hash, key);
        self.remove(hash, key).map(|entry| self.retire(entry)).is_some()
    }

    /// Takes a key out of which a walk, if there is one, has what it needs.
    fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Entry> {
        let entry = self.table.remove(hash, key)?;
        unfile(&mut self.field_dates, crate::table::Item::view(&entry), hash);
        if let Some(date) = crate::table::Item::view(&entry).expires_at() {
            self.remove_date(date, hash);
        }
        Some(entry)
    }

    fn move_date(&mut self, hash: u64, old: Option<u64>, new: Option<u64>) {
        if old == new {
            return;
        }
        if let Some(date) = old {
            self.remove_date(date, hash);
        }
        if let Some(date) = new {
            self.add_date(date, hash);
        }
    }

    fn add_date(&mut self, date: u64, hash: u64) {
        if self.dates.insert((date, hash)) {
            self.date_sum += u128::from(date);
        }
    }

    fn remove_date(&mut self, date: u64, hash: u64) {
        if self.dates.remove(&(date, hash)) {
            self.date_sum -= u128::from(date);
        }
    }

    fn next_date(&self) -> Option<u64> {
        let next = |dates: &BTreeSet<(u64, u64)>| dates.first().map(|&(date, _)| date);
        sooner(next(&self.dates), next(&self.field_dates))
    }

    /// How many hashes have fields with dates.
    pub(crate) fn with_dated_fields(&self) -> usize {
        self.field_dates.len()
    }

    /// Files the hash at a key under the next date of its fields; to be called whenever that may have changed.
    pub(crate) fn refile(&mut self, hash: u64, key: &[u8]) {
        let found = self.occupied(hash, key).map(|found| found.into_mut().into_view());
        let Some(ViewMut::Hash(value)) = found else { return };
        let (old, new) = value.refile();
        if old != new {
            old.map(|date| self.field_dates.remove(&(date, hash)));
            self.field_dates.extend(new.map(|date| (date, hash)));
        }
    }

    /// The key of the hash that has the earliest due fields, if their date is `now_ms` or earlier.
    pub(crate) fn first_with_due_fields(&self, now_ms: u64) -> Option<Box<[u8]>> {
        let &(date, hash) = self.field_dates.first().filter(|&&(date, _)| date <= now_ms)?;
        let mut found = None;
        self.table.walk(hash, |entry: EntryRef<'_>| {
            if let View::Hash(value) = entry.view()
                && value.filed() == Some(date)
            {
                found = Some(entry.key().into());
            }
        });
        found
    }

    /// Up to `limit` keys whose date is `now_ms` or earlier, the earliest first.
    pub(crate) fn due(&self, now_ms: u64, limit: usize) -> Vec<Box<[u8]>> {
        let due = self.dates.iter().take(limit).take_while(|&&(date, _)| date <= now_ms);
        let mut keys = Vec::new();
        for &(date, hash) in due {
            // The index knows hashes only, and a walk visits all of a bucket: whoever has both is meant.
            self.table.walk(hash, |entry: EntryRef<'_>| {
                if entry.expires_at() == Some(date) && self.hash(entry.key()) == hash {
                    keys.push(entry.key().into());
                }
            });
        }
        keys
    }

    /// The key with the earliest date of those that `allowed` lets pass, and its date. The search is bounded, so that
    /// many keys that may not pass cannot hold up the caller.
    pub(crate) fn first_dated(&self, allowed: impl Fn(&[u8]) -> bool) -> Option<(u64, Box<[u8]>)> {
        self.dates.iter().take(DATED_SEARCH_MAX).find_map(|&(date, hash)| {
            let mut found = None;
            self.table.walk(hash, |entry: EntryRef<'_>| {
                if entry.expires_at() == Some(date) && allowed(entry.key()) {
                    found = Some((date, entry.key().into()));
                }
            });
            found
        })
    }

    /// All entries.
    pub(crate) fn iter(&self) -> impl Iterator<Item = EntryRef<'_>> {
        self.table.iter()
    }

    /// See [`Table::walk`].
    pub(crate) fn walk<'a>(&'a self, position: u64, visit: impl FnMut(EntryRef<'a>)) -> Option<u64> {
        self.table.walk(position, visit)
    }

    /// A key chosen with equal chances for all.
    pub(crate) fn sample(&self, rng: &mut fastrand::Rng) -> Option<EntryRef<'_>> {
        self.table.sample(rng)
    }

    /// Bytes taken from the allocator by the table and the dates, without the entries.
    pub(crate) fn overhead(&self) -> usize {
        self.table.footprint() + self.dates_overhead()
    }

    /// Bytes taken from the allocator by the dates.
    pub(crate) fn dates_overhead(&self) -> usize {
        // A B-tree of the standard library is about three quarters full.
        (self.dates.len() + self.field_dates.len()) * size_of::<(u64, u64)>() * 4 / 3
    }
}

/// Takes a hash that is about to go out of the index of field dates.
#[inline]
fn unfile(field_dates: &mut BTreeSet<(u64, u64)>, entry: EntryRef<'_>, hash: u64) {
    if !field_dates.is_empty()
        && let View::Hash(value) = entry.view()
        && let Some(date) = value.filed()
    {
        field_dates.remove(&(date, hash));
    }
}

/// What a write leaves at an entry beside its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// What becomes of the date.
    pub(crate) date: DateChange,
    /// When it was used last; see [`EntryRef::access`].
    pub(crate) access: u32,
    /// A key that was there keeps what it has instead: how often it is used does not depend on its value.
    pub(crate) keep_access: bool,
}

/// What a write does to the date of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DateChange {
    /// The date stays as it is.
    Keep,
    /// The key gets this date, or none.
    Set(Option<u64>),
}

impl DateChange {
    fn applied_to(self, old: Option<u64>) -> Option<u64> {
        match self {
            Self::Keep => old,
            Self::Set(new) => new,
        }
    }
}
