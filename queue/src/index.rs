//! What is derived from jobs: their order, their deadlines, their numbers.
//!
//! Law: everything here is a function of the hashes of jobs, and is made again from them after a load. Verbs change a
//! hash and its place here together, in [`crate::queues`].

use std::collections::BTreeMap;
use std::ops::AddAssign;

use crate::durations::Durations;
use crate::line::Line;
use crate::model::State;
use crate::record::Head;

/// Number of a queue among all queues of all databases.
pub(crate) type QueueNumber = u32;

/// Something that becomes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// A delayed job becomes ready, or a lease ends.
    Job(QueueNumber, u64),
    /// A schedule fires.
    Schedule(u32),
    /// A lock ends.
    Lock(u32),
}

/// Things by the time at which they become due.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    entries: Line<(u64, Due)>,
}

impl Timeline {
    pub(crate) fn add(&mut self, at_ms: u64, due: Due) {
        self.entries.insert((at_ms, due));
    }

    /// Says whether it was there.
    pub(crate) fn remove(&mut self, at_ms: u64, due: Due) -> bool {
        self.entries.remove((at_ms, due))
    }

    /// Takes the first thing that is due at a time.
    pub(crate) fn pop(&mut self, now_ms: u64) -> Option<(u64, Due)> {
        if self.next_ms()? > now_ms {
            return None;
        }
        self.entries.pop_first()
    }

    /// When the first thing is due.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.entries.first().map(|(at, _)| at)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(u64, Due)> {
        self.entries.iter()
    }
}

/// Ready jobs in the order in which they are fetched: by priority, then by how long they have been ready, then by
/// number.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    lines: BTreeMap<i16, Line<(u64, u64)>>,
}

impl Ready {
    pub(crate) fn insert(&mut self, prio: i16, since_ms: u64, number: u64) {
        self.lines.entry(prio).or_default().insert((since_ms, number));
    }

    /// Says whether it was there.
    pub(crate) fn remove(&mut self, prio: i16, since_ms: u64, number: u64) -> bool {
        let Some(line) = self.lines.get_mut(&prio) else { return false };
        let removed = line.remove((since_ms, number));
        if line.is_empty() {
            self.lines.remove(&prio);
        }
        removed
    }

    /// How many jobs there are.
    pub(crate) fn len(&self) -> usize {
        self.lines.values().map(Line::len).sum()
    }

    /// The number of the next job.
    pub(crate) fn first(&self) -> Option<u64> {
        self.lines.values().next().and_then(Line::first).map(|(_, number)| number)
    }

    /// Since when the job that waits longest has been ready.
    pub(crate) fn oldest_ms(&self) -> Option<u64> {
        self.lines.values().filter_map(|line| line.first().map(|(since, _)| since)).min()
    }
}

/// How many jobs there are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([usize; State::ALL.len()]);

impl Counts {
    /// Jobs in a state.
    pub fn of(&self, state: State) -> usize {
        self.0[state as usize]
    }

    pub(crate) fn add(&mut self, state: State) {
        self.0[state as usize] += 1;
    }

    pub(crate) fn remove(&mut self, state: State) {
        self.0[state as usize] -= 1;
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
    }
}

/// What happened to the jobs of a queue since the start of the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Pushed by clients.
    pub pushed: u64,
    /// Pushed by schedules.
    pub scheduled: u64,
    /// Delivered to workers.
    pub fetched: u64,
    /// Finished well.
    pub done: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Failures that will be tried again.
    pub retried: u64,
    /// Given up.
    pub dead: u64,
    /// Called off.
    pub cancelled: u64,
    /// Given back without having been tried.
    pub released: u64,
    /// Leases that ended without a word.
    pub lost: u64,
    /// Leases that were extended.
    pub extended: u64,
    /// Worker verbs that came too late.
    pub stale: u64,
    /// From ready to delivered.
    pub waits: Durations,
    /// From delivered to settled by its worker.
    pub runs: Durations,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.pushed += other.pushed;
        self.scheduled += other.scheduled;
        self.fetched += other.fetched;
        self.done += other.done;
        self.failed += other.failed;
        self.retried += other.retried;
        self.dead += other.dead;
        self.cancelled += other.cancelled;
        self.released += other.released;
        self.lost += other.lost;
        self.extended += other.extended;
        self.stale += other.stale;
        self.waits += other.waits;
        self.runs += other.runs;
    }
}

