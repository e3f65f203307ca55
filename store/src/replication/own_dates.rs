//! Keys with a date that clients wrote at a replica which lets them: nobody else lets these disappear.
//!
//! Law: a key goes at the date that it had when a client wrote it last. If its master wrote it meanwhile, it has
//! another date, and is the master's again.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::index::Callable;
use crate::engine::{ClientId, Engine};
use crate::limits::{EXPIRE_PER_TICK, OWN_DATES_MAX};
use crate::txn::DbKey;

/// Keys by date, and dates by key.
#[derive(Debug, Default)]
pub(super) struct OwnDates {
    by_date: BTreeSet<(u64, DbKey)>,
    by_key: BTreeMap<DbKey, u64>,
}

impl OwnDates {
    fn note(&mut self, key: &DbKey, date: Option<u64>) {
        if let Some(known) = self.by_key.remove(key) {
            self.by_date.remove(&(known, key.clone()));
        }
        if let Some(date) = date.filter(|_| self.by_key.len() < OWN_DATES_MAX) {
            self.by_key.insert(key.clone(), date);
            self.by_date.insert((date, key.clone()));
        }
    }

    /// The earliest date.
    fn next(&self) -> Option<u64> {
        self.by_date.first().map(|(date, _)| *date)
    }

    /// Takes the earliest key, if its date has passed.
    fn take_due(&mut self, wall_ms: u64) -> Option<(u64, DbKey)> {
        self.next().filter(|&date| date <= wall_ms)?;
        let first = self.by_date.pop_first()?;
        self.by_key.remove(&first.1);
        Some(first)
    }
}

impl Engine {
    /// A client writes at a replica which lets it: what is past its date goes, as at a master. Says whether that is so;
    /// [`Self::end_local_write`] has to follow then.
    pub(crate) fn begin_local_write(&mut self, client: ClientId, command: Callable) -> bool {
        let is_local = self.is_replica() && self.writes(client, command);
        if is_local {
            self.replication.local_write = true;
            self.data.touched.note_all_of_local_write(true);
            self.data.frozen = self.pause.is_some() || self.is_migrating();
        }
        is_local
    }

    /// The write is over.
    pub(crate) fn end_local_write(&mut self) {
        self.replication.local_write = false;
        self.data.touched.note_all_of_local_write(false);
        self.settle_frozen();
    }

    /// Notes the dates of keys that a unit touched.
    pub(crate) fn note_own_dates(&mut self, touched: &[DbKey]) {
        if !self.replication.local_write || !self.is_replica() {
            return;
        }
        for key in touched {
            let date = self.txn(key.0).raw_entry(&key.1).and_then(|entry| entry.expires_at());
            self.replication.own_dates.note(key, date);
        }
    }

    /// When the next of these keys goes, in monotonic milliseconds.
    pub(crate) fn own_dates_deadline(&self) -> Option<u64> {
        let date = self.replication.own_dates.next().filter(|_| self.active_expire)?;
        Some(self.now.mono_ms + date.saturating_sub(self.now.wall_ms()))
    }

    /// Lets keys go that are due, within bounds.
    pub(crate) fn expire_own(&mut self) {
        if !self.active_expire || !self.is_replica() {
            return;
        }
        for _ in 0..EXPIRE_PER_TICK {
            let Some((date, (db, key))) = self.replication.own_dates.take_due(self.now.wall_ms()) else {
                return;
            };
            self.txn(db).expire_if_dated(&key, date);
            self.end_unit();
        }
    }

    /// The keys are the master's from now on, or all are this server's own.
    pub(super) fn forget_own_dates(&mut self) {
        self.replication.own_dates = OwnDates::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_date_that_was_noted_last() {
        let key = |name: &str| (0, name.as_bytes().into());
        let mut dates = OwnDates::default();
        dates.note(&key("a"), Some(10));
        dates.note(&key("b"), Some(20));
        dates.note(&key("a"), Some(30));
        assert_eq!(dates.next(), Some(20));
        dates.note(&key("b"), None);
        assert_eq!((dates.take_due(29), dates.take_due(30)), (None, Some((30, key("a")))));
        assert_eq!((dates.next(), dates.by_key.len()), (None, 0));
    }
}
