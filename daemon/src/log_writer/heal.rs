//! What becomes of a log that cannot be written, and how it is mended while clients are served.
//!
//! Law: nothing is acknowledged and the engine refuses writes from the failure on, until the log is sound.
//! - A write has failed: what was handed over waits in memory, bounded; the torn end is cut off and the write repeated
//!   every second. When it succeeds nothing was lost.
//! - A sync has failed: the kernel may have forgotten what it could not write, and says that all is well the next
//!   time. So the file is never used again. The log begins anew as one that was off: a base of what is in memory and
//!   an increment behind it, both in new files, that count from the moment on at which they are whole and synced.
//!
//! Under `always` the process ends instead: what is on the disk is what clients were told.

use std::io;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;
use pbj_store::durable::{Health, SyncPolicy};

use super::{LogDoor, LogFile, State};
use crate::clock::Clock;
use crate::exit;

/// How long after a failure a rewrite is asked for that heals, and how long at most after one that failed itself.
pub(super) const PAUSE_FIRST_MS: u64 = 1000;
const PAUSE_LAST_MS: u64 = 60_000;

/// Why something is not written.
pub(super) enum WriteFault {
    /// A part of it may be.
    Torn(io::Error),
    /// It is unknown what is in the file.
    Unknown(io::Error),
}

impl LogFile {
    /// Writes frames; `is_retry` says that a write before this one has failed.
    pub(super) fn write(&mut self, frames: &mut Vec<u8>, is_retry: bool) -> Result<(), WriteFault> {
        if is_retry {
            self.log.cut_torn_end(&mut *self.disk).map_err(WriteFault::Unknown)?;
        }
        if frames.is_empty() {
            return Ok(());
        }
        self.log.append(&mut *self.disk, frames).map_err(WriteFault::Torn)
    }

    /// Writes and syncs everything that is left, once.
    fn write_last(&mut self, state: &mut State) -> Result<(), WriteFault> {
        self.write(&mut state.queue, true)?;
        if let Some(mut cut) = state.cut.take() {
            self.log.go_on_in(&mut *self.disk, cut.increment).map_err(WriteFault::Unknown)?;
            self.write(&mut cut.after, false)?;
        }
        self.log.sync(&mut *self.disk).map_err(WriteFault::Unknown)
    }
}

