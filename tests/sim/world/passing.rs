//! Time passes: what is due is done, frames are written, syncs begin and end.

use pbj_store::durable::SyncPolicy;

use super::World;
use crate::lab::FaultyDisk;
use crate::lab::server::Answer;
use crate::sim::model::Event;

impl World {
    pub(super) fn schedule_write(&mut self) {
        if self.write_at.is_none() && self.server.wants_to_write() {
            self.write_at = Some(self.mono_ms() + self.rng.u64(..=self.weather.write_max_ms));
        }
    }

    /// Lets time pass, with everything that is due meanwhile.
    pub fn pass_ms(&mut self, ms: u64) {
        let end = self.mono_ms() + ms;
        for turn in 0.. {
            assert!(turn < 200_000, "time stands still: something is due again and again");
            let now = self.mono_ms();
            let tick = self.server.engine.deadline().unwrap_or(u64::MAX).min(self.ticked_at + 1000);
            let sync = if self.sync_ends_at.is_none() { self.server.sync_due_ms(now) } else { None };
            let retry = self.server.pace().retry_at_ms().unwrap_or(0);
            let write = self.write_at.map(|at| at.max(retry));
            let write = write.filter(|&at| self.server.may_write(now.max(at)));
            let next =
                [Some(tick), write, sync, self.sync_ends_at].into_iter().flatten().min().unwrap_or(end);
            // A crash on the way takes time, too.
            if next > end.max(now) {
                break;
            }
            self.clock.pass_until(next);
            let now = self.mono_ms();
            if self.sync_ends_at.is_some_and(|at| at <= now) {
                self.end_sync();
            } else if write.is_some_and(|at| at <= now) {
                self.write();
            } else if sync.is_some_and(|at| at <= now) {
                self.begin_sync();
            } else {
                self.tick();
            }
        }
        self.clock.pass_until(end);
    }

    pub(in crate::sim) fn tick(&mut self) {
        self.ticked_at = self.mono_ms();
        let answer = self.server.tick(self.clock.now());
        self.just_set_back = false;
        self.note_passing(&answer);
        self.schedule_write();
        self.deliver();
    }

    /// Something came about because time has passed, and nobody asked for it.
    pub(super) fn note_passing(&mut self, answer: &Answer) {
        if answer.offsets.0 != answer.offsets.1 {
            let moment = self.moment(answer.offsets.0, answer.offsets.1);
            self.observe(moment, Event::Ticked);
        }
        self.take_note(answer);
    }

    /// Before anything is due nothing happens; if something does, [`pbj_store::engine::Engine::deadline`] was too late.
    pub fn tick_early(&mut self) {
        let deadline = self.server.engine.deadline();
        if self.wall_set_ms != 0 || deadline.is_some_and(|deadline| deadline <= self.mono_ms()) {
            return;
        }
        let before = self.server.queues().outline();
        let answer = self.server.tick(self.clock.now());
        let after = self.server.queues().outline();
        assert!(
            answer.offsets.0 == answer.offsets.1 && answer.woken.is_empty() && before == after,
            "something was due before the deadline {deadline:?}: {:?}, {:?}",
            answer.woken,
            before.symmetric_difference(&after).collect::<Vec<_>>()
        );
    }

    pub(super) fn write(&mut self) {
        self.write_at = None;
        match self.server.write(self.mono_ms()) {
            Ok(_) => {
                self.written.push((self.server.pace().written(), self.mono_ms()));
                self.deliver();
            }
            Err(error) => self.disk_failed(&error.to_string()),
        }
        self.note_health();
        self.schedule_write();
    }

    /// The log has grown: it is rewritten, unless it is already.
    pub fn rewrite(&mut self) {
        self.note("a rewrite is asked for");
        self.server.ask_rewrite();
    }

    /// Whether the log is being rewritten.
    pub fn is_rewriting(&self) -> bool {
        self.server.is_rewriting()
    }

    /// A rewrite takes a step.
    pub fn rewrite_on(&mut self) {
        let visits = self.rng.usize(1..100);
        match self.server.rewrite_on(visits) {
            Ok(finished) => self.tally.rewrites += u64::from(finished),
            Err(error) if self.disk.is_dark() => return self.disk_failed(&error.to_string()),
            Err(error) => self.note(&format!("the rewrite fails: {error}")),
        }
        self.note_increment();
        self.note_health();
        self.schedule_write();
    }

    /// What had failed may work again.
    fn note_health(&mut self) {
        if self.failed_at.is_some() && !self.server.is_broken() {
            self.note("the log is sound again");
            self.failed_at = None;
            self.tally.heals += 1;
        }
    }

    /// Whether the log has to begin anew, and nobody has asked for that yet.
    pub fn wants_healing(&self) -> bool {
        self.server.wants_healing()
    }

    /// Remembers where in the history the newest increment begins.
    pub(super) fn note_increment(&mut self) {
        if self.server.is_lost() {
            self.increment_lost = true;
            return;
        }
        let begins = self.base + self.server.engine.offset();
        let newest = self.server.increment().to_owned();
        if self.increment_lost || self.increments.last().is_none_or(|(name, _)| *name != newest) {
            self.increments.push((newest, begins));
            self.increment_lost = false;
        }
    }

    pub(super) fn begin_sync(&mut self) {
        self.server.sync_begins(self.mono_ms());
        self.sync_ends_at = Some(self.mono_ms() + self.rng.u64(..=self.weather.sync_max_ms));
    }

    pub(super) fn end_sync(&mut self) {
        self.sync_ends_at = None;
        match self.server.sync_ends() {
            Ok(_) => {
                self.schedule_write();
                self.deliver();
            }
            Err(error) => self.disk_failed(&error.to_string()),
        }
    }

    /// Under `always` the process ends; otherwise it goes on without writes until the log is sound again. Who waits
    /// for a reply that depends on it is cut off.
    pub(super) fn disk_failed(&mut self, error: &str) {
        self.note(&format!("the disk fails: {error}"));
        self.failed_at.get_or_insert(self.mono_ms());
        if self.disk.is_dark() {
            self.crash(true);
        } else if self.server.pace().policy() == SyncPolicy::Always {
            self.crash(false);
        } else {
            self.increment_lost |= self.server.is_lost();
            if !self.server.pace().is_syncing() {
                self.sync_ends_at = None;
            }
            self.deliver();
            for number in 0..self.guests.len() {
                if matches!(self.guests[number].pending, Some((_, None))) {
                    self.hang_up(number);
                }
            }
        }
        if self.rng.bool() {
            self.disk.set_room(None);
        }
    }

    /// Whether writing has failed in this life of the server.
    pub fn has_failed(&self) -> bool {
        self.failed_at.is_some()
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&mut self, ms: i64) {
        self.note(&format!("the wall clock is set by {ms} ms"));
        self.clock.set_wall_by_ms(ms);
        self.wall_set_ms += ms;
        self.was_set_back |= ms < 0;
        if ms < 0 {
            self.dates_blurred = true;
            self.set_back = true;
            self.just_set_back = true;
        }
    }

    /// The disk that will fail.
    pub fn disk(&self) -> &FaultyDisk {
        &self.disk
    }
}
