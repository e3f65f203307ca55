//! The queue as an extension of the engine.

use std::any::Any;

use pbj_store::command::{Args, Command, Fault, Run};
use pbj_store::engine::Extension;
use pbj_store::resp::reply::Reply;
use pbj_store::time::Now;
use pbj_store::txn::Txn;

use crate::change::Change;
use crate::commands::{ROWS, VERBS};
use crate::index::Due;
use crate::keys::PREFIX;
use crate::limits::DUE_PER_TICK;
use crate::model::State;
use crate::queues::{Found, Queues};
use crate::record::{Head, field};

impl Queues {
    /// Handles one thing that is due.
    fn is_due(&mut self, txn: &mut Txn<'_>, at_ms: u64, due: Due) -> Result<(), Fault> {
        match due {
            Due::Schedule(slot) => self.schedule_is_due(txn, slot, at_ms),
            Due::Lock(slot) => {
                self.lock_is_due(txn, slot);
                Ok(())
            }
            Due::Job(queue, number) => {
                let mut txn = txn.in_db(self.queue(queue).db);
                let key = self.job_key(queue, number);
                match Head::read(&mut txn, &key)? {
                    Some(head) if head.recorded == Some(State::Leased) => {
                        self.lease_is_lost(&mut txn, &Found { queue, number, key, head })
                    }
                    Some(_) => self.become_ready(&mut txn, queue, number),
                    None => Ok(()),
                }
            }
        }
    }

    /// A lease ended without a word: the job goes back to its place in the queue, or is taken for what kills its
    /// workers.
    fn lease_is_lost(&mut self, txn: &mut Txn<'_>, job: &Found) -> Result<(), Fault> {
        let lost = job.head.lost.saturating_add(1);
        let now = self.steady_ms(txn);
        let mut change = Change::of(&job.head);
        change.lost(lost);
        self.queue_mut(job.queue).totals.lost += 1;
        let totals = &mut self.queue_mut(job.queue).totals;
        if job.head.cancelling {
            totals.cancelled += 1;
            return self.end_job(txn, job, change.state(State::Cancelled).ended(now), None);
        }
        if lost > job.head.lost_max {
            totals.dead += 1;
            change
                .state(State::Dead)
                .ended(now)
                .text(field::ERROR, b"its workers were lost too often")
                .text(field::ERROR_KIND, b"lost");
            return self.end_job(txn, job, &change, None);
        }
        self.move_job(txn, job, change.state(State::Ready))
    }

    fn pop_due(&mut self, txn: &Txn<'_>) -> Option<(u64, Due)> {
        let steady_ms = self.steady_ms(txn);
        self.steady_due.pop(steady_ms).or_else(|| self.calendar_due.pop(txn.now().wall_ms()))
    }
}

impl Extension for Queues {
    fn rows(&self) -> &'static [Command] {
        &ROWS
    }

    fn prefix(&self) -> &'static [u8] {
        PREFIX
    }

    fn call(&mut self, verb: u16, txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
        (VERBS[verb as usize].run)(self, txn, args, reply)
    }

    fn tick(&mut self, txn: &mut Txn<'_>) {
        for _ in 0..DUE_PER_TICK {
            let Some((at_ms, due)) = self.pop_due(txn) else { return };
            let done = self.is_due(txn, at_ms, due);
            debug_assert!(done.is_ok(), "{due:?}: {done:?}");
        }
    }

    fn deadline(&self, now: Now) -> Option<u64> {
        self.next_due(now)
    }

    fn loaded(&mut self, txn: &mut Txn<'_>) {
        let done = self
            .load(txn)
            .and_then(|()| self.mend_leases(txn))
            .and_then(|()| self.mend_locks(txn))
            .and_then(|()| self.catch_up(txn));
        debug_assert!(done.is_ok(), "{done:?}");
    }

    fn restarted(&mut self, txn: &mut Txn<'_>) {
        self.loaded(txn);
        let done = self.begin_epoch_after_losses(txn);
        debug_assert!(done.is_ok(), "{done:?}");
    }

    fn promoted(&mut self, txn: &mut Txn<'_>) {
        self.loaded(txn);
        let done = self.begin_epoch(txn);
        debug_assert!(done.is_ok(), "{done:?}");
    }

    fn emptied(&mut self, txn: &mut Txn<'_>) {
        let done = self.rebuild(txn);
        debug_assert!(done.is_ok(), "{done:?}");
    }

    fn expired(&mut self, db: usize, key: &[u8]) {
        Self::expired(self, db, key);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
