//! Locks: held by one owner at a time, for a limited time, under a token that only rises.
//!
//! A lock that is held is a hash; one that is free is nothing. Tokens come from one counter for all locks of a
//! database, so that a lock that was free for a year still gives a larger one.

use std::collections::{BTreeMap, BTreeSet};

use pbj_store::command::Fault;
use pbj_store::txn::Txn;

use crate::index::Due;
use crate::keys::KeyName;
use crate::limits::RESTART_GRACE_MS;
use crate::model::Token;
use crate::queues::{Counter, Queues, Scoped};
use crate::record::{Fields, parse_number};

/// Names of the fields.
mod field {
    pub(super) const OWNER: &[u8] = b"owner";
    pub(super) const TOKEN: &[u8] = b"token";
    pub(super) const UNTIL: &[u8] = b"until";
    pub(super) const TTL: &[u8] = b"ttl";
    pub(super) const TOKENS: &[u8] = b"tokens";
}

/// A lock that is held.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    db: usize,
    name: Box<[u8]>,
    pub(crate) owner: Box<[u8]>,
    pub(crate) token: Token,
    /// Steady milliseconds.
    pub(crate) until: u64,
    ttl_ms: u64,
}

/// All locks that are held.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    by_name: BTreeMap<Scoped, u32>,
    slots: Vec<Option<Held>>,
    free: Vec<u32>,
    counters: BTreeMap<usize, Counter>,
}

impl Locks {
    /// What is left when all locks are forgotten: tokens go on rising.
    pub(crate) fn emptied(&self) -> Self {
        let mut emptied = Self::default();
        for (&db, counter) in &self.counters {
            emptied.counters.entry(db).or_default().raise(counter.last());
        }
        emptied
    }

    /// The largest token that was given out in any database.
    pub(crate) fn last_token(&self) -> u64 {
        self.counters.values().map(|counter| counter.last()).max().unwrap_or(0)
    }

    /// Gives out only larger tokens from now on.
    pub(crate) fn raise_tokens(&mut self, last: u64) {
        self.counters.values_mut().for_each(|counter| counter.raise(last));
    }

    fn slot_of(&self, db: usize, name: &[u8]) -> Option<u32> {
        self.by_name.get(&(db, Box::from(name))).copied()
    }

    fn put(&mut self, held: Held) -> u32 {
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        self.by_name.insert((held.db, held.name.clone()), slot);
        match self.slots.get_mut(slot as usize) {
            Some(place) => *place = Some(held),
            None => self.slots.push(Some(held)),
        }
        slot
    }

    /// Database and name of the lock in a slot.
    pub(crate) fn name_of(&self, slot: u32) -> Option<(usize, String)> {
        let held = self.slots.get(slot as usize)?.as_ref()?;
        Some((held.db, held.name.escape_ascii().to_string()))
    }

    /// Adds everything to an outline.
    pub(crate) fn outline(&self, lines: &mut BTreeSet<String>) {
        for held in self.slots.iter().flatten() {
            lines.insert(format!(
                "lock {}/{} of {} token {} until {} ttl {}",
                held.db,
                held.name.escape_ascii(),
                held.owner.escape_ascii(),
                held.token.0,
                held.until,
                held.ttl_ms
            ));
        }
        for (db, counter) in self.counters.iter().filter(|(_, counter)| counter.reserved() > 0) {
            lines.insert(format!("lock tokens of {db} reserved {}", counter.reserved()));
        }
    }

    fn take(&mut self, slot: u32) -> Option<Held> {
        let held = self.slots.get_mut(slot as usize)?.take()?;
        self.by_name.remove(&(held.db, held.name.clone()));
        self.free.push(slot);
        Some(held)
    }
}

impl Queues {
    /// Number of locks that are held.
    pub fn lock_count(&self) -> usize {
        self.locks.by_name.len()
    }

    /// Who holds a lock.
    pub(crate) fn lock_holder(&self, db: usize, name: &[u8]) -> Option<&Held> {
        self.locks.slots.get(self.locks.slot_of(db, name)? as usize)?.as_ref()
    }

    /// Gives a lock that is free to an owner.
    pub(crate) fn take_lock(
        &mut self,
        txn: &mut Txn<'_>,
        name: &[u8],
        owner: &[u8],
        ttl_ms: u64,
    ) -> Result<Token, Fault> {
        let db = txn.db();
        let floor = self.epoch;
        let counter = self.locks.counters.entry(db).or_default();
        counter.raise(floor);
        let token = Token(counter.next(txn, &KeyName::Locks.to_key(), field::TOKENS)?);
        let until = self.steady_ms(txn) + ttl_ms;
        Fields::default()
            .text(field::OWNER, owner)
            .number(field::TOKEN, token.0)
            .number(field::UNTIL, until)
            .number(field::TTL, ttl_ms)
            .write(txn, &KeyName::Lock(name).to_key())?;
        let slot = self.locks.put(Held { db, name: name.into(), owner: owner.into(), token, until, ttl_ms });
        self.steady_due.add(until, Due::Lock(slot));
        Ok(token)
    }

