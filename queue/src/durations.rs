//! How long things took: counts by upper bound, for histograms.

use std::ops::AddAssign;

/// Upper bounds of the buckets of [`Durations`], in milliseconds: from a moment to a day.
pub const DURATION_BOUNDS_MS: [u64; 22] = [
    1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 900_000,
    1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000,
];

/// Durations that were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// By the first bound of [`DURATION_BOUNDS_MS`] that they do not exceed; the last one counts the longer ones.
    pub buckets: [u64; DURATION_BOUNDS_MS.len() + 1],
    /// All of them together, in milliseconds.
    pub total_ms: u64,
}

impl Durations {
    /// Counts one, in milliseconds.
    pub(crate) fn record(&mut self, ms: u64) {
        self.buckets[DURATION_BOUNDS_MS.partition_point(|&bound| bound < ms)] += 1;
        self.total_ms = self.total_ms.saturating_add(ms);
    }
}

impl AddAssign for Durations {
    fn add_assign(&mut self, other: Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(count, more)| *count += more);
        self.total_ms = self.total_ms.saturating_add(other.total_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_up_to_its_bound() {
        let mut durations = Durations::default();
        for ms in [0, 1, 2, 86_400_000, 86_400_001] {
            durations.record(ms);
        }
        assert_eq!((durations.buckets[0], durations.buckets[1]), (2, 1));
        assert_eq!(durations.buckets[DURATION_BOUNDS_MS.len() - 1..], [1, 1]);
        assert!(DURATION_BOUNDS_MS.is_sorted());
    }
}
