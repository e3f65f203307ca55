//! A clock that never jumps, and still reads like the calendar.
//!
//! Leases, delays and back-offs are durations: they must end when that much time has passed, whatever somebody does to
//! the wall clock. Steady time is wall time at the start plus what the monotonic clock has run since. It is what
//! `until` and `due` are recorded in; as long as nobody sets the clock the two are the same, and a restart begins with
//! the wall clock again.

use pbj_store::time::Now;

/// Steady time since a start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Steady {
    start: Now,
}

impl Steady {
    /// Begins with the wall clock.
    pub(crate) fn starting(now: Now) -> Self {
        Self { start: now }
    }

    /// Steady milliseconds at a time.
    pub(crate) fn ms(self, now: Now) -> u64 {
        self.start.wall_ms() + now.mono_ms.saturating_sub(self.start.mono_ms)
    }

    /// The monotonic time of a steady one.
    pub(crate) fn to_mono(self, ms: u64) -> u64 {
        self.start.mono_ms + ms.saturating_sub(self.start.wall_ms())
    }

    /// What the wall clock will read at a steady time, if nobody sets it.
    pub(crate) fn to_wall(self, ms: u64, now: Now) -> u64 {
        (ms + now.wall_ms()).saturating_sub(self.ms(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_the_wall_clock_changes_nothing() {
        let start = Now { wall_us: 5_000_000_000, mono_ms: 100 };
        let steady = Steady::starting(start);
        let later = start.plus_ms(1000);
        assert_eq!(steady.ms(later), 5_001_000);
        let set_back = Now { wall_us: later.wall_us - 3_600_000_000, ..later };
        assert_eq!(steady.ms(set_back), 5_001_000);
        assert_eq!(steady.to_mono(5_001_500), 1600);
        assert_eq!(steady.to_wall(5_001_500, later), 5_001_500);
        assert_eq!(steady.to_wall(5_001_500, set_back), 5_001_500 - 3_600_000);
    }
}
