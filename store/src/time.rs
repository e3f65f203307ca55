//! Time as an argument.
//!
//! Law: the engine reads no clock. Whoever calls it says what time it is, so that a test, a replay and the simulator
//! can say something else.

/// The earlier of two dates, of which either may never come.
#[inline]
pub(crate) fn sooner(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// An instant as the caller read it, on both clocks.
///
/// Wall time follows the calendar and may jump when somebody sets the clock; monotonic time never does. Key expiry and
/// schedules follow the wall; leases, delays and blocking time-outs follow the monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Microseconds since the Unix epoch.
    pub wall_us: u64,
    /// Milliseconds on a clock that only moves forward; its zero is arbitrary.
    pub mono_ms: u64,
}

impl Now {
    /// Milliseconds since the Unix epoch.
    pub fn wall_ms(self) -> u64 {
        self.wall_us / 1000
    }

    /// The same instant, `ms` milliseconds later on both clocks.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self {
            wall_us: self.wall_us.saturating_add(ms.saturating_mul(1000)),
            mono_ms: self.mono_ms.saturating_add(ms),
        }
    }
}
