//! Functions of clients: FCALL, and the libraries they are in.

use super::help::wrong_form;
use super::prelude::*;
use super::script::{SCRIPT_FLAGS, SCRIPT_FLAGS_RO, SCRIPT_KEYS, SCRIPT_KEYS_RO, is_flush_mode, run};
use crate::engine::{ClientId, Engine};
use crate::glob;
use crate::script::{Library, Target, dump};

pub(super) const ROWS: &[Command] = &[FCALL, FCALL_RO, FUNCTION];

const COST: &str = "Depends on the function that is executed.";

const FCALL: Command = Command::system("fcall", Group::Scripting, fcall)
    .arity(-3)
    .flags(SCRIPT_FLAGS)
    .keys(SCRIPT_KEYS)
    .since("7.0.0")
    .cost(COST)
    .summary("Calls a function.")
    .syntax("function:s numkeys:i [key:k...] [arg:s...]");

fn fcall(engine: &mut Engine, client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    run(engine, client, args, Target::Function, false, reply)
}

const FCALL_RO: Command = Command::system("fcall_ro", Group::Scripting, fcall_ro)
    .arity(-3)
    .flags(SCRIPT_FLAGS_RO)
    .keys(SCRIPT_KEYS_RO)
    .since("7.0.0")
    .cost(COST)
    .summary("Calls a function that only reads.")
    .syntax("function:s numkeys:i [key:k...] [arg:s...]");

fn fcall_ro(engine: &mut Engine, client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    run(engine, client, args, Target::Function, true, reply)
}

const FUNCTION: Command = Command::container(
    "function",
    Group::Scripting,
    &[
        FUNCTION_DELETE,
        FUNCTION_DUMP,
        FUNCTION_FLUSH,
        FUNCTION_KILL,
        FUNCTION_LIST,
        FUNCTION_LOAD,
        FUNCTION_RESTORE,
        FUNCTION_STATS,
    ],
)
.since("7.0.0")
.summary("A container for commands about functions.");

const ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

/// States a change of the libraries as it came.
fn changed(engine: &mut Engine, args: Args<'_>) {
    engine.data.dirty += 1;
    engine.data.feed.effect_anywhere(args.all());
}

const FUNCTION_DELETE: Command = Command::system("delete", Group::Scripting, function_delete)
    .arity(3)
    .flags(NOSCRIPT | WRITE)
    .since("7.0.0")
    .cost("O(1)")
    .summary("Deletes a library.")
    .syntax("library-name:s")
    .tips(ALL_SHARDS);

fn function_delete(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    engine.delete_library(args.bytes()?)?;
    changed(engine, args);
    reply.ok();
    Ok(Outcome::Done)
}

const FUNCTION_DUMP: Command = Command::system("dump", Group::Scripting, function_dump)
    .arity(2)
    .flags(NOSCRIPT)
    .since("7.0.0")
    .cost("O(N) where N is the number of functions")
    .summary("Returns all libraries as bytes for FUNCTION RESTORE.");

fn function_dump(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let scripting = engine.scripting.as_ref().ok_or(Fault::Syntax)?;
    reply.bulk(&dump::write(&scripting.libraries, &mut engine.data.output));
    Ok(Outcome::Done)
}

const FUNCTION_FLUSH: Command = Command::system("flush", Group::Scripting, function_flush)
    .arity(-2)
    .flags(NOSCRIPT | WRITE)
    .since("7.0.0")
    .cost("O(N) where N is the number of functions deleted")
    .summary("Deletes all libraries.")
    .syntax("[async=(async/ASYNC|sync/SYNC)]")
    .tips(ALL_SHARDS);

fn function_flush(engine: &mut Engine, _client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if args.left() > 1 {
        return Err(wrong_form(args.all()));
    }
    if !is_flush_mode(args) {
        return Err(Fault::other("FUNCTION FLUSH only supports SYNC|ASYNC option"));
    }
    engine.flush_functions();
    changed(engine, args);
    reply.ok();
    Ok(Outcome::Done)
}

const FUNCTION_KILL: Command = Command::system("kill", Group::Scripting, function_kill)
    .arity(2)
    .flags(NOSCRIPT | ALLOW_BUSY)
    .since("7.0.0")
    .cost("O(1)")
    .summary("Ends the function that runs, if it has written nothing.")
    .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]);

fn function_kill(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    engine.kill_script(false)?;
    reply.ok();
    Ok(Outcome::Done)
}

const FUNCTION_LIST: Command = Command::system("list", Group::Scripting, function_list)
    .arity(-2)
    .flags(NOSCRIPT)
    .since("7.0.0")
    .cost("O(N) where N is the number of functions")
    .summary("Lists libraries and their functions.")
    .syntax("[library-name-pattern:s/LIBRARYNAME] [withcode/WITHCODE]")
    .tips(&["nondeterministic_output_order"]);

