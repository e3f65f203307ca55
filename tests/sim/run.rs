//! Plays seeds.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::fleet::{Fleet, FleetTally};
use super::trace;
use super::world::{Tally, World};

/// Every so many-th seed is one of a fleet.
const FLEET_SHARE: u64 = 8;

/// A seed that came to a bad end.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// Its steps.
    pub steps: u32,
    /// What went wrong, and where in the code.
    pub reason: String,
    /// What happened last.
    pub trace: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.trace {
            writeln!(out, "{line}")?;
        }
        writeln!(out, "seed {} failed: {}", self.seed, self.reason)?;
        write!(out, "replay: cargo run -p pbj-tests --bin sim -- --seed {} --steps {}", self.seed, self.steps)
    }
}

thread_local! {
    static REASON: RefCell<Option<String>> = const { RefCell::new(None) };
    static PLAYING: RefCell<bool> = const { RefCell::new(false) };
}

/// Keeps panics of seeds from being printed where they happen: they are part of the failure that is returned.
pub fn collect_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if PLAYING.with_borrow(|playing| *playing) {
            REASON.with_borrow_mut(|reason| *reason = Some(info.to_string()));
        } else {
            before(info);
        }
    }));
}

/// Plays a seed for some steps.
///
/// # Errors
/// Something happened that must not.
pub fn play(seed: u64, steps: u32) -> Result<Tally, Box<Failure>> {
    guarded(seed, steps, || {
        if seed % FLEET_SHARE == FLEET_SHARE - 1 {
            return Tally { fleet: play_fleet(seed, steps), ..Tally::default() };
        }
        let mut world = World::new(seed);
        for _ in 0..steps {
            step(&mut world);
        }
        finish(&mut world);
        world.tally
    })
}

fn play_fleet(seed: u64, steps: u32) -> FleetTally {
    let mut fleet = Fleet::new(seed);
    for _ in 0..steps {
        fleet.step();
    }
    fleet.finish();
    fleet.tally
}

fn guarded(seed: u64, steps: u32, act: impl FnOnce() -> Tally) -> Result<Tally, Box<Failure>> {
    trace::clear();
    PLAYING.set(true);
    let played = catch_unwind(AssertUnwindSafe(act));
    PLAYING.set(false);
    played.map_err(|_| {
        let reason = REASON.take().unwrap_or_else(|| "no reason".to_owned());
        Box::new(Failure { seed, steps, reason, trace: trace::lines() })
    })
}

fn step(world: &mut World) {
    let weather = world.weather.clone();
    let roll = world.rng.u32(..1000);
    let rates = [
        weather.kills,
        weather.power_cuts,
        weather.cuts_within,
        weather.restarts,
        weather.failing_syncs,
        weather.full_disk,
        weather.wall_forward,
        weather.wall_back,
        weather.policy_changes,
        weather.flushes,
        weather.rewrites,
        20,  // a census
        25,  // a tick too early
        30,  // a timer that comes late
        350, // time passes
    ];
    let mut edge = 0;
    let what = rates.iter().position(|rate| {
        edge += rate;
        roll < edge
    });
    match what {
        Some(0) => world.crash(false),
        Some(1) => world.crash(true),
        Some(2) => {
            let calls = world.rng.u32(..4);
            world.disk().lose_power_after(calls);
        }
        Some(3) => world.restart(),
        Some(4) => world.disk().fail_next_sync(),
        Some(5) => {
            let room = world.rng.usize(..200);
            world.disk().set_room(Some(room));
        }
        Some(6) => {
            let ms = jump_ms(&mut world.rng);
            world.set_wall(ms);
        }
        Some(7) => {
            let ms = jump_ms(&mut world.rng);
            world.set_wall(-ms);
        }
        Some(8) => {
            let policy = ["always", "everysec", "no"][world.rng.usize(..3)];
            world.configure(policy);
        }
        Some(9) => world.flush(),
        Some(10) => world.rewrite(),
        Some(11) => world.census(),
        Some(12) => world.tick_early(),
        Some(13) => world.act_late(),
        Some(14) => {
            let most = if world.rng.u8(..20) == 0 { 70_000 } else { world.weather.pause_max_ms };
            let ms = world.rng.u64(..=most);
            world.pass_ms(ms);
        }
        _ => world.act(),
    }
    if world.is_rewriting() && world.rng.bool() {
        world.rewrite_on();
    }
    look_after_the_disk(world);
}

/// Somebody makes room, or notices that writes are refused, after a while.
fn look_after_the_disk(world: &mut World) {
    if !world.has_failed() {
        return;
    }
    match world.rng.u8(..60) {
        0 => world.restart(),
        1..4 => world.disk().set_room(None),
        4..10 if world.wants_healing() => world.rewrite(),
        _ => {}
    }
}

/// How far somebody sets a clock: a little, or up to two hours.
fn jump_ms(rng: &mut fastrand::Rng) -> i64 {
    let most = if rng.bool() { 2_000 } else { 7_200_000 };
    rng.i64(1..most)
}

/// After all faults: everything still works, and nothing waits for ever.
fn finish(world: &mut World) {
    world.disk().set_room(None);
    for _ in 0..5 {
        mend(world);
    }
    assert!(!world.has_failed(), "the disk works, and writes are refused");
    world.census();
    world.pass_ms(60_000);
    world.census();
    world.restart();
    world.census();
}

/// Nobody starts a server anew because its disk was full, or has failed once.
fn mend(world: &mut World) {
    if world.has_failed() {
        world.pass_ms(2 * pbj_store::durable::WRITE_RETRY_MS);
        if world.wants_healing() {
            world.rewrite();
        }
        while world.is_rewriting() {
            world.rewrite_on();
            world.pass_ms(1);
        }
    }
}
