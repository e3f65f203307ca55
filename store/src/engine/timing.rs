//! How long commands take, without asking the stopwatch for each of them.
//!
//! A reading costs a tenth of a GET. Commands that take constant or logarithmic time are measured together, up to the
//! next reading, and share the time evenly; every other command is measured alone.

use super::Engine;
use crate::command::flags;
use crate::command::index::Callable;

/// Fast commands since the last reading.
#[derive(Default)]
pub(super) struct Timing {
    since_ns: u64,
    fast: Vec<(u16, u64)>,
    fast_runs: u64,
}

impl Engine {
    /// Begins to measure.
    pub(super) fn start_timing(&mut self) {
        self.timing.since_ns = self.host.stopwatch_ns();
    }

    /// Says that a command is about to run.
    #[inline]
    pub(super) fn before_run(&mut self, command: Callable) {
        if !command.row.is(flags::FAST) {
            self.settle_timing();
        }
    }

    /// Says that a command has run.
    #[inline]
    pub(super) fn after_run(&mut self, command: Callable) {
        self.stats.commands += 1;
        self.timing.fast_runs += 1;
        match self.timing.fast.last_mut() {
            Some((id, runs)) if *id == command.id => *runs += 1,
            _ => self.timing.fast.push((command.id, 1)),
        }
        if !command.row.is(flags::FAST) {
            self.settle_timing();
        }
    }

    /// Takes a reading and shares out the time since the last one.
    pub(super) fn settle_timing(&mut self) {
        let now = self.host.stopwatch_ns();
        if let Some(share) = now.saturating_sub(self.timing.since_ns).checked_div(self.timing.fast_runs) {
            for &(id, runs) in &self.timing.fast {
                self.stats.by_command[id as usize].record(runs, share);
            }
        }
        self.timing.fast.clear();
        self.timing.fast_runs = 0;
        self.timing.since_ns = now;
    }
}
