//! The log as the daemon drives it: frames go in, offsets that are safe come out.
//!
//! Law: [`Pace`] decides when to write and to sync, and what is safe; here are the threads that do it.
//! - Whoever hands frames over writes them, and syncs them under `always`, unless that may take long: the last sync
//!   took long, one is going on, or writing waits for the disk. Then the thread `log` does. All frames that gather
//!   meanwhile share the next write.
//! - The thread `log-sync` syncs once a second under `everysec`.
//! - A rewrite cuts the stream: what comes behind the cut goes to the next increment, once everything before it is
//!   synced. The thread `log` changes files; what is handed over meanwhile waits.
//! - The door is there even if the log is off: it is closed then, and everything is as safe as it ever will be.
//! - After an error nothing is acknowledged and the engine refuses writes, until it is mended; under `always` the
//!   process ends. A write that failed is tried again. After a sync that failed the file is never trusted again: the
//!   log begins anew in other files, as if it had been off, and only when they are whole is it what counts
//!   (`heal.rs`).

mod heal;
mod threads;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use pbj_store::durable::{Disk, Health, LoadReport, Log, Pace, Stamps, SyncPolicy, Syncer};
use pbj_store::limits::LOG_UNWRITTEN_MAX;
use pbj_store::time::Now;

use crate::clock::Clock;
use crate::log_growth::Growth;
use crate::log_status::{LogStatus, SyncTimes};

/// Buffers kept to be filled again, and the largest one worth keeping, in bytes.
const SPARE_BUFFERS: usize = 4;
const SPARE_BYTES: usize = 4 << 20;

/// How long a sync may take for whoever wrote to wait for it, in microseconds: about as long as waking another thread
/// and being woken by it takes on a busy machine.
const SYNC_QUICK_US: u64 = 2000;

/// The door to the log.
pub struct LogDoor {
    state: Mutex<State>,
    /// Tells the thread `log` that there is something to do.
    work: Condvar,
    /// Tells the thread `log-sync` that there is something to do, or that it has to stop.
    sync_work: Condvar,
    /// Tells those who wait on their thread that something was written.
    progress: Condvar,
    /// Offset up to which everything is safe: what the state says, to be read without its lock.
    safe: AtomicU64,
    /// Offset up to which everything is synced.
    synced: AtomicU64,
    /// Somebody wants to know of the next sync.
    watched: AtomicBool,
    /// Microseconds before each write, for tests of a slow disk.
    write_pause_us: AtomicU64,
    always: AtomicBool,
    open: AtomicBool,
    /// It is other with the log than the engine was told.
    news: AtomicBool,
    /// Asks for a rewrite that heals; must not wait for anything.
    heal: Box<dyn Fn() + Send + Sync>,
    /// How large it is, and whether it is too large.
    pub growth: Growth,
}

/// Where the stream goes on in another file.
struct Cut {
    increment: String,
    /// Frames behind it, and the offset behind those.
    after: Vec<u8>,
    end: u64,
}

struct State {
    pace: Pace,
    queue: Vec<u8>,
    /// The file; absent while somebody writes or syncs it.
    file: Option<LogFile>,
    /// Syncs the file; absent while the thread `log-sync` does so.
    syncer: Option<Box<dyn Syncer>>,
    cut: Option<Cut>,
    /// What the log says about time, if it is to (`aof-timestamp-enabled`).
    stamps: Option<Stamps>,
    /// Everything is to be written and synced, and the file to be closed.
    closing: bool,
    spare: Vec<Vec<u8>>,
    waiting: VecDeque<(u64, Waker)>,
    stopping: bool,
    health: Health,
    /// Why writes are refused.
    failure: Option<String>,
    /// Which file this is: what was begun with another one is of no interest when it ends.
    epoch: u64,
    /// When a rewrite that heals is asked for, and how long after that the next one.
    heal_at_ms: Option<u64>,
    heal_pause_ms: u64,
    delayed_syncs: u64,
    sync_times: SyncTimes,
    /// The last sync was quick.
    syncs_quickly: bool,
    on_news: Option<Box<dyn Fn() + Send>>,
    on_sync: Option<Box<dyn Fn() + Send>>,
}

/// A log and the disk it is on.
struct LogFile {
    disk: Box<dyn Disk>,
    log: Log,
}

/// The threads behind a door; joined when the daemon ends.
pub struct LogThreads {
    door: Arc<LogDoor>,
    threads: Vec<JoinHandle<()>>,
}

