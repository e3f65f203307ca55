//! DEBUG: what test suites and developers need. Refused unless `enable-debug-command` allows it.

use super::object::encoding;
use super::prelude::*;
use crate::engine::{ClientId, Engine, Output, Step};
use crate::glob;
use crate::keyspace::digest;
use crate::txn::Expiry;

pub(super) const ROWS: &[Command] = &[DEBUG];

/// Keys that one DEBUG POPULATE may make.
const POPULATE_MAX: i64 = 1 << 30;

const DEBUG: Command = Command::system("debug", Group::Server, debug)
    .arity(-2)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE | PROTECTED)
    .since("1.0.0")
    .cost("Depends on subcommand.")
    .summary("Helps to test and debug the server.");

fn debug(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let word = args.bytes()?.to_ascii_lowercase();
    match (&*word, args.left()) {
        (b"sleep", 1) => sleep(engine, client, args),
        (b"digest", 0) => {
            reply.status(&engine.digest().to_hex());
            Ok(Outcome::Done)
        }
        (b"digest-value", _) => digest_values(engine, client, args, reply),
        (b"object", 1..=2) => object(engine, client, args, reply),
        (b"populate", 1..=3) => populate(engine, client, args, reply),
        (b"loadaof", 0) => {
            if !engine.config().flag("appendonly") {
                return Err(Fault::other("The append only file is off"));
            }
            hold(engine, client, Step::ReloadLog)
        }
        (b"set-active-expire", 1) => {
            engine.active_expire = args.integer()? != 0;
            reply.ok();
            Ok(Outcome::Done)
        }
        (b"protocol", 1) => protocol(args, reply),
        (b"stringmatch-test", 2) => {
            let (pattern, text) = (args.bytes()?, args.bytes()?);
            reply.flag(glob::matches(pattern, text));
            Ok(Outcome::Done)
        }
        _ => Err(Fault::Raw(
            [b"unknown subcommand or wrong number of arguments for '", &*word, b"'. Try DEBUG HELP."]
                .concat(),
        )),
    }
}

/// Lets the client wait until the host has done something.
fn hold(engine: &mut Engine, client: ClientId, step: Step) -> Run {
    engine.session_mut(client)?.held = true;
    engine.outputs.push(Output::Step { client: Some(client), step });
    Ok(Outcome::Done)
}

fn sleep(engine: &mut Engine, client: ClientId, mut args: Args<'_>) -> Run {
    let seconds = args.float()?;
    hold(engine, client, Step::Stall((seconds.clamp(0.0, 1e6) * 1e6) as u64))
}

fn digest_values(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let db = engine.session_mut(client)?.db;
    let keys = args.rest();
    reply.array(keys.len());
    for key in keys {
        let value = engine.txn(db).raw_entry(key).map(digest::value).unwrap_or_default();
        reply.status(&value.to_hex());
    }
    Ok(Outcome::Done)
}

fn object(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let db = engine.session_mut(client)?.db;
    let key = args.bytes()?;
    let clock = engine.data.access_clock;
    let txn = engine.txn(db);
    let entry = txn.raw_entry(key).ok_or(Fault::NoSuchKey)?;
    reply.status(&format!(
        "Value at:0x0 refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
        encoding(entry.view()),
        entry.footprint(0),
        entry.access(),
        clock.wrapping_sub(entry.access()) & 0xff_ffff,
    ));
    Ok(Outcome::Done)
}

fn populate(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let count = args.integer_in(0..=POPULATE_MAX, "value is out of range, must be positive")?;
    let prefix = if args.left() > 0 { args.bytes()? } else { b"key" };
    let size = if args.left() > 0 { Some(args.positive()? as usize) } else { None };
    let db = engine.session_mut(client)?.db;
    engine.forget_shadow();
    let mut txn = engine.txn(db);
    for n in 0..count {
        let key = [prefix, b":", Digits::of(n).as_bytes()].concat();
        if !txn.exists(&key) {
            let mut value = format!("value:{n}").into_bytes();
            value.resize(size.unwrap_or(value.len()), 0);
            txn.put_text(&key, &value, Expiry::Never);
        }
    }
    reply.ok();
    Ok(Outcome::Done)
}

fn protocol(mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let word = args.bytes()?.to_ascii_lowercase();
    match &*word {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        #[expect(clippy::approx_constant, reason = "the number that client libraries test for")]
        b"double" => reply.double(3.141),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|n| reply.integer(n));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|n| reply.integer(n));
        }
        b"map" => {
            reply.map(3);
            (0..3).for_each(|n| {
                reply.integer(n);
                reply.boolean(n == 1);
            });
        }
        b"attrib" => {
            if reply.protocol() == Protocol::V2 {
                return Err(Fault::other("RESP2 doesn't exist with attributes"));
            }
            reply.attribute(1);
            reply.bulk(b"key-popularity");
            reply.array(2);
            reply.bulk(b"key:123");
            reply.integer(90);
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" => {
            if reply.protocol() == Protocol::V2 {
                return Err(Fault::other("RESP2 doesn't support push type"));
            }
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.integer(42);
        }
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"verbatim" => reply.verbatim(b"This is a verbatim\nstring"),
        b"bignum" => match reply.protocol() {
            Protocol::V2 => reply.bulk(b"1234567999999999999999999999999999999"),
            Protocol::V3 => reply.raw(b"(1234567999999999999999999999999999999\r\n"),
        },
        _ => {
            return Err(Fault::other(
                "Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(Outcome::Done)
}
