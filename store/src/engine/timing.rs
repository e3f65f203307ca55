//! How long commands take, without asking the stopwatch for each of them.
//!
//! A reading costs a tenth of a GET. Commands that take constant or logarithmic time are measured together, up to the
//! next reading, and share the time evenly; every other command is measured alone.

use super::Engine;
use crate::command::flags;
use crate::command::index::Callable;

/// A command with more arguments is measured alone, however fast it is for each of them.
const MANY_ARGUMENTS: usize = 64;

/// Fast commands since the last reading.
#[derive(Default)]
pub(super) struct Timing {
    since_ns: u64,
    fast: Vec<(u16, u64)>,
    fast_runs: u64,
    /// Time that the command at hand takes beyond what the stopwatch shows.
    charged_ns: u64,
    /// Every command is measured alone.
    pub(super) exact: bool,
    /// `latency-tracking`.
    pub(super) keeps_durations: bool,
}

impl Timing {
    /// Adds time to the command that runs.
    pub(super) fn charge_ns(&mut self, ns: u64) {
        self.charged_ns = self.charged_ns.saturating_add(ns);
    }

    fn measures_alone(&self, command: Callable, args: usize) -> bool {
        self.exact || args > MANY_ARGUMENTS || !command.row.is(flags::FAST)
    }
}

/// The measuring of a command that runs others, as it was when it began.
pub(crate) struct Outer {
    began_ns: u64,
    exact: bool,
}

impl Engine {
    /// The command at hand, which is measured alone, begins to run others; each of them is measured alone too.
    pub(crate) fn begin_inner_timing(&mut self) -> Outer {
        Outer { began_ns: self.timing.since_ns, exact: std::mem::replace(&mut self.timing.exact, true) }
    }

    /// The command at hand has run others; their time is its time too.
    pub(crate) fn end_inner_timing(&mut self, outer: Outer) {
        let Outer { began_ns, exact } = outer;
        self.timing.exact = exact;
        self.timing.charge_ns(self.timing.since_ns.saturating_sub(began_ns));
    }

    /// Begins to measure, from the time on that the engine was called with.
    pub(super) fn start_timing(&mut self) {
        self.timing.since_ns = self.host.stopwatch_at_call_ns();
    }

    /// Says that a command of so many arguments is about to run.
    #[inline]
    pub(super) fn before_run(&mut self, command: Callable, args: usize) {
        if self.timing.measures_alone(command, args) {
            self.settle_timing();
        }
    }

    /// Says that a command has run; returns the nanoseconds it took, if it was measured alone.
    #[inline]
    pub(super) fn after_run(&mut self, command: Callable, args: usize) -> Option<u64> {
        self.stats.commands += 1;
        self.timing.fast_runs += 1;
        match self.timing.fast.last_mut() {
            Some((id, runs)) if *id == command.id => *runs += 1,
            _ => self.timing.fast.push((command.id, 1)),
        }
        self.timing.measures_alone(command, args).then(|| self.settle_timing())
    }

    /// Takes a reading and shares out the time since the last one; returns that time in nanoseconds.
    pub(super) fn settle_timing(&mut self) -> u64 {
        let now = self.host.stopwatch_ns();
        let elapsed = now.saturating_sub(self.timing.since_ns) + std::mem::take(&mut self.timing.charged_ns);
        if let Some(share) = elapsed.checked_div(self.timing.fast_runs) {
            for &(id, runs) in &self.timing.fast {
                self.stats.by_command[id as usize].record(runs, share, self.timing.keeps_durations);
            }
        }
        self.timing.fast.clear();
        self.timing.fast_runs = 0;
        self.timing.since_ns = now;
        elapsed
    }
}
