//! The log on its own threads: frames go in, offsets that are safe come out.
//!
//! Law: a reply leaves only when the log has come as far as it depends on: synced under `always`, written otherwise. All
//! frames that gather while one write is going on share the next one (group commit).
//! - One thread appends; under `always` it also syncs.
//! - One thread syncs once a second under `everysec`. If that takes more than two seconds, appending waits for it, so
//!   that no more than that can be lost.
//! - After the first error nothing is acknowledged any more: under `always` the process ends, because what is in memory
//!   and what is on disk differ; otherwise the engine refuses writes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use pbj_store::durable::{Disk, Log, Syncer};

use crate::clock::Clock;
use crate::exit;

/// When frames are synced (`appendfsync`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before the reply.
    Always,
    /// Once a second.
    EverySecond,
    /// When the kernel likes.
    Never,
}

impl SyncPolicy {
    /// The policy with this name in the configuration.
    pub fn named(name: &str) -> Self {
        match name {
            "always" => Self::Always,
            "no" => Self::Never,
            _ => Self::EverySecond,
        }
    }
}

/// Longest sync under `everysec` before appending waits for it.
const SYNC_PATIENCE: Duration = Duration::from_secs(2);
/// Buffers kept to be filled again.
const SPARE_BUFFERS: usize = 4;
/// Largest buffer worth keeping, in bytes.
const SPARE_BYTES: usize = 4 << 20;

/// Upper ends of the buckets of sync durations, in microseconds.
pub const SYNC_BUCKETS_US: [u64; 10] = [100, 250, 500, 1000, 2500, 5000, 10_000, 50_000, 250_000, 1_000_000];

/// What the log is doing.
#[derive(Clone, Debug, Default)]
pub struct LogStatus {
    /// Bytes of all files.
    pub size: u64,
    /// Bytes of all files at start.
    pub size_at_start: u64,
    /// Bytes that wait to be written.
    pub pending: u64,
    /// Why nothing is written any more.
    pub failure: Option<String>,
    /// Times that appending waited for a sync.
    pub delayed_syncs: u64,
    /// Syncs by duration, see [`SYNC_BUCKETS_US`]; the last one counts the longer ones.
    pub sync_durations: [u64; SYNC_BUCKETS_US.len() + 1],
    /// Time of all syncs in microseconds.
    pub sync_total_us: u64,
}

/// The door to the log threads.
pub struct LogDoor {
    state: Mutex<State>,
    /// Tells the appending thread that there is something to do.
    work: Condvar,
    /// Tells the syncing thread that there is something to sync.
    sync_work: Condvar,
    /// Tells the syncing thread to rest no longer.
    sync_rest: Condvar,
    /// Tells those who wait on their thread that something was written or synced.
    progress: Condvar,
    /// Offset up to which frames are written.
    written: AtomicU64,
    /// Offset up to which frames are synced.
    synced: AtomicU64,
    always: AtomicBool,
    size: AtomicU64,
    size_at_start: u64,
}

struct State {
    queue: Vec<u8>,
    /// Offset behind the queue.
    end: u64,
    spare: Vec<Vec<u8>>,
    waiting: VecDeque<(u64, Waker)>,
    policy: SyncPolicy,
    stopping: bool,
    failure: Option<String>,
    /// When the sync that is going on began, on the stopwatch.
    syncing_since_ns: Option<u64>,
    delayed_syncs: u64,
    sync_durations: [u64; SYNC_BUCKETS_US.len() + 1],
    sync_total_us: u64,
    on_failure: Option<Box<dyn FnOnce(String) + Send>>,
}

/// The threads behind a door; joined when the daemon ends.
pub struct LogThreads {
    door: Arc<LogDoor>,
    threads: Vec<JoinHandle<()>>,
}

impl LogDoor {
    /// Starts the threads of an open log, whose stream begins at offset 0.
    ///
    /// # Errors
    /// The threads or the files cannot be had.
    pub fn start(
        mut disk: Box<dyn Disk>,
        log: Log,
        policy: SyncPolicy,
    ) -> std::io::Result<(Arc<Self>, LogThreads)> {
        let syncer = log.syncer(&mut *disk)?;
        let door = Arc::new(Self {
            state: Mutex::new(State {
                queue: Vec::new(),
                end: 0,
                spare: Vec::new(),
                waiting: VecDeque::new(),
                policy,
                stopping: false,
                failure: None,
                syncing_since_ns: None,
                delayed_syncs: 0,
                sync_durations: [0; SYNC_BUCKETS_US.len() + 1],
                sync_total_us: 0,
                on_failure: None,
            }),
            work: Condvar::new(),
            sync_work: Condvar::new(),
            sync_rest: Condvar::new(),
            progress: Condvar::new(),
            written: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            always: AtomicBool::new(policy == SyncPolicy::Always),
            size: AtomicU64::new(log.size()),
            size_at_start: log.size_at_start(),
        });
        let appending = Arc::clone(&door);
        let syncing = Arc::clone(&door);
        let threads = vec![
            std::thread::Builder::new().name("log".into()).spawn(move || appending.append_loop(disk, log))?,
            std::thread::Builder::new().name("log-sync".into()).spawn(move || syncing.sync_loop(&*syncer))?,
        ];
        let threads = LogThreads { door: Arc::clone(&door), threads };
        Ok((door, threads))
    }

