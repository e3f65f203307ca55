//! The targets of fuzzing, each with its seeds and some hundreds of mutations of them: what fails here has
//! failed before, or soon would. Longer: `tests/fuzz/run`.
#![expect(clippy::unwrap_used, reason = "a test ends when something is missing")]
#![expect(clippy::disallowed_methods, reason = "how long an input takes is a part of what is tested")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use pbj_tests::fuzz::memory::Counted;
use pbj_tests::fuzz::{Mutator, TARGETS};

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// Where the mutations come from.
const SEED: u64 = 7;
/// Longest time for one input: a hundred times what the slowest takes, on a machine with other things to do.
const INPUT_TIME_MAX: Duration = Duration::from_secs(20);

fn play(name: &str, mutations: usize) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let mut mutator = Mutator::new(target, SEED);
    let mutated = std::iter::repeat_with(|| mutator.input()).take(mutations);
    for input in (target.seeds)().into_iter().chain(mutated) {
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        if outcome.is_err() || start.elapsed() > INPUT_TIME_MAX {
            println!("after {:?}, with the input b\"{}\"", start.elapsed(), input.escape_ascii());
        }
        outcome.unwrap_or_else(|panic| resume_unwind(panic));
        assert!(start.elapsed() <= INPUT_TIME_MAX, "an input takes too long");
    }
}

#[test]
fn request() {
    play("request", 20_000);
}

#[test]
fn session() {
    play("session", 400);
}

#[test]
fn restore() {
    play("restore", 1500);
}

#[test]
fn script() {
    play("script", 600);
}

#[test]
fn glob() {
    play("glob", 20_000);
}

#[test]
fn directive() {
    play("directive", 1500);
}
