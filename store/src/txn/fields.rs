//! Fields of hashes that are gone on a date of their own.
//!
//! A field past its date is hidden from every reader at once, and removed by the clock, a bounded number at a time; the
//! removal is stated as HDEL. Commands that write treat such a field as absent. What they overwrite counts as expired,
//! and what they state must not depend on whether a reader of the log still sees the field: see
//! [`Txn::effect_instead`].
//! Law: on a replay no date has passed; the log says what is gone.

use super::{EventClass, Origin, Txn};
use crate::command::Fault;
use crate::keyspace::ViewMut;
use crate::number::Digits;
use crate::types::hash::Hash;

impl Txn<'_> {
    /// Dates of fields that lie before this one have passed.
    pub(crate) fn horizon(&self) -> u64 {
        match self.origin {
            Origin::Client => self.now.wall_ms().saturating_add(1),
            Origin::Replay => 0,
        }
    }

    /// States an effect in place of the command as it came, which would mean something else on a replay.
    pub(crate) fn effect_instead(&mut self, args: &[&[u8]]) {
        self.data.restated = true;
        self.effect(args);
    }

    /// Files the hash at a key under the next date of its fields. [`Txn::changed`] does so too, where any hash of the
    /// database is filed already.
    pub(crate) fn refile(&mut self, key: &[u8]) {
        let hash = self.data.hash(self.db, key);
        self.data.keyspace.db_mut(self.db).refile(hash, key);
    }

    /// Counts fields as expired.
    pub(crate) fn count_expired_fields(&mut self, count: usize) {
        self.data.counters.expired_fields += count as u64;
    }

    /// Notes that fields were overwritten after their date.
    pub(crate) fn fields_revived(&mut self, key: &[u8], count: usize) {
        if count > 0 {
            self.count_expired_fields(count);
            self.event(key, EventClass::Hash, "hexpired");
        }
    }

    /// Notes and states that fields were removed because they were given a date in the past.
    pub(crate) fn fields_dropped(&mut self, key: &[u8], fields: &[&[u8]]) {
        if !fields.is_empty() {
            self.count_expired_fields(fields.len());
            self.changed(key, EventClass::Hash, "hexpired");
            self.changed_more(fields.len() - 1);
            self.effect(&[&[b"HDEL", key], fields].concat());
            self.drop_if_empty(key);
        }
    }

    /// Notes and states that fields were given a date.
    pub(crate) fn fields_dated(&mut self, key: &[u8], date: u64, fields: &[&[u8]]) {
        if !fields.is_empty() {
            self.refile(key);
            self.changed(key, EventClass::Hash, "hexpire");
            self.changed_more(fields.len() - 1);
            let (date, count) = (Digits::of(date as i64), Digits::of(fields.len() as i64));
            let head = [b"HPEXPIREAT", key, date.as_bytes(), b"FIELDS", count.as_bytes()];
            self.effect(&[&head, fields].concat());
        }
    }

    /// Notes and states that fields lost their dates.
    pub(crate) fn fields_persisted(&mut self, key: &[u8], fields: &[&[u8]]) {
        if !fields.is_empty() {
            self.changed(key, EventClass::Hash, "hpersist");
            self.changed_more(fields.len() - 1);
            let count = Digits::of(fields.len() as i64);
            self.effect(&[&[b"HPERSIST", key, b"FIELDS", count.as_bytes()], fields].concat());
        }
    }

    /// Lets up to `limit` fields disappear whose dates have passed, the earliest first; returns how many did.
    pub(crate) fn expire_fields_due(&mut self, limit: usize) -> usize {
        let (now_ms, mut gone) = (self.now.wall_ms(), 0);
        while gone < limit
            && let Some(key) = self.database().first_with_due_fields(now_ms)
        {
            let due = match self.stored_hash(&key) {
                Some(hash) => hash.due(now_ms.saturating_add(1), limit - gone),
                None => Vec::new(),
            };
            if due.is_empty() {
                break;
            }
            gone += due.len();
            self.expire_fields(&key, &due);
        }
        gone
    }

    /// Lets a field disappear if its date has passed, because a command is about to read it whose effect is the command
    /// itself.
    pub(crate) fn expire_field_if_due(&mut self, key: &[u8], field: &[u8]) -> Result<(), Fault> {
        let horizon = self.horizon();
        let due = !self.data.frozen && self.hash_mut(key)?.is_some_and(|hash| hash.is_due(field, horizon));
        if due {
            self.expire_fields(key, &[field.into()]);
        }
        Ok(())
    }

    /// The hash at a key, without leaving a trace of access.
    fn stored_hash(&mut self, key: &[u8]) -> Option<&mut Hash> {
        let hash = self.data.hash(self.db, key);
        let found = self.data.keyspace.db_mut(self.db).occupied(hash, key)?;
        match found.into_mut().into_view() {
            ViewMut::Hash(found) => Some(found),
            _ => None,
        }
    }

    fn expire_fields(&mut self, key: &[u8], fields: &[Box<[u8]>]) {
        let Some(hash) = self.stored_hash(key) else { return };
        fields.iter().for_each(|field| {
            hash.remove(field);
        });
        let is_empty = hash.len() == 0;
        self.refile(key);
        self.count_expired_fields(fields.len());
        if self.effects_wanted() {
            let names = fields.iter().map(|field| &**field);
            let args: Vec<&[u8]> = [&b"HDEL"[..], key].into_iter().chain(names).collect();
            self.effect(&args);
        }
        self.data.touched.touch(self.db, key);
        self.event(key, EventClass::Expired, "hexpired");
        if is_empty {
            self.discard(key);
            self.event(key, EventClass::Generic, "del");
        }
    }
}
