//! The effect check: in debug builds, a second engine repeats the effects of every unit, and must come to the same.
//!
//! What a log or a replica would see is what is checked: if a handler changes data and states another effect, or none,
//! the unit fails here, at once, with the keys that differ.
#![expect(clippy::panic, reason = "this check exists to stop debug builds, and is not in release builds")]

use super::replay::ReplayState;
use super::{Engine, EngineOptions, NoHost};
use crate::keyspace::{EntryRef, Value, View, digest};
use crate::resp::request::{Batch, Parser, RequestLimits};
use crate::table::Keyed;
use crate::time::Now;
use crate::txn::Txn;

/// The second engine.
pub(super) struct Shadow {
    engine: Box<Engine>,
}

/// The dates of the fields of a hash, by name. The hash must be filed where the clock will find it.
fn field_dates(entry: EntryRef<'_>) -> Vec<(Box<[u8]>, u64)> {
    let View::Hash(hash) = entry.view() else { return Vec::new() };
    assert_eq!(hash.filed(), hash.next_date(), "a hash is filed under the next date of its fields");
    let mut dates: Vec<(Box<[u8]>, u64)> =
        hash.iter_dated().filter_map(|(field, _, date)| Some(((*field).into(), date?))).collect();
    dates.sort();
    dates
}

impl Engine {
    /// Begins to check effects. The data must be empty.
    pub fn check_effects_from_now_on(&mut self) {
        let options = EngineOptions {
            config: self.config.clone(),
            seed: 1,
            extension: None,
            host: Box::new(NoHost),
            now: self.now,
        };
        self.data.feed.set_wanted(true);
        self.data.touched.note_all_for_checks();
        self.shadow = Some(Shadow { engine: Box::new(Engine::new(options)) });
    }

    /// Ends the check: data is about to change behind its back.
    pub(crate) fn forget_shadow(&mut self) {
        self.shadow = None;
    }

    /// Repeats the effects of the unit that ends, and compares every key that it touched.
    pub(super) fn check_effects(&mut self) {
        let Some(mut shadow) = self.shadow.take() else { return };
        let frame = self.data.feed.unit_bytes();
        let limits = RequestLimits { bulk_max: i64::MAX, authenticated: true };
        let mut rest = frame;
        // A unit may have more effects than the parser takes at once.
        while !rest.is_empty() {
            let (mut parser, mut batch) = (Parser::default(), Batch::default());
            if let Err(fault) = parser.parse(rest, limits, &mut batch) {
                panic!("effects are no protocol: {fault:?}");
            }
            let slices = batch.slices(rest);
            for n in 0..batch.len() {
                let args = &slices[batch.arguments_of(n)];
                if let Err(fault) = shadow.engine.replay(self.now, args) {
                    panic!("an effect cannot be repeated: {fault}");
                }
            }
            let taken = batch.bytes_of_first(batch.len());
            if taken == 0 {
                panic!("effects end within a command");
            }
            rest = &rest[taken..];
        }
        for (db, key) in self.data.touched.noted() {
            let mine = self.data.keyspace.db(*db);
            let other = shadow.engine.data.keyspace.db(*db);
            let print = |found: Option<EntryRef<'_>>| {
                found.map(|entry| (digest::value(entry), entry.expires_at(), field_dates(entry)))
            };
            let (a, b) = (print(mine.find(mine.hash(key), key)), print(other.find(other.hash(key), key)));
            if a != b {
                panic!(
                    "effects differ from data at db {db} key {:?}: {a:?} here, {b:?} after {:?}",
                    String::from_utf8_lossy(key),
                    String::from_utf8_lossy(frame)
                );
            }
        }
        for db in 0..self.data.keyspace.count() {
            let (a, b) = (self.data.keyspace.db(db).len(), shadow.engine.data.keyspace.db(db).len());
            if a != b {
                let keys = |engine: &Self| -> Vec<String> {
                    let all = engine.data.keyspace.db(db).iter();
                    let mut keys: Vec<String> = all.map(|e| e.key().escape_ascii().to_string()).collect();
                    keys.sort();
                    keys
                };
                panic!(
                    "effects differ from data: db {db} has {a} keys here and {b} after its effects: {:?} and {:?} after {:?}",
                    keys(self),
                    keys(&shadow.engine),
                    String::from_utf8_lossy(frame)
                );
            }
        }
        self.shadow = Some(shadow);
    }

    /// What is loaded is loaded on the second engine, too.
    pub(super) fn repeat_on_shadow(&mut self, now: Now, args: &[&[u8]]) {
        if let Some(shadow) = &mut self.shadow {
            // If it cannot be repeated, the first engine says so.
            shadow.engine.replay(now, args).ok();
        }
    }

    /// What a master did is done on the second engine, too.
    pub(super) fn repeat_on_shadow_in(&mut self, now: Now, db: usize, args: &[&[u8]]) {
        if let Some(shadow) = &mut self.shadow {
            shadow.engine.replaying.db = db;
            // If it cannot be repeated, the first engine says so.
            shadow.engine.replay(now, args).ok();
        }
    }

    /// A key of a snapshot that was put in its place is put there on the second engine, too.
    pub(crate) fn load_on_shadow(&mut self, db: usize, key: &[u8], put: impl FnOnce(&mut Txn<'_>, Value)) {
        let Some(mut shadow) = self.shadow.take() else { return };
        let mut txn = shadow.engine.txn(db);
        let (thresholds, hash_key) = txn.hash_setup(key);
        let mine = self.data.keyspace.db(db);
        if let Some(entry) = mine.find(mine.hash(key), key) {
            let value = Value::duplicate(entry.view(), &thresholds, hash_key);
            txn.discard(key);
            put(&mut txn, value);
        }
        self.shadow = Some(shadow);
    }

    /// Empties the second engine, which goes on with the same stream of effects.
    pub(crate) fn empty_shadow(&mut self) {
        if let Some(shadow) = &mut self.shadow {
            for db in 0..shadow.engine.data.keyspace.count() {
                shadow.engine.txn(db).flush(db);
            }
        }
    }

    /// Makes the second engine begin anew, with nothing.
    pub(super) fn restart_shadow(&mut self) {
        if let Some(shadow) = &mut self.shadow {
            shadow.engine.forget_data();
            shadow.engine.replaying = ReplayState::default();
        }
    }
}
