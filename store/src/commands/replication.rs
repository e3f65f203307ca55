//! Replication: who follows whom, and what is confirmed.

use super::prelude::*;
use crate::command::row::TimeoutReply;
use crate::command::{Wait, WaitClass};
use crate::engine::{ClientId, Engine};
use crate::number::parse_i64;
use crate::replication::{AckWait, Request};

pub(super) const ROWS: &[Command] =
    &[REPLICAOF, SLAVEOF, PSYNC, SYNC, REPLCONF, ROLE, WAIT, WAITAOF, FAILOVER];

const REPLICAOF: Command = Command::system("replicaof", Group::Server, replicaof)
    .arity(3)
    .flags(ADMIN | NOSCRIPT | STALE | NO_ASYNC_LOADING)
    .since("5.0.0")
    .cost("O(1)")
    .summary("Makes the server follow another one, or nobody.")
    .syntax("host:s port:s");

const SLAVEOF: Command = Command { name: "slaveof", since: "1.0.0", ..REPLICAOF };

fn replicaof(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (host, port) = (args.bytes()?, args.bytes()?);
    if engine.follows(client) {
        return Err(Fault::other("Command is not valid when client is a replica."));
    }
    if engine.is_handing_over() {
        return Err(Fault::other("REPLICAOF not allowed while failing over."));
    }
    if is_word(host, "no") && is_word(port, "one") {
        engine.follow_nobody();
        reply.ok();
        return Ok(Outcome::Done);
    }
    let port = parse_i64(port).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or_else(|| Fault::other("Invalid master port"))?;
    if engine.is_replica_of(host, port) {
        reply.status("OK Already connected to specified master");
        return Ok(Outcome::Done);
    }
    let host = String::from_utf8_lossy(host).into_owned();
    engine.follow(&host, port);
    reply.ok();
    Ok(Outcome::Done)
}

const PSYNC: Command = Command::system("psync", Group::Server, psync)
    .arity(-3)
    .flags(ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI)
    .since("2.8.0")
    .summary("Asks for the stream of effects from some place on.")
    .syntax("replicationid:s offset:i");

fn psync(engine: &mut Engine, client: ClientId, mut args: Args<'_>, _reply: &mut Reply<'_>) -> Run {
    let id = args.bytes()?;
    let byte = args.integer().inspect_err(|_| engine.note_wrong_offset(client))?;
    if args.left() > 0 {
        if !is_word(args.bytes()?, "failover") {
            return Err(Fault::Syntax);
        }
        engine.take_over(id)?;
    }
    engine.attach(client, &Request::From { id, byte })?;
    Ok(Outcome::Done)
}

const SYNC: Command = Command::system("sync", Group::Server, sync)
    .arity(1)
    .flags(ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI)
    .since("1.0.0")
    .summary("Asks for all data and the stream of effects behind it.");

fn sync(engine: &mut Engine, client: ClientId, _args: Args<'_>, _reply: &mut Reply<'_>) -> Run {
    engine.attach(client, &Request::Whole)?;
    Ok(Outcome::Done)
}

const REPLCONF: Command = Command::system("replconf", Group::Server, replconf)
    .arity(-1)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE | ALLOW_BUSY)
    .since("3.0.0")
    .cost("O(1)")
    .summary("Tells the other side of a replication link something.");

