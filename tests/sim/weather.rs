//! What a seed has in store: how often which fault strikes, how fast the disk is, who is there.
//!
//! Seeds differ in kind, not only in luck: some have a perfect disk and only crashes, some a wall clock that somebody
//! sets all the time, some nothing at all. Faults that always come together hide each other.

use fastrand::Rng;
use pbj_store::durable::SyncPolicy;

/// What a seed has in store. Rates are chances per thousand steps.
#[derive(Clone, Debug)]
pub struct Weather {
    /// The policy at the beginning.
    pub policy: SyncPolicy,
    /// `aof-use-rdb-preamble`: the base of a rewrite is a snapshot, or commands.
    pub preamble: &'static str,
    /// The process ends at any point; what was written stays.
    pub kills: u32,
    /// The power goes at any point.
    pub power_cuts: u32,
    /// The power goes while the server starts, or within a write.
    pub cuts_within: u32,
    /// Orderly ends.
    pub restarts: u32,
    /// Syncs that fail.
    pub failing_syncs: u32,
    /// The disk is full.
    pub full_disk: u32,
    /// Longest sync, in milliseconds.
    pub sync_max_ms: u64,
    /// Longest time until frames are written, in milliseconds.
    pub write_max_ms: u64,
    /// Somebody sets the wall clock forward.
    pub wall_forward: u32,
    /// Somebody sets the wall clock back.
    pub wall_back: u32,
    /// Somebody changes `appendfsync`.
    pub policy_changes: u32,
    /// Somebody empties a database.
    pub flushes: u32,
    /// The log is rewritten.
    pub rewrites: u32,
    /// Longest pause between two steps, in milliseconds, most of the time.
    pub pause_max_ms: u64,
}

impl Weather {
    /// What this source of chance gives.
    pub fn of(rng: &mut Rng) -> Self {
        let mut sometimes = |chance: u32, rate: u32| if rng.u32(..100) < chance { rate } else { 0 };
        let (kills, power_cuts, cuts_within) = (sometimes(50, 6), sometimes(60, 8), sometimes(30, 4));
        let (restarts, failing_syncs, full_disk) = (sometimes(40, 5), sometimes(15, 4), sometimes(15, 4));
        let (wall_forward, wall_back) = (sometimes(35, 12), sometimes(35, 12));
        let (policy_changes, flushes, rewrites) = (sometimes(30, 8), sometimes(15, 4), sometimes(60, 30));
        Self {
            policy: [SyncPolicy::Always, SyncPolicy::EverySecond, SyncPolicy::Never][rng.usize(..3)],
            kills,
            power_cuts,
            cuts_within,
            restarts,
            failing_syncs,
            full_disk,
            sync_max_ms: [1, 20, 4000][rng.usize(..3)],
            write_max_ms: [0, 2, 50][rng.usize(..3)],
            wall_forward,
            wall_back,
            policy_changes,
            flushes,
            rewrites,
            pause_max_ms: [20, 400, 5000][rng.usize(..3)],
            preamble: ["yes", "yes", "no"][rng.usize(..3)],
        }
    }
}
