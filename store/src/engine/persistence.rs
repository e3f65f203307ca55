//! When snapshots are written and the log is rewritten, and what became of it.
//!
//! Law: the engine decides and remembers, the host does: a save or a rewrite begins with a [`Step`], the host begins
//! the walk when it is ready, and reports the end under the number of the step. One of them goes on at a time; what is
//! asked for meanwhile is refused or waits, in the words of Redis.
//! Not here: the walk (`rdb/walk.rs`) and files (the host's).

use super::{Engine, Output, Step};
use crate::time::Now;

/// Seconds after a save that failed before save points try again.
const RETRY_AFTER_S: u64 = 5;
/// What clients are told while snapshots that were asked for cannot be written.
const SAVES_FAIL: &str = "Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. \
    Commands that may modify the data set are disabled, because this instance is configured to report errors during \
    writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details \
    about the RDB error.";

/// A save or a rewrite that goes on.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The number of its step.
    number: u64,
    began_ms: u64,
    /// Changes that it will cover.
    dirty: u64,
}

/// Saves or rewrites so far.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    /// Whether the last one succeeded.
    pub last_ok: bool,
    /// Seconds that the last one took.
    pub last_seconds: Option<u64>,
    /// How many succeeded.
    pub succeeded: u64,
    /// How many failed.
    pub failed: u64,
    /// How many failed since the last that succeeded.
    pub failed_in_a_row: u64,
}

impl Default for Runs {
    fn default() -> Self {
        Self { last_ok: true, last_seconds: None, succeeded: 0, failed: 0, failed_in_a_row: 0 }
    }
}

impl Runs {
    fn note(&mut self, ok: bool, ms: u64) {
        self.last_ok = ok;
        self.last_seconds = Some(ms / 1000);
        self.succeeded += u64::from(ok);
        self.failed += u64::from(!ok);
        self.failed_in_a_row = if ok { 0 } else { self.failed_in_a_row + 1 };
    }
}

/// What is going on, and what was.
#[derive(Debug, Default)]
pub(crate) struct Persistence {
    /// Unix seconds of the last snapshot; the start, if there was none.
    last_save_s: u64,
    /// Unix seconds when the last save began.
    last_try_s: u64,
    saves: Runs,
    rewrites: Runs,
    saving: Option<Run>,
    rewriting: Option<Run>,
    save_scheduled: bool,
    rewrite_scheduled: bool,
    /// Seconds and changes after which a snapshot is written.
    points: Vec<(u64, u64)>,
    /// `stop-writes-on-bgsave-error`.
    stops_writes: bool,
    numbers: u64,
    /// Keys of the snapshot that was loaded at the start, and keys that were left out as expired.
    loaded: (u64, u64),
}

/// What is going on with snapshots and the log, for INFO and metrics.
#[derive(Clone, Copy, Debug)]
pub struct PersistenceFacts {
    /// Changes since the last snapshot.
    pub changes: u64,
    /// Unix seconds of the last snapshot.
    pub last_save: u64,
    /// Seconds for which a save goes on.
    pub saving: Option<u64>,
    /// Saves so far.
    pub saves: Runs,
    /// Seconds for which a rewrite goes on.
    pub rewriting: Option<u64>,
    /// A rewrite waits for what goes on.
    pub rewrite_scheduled: bool,
    /// Rewrites so far.
    pub rewrites: Runs,
    /// Keys of the snapshot that was loaded at the start, and keys that were left out as expired.
    pub loaded: (u64, u64),
}

/// What came of asking for a save or a rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Started,
    Scheduled,
    /// The same goes on already.
    GoesOn,
    /// Something else goes on.
    Busy,
}

impl Persistence {
    /// A start at this time.
    pub(super) fn new(now: Now) -> Self {
        Self { last_save_s: now.wall_ms() / 1000, ..Self::default() }
    }

    /// Whether writes are refused because snapshots, which were asked for, cannot be written.
    pub(super) fn saves_fail(&self) -> bool {
        !self.saves.last_ok && self.stops_writes && !self.points.is_empty()
    }

