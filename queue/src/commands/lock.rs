//! Locks for programs.

use pbj_store::command::row::TimeoutReply;
use pbj_store::command::{Wait, WaitClass};
use pbj_store::number::parse_u64;

use super::prelude::*;
use crate::duration::parse_ms;
use crate::keys::{KeyName, is_name};
use crate::limits::LEASE_MAX_MS;

/// Who waits for a lock.
const WAITS_FOR_LOCK: WaitClass = WaitClass::Extension(1);

fn name<'a>(args: &mut Args<'a>, what: &str) -> Result<&'a [u8], Fault> {
    let name = args.bytes()?;
    if is_name(name) {
        return Ok(name);
    }
    Err(invalid(format_args!("{what} has 1 to 128 bytes without spaces and control characters")))
}

fn ttl_ms(text: &[u8]) -> Result<u64, Fault> {
    let ms = parse_ms(text).map_err(invalid)?;
    if (1..=LEASE_MAX_MS).contains(&ms) { Ok(ms) } else { Err(invalid("a lock is held for 1ms to 7d")) }
}

fn token(args: &mut Args<'_>) -> Result<u64, Fault> {
    parse_u64(args.bytes()?).ok_or_else(|| invalid("a token is a number"))
}

pub(super) const TAKE: Verb = Verb {
    row: row("lock.take", Group::Lock)
        .arity(-4)
        .flags(WRITE | DENYOOM | BLOCKING)
        .since("0.1.0")
        .cost("O(log(N))")
        .summary("Takes a lock and returns its token; waits in line for it if asked to.")
        .syntax("name:s owner:s ttl:s [wait:s/WAIT]"),
    run: take,
};

fn take(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (lock, owner) = (name(&mut args, "a lock name")?, name(&mut args, "an owner")?);
    let ttl = ttl_ms(args.bytes()?)?;
    let wait_ms = if args.word("WAIT") { Some(parse_ms(args.bytes()?).map_err(invalid)?) } else { None };
    args.end()?;
    if queues.lock_holder(txn.db(), lock).is_none() {
        let token = queues.take_lock(txn, lock, owner, ttl)?;
        reply.integer(token.0 as i64);
        return Ok(Outcome::Done);
    }
    let Some(wait_ms) = wait_ms else {
        reply.null();
        return Ok(Outcome::Done);
    };
    Ok(Outcome::Wait(Box::new(Wait {
        keys: vec![KeyName::Lock(lock).to_key().into()],
        until: (wait_ms > 0).then(|| txn.now().mono_ms.saturating_add(wait_ms)),
        on_timeout: TimeoutReply::Null,
        class: WAITS_FOR_LOCK,
        request: None,
    })))
}

pub(super) const EXTEND: Verb = Verb {
    row: row("lock.extend", Group::Lock)
        .arity(-3)
        .flags(WRITE | FAST)
        .since("0.1.0")
        .cost("O(log(N))")
        .summary("Keeps a lock longer; returns until when, in Unix milliseconds.")
        .syntax("name:s token:i [ttl:s]"),
    run: extend,
};

fn extend(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (lock, token) = (name(&mut args, "a lock name")?, token(&mut args)?);
    let ttl = if args.left() > 0 { Some(ttl_ms(args.bytes()?)?) } else { None };
    args.end()?;
    let until = queues.extend_lock(txn, lock, token, ttl)?;
    reply.integer(queues.steady.to_wall(until, txn.now()) as i64);
    Ok(Outcome::Done)
}

pub(super) const DROP: Verb = Verb {
    row: row("lock.drop", Group::Lock)
        .arity(3)
        .flags(WRITE | FAST)
        .since("0.1.0")
        .cost("O(log(N))")
        .summary("Gives a lock back; the next in line has it at once.")
        .syntax("name:s token:i"),
    run: drop_lock,
};

fn drop_lock(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (lock, token) = (name(&mut args, "a lock name")?, token(&mut args)?);
    queues.drop_lock(txn, lock, token)?;
    reply.ok();
    Ok(Outcome::Done)
}

pub(super) const INFO: Verb = Verb {
    row: row("lock.info", Group::Lock)
        .arity(2)
        .flags(READONLY | FAST)
        .since("0.1.0")
        .cost("O(log(N))")
        .summary("Says who holds a lock, or null if it is free.")
        .syntax("name:s"),
    run: info,
};

fn info(queues: &mut Queues, txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let lock = name(&mut args, "a lock name")?;
    let Some(held) = queues.lock_holder(txn.db(), lock) else {
        reply.null();
        return Ok(Outcome::Done);
    };
    reply.map(4);
    reply.bulk(b"name");
    reply.bulk(lock);
    reply.bulk(b"owner");
    reply.bulk(&held.owner);
    reply.bulk(b"token");
    reply.integer(held.token.0 as i64);
    reply.bulk(b"deadline");
    reply.integer(queues.steady.to_wall(held.until, txn.now()) as i64);
    Ok(Outcome::Done)
}
