//! DEBUG: what test suites and developers need. Refused unless `enable-debug-command` allows it.

use super::object::encoding;
use super::prelude::*;
use crate::engine::{ClientId, Engine, Output, Step};
use crate::glob;
use crate::keyspace::digest;
use crate::rdb::DUMP_FRAME;
use crate::txn::Expiry;

pub(super) const ROWS: &[Command] = &[DEBUG];

/// Keys that one DEBUG POPULATE may make.
const POPULATE_MAX: i64 = 1 << 30;

/// The subcommands, for DEBUG HELP.
const HELP: &[&str] = &[
    "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "AOF-FLUSH-SLEEP <microseconds>",
    "    Wait before each write of the log, as for a slow disk.",
    "CHANGE-REPL-ID",
    "    Give the history of replication another name: no replica can go on where it was.",
    "CONFIG-REWRITE-FORCE-ALL",
    "    Write all directives into the configuration file, those with their defaults too.",
    "DIGEST",
    "    Return a fingerprint of all data.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    Return fingerprints of values.",
    "ERROR <text>",
    "    Answer with this error.",
    "HTSTATS <db>",
    "    Describe the tables of a database.",
    "HTSTATS-KEY <key>",
    "    Describe the table of a value.",
    "LISTPACK <key>",
    "    Describe a packed value.",
    "LOADAOF",
    "    Forget all data and load the log again.",
    "LOG <text>",
    "    Write a line into the log of the daemon.",
    "OBJECT <key>",
    "    Describe how a value is kept.",
    "PANIC",
    "    End the daemon as a mistake in it would.",
    "PAUSE-CRON <0|1>",
    "    Let an end that a signal asks for wait, or go on.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Make keys.",
    "PROTOCOL <type>",
    "    Answer with a value of this type.",
    "QUICKLIST <key>",
    "    Describe a list.",
    "RELOAD [option ...]",
    "    Write all data as a snapshot and load it again. NOSAVE loads what the last RELOAD wrote, NOFLUSH keeps what is",
    "    there, MERGE lets keys of the snapshot replace others.",
    "REPLICATE <word> [<word> ...]",
    "    Send a command to replicas.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Let keys past their date disappear by themselves, or only when somebody looks.",
    "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
    "    Take dumps whose checksum is wrong, or refuse them.",
    "SLEEP <seconds>",
    "    Stop the daemon for a time.",
    "STRINGMATCH-LEN <pattern> <text>",
    "    Tell whether a text matches a pattern.",
    "HELP",
    "    Print this help.",
];

const DEBUG: Command = Command::system("debug", Group::Server, debug)
    .arity(-2)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE | PROTECTED)
    .since("1.0.0")
    .cost("Depends on subcommand.")
    .summary("Helps to test and debug the server.");

fn debug(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let typed = args.bytes()?;
    let word = typed.to_ascii_lowercase();
    match (&*word, args.left()) {
        (b"sleep", 1) => sleep(engine, client, args, reply),
        (b"digest", 0) => {
            reply.status(&engine.digest().to_hex());
            Ok(Outcome::Done)
        }
        (b"digest-value", _) => digest_values(engine, client, args, reply),
        (b"object", 1..=2) => object(engine, client, args, reply),
        (b"populate", 1..=3) => populate(engine, client, args, reply),
        (b"loadaof", 0) => {
            if engine.session_mut(client)?.in_exec {
                return Err(Fault::other("DEBUG LOADAOF is not possible inside a transaction"));
            }
            engine.hold(client, Step::ReloadLog, reply)
        }
        (b"set-active-expire", 1) => {
            engine.active_expire = args.integer()? != 0;
            reply.ok();
            Ok(Outcome::Done)
        }
        (b"set-disable-deny-scripts", 1) => {
            engine.allow_all_in_scripts(args.integer()? != 0);
            reply.ok();
            Ok(Outcome::Done)
        }
        (b"aof-flush-sleep", 1) => {
            let us = args.integer()?.try_into().map_err(|_| Fault::other("out of range"))?;
            engine.hold(client, Step::PauseBeforeWrites(us), reply)
        }
        (b"protocol", 1) => protocol(args, reply),
        (b"stringmatch-len", 2) => {
            let (pattern, text) = (args.bytes()?, args.bytes()?);
            reply.flag(glob::matches(pattern, text));
            Ok(Outcome::Done)
        }
        (b"reload", _) => super::reload::reload(engine, client, args, reply),
        (b"log", 1) => {
            let text = String::from_utf8_lossy(args.bytes()?).into_owned();
            engine.outputs.push(Output::Step { client: None, step: Step::Log(text) });
            reply.ok();
            Ok(Outcome::Done)
        }
        (b"panic", 0) => engine.hold(client, Step::Panic, reply),
        (b"error", 1) => Err(Fault::coded(String::from_utf8_lossy(args.bytes()?).replace(['\r', '\n'], " "))),
        (b"set-skip-checksum-validation", 1) => {
            engine.data.trusts_dumps = args.integer()? != 0;
            reply.ok();
            Ok(Outcome::Done)
        }
        (b"replicate", 1..) | (b"change-repl-id", 0) | (b"pause-cron", 1) => {
            disturb(engine, client, &word, args, reply)
        }
        (b"quicklist-packed-threshold", 1) | (b"replybuffer", 2) => accept(&word, args, reply),
        (b"config-rewrite-force-all", 0) => engine.hold(client, Step::RewriteConfig { all: true }, reply),
        (b"help", 0) => {
            reply.array(HELP.len());
            HELP.iter().for_each(|line| reply.status(line));
            Ok(Outcome::Done)
        }
        (b"listpack" | b"quicklist" | b"htstats-key", 1..=2) => layout(engine, client, &word, args, reply),
        (b"htstats", 1) => tables(engine, args, reply),
        _ => Err(Fault::Raw(
            [b"unknown subcommand or wrong number of arguments for '", typed, b"'. Try DEBUG HELP."].concat(),
        )),
    }
}

