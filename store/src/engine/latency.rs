//! The latency monitor: what took longer than `latency-monitor-threshold`, by event.

use std::collections::{BTreeMap, VecDeque};

use super::Engine;

/// Samples kept of each event.
const HISTORY: usize = 160;

/// The samples of one event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    /// Unix seconds and milliseconds; one sample a second, the longest.
    pub(crate) history: VecDeque<(u64, u64)>,
    /// The longest ever, in milliseconds.
    pub(crate) max: u64,
}

/// Samples by event.
#[derive(Debug, Default)]
pub(crate) struct LatencyMonitor {
    pub(crate) events: BTreeMap<&'static str, Samples>,
}

impl LatencyMonitor {
    fn add(&mut self, event: &'static str, at: u64, ms: u64) {
        let samples = self.events.entry(event).or_default();
        samples.max = samples.max.max(ms);
        match samples.history.back_mut() {
            Some((last, longest)) if *last == at => *longest = (*longest).max(ms),
            _ => samples.history.push_back((at, ms)),
        }
        if samples.history.len() > HISTORY {
            samples.history.pop_front();
        }
    }
}

impl Engine {
    /// Notes how long something took, if it was too long.
    #[inline]
    pub(super) fn note_latency(&mut self, event: &'static str, ns: u64) {
        let ms = ns / 1_000_000;
        if ms > 0 && self.config.latency_threshold_ms().is_some_and(|threshold| ms >= threshold) {
            self.latency.add(event, self.now.wall_ms() / 1000, ms);
        }
    }
}
