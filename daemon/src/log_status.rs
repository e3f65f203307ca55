//! What the log tells about itself.

/// Upper ends of the buckets of sync durations, in microseconds.
pub const SYNC_BUCKETS_US: [u64; 10] = [100, 250, 500, 1000, 2500, 5000, 10_000, 50_000, 250_000, 1_000_000];

/// What the log is doing.
#[derive(Clone, Debug, Default)]
pub struct LogStatus {
    /// Bytes of all files.
    pub size: u64,
    /// Bytes of all files when the log was opened or last rewritten.
    pub base_size: u64,
    /// Bytes that wait to be written.
    pub pending: u64,
    /// Why nothing is written any more.
    pub failure: Option<String>,
    /// Times that appending waited for a sync.
    pub delayed_syncs: u64,
    /// How long syncs took.
    pub sync_times: SyncTimes,
}

/// How long syncs took.
#[derive(Clone, Copy, Debug, Default)]
pub struct SyncTimes {
    /// Syncs by duration, see [`SYNC_BUCKETS_US`]; the last one counts the longer ones.
    pub counts: [u64; SYNC_BUCKETS_US.len() + 1],
    /// Time of all syncs in microseconds.
    pub total_us: u64,
}

impl SyncTimes {
    /// Takes note of a sync that took so many microseconds.
    pub fn record(&mut self, us: u64) {
        let bucket = SYNC_BUCKETS_US.iter().position(|&end| us <= end).unwrap_or(SYNC_BUCKETS_US.len());
        self.counts[bucket] += 1;
        self.total_us += us;
    }
}