    fn held_lock(&self, db: usize, name: &[u8], token: u64) -> Result<(u32, Held), Fault> {
        let held = self.locks.slot_of(db, name).zip(self.lock_holder(db, name));
        match held {
            Some((slot, held)) if held.token == Token(token) => Ok((slot, held.clone())),
            other => {
                let state = if other.is_some() { "held under another token" } else { "free" };
                Err(Fault::Stale(format!("{} {state}", String::from_utf8_lossy(name))))
            }
        }
    }

    /// Lets the holder of a token keep a lock longer; returns until when, in steady milliseconds.
    pub(crate) fn extend_lock(
        &mut self,
        txn: &mut Txn<'_>,
        name: &[u8],
        token: u64,
        ttl_ms: Option<u64>,
    ) -> Result<u64, Fault> {
        let (slot, held) = self.held_lock(txn.db(), name, token)?;
        let ttl_ms = ttl_ms.unwrap_or(held.ttl_ms);
        let until = self.steady_ms(txn) + ttl_ms;
        self.move_lock_end(txn, slot, &held, until, ttl_ms)?;
        Ok(until)
    }

    fn move_lock_end(
        &mut self,
        txn: &mut Txn<'_>,
        slot: u32,
        held: &Held,
        until: u64,
        ttl_ms: u64,
    ) -> Result<(), Fault> {
        Fields::default()
            .number(field::UNTIL, until)
            .unless_default(field::TTL, ttl_ms, held.ttl_ms)
            .write(txn, &KeyName::Lock(&held.name).to_key())?;
        self.steady_due.remove(held.until, Due::Lock(slot));
        self.steady_due.add(until, Due::Lock(slot));
        if let Some(Some(held)) = self.locks.slots.get_mut(slot as usize) {
            held.until = until;
            held.ttl_ms = ttl_ms;
        }
        Ok(())
    }

    /// Lets the holder of a token give a lock back.
    pub(crate) fn drop_lock(&mut self, txn: &mut Txn<'_>, name: &[u8], token: u64) -> Result<(), Fault> {
        let (slot, held) = self.held_lock(txn.db(), name, token)?;
        self.steady_due.remove(held.until, Due::Lock(slot));
        self.locks.take(slot);
        txn.remove(&KeyName::Lock(name).to_key());
        Ok(())
    }

    /// The time of a lock is over.
    pub(crate) fn lock_is_due(&mut self, txn: &mut Txn<'_>, slot: u32) {
        if let Some(held) = self.locks.take(slot) {
            txn.in_db(held.db).remove(&KeyName::Lock(&held.name).to_key());
        }
    }

    /// Takes over a lock from its hash.
    pub(crate) fn adopt_lock(&mut self, txn: &mut Txn<'_>, key: &[u8], name: &[u8]) -> Result<(), Fault> {
        let (mut owner, mut token, mut until, mut ttl_ms) = (Box::default(), 0, 0, 0);
        txn.hash_fields(key, |field, value| match field {
            field::OWNER => owner = value.into(),
            field::TOKEN => token = parse_number(value).unwrap_or(0),
            field::UNTIL => until = parse_number(value).unwrap_or(0),
            field::TTL => ttl_ms = parse_number(value).unwrap_or(0),
            _ => {}
        })?;
        let db = txn.db();
        let held = Held { db, name: name.into(), owner, token: Token(token), until, ttl_ms };
        let slot = self.locks.put(held);
        self.steady_due.add(until, Due::Lock(slot));
        Ok(())
    }

    /// Takes over how far the tokens of locks were given out.
    pub(crate) fn adopt_lock_counter(&mut self, txn: &mut Txn<'_>, key: &[u8]) -> Result<(), Fault> {
        let reserved = txn.hash_field(key, field::TOKENS)?.and_then(|text| parse_number(&text)).unwrap_or(0);
        let counter = self.locks.counters.entry(txn.db()).or_default();
        let floor = counter.last();
        *counter = Counter::starting(reserved);
        counter.raise(floor);
        Ok(())
    }

    /// Lets locks that ended while the daemon was down, or would last longer than they were given, end at a sensible
    /// time.
    pub(crate) fn mend_locks(&mut self, txn: &mut Txn<'_>) -> Result<(), Fault> {
        let now = self.steady_ms(txn);
        let all: Vec<(u32, Held)> =
            (0..).zip(&self.locks.slots).filter_map(|(slot, held)| Some((slot, held.clone()?))).collect();
        for (slot, held) in all {
            let until = held.until.clamp(now + RESTART_GRACE_MS.min(held.ttl_ms), now + held.ttl_ms);
            if until != held.until {
                self.move_lock_end(&mut txn.in_db(held.db), slot, &held, until, held.ttl_ms)?;
            }
        }
        Ok(())
    }
}
