//! The timer: sleeps until the next thing is due, and lets the engine do it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::shared::Shared;

/// Longest sleep: the wall clock may be set meanwhile, and the watchdog wants to see progress.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Runs the timer until the daemon ends.
pub async fn run(shared: Arc<Shared>) {
    while !shared.stop.is_cancelled() {
        let deadline = shared.tick();
        shared.flush();
        let now = shared.clock.now().mono_ms;
        let sleep =
            deadline.map_or(SLEEP_MAX, |at| Duration::from_millis(at.saturating_sub(now))).min(SLEEP_MAX);
        shared.armed_ms.store(now + sleep.as_millis() as u64, Ordering::Relaxed);
        if sleep.is_zero() {
            // More is due than one tick does; let others have the lock in between.
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            () = shared.timer.notified() => {}
        }
    }
}
