//! How a replica takes the whole dataset of its master over.
//!
//! Law: what comes in is checked as it comes. With `repl-diskless-load swapdb` it grows beside the old data, which is
//! there until the new is whole, and served if it is of the same history: that of another one would be another answer,
//! not an older one. Otherwise the old data goes when the new begins, and nothing is served meanwhile.
//! What comes in is stated to the own log as effects; replicas of this one have to ask again.

use super::backlog::Backlog;
use super::full_sync::MARK;
use super::history::{History, new_id};
use super::master::{LinkFault, Stage};
use crate::engine::{Engine, EngineOptions, NoHost};
use crate::keyspace::Keyspace;
use crate::rdb::{LoadOptions, LoadedSnapshot, SnapshotLoader};
use crate::resp::reply::write_command;
use crate::table::Keyed;

/// How the end of a dataset is known.
#[derive(Clone, Debug)]
pub(super) enum Framing {
    /// After so many bytes more.
    Length(u64),
    /// By this mark behind it.
    Mark(Vec<u8>),
}

/// A dataset that comes in.
pub(super) struct Transfer {
    framing: Framing,
    loader: Option<SnapshotLoader>,
    loaded: Option<LoadedSnapshot>,
    /// Bytes behind the dataset: its mark.
    tail: Vec<u8>,
    /// Bytes so far.
    pub(super) seen: u64,
    /// The history that it begins.
    begins: Option<(String, u64)>,
    /// Where it grows, if not in the place of the old data.
    aside: Option<Box<Engine>>,
    /// The old data is served meanwhile.
    serves: bool,
}

impl Transfer {
    /// Prepares an engine for a dataset.
    pub(super) fn begin(engine: &mut Engine, framing: Framing, begins: Option<(String, u64)>) -> Self {
        let aside = (engine.config.text("repl-diskless-load") == "swapdb").then(|| engine.place_aside());
        let goes_on = begins.as_ref().is_some_and(|(id, _)| *id == engine.replication.history.id);
        let serves = aside.is_some() && goes_on;
        if aside.is_none() {
            engine.empty_for_master();
        }
        engine.loading |= !serves;
        let stated = engine.log_wanted && aside.is_none();
        let options = LoadOptions { keep_expired: true, replace: false, stated };
        let loader = Some(SnapshotLoader::new(engine, options));
        engine.note(match (&aside, serves) {
            (Some(_), true) => {
                "MASTER <-> REPLICA sync: Loading DB in memory; the old data is served meanwhile"
            }
            (Some(_), false) => "MASTER <-> REPLICA sync: Loading DB in memory; the old data waits meanwhile",
            (None, _) => "MASTER <-> REPLICA sync: Loading DB in memory; the old data is gone",
        });
        Self { framing, loader, loaded: None, tail: Vec::new(), seen: 0, begins, aside, serves }
    }

    /// Whether the old data is gone.
    pub(super) fn replaces(&self) -> bool {
        self.aside.is_none()
    }

    /// Bytes that the master said there are.
    pub(super) fn total(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(left) => Some(self.seen + left),
            Framing::Mark(_) => None,
        }
    }

    /// Takes bytes; says whether everything is there. What is not the dataset's stays in `input`.
    fn take(&mut self, engine: &mut Engine, input: &mut Vec<u8>) -> Result<bool, LinkFault> {
        let mine = match &mut self.framing {
            Framing::Length(left) => {
                let mine = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= mine as u64;
                mine
            }
            Framing::Mark(_) => input.len(),
        };
        let bytes: Vec<u8> = input.drain(..mine).collect();
        self.seen += bytes.len() as u64;
        let damaged = |text: String| LinkFault::Damaged(text);
        match self.loader.take() {
            None => self.tail.extend_from_slice(&bytes),
            Some(mut loader) => {
                let now = engine.now();
                let target = self.aside.as_deref_mut().unwrap_or(engine);
                let ended = loader.feed(target, now, &bytes).map_err(|fault| damaged(fault.to_string()))?;
                if ended {
                    let (loaded, rest) = loader.finish().map_err(|fault| damaged(fault.to_string()))?;
                    self.loaded = Some(loaded);
                    self.tail = rest;
                } else {
                    self.loader = Some(loader);
                }
            }
        }
        match &self.framing {
            Framing::Length(0) if self.loaded.is_none() || !self.tail.is_empty() => {
                Err(damaged("the dataset is not as long as it was said to be".to_owned()))
            }
            Framing::Length(left) => Ok(*left == 0),
            Framing::Mark(_) if self.tail.len() < MARK => Ok(false),
            Framing::Mark(mark) if self.tail == *mark => Ok(true),
            Framing::Mark(_) => {
                Err(damaged("there is something else than the mark behind the dataset".to_owned()))
            }
        }
    }
}

impl Engine {
    /// An empty engine whose keys can be exchanged for those of this one.
    fn place_aside(&mut self) -> Box<Self> {
        let options = EngineOptions {
            config: self.config.clone(),
            seed: 1,
            extension: None,
            host: Box::new(NoHost),
            now: self.now,
        };
        let mut aside = Self::new(options);
        aside.data.keyspace = Keyspace::new(self.data.keyspace.count(), self.data.keyspace.hash_key());
        aside.data.reserved = self.data.reserved;
        Box::new(aside)
    }

    /// Makes room for the dataset of a master.
    fn empty_for_master(&mut self) {
        self.replication.history.is_whole = false;
        self.detach_all();
        self.drop_backlog();
        self.loading = true;
        self.empty_for_load(self.log_wanted);
        self.end_unit();
    }

