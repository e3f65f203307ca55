//! The timer: sleeps until the next thing is due, and lets the engine do it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::alarm::Alarm;
use crate::shared::Shared;

/// Longest sleep in milliseconds: the wall clock may be set meanwhile, and the watchdog wants to see progress.
const SLEEP_MAX_MS: u64 = 1000;

/// Runs the timer until the daemon ends.
///
/// # Errors
/// The alarm clock does not work.
pub async fn run(shared: Arc<Shared>, alarm: Alarm) -> io::Result<()> {
    while !shared.stop.is_cancelled() {
        let deadline = shared.tick();
        shared.flush();
        let now = shared.clock.now().mono_ms;
        let at_ms = deadline.unwrap_or(u64::MAX).min(now + SLEEP_MAX_MS);
        shared.armed_ms.store(at_ms.max(now), Ordering::Relaxed);
        if at_ms <= now {
            // More is due than one tick does; let others have the lock in between.
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            rung = alarm.reach(at_ms) => rung?,
            () = shared.timer.notified() => {}
        }
    }
    Ok(())
}
