//! Transactions of clients: MULTI, EXEC, DISCARD, WATCH.

use super::prelude::*;
use crate::acl::Denied;
use crate::engine::{ClientId, Engine, Invocation, Multi, exec_abort};

pub(super) const ROWS: &[Command] = &[MULTI, DISCARD, EXEC, WATCH, UNWATCH];

const MULTI: Command = Command::system("multi", Group::Transactions, multi)
    .arity(1)
    .flags(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY)
    .since("1.2.0")
    .cost("O(1)")
    .summary("Begins to queue the commands of a transaction.");

fn multi(engine: &mut Engine, client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let session = engine.session_mut(client)?;
    if session.multi.is_some() {
        return Err(Fault::other("MULTI calls can not be nested"));
    }
    session.multi = Some(Multi::default());
    reply.ok();
    Ok(Outcome::Done)
}

const DISCARD: Command = Command::system("discard", Group::Transactions, discard)
    .arity(1)
    .flags(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY)
    .since("2.0.0")
    .cost("O(N), when N is the number of queued commands")
    .summary("Forgets the queued commands of a transaction.");

fn discard(engine: &mut Engine, client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if engine.session_mut(client)?.multi.is_none() {
        return Err(Fault::other("DISCARD without MULTI"));
    }
    engine.discard(client);
    reply.ok();
    Ok(Outcome::Done)
}

const EXEC: Command = Command::system("exec", Group::Transactions, exec)
    .arity(1)
    .flags(NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG)
    .since("1.2.0")
    .cost("Depends on commands in the transaction")
    .summary("Runs the queued commands of a transaction.");

fn exec(engine: &mut Engine, client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let session = engine.session_mut(client)?;
    let multi = session.multi.take().ok_or_else(|| Fault::other("EXEC without MULTI"))?;
    session.in_exec = true;
    let run = exec_queued(engine, client, &multi, reply);
    if let Ok(session) = engine.session_mut(client) {
        session.in_exec = false;
    }
    run
}

fn exec_queued(engine: &mut Engine, client: ClientId, multi: &Multi, reply: &mut Reply<'_>) -> Run {
    let watch_failed = engine.watch_failed(client);
    engine.unwatch(client);
    if multi.broken {
        return Err(Fault::ExecAbort);
    }
    if watch_failed {
        reply.null_array();
        return Ok(Outcome::Done);
    }
    for queued in &multi.queue {
        // What was allowed when it was queued may not be allowed any more.
        if let Err(fault) = engine.check_state(queued.command) {
            return Err(exec_abort(&fault));
        }
    }
    reply.array(multi.queue.len());
    for queued in &multi.queue {
        let args: Vec<&[u8]> = queued.args.iter().map(|arg| &**arg).collect();
        if let Err(denied) = engine.check_access(client, queued.command, &args) {
            let fault = denied_now(denied);
            engine.count_error(&fault.to_string());
            reply.error(&fault.to_bytes());
            continue;
        }
        let db = engine.session_mut(client)?.db;
        let invocation = Invocation { client, db, command: queued.command, args: &args, waking: None };
        engine.invoke_nested(&invocation, reply);
    }
    Ok(Outcome::Done)
}

/// The error of a command that was allowed when it was queued, and is not any more.
fn denied_now(denied: Denied) -> Fault {
    let reason = match denied {
        Denied::Command => "no permission to execute the command or subcommand",
        Denied::Key(_) => "no permission to touch the specified keys",
        Denied::Channel(_) => "no permission to access one of the channels used as arguments",
    };
    Fault::coded(format!(
        "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command \
         is no longer allowed for the following reason: {reason}"
    ))
}

const WATCH: Command = Command::system("watch", Group::Transactions, watch)
    .arity(-2)
    .flags(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY)
    .keys(&[Key::range(1, -1, 1, Key::RO)])
    .since("2.2.0")
    .cost("O(1) for every key.")
    .summary("Watches keys: a later EXEC does nothing if one of them changes.")
    .syntax("key:k...");

fn watch(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if engine.session_mut(client)?.multi.is_some() {
        return Err(Fault::other("WATCH inside MULTI is not allowed"));
    }
    if !engine.session_mut(client)?.watch_failed {
        args.rest().iter().for_each(|key| engine.watch(client, key));
    }
    reply.ok();
    Ok(Outcome::Done)
}

const UNWATCH: Command = Command::system("unwatch", Group::Transactions, unwatch)
    .arity(1)
    .flags(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY)
    .since("2.2.0")
    .cost("O(1)")
    .summary("Stops watching all keys.");

fn unwatch(engine: &mut Engine, client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    engine.unwatch(client);
    reply.ok();
    Ok(Outcome::Done)
}
