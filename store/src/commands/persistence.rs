//! Snapshots and the log as clients ask for them: SAVE, BGSAVE, LASTSAVE, BGREWRITEAOF.

use super::prelude::*;
use crate::engine::{Asked, ClientId, Engine, Step};

pub(super) const ROWS: &[Command] = &[SAVE, BGSAVE, LASTSAVE, BGREWRITEAOF];

const SAVE: Command = Command::system("save", Group::Server, save)
    .arity(1)
    .flags(NO_ASYNC_LOADING | ADMIN | NOSCRIPT | NO_MULTI)
    .since("1.0.0")
    .cost("O(N) where N is the total number of keys in all databases")
    .summary("Writes a snapshot of all data, while everybody waits.");

fn save(engine: &mut Engine, client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if engine.persistence_facts().saving.is_some() {
        return Err(Fault::other("Background save already in progress"));
    }
    engine.hold(client, Step::Save, reply)
}

const BGSAVE: Command = Command::system("bgsave", Group::Server, bgsave)
    .arity(-1)
    .flags(NO_ASYNC_LOADING | ADMIN | NOSCRIPT)
    .since("1.0.0")
    .cost("O(1)")
    .summary("Writes a snapshot of all data as it is now, while clients are served.")
    .syntax("[operation=(schedule/SCHEDULE@3.2.2|cancel/CANCEL)]");

fn bgsave(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let mut schedule = false;
    if args.left() > 0 {
        let word = args.bytes()?;
        args.end()?;
        match () {
            () if is_word(word, "SCHEDULE") => schedule = true,
            () if is_word(word, "CANCEL") => return cancel(engine, reply),
            () => return Err(Fault::Syntax),
        }
    }
    let in_exec = engine.session_mut(client)?.in_exec;
    match engine.ask_save(schedule || in_exec) {
        Asked::Started => reply.status("Background saving started"),
        Asked::Scheduled => reply.status("Background saving scheduled"),
        Asked::GoesOn => return Err(Fault::other("Background save already in progress")),
        Asked::Busy => {
            return Err(Fault::other(
                "Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to \
                 schedule a BGSAVE whenever possible.",
            ));
        }
    }
    Ok(Outcome::Done)
}

fn cancel(engine: &mut Engine, reply: &mut Reply<'_>) -> Run {
    let Some(text) = engine.cancel_save() else {
        return Err(Fault::other("Background saving is currently not in progress or scheduled"));
    };
    reply.status(text);
    Ok(Outcome::Done)
}

const LASTSAVE: Command = Command::system("lastsave", Group::Server, lastsave)
    .arity(1)
    .flags(LOADING | STALE | FAST)
    .categories(DANGEROUS | ADMIN_CATEGORY)
    .since("1.0.0")
    .cost("O(1)")
    .summary("Returns when the last snapshot was written, in Unix seconds.")
    .tips(&["nondeterministic_output"]);

fn lastsave(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply.integer(engine.persistence_facts().last_save as i64);
    Ok(Outcome::Done)
}

const BGREWRITEAOF: Command = Command::system("bgrewriteaof", Group::Server, bgrewriteaof)
    .arity(1)
    .flags(NO_ASYNC_LOADING | ADMIN | NOSCRIPT)
    .since("1.0.0")
    .cost("O(1)")
    .summary("Rewrites the log, so that it holds nothing but the data, while clients are served.");

fn bgrewriteaof(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    match engine.ask_for_rewrite() {
        Asked::Started => reply.status("Background append only file rewriting started"),
        Asked::Scheduled | Asked::Busy => reply.status("Background append only file rewriting scheduled"),
        Asked::GoesOn => {
            return Err(Fault::other("Background append only file rewriting already in progress"));
        }
    }
    Ok(Outcome::Done)
}
