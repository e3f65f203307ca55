//! The connection itself: greeting, authentication, database, protocol.

use super::prelude::*;
use crate::COMPATIBLE_WITH;
use crate::acl::DEFAULT;
use crate::engine::{ClientId, Engine, ReplyMode};
use crate::number::parse_i64;

pub(super) const ROWS: &[Command] = &[PING, ECHO, SELECT, QUIT, RESET, AUTH, HELLO];

const PING: Command = Command::system("ping", Group::Connection, ping)
    .arity(-1)
    .flags(FAST)
    .since("1.0.0")
    .cost("O(1)")
    .summary("Answers, to show that the connection works.")
    .syntax("[message:s]")
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]);

fn ping(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if args.left() > 1 {
        return Err(Fault::Arity("ping".into()));
    }
    let message = args.rest().first().copied();
    if engine.session_mut(client)?.only_listens() {
        reply.array(2);
        reply.bulk(b"pong");
        reply.bulk(message.unwrap_or_default());
        return Ok(Outcome::Done);
    }
    match message {
        Some(message) => reply.bulk(message),
        None => reply.status("PONG"),
    }
    Ok(Outcome::Done)
}

const ECHO: Command = Command::system("echo", Group::Connection, echo)
    .arity(2)
    .flags(LOADING | STALE | FAST)
    .since("1.0.0")
    .cost("O(1)")
    .summary("Returns its argument.")
    .syntax("message:s");

fn echo(_engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply.bulk(args.bytes()?);
    Ok(Outcome::Done)
}

const SELECT: Command = Command::system("select", Group::Connection, select)
    .arity(2)
    .flags(LOADING | STALE | FAST)
    .since("1.0.0")
    .cost("O(1)")
    .summary("Selects a database.")
    .syntax("index:i");

fn select(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let index = args.integer_between(i64::from(i32::MIN), i64::from(i32::MAX))?;
    let databases = engine.data.keyspace.count();
    let index = usize::try_from(index).ok().filter(|&index| index < databases).ok_or(Fault::DbIndex)?;
    engine.session_mut(client)?.db = index;
    reply.ok();
    Ok(Outcome::Done)
}

const QUIT: Command = Command::system("quit", Group::Connection, quit)
    .arity(-1)
    .flags(ALLOW_BUSY | NOSCRIPT | LOADING | STALE | FAST | NO_AUTH)
    .since("1.0.0")
    .cost("O(1)")
    .summary("Closes the connection.");

fn quit(engine: &mut Engine, client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    engine.session_mut(client)?.closing = true;
    reply.ok();
    Ok(Outcome::Done)
}

const RESET: Command = Command::system("reset", Group::Connection, reset)
    .arity(1)
    .flags(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY)
    .since("6.2.0")
    .cost("O(1)")
    .summary("Resets the connection to how it began.");

fn reset(engine: &mut Engine, client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    engine.unsubscribe_all(client);
    engine.unwatch(client);
    engine.stop_tracking(client);
    engine.stop_monitor(client);
    let open = engine.is_open();
    engine.become_user(client, DEFAULT, open);
    let session = engine.session_mut(client)?;
    session.multi = None;
    session.db = 0;
    session.protocol = Protocol::V2;
    session.name = Box::default();
    session.reply_mode = ReplyMode::On;
    session.no_evict = false;
    session.no_touch = false;
    reply.set_protocol(Protocol::V2);
    reply.status("RESET");
    Ok(Outcome::Done)
}

const AUTH: Command = Command::system("auth", Group::Connection, auth)
    .arity(-2)
    .flags(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY)
    .since("1.0.0")
    .cost("O(N) where N is the number of passwords defined for the user")
    .summary("Authenticates the connection.")
    .syntax("[username:s@6.0.0] password:s");

fn auth(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let typed = args.all()[0];
    match *args.rest() {
        [password] => {
            if engine.access.users.get(DEFAULT).is_some_and(|user| user.no_password) {
                return Err(Fault::other(
                    "AUTH <password> called without any password configured for the default user. Are you sure your \
                     configuration is correct?",
                ));
            }
            engine.authenticate(client, DEFAULT, password, typed)?;
        }
        [user, password] => engine.authenticate(client, user, password, typed)?,
        _ => return Err(Fault::Syntax),
    }
    reply.ok();
    Ok(Outcome::Done)
}

/// Checks a name that will be shown in lists of one line per client.
pub(super) fn check_name(name: &[u8], error: &'static str) -> Result<(), Fault> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) { Ok(()) } else { Err(Fault::other(error)) }
}

pub(super) const BAD_NAME: &str = "Client names cannot contain spaces, newlines or special characters.";

const HELLO: Command = Command::system("hello", Group::Connection, hello)
    .arity(-1)
    .flags(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY)
    .since("6.0.0")
    .cost("O(1)")
    .summary("Switches the protocol, and optionally authenticates and names the connection.")
    .syntax(
        "[arguments={protover:i [username_password={username:s password:s}/AUTH] [clientname:s/SETNAME]}]",
    );

fn hello(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let mut protocol = None;
    if args.left() > 0 {
        let version = parse_i64(args.bytes()?)
            .ok_or_else(|| Fault::other("Protocol version is not an integer or out of range"))?;
        protocol = Some(match version {
            2 => Protocol::V2,
            3 => Protocol::V3,
            _ => return Err(Fault::NoProto),
        });
    }
    while args.left() > 0 {
        let word = args.bytes()?;
        if is_word(word, "AUTH") && args.left() >= 2 {
            let (user, password) = (args.bytes()?, args.bytes()?);
            engine.authenticate(client, user, password, args.all()[0])?;
        } else if is_word(word, "SETNAME") && args.left() >= 1 {
            let name = args.bytes()?;
            check_name(name, BAD_NAME)?;
            engine.session_mut(client)?.name = name.into();
        } else {
            return Err(Fault::Raw([b"Syntax error in HELLO option '", word, b"'"].concat()));
        }
    }
    let open = engine.is_open();
    let session = engine.session_mut(client)?;
    if !session.authenticated && !open {
        return Err(Fault::coded(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> \
             <pass> option can be used to authenticate the client and select the RESP protocol version at the same \
             time",
        ));
    }
    if let Some(protocol) = protocol {
        session.protocol = protocol;
        reply.set_protocol(protocol);
    }
    let version = if session.protocol == Protocol::V3 { 3 } else { 2 };
    reply.map(7);
    for (field, value) in [("server", "redis"), ("version", COMPATIBLE_WITH)] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(version);
    reply.bulk(b"id");
    reply.integer(client.0 as i64);
    let role = if engine.is_replica() { "replica" } else { "master" };
    for (field, value) in [("mode", "standalone"), ("role", role)] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
    Ok(Outcome::Done)
}
