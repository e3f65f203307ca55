//! The threads of the log, and what writing and syncing come to.
//!
//! Law: whoever takes the file out of the state gives it back, unless it has failed.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::MutexGuard;
use pbj_store::durable::{Pace, SyncPolicy};

use super::{LogDoor, LogFile, LogThreads, State};
use crate::clock::Clock;
use crate::exit;

impl LogDoor {
    /// Writes the whole queue; `None` if that fails.
    pub(super) fn write_once<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        mut file: LogFile,
    ) -> Option<MutexGuard<'a, State>> {
        let mut frames = std::mem::take(&mut state.queue);
        let end = state.pace.submitted();
        drop(state);
        let before = file.log.size();
        let written = if frames.is_empty() { Ok(()) } else { file.log.append(&mut *file.disk, &mut frames) };
        let mut state = self.state.lock();
        if let Err(error) = written {
            self.fail(state, &error);
            return None;
        }
        self.growth.grew(file.log.size() - before);
        state.file = Some(file);
        let was_clean = state.pace.written() == state.pace.synced();
        state.pace.wrote(end, Clock.now().mono_ms);
        state.keep_spare(frames);
        self.publish(&mut state);
        // Otherwise the thread that syncs knows already when it is due, and a write costs no switch.
        if was_clean {
            self.sync_work.notify_one();
        }
        self.progress.notify_all();
        Some(state)
    }

    /// The thread `log`.
    pub(super) fn write_loop(&self) {
        let mut waited = false;
        let mut state = self.state.lock();
        loop {
            if state.failure.is_some() {
                return;
            }
            let now_ms = Clock.now().mono_ms;
            let may_sync = state.pace.policy() == SyncPolicy::Always
                && state.pace.sync_due_ms(now_ms).is_some_and(|due| due <= now_ms);
            match state.file.take() {
                Some(file) if state.pace.may_write(now_ms) => match self.write_once(state, file) {
                    Some(again) => state = again,
                    None => return,
                },
                Some(mut file) if may_sync => {
                    let LogFile { disk, log } = &mut file;
                    match self.sync_with(state, || log.sync(&mut **disk)) {
                        Some(again) => state = again,
                        None => return,
                    }
                    state.file = Some(file);
                }
                Some(file) if state.cut.is_some() && state.queue.is_empty() && !state.pace.is_syncing() => {
                    match self.change_files(state, file) {
                        Some(again) => state = again,
                        None => return,
                    }
                }
                Some(file) if state.is_ending() => match self.end_file(state, file) {
                    Some(again) => state = again,
                    None => return,
                },
                None if state.stopping && !self.is_open() => return,
                file => {
                    state.file = file;
                    let waits = state.pace.waits_for_disk(now_ms) && !state.queue.is_empty();
                    if waits && !waited {
                        state.delayed_syncs += 1;
                        tracing::warn!(
                            "syncing the log takes more than two seconds; writes wait for the disk"
                        );
                    }
                    waited = waits;
                    self.work.wait(&mut state);
                }
            }
        }
    }

    /// Goes on in the increment behind the cut; `None` if that fails.
    fn change_files<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        mut file: LogFile,
    ) -> Option<MutexGuard<'a, State>> {
        let Some(increment) = state.cut.as_ref().map(|cut| cut.increment.clone()) else {
            state.file = Some(file);
            return Some(state);
        };
        let LogFile { disk, log } = &mut file;
        let mut syncer = None;
        let mut state = self.sync_with(state, || {
            log.go_on_in(&mut **disk, increment)?;
            syncer = Some(log.syncer(&mut **disk)?);
            Ok(())
        })?;
        state.syncer = syncer;
        state.file = Some(file);
        if let Some(cut) = state.cut.take() {
            state.queue = cut.after;
            state.pace.submit(cut.end);
        }
        self.progress.notify_all();
        Some(state)
    }

    /// The last word about a file: whatever the policy, nothing is left to chance. `None` if there is nothing more to
    /// do.
    fn end_file<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        mut file: LogFile,
    ) -> Option<MutexGuard<'a, State>> {
        if let Err(error) = file.log.sync(&mut *file.disk) {
            tracing::error!(%error, "cannot sync the log at its end");
        }
        self.open.store(false, Ordering::Release);
        self.always.store(false, Ordering::Relaxed);
        self.growth.closed();
        state.pace = Pace::starting_at(state.pace.policy(), state.pace.written());
        state.closing = false;
        state.syncer = None;
        self.publish(&mut state);
        self.progress.notify_all();
        (!state.stopping).then_some(state)
    }

    /// Syncs what is written; `None` if that fails.
    fn sync_with<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        sync: impl FnOnce() -> io::Result<()>,
    ) -> Option<MutexGuard<'a, State>> {
        state.pace.sync_begins(Clock.now().mono_ms);
        drop(state);
        let start = Clock.stopwatch_ns();
        let synced = sync();
        let us = (Clock.stopwatch_ns() - start) / 1000;
        let mut state = self.state.lock();
        if let Err(error) = synced {
            self.fail(state, &error);
            return None;
        }
        state.sync_times.record(us);
        state.pace.sync_ends();
        self.publish(&mut state);
        if self.watched.swap(false, Ordering::Relaxed)
            && let Some(act) = &state.on_sync
        {
            act();
        }
        Some(state)
    }

    /// The thread `log-sync`.
    pub(super) fn sync_loop(&self) {
        let mut state = self.state.lock();
        loop {
            if state.stopping || state.failure.is_some() {
                return;
            }
            let now_ms = Clock.now().mono_ms;
            let due =
                state.pace.sync_due_ms(now_ms).filter(|_| state.pace.policy() == SyncPolicy::EverySecond);
            match due {
                Some(due) if due <= now_ms => {
                    // It is absent only while the file is changed, which syncs as well.
                    let Some(syncer) = state.syncer.take() else {
                        self.sync_work.wait(&mut state);
                        continue;
                    };
                    match self.sync_with(state, || syncer.sync()) {
                        Some(again) => state = again,
                        None => return,
                    }
                    state.syncer = Some(syncer);
                    // What was handed over meanwhile waits for somebody to write it.
                    if !state.queue.is_empty() || state.stopping || state.closing || state.cut.is_some() {
                        self.work.notify_one();
                    }
                }
                Some(due) => {
                    self.sync_work.wait_for(&mut state, Duration::from_millis(due - now_ms));
                }
                None => self.sync_work.wait(&mut state),
            }
        }
    }

    /// Ends all hope: nobody who waits is ever told that it is safe.
    fn fail(&self, mut state: MutexGuard<'_, State>, error: &io::Error) {
        tracing::error!(%error, "cannot write the log");
        if state.pace.policy() == SyncPolicy::Always {
            tracing::error!(
                "appendfsync is always: ending, so that nothing is acknowledged that is not on disk"
            );
            exit::now(exit::IO_ERROR);
        }
        let text = error.to_string();
        state.pace.fail();
        state.failure = Some(text.clone());
        let waiting = std::mem::take(&mut state.waiting);
        let act = state.on_failure.take();
        drop(state);
        // Before the act, which may wait for somebody who waits here.
        self.work.notify_all();
        self.sync_work.notify_all();
        self.progress.notify_all();
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
        if let Some(act) = act {
            act(text);
        }
    }
}

impl LogThreads {
    /// Writes and syncs everything that was submitted, and ends the threads.
    pub fn stop(self) {
        self.door.state.lock().stopping = true;
        self.door.work.notify_all();
        self.door.sync_work.notify_all();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a log thread ended with a panic");
            }
        }
    }
}
