//! Scripts of clients: EVAL and its kin, and the cache of scripts.

use super::prelude::*;
use crate::engine::{ClientId, Engine};
use crate::script::{Call, Digest, Target};

pub(super) const ROWS: &[Command] = &[EVAL, EVALSHA, EVAL_RO, EVALSHA_RO, SCRIPT];

/// Where a script has its keys; nobody knows what it does to them.
pub(super) const SCRIPT_KEYS: &[KeySpec] = &[Key::counted(2, Key::RW | Key::ACCESS | Key::UPDATE)];
/// The same for scripts that only read.
pub(super) const SCRIPT_KEYS_RO: &[KeySpec] = &[Key::counted(2, Key::RO | Key::ACCESS)];
pub(super) const SCRIPT_FLAGS: u32 = NOSCRIPT | SKIP_MONITOR | MAY_REPLICATE | NO_MANDATORY_KEYS | STALE;
pub(super) const SCRIPT_FLAGS_RO: u32 = NOSCRIPT | SKIP_MONITOR | NO_MANDATORY_KEYS | STALE | READONLY;
const COST: &str = "Depends on the script that is executed.";

const EVAL: Command = Command::system("eval", Group::Scripting, eval)
    .arity(-3)
    .flags(SCRIPT_FLAGS)
    .keys(SCRIPT_KEYS)
    .since("2.6.0")
    .cost(COST)
    .summary("Runs a Lua script.")
    .syntax("script:s numkeys:i [key:k...] [arg:s...]");

fn eval(engine: &mut Engine, client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    run(engine, client, args, Target::Body, false, reply)
}

const EVALSHA: Command = Command::system("evalsha", Group::Scripting, evalsha)
    .arity(-3)
    .flags(SCRIPT_FLAGS)
    .keys(SCRIPT_KEYS)
    .since("2.6.0")
    .cost(COST)
    .summary("Runs a Lua script by its SHA1 digest.")
    .syntax("sha1:s numkeys:i [key:k...] [arg:s...]");

fn evalsha(engine: &mut Engine, client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    run(engine, client, args, Target::Digest, false, reply)
}

const EVAL_RO: Command = Command::system("eval_ro", Group::Scripting, eval_ro)
    .arity(-3)
    .flags(SCRIPT_FLAGS_RO)
    .keys(SCRIPT_KEYS_RO)
    .since("7.0.0")
    .cost(COST)
    .summary("Runs a Lua script that only reads.")
    .syntax("script:s numkeys:i [key:k...] [arg:s...]");

fn eval_ro(engine: &mut Engine, client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    run(engine, client, args, Target::Body, true, reply)
}

const EVALSHA_RO: Command = Command::system("evalsha_ro", Group::Scripting, evalsha_ro)
    .arity(-3)
    .flags(SCRIPT_FLAGS_RO)
    .keys(SCRIPT_KEYS_RO)
    .since("7.0.0")
    .cost(COST)
    .summary("Runs a Lua script that only reads, by its SHA1 digest.")
    .syntax("sha1:s numkeys:i [key:k...] [arg:s...]");

fn evalsha_ro(engine: &mut Engine, client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    run(engine, client, args, Target::Digest, true, reply)
}

/// Runs the script that the first argument names.
pub(super) fn run<'a>(
    engine: &mut Engine,
    client: ClientId,
    mut args: Args<'a>,
    target: fn(&'a [u8]) -> Target<'a>,
    read_only: bool,
    reply: &mut Reply<'_>,
) -> Run {
    let call = Call { client, target: target(args.bytes()?), args: args.all(), read_only, repeated_in: None };
    engine.run_script(&call, reply)
}

const SCRIPT: Command = Command::container(
    "script",
    Group::Scripting,
    &[SCRIPT_DEBUG, SCRIPT_EXISTS, SCRIPT_FLUSH, SCRIPT_KILL, SCRIPT_LOAD],
)
.since("2.6.0")
.summary("A container for commands about scripts.");

const SCRIPT_DEBUG: Command = Command::system("debug", Group::Scripting, script_debug)
    .arity(3)
    .flags(NOSCRIPT)
    .since("3.2.0")
    .cost("O(1)")
    .summary("Says whether the scripts that follow are debugged; there is no debugger, so they are not.")
    .syntax("mode=(yes/YES|sync/SYNC|no/NO)");

fn script_debug(_engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let mode = args.bytes()?;
    if is_word(mode, "NO") {
        reply.ok();
        return Ok(Outcome::Done);
    }
    if is_word(mode, "YES") || is_word(mode, "SYNC") {
        return Err(Fault::other("The Lua debugger is not supported"));
    }
    Err(Fault::other("Use SCRIPT DEBUG YES/SYNC/NO"))
}

const SCRIPT_EXISTS: Command = Command::system("exists", Group::Scripting, script_exists)
    .arity(-3)
    .flags(NOSCRIPT)
    .since("2.6.0")
    .cost("O(N) with N being the number of scripts to check")
    .summary("Says for each digest whether its script is known.")
    .syntax("sha1:s...")
    .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"]);

fn script_exists(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let digests = args.rest();
    reply.array(digests.len());
    let cache = engine.scripting.as_ref().map(|scripting| &scripting.cache);
    for digest in digests {
        let known =
            Digest::parse(digest).is_some_and(|digest| cache.is_some_and(|cache| cache.contains(digest)));
        reply.flag(known);
    }
    Ok(Outcome::Done)
}

const SCRIPT_FLUSH: Command = Command::system("flush", Group::Scripting, script_flush)
    .arity(-2)
    .flags(NOSCRIPT)
    .since("2.6.0")
    .cost("O(N) with N being the number of scripts in cache")
    .summary("Forgets all scripts.")
    .syntax("[async=(async/ASYNC|sync/SYNC)@6.2.0]")
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]);

fn script_flush(engine: &mut Engine, _client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if !is_flush_mode(args) {
        return Err(Fault::other("SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    engine.flush_scripts();
    engine.data.feed.effect_for_log(&[b"SCRIPT", b"FLUSH"]);
    reply.ok();
    Ok(Outcome::Done)
}

/// Whether what is left of the arguments of a flush is nothing, or one of its two modes, which are the same here.
pub(super) fn is_flush_mode(mut args: Args<'_>) -> bool {
    match args.rest() {
        [] => true,
        [mode] => is_word(mode, "SYNC") || is_word(mode, "ASYNC"),
        _ => false,
    }
}

const SCRIPT_KILL: Command = Command::system("kill", Group::Scripting, script_kill)
    .arity(2)
    .flags(NOSCRIPT | ALLOW_BUSY)
    .since("2.6.0")
    .cost("O(1)")
    .summary("Ends the script that runs, if it has written nothing.")
    .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]);

fn script_kill(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    engine.kill_script(true)?;
    reply.ok();
    Ok(Outcome::Done)
}

const SCRIPT_LOAD: Command = Command::system("load", Group::Scripting, script_load)
    .arity(3)
    .flags(NOSCRIPT | STALE)
    .since("2.6.0")
    .cost("O(N) with N being the length in bytes of the script body.")
    .summary("Keeps a script for EVALSHA.")
    .syntax("script:s")
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]);

fn script_load(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let digest = engine.load_script(args.bytes()?)?;
    reply.bulk(&digest.to_hex());
    Ok(Outcome::Done)
}
