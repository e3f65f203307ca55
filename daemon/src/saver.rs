//! Snapshots and rewrites of the log, written while clients are served.
//!
//! Law: the thread `snapshots` holds the engine's lock for one piece of the walk at a time, and never while it writes
//! or syncs. One job after the other. What the engine gave up (BGSAVE CANCEL, the log switched off) ends at the next
//! piece, and leaves nothing behind.
//! Not here: what a snapshot is (`store/src/rdb/walk.rs`), in which order files change (`store/src/durable`), and when
//! anything of this begins (`store/src/engine/persistence.rs`).

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use pbj_store::durable::{BaseForm, Log, LogFiles, LogNames, LogState, Rewrite, SnapshotOutput};
use pbj_store::engine::Engine;
use pbj_store::limits::WALK_VISITS_PER_PIECE;
use pbj_store::rdb::{SnapshotHead, WalkId, WalkPiece};

use crate::allocator;
use crate::disk::RealDisk;
use crate::shared::Shared;

/// Something to do for the thread.
#[derive(Debug)]
pub enum Job {
    /// Write a snapshot: the run of this number.
    Save(u64),
    /// Rewrite the log, or begin it: the run of this number.
    Rewrite(u64),
    /// The log has become so large that it is worth rewriting.
    Grown,
    /// The log cannot be trusted any more, and has to begin anew.
    Heal,
    /// What rewrites have replaced is not to be kept any longer.
    RemoveHistory,
}

/// The desk of the thread `snapshots`.
#[derive(Default)]
pub struct Saver {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    stopping: bool,
}

/// The thread behind a desk; joined when the daemon ends.
pub struct SaverThread {
    saver: Arc<Saver>,
    thread: JoinHandle<()>,
}

/// Where the thread works.
struct Worker {
    shared: Arc<Shared>,
    saver: Arc<Saver>,
    folder: PathBuf,
    names: LogNames,
    /// The files of the log, as long as it is on.
    files: Option<LogFiles>,
}

impl Saver {
    /// Adds a job.
    pub fn ask(&self, job: Job) {
        self.state.lock().jobs.push_back(job);
        self.wake.notify_all();
    }

    /// Something changed that the thread may be asleep over.
    pub fn nudge(&self) {
        self.wake.notify_all();
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if state.stopping {
                return None;
            }
            match state.jobs.pop_front() {
                Some(job) => return Some(job),
                None => self.wake.wait(&mut state),
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.state.lock().stopping
    }

    /// Sleeps until it is nudged, or asked for something, or the time is over.
    fn sleep(&self, time: Duration) {
        let mut state = self.state.lock();
        if !state.stopping {
            self.wake.wait_for(&mut state, time);
        }
    }
}

impl SaverThread {
    /// Starts the thread. `files` are those of the log, if it is on.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start(
        shared: &Arc<Shared>,
        folder: &Path,
        names: LogNames,
        files: Option<LogFiles>,
    ) -> io::Result<Self> {
        let saver = Arc::clone(&shared.saver);
        let mut worker = Worker {
            shared: Arc::clone(shared),
            saver: Arc::clone(&saver),
            folder: folder.to_owned(),
            names,
            files,
        };
        let body = move || {
            while let Some(job) = worker.saver.next() {
                worker.work(job);
            }
        };
        let thread = std::thread::Builder::new().name("snapshots".into()).spawn(body)?;
        Ok(Self { saver, thread })
    }

    /// Ends the thread; what it is writing is given up.
    pub fn stop(self) {
        self.saver.state.lock().stopping = true;
        self.saver.wake.notify_all();
        if self.thread.join().is_err() {
            tracing::error!("the thread of the snapshots ended with a panic");
        }
    }
}

/// What became of a job.
enum End {
    Done,
    /// It was not wanted any more.
    GivenUp,
    /// Somebody else walks just now.
    Busy,
}

impl Worker {
    fn work(&mut self, job: Job) {
        let (number, end, what) = match job {
            Job::Save(number) => (number, self.save(number), "saving"),
            Job::Rewrite(number) => (number, self.rewrite(number), "AOF rewrite"),
            Job::Grown => {
                tracing::info!("Starting automatic rewriting of AOF, which has grown");
                let shared = &self.shared;
                shared.with_engine(|engine| engine.ask_rewrite());
                return;
            }
            Job::RemoveHistory => return self.remove_history(),
            Job::Heal => {
                tracing::info!("Starting to write the AOF anew, in other files");
                self.shared.with_engine(|engine| engine.ask_rewrite());
                return;
            }
        };
        let ok = match end {
            Ok(End::Done) => {
                tracing::info!("Background {what} terminated with success");
                true
            }
            Ok(End::GivenUp) => {
                tracing::info!("Background {what} was given up");
                false
            }
            Ok(End::Busy) => {
                self.shared.with_engine(move |engine| engine.run_again_later(number));
                return;
            }
            Err(error) => {
                tracing::error!(%error, "Background {what} error");
                false
            }
        };
        let now = self.shared.clock.now();
        self.shared.with_engine(move |engine| engine.run_ended(now, number, ok));
        self.shared.timer.notify_one();
    }

