//! LATENCY: what took too long, and how long commands take.

use super::prelude::*;
use crate::command::index::Callable;
use crate::engine::{ClientId, CommandStats, Engine};

pub(super) const ROWS: &[Command] = &[LATENCY];

const LATENCY: Command = Command::container(
    "latency",
    Group::Server,
    &[LATENCY_DOCTOR, LATENCY_GRAPH, LATENCY_HISTOGRAM, LATENCY_HISTORY, LATENCY_LATEST, LATENCY_RESET],
)
.since("2.8.13")
.summary("A container for commands about latency.");

const LATENCY_LATEST: Command = Command::system("latest", Group::Server, latency_latest)
    .arity(2)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("2.8.13")
    .cost("O(1)")
    .summary("Returns the latest sample of every event.")
    .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]);

fn latency_latest(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply.array(engine.latency.events.len());
    for (event, samples) in &engine.latency.events {
        let (at, ms) = samples.history.back().copied().unwrap_or_default();
        reply.array(4);
        reply.bulk(event.as_bytes());
        reply.integer(at as i64);
        reply.integer(ms as i64);
        reply.integer(samples.max as i64);
    }
    Ok(Outcome::Done)
}

const LATENCY_HISTORY: Command = Command::system("history", Group::Server, latency_history)
    .arity(3)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("2.8.13")
    .cost("O(1)")
    .summary("Returns the samples of an event.")
    .syntax("event:s")
    .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]);

fn latency_history(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let event = args.bytes()?;
    let found = engine.latency.events.iter().find(|(name, _)| name.as_bytes() == event);
    let history = found.map(|(_, samples)| &samples.history);
    reply.array(history.map_or(0, std::collections::VecDeque::len));
    for (at, ms) in history.into_iter().flatten() {
        reply.array(2);
        reply.integer(*at as i64);
        reply.integer(*ms as i64);
    }
    Ok(Outcome::Done)
}

const LATENCY_RESET: Command = Command::system("reset", Group::Server, latency_reset)
    .arity(-2)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("2.8.13")
    .cost("O(1)")
    .summary("Forgets the samples of events, of all unless named.")
    .syntax("[event:s...]")
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]);

fn latency_reset(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let named = args.rest();
    let before = engine.latency.events.len();
    engine.latency.events.retain(|event, _| !named.is_empty() && !named.contains(&event.as_bytes()));
    reply.count(before - engine.latency.events.len());
    Ok(Outcome::Done)
}

/// Rows of a graph.
const GRAPH_ROWS: usize = 4;

const LATENCY_GRAPH: Command = Command::system("graph", Group::Server, latency_graph)
    .arity(3)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("2.8.13")
    .cost("O(1)")
    .summary("Draws the samples of an event.")
    .syntax("event:s")
    .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]);

fn latency_graph(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let event = args.bytes()?;
    let found = engine.latency.events.iter().find(|(name, _)| name.as_bytes() == event);
    let (name, samples) =
        found.ok_or_else(|| Fault::Raw([b"No samples available for event '", event, b"'"].concat()))?;
    let times = samples.history.iter().map(|&(_, ms)| ms);
    let (high, low) = (times.clone().max().unwrap_or(0), times.min().unwrap_or(0));
    let mut text = format!(
        "{name} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        samples.max,
        "-".repeat(80)
    );
    for row in (0..GRAPH_ROWS).rev() {
        for &(_, ms) in &samples.history {
            // A bar as high as its part of the range; every sample has at least a foot.
            let height = (ms - low) as usize * GRAPH_ROWS / (high - low + 1) as usize;
            text.push(match height {
                height if height == row => '_',
                height if height > row => '|',
                _ => ' ',
            });
        }
        text.push('\n');
    }
    reply.verbatim(text.as_bytes());
    Ok(Outcome::Done)
}

const LATENCY_DOCTOR: Command = Command::system("doctor", Group::Server, latency_doctor)
    .arity(2)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("2.8.13")
    .cost("O(1)")
    .summary("Says in words what took too long.")
    .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]);

fn latency_doctor(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let mut text = String::new();
    if engine.config().latency_threshold_ms().is_none() {
        text.push_str(
            "The latency monitor is off. Set latency-monitor-threshold to the milliseconds above which something is too \
             slow for you, and ask again later.\n",
        );
    } else if engine.latency.events.is_empty() {
        text.push_str("Nothing took longer than latency-monitor-threshold so far.\n");
    }
    for (event, samples) in &engine.latency.events {
        let count = samples.history.len() as u64;
        let sum: u64 = samples.history.iter().map(|&(_, ms)| ms).sum();
        text.push_str(&format!(
            "{event}: {count} samples, {} ms on average, {} ms at worst.\n",
            sum.checked_div(count).unwrap_or(0),
            samples.max
        ));
        text.push_str(match *event {
            "command" => "    Slow commands: look at SLOWLOG GET, and at what works on big keys.\n",
            "fast-command" => {
                "    Commands that are fast by themselves: the machine is busy, or short of memory.\n"
            }
            "expire-cycle" => "    Many keys, or big ones, expire at the same moment: spread their dates.\n",
            "eviction-cycle" => "    Big keys are evicted: raise maxmemory, or keep smaller values.\n",
            _ => "",
        });
    }
    reply.verbatim(text.as_bytes());
    Ok(Outcome::Done)
}

const LATENCY_HISTOGRAM: Command = Command::system("histogram", Group::Server, latency_histogram)
    .arity(-2)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("7.0.0")
    .cost("O(N) where N is the number of commands with latency information being retrieved.")
    .summary("Returns how many runs of each command took how long.")
    .syntax("[command:s...]")
    .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]);

fn latency_histogram(
    engine: &mut Engine,
    _client: ClientId,
    mut args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Run {
    let named = args.rest();
    let mut wanted: Vec<Callable> = Vec::new();
    for name in named {
        let Some(command) = engine.index.find_full(name) else { continue };
        wanted.push(command);
        wanted.extend(engine.index.subcommands(command));
    }
    if named.is_empty() {
        wanted = engine.index.all().to_vec();
    }
    let ran: Vec<(String, CommandStats)> = wanted
        .iter()
        .map(|command| (command.full_name(), engine.stats.by_command[command.id as usize]))
        .filter(|(_, stats)| stats.durations.iter().any(|&count| count > 0))
        .collect();
    reply.map(ran.len());
    for (name, stats) in ran {
        reply.bulk(name.as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.integer(stats.calls as i64);
        reply.bulk(b"histogram_usec");
        write_histogram(&stats, reply);
    }
    Ok(Outcome::Done)
}

/// Runs that took no longer than each bound, for the bounds at which the number grows.
fn write_histogram(stats: &CommandStats, reply: &mut Reply<'_>) {
    let mut total = 0;
    let mut lines = Vec::new();
    for (bucket, &count) in stats.durations.iter().enumerate().filter(|(_, count)| **count > 0) {
        total += i64::from(count);
        lines.push((1_i64 << bucket, total));
    }
    reply.map(lines.len());
    for (bound, total) in lines {
        reply.integer(bound);
        reply.integer(total);
    }
}
