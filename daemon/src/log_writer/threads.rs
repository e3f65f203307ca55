//! The threads of the log, and what writing and syncing come to.
//!
//! Law: whoever takes the file out of the state gives it back, unless the log has gone on to another one meanwhile (its
//! epoch says so), or has lost it.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::MutexGuard;
use pbj_store::durable::{Health, SyncPolicy};

use super::{LogDoor, LogFile, LogThreads, SYNC_QUICK_US, State};
use crate::clock::Clock;

impl LogDoor {
    /// Lets each write begin so many microseconds later: DEBUG AOF-FLUSH-SLEEP.
    pub fn pause_before_writes(&self, us: u64) {
        self.write_pause_us.store(us, Ordering::Relaxed);
    }

    /// Writes the whole queue.
    pub(super) fn write_once<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        mut file: LogFile,
    ) -> MutexGuard<'a, State> {
        let mut frames = std::mem::take(&mut state.queue);
        let (end, epoch) = (state.pace.submitted(), state.epoch);
        let is_retry = state.health == Health::Stalled;
        drop(state);
        let pause_us = self.write_pause_us.load(Ordering::Relaxed);
        if pause_us > 0 {
            std::thread::sleep(Duration::from_micros(pause_us));
        }
        let before = file.log.size();
        let written = file.write(&mut frames, is_retry);
        let mut state = self.state.lock();
        if state.epoch != epoch {
            return state;
        }
        if let Err(fault) = written {
            return self.write_failed(state, file, frames, &fault);
        }
        self.growth.grew(file.log.size() - before);
        state.file = Some(file);
        let was_clean = state.pace.written() == state.pace.synced();
        state.pace.wrote(end, Clock.now().mono_ms);
        state.keep_spare(frames);
        self.publish(&mut state);
        // Otherwise the thread that syncs knows already when it is due, and a write costs no switch.
        if was_clean && state.pace.policy() == SyncPolicy::EverySecond {
            self.sync_work.notify_one();
        }
        if state.is_to_change() {
            self.work.notify_one();
        }
        self.progress.notify_all();
        if is_retry { self.recovered(state) } else { state }
    }

    /// The thread `log`.
    pub(super) fn write_loop(&self) {
        let mut waited = false;
        let mut state = self.state.lock();
        loop {
            let now_ms = Clock.now().mono_ms;
            self.ask_to_heal(&mut state, now_ms);
            let may_sync = state.pace.policy() == SyncPolicy::Always
                && state.pace.sync_due_ms(now_ms).is_some_and(|due| due <= now_ms);
            match state.file.take() {
                file if state.ends_broken(file.is_some()) => state = self.end_broken(state, file),
                None if state.stopping && !self.is_open() => return,
                Some(file) if state.pace.may_write(now_ms) => state = self.write_once(state, file),
                Some(file) if may_sync => state = self.sync_file(state, file),
                Some(file) if state.may_change_files() => state = self.change_files(state, file),
                Some(file) if state.is_ending() => state = self.end_file(state, file),
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
                    match state.look_again_ms() {
                        Some(at) => {
                            let time = Duration::from_millis(at.saturating_sub(now_ms));
                            self.work.wait_for(&mut state, time);
                        }
                        None => self.work.wait(&mut state),
                    }
                }
            }
        }
    }

    /// Syncs what was just written, on this thread. What is handed over meanwhile is for the thread `log`: whoever is
    /// here has clients to serve.
    pub(super) fn sync_here(&self, mut state: MutexGuard<'_, State>) {
        let Some(file) = state.file.take() else { return };
        let state = self.sync_file(state, file);
        let is_behind = state.pace.submitted() > state.pace.written();
        if is_behind || state.is_to_change() {
            self.work.notify_one();
        }
    }

    /// Syncs everything that is written.
    fn sync_file<'a>(&'a self, state: MutexGuard<'a, State>, mut file: LogFile) -> MutexGuard<'a, State> {
        let LogFile { disk, log } = &mut file;
        let (mut state, is_current) = self.sync_with(state, || log.sync(&mut **disk));
        if is_current {
            state.file = Some(file);
        }
        state
    }

    /// Goes on in the increment behind the cut.
    fn change_files<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        mut file: LogFile,
    ) -> MutexGuard<'a, State> {
        let Some(increment) = state.cut.as_ref().map(|cut| cut.increment.clone()) else {
            state.file = Some(file);
            return state;
        };
        let LogFile { disk, log } = &mut file;
        let mut syncer = None;
        let (mut state, is_current) = self.sync_with(state, || {
            log.go_on_in(&mut **disk, increment)?;
            syncer = Some(log.syncer(&mut **disk)?);
            Ok(())
        });
        if !is_current {
            return state;
        }
        state.syncer = syncer;
        state.file = Some(file);
        if let Some(cut) = state.cut.take() {
            state.queue = cut.after;
            state.pace.submit(cut.end);
        }
        self.progress.notify_all();
        state
    }

    /// The last word about a file: whatever the policy, nothing is left to chance.
    fn end_file<'a>(&'a self, mut state: MutexGuard<'a, State>, mut file: LogFile) -> MutexGuard<'a, State> {
        if let Err(error) = file.log.sync(&mut *file.disk) {
            tracing::error!(%error, "cannot sync the log at its end");
        }
        self.close_door(&mut state);
        state
    }

    /// There is no log any more.
    pub(super) fn close_door(&self, state: &mut State) {
        self.open.store(false, Ordering::Release);
        self.always.store(false, Ordering::Relaxed);
        self.growth.closed();
        state.epoch += 1;
        state.pace = state.pace.going_on_at(state.pace.submitted());
        state.closing = false;
        state.syncer = None;
        self.publish(state);
        self.progress.notify_all();
    }

    /// Syncs what is written; false if the file is not that of the log any more.
    fn sync_with<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        sync: impl FnOnce() -> io::Result<()>,
    ) -> (MutexGuard<'a, State>, bool) {
        state.pace.sync_begins(Clock.now().mono_ms);
        let epoch = state.epoch;
        drop(state);
        let start = Clock.stopwatch_ns();
        let synced = sync();
        let us = (Clock.stopwatch_ns() - start) / 1000;
        let mut state = self.state.lock();
        if state.epoch != epoch {
            return (state, false);
        }
        if let Err(error) = synced {
            return (self.lose(state, &error.to_string()), false);
        }
        state.sync_times.record(us);
        state.syncs_quickly = us <= SYNC_QUICK_US;
        state.pace.sync_ends();
        self.publish(&mut state);
        if self.watched.swap(false, Ordering::Relaxed)
            && let Some(act) = &state.on_sync
        {
            act();
        }
        (state, true)
    }

    /// The thread `log-sync`.
    pub(super) fn sync_loop(&self) {
        let mut state = self.state.lock();
        loop {
            if state.stopping {
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
                    let (again, is_current) = self.sync_with(state, || syncer.sync());
                    state = again;
                    if is_current {
                        state.syncer = Some(syncer);
                    }
                    // What was handed over meanwhile waits for somebody to write it.
                    if !state.queue.is_empty() || state.is_to_change() {
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
