//! The alarm clock of the timer: wakes it at an instant of the monotonic clock.
//!
//! Timers of the runtime count in whole milliseconds from their own beginning and round up, which made every delayed
//! job one to two milliseconds late; the kernel's are exact to less than a tenth of one.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

/// An alarm clock.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<Descriptor>,
}

#[derive(Debug)]
struct Descriptor(TimerFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Alarm {
    /// An alarm clock on the runtime at hand.
    ///
    /// # Errors
    /// The kernel has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let timer =
            TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for the sake of descriptors that change; this one does not"
        )]
        let timer = AsyncFd::new(Descriptor(timer))?;
        Ok(Self { timer })
    }

    /// Waits until the monotonic clock of [`crate::clock`] shows so many milliseconds.
    ///
    /// # Errors
    /// The kernel does not take the time.
    pub async fn reach(&self, at_ms: u64) -> io::Result<()> {
        // Zero would switch it off.
        let at = TimeSpec::from_duration(Duration::from_millis(at_ms.max(1)));
        let timer = &self.timer.get_ref().0;
        timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        loop {
            let mut ready = self.timer.readable().await?;
            // It may have rung before it was set, when nobody waited for it any more.
            if let Ok(rung) = ready.try_io(|timer| Ok(timer.get_ref().0.wait()?)) {
                return rung;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn it_rings_at_the_millisecond_and_not_before() {
        let alarm = Alarm::new().unwrap();
        for wait_ms in [0, 1, 20] {
            let at_ms = Clock.now().mono_ms + wait_ms;
            alarm.reach(at_ms).await.unwrap();
            assert!(Clock.now().mono_ms >= at_ms);
        }
        // Rings while nobody waits; that is not the next time. A machine that stands still lets it ring at once.
        while tokio::time::timeout(Duration::ZERO, alarm.reach(Clock.now().mono_ms + 500)).await.is_ok() {}
        tokio::time::sleep(Duration::from_millis(510)).await;
        let at_ms = Clock.now().mono_ms + 20;
        alarm.reach(at_ms).await.unwrap();
        assert!(Clock.now().mono_ms >= at_ms);
    }
}
