//! The clock of the engine: time moves on, and what is due happens.
//!
//! Law: what is due is done within bounds; [`Engine::deadline`] says when to call again, and nothing polls. On a
//! replica only the master decides what is gone, and the extension stands still.
//! Not here: clocks (time comes in by the front door).

use super::Engine;
use crate::limits::EXPIRE_PER_TICK;
use crate::time::{Now, sooner};

impl Engine {
    /// Moves the time on. Wall time may step back (somebody set the clock); before it does, everything happens that was
    /// due at the time before, so that nothing that was gone returns.
    pub(crate) fn advance(&mut self, now: Now) {
        let before = self.now;
        let wall = now.wall_ms() as i64 - before.wall_ms() as i64;
        let mono = now.mono_ms.saturating_sub(before.mono_ms) as i64;
        if (wall - mono).abs() > 1000 && before != Now::default() {
            self.stats.clock_jumps += 1;
        }
        if wall < 0 && !self.loading && !self.data.frozen {
            while self.expire_due() > 0 {}
        }
        self.now = Now { mono_ms: now.mono_ms.max(before.mono_ms), ..now };
        self.data.access.set_time(now.wall_ms());
    }

    fn expire_due(&mut self) -> usize {
        let mut expired = 0;
        for db in 0..self.data.keyspace.count() {
            let database = self.data.keyspace.db(db);
            if database.has_dates() || database.with_dated_fields() > 0 {
                // Each key that goes is a unit of its own: nothing ties them together.
                for _ in 0..EXPIRE_PER_TICK {
                    if self.txn(db).expire_due(1) == 0 {
                        break;
                    }
                    expired += 1;
                    self.end_unit();
                }
                expired += self.txn(db).expire_fields_due(EXPIRE_PER_TICK);
                self.end_unit();
            }
        }
        expired
    }

    /// Does what is due, within bounds. If more is due, [`Self::deadline`] is not later than now.
    pub fn tick(&mut self, now: Now) {
        self.advance(now);
        self.look_after_replication();
        if self.loading {
            return;
        }
        self.end_pause_if_due();
        self.end_goes_on();
        self.expire_own();
        if self.active_expire && !self.data.frozen {
            let began = self.host.stopwatch_ns();
            self.expire_due();
            let took = self.host.stopwatch_ns().saturating_sub(began);
            self.stats.expire_ns += took;
            self.note_latency("expire-cycle", took);
        }
        self.evict_clients();
        self.make_room();
        self.answer_timeouts();
        if !self.is_replica() {
            self.with_extension(|extension, txn| extension.tick(txn));
            self.end_unit();
        }
        self.begin_what_is_due();
        self.close_idle();
        self.broadcast_changes();
        self.stats.rate.sample(now.mono_ms, self.stats.commands);
        let (input, output) = self.host.traffic();
        self.stats.input_rate.sample(now.mono_ms, input);
        self.stats.output_rate.sample(now.mono_ms, output);
        let replication = self.replication.counters;
        self.stats.replication_input_rate.sample(now.mono_ms, replication.input);
        self.stats.replication_output_rate.sample(now.mono_ms, replication.output);
    }

    /// When something is due next, in monotonic milliseconds.
    pub fn deadline(&self) -> Option<u64> {
        let replication = self.replication_deadline();
        if self.loading {
            return replication;
        }
        let dates =
            if self.active_expire && !self.data.frozen { self.data.keyspace.next_date() } else { None };
        // A key is gone from its date on; the clock has to reach it.
        let expiry = dates.map(|date| self.now.mono_ms + date.saturating_sub(self.now.wall_ms()));
        let extension = self.extension.as_ref().filter(|_| !self.is_replica());
        let extension = extension.and_then(|extension| extension.deadline(self.now));
        let pause = self.pause.map(|pause| pause.until);
        let persistence = self.persistence_deadline();
        let own = self.own_dates_deadline();
        let end = self.end_deadline();
        let due = [self.waiters.deadline(), extension, pause, persistence, replication, own, end];
        due.into_iter().fold(expiry, sooner)
    }
}