fn replconf(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if !args.left().is_multiple_of(2) {
        return Err(Fault::Syntax);
    }
    let mut introduction = engine.session_mut(client)?.introduction.take().unwrap_or_default();
    while args.left() > 0 {
        let (what, value) = (args.bytes()?, args.bytes()?);
        let number = || parse_i64(value).ok_or(Fault::NotInteger);
        match () {
            () if is_word(what, "listening-port") => {
                introduction.port = u16::try_from(number()?).map_err(|_| Fault::OutOfRange)?;
            }
            () if is_word(what, "ip-address") => {
                let address = String::from_utf8_lossy(value).into_owned();
                introduction.address = Some(address).filter(|address| !address.is_empty());
            }
            () if is_word(what, "capa") => {
                introduction.knows_mark |= is_word(value, "eof");
                introduction.knows_names |= is_word(value, "psync2");
            }
            () if is_word(what, "ack") => {
                let synced = match args.rest() {
                    [word, synced] if is_word(word, "fack") => parse_i64(synced),
                    _ => None,
                };
                if let Ok(offset) = u64::try_from(number()?) {
                    engine.confirm(client, offset, synced.and_then(|synced| u64::try_from(synced).ok()));
                }
                // Nobody reads an answer to this.
                return Ok(Outcome::Done);
            }
            // Masters ask this, over another kind of link; a client that asks has no master to be answered to.
            () if is_word(what, "getack") => return Ok(Outcome::Done),
            () if is_word(what, "rdb-only") => introduction.only_dataset = number()? != 0,
            () if is_word(what, "rdb-filter-only") => {
                (introduction.without_keys, introduction.without_functions) = (true, true);
                for part in value.split(|byte| byte.is_ascii_whitespace()).filter(|part| !part.is_empty()) {
                    if !is_word(part, "functions") {
                        return Err(Fault::Raw([b"Unsupported rdb-filter-only option: ", part].concat()));
                    }
                    introduction.without_functions = false;
                }
            }
            () => return Err(Fault::Raw([b"Unrecognized REPLCONF option: ", what].concat())),
        }
    }
    engine.session_mut(client)?.introduction = Some(introduction);
    reply.ok();
    Ok(Outcome::Done)
}

const ROLE: Command = Command::system("role", Group::Server, role)
    .arity(1)
    .flags(NOSCRIPT | LOADING | STALE | FAST)
    .categories(ADMIN_CATEGORY | DANGEROUS)
    .since("2.8.12")
    .cost("O(1)")
    .summary("Says whether the server is a master or a replica, and of whom.");

/// ROLE is for administrators without being an administrative command.
const ADMIN_CATEGORY: u32 = 1 << 13;

fn role(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    engine.write_role(reply);
    Ok(Outcome::Done)
}

/// What a client waits for, as it was when it began to, and whether that is now.
fn ack_wait(engine: &mut Engine, client: ClientId, ms: Option<u64>) -> Result<(AckWait, bool), Fault> {
    let now = engine.now().mono_ms;
    let (position, offset) = engine.written_by(client);
    let session = engine.session_mut(client)?;
    let fresh = AckWait { offset, position, until: ms.map(|ms| now.saturating_add(ms)) };
    let begun = session.ack_wait.take();
    Ok((begun.unwrap_or(fresh), begun.is_none()))
}

/// Waits on, unless the time is over or nobody may wait here; says whether it does.
fn waits_on(
    engine: &mut Engine,
    client: ClientId,
    (wait, begins): (AckWait, bool),
) -> Result<Option<Outcome>, Fault> {
    let now = engine.now().mono_ms;
    let over = wait.until.is_some_and(|until| until <= now);
    if over || engine.running.is_some() || engine.session_mut(client)?.in_exec {
        return Ok(None);
    }
    engine.session_mut(client)?.ack_wait = Some(wait);
    if begins {
        engine.ask_replicas();
    }
    engine.host.watch_syncs();
    Ok(Some(Outcome::Wait(Box::new(Wait {
        keys: Vec::new(),
        until: wait.until,
        on_timeout: TimeoutReply::Rerun,
        class: WaitClass::Acks,
        request: None,
    }))))
}

const WAIT: Command = Command::system("wait", Group::Generic, wait)
    .arity(3)
    .flags(NOSCRIPT)
    .since("3.0.0")
    .cost("O(1)")
    .categories(CONNECTION | OWN_CATEGORIES)
    .summary("Waits until replicas have confirmed what this connection wrote.")
    .syntax("numreplicas:i timeout:i")
    .tips(&["request_policy:all_shards", "response_policy:agg_min"]);