/// What replicas, and who waits for them, have to live with.
fn disturb(
    engine: &mut Engine,
    client: ClientId,
    word: &[u8],
    mut args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Run {
    match word {
        b"replicate" => {
            let db = engine.session_mut(client)?.db;
            engine.data.feed.effect_for_replicas(Some(db), args.rest());
        }
        b"change-repl-id" => engine.change_history(),
        _ => engine.pause_timer(args.integer()? != 0),
    }
    reply.ok();
    Ok(Outcome::Done)
}

fn sleep(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let us = (args.float()?.clamp(0.0, 1e6) * 1e6) as u64;
    engine.charge_stall(us);
    engine.hold(client, Step::Stall(us), reply)
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
    let access = engine.data.access;
    let mut txn = engine.txn(db);
    let serialized = txn.dump(key).ok_or(Fault::NoSuchKey)?.len() - DUMP_FRAME;
    let entry = txn.raw_entry(key).ok_or(Fault::NoSuchKey)?;
    reply.status(&format!(
        "Value at:0x0 refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
        encoding(entry.view()),
        serialized,
        entry.access(),
        access.idle_seconds(entry.access()),
    ));
    Ok(Outcome::Done)
}

/// Switches of mechanisms that are not there: values are checked, and change nothing.
fn accept(word: &[u8], mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    match word {
        b"quicklist-packed-threshold" => {
            // Lists keep long elements beside their nodes, whatever their size.
            crate::config::parse_memory(&String::from_utf8_lossy(args.bytes()?))
                .filter(|&bytes| bytes <= i64::from(u32::MAX))
                .ok_or_else(|| {
                    Fault::other("argument must be a memory value bigger than 1 and smaller than 4gb")
                })?;
        }
        b"replybuffer" => {
            // Buffers of replies shrink as soon as they are empty; there is nothing to wait for.
            let what = args.bytes()?;
            if !is_word(what, "PEAK-RESET-TIME") && !is_word(what, "RESIZING") {
                return Err(Fault::Syntax);
            }
        }
        _ => {
            args.integer()?;
        }
    }
    reply.ok();
    Ok(Outcome::Done)
}

/// How the value of a key is kept, for those who look at representations.
fn layout(
    engine: &mut Engine,
    client: ClientId,
    word: &[u8],
    mut args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Run {
    let db = engine.session_mut(client)?.db;
    let txn = engine.txn(db);
    let entry = txn.raw_entry(args.bytes()?).ok_or(Fault::NoSuchKey)?;
    let name = encoding(entry.view());
    let (fits, fault) = match word {
        b"listpack" => (name == "listpack", "Not a listpack encoded object."),
        b"quicklist" => (name == "quicklist", "Not a quicklist encoded object."),
        _ => (
            matches!(name, "hashtable" | "skiplist"),
            "The value stored at the specified key is not represented using an hash table",
        ),
    };
    if !fits {
        return Err(Fault::other(fault));
    }
    let text = format!("{name}: {} bytes in all", entry.footprint(0));
    if word == b"htstats-key" {
        reply.verbatim(text.as_bytes());
    } else {
        reply.status(&text);
    }
    Ok(Outcome::Done)
}

/// How the tables of a database are filled.
fn tables(engine: &Engine, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let db = usize::try_from(args.integer()?).ok().filter(|&db| db < engine.data.keyspace.count());
    let db = db.ok_or_else(|| Fault::other("Out of range database"))?;
    let database = engine.data.keyspace.db(db);
    let text = format!(
        "[Dictionary HT]\n keys: {}, bytes: {}\n[Expires HT]\n keys: {}\n",
        database.len(),
        database.overhead(),
        database.dated()
    );
    reply.verbatim(text.as_bytes());
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
            if reply.protocol() == Protocol::V3 {
                reply.attribute(1);
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.integer(90);
            }
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