fn function_list(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (mut with_code, mut pattern) = (false, None);
    while args.left() > 0 {
        let word = args.bytes()?;
        if !with_code && is_word(word, "WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && is_word(word, "LIBRARYNAME") {
            let given = args.bytes().map_err(|_| Fault::other("library name argument was not given"))?;
            pattern = Some(given);
        } else {
            return Err(Fault::Raw([b"Unknown argument ", word].concat()));
        }
    }
    let scripting = engine.scripting.as_ref().ok_or(Fault::Syntax)?;
    let wanted =
        |library: &&Library| pattern.is_none_or(|pattern| glob::matches_nocase(pattern, &library.name));
    let found: Vec<&Library> = scripting.libraries.iter().filter(wanted).collect();
    reply.array(found.len());
    found.iter().for_each(|library| write_library(library, with_code, reply));
    Ok(Outcome::Done)
}

fn write_library(library: &Library, with_code: bool, reply: &mut Reply<'_>) {
    reply.map(if with_code { 4 } else { 3 });
    reply.bulk(b"library_name");
    reply.bulk(&library.name);
    reply.bulk(b"engine");
    reply.bulk(b"LUA");
    reply.bulk(b"functions");
    reply.array(library.functions.len());
    for function in &library.functions {
        reply.map(3);
        reply.bulk(b"name");
        reply.bulk(&function.name);
        reply.bulk(b"description");
        reply.bulk_or_null(function.description.as_deref());
        reply.bulk(b"flags");
        reply.set(function.flags.names().count());
        function.flags.names().for_each(|name| reply.status(name));
    }
    if with_code {
        reply.bulk(b"library_code");
        reply.bulk(&library.code);
    }
}

const FUNCTION_LOAD: Command = Command::system("load", Group::Scripting, function_load)
    .arity(-3)
    .flags(NOSCRIPT | WRITE | DENYOOM)
    .since("7.0.0")
    .cost("O(1) (considering compilation time is redundant)")
    .summary("Loads a library of functions.")
    .syntax("[replace/REPLACE] function-code:s")
    .tips(ALL_SHARDS);

fn function_load(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let mut replace = false;
    while args.left() > 1 {
        let word = args.bytes()?;
        if !is_word(word, "REPLACE") {
            return Err(Fault::Raw([b"Unknown option given: ", word].concat()));
        }
        replace = true;
    }
    let code = args.bytes().map_err(|_| Fault::other("Function code is missing"))?;
    let name = engine.load_library(code, replace, false)?;
    engine.data.dirty += 1;
    let words: &[&[u8]] = if replace { &[b"FUNCTION", b"LOAD", b"REPLACE"] } else { &[b"FUNCTION", b"LOAD"] };
    engine.data.feed.effect_anywhere(&[words, &[code]].concat());
    reply.bulk(&name);
    Ok(Outcome::Done)
}

const FUNCTION_RESTORE: Command = Command::system("restore", Group::Scripting, function_restore)
    .arity(-3)
    .flags(NOSCRIPT | WRITE | DENYOOM)
    .since("7.0.0")
    .cost("O(N) where N is the number of functions on the payload")
    .summary("Loads the libraries that FUNCTION DUMP returned.")
    .syntax("serialized-value:s [policy=(flush/FLUSH|append/APPEND|replace/REPLACE)]")
    .tips(ALL_SHARDS);

fn function_restore(
    engine: &mut Engine,
    _client: ClientId,
    mut args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Run {
    if args.left() > 2 {
        return Err(wrong_form(args.all()));
    }
    let all = args;
    let payload = args.bytes()?;
    let policy = dump::policy(args.peek())?;
    let codes = dump::read(payload)?;
    engine.restore_libraries(&codes, policy, false)?;
    changed(engine, all);
    reply.ok();
    Ok(Outcome::Done)
}

const FUNCTION_STATS: Command = Command::system("stats", Group::Scripting, function_stats)
    .arity(2)
    .flags(NOSCRIPT | ALLOW_BUSY)
    .since("7.0.0")
    .cost("O(1)")
    .summary("Tells which function runs, and how many there are.")
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]);

fn function_stats(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if engine.running.as_ref().is_some_and(|running| running.is_eval) {
        return Err(Fault::BusyScript);
    }
    reply.map(2);
    reply.bulk(b"running_script");
    match engine.running.as_ref().and_then(|running| running.detail.as_ref().map(|detail| (running, detail)))
    {
        None => reply.null(),
        Some((running, detail)) => {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(&detail.name);
            reply.bulk(b"command");
            reply.array(detail.command.len());
            detail.command.iter().for_each(|arg| reply.bulk(arg));
            reply.bulk(b"duration_ms");
            reply.integer(engine.busy_now.mono_ms.saturating_sub(running.started.mono_ms) as i64);
        }
    }
    let (libraries, functions) = engine.function_counts();
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(b"LUA");
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.count(libraries);
    reply.bulk(b"functions_count");
    reply.count(functions);
    Ok(Outcome::Done)
}