    /// Takes bytes of a dataset.
    pub(super) fn take_dataset(&mut self) -> Result<(), LinkFault> {
        let Some(master) = &mut self.replication.master else { return Err(LinkFault::Outdated) };
        if !matches!(master.stage, Stage::Transfer(_)) {
            return Ok(());
        }
        let (mut input, attempt) = (std::mem::take(&mut master.input), master.attempt);
        // Out of its place while it works on the engine.
        let Stage::Transfer(mut transfer) = std::mem::replace(&mut master.stage, Stage::Apart) else {
            return Ok(());
        };
        let taken = transfer.take(self, &mut input);
        self.end_unit();
        let whole = match &taken {
            Ok(whole) => *whole,
            Err(_) => false,
        };
        if whole {
            self.dataset_is_whole(*transfer);
        } else if let Some(master) = &mut self.replication.master
            && master.attempt == attempt
        {
            master.stage = Stage::Transfer(transfer);
        }
        if let Some(master) = &mut self.replication.master {
            master.input = input;
        }
        taken.map(|_| ())
    }

    fn dataset_is_whole(&mut self, transfer: Transfer) {
        let Transfer { aside, begins, loaded, .. } = transfer;
        let loaded = loaded.unwrap_or_default();
        self.loading = false;
        if let Some(aside) = aside {
            self.exchange_for(*aside);
        }
        let (id, offset) = begins.unwrap_or_else(|| (new_id(&mut self.data.rng), 0));
        self.replication.history = History { id, former: None, is_whole: true };
        self.data.feed.set_replica_offset(offset);
        self.replication.backlog = Some(Backlog::new(offset));
        self.replication.marks.clear();
        self.forget_own_dates();
        self.settle_feed();
        let db = loaded.fact("repl-stream-db").and_then(|db| db.parse().ok()).unwrap_or(0);
        self.note(&format!("MASTER <-> REPLICA sync: Finished with success, {} keys", loaded.keys));
        if let Some(master) = &mut self.replication.master {
            master.db = db;
            master.parsed = Default::default();
        }
        self.become_connected();
    }

    /// Takes the keys and functions of another engine in the place of the own ones.
    fn exchange_for(&mut self, mut aside: Self) {
        self.detach_all();
        self.drop_backlog();
        self.forget_shadow();
        for db in 0..self.data.keyspace.count() {
            self.txn(db).flush(db);
        }
        self.flush_functions();
        if self.log_wanted {
            self.txn(0).effect(&[b"FLUSHALL"]);
            self.data.feed.effect_anywhere(&[b"FUNCTION", b"FLUSH"]);
        }
        self.end_unit();
        // A snapshot that is being written is one of keys that go now.
        if let Some(walk) = self.current_walk() {
            self.end_walk(walk);
        }
        std::mem::swap(&mut self.data.keyspace, &mut aside.data.keyspace);
        for code in aside.library_codes() {
            // It was checked when it came in.
            if self.load_library(code, true, false).is_ok() && self.log_wanted {
                self.data.feed.effect_anywhere(&[b"FUNCTION", b"LOAD", b"REPLACE", code]);
            }
        }
        if self.log_wanted {
            self.state_all_keys();
        }
        self.end_unit();
    }

    /// States all keys as effects: the log does not come to them by itself.
    fn state_all_keys(&mut self) {
        for db in 0..self.data.keyspace.count() {
            let database = self.data.keyspace.db(db);
            let keys: Vec<(Box<[u8]>, Option<u64>)> =
                database.iter().map(|entry| (entry.key().into(), entry.expires_at())).collect();
            for (key, date) in keys {
                crate::rdb::state(&mut self.txn(db), &key, date);
            }
        }
    }

    /// Forgets what came of a dataset that will not become whole.
    pub(super) fn give_up_transfer(&mut self, replaces: bool) {
        self.note("MASTER <-> REPLICA sync: Internal error in RDB: it ended before it was whole");
        if replaces {
            self.empty_for_load(self.log_wanted);
        }
        self.loading = false;
        self.end_unit();
    }

    /// Whether the dataset of a master comes in.
    pub(crate) fn takes_dataset_over(&self) -> bool {
        self.replication.master.as_ref().is_some_and(super::master::Master::is_taking_over)
    }

    /// Whether a dataset grows beside old data that is served meanwhile.
    pub(crate) fn loads_aside(&self) -> bool {
        let stage = self.replication.master.as_ref().map(|master| &master.stage);
        matches!(stage, Some(Stage::Transfer(transfer)) if transfer.serves)
    }

    /// Tells the master that the dataset is being loaded, so that it goes on waiting.
    pub(super) fn soothe_master(&mut self) {
        if let Some(master) = &mut self.replication.master
            && master.is_taking_over()
        {
            master.output.push(b'\n');
        }
    }

    /// The stream comes in from now on.
    pub(super) fn become_connected(&mut self) {
        let offset = self.data.feed.replica_offset();
        let synced = self.synced_offset();
        let now = self.now.mono_ms;
        if let Some(master) = &mut self.replication.master {
            master.stage = Stage::Connected;
            master.down_since = None;
            master.from_nothing = false;
            master.takes_over = false;
            master.told_at = now;
            write_ack(&mut master.output, offset, synced);
        }
    }
}

/// Says how far this replica is, and how far its disk.
pub(super) fn write_ack(out: &mut Vec<u8>, offset: u64, synced: Option<u64>) {
    let offset = offset.to_string();
    match synced.map(|synced| synced.to_string()) {
        None => write_command(out, &[b"REPLCONF", b"ACK", offset.as_bytes()]),
        Some(synced) => {
            write_command(out, &[b"REPLCONF", b"ACK", offset.as_bytes(), b"FACK", synced.as_bytes()]);
        }
    }
}
