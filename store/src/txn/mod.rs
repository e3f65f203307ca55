//! Transactions: how commands and extensions read and write keys.
//!
//! Law: nobody changes data but through a [`Txn`]. It knows the time, the database and where the command comes from; it
//! lets keys past their date disappear before anybody sees them; it collects effects, touched keys and events of the
//! unit that is going on.
//! Not here: when a unit ends and what follows from it ([`crate::engine`]).

mod access;
mod data;
mod event;
mod feed;
mod fields;
mod touched;
mod write;

pub(crate) use access::{Access, AccessMode};
pub(crate) use data::Data;
pub use data::DataCounters;
pub use event::EventClass;
pub(crate) use event::{Event, EventMask};
pub use feed::{Feed, Frames};
pub(crate) use touched::{DbKey, Flushed, Swept, Touched};
pub use write::Expiry;

use crate::command::Fault;
use crate::hash::HashKey;
use crate::keyspace::{Database, EntryRef, View};
use crate::table::Keyed;
use crate::time::Now;
use crate::types::Thresholds;
use crate::types::hash::LiveHash;
use crate::types::list::List;
use crate::types::set::Set;
use crate::types::stream::Stream;
use crate::types::text::{Scalar, Text};
use crate::types::zset::Zset;

/// Where a command comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A client, or the engine itself.
    #[default]
    Client,
    /// The log or a master: what happened there is repeated as it is, and no key expires on its own.
    Replay,
}

/// Access to the keys of one database, for the duration of one command.
pub struct Txn<'a> {
    pub(crate) data: &'a mut Data,
    pub(crate) db: usize,
    pub(crate) now: Now,
    pub(crate) origin: Origin,
    /// The key whose change let a waiting command run again.
    pub(crate) waking: Option<&'a [u8]>,
}

/// The type of a value, as TYPE names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a type of Redis")]
pub enum ValueType {
    String,
    List,
    Set,
    Hash,
    Zset,
    Stream,
}

impl ValueType {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::Hash => "hash",
            Self::Zset => "zset",
            Self::Stream => "stream",
        }
    }

    pub(crate) fn of(view: View<'_>) -> Self {
        match view {
            View::Inline(_) | View::Integer(_) | View::Raw(_) => Self::String,
            View::List(_) => Self::List,
            View::Set(_) => Self::Set,
            View::Hash(_) => Self::Hash,
            View::Zset(_) => Self::Zset,
            View::Stream(_) => Self::Stream,
        }
    }
}

impl<'a> Txn<'a> {
    pub(crate) fn new(data: &'a mut Data, db: usize, now: Now, origin: Origin) -> Self {
        Self { data, db, now, origin, waking: None }
    }

    /// The time, the same during a whole command, script or transaction.
    pub fn now(&self) -> Now {
        self.now
    }

    /// The number of the database.
    pub fn db(&self) -> usize {
        self.db
    }