/// A job that is over and will be forgotten at a date.
#[derive(Debug)]
pub(crate) struct Dated {
    pub(crate) state: State,
    /// The id its client chose: it must be forgotten with the job, whose hash is gone by then.
    pub(crate) alias: Option<Box<[u8]>>,
}

/// The index of one queue.
#[derive(Debug, Default)]
pub(crate) struct QueueIndex {
    pub(crate) ready: Ready,
    pub(crate) counts: Counts,
    /// Done and cancelled jobs without a date, the oldest first.
    pub(crate) finished: Line<(u64, u64)>,
    /// Dead jobs without a date, the oldest first.
    pub(crate) dead: Line<(u64, u64)>,
    /// Jobs that are over and have a date.
    pub(crate) dated: BTreeMap<u64, Dated>,
}

impl QueueIndex {
    /// The line in which a job that is over waits to be forgotten.
    pub(crate) fn line_of(&mut self, state: State) -> &mut Line<(u64, u64)> {
        if state == State::Dead { &mut self.dead } else { &mut self.finished }
    }
}

/// Where a job stands in the index: what its head says, but for a delayed job whose time has come and which nobody has
/// moved yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Ready { prio: i16, since_ms: u64 },
    Delayed { at_ms: u64, calendar: bool },
    Leased { until_ms: u64 },
    Over { state: State, ended_ms: u64, dated: bool },
}

impl Place {
    /// The place of a job, with the times of both clocks.
    pub(crate) fn of(head: &Head, steady_ms: u64, wall_ms: u64, dated: bool) -> Self {
        let now_ms = if head.calendar { wall_ms } else { steady_ms };
        match head.state(now_ms) {
            State::Ready => Self::Ready { prio: head.prio, since_ms: head.ready_since() },
            State::Delayed => Self::Delayed { at_ms: head.ready_since(), calendar: head.calendar },
            State::Leased => Self::Leased { until_ms: head.until },
            state => Self::Over { state, ended_ms: head.ended, dated },
        }
    }

    pub(crate) fn state(self) -> State {
        match self {
            Self::Ready { .. } => State::Ready,
            Self::Delayed { .. } => State::Delayed,
            Self::Leased { .. } => State::Leased,
            Self::Over { state, .. } => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urgent_first_then_patient_first() {
        let mut ready = Ready::default();
        for (prio, since, number) in [(0, 10, 1), (0, 5, 2), (-1, 20, 3), (7, 1, 4), (0, 5, 0)] {
            ready.insert(prio, since, number);
        }
        let mut order = Vec::new();
        while let Some(number) = ready.first() {
            order.push(number);
            let (prio, since) = [(0, 10), (0, 5), (-1, 20), (7, 1), (0, 5)][match number {
                1 => 0,
                2 => 1,
                3 => 2,
                4 => 3,
                _ => 4,
            }];
            assert!(ready.remove(prio, since, number));
        }
        assert_eq!(order, [3, 0, 2, 1, 4]);
        assert_eq!(ready.oldest_ms(), None);
    }

    #[test]
    fn what_is_due_comes_in_order_and_not_before() {
        let mut timeline = Timeline::default();
        timeline.add(30, Due::Job(0, 1));
        timeline.add(10, Due::Schedule(4));
        assert_eq!(timeline.next_ms(), Some(10));
        assert_eq!(timeline.pop(9), None);
        assert_eq!(timeline.pop(30), Some((10, Due::Schedule(4))));
        assert!(timeline.remove(30, Due::Job(0, 1)) && !timeline.remove(30, Due::Job(0, 1)));
    }
}