    fn save(&self, number: u64) -> io::Result<End> {
        let mut disk = RealDisk::new(&self.folder);
        let (walk, name) = {
            let mut core = self.shared.lock();
            if !core.engine.run_begins(number) {
                return Ok(End::GivenUp);
            }
            let head = head(&core.engine, self.shared.clock.now().wall_ms(), false);
            let Ok(walk) = core.engine.begin_walk(&head) else { return Ok(End::Busy) };
            (walk, core.engine.config().text("dbfilename").to_owned())
        };
        tracing::info!("Background saving started");
        let mut output = match SnapshotOutput::create(&mut disk, "", &name, "temp-") {
            Ok(output) => output,
            Err(error) => {
                self.shared.lock().engine.end_walk(walk);
                return Err(error);
            }
        };
        match self.write(walk, |piece| output.append(&mut disk, &piece.bytes)) {
            Ok(true) => {
                output.finish(&mut disk)?;
                tracing::info!("DB saved on disk");
                Ok(End::Done)
            }
            Ok(false) => {
                output.abandon(&mut disk);
                Ok(End::GivenUp)
            }
            Err(error) => {
                output.abandon(&mut disk);
                Err(error)
            }
        }
    }

    fn rewrite(&mut self, number: u64) -> io::Result<End> {
        let beginning = !self.shared.log.is_open() || self.shared.log.is_lost();
        let end = self.rewrite_files(number, beginning);
        if matches!(end, Err(_) | Ok(End::GivenUp)) {
            self.shared.log.growth.not_rewritten();
            if self.shared.log.is_lost() {
                self.shared.log.not_healed();
            } else if beginning && !self.saver.is_stopping() {
                // Without a base, what is in the log by now is worth nothing.
                self.shared.give_log_up();
            }
        }
        end
    }

    fn rewrite_files(&mut self, number: u64, beginning: bool) -> io::Result<End> {
        let mut disk = RealDisk::new(&self.folder);
        let mut files = match self.files.take().filter(|_| !beginning) {
            Some(files) => files,
            None => LogFiles::replace(&mut disk, &self.names)
                .map_err(|fault| io::Error::other(fault.to_string()))?,
        };
        let (form, state) = {
            let core = self.shared.lock();
            let config = core.engine.config();
            let state = match (beginning, config.flag("appendonly")) {
                (false, _) => LogState::Running,
                (true, true) => LogState::Beginning,
                (true, false) => LogState::Off,
            };
            (BaseForm::of(config), state)
        };
        let begun = files.begin_rewrite(&mut disk, state, form);
        let mut rewrite = match begun {
            Ok(rewrite) => rewrite,
            Err(error) => {
                self.files = (!beginning).then_some(files);
                return Err(error);
            }
        };
        let (walk, epoch) = match self.instant(number, &rewrite, beginning) {
            Ok(Ok(begun)) => begun,
            refused => {
                files.abandon_rewrite(&mut disk, rewrite);
                self.files = (!beginning).then_some(files);
                return refused.map(|end| end.err().unwrap_or(End::GivenUp));
            }
        };
        tracing::info!("Background append only file rewriting started");
        let written = self.write(walk, |piece| rewrite.append(&mut disk, piece));
        // The base must not be named before everything behind it has its place.
        let end = match written {
            Ok(true) if self.shared.log.wait_cut() && self.shared.log.epoch() == epoch => {
                let base = rewrite.bytes();
                files.finish_rewrite(&mut disk, rewrite).map(|replaced| {
                    // What a log that begins replaces is no part of it.
                    self.shared.log.growth.rewritten(if beginning { 0 } else { replaced }, base);
                    self.shared.set_log_begins(false);
                    self.shared.log.healed(epoch);
                    End::Done
                })
            }
            other => {
                files.abandon_rewrite(&mut disk, rewrite);
                other.map(|_| End::GivenUp)
            }
        };
        self.files = Some(files);
        self.remove_history();
        end
    }

    /// Removes what rewrites have replaced, unless it is to be kept.
    fn remove_history(&mut self) {
        let keeps = self.shared.lock().engine.config().flag("aof-disable-auto-gc");
        let Some(files) = self.files.as_mut().filter(|_| !keeps) else { return };
        if let Err(error) = files.remove_history(&mut RealDisk::new(&self.folder)) {
            tracing::warn!(%error, "files of the log that were replaced cannot be removed");
        }
    }