    /// The same transaction, looking at another database.
    pub fn in_db(&mut self, db: usize) -> Txn<'_> {
        Txn { data: self.data, db, now: self.now, origin: self.origin, waking: self.waking }
    }

    /// Where the command comes from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Whether the command may read keys that are not among its arguments.
    pub(crate) fn may_read_all_keys(&self) -> bool {
        !self.data.keys_limited
    }

    /// The source of chance.
    pub fn rng(&mut self) -> &mut fastrand::Rng {
        &mut self.data.rng
    }

    /// The configured thresholds and limits.
    pub(crate) fn limits(&self) -> &data::DataLimits {
        &self.data.limits
    }

    /// Whether a command that may wait looks at this key: always, but when it runs again because a key changed, only at
    /// that key, and only if it holds the wanted type.
    pub fn considers(&mut self, key: &[u8], wanted: ValueType) -> bool {
        self.waking.is_none_or(|waking| waking == key) && !self.holds_another_type(key, wanted)
    }

    /// Whether a command that runs again finds another type than it waits for: it goes on waiting then.
    pub(crate) fn holds_another_type(&mut self, key: &[u8], wanted: ValueType) -> bool {
        self.waking.is_some() && self.type_of(key).is_some_and(|found| found != wanted)
    }

    /// Whether a date has passed. While a log is replayed none has.
    fn is_past(&self, date: u64) -> bool {
        self.origin == Origin::Client && date <= self.now.wall_ms()
    }

    /// The entry of a key, whether or not it is past its date; counts nothing.
    pub(crate) fn raw_entry(&self, key: &[u8]) -> Option<EntryRef<'_>> {
        let database = self.data.keyspace.db(self.db);
        database.find(self.data.hash(self.db, key), key)
    }

    /// The entry of a key; a key past its date disappears now.
    #[inline]
    pub(crate) fn entry(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        if self.data.keyspace.db(self.db).has_dates() && self.is_gone(key) {
            return None;
        }
        self.raw_entry(key)
    }

    /// Whether a key is past its date; if nothing forbids it, it disappears now.
    fn is_gone(&mut self, key: &[u8]) -> bool {
        let date = self.raw_entry(key).and_then(EntryRef::expires_at);
        let past = date.is_some_and(|date| self.is_past(date));
        if past && !self.data.frozen {
            self.expire(key);
        }
        past
    }

    /// The entry of a key that a client looks at without using it: counts hit or miss.
    pub(crate) fn entry_for_looking(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        let quiet = std::mem::replace(&mut self.data.quiet, true);
        self.entry_for_reading(key);
        self.data.quiet = quiet;
        self.raw_entry(key).filter(|entry| !entry.expires_at().is_some_and(|date| self.is_past(date)))
    }

    /// The entry of a key that a client reads: counts hit or miss, and records the access.
    #[inline]
    pub(crate) fn entry_for_reading(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        let gone = self.data.keyspace.db(self.db).has_dates() && self.is_gone(key);
        let data = &mut *self.data;
        let hash = data.hints.hash(&data.keyspace, self.db, key);
        let found = if gone { None } else { data.keyspace.db(self.db).find(hash, key) };
        match found {
            Some(entry) => {
                data.counters.hits += 1;
                if !data.quiet {
                    entry.set_access(data.access.used(entry.access(), &mut data.rng));
                }
            }
            None => {
                data.counters.misses += 1;
                if data.events_wanted.wants(EventClass::KeyMiss) {
                    data.events.push(Event { db: self.db, name: "keymiss", key: key.into() });
                }
            }
        }
        found
    }

    /// Whether a key is there.
    pub fn exists(&mut self, key: &[u8]) -> bool {
        self.entry(key).is_some()
    }

    /// The type of the value of a key.
    pub fn type_of(&mut self, key: &[u8]) -> Option<ValueType> {
        self.entry(key).map(|entry| ValueType::of(entry.view()))
    }

    /// The date after which a key is gone, in Unix milliseconds; the outer option says whether the key is there.
    pub fn expires_at(&mut self, key: &[u8]) -> Option<Option<u64>> {
        self.entry(key).map(EntryRef::expires_at)
    }

    /// The string at a key.
    ///
    /// # Errors
    /// The key holds another type.
    #[inline]
    pub fn text(&mut self, key: &[u8]) -> Result<Option<Text<'_>>, Fault> {
        self.entry_for_reading(key).map(|entry| text_of(entry.view())).transpose()
    }

    /// The string at a key, looked at by a command that is about to write.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn text_before_write(&mut self, key: &[u8]) -> Result<Option<Text<'_>>, Fault> {
        self.entry(key).map(|entry| text_of(entry.view())).transpose()
    }

    /// The list at a key.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn list(&mut self, key: &[u8]) -> Result<Option<&List>, Fault> {
        match self.entry_for_reading(key).map(EntryRef::view) {
            None => Ok(None),
            Some(View::List(list)) => Ok(Some(list)),
            Some(_) => Err(Fault::WrongType),
        }
    }

    /// The set at a key.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn set(&mut self, key: &[u8]) -> Result<Option<&Set>, Fault> {
        match self.entry_for_reading(key).map(EntryRef::view) {
            None => Ok(None),
            Some(View::Set(set)) => Ok(Some(set)),
            Some(_) => Err(Fault::WrongType),
        }
    }

    /// The hash at a key, without the fields whose dates have passed.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn hash(&mut self, key: &[u8]) -> Result<Option<LiveHash<'_>>, Fault> {
        let horizon = self.horizon();
        match self.entry_for_reading(key).map(EntryRef::view) {
            None => Ok(None),
            Some(View::Hash(hash)) => Ok(Some(LiveHash::new(hash, horizon))),
            Some(_) => Err(Fault::WrongType),
        }
    }

    /// The sorted set at a key.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn zset(&mut self, key: &[u8]) -> Result<Option<&Zset>, Fault> {
        match self.entry_for_reading(key).map(EntryRef::view) {
            None => Ok(None),
            Some(View::Zset(zset)) => Ok(Some(zset)),
            Some(_) => Err(Fault::WrongType),
        }
    }

    /// The stream at a key.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn stream(&mut self, key: &[u8]) -> Result<Option<&Stream>, Fault> {
        match self.entry_for_reading(key).map(EntryRef::view) {
            None => Ok(None),
            Some(View::Stream(stream)) => Ok(Some(stream)),
            Some(_) => Err(Fault::WrongType),
        }
    }

    /// The set at a key that was looked at already.
    pub(crate) fn peek_set(&self, key: &[u8]) -> Option<&Set> {
        match self.raw_entry(key).map(EntryRef::view) {
            Some(View::Set(set)) => Some(set),
            _ => None,
        }
    }

    /// The sorted set at a key that was looked at already.
    pub(crate) fn peek_zset(&self, key: &[u8]) -> Option<&Zset> {
        match self.raw_entry(key).map(EntryRef::view) {
            Some(View::Zset(zset)) => Some(zset),
            _ => None,
        }
    }

    /// The value of a key as bytes; see [`crate::rdb`].
    pub(crate) fn dump(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let mut output = std::mem::take(&mut self.data.output);
        let payload = self.raw_entry(key).map(|entry| crate::rdb::dump(entry.view(), &mut output));
        self.data.output = output;
        payload
    }

    /// The database itself.
    pub(crate) fn database(&self) -> &Database {
        self.data.keyspace.db(self.db)
    }

    /// What a collection has to know to grow.
    pub(crate) fn table_setup(&self) -> (Thresholds, HashKey) {
        (self.data.limits.thresholds, self.data.keyspace.hash_key())
    }

    /// What the hash at a key has to know to grow. Hashes of the extension have few fields and stay packed with longer
    /// values: as tables they would take three times the room.
    pub(crate) fn hash_setup(&self, key: &[u8]) -> (Thresholds, HashKey) {
        self.data.hash_setup(key)
    }

    /// Says that an extension will look up a key several times: that is cheaper then. Changes nothing else.
    pub fn focus(&mut self, key: &[u8]) {
        self.data.keep_hash(key);
    }

    /// The value of a field of a hash, for an extension.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn hash_field(&mut self, key: &[u8], field: &[u8]) -> Result<Option<Text<'_>>, Fault> {
        Ok(self.hash(key)?.and_then(|hash| hash.get(field)))
    }

    /// Visits the fields of a hash as they are stored, for an extension; says whether the key is there.
    ///
    /// # Errors
    /// The key holds another type.
    #[inline]
    pub fn hash_scalars<'s>(
        &'s mut self,
        key: &[u8],
        visit: impl FnMut(Scalar<'s>, Scalar<'s>),
    ) -> Result<bool, Fault> {
        let hash = self.hash(key)?;
        if let Some(hash) = hash {
            hash.for_each_scalar(visit);
        }
        Ok(hash.is_some())
    }

    /// Visits the fields of a hash, for an extension; says whether the key is there.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn hash_fields(&mut self, key: &[u8], mut visit: impl FnMut(&[u8], &[u8])) -> Result<bool, Fault> {
        let hash = self.hash(key)?;
        if let Some(hash) = hash {
            hash.iter().for_each(|(field, value)| visit(&field, &value));
        }
        Ok(hash.is_some())
    }

    /// Visits the keys of the database that begin with `prefix`, for an extension that rebuilds what it derived.
    pub fn keys_with_prefix(&self, prefix: &[u8], mut visit: impl FnMut(&[u8])) {
        let keys = self.data.keyspace.db(self.db).iter().map(Keyed::key);
        keys.filter(|key| key.starts_with(prefix)).for_each(&mut visit);
    }

    /// Visits keys of the database that begin with `prefix`, as SCAN does: about `count` keys of any name are looked at
    /// from `cursor` on. Returns the cursor to go on with, 0 at the end.
    pub fn walk_keys(&self, cursor: u64, count: usize, prefix: &[u8], mut visit: impl FnMut(&[u8])) -> u64 {
        let now_ms = self.now.wall_ms();
        crate::commands::walk(cursor, count, |position| {
            let mut seen = 0;
            let next = self.database().walk(position, |entry| {
                seen += 1;
                let alive = entry.expires_at().is_none_or(|date| date > now_ms);
                if alive && entry.key().starts_with(prefix) {
                    visit(entry.key());
                }
            });
            (next, seen)
        })
    }

    /// How many databases there are.
    pub fn db_count(&self) -> usize {
        self.data.keyspace.count()
    }
}

/// The text of a string value.
pub(crate) fn text_of(view: View<'_>) -> Result<Text<'_>, Fault> {
    match view {
        View::Inline(text) => Ok(Text::Bytes(text)),
        View::Integer(value) => Ok(Text::integer(value)),
        View::Raw(text) => Ok(Text::Bytes(text.bytes())),
        _ => Err(Fault::WrongType),
    }
}
