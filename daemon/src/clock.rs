//! The clock: the only place that asks the machine for the time.
//!
//! A reading costs as much as a tenth of a GET. Threads that read all the time read the calendar only every
//! millisecond, and know in between how much later it is: somebody who sets the clock is noticed a millisecond late.

use std::cell::Cell;
use std::time::SystemTime;

use nix::time::{ClockId, clock_gettime};
use pbj_store::time::Now;

/// How long the calendar is not read again, in nanoseconds.
const CALENDAR_NS: u64 = 1_000_000;

/// Two readings that are no farther apart are of one instant, in nanoseconds; a thread may lose its processor between
/// them.
const TOGETHER_NS: u64 = 10_000;
/// How often both clocks are read to be read together.
const ATTEMPTS: usize = 4;

/// Reads both clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

/// The last readings of one thread.
struct Readings {
    /// The monotonic clock, in nanoseconds.
    last_ns: Cell<u64>,
    /// The monotonic clock when the calendar was read, in nanoseconds.
    calendar_read_ns: Cell<u64>,
    /// Microseconds since the Unix epoch then.
    calendar_us: Cell<u64>,
}

thread_local! {
    static READINGS: Readings =
        const { Readings { last_ns: Cell::new(0), calendar_read_ns: Cell::new(0), calendar_us: Cell::new(0) } };
}

impl Clock {
    /// The time now. The monotonic clock goes on while the machine sleeps, so that leases end in time.
    pub fn now(self) -> Now {
        READINGS.with(|readings| {
            let now_ns = self.stopwatch_ns();
            readings.last_ns.set(now_ns);
            let mut since_ns = now_ns.saturating_sub(readings.calendar_read_ns.get());
            if since_ns >= CALENDAR_NS {
                let (read_ns, read_us) = self.read_both();
                readings.calendar_read_ns.set(read_ns);
                readings.calendar_us.set(read_us);
                since_ns = 0;
            }
            Now { wall_us: readings.calendar_us.get() + since_ns / 1000, mono_ms: now_ns / 1_000_000 }
        })
    }

    /// Both clocks at one instant: the monotonic one in nanoseconds, the calendar in microseconds since the Unix epoch.
    fn read_both(self) -> (u64, u64) {
        let mut nearest = (u64::MAX, 0, 0);
        for _ in 0..ATTEMPTS {
            let before_ns = self.stopwatch_ns();
            let read_us = calendar_us();
            let took_ns = self.stopwatch_ns().saturating_sub(before_ns);
            nearest = nearest.min((took_ns, before_ns + took_ns / 2, read_us));
            if took_ns < TOGETHER_NS {
                break;
            }
        }
        (nearest.1, nearest.2)
    }

    /// Nanoseconds of the monotonic clock, for measuring durations.
    pub fn stopwatch_ns(self) -> u64 {
        // Every Linux has this clock; without it time would stand still, which the watchdog notices.
        clock_gettime(ClockId::CLOCK_BOOTTIME)
            .map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
    }

    /// What [`Self::stopwatch_ns`] was at the last [`Self::now`] of this thread.
    pub fn last_ns(self) -> u64 {
        READINGS.with(|readings| readings.last_ns.get())
    }
}

fn calendar_us() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    let now = SystemTime::now();
    now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Through some milliseconds, so that the calendar is read and is not.
    #[test]
    fn the_calendar_is_right_when_it_is_not_read() {
        const TOLERANCE_US: u64 = 100;
        let first = Clock.now();
        let mut before_us = calendar_us();
        loop {
            let now = Clock.now();
            let after_us = calendar_us();
            assert!(before_us <= now.wall_us + TOLERANCE_US, "{now:?} is before {before_us}");
            assert!(now.wall_us <= after_us + TOLERANCE_US, "{now:?} is after {after_us}");
            if now.mono_ms > first.mono_ms + 5 {
                return;
            }
            before_us = after_us;
        }
    }
}
