//! Plain counters of what happened, owned by the engine; INFO and the metrics read them.

use std::collections::BTreeMap;

/// Most error classes that are told apart; the rest is counted together.
const ERROR_CLASSES_MAX: usize = 128;

/// Counters of the engine.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Commands that ran.
    pub commands: u64,
    /// Connections that were opened.
    pub connections: u64,
    /// Error replies.
    pub errors: u64,
    /// Commands of a master that could not be repeated.
    pub unexpected_errors: u64,
    /// Error replies by class.
    pub errors_by_class: BTreeMap<String, u64>,
    /// By command number.
    pub by_command: Vec<CommandStats>,
    /// Time that keys past their date took to remove, in nanoseconds.
    pub expire_ns: u64,
    /// Clients closed to make room.
    pub evicted_clients: u64,
    /// Jumps of the wall clock by more than a second.
    pub clock_jumps: u64,
    /// Commands a second, sampled.
    pub rate: RateMeter,
    /// Bytes from clients per second, lately.
    pub input_rate: RateMeter,
    /// Bytes to clients per second, lately.
    pub output_rate: RateMeter,
    /// Bytes from the master per second, lately.
    pub replication_input_rate: RateMeter,
    /// Bytes to replicas per second, lately.
    pub replication_output_rate: RateMeter,
}

/// What a database holds.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseSize {
    /// Its number.
    pub index: usize,
    /// Keys, those past their date included.
    pub keys: usize,
    /// Keys that have a date.
    pub dated: usize,
    /// How long those have left on average, in milliseconds.
    pub average_ttl_ms: u64,
    /// Hashes of which fields have dates.
    pub with_dated_fields: usize,
}

/// Counters of one command.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommandStats {
    /// Runs.
    pub calls: u64,
    /// Time of all runs, in nanoseconds.
    pub nanoseconds: u64,
    /// Refusals before running.
    pub rejected: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Runs by duration: bucket `n` counts those of less than `2^n` microseconds.
    pub durations: [u32; 20],
}

impl CommandStats {
    /// Counts runs that took `nanoseconds` each.
    #[inline]
    pub fn record(&mut self, runs: u64, nanoseconds: u64, keep_duration: bool) {
        self.calls += runs;
        self.nanoseconds += runs * nanoseconds;
        if !keep_duration {
            return;
        }
        let bucket = (64 - (nanoseconds / 1000).leading_zeros() as usize).min(self.durations.len() - 1);
        self.durations[bucket] = self.durations[bucket].saturating_add(runs as u32);
    }

    /// The duration in microseconds below which this part (0 to 1) of all runs stayed: the upper end of its bucket.
    pub fn quantile_us(&self, part: f64) -> u64 {
        let total: u64 = self.durations.iter().map(|&count| u64::from(count)).sum();
        let mut wanted = (total as f64 * part).ceil() as u64;
        for (bucket, &count) in self.durations.iter().enumerate() {
            if wanted <= u64::from(count) {
                return 1 << bucket;
            }
            wanted -= u64::from(count);
        }
        0
    }
}

impl Stats {
    /// Counts an error reply by the first word of its text.
    pub(crate) fn count_error(&mut self, text: &str) {
        self.errors += 1;
        let class = text.split(' ').next().unwrap_or_default();
        if let Some(count) = self.errors_by_class.get_mut(class) {
            *count += 1;
        } else if self.errors_by_class.len() < ERROR_CLASSES_MAX {
            self.errors_by_class.insert(class.to_owned(), 1);
        }
    }

    /// Begins all counts again.
    pub(crate) fn reset(&mut self) {
        let commands = self.by_command.len();
        *self = Self { by_command: vec![CommandStats::default(); commands], ..Self::default() };
    }
}

/// A moving average over the last sixteen samples.
#[derive(Clone, Debug, Default)]
pub struct RateMeter {
    samples: [u64; 16],
    next: usize,
    last: (u64, u64),
}

impl RateMeter {
    /// Takes a sample of a count that only grows, if the last one is at least 100 ms old.
    pub fn sample(&mut self, mono_ms: u64, count: u64) {
        let (at, before) = self.last;
        let elapsed = mono_ms.saturating_sub(at);
        if elapsed >= 100 {
            self.samples[self.next] = count.saturating_sub(before) * 1000 / elapsed;
            self.next = (self.next + 1) % self.samples.len();
            self.last = (mono_ms, count);
        }
    }

    /// The average, per second.
    pub fn per_second(&self) -> u64 {
        self.samples.iter().sum::<u64>() / self.samples.len() as u64
    }
}
