//! How large the log is, and when that is too large: automatic rewrites.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use pbj_store::config::Config;

/// Bytes that the log grows at least by before a rewrite that failed is tried again.
const RETRY_AFTER_BYTES: u64 = 1 << 20;

/// Told that a rewrite is worth while; must not wait for anything.
pub type Grown = Box<dyn Fn() + Send + Sync>;

/// When the log is rewritten on its own.
#[derive(Clone, Copy, Debug)]
pub struct GrowthLimit {
    /// By how many percent it must have grown (`auto-aof-rewrite-percentage`); 0 for never.
    percentage: u64,
    /// How many bytes it must have (`auto-aof-rewrite-min-size`).
    min_size: u64,
}

impl GrowthLimit {
    /// What a configuration says.
    pub fn of(config: &Config) -> Self {
        Self {
            percentage: config.text("auto-aof-rewrite-percentage").parse().unwrap_or(0),
            min_size: config.size("auto-aof-rewrite-min-size") as u64,
        }
    }
}

/// The size of the log.
pub struct Growth {
    /// Bytes of all files.
    size: AtomicU64,
    /// Bytes of all files when the log was opened or last rewritten.
    base: AtomicU64,
    /// Bytes from which on a rewrite is worth while.
    rewrite_at: AtomicU64,
    limit: Mutex<GrowthLimit>,
    grown: Grown,
}

impl Growth {
    /// No log yet; `grown` is told when a rewrite is worth while.
    pub fn new(limit: GrowthLimit, grown: Grown) -> Self {
        let (size, base) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { size, base, rewrite_at: AtomicU64::new(u64::MAX), limit: Mutex::new(limit), grown }
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// Bytes of all files when the log was opened or last rewritten.
    pub fn base(&self) -> u64 {
        self.base.load(Ordering::Relaxed)
    }

    /// There is a log now, of this size, and with this base.
    pub fn opened(&self, (size, base): (u64, u64)) {
        self.size.store(size, Ordering::Relaxed);
        self.base.store(base, Ordering::Relaxed);
        self.look_again();
    }

    /// There is no log any more.
    pub fn closed(&self) {
        self.rewrite_at.store(u64::MAX, Ordering::Relaxed);
    }

    /// The log has more bytes.
    pub fn grew(&self, bytes: u64) {
        self.size.fetch_add(bytes, Ordering::Relaxed);
        self.tell();
    }

    /// The log was rewritten: so many bytes were replaced by a base of so many.
    pub fn rewritten(&self, replaced: u64, base: u64) {
        // What the log grows by meanwhile must not be lost, so both steps are changes, not readings.
        self.size.fetch_add(base, Ordering::Relaxed);
        self.size.fetch_sub(replaced.min(self.size()), Ordering::Relaxed);
        self.base.store(self.size(), Ordering::Relaxed);
        self.look_again();
    }

    /// A rewrite has failed: the next one begins when the log has grown by another tenth.
    pub fn not_rewritten(&self) {
        let more = (self.size() / 10).max(RETRY_AFTER_BYTES);
        self.rewrite_at.store(self.size() + more, Ordering::Relaxed);
    }

    /// Changes when the log is rewritten.
    pub fn set_limit(&self, limit: GrowthLimit) {
        *self.limit.lock() = limit;
        self.look_again();
    }

    /// Finds out anew at what size a rewrite is worth while, and whether that is now.
    fn look_again(&self) {
        let GrowthLimit { percentage, min_size } = *self.limit.lock();
        let base = self.base().max(1);
        let at = base.saturating_add(base.saturating_mul(percentage) / 100).max(min_size);
        self.rewrite_at.store(if percentage == 0 { u64::MAX } else { at }, Ordering::Relaxed);
        self.tell();
    }

    fn tell(&self) {
        let at = self.rewrite_at.load(Ordering::Relaxed);
        if self.size() >= at {
            // Once is enough: the end of the rewrite looks again.
            self.rewrite_at.store(u64::MAX, Ordering::Relaxed);
            (self.grown)();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_log_that_has_doubled_is_rewritten_once() {
        let told = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&told);
        let grown = Box::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let growth = Growth::new(GrowthLimit { percentage: 100, min_size: 50 }, grown);
        let times = || told.load(Ordering::Relaxed);
        growth.opened((20, 20));
        growth.grew(29);
        assert_eq!(times(), 0, "too small");
        growth.grew(1);
        growth.grew(100);
        assert_eq!(times(), 1);
        growth.rewritten(150, 40);
        assert_eq!((growth.size(), growth.base()), (40, 40));
        growth.grew(40);
        assert_eq!(times(), 2);
        growth.not_rewritten();
        growth.grew(1000);
        assert_eq!(times(), 2, "a failed one is not tried at once");
        growth.grew(RETRY_AFTER_BYTES);
        assert_eq!(times(), 3);
        growth.set_limit(GrowthLimit { percentage: 0, min_size: 0 });
        growth.grew(1 << 40);
        assert_eq!(times(), 3);
    }
}