impl LogDoor {
    /// A write has failed.
    pub(super) fn write_failed<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        file: LogFile,
        mut frames: Vec<u8>,
        fault: &WriteFault,
    ) -> MutexGuard<'a, State> {
        let error = match fault {
            WriteFault::Torn(error) if state.health != Health::Proving => error,
            WriteFault::Torn(error) | WriteFault::Unknown(error) => {
                return self.lose(state, &error.to_string());
            }
        };
        end_if_always(&state, &error.to_string());
        frames.append(&mut state.queue);
        state.queue = frames;
        state.file = Some(file);
        state.health = Health::Stalled;
        state.pace.write_failed(Clock.now().mono_ms);
        if state.unwritten() > pbj_store::limits::LOG_UNWRITTEN_MAX {
            return self.lose(state, &error.to_string());
        }
        self.refuse(state, &error.to_string())
    }

    /// The file cannot be trusted any more. Nothing of it is written or synced again.
    pub(super) fn lose<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        reason: &str,
    ) -> MutexGuard<'a, State> {
        end_if_always(&state, reason);
        state.forget_file();
        state.heal_at_ms = Some(Clock.now().mono_ms + state.heal_pause_ms);
        self.refuse(state, reason)
    }

    /// Nobody who waits is told that it is safe, and nobody shall write.
    fn refuse<'a>(&'a self, mut state: MutexGuard<'a, State>, reason: &str) -> MutexGuard<'a, State> {
        if state.failure.as_deref() != Some(reason) {
            tracing::error!(
                "cannot write the log: {reason}; writes are refused until it can be written again"
            );
        }
        state.failure = Some(reason.to_owned());
        let waiting = std::mem::take(&mut state.waiting);
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
        self.work.notify_all();
        self.sync_work.notify_all();
        self.progress.notify_all();
        self.tell(&state);
        state
    }

    /// What had failed works again.
    pub(super) fn recovered<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        tracing::warn!("the log can be written again; writes are accepted");
        state.health = Health::Sound;
        state.pace.prove();
        state.failure = None;
        state.heal_pause_ms = PAUSE_FIRST_MS;
        self.publish(&mut state);
        self.work.notify_one();
        self.tell(&state);
        state
    }

    fn tell(&self, state: &State) {
        self.news.store(true, Ordering::Release);
        if let Some(act) = &state.on_news {
            act();
        }
    }

    /// Whether a write has failed, and is tried again.
    pub fn is_stalled(&self) -> bool {
        self.state.lock().health == Health::Stalled
    }

    /// Whether the log has to begin anew, or does so.
    pub fn is_lost(&self) -> bool {
        matches!(self.state.lock().health, Health::Lost | Health::Proving)
    }

    /// A base was written that the file of this epoch goes on behind: from here on it is what counts.
    pub fn healed(&self, epoch: u64) {
        let state = self.state.lock();
        if state.health == Health::Proving && state.epoch == epoch {
            drop(self.recovered(state));
        }
    }

    /// The rewrite that was to heal has failed: there is another one, later.
    pub fn not_healed(&self) {
        let mut state = self.state.lock();
        if !matches!(state.health, Health::Lost | Health::Proving) {
            return;
        }
        state.forget_file();
        state.heal_pause_ms = (2 * state.heal_pause_ms).min(PAUSE_LAST_MS);
        state.heal_at_ms = Some(Clock.now().mono_ms + state.heal_pause_ms);
        self.work.notify_one();
    }

    /// Asks for a rewrite that heals, if it is time.
    pub(super) fn ask_to_heal(&self, state: &mut State, now_ms: u64) {
        if state.heal_at_ms.is_some_and(|at| at <= now_ms) {
            state.heal_at_ms = None;
            (self.heal)();
        }
    }

    /// The end of a log that is not sound: what waits is written if that is possible now.
    pub(super) fn end_broken<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        file: Option<LogFile>,
    ) -> MutexGuard<'a, State> {
        if let (Health::Stalled, Some(mut file)) = (state.health, file) {
            match file.write_last(&mut state) {
                Ok(()) => tracing::warn!("the log could be written at its end"),
                Err(WriteFault::Torn(error) | WriteFault::Unknown(error)) => {
                    tracing::error!(%error, "the log ends without what was never acknowledged");
                }
            }
        }
        state.forget_file();
        state.health = Health::Sound;
        state.failure = None;
        state.heal_at_ms = None;
        self.close_door(&mut state);
        self.tell(&state);
        state
    }
}

impl State {
    fn forget_file(&mut self) {
        self.health = Health::Lost;
        self.epoch += 1;
        self.pace.fail();
        self.file = None;
        self.syncer = None;
        self.cut = None;
        self.queue = Vec::new();
    }

    /// Whether the log ends, and is not sound; `has_file` says that nobody writes just now.
    pub(super) fn ends_broken(&self, has_file: bool) -> bool {
        let is_home = has_file || matches!(self.health, Health::Lost | Health::Proving);
        (self.stopping || self.closing) && self.health != Health::Sound && is_home
    }

    pub(super) fn may_change_files(&self) -> bool {
        self.cut.is_some() && self.queue.is_empty() && !self.pace.is_syncing()
    }

    /// When the thread `log` has something to do although nobody tells it.
    pub(super) fn look_again_ms(&self) -> Option<u64> {
        let retry = self.pace.retry_at_ms().filter(|_| !self.queue.is_empty());
        retry.into_iter().chain(self.heal_at_ms).min()
    }
}

/// Under `always` only what is on the disk may be acknowledged, and a disk that fails can say nothing of that.
fn end_if_always(state: &State, reason: &str) {
    if state.pace.policy() == SyncPolicy::Always {
        tracing::error!("cannot write the log: {reason}");
        tracing::error!("appendfsync is always: ending, so that nothing is acknowledged that is not on disk");
        exit::now(exit::IO_ERROR);
    }
}