    /// Says what happens at the first error, beside what happens here.
    pub fn on_failure(&self, act: impl FnOnce(String) + Send + 'static) {
        self.state.lock().on_failure = Some(Box::new(act));
    }

    /// Changes the policy.
    pub fn set_policy(&self, policy: SyncPolicy) {
        self.state.lock().policy = policy;
        self.always.store(policy == SyncPolicy::Always, Ordering::Relaxed);
        self.work.notify_one();
        self.sync_work.notify_all();
    }

    /// Whether replies wait for syncs.
    pub fn is_always(&self) -> bool {
        self.always.load(Ordering::Relaxed)
    }

    /// An empty buffer with some room, for the engine to write frames to.
    pub fn spare(&self) -> Vec<u8> {
        self.state.lock().spare.pop().unwrap_or_default()
    }

    /// Hands frames over, in the order of the stream; `end` is the offset behind them.
    pub fn submit(&self, frames: Vec<u8>, end: u64) {
        let mut state = self.state.lock();
        if state.queue.is_empty() {
            let old = std::mem::replace(&mut state.queue, frames);
            keep_spare(&mut state.spare, old);
        } else {
            state.queue.extend_from_slice(&frames);
            keep_spare(&mut state.spare, frames);
        }
        state.end = end;
        self.work.notify_one();
    }

    fn safe_offset(&self) -> u64 {
        if self.is_always() {
            self.synced.load(Ordering::Acquire)
        } else {
            self.written.load(Ordering::Acquire)
        }
    }

    /// Whether everything up to `offset` is safe under the policy.
    pub fn is_safe(&self, offset: u64) -> bool {
        self.safe_offset() >= offset
    }

    /// Waits until everything up to `offset` is safe; false if it never will be.
    pub async fn wait(&self, offset: u64) -> bool {
        std::future::poll_fn(|context| self.poll_safe(context, offset)).await
    }

    fn poll_safe(&self, context: &Context<'_>, offset: u64) -> Poll<bool> {
        if self.is_safe(offset) {
            return Poll::Ready(true);
        }
        let mut state = self.state.lock();
        if state.failure.is_some() {
            return Poll::Ready(false);
        }
        // Looked at again under the lock, which those who move the offset take before they wake.
        if self.is_safe(offset) {
            return Poll::Ready(true);
        }
        state.waiting.push_back((offset, context.waker().clone()));
        Poll::Pending
    }

    /// Waits on this thread until everything up to `offset` is written; false if it never will be.
    pub fn wait_written(&self, offset: u64) -> bool {
        let mut state = self.state.lock();
        loop {
            if self.written.load(Ordering::Acquire) >= offset {
                return true;
            }
            if state.failure.is_some() {
                return false;
            }
            self.progress.wait(&mut state);
        }
    }

    /// What the log is doing.
    pub fn status(&self) -> LogStatus {
        let state = self.state.lock();
        LogStatus {
            size: self.size.load(Ordering::Relaxed),
            size_at_start: self.size_at_start,
            pending: state.end - self.written.load(Ordering::Relaxed).min(state.end),
            failure: state.failure.clone(),
            delayed_syncs: state.delayed_syncs,
            sync_durations: state.sync_durations,
            sync_total_us: state.sync_total_us,
        }
    }

    fn append_loop(&self, mut disk: Box<dyn Disk>, mut log: Log) {
        loop {
            let mut state = self.state.lock();
            while state.queue.is_empty() && !state.stopping {
                self.work.wait(&mut state);
            }
            if state.queue.is_empty() {
                break;
            }
            self.wait_for_slow_sync(&mut state);
            let frames = std::mem::take(&mut state.queue);
            let (end, policy) = (state.end, state.policy);
            drop(state);
            let mut done = log.append(&mut *disk, &frames);
            if done.is_ok() {
                self.size.store(log.size(), Ordering::Relaxed);
                self.written.store(end, Ordering::Release);
            }
            if done.is_ok() && policy == SyncPolicy::Always {
                done = self.timed_sync(|| log.sync(&mut *disk));
                if done.is_ok() {
                    self.synced.fetch_max(end, Ordering::Release);
                }
            }
            if let Err(error) = done {
                self.fail(&error, policy);
                return;
            }
            self.wake(frames);
        }
        // The last word before the end: whatever the policy, nothing is left to chance.
        if let Err(error) = log.sync(&mut *disk) {
            tracing::error!(%error, "cannot sync the log at the end");
        }
    }

