//! SLOWLOG and MONITOR: what ran, and what ran long.

use super::prelude::*;
use crate::engine::{ClientId, Engine};

pub(super) const ROWS: &[Command] = &[SLOWLOG, MONITOR];

const SLOWLOG: Command =
    Command::container("slowlog", Group::Server, &[SLOWLOG_GET, SLOWLOG_LEN, SLOWLOG_RESET])
        .since("2.2.12")
        .summary("A container for commands about the slow log.");

/// Entries of SLOWLOG GET unless told otherwise.
const ENTRIES: usize = 10;

const SLOWLOG_GET: Command = Command::system("get", Group::Server, slowlog_get)
    .arity(-2)
    .flags(ADMIN | LOADING | STALE)
    .since("2.2.12")
    .cost("O(N) where N is the number of entries returned")
    .summary("Returns the commands that took long lately.")
    .syntax("[count:i]")
    .tips(&["request_policy:all_nodes", "nondeterministic_output"]);

fn slowlog_get(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if args.left() > 1 {
        return Err(super::help::wrong_form(args.all()));
    }
    let entries = &engine.slow_log.entries;
    let mut wanted = ENTRIES;
    if args.left() > 0 {
        let given = args.integer_in(-1..=i64::MAX, "count should be greater than or equal to -1")?;
        // All of them, if it is -1.
        wanted = usize::try_from(given).unwrap_or(entries.len());
    }
    let count = wanted.min(entries.len());
    reply.array(count);
    for entry in entries.iter().take(count) {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.at as i64);
        reply.integer(entry.us as i64);
        reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(entry.peer.as_bytes());
        reply.bulk(&entry.name);
    }
    Ok(Outcome::Done)
}

const SLOWLOG_LEN: Command = Command::system("len", Group::Server, slowlog_len)
    .arity(2)
    .flags(ADMIN | LOADING | STALE)
    .since("2.2.12")
    .cost("O(1)")
    .summary("Returns the number of entries of the slow log.")
    .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"]);

fn slowlog_len(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply.count(engine.slow_log.entries.len());
    Ok(Outcome::Done)
}

const SLOWLOG_RESET: Command = Command::system("reset", Group::Server, slowlog_reset)
    .arity(2)
    .flags(ADMIN | LOADING | STALE)
    .since("2.2.12")
    .cost("O(N) where N is the number of entries in the slowlog")
    .summary("Forgets all entries of the slow log.")
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]);

fn slowlog_reset(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    engine.slow_log.entries.clear();
    reply.ok();
    Ok(Outcome::Done)
}

const MONITOR: Command = Command::system("monitor", Group::Server, monitor)
    .arity(1)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("1.0.0")
    .summary("Shows all commands that run, as they run.");

fn monitor(engine: &mut Engine, client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if engine.session_mut(client)?.in_exec {
        return Err(Fault::other("MONITOR isn't allowed for DENY BLOCKING client"));
    }
    engine.start_monitor(client);
    reply.ok();
    Ok(Outcome::Done)
}
