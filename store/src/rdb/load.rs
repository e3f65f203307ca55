//! A snapshot into an engine.
//!
//! Law: a snapshot is loaded into an engine that nobody is served from yet, or under its lock as a whole: before the
//! checksum was read, what was loaded may be damaged.

use std::fmt;

use super::fault::RdbFault;
use super::reader::{Attributes, Reader, Record};
use super::snapshot::SCRIPT_FIELD;
use super::{Loaded, Setup};
use crate::engine::Engine;
use crate::keyspace::Value;
use crate::number::Digits;
use crate::time::Now;
use crate::txn::Txn;

/// How a snapshot is loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// Keys past their date are loaded, too: a log follows, or a master decides.
    pub keep_expired: bool,
    /// Keys and libraries that are there already are replaced; else they are a fault.
    pub replace: bool,
    /// What is loaded is stated as effects: the log does not come to it by itself.
    pub stated: bool,
}

/// What a snapshot came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadedSnapshot {
    /// Keys that were loaded.
    pub keys: u64,
    /// Keys that were not, because their date had passed.
    pub expired: u64,
    /// Keys that were not, because there was nothing in them; the first few.
    pub empty: Vec<Vec<u8>>,
    /// How many those were.
    pub empty_count: u64,
    /// Libraries of functions.
    pub libraries: u64,
    /// Scripts of EVAL that were not taken, because they are no programs any more.
    pub scripts_refused: u64,
    /// Modules that had something in the snapshot, which was passed over.
    pub modules: Vec<String>,
    /// What the snapshot says about itself: names and values, as far as they are short.
    pub facts: Vec<(String, String)>,
}

impl LoadedSnapshot {
    /// What the snapshot says about itself under this name.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }
}

/// Why a snapshot cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFault {
    /// How many bytes of it could be read.
    pub offset: u64,
    /// The key whose value was being read.
    pub key: Option<Vec<u8>>,
    /// What is wrong.
    pub fault: RdbFault,
}

impl fmt::Display for SnapshotFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the snapshot is damaged at offset {}", self.offset)?;
        if let Some(key) = &self.key {
            write!(out, ", key '{}'", key.escape_ascii())?;
        }
        write!(out, ": {}", self.fault)
    }
}

impl std::error::Error for SnapshotFault {}

/// A snapshot that is being loaded.
pub struct SnapshotLoader {
    reader: Reader,
    options: LoadOptions,
    db: usize,
    loaded: LoadedSnapshot,
    ended: bool,
}

/// Keys with nothing in them that are named.
const EMPTY_NAMED_MAX: usize = 10;
/// Facts that are kept, and bytes of each.
const FACTS_MAX: usize = 64;
const FACT_BYTES_MAX: usize = 256;

impl SnapshotLoader {
    /// Begins to load.
    pub fn new(engine: &Engine, options: LoadOptions) -> Self {
        let checked = engine.config().flag("rdbchecksum") && !engine.data.trusts_dumps;
        Self { reader: Reader::new(checked), options, db: 0, loaded: LoadedSnapshot::default(), ended: false }
    }

    /// Loads what these bytes complete. Returns whether the snapshot has ended; bytes behind its end are left over.
    ///
    /// # Errors
    /// This is no snapshot.
    pub fn feed(&mut self, engine: &mut Engine, now: Now, bytes: &[u8]) -> Result<bool, SnapshotFault> {
        self.reader.feed(bytes);
        loop {
            let data = &engine.data;
            let setup = |key: &[u8]| {
                let (thresholds, hash_key) = data.hash_setup(key);
                Setup { thresholds, hash_key }
            };
            let key = |reader: &Reader| reader.key().map(<[u8]>::to_vec);
            let next = match self.reader.next(&setup) {
                Ok(Some(record)) => self.take(engine, now, record),
                Ok(None) => return Ok(self.ended),
                Err(fault) => Err((key(&self.reader), fault)),
            };
            next.map_err(|(key, fault)| SnapshotFault { offset: self.reader.offset(), key, fault })?;
        }
    }

    /// What the snapshot came to, and the bytes behind its end.
    ///
    /// # Errors
    /// It has not ended.
    pub fn finish(self) -> Result<(LoadedSnapshot, Vec<u8>), SnapshotFault> {
        if self.ended {
            return Ok((self.loaded, self.reader.rest().to_vec()));
        }
        let key = self.reader.key().map(<[u8]>::to_vec);
        Err(SnapshotFault { offset: self.reader.offset(), key, fault: RdbFault::Truncated })
    }

