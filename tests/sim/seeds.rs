//! A thousand seeds of the simulator.

use pbj_tests::sim::run::{collect_panics, play};

/// Seeds of one thread.
const SEEDS: u64 = 500;
/// Steps of a seed.
const STEPS: u32 = 300;

fn play_all(first: u64) {
    collect_panics();
    let mut heals = 0;
    for seed in first..first + SEEDS {
        let played = play(seed, STEPS);
        assert!(played.is_ok(), "\n{}", played.err().map_or_else(String::new, |failure| failure.to_string()));
        heals += played.map_or(0, |tally| tally.heals);
    }
    assert!(heals > 0, "disks fail among what is tried");
}

#[test]
fn seeds_from_0() {
    play_all(0);
}

#[test]
fn seeds_from_500() {
    play_all(500);
}
