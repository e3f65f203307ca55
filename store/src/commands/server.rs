//! The server as a whole: time, memory, end.

use super::prelude::*;
use crate::COMPATIBLE_WITH;
use crate::engine::{ClientId, EndRequest, Engine};

pub(super) const ROWS: &[Command] = &[TIME, SHUTDOWN, LOLWUT];

const TIME: Command = Command::system("time", Group::Server, time)
    .arity(1)
    .flags(LOADING | STALE | FAST)
    .since("2.6.0")
    .cost("O(1)")
    .summary("Returns the time of the server.")
    .tips(&["nondeterministic_output"]);

fn time(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let us = engine.now().wall_us;
    reply.array(2);
    reply.bulk((us / 1_000_000).to_string().as_bytes());
    reply.bulk((us % 1_000_000).to_string().as_bytes());
    Ok(Outcome::Done)
}

const SHUTDOWN: Command = Command::system("shutdown", Group::Server, shutdown)
    .arity(-1)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE | NO_MULTI | ALLOW_BUSY)
    .since("1.0.0")
    .cost("O(N) when saving")
    .summary("Saves if configured so, and ends the server.")
    .syntax(
        "[nosave_save=(nosave/NOSAVE|save/SAVE)] [now/NOW@7.0.0] [force/FORCE@7.0.0] [abort/ABORT@7.0.0]",
    );

fn shutdown(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (mut save, mut now, mut force) = (None, false, false);
    while args.left() > 0 {
        let word = args.bytes()?;
        match () {
            () if is_word(word, "NOSAVE") && save != Some(true) => save = Some(false),
            () if is_word(word, "SAVE") && save != Some(false) => save = Some(true),
            () if is_word(word, "NOW") => now = true,
            () if is_word(word, "FORCE") => force = true,
            () if is_word(word, "ABORT") && args.all().len() == 2 => {
                engine.abort_end()?;
                reply.ok();
                return Ok(Outcome::Done);
            }
            () => return Err(Fault::Syntax),
        }
    }
    if engine.running.is_some() && save != Some(false) {
        return Err(engine.busy_fault());
    }
    engine.session_mut(client)?.held = true;
    engine.ask_end(Some(client), EndRequest { save, at_once: now, force });
    Ok(Outcome::Done)
}

const LOLWUT: Command = Command::system("lolwut", Group::Server, lolwut)
    .arity(-1)
    .flags(READONLY | FAST)
    .since("5.0.0")
    .cost("O(1)")
    .summary("Returns the version that clients see.")
    .syntax("[version:i/VERSION]");

fn lolwut(_engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if args.left() >= 2 && args.word("VERSION") {
        args.integer()?;
    }
    reply.verbatim(format!("Redis ver. {COMPATIBLE_WITH}\n").as_bytes());
    Ok(Outcome::Done)
}
