//! Plays seeds of the simulator: `sim --seed 7 --steps 500`, `sim --seeds 0..10000`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people")]

use std::process::ExitCode;

use clap::Parser;
use pbj_tests::sim::fleet::FleetTally;
use pbj_tests::sim::run::{collect_panics, play};

/// Plays seeds of the simulator.
#[derive(Parser)]
struct Arguments {
    /// One seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Several seeds, FIRST..END.
    #[arg(long, value_parser = range, default_value = "0..100")]
    seeds: (u64, u64),
    /// Steps of each seed.
    #[arg(long, default_value_t = 300)]
    steps: u32,
    /// Go on after a failure.
    #[arg(long)]
    keep_going: bool,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (first, end) = text.split_once("..").ok_or("a range is FIRST..END")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    Ok((number(first)?, number(end)?))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (first, end) = arguments.seed.map_or(arguments.seeds, |seed| (seed, seed + 1));
    collect_panics();
    let (mut failures, mut requests, mut starts, mut losses, mut heals) = (0, 0, 0, 0, 0);
    let mut fleet = FleetTally::default();
    for seed in first..end {
        match play(seed, arguments.steps) {
            Ok(tally) => {
                requests += tally.requests;
                starts += tally.starts;
                losses += tally.losses;
                heals += tally.heals;
                fleet += tally.fleet;
            }
            Err(failure) => {
                eprintln!("{failure}\n");
                failures += 1;
                if !arguments.keep_going {
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    println!(
        "seeds {first}..{end}: {failures} failed; {requests} requests, {starts} starts, {losses} crashes with losses, \
         {heals} logs healed"
    );
    println!("fleets: {fleet}");
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
