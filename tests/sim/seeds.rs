//! A thousand seeds of the simulator.

use pbj_tests::sim::run::{collect_panics, play};

/// Seeds of one thread.
const SEEDS: u64 = 500;
/// Steps of a seed.
const STEPS: u32 = 300;

fn play_all(first: u64) {
    collect_panics();
    for seed in first..first + SEEDS {
        let played = play(seed, STEPS);
        assert!(played.is_ok(), "\n{}", played.err().map_or_else(String::new, |failure| failure.to_string()));
    }
}

#[test]
fn seeds_from_0() {
    play_all(0);
}

#[test]
fn seeds_from_500() {
    play_all(500);
}