    /// The instant of a rewrite: what comes after it goes to the next increment. Says which walk it is, and the epoch
    /// of the log. If that is off, somebody wants to have one nevertheless.
    fn instant(
        &self,
        number: u64,
        rewrite: &Rewrite,
        beginning: bool,
    ) -> io::Result<Result<(WalkId, u64), End>> {
        let mut core = self.shared.lock();
        let engine = &mut core.engine;
        if !engine.run_begins(number) {
            return Ok(Err(End::GivenUp));
        }
        let as_commands = rewrite.form() != BaseForm::Snapshot;
        let wall_ms = self.shared.clock.now().wall_ms();
        let head = SnapshotHead { as_commands, ..head(engine, wall_ms, true) };
        let wants_log = engine.config().flag("appendonly") || (self.shared.log.is_open() && !beginning);
        let increment = rewrite.increment();
        if wants_log && increment.is_none() {
            // It was switched on just now.
            return Ok(Err(End::Busy));
        }
        let Ok(walk) = engine.begin_walk(&head) else { return Ok(Err(End::Busy)) };
        self.shared.submit_frames(engine);
        let increment = increment.filter(|_| wants_log);
        if let Some(increment) = increment.filter(|_| self.shared.log.is_open() && !beginning) {
            if !self.shared.log.cut(increment.to_owned()) {
                engine.end_walk(walk);
                return Err(io::Error::other("the log cannot be written just now"));
            }
        } else if let Some(increment) = increment {
            let disk = Box::new(RealDisk::new(&self.folder));
            let log = Log::beginning_in(increment);
            let log = if engine.config().flag("aof-checksums") { log } else { log.without_seals() };
            if let Err(error) = self.shared.log.open(disk, log, engine.offset()) {
                engine.end_walk(walk);
                return Err(error);
            }
        }
        if self.shared.log.is_open() {
            // The new file has to name its database.
            engine.set_feed_wanted(true);
        }
        Ok(Ok((walk, self.shared.log.epoch())))
    }

    /// Writes a walk, piece by piece; says whether it came to its end.
    fn write(&self, walk: WalkId, mut sink: impl FnMut(&WalkPiece) -> io::Result<()>) -> io::Result<bool> {
        loop {
            let (piece, delay_us) = {
                let mut core = self.shared.lock();
                let delay_us = core.engine.config().integer("rdb-key-save-delay").max(0) as u64;
                let visits = if delay_us > 0 { 1 } else { WALK_VISITS_PER_PIECE };
                (core.engine.walk_on(walk, visits), delay_us)
            };
            let Some(piece) = piece else { return Ok(false) };
            if let Err(error) = sink(&piece) {
                self.shared.lock().engine.end_walk(walk);
                return Err(error);
            }
            if piece.is_last {
                // Replicas may wait for it.
                self.shared.timer.notify_one();
                return Ok(true);
            }
            // Whoever waits for the lock may be trying again and again on this very core, and would find it taken each
            // time.
            std::thread::yield_now();
            if delay_us > 0 {
                self.delay(walk, Duration::from_micros(delay_us.saturating_mul(piece.keys)));
            }
            if self.saver.is_stopping() {
                self.shared.lock().engine.end_walk(walk);
                return Ok(false);
            }
        }
    }

    /// Slows a walk down, as `rdb-key-save-delay` asks for, until that is taken back.
    fn delay(&self, walk: WalkId, time: Duration) {
        let end_ns = self.shared.clock.stopwatch_ns() + time.as_nanos() as u64;
        loop {
            let left = Duration::from_nanos(end_ns.saturating_sub(self.shared.clock.stopwatch_ns()));
            let goes_on = {
                let core = self.shared.lock();
                core.engine.current_walk() == Some(walk)
                    && core.engine.config().integer("rdb-key-save-delay") > 0
            };
            if left.is_zero() || !goes_on || self.saver.is_stopping() {
                return;
            }
            self.saver.sleep(left);
        }
    }
}

/// Writes a snapshot while everybody waits.
///
/// # Errors
/// The disk refuses; the snapshot before is still there.
pub fn save_now(engine: &mut Engine, folder: &Path, wall_ms: u64) -> io::Result<()> {
    let mut disk = RealDisk::new(folder);
    let name = engine.config().text("dbfilename").to_owned();
    let mut output = SnapshotOutput::create(&mut disk, "", &name, "temp-now-")?;
    let written =
        engine.write_snapshot(&head(engine, wall_ms, false), |piece| output.append(&mut disk, &piece));
    match written {
        Ok(()) => output.finish(&mut disk),
        Err(error) => {
            output.abandon(&mut disk);
            Err(error)
        }
    }
}

fn head(engine: &Engine, wall_ms: u64, is_log_base: bool) -> SnapshotHead {
    SnapshotHead {
        unix_seconds: wall_ms / 1000,
        used_memory: allocator::bytes_taken(),
        is_log_base,
        place: engine.place(),
        ..SnapshotHead::default()
    }
}
