//! Transactions of clients: MULTI, EXEC, DISCARD, WATCH.

use super::prelude::*;
use crate::engine::{ClientId, Engine, Invocation, Multi};

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
    if engine.session_mut(client)?.multi.take().is_none() {
        return Err(Fault::other("DISCARD without MULTI"));
    }
    engine.unwatch(client);
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
    let multi = engine.session_mut(client)?.multi.take().ok_or_else(|| Fault::other("EXEC without MULTI"))?;
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
            return Err(Fault::coded(format!(
                "EXECABORT Transaction discarded because of: {}",
                fault.message()
            )));
        }
    }
    reply.array(multi.queue.len());
    for queued in &multi.queue {
        let args: Vec<&[u8]> = queued.args.iter().map(|arg| &**arg).collect();
        let db = engine.session_mut(client)?.db;
        let invocation = Invocation { client, db, command: queued.command, args: &args, waking: None };
        engine.invoke_nested(&invocation, reply);
    }
    Ok(Outcome::Done)
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