impl LogDoor {
    /// Starts the threads of a log that is closed; `heal` asks for a rewrite.
    ///
    /// # Errors
    /// The threads cannot be had.
    pub fn start(
        policy: SyncPolicy,
        growth: Growth,
        heal: Box<dyn Fn() + Send + Sync>,
    ) -> io::Result<(Arc<Self>, LogThreads)> {
        let door = Arc::new(Self {
            state: Mutex::new(State {
                pace: Pace::new(policy),
                queue: Vec::new(),
                file: None,
                syncer: None,
                cut: None,
                stamps: None,
                closing: false,
                spare: Vec::new(),
                waiting: VecDeque::new(),
                stopping: false,
                health: Health::Sound,
                failure: None,
                epoch: 0,
                heal_at_ms: None,
                heal_pause_ms: heal::PAUSE_FIRST_MS,
                delayed_syncs: 0,
                sync_times: SyncTimes::default(),
                syncs_quickly: false,
                on_news: None,
                on_sync: None,
            }),
            work: Condvar::new(),
            sync_work: Condvar::new(),
            progress: Condvar::new(),
            safe: AtomicU64::new(u64::MAX),
            synced: AtomicU64::new(0),
            watched: AtomicBool::new(false),
            write_pause_us: AtomicU64::new(0),
            always: AtomicBool::new(false),
            open: AtomicBool::new(false),
            news: AtomicBool::new(false),
            heal,
            growth,
        });
        let writing = Arc::clone(&door);
        let syncing = Arc::clone(&door);
        let threads = vec![
            std::thread::Builder::new().name("log".into()).spawn(move || writing.write_loop())?,
            std::thread::Builder::new().name("log-sync".into()).spawn(move || syncing.sync_loop())?,
        ];
        let threads = LogThreads { door: Arc::clone(&door), threads };
        Ok((door, threads))
    }

    /// Opens the door to a log, whose stream goes on at `offset`.
    ///
    /// # Errors
    /// Its files cannot be had.
    pub fn open(&self, mut disk: Box<dyn Disk>, log: Log, offset: u64) -> io::Result<()> {
        let syncer = log.syncer(&mut *disk)?;
        let mut state = self.state.lock();
        state.pace = if state.health == Health::Lost {
            state.health = Health::Proving;
            state.pace.beginning_anew(offset)
        } else {
            state.pace.going_on_at(offset)
        };
        state.epoch += 1;
        state.heal_at_ms = None;
        let sizes = (log.size(), log.base_size());
        state.file = Some(LogFile { disk, log });
        state.syncer = Some(syncer);
        state.closing = false;
        state.new_file();
        self.open.store(true, Ordering::Release);
        self.always.store(state.pace.policy() == SyncPolicy::Always, Ordering::Relaxed);
        self.publish(&mut state);
        drop(state);
        self.growth.opened(sizes);
        Ok(())
    }

    /// Takes note of what was found in the log when it was loaded, before anything is handed over.
    pub fn loaded(&self, report: &LoadReport) {
        if let Some(file) = &mut self.state.lock().file {
            file.log.was_loaded(report);
        }
    }

