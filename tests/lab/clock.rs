//! Time that passes when told.

use pbj_store::time::Now;

/// Both clocks of a machine.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    now: Now,
}

impl Default for Clock {
    /// New Year 2027 at midnight, on a machine that has been up for a while.
    fn default() -> Self {
        Self { now: Now { wall_us: 1_798_761_600_000_000, mono_ms: 5_000_000 } }
    }
}

impl Clock {
    /// What both clocks say.
    pub fn now(&self) -> Now {
        self.now
    }

    /// Lets time pass.
    pub fn pass_ms(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }

    /// Lets time pass up to a monotonic time.
    pub fn pass_until(&mut self, mono_ms: u64) {
        self.pass_ms(mono_ms.saturating_sub(self.now.mono_ms));
    }

    /// Somebody sets the wall clock: forward, or back if negative.
    pub fn set_wall_by_ms(&mut self, ms: i64) {
        self.now.wall_us = self.now.wall_us.saturating_add_signed(ms * 1000);
    }
}