fn wait(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if engine.is_replica() {
        return Err(Fault::other(
            "WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured \
             to be writable (which is not the default) writes to replicas are just local and are not propagated.",
        ));
    }
    let wanted = args.integer()?;
    let ms = args.timeout_ms()?;
    let wait = ack_wait(engine, client, ms)?;
    let count = engine.replicas_with(wait.0.offset);
    if (count as i64) < wanted
        && let Some(outcome) = waits_on(engine, client, wait)?
    {
        return Ok(outcome);
    }
    reply.count(count);
    Ok(Outcome::Done)
}

const WAITAOF: Command = Command::system("waitaof", Group::Generic, waitaof)
    .arity(4)
    .flags(NOSCRIPT)
    .since("7.2.0")
    .cost("O(1)")
    .categories(CONNECTION | OWN_CATEGORIES)
    .summary("Waits until what this connection wrote is safe on disks.")
    .syntax("numlocal:i numreplicas:i timeout:i")
    .tips(&["request_policy:all_shards", "response_policy:agg_min"]);

fn waitaof(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let local = args.integer_between(0, 1)?;
    let wanted = args.integer_between(0, i64::MAX)?;
    let ms = args.timeout_ms()?;
    if engine.is_replica() {
        return Err(Fault::other(
            "WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are \
             not propagated.",
        ));
    }
    let synced = engine.host.synced_position();
    if local > 0 && synced.is_none() {
        return Err(Fault::other("WAITAOF cannot be used when numlocal is set but appendonly is disabled."));
    }
    let wait = ack_wait(engine, client, ms)?;
    let here = i64::from(synced.is_some_and(|synced| synced >= wait.0.position));
    let count = engine.replicas_with_on_disk(wait.0.offset);
    if (here < local || (count as i64) < wanted)
        && let Some(outcome) = waits_on(engine, client, wait)?
    {
        return Ok(outcome);
    }
    reply.array(2);
    reply.integer(here);
    reply.count(count);
    Ok(Outcome::Done)
}

const FAILOVER: Command = Command::system("failover", Group::Server, failover)
    .arity(-1)
    .flags(ADMIN | NOSCRIPT | STALE)
    .since("6.2.0")
    .cost("O(1)")
    .summary("Hands the role of the master over to a replica.")
    .syntax("[target=(host:s port:i [force/FORCE])/TO] [abort/ABORT] [milliseconds:i/TIMEOUT]");

fn failover(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (mut target, mut force, mut abort, mut timeout) = (None, false, false, None);
    while args.left() > 0 {
        let word = args.bytes()?;
        match () {
            () if is_word(word, "TO") && args.left() >= 2 && target.is_none() => {
                let host = String::from_utf8_lossy(args.bytes()?).into_owned();
                let port = u16::try_from(args.integer()?).map_err(|_| Fault::OutOfRange)?;
                target = Some((host, port));
            }
            () if is_word(word, "FORCE") => force = true,
            () if is_word(word, "ABORT") => abort = true,
            () if is_word(word, "TIMEOUT") && timeout.is_none() => {
                let ms = args.integer()?;
                if ms <= 0 {
                    return Err(Fault::other("FAILOVER timeout must be greater than 0"));
                }
                timeout = Some(ms as u64);
            }
            () => return Err(Fault::Syntax),
        }
    }
    if abort {
        if target.is_some() || force || timeout.is_some() {
            return Err(Fault::Syntax);
        }
        engine.abort_failover("FAILOVER ABORT")?;
    } else {
        if force && (target.is_none() || timeout.is_none()) {
            return Err(Fault::other(
                "FAILOVER with force option requires both a timeout and target HOST and IP.",
            ));
        }
        engine.begin_failover(target, force, timeout)?;
    }
    reply.ok();
    Ok(Outcome::Done)
}