    /// Closes the door, after everything that was handed over is written and synced.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        self.work.notify_all();
        while self.is_open() {
            self.progress.wait(&mut state);
        }
    }

    /// Whether there is a log.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// What is handed over from now on goes to this increment, which is empty. False if that cannot be: a write has
    /// failed, and it is not known when that is over.
    pub fn cut(&self, increment: String) -> bool {
        let mut state = self.state.lock();
        // Two cuts follow each other so fast only if the first one waits for a full disk.
        if state.health != Health::Sound || state.cut.is_some() {
            return false;
        }
        let end = state.pace.submitted();
        state.cut = Some(Cut { increment, after: Vec::new(), end });
        state.new_file();
        self.work.notify_one();
        true
    }

    /// Waits on this thread until the cut is made; false if it is not known when that will be.
    pub fn wait_cut(&self) -> bool {
        let mut state = self.state.lock();
        while state.cut.is_some() && state.failure.is_none() {
            self.progress.wait(&mut state);
        }
        state.cut.is_none()
    }

    /// Which file is written: changes when the log begins, ends or is lost.
    pub fn epoch(&self) -> u64 {
        self.state.lock().epoch
    }

    /// Says what happens when it is other with the log than before: see [`Self::news`].
    pub fn on_news(&self, act: impl Fn() + Send + 'static) {
        self.state.lock().on_news = Some(Box::new(act));
    }

    /// Whether it is other with the log than at the last call: then why writes are to be refused, if they are.
    pub fn news(&self) -> Option<Option<String>> {
        self.news.swap(false, Ordering::AcqRel).then(|| self.state.lock().failure.clone())
    }

    /// Says what happens after a sync that was watched for.
    pub fn on_sync(&self, act: impl Fn() + Send + 'static) {
        self.state.lock().on_sync = Some(Box::new(act));
    }

    /// Has the next sync told.
    pub fn watch_syncs(&self) {
        self.watched.store(true, Ordering::Relaxed);
    }

    /// Offset up to which everything is synced.
    pub fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Changes the policy.
    pub fn set_policy(&self, policy: SyncPolicy) {
        let mut state = self.state.lock();
        state.pace.set_policy(policy);
        self.always.store(policy == SyncPolicy::Always && self.is_open(), Ordering::Relaxed);
        self.publish(&mut state);
        drop(state);
        self.work.notify_one();
        self.sync_work.notify_one();
    }

    /// Says whether the log tells when its units were written.
    pub fn set_stamped(&self, stamped: bool) {
        let mut state = self.state.lock();
        if stamped != state.stamps.is_some() {
            state.stamps = stamped.then(Stamps::default);
        }
    }

    /// Whether replies wait for syncs.
    pub fn is_always(&self) -> bool {
        self.always.load(Ordering::Relaxed)
    }

    /// An empty buffer with some room, for the engine to write frames to.
    pub fn spare(&self) -> Vec<u8> {
        self.state.lock().spare.pop().unwrap_or_default()
    }

    /// Hands frames over, in the order of the stream; `end` is the offset behind them, and `now` when they came about.
    /// [`Self::write`] has to follow.
    pub fn submit(&self, mut frames: Vec<u8>, end: u64, now: Now) {
        let mut state = self.state.lock();
        if !self.is_open() {
            state.keep_spare(frames);
            return;
        }
        if !frames.is_empty()
            && let Some(stamp) = state.stamps.as_mut().and_then(|stamps| stamps.due(now.wall_ms() / 1000))
        {
            frames.splice(..0, stamp.into_bytes());
        }
        if state.health == Health::Lost {
            // It is in memory, of which the log that comes begins as an image.
            state.keep_spare(frames);
            return;
        }
        let read = if let Some(cut) = &mut state.cut {
            cut.after.extend_from_slice(&frames);
            cut.end = end;
            frames
        } else {
            state.pace.submit(end);
            if state.queue.is_empty() {
                std::mem::replace(&mut state.queue, frames)
            } else {
                state.queue.extend_from_slice(&frames);
                frames
            }
        };
        state.keep_spare(read);
        if state.health == Health::Stalled && state.unwritten() > LOG_UNWRITTEN_MAX {
            drop(self.lose(state, "too much waits for the disk"));
        }
    }

    /// Has what was handed over written, and synced under `always`: on this thread if that is quick.
    pub fn write(&self) {
        let mut state = self.state.lock();
        // A place can move without bytes: what only replicas hear counts, too.
        while state.pace.submitted() > state.pace.written() {
            let now_ms = Clock.now().mono_ms;
            let syncs = state.pace.policy() == SyncPolicy::Always;
            let quick = (state.syncs_quickly || !syncs)
                && !state.pace.is_syncing()
                && state.cut.is_none()
                && !state.closing;
            if !quick || !state.pace.may_write(now_ms) {
                self.work.notify_one();
                return;
            }
            // Whoever has the file goes on until nothing is left.
            let Some(file) = state.file.take() else { return };
            state = self.write_once(state, file);
            if syncs {
                return self.sync_here(state);
            }
        }
    }

    /// Whether everything up to `offset` is safe under the policy.
    pub fn is_safe(&self, offset: u64) -> bool {
        self.safe.load(Ordering::Acquire) >= offset
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
        self.write();
        let mut state = self.state.lock();
        loop {
            if state.pace.written() >= offset {
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
            size: self.growth.size(),
            base_size: self.growth.base(),
            pending: state.pace.submitted() - state.pace.written(),
            failure: state.failure.clone(),
            delayed_syncs: state.delayed_syncs,
            sync_times: state.sync_times,
        }
    }

    /// Says how far everything is safe, and wakes those who waited for it.
    fn publish(&self, state: &mut State) {
        let safe = if self.is_open() { state.pace.safe() } else { u64::MAX };
        self.safe.store(safe, Ordering::Release);
        if state.health != Health::Proving {
            self.synced.store(state.pace.synced(), Ordering::Release);
        }
        state.waiting.retain(|(offset, waker)| {
            if *offset <= safe {
                waker.wake_by_ref();
            }
            *offset > safe
        });
    }
}

impl State {
    /// What is handed over from now on is in another file, which has to say again what time it is.
    fn new_file(&mut self) {
        self.stamps.iter_mut().for_each(Stamps::forget);
    }

    /// Bytes that wait to be written.
    fn unwritten(&self) -> usize {
        self.queue.len() + self.cut.as_ref().map_or(0, |cut| cut.after.len())
    }

    /// Whether the file is to be changed or closed: the thread `log` does that.
    fn is_to_change(&self) -> bool {
        self.stopping || self.closing || self.cut.is_some()
    }

    /// Whether the file is to be closed, and everything is written.
    fn is_ending(&self) -> bool {
        let ending = self.stopping || self.closing;
        ending && self.queue.is_empty() && self.cut.is_none() && !self.pace.is_syncing()
    }

    fn keep_spare(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS && (1..=SPARE_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}