    fn wait_for_slow_sync(&self, state: &mut parking_lot::MutexGuard<'_, State>) {
        let too_long = |state: &State| {
            let patience = SYNC_PATIENCE.as_nanos() as u64;
            state.syncing_since_ns.is_some_and(|since| Clock.stopwatch_ns().saturating_sub(since) > patience)
        };
        if too_long(state) {
            state.delayed_syncs += 1;
            tracing::warn!("syncing the log takes more than two seconds; writes wait for the disk");
            while state.syncing_since_ns.is_some() && state.failure.is_none() {
                self.progress.wait(state);
            }
        }
    }

    fn timed_sync(&self, sync: impl FnOnce() -> std::io::Result<()>) -> std::io::Result<()> {
        let start = Clock.stopwatch_ns();
        let result = sync();
        let us = (Clock.stopwatch_ns() - start) / 1000;
        let bucket = SYNC_BUCKETS_US.iter().position(|&end| us <= end).unwrap_or(SYNC_BUCKETS_US.len());
        let mut state = self.state.lock();
        state.sync_durations[bucket] += 1;
        state.sync_total_us += us;
        result
    }

    /// Wakes all whose offset is safe now, and keeps the buffer.
    fn wake(&self, frames: Vec<u8>) {
        let mut state = self.state.lock();
        keep_spare(&mut state.spare, frames);
        let safe = self.safe_offset();
        let mut ready = Vec::new();
        state.waiting.retain(|(offset, waker)| {
            let is_safe = *offset <= safe;
            if is_safe {
                ready.push(waker.clone());
            }
            !is_safe
        });
        drop(state);
        ready.into_iter().for_each(Waker::wake);
        self.sync_work.notify_one();
        self.progress.notify_all();
    }

    fn sync_loop(&self, syncer: &dyn Syncer) {
        loop {
            let mut state = self.state.lock();
            let target = loop {
                if state.stopping || state.failure.is_some() {
                    return;
                }
                let target = self.written.load(Ordering::Acquire);
                if state.policy == SyncPolicy::EverySecond && target > self.synced.load(Ordering::Acquire) {
                    break target;
                }
                self.sync_work.wait(&mut state);
            };
            let began = Clock.stopwatch_ns();
            state.syncing_since_ns = Some(began);
            drop(state);
            let result = self.timed_sync(|| syncer.sync());
            self.state.lock().syncing_since_ns = None;
            self.progress.notify_all();
            match result {
                Ok(()) => {
                    self.synced.fetch_max(target, Ordering::Release);
                }
                Err(error) => {
                    self.fail(&error, SyncPolicy::EverySecond);
                    return;
                }
            }
            self.rest_of_second(began);
        }
    }

    /// Sleeps until a second after `began_ns`, unless the threads are told to stop.
    fn rest_of_second(&self, began_ns: u64) {
        let mut state = self.state.lock();
        while !state.stopping {
            let elapsed = Duration::from_nanos(Clock.stopwatch_ns().saturating_sub(began_ns));
            let Some(left) = Duration::from_secs(1).checked_sub(elapsed) else { return };
            self.sync_rest.wait_for(&mut state, left);
        }
    }

    /// Ends all hope: nobody who waits is ever told that it is safe.
    fn fail(&self, error: &std::io::Error, policy: SyncPolicy) {
        tracing::error!(%error, "cannot write the log");
        if policy == SyncPolicy::Always {
            tracing::error!(
                "appendfsync is always: ending, so that nothing is acknowledged that is not on disk"
            );
            exit::now(exit::IO_ERROR);
        }
        let mut state = self.state.lock();
        let text = error.to_string();
        state.failure = Some(text.clone());
        let waiting = std::mem::take(&mut state.waiting);
        let act = state.on_failure.take();
        drop(state);
        if let Some(act) = act {
            act(text);
        }
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
        self.sync_work.notify_all();
        self.progress.notify_all();
    }
}

fn keep_spare(spare: &mut Vec<Vec<u8>>, mut buffer: Vec<u8>) {
    if spare.len() < SPARE_BUFFERS && (1..=SPARE_BYTES).contains(&buffer.capacity()) {
        buffer.clear();
        spare.push(buffer);
    }
}

impl LogThreads {
    /// Writes and syncs everything that was submitted, and ends the threads.
    pub fn stop(self) {
        self.door.state.lock().stopping = true;
        self.door.work.notify_all();
        self.door.sync_work.notify_all();
        self.door.sync_rest.notify_all();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a log thread ended with a panic");
            }
        }
    }
}