    fn next_run(&mut self, now: Now, dirty: u64) -> Run {
        self.numbers += 1;
        Run { number: self.numbers, began_ms: now.mono_ms, dirty }
    }
}

/// The save points of the directive `save`.
fn parse_points(text: &str) -> Vec<(u64, u64)> {
    let numbers: Vec<u64> = text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
    numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

impl Engine {
    /// Takes over what the configuration says about snapshots.
    pub(super) fn apply_save_points(&mut self) {
        self.persistence.points = parse_points(self.config.text("save"));
        self.persistence.stops_writes = self.config.flag("stop-writes-on-bgsave-error");
    }

    /// Whether snapshots are written on their own, and at the end.
    pub fn has_save_points(&self) -> bool {
        !self.persistence.points.is_empty()
    }

    /// What is going on with snapshots and the log.
    pub fn persistence_facts(&self) -> PersistenceFacts {
        let state = &self.persistence;
        let seconds = |run: Run| self.now.mono_ms.saturating_sub(run.began_ms) / 1000;
        PersistenceFacts {
            changes: self.data.dirty,
            last_save: state.last_save_s,
            saving: state.saving.map(seconds),
            saves: state.saves,
            rewriting: state.rewriting.map(seconds),
            rewrite_scheduled: state.rewrite_scheduled,
            rewrites: state.rewrites,
            loaded: state.loaded,
        }
    }

    /// Notes what the snapshot of the start came to.
    pub fn note_loaded(&mut self, keys: u64, expired: u64) {
        self.persistence.loaded = (keys, expired);
    }

    pub(crate) fn is_persisting(&self) -> bool {
        self.persistence.saving.is_some() || self.persistence.rewriting.is_some() || self.walk.is_some()
    }

    /// Begins to save in the background, or not.
    pub(crate) fn ask_save(&mut self, may_wait: bool) -> Asked {
        if self.persistence.saving.is_some() {
            return Asked::GoesOn;
        }
        if self.is_persisting() {
            self.persistence.save_scheduled |= may_wait;
            return if may_wait { Asked::Scheduled } else { Asked::Busy };
        }
        self.start_save();
        Asked::Started
    }

    fn start_save(&mut self) {
        let run = self.persistence.next_run(self.now, self.data.dirty);
        self.persistence.saving = Some(run);
        self.persistence.save_scheduled = false;
        self.persistence.last_try_s = self.now.wall_ms() / 1000;
        self.outputs.push(Output::Step { client: None, step: Step::SaveInBackground { number: run.number } });
    }

    /// Begins to rewrite the log, or does so later.
    pub fn ask_rewrite(&mut self) -> bool {
        self.ask_for_rewrite() == Asked::Started
    }

    pub(crate) fn ask_for_rewrite(&mut self) -> Asked {
        if self.persistence.rewriting.is_some() {
            return Asked::GoesOn;
        }
        if self.is_persisting() {
            self.persistence.rewrite_scheduled = true;
            return Asked::Scheduled;
        }
        self.start_rewrite();
        Asked::Started
    }

    fn start_rewrite(&mut self) {
        let run = self.persistence.next_run(self.now, 0);
        self.persistence.rewriting = Some(run);
        self.persistence.rewrite_scheduled = false;
        self.outputs.push(Output::Step { client: None, step: Step::RewriteLog { number: run.number } });
    }

    /// Gives up the save that goes on, or the one that waits; says which.
    pub(crate) fn cancel_save(&mut self) -> Option<&'static str> {
        if self.persistence.saving.take().is_some() {
            if let Some(walk) = self.current_walk() {
                self.end_walk(walk);
            }
            self.outputs.push(Output::Step { client: None, step: Step::CancelSave });
            return Some("Background saving cancelled");
        }
        std::mem::take(&mut self.persistence.save_scheduled)
            .then_some("Scheduled background saving cancelled")
    }

    /// Somebody emptied all databases: a snapshot of what was there is not worth its time, and where snapshots are
    /// written on their own, one of nothing is.
    pub(super) fn all_was_emptied(&mut self) {
        self.cancel_save();
        self.give_up_datasets();
        if self.has_save_points() && !self.loading {
            self.outputs.push(Output::Step { client: None, step: Step::Save });
        }
    }

    /// Gives up the rewrite that goes on, and the one that waits: the log is switched off.
    pub fn cancel_rewrite(&mut self) {
        self.persistence.rewrite_scheduled = false;
        if self.persistence.rewriting.take().is_some()
            && let Some(walk) = self.current_walk()
        {
            self.end_walk(walk);
        }
    }

    /// The host is about to begin the walk of a save or a rewrite; says whether it is still wanted.
    pub fn run_begins(&mut self, number: u64) -> bool {
        let dirty = self.data.dirty;
        let state = &mut self.persistence;
        let mut runs = [&mut state.saving, &mut state.rewriting].into_iter().flatten();
        let found = runs.find(|run| run.number == number);
        found.map(|run| run.dirty = dirty).is_some()
    }

    /// Somebody else walks just now: the save or the rewrite of this number begins again later.
    pub fn run_again_later(&mut self, number: u64) {
        let state = &mut self.persistence;
        if state.saving.take_if(|run| run.number == number).is_some() {
            state.save_scheduled = true;
        }
        if state.rewriting.take_if(|run| run.number == number).is_some() {
            state.rewrite_scheduled = true;
        }
    }

    /// A save or a rewrite has ended, if it was not given up before.
    pub fn run_ended(&mut self, now: Now, number: u64, ok: bool) {
        self.advance(now);
        let state = &mut self.persistence;
        if let Some(run) = state.saving.take_if(|run| run.number == number) {
            state.saves.note(ok, now.mono_ms.saturating_sub(run.began_ms));
            if ok {
                self.data.dirty = self.data.dirty.saturating_sub(run.dirty);
                state.last_save_s = now.wall_ms() / 1000;
            }
        }
        if let Some(run) = state.rewriting.take_if(|run| run.number == number) {
            state.rewrites.note(ok, now.mono_ms.saturating_sub(run.began_ms));
        }
        self.begin_what_is_due();
    }

    /// A snapshot was written while everybody waited.
    pub fn saved(&mut self, now: Now, ok: bool) {
        // Whoever asked for it knows that it failed: nothing is refused to others for that.
        self.persistence.saves.failed += u64::from(!ok);
        if ok {
            self.persistence.saves.last_ok = true;
            self.persistence.saves.succeeded += 1;
            self.data.dirty = 0;
            self.persistence.last_save_s = now.wall_ms() / 1000;
        }
    }

    /// Begins what was scheduled, and the snapshot that a save point asks for.
    pub(super) fn begin_what_is_due(&mut self) {
        if self.loading || self.is_persisting() {
            return;
        }
        if self.persistence.rewrite_scheduled {
            self.start_rewrite();
        } else if self.persistence.save_scheduled || self.save_point_due_ms().is_some_and(|ms| ms == 0) {
            self.start_save();
        }
    }

    /// In how many milliseconds a save point asks for a snapshot, as things are.
    fn save_point_due_ms(&self) -> Option<u64> {
        let state = &self.persistence;
        let reached = state.points.iter().filter(|&&(_, changes)| self.data.dirty >= changes.max(1));
        let due_s = state.last_save_s + reached.map(|&(seconds, _)| seconds).min()? + 1;
        let retry_s = if state.saves.last_ok { 0 } else { state.last_try_s + RETRY_AFTER_S + 1 };
        Some((1000 * due_s.max(retry_s)).saturating_sub(self.now.wall_ms()))
    }

    /// When something begins that nobody asks for, in monotonic milliseconds.
    pub(super) fn persistence_deadline(&self) -> Option<u64> {
        let state = &self.persistence;
        let scheduled = state.rewrite_scheduled || state.save_scheduled;
        if state.points.is_empty() && !scheduled || self.is_persisting() {
            return None;
        }
        let wait_ms = if scheduled { Some(0) } else { self.save_point_due_ms() };
        wait_ms.map(|ms| self.now.mono_ms + ms)
    }

    /// Why writes are refused: the log cannot be written, or snapshots cannot.
    pub fn refuses_writes(&self) -> Option<&str> {
        self.broken().or(self.persistence.saves_fail().then_some(SAVES_FAIL))
    }
}