    fn take(
        &mut self,
        engine: &mut Engine,
        now: Now,
        record: Record,
    ) -> Result<(), (Option<Vec<u8>>, RdbFault)> {
        match record {
            Record::Aux { name, value } => self.take_fact(engine, &name, &value),
            Record::Library(code) => {
                // Not trusted: code of a snapshot must not run for ever, either.
                let loaded = engine.load_library(&code, self.options.replace, false);
                loaded.map_err(|fault| (None, RdbFault::Library(fault.message())))?;
                if self.options.stated {
                    engine.data.feed.effect_anywhere(&[b"FUNCTION", b"LOAD", b"REPLACE", &code]);
                }
                self.loaded.libraries += 1;
            }
            Record::Database(number) => {
                let known = usize::try_from(number).ok().filter(|&db| db < engine.data.keyspace.count());
                self.db = known.ok_or((None, RdbFault::Database(number)))?;
            }
            Record::ModuleAux { name } => {
                if !self.loaded.modules.contains(&name) && self.loaded.modules.len() < FACTS_MAX {
                    self.loaded.modules.push(name);
                }
            }
            Record::Entry { key, loaded: Loaded::Empty, .. } => {
                self.loaded.empty_count += 1;
                if self.loaded.empty.len() < EMPTY_NAMED_MAX {
                    self.loaded.empty.push(key);
                }
            }
            Record::Entry { key, loaded: Loaded::Value(value), attributes } => {
                let is_past = attributes.expires_at.is_some_and(|date| date < now.wall_ms());
                if is_past && !self.options.keep_expired {
                    self.loaded.expired += 1;
                    engine.load_nothing(self.db, &key);
                } else if engine.load_entry(self.db, &key, value, attributes, self.options) {
                    self.loaded.keys += 1;
                } else {
                    return Err((Some(key), RdbFault::DuplicateKey));
                }
            }
            Record::End => self.ended = true,
        }
        Ok(())
    }

    fn take_fact(&mut self, engine: &mut Engine, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(SCRIPT_FIELD.as_bytes()) {
            self.loaded.scripts_refused += u64::from(engine.load_script(value).is_err());
        } else if name.len().max(value.len()) <= FACT_BYTES_MAX && self.loaded.facts.len() < FACTS_MAX {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            self.loaded.facts.push((text(name), text(value)));
        }
    }
}

impl Engine {
    /// Puts a key of a snapshot in its place. If it is there already, it is replaced, or refused.
    fn load_entry(
        &mut self,
        db: usize,
        key: &[u8],
        value: Value,
        attributes: Attributes,
        options: LoadOptions,
    ) -> bool {
        let mut txn = self.txn(db);
        if txn.raw_entry(key).is_some() {
            if !options.replace {
                return false;
            }
            txn.discard(key);
        }
        put(&mut txn, key, value, attributes);
        if options.stated {
            state(&mut txn, key, attributes.expires_at);
        } else {
            #[cfg(debug_assertions)]
            self.load_on_shadow(db, key, |txn, value| put(txn, key, value, attributes));
        }
        true
    }

    /// Leaves a key of a snapshot out, because its date has passed. Who follows the log has it still.
    fn load_nothing(&mut self, db: usize, key: &[u8]) {
        let mut txn = self.txn(db);
        if txn.raw_entry(key).is_none() {
            txn.effect(&[b"DEL", key]);
        }
    }

    /// Prepares to load a snapshot in the place of all data, or beside it, while clients are connected; returns how.
    /// [`Self::end_reload`] has to follow. What was saved just now is what the log comes to; anything else is stated.
    pub fn begin_reload(&mut self, saved: bool, flush: bool, merge: bool) -> LoadOptions {
        let stated = !(saved && flush);
        if flush {
            self.empty_for_load(stated);
        }
        LoadOptions { replace: merge, stated, ..LoadOptions::default() }
    }

    /// A snapshot was loaded while clients are connected: they hear of it.
    pub fn end_reload(&mut self) {
        self.end_unit();
    }

    /// Forgets all data and all functions, so that a snapshot takes their place; stated as an effect, if the snapshot
    /// is.
    pub(crate) fn empty_for_load(&mut self, stated: bool) {
        for db in 0..self.data.keyspace.count() {
            self.txn(db).flush(db);
        }
        self.flush_functions();
        if stated {
            self.txn(0).effect(&[b"FLUSHALL"]);
            self.data.feed.effect_anywhere(&[b"FUNCTION", b"FLUSH"]);
        } else {
            #[cfg(debug_assertions)]
            self.empty_shadow();
        }
    }
}

/// States a key that was loaded.
pub(crate) fn state(txn: &mut Txn<'_>, key: &[u8], date: Option<u64>) {
    let date_text = Digits::of(date.unwrap_or(0) as i64);
    if let Some(payload) = txn.dump(key) {
        txn.effect(&[b"RESTORE", key, date_text.as_bytes(), &payload, b"REPLACE", b"ABSTTL"]);
    }
    txn.signal(key);
}

fn put(txn: &mut Txn<'_>, key: &[u8], value: Value, attributes: Attributes) {
    txn.load(key, value, attributes.expires_at);
    txn.mark_as_used(key, attributes.idle_seconds, attributes.frequency);
}
