//! What an access leaves at a key: when it was used last, or how often it is used.
//!
//! Both have 24 bits, as in Redis: seconds on a clock that wraps, or minutes (16 bits) and a counter that grows by the
//! logarithm of the uses (8 bits).

/// The counter of a new key, so that it is not the first to go.
const INITIAL_COUNT: u32 = 5;
const CLOCK_MASK: u32 = 0xff_ffff;

/// What accesses leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessMode {
    /// The time.
    Time {
        /// Redis would share small integers, which then have no time of their own.
        shares_integers: bool,
    },
    /// How often.
    Frequency,
}

/// How accesses are marked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub(crate) mode: AccessMode,
    /// Seconds, 24 bits of them.
    pub(crate) clock: u32,
    /// Minutes, 16 bits of them.
    pub(crate) minutes: u32,
    /// `lfu-log-factor`.
    pub(crate) log_factor: u32,
    /// `lfu-decay-time`, in minutes.
    pub(crate) decay_minutes: u32,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            mode: AccessMode::Time { shares_integers: true },
            clock: 0,
            minutes: 0,
            log_factor: 10,
            decay_minutes: 1,
        }
    }
}

impl Access {
    /// Moves the clocks on.
    pub(crate) fn set_time(&mut self, wall_ms: u64) {
        self.clock = (wall_ms / 1000) as u32 & CLOCK_MASK;
        self.minutes = (wall_ms / 60_000) as u32 & 0xffff;
    }

    /// The mark of a new key.
    pub(crate) fn fresh(&self) -> u32 {
        match self.mode {
            AccessMode::Time { .. } => self.clock,
            AccessMode::Frequency => self.minutes << 8 | INITIAL_COUNT,
        }
    }

    /// The mark of a key that had the mark `old` and is used now.
    #[inline]
    pub(crate) fn used(&self, old: u32, rng: &mut fastrand::Rng) -> u32 {
        match self.mode {
            AccessMode::Time { .. } => self.clock,
            AccessMode::Frequency => self.minutes << 8 | self.grown(self.frequency(old), rng),
        }
    }

    fn grown(&self, count: u32, rng: &mut fastrand::Rng) -> u32 {
        let base = count.saturating_sub(INITIAL_COUNT);
        let chance = 1.0 / f64::from(base.saturating_mul(self.log_factor).saturating_add(1));
        if count < 255 && rng.f64() < chance { count + 1 } else { count }
    }

    /// How often a key was used, less what was forgotten since.
    pub(crate) fn frequency(&self, mark: u32) -> u32 {
        let elapsed = self.minutes.wrapping_sub(mark >> 8) & 0xffff;
        let forgotten = elapsed.checked_div(self.decay_minutes).unwrap_or(0);
        (mark & 0xff).saturating_sub(forgotten)
    }

    /// For how many seconds a key was not used.
    pub(crate) fn idle_seconds(&self, mark: u32) -> u32 {
        self.clock.wrapping_sub(mark) & CLOCK_MASK
    }

    /// The mark of a key that was not used for so many seconds, or is used so often, where this is what is noted.
    pub(crate) fn told(&self, idle_seconds: Option<i64>, frequency: Option<i64>) -> Option<u32> {
        match self.mode {
            AccessMode::Frequency => frequency.map(|count| self.minutes << 8 | count.clamp(0, 255) as u32),
            AccessMode::Time { .. } => idle_seconds.map(|seconds| {
                let idle = seconds.clamp(0, i64::from(CLOCK_MASK)) as u32;
                self.clock.wrapping_sub(idle) & CLOCK_MASK
            }),
        }
    }

    /// How much a key should go: the higher, the sooner.
    pub(crate) fn score(&self, mark: u32) -> u32 {
        match self.mode {
            AccessMode::Time { .. } => self.idle_seconds(mark),
            AccessMode::Frequency => 255 - self.frequency(mark),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequency_grows_slowly_and_is_forgotten() {
        let mut access = Access { mode: AccessMode::Frequency, ..Access::default() };
        let mut rng = fastrand::Rng::with_seed(1);
        access.set_time(60_000 * 1000);
        let mut mark = access.fresh();
        assert_eq!(access.frequency(mark), 5);
        for _ in 0..1000 {
            mark = access.used(mark, &mut rng);
        }
        let frequency = access.frequency(mark);
        assert!((8..40).contains(&frequency), "{frequency}");
        access.set_time(60_000 * 1003);
        assert_eq!(access.frequency(mark), frequency - 3);
        access.set_time(60_000 * 2000);
        assert_eq!((access.frequency(mark), access.score(mark)), (0, 255));
    }

    #[test]
    fn idle_time_survives_the_wrap_of_its_clock() {
        let mut access = Access::default();
        access.set_time(0xff_fffe * 1000);
        let mark = access.fresh();
        access.set_time(0x100_0004 * 1000);
        assert_eq!(access.idle_seconds(mark), 6);
    }
}
