//! The writing half of a transaction.
//!
//! Two layers. The lower one (`put_text`, `list_or_new`, `discard`, …) changes data and says nothing: commands use it
//! and state one effect for all they did. The upper one (`hash_put`, `remove`, `expire_at`, …) changes data and states
//! the effect at once: extensions use it, and can therefore not forget.

use std::ops::Range;

use super::touched::Flushed;
use super::{AccessMode, Event, EventClass, Origin, Txn};
use crate::command::Fault;
use crate::keyspace::{DateChange, Mark, Value, ViewMut};
use crate::limits::NOTES_PER_UNIT;
use crate::number::Digits;
use crate::thin::Thin;
use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::set::Set;
use crate::types::stream::Stream;
use crate::types::text::Scalar;
use crate::types::zset::Zset;

/// What a write does to the date of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The date stays as it is.
    Keep,
    /// The key has no date afterwards.
    Never,
    /// The key is gone after this, in Unix milliseconds.
    At(u64),
}

impl From<Expiry> for DateChange {
    fn from(expiry: Expiry) -> Self {
        match expiry {
            Expiry::Keep => Self::Keep,
            Expiry::Never => Self::Set(None),
            Expiry::At(date) => Self::Set(Some(date)),
        }
    }
}

impl Txn<'_> {
    /// States an effect; see [`super::Feed`]. What a replay repeats was stated already.
    pub fn effect(&mut self, args: &[&[u8]]) {
        if self.origin == Origin::Client {
            self.data.feed.effect(self.db, args);
        }
    }

    /// Whether anybody reads the stream of effects.
    pub fn effects_wanted(&self) -> bool {
        self.origin == Origin::Client && self.data.feed.is_wanted()
    }

    /// Notes that a key changed, and what happened to it.
    #[inline]
    pub fn changed(&mut self, key: &[u8], class: EventClass, event: &'static str) {
        self.data.dirty += 1;
        self.data.touched.touch(self.db, key);
        self.event(key, class, event);
        if class == EventClass::Hash && self.database().with_dated_fields() > 0 {
            self.refile(key);
        }
    }

    /// Notes for the log of the daemon what a client is told in few words only.
    pub(crate) fn note(&mut self, text: String) {
        if self.data.notes.len() < NOTES_PER_UNIT {
            self.data.notes.push(text);
        }
    }

    /// Counts further changes of the same kind: each member of an SADD is one.
    pub fn changed_more(&mut self, count: usize) {
        self.data.dirty += count as u64;
    }

    /// Counts a change that watchers and waiters do not care about, and says what happened.
    pub fn changed_quietly(&mut self, key: &[u8], class: EventClass, event: &'static str) {
        self.data.dirty += 1;
        self.event(key, class, event);
    }

    /// Says that something happened to a key, without counting a change.
    #[inline]
    pub fn event(&mut self, key: &[u8], class: EventClass, event: &'static str) {
        if self.data.events_wanted.wants(class) {
            self.data.events.push(Event { db: self.db, name: event, key: key.into() });
        }
    }

    /// Wakes those who wait for a key, although no data changed: something became due.
    pub fn signal(&mut self, key: &[u8]) {
        self.data.touched.touch(self.db, key);
    }

    fn hash_for_write(&self, key: &[u8]) -> u64 {
        self.data.hash(self.db, key)
    }

    fn mark(&self, expiry: Expiry) -> Mark {
        let keep_access = self.data.access.mode == AccessMode::Frequency;
        Mark { date: expiry.into(), access: self.data.access.fresh(), keep_access }
    }

    /// Lets a key disappear because of its date.
    pub(super) fn expire(&mut self, key: &[u8]) {
        self.discard(key);
        if !self.data.limits.frees_expired_aside {
            self.data.keyspace.free_now();
        }
        self.data.counters.expired += 1;
        if key.starts_with(self.data.reserved) {
            self.data.expired_reserved.push((self.db, key.into()));
        }
        self.effect(&[b"DEL", key]);
        self.data.touched.touch(self.db, key);
        self.event(key, EventClass::Expired, "expired");
    }

    /// Lets a key disappear if this is its date.
    pub(crate) fn expire_if_dated(&mut self, key: &[u8], date: u64) {
        if self.raw_entry(key).and_then(|entry| entry.expires_at()) == Some(date) {
            self.expire(key);
        }
    }

    /// Lets a key disappear to make room.
    pub(crate) fn evict(&mut self, key: &[u8]) {
        if !self.discard(key) {
            return;
        }
        self.data.counters.evicted += 1;
        self.effect(&[b"DEL", key]);
        self.data.touched.touch(self.db, key);
        self.event(key, EventClass::Evicted, "evicted");
    }

    /// Lets up to `limit` keys disappear whose date has passed, the earliest first; returns how many did.
    pub(crate) fn expire_due(&mut self, limit: usize) -> usize {
        let due = self.data.keyspace.db(self.db).due(self.now.wall_ms(), limit);
        due.iter().for_each(|key| self.expire(key));
        due.len()
    }

    /// Takes a value, past its date or not, to another key, where nothing is, maybe of another database. Its date stays
    /// with it.
    pub(crate) fn move_value(&mut self, key: &[u8], db: usize, to: &[u8]) {
        let Some(date) = self.raw_entry(key).map(|entry| entry.expires_at()) else { return };
        let mark = self.mark(date.map_or(Expiry::Never, Expiry::At));
        if self.data.keyspace.move_value((self.db, key), (db, to), mark) {
            self.in_db(db).event(to, EventClass::New, "new");
        }
    }

    /// Takes a key out whose value nobody wants any more; says whether it was there.
    pub(crate) fn discard(&mut self, key: &[u8]) -> bool {
        let hash = self.hash_for_write(key);
        self.data.keyspace.db_mut(self.db).discard(hash, key)
    }

    /// Sets a key to a text, over whatever was there; says whether the key is new.
    #[inline]
    pub(crate) fn put_text(&mut self, key: &[u8], text: &[u8], expiry: Expiry) -> bool {
        let hash = self.hash_for_write(key);
        let mark = self.mark(expiry);
        let new = !self.data.keyspace.db_mut(self.db).set_text(hash, key, text, mark);
        if new {
            self.event(key, EventClass::New, "new");
        }
        new
    }

    /// Sets a key to a value, over whatever was there.
    pub(crate) fn put_value(&mut self, key: &[u8], value: Value, expiry: Expiry) {
        let hash = self.hash_for_write(key);
        let mark = self.mark(expiry);
        if !self.data.keyspace.db_mut(self.db).set_value(hash, key, value, mark) {
            self.event(key, EventClass::New, "new");
        }
    }

    /// Puts a key of a snapshot in its place, where no key is. Nobody is told: it was there before.
    pub(crate) fn load(&mut self, key: &[u8], value: Value, date: Option<u64>) {
        let hash = self.hash_for_write(key);
        let mark = self.mark(date.map_or(Expiry::Never, Expiry::At));
        self.data.keyspace.db_mut(self.db).set_value(hash, key, value, mark);
    }

    /// Notes for how long a key was not used, or how often it is, as far as that is known and noted at all.
    pub(crate) fn mark_as_used(&self, key: &[u8], idle_seconds: Option<i64>, frequency: Option<i64>) {
        if let Some(mark) = self.data.access.told(idle_seconds, frequency)
            && let Some(entry) = self.raw_entry(key)
        {
            entry.set_access(mark);
        }
    }

    /// Sets or clears the date of a key; says whether the key is there.
    pub(crate) fn put_date(&mut self, key: &[u8], date: Option<u64>) -> bool {
        let hash = self.hash_for_write(key);
        self.data.keyspace.db_mut(self.db).set_date(hash, key, date)
    }

    /// Edits the string at a key in place; an absent key becomes an empty string first. Of the bytes that are there,
    /// only those in `changes` may change, and none may go.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn edit_text<R>(
        &mut self,
        key: &[u8],
        changes: &[Range<usize>],
        edit: impl FnOnce(&mut Thin<()>) -> R,
    ) -> Result<R, Fault> {
        if self.entry(key).is_none() {
            self.put_value(key, Value::Raw(Thin::new((), &[])), Expiry::Never);
        }
        let hash = self.hash_for_write(key);
        let data = &mut *self.data;
        let database = data.keyspace.db_mut(self.db);
        database.before_edit(hash, key, changes);
        let mut found = database.occupied(hash, key).ok_or(Fault::NoSuchKey)?;
        // An entry that changes its form forgets its mark.
        let before = found.view().access();
        let access = if data.quiet { before } else { data.access.used(before, &mut data.rng) };
        let edited = found.update(|entry| entry.edit_text().map(edit));
        found.view().set_access(access);
        edited.ok_or(Fault::WrongType)
    }

    /// The value at a key, to be changed in place; a key past its date is not there.
    pub(crate) fn value_mut(&mut self, key: &[u8]) -> Option<ViewMut<'_>> {
        if self.data.keyspace.db(self.db).has_dates() && self.is_gone(key) {
            return None;
        }
        self.live_value_mut(key)
    }

    /// The value at a key that is not past its date, to be changed in place.
    fn live_value_mut(&mut self, key: &[u8]) -> Option<ViewMut<'_>> {
        let hash = self.hash_for_write(key);
        let data = &mut *self.data;
        let found = data.keyspace.db_mut(self.db).occupied(hash, key)?;
        if !data.quiet {
            let entry = found.view();
            entry.set_access(data.access.used(entry.access(), &mut data.rng));
        }
        Some(found.into_mut().into_view())
    }

    fn value_or_new(&mut self, key: &[u8], new: fn() -> Value) -> Option<ViewMut<'_>> {
        if self.entry(key).is_none() {
            self.put_value(key, new(), Expiry::Never);
        }
        self.live_value_mut(key)
    }

    /// The list at a key, to be changed.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn list_mut(&mut self, key: &[u8]) -> Result<Option<&mut List>, Fault> {
        match self.value_mut(key) {
            None => Ok(None),
            Some(ViewMut::List(list)) => Ok(Some(list)),
            Some(_) => Err(Fault::WrongType),
        }
    }

    /// The list at a key, created if absent; the caller puts something in.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn list_or_new(&mut self, key: &[u8]) -> Result<&mut List, Fault> {
        match self.value_or_new(key, || Value::List(Box::new(List::new()))) {
            Some(ViewMut::List(list)) => Ok(list),
            _ => Err(Fault::WrongType),
        }
    }

    /// The set at a key, to be changed.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn set_mut(&mut self, key: &[u8]) -> Result<Option<&mut Set>, Fault> {
        match self.value_mut(key) {
            None => Ok(None),
            Some(ViewMut::Set(set)) => Ok(Some(set)),
            Some(_) => Err(Fault::WrongType),
        }
    }

    /// The set at a key, created if absent; the caller puts something in.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn set_or_new(&mut self, key: &[u8]) -> Result<&mut Set, Fault> {
        match self.value_or_new(key, || Value::Set(Set::new())) {
            Some(ViewMut::Set(set)) => Ok(set),
            _ => Err(Fault::WrongType),
        }
    }

    /// The hash at a key, to be changed.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn hash_mut(&mut self, key: &[u8]) -> Result<Option<&mut Hash>, Fault> {
        match self.value_mut(key) {
            None => Ok(None),
            Some(ViewMut::Hash(hash)) => Ok(Some(hash)),
            Some(_) => Err(Fault::WrongType),
        }
    }

    /// The hash at a key, created if absent; the caller puts something in.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn hash_or_new(&mut self, key: &[u8]) -> Result<&mut Hash, Fault> {
        match self.value_or_new(key, || Value::Hash(Hash::new())) {
            Some(ViewMut::Hash(hash)) => Ok(hash),
            _ => Err(Fault::WrongType),
        }
    }

    /// The sorted set at a key, to be changed.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn zset_mut(&mut self, key: &[u8]) -> Result<Option<&mut Zset>, Fault> {
        match self.value_mut(key) {
            None => Ok(None),
            Some(ViewMut::Zset(zset)) => Ok(Some(zset)),
            Some(_) => Err(Fault::WrongType),
        }
    }

    /// The sorted set at a key, created if absent; the caller puts something in.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn zset_or_new(&mut self, key: &[u8]) -> Result<&mut Zset, Fault> {
        match self.value_or_new(key, || Value::Zset(Zset::new())) {
            Some(ViewMut::Zset(zset)) => Ok(zset),
            _ => Err(Fault::WrongType),
        }
    }

    /// The stream at a key, to be changed.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn stream_mut(&mut self, key: &[u8]) -> Result<Option<&mut Stream>, Fault> {
        match self.value_mut(key) {
            None => Ok(None),
            Some(ViewMut::Stream(stream)) => Ok(Some(stream)),
            Some(_) => Err(Fault::WrongType),
        }
    }

    /// Takes a collection out that has become empty, and says so.
    pub(crate) fn drop_if_empty(&mut self, key: &[u8]) {
        let empty = match self.value_mut(key) {
            Some(ViewMut::List(list)) => list.len() == 0,
            Some(ViewMut::Set(set)) => set.len() == 0,
            Some(ViewMut::Hash(hash)) => hash.len() == 0,
            Some(ViewMut::Zset(zset)) => zset.len() == 0,
            Some(ViewMut::Text | ViewMut::Stream(_)) | None => false,
        };
        if empty {
            self.discard(key);
            self.event(key, EventClass::Generic, "del");
        }
    }

    /// Touches the keys somebody cares about that are in one of these databases.
    fn touch_wanted(&mut self, db: usize, there: &[usize]) {
        let now_ms = self.now.wall_ms();
        for key in self.data.touched.wanted_in(db) {
            let hash = self.data.hash(db, &key);
            let found = there.iter().filter_map(|&other| self.data.keyspace.db(other).find(hash, &key));
            let is_alive = |date: Option<u64>| date.is_none_or(|date| date > now_ms);
            // A key past its date counts as none, before and after.
            if let Some(any) = found.map(|entry| is_alive(entry.expires_at())).reduce(|a, b| a || b) {
                self.data.touched.sweep(db, &key, any);
            }
        }
    }

    /// Empties a database; returns how many keys there were.
    pub(crate) fn flush(&mut self, db: usize) -> usize {
        self.touch_wanted(db, &[db]);
        let count = self.data.keyspace.empty(db);
        self.data.touched.flush(Flushed::Emptied(db));
        count
    }

    /// Notes that a client emptied all databases.
    pub(crate) fn all_is_emptied(&mut self) {
        self.data.emptied_all = self.origin == Origin::Client;
    }

    /// Exchanges two databases.
    pub(crate) fn swap(&mut self, a: usize, b: usize) {
        self.touch_wanted(a, &[a, b]);
        self.touch_wanted(b, &[a, b]);
        self.data.keyspace.swap(a, b);
        self.data.touched.flush(Flushed::Swapped(a, b));
    }

    /// Sets fields of a hash, none of them twice, and states it.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn hash_put(&mut self, key: &[u8], pairs: &[(&[u8], Scalar<'_>)]) -> Result<(), Fault> {
        let (thresholds, hash_key) = self.hash_setup(key);
        match self.value_mut(key) {
            Some(ViewMut::Hash(hash)) => hash.set_all(pairs, &thresholds, hash_key),
            Some(_) => return Err(Fault::WrongType),
            None => {
                let hash = Hash::of_scalars(pairs, &thresholds, hash_key);
                self.put_value(key, Value::Hash(hash), Expiry::Never);
            }
        }
        self.changed(key, EventClass::Hash, "hset");
        self.data.feed.hash_put(self.db, key, pairs);
        Ok(())
    }

    /// Removes fields of a hash, and states it.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn hash_remove(&mut self, key: &[u8], fields: &[&[u8]]) -> Result<(), Fault> {
        let Some(hash) = self.hash_mut(key)? else { return Ok(()) };
        let removed = fields.iter().filter(|field| hash.remove(field)).count();
        if removed > 0 {
            self.changed(key, EventClass::Hash, "hdel");
            self.effect(&[&[b"HDEL", key], fields].concat());
            self.drop_if_empty(key);
        }
        Ok(())
    }

    /// Removes a key, and states it; says whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let removed = self.discard(key);
        if removed {
            self.changed(key, EventClass::Generic, "del");
            self.effect(&[b"DEL", key]);
        }
        removed
    }

    /// Gives a key a date, in Unix milliseconds, and states it; says whether it is there.
    pub fn expire_at(&mut self, key: &[u8], date: u64) -> bool {
        let found = self.put_date(key, Some(date));
        if found {
            self.changed(key, EventClass::Generic, "expire");
            self.effect(&[b"PEXPIREAT", key, Digits::of(date as i64).as_bytes()]);
        }
        found
    }

    /// Takes the date of a key away, and states it.
    pub fn persist(&mut self, key: &[u8]) {
        if self.expires_at(key).flatten().is_some() {
            self.put_date(key, None);
            self.changed(key, EventClass::Generic, "persist");
            self.effect(&[b"PERSIST", key]);
        }
    }
}
