//! The clock: the only place that asks the machine for the time.

use std::time::{Duration, Instant, SystemTime};

use nix::time::{ClockId, clock_gettime};
use pbj_store::time::Now;

/// Reads both clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// The time now. The monotonic clock goes on while the machine sleeps, so that leases end in time.
    pub fn now(self) -> Now {
        Now { wall_us: wall_us(), mono_ms: since_boot().as_millis() as u64 }
    }

    /// Nanoseconds of the monotonic clock, for measuring durations.
    pub fn stopwatch_ns(self) -> u64 {
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        let now = Instant::now();
        now.duration_since(origin()).as_nanos() as u64
    }
}

fn wall_us() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    let now = SystemTime::now();
    now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

fn since_boot() -> Duration {
    // Every Linux has this clock; without it time would stand still, which the watchdog notices.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

fn origin() -> Instant {
    static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    *ORIGIN.get_or_init(Instant::now)
}
