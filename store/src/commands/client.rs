//! CLIENT: what the server knows about connections, and what can be done with them.

use std::collections::BTreeMap;

use super::client_tracking::{CLIENT_CACHING, CLIENT_GETREDIR, CLIENT_TRACKING, CLIENT_TRACKINGINFO};
use super::connection::{BAD_NAME, check_name};
use super::help::wrong_form;
use super::prelude::*;
use crate::acl::User;
use crate::engine::{ClientId, Engine, Pause, ReplyMode, Session};
use crate::number::parse_i64;

pub(super) const ROWS: &[Command] = &[CLIENT];

const CLIENT: Command = Command::container(
    "client",
    Group::Connection,
    &[
        CLIENT_ID,
        CLIENT_SETNAME,
        CLIENT_GETNAME,
        CLIENT_LIST,
        CLIENT_INFO,
        CLIENT_KILL,
        CLIENT_UNBLOCK,
        CLIENT_REPLY,
        CLIENT_NO_EVICT,
        CLIENT_NO_TOUCH,
        CLIENT_SETINFO,
        CLIENT_PAUSE,
        CLIENT_UNPAUSE,
        CLIENT_TRACKING,
        CLIENT_TRACKINGINFO,
        CLIENT_CACHING,
        CLIENT_GETREDIR,
    ],
)
.since("2.4.0")
.summary("A container for commands about connections.");

const CLIENT_ID: Command = Command::system("id", Group::Connection, client_id)
    .arity(2)
    .flags(NOSCRIPT | LOADING | STALE)
    .since("5.0.0")
    .cost("O(1)")
    .summary("Returns the number of the connection.");

fn client_id(_engine: &mut Engine, client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply.integer(client.0 as i64);
    Ok(Outcome::Done)
}

const CLIENT_SETNAME: Command = Command::system("setname", Group::Connection, client_setname)
    .arity(3)
    .flags(NOSCRIPT | LOADING | STALE)
    .since("2.6.9")
    .cost("O(1)")
    .summary("Names the connection.")
    .syntax("connection-name:s");

fn client_setname(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let name = args.bytes()?;
    check_name(name, BAD_NAME)?;
    engine.session_mut(client)?.name = name.into();
    reply.ok();
    Ok(Outcome::Done)
}

const CLIENT_GETNAME: Command = Command::system("getname", Group::Connection, client_getname)
    .arity(2)
    .flags(NOSCRIPT | LOADING | STALE)
    .since("2.6.9")
    .cost("O(1)")
    .summary("Returns the name of the connection.");

fn client_getname(engine: &mut Engine, client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let name = &engine.session_mut(client)?.name;
    reply.bulk_or_null(Some(&**name).filter(|name| !name.is_empty()));
    Ok(Outcome::Done)
}

const CLIENT_SETINFO: Command = Command::system("setinfo", Group::Connection, client_setinfo)
    .arity(4)
    .flags(NOSCRIPT | LOADING | STALE)
    .since("7.2.0")
    .summary("Tells which client library is used.")
    .syntax("attr=(libname:s/LIB-NAME|libver:s/LIB-VER)");

fn client_setinfo(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (attribute, value) = (args.bytes()?, args.bytes()?);
    let (slot, error) = match () {
        () if is_word(attribute, "LIB-NAME") => {
            (0, "lib-name cannot contain spaces, newlines or special characters.")
        }
        () if is_word(attribute, "LIB-VER") => {
            (1, "lib-ver cannot contain spaces, newlines or special characters.")
        }
        () => return Err(Fault::Raw([b"Unrecognized option '", attribute, b"'"].concat())),
    };
    check_name(value, error)?;
    engine.session_mut(client)?.library[slot] = value.into();
    reply.ok();
    Ok(Outcome::Done)
}

/// Numbers of all clients, ascending.
fn all_ids(engine: &Engine) -> Vec<ClientId> {
    let mut ids: Vec<ClientId> = engine.sessions.keys().copied().collect();
    ids.sort_unstable();
    ids
}

fn parse_class(word: &[u8]) -> Result<&'static str, Fault> {
    let known = ["normal", "master", "replica", "pubsub"];
    let word = if is_word(word, "slave") { b"replica" } else { word };
    let found = known.into_iter().find(|class| is_word(word, class));
    found.ok_or_else(|| Fault::Raw([b"Unknown client type '", word, b"'"].concat()))
}

const CLIENT_LIST: Command = Command::system("list", Group::Connection, client_list)
    .arity(-2)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("2.4.0")
    .cost("O(N) where N is the number of client connections")
    .summary("Describes all connections.")
    .syntax("[normal_master_replica_pubsub=(normal/\"normal\"|master/\"master\"|replica/\"replica\"|pubsub/\"pubsub\")/TYPE@5.0.0] [id={client-id:i...}/ID@6.2.0]")
    .tips(&["nondeterministic_output"]);

fn client_list(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (mut class, mut ids) = (None, all_ids(engine));
    if args.left() >= 2 && args.word("TYPE") {
        class = Some(parse_class(args.bytes()?)?);
        args.end()?;
    } else if args.left() >= 2 && args.word("ID") {
        ids.clear();
        for id in args.rest() {
            let id = parse_i64(id).ok_or_else(|| Fault::other("Invalid client ID"))?;
            ids.extend(u64::try_from(id).map(ClientId));
        }
    } else {
        args.end()?;
    }
    let now = engine.now().mono_ms;
    let sessions = ids.iter().filter_map(|id| engine.sessions.get(id));
    let chosen = sessions.filter(|session| class.is_none_or(|class| session.class() == class));
    let text: Vec<u8> = chosen.flat_map(|session| session.describe(now)).collect();
    reply.verbatim(&text);
    Ok(Outcome::Done)
}

const CLIENT_INFO: Command = Command::system("info", Group::Connection, client_info)
    .arity(2)
    .flags(NOSCRIPT | LOADING | STALE)
    .since("6.2.0")
    .cost("O(1)")
    .summary("Describes the connection.")
    .tips(&["nondeterministic_output"]);

fn client_info(engine: &mut Engine, client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let now = engine.now().mono_ms;
    let text = engine.session_mut(client)?.describe(now);
    reply.verbatim(&text);
    Ok(Outcome::Done)
}

/// Which clients CLIENT KILL means.
#[derive(Default)]
struct Filter<'a> {
    id: Option<u64>,
    class: Option<&'static str>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
    max_age: Option<u64>,
    with_me: bool,
}

impl<'a> Filter<'a> {
    fn read(args: &mut Args<'a>, users: &BTreeMap<Box<[u8]>, User>) -> Result<Self, Fault> {
        let mut filter = Self::default();
        while args.left() > 0 {
            let (word, value) = (args.bytes()?, args.bytes()?);
            match () {
                () if is_word(word, "ID") => {
                    let id = parse_i64(value).filter(|&id| id > 0);
                    let id = id.ok_or_else(|| Fault::other("client-id should be greater than 0"))?;
                    filter.id = Some(id as u64);
                }
                () if is_word(word, "TYPE") => filter.class = Some(parse_class(value)?),
                () if is_word(word, "ADDR") => filter.addr = Some(value),
                () if is_word(word, "LADDR") => filter.laddr = Some(value),
                () if is_word(word, "USER") => {
                    if !users.contains_key(value) {
                        return Err(Fault::Raw([b"No such user '", value, b"'"].concat()));
                    }
                    filter.user = Some(value);
                }
                () if is_word(word, "MAXAGE") => {
                    let age = parse_i64(value).and_then(|age| u64::try_from(age).ok());
                    filter.max_age = Some(age.ok_or(Fault::NotInteger)?);
                }
                () if is_word(word, "SKIPME") && is_word(value, "YES") => filter.with_me = false,
                () if is_word(word, "SKIPME") && is_word(value, "NO") => filter.with_me = true,
                () => return Err(Fault::Syntax),
            }
        }
        Ok(filter)
    }

    fn matches(&self, session: &Session, me: ClientId, now_mono: u64) -> bool {
        let age = now_mono.saturating_sub(session.connected_at) / 1000;
        (self.with_me || session.id != me)
            && self.id.is_none_or(|id| session.id.0 == id)
            && self.class.is_none_or(|class| session.class() == class)
            && self.addr.is_none_or(|addr| session.peer.addr.as_bytes() == addr)
            && self.laddr.is_none_or(|laddr| session.peer.laddr.as_bytes() == laddr)
            && self.user.is_none_or(|user| *session.user == *user)
            && self.max_age.is_none_or(|max| age >= max)
    }
}

const CLIENT_KILL: Command = Command::system("kill", Group::Connection, client_kill)
    .arity(-3)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("2.4.0")
    .cost("O(N) where N is the number of client connections")
    .summary("Closes connections.")
    .syntax("filter=(ip:port:s|new-format=([client-id:i/ID@2.8.12]|[normal_master_slave_pubsub=(normal/\"normal\"|master/\"master\"@3.2.0|slave/\"slave\"|replica/\"replica\"@5.0.0|pubsub/\"pubsub\")/TYPE@2.8.12]|[username:s/USER]|[ip:port:s/ADDR]|[ip:port:s/LADDR@6.2.0]|[yes/no:s/SKIPME])...)");

fn client_kill(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let old_form = args.left() == 1;
    let filter = if old_form {
        Filter { addr: Some(args.bytes()?), with_me: true, ..Filter::default() }
    } else {
        // Without SKIPME the caller survives.
        Filter::read(&mut args, &engine.access.users)?
    };
    let now = engine.now().mono_ms;
    let doomed: Vec<ClientId> = all_ids(engine)
        .into_iter()
        .filter(|id| engine.sessions.get(id).is_some_and(|session| filter.matches(session, client, now)))
        .collect();
    for &id in &doomed {
        if id == client {
            engine.session_mut(id)?.closing = true;
        } else {
            engine.close(id);
        }
    }
    match (old_form, doomed.len()) {
        (true, 0) => return Err(Fault::other("No such client")),
        (true, _) => reply.ok(),
        (false, count) => reply.count(count),
    }
    Ok(Outcome::Done)
}

const CLIENT_UNBLOCK: Command = Command::system("unblock", Group::Connection, client_unblock)
    .arity(-3)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("5.0.0")
    .cost("O(log N) where N is the number of client connections")
    .summary("Ends the waiting of another connection.")
    .syntax("client-id:i [timeout_error=(timeout/TIMEOUT|error/ERROR)]");

fn client_unblock(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if args.left() > 2 {
        return Err(wrong_form(args.all()));
    }
    let mut at_reason = args;
    at_reason.bytes()?;
    let with_error = match at_reason.rest() {
        [] => false,
        [word] if is_word(word, "TIMEOUT") => false,
        [word] if is_word(word, "ERROR") => true,
        _ => return Err(Fault::other("CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
    };
    let id = args.integer()?;
    let fault = with_error.then(|| Fault::coded("UNBLOCKED client unblocked via CLIENT UNBLOCK"));
    let other = ClientId(u64::try_from(id).unwrap_or(0));
    reply.flag(engine.unblock(other, fault.as_ref()));
    Ok(Outcome::Done)
}

const CLIENT_REPLY: Command = Command::system("reply", Group::Connection, client_reply)
    .arity(3)
    .flags(NOSCRIPT | LOADING | STALE)
    .since("3.2.0")
    .cost("O(1)")
    .summary("Switches replies off and on.")
    .syntax("on_off_skip=(on/ON|off/OFF|skip/SKIP)");

fn client_reply(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let word = args.bytes()?;
    let session = engine.session_mut(client)?;
    match () {
        () if is_word(word, "ON") => {
            session.reply_mode = ReplyMode::On;
            reply.ok();
        }
        () if is_word(word, "OFF") => session.reply_mode = ReplyMode::Off,
        () if is_word(word, "SKIP") => {
            if session.reply_mode != ReplyMode::Off {
                session.reply_mode = ReplyMode::SkipNext;
            }
        }
        () => return Err(Fault::Syntax),
    }
    Ok(Outcome::Done)
}

fn on_or_off(word: &[u8]) -> Result<bool, Fault> {
    match () {
        () if is_word(word, "ON") => Ok(true),
        () if is_word(word, "OFF") => Ok(false),
        () => Err(Fault::Syntax),
    }
}

const CLIENT_NO_EVICT: Command = Command::system("no-evict", Group::Connection, client_no_evict)
    .arity(3)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("7.0.0")
    .cost("O(1)")
    .summary("Excludes the connection from eviction.")
    .syntax("enabled=(on/ON|off/OFF)");

fn client_no_evict(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    engine.session_mut(client)?.no_evict = on_or_off(args.bytes()?)?;
    reply.ok();
    Ok(Outcome::Done)
}

const CLIENT_NO_TOUCH: Command = Command::system("no-touch", Group::Connection, client_no_touch)
    .arity(3)
    .flags(NOSCRIPT | LOADING | STALE)
    .since("7.2.0")
    .summary("Lets the connection read keys without marking them as used.")
    .syntax("enabled=(on/ON|off/OFF)");

fn client_no_touch(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    engine.session_mut(client)?.no_touch = on_or_off(args.bytes()?)?;
    reply.ok();
    Ok(Outcome::Done)
}

const CLIENT_PAUSE: Command = Command::system("pause", Group::Connection, client_pause)
    .arity(-3)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("2.9.50")
    .cost("O(1)")
    .summary("Holds back the commands of all connections for a time.")
    .syntax("timeout:i [mode=(write/WRITE|all/ALL)@6.2.0]");

fn client_pause(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if args.left() > 2 {
        return Err(wrong_form(args.all()));
    }
    let mut at_mode = args;
    at_mode.bytes()?;
    let only_writes = match at_mode.rest() {
        [] => false,
        [mode] if is_word(mode, "ALL") => false,
        [mode] if is_word(mode, "WRITE") => true,
        _ => return Err(Fault::other("CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let ms = args.timeout_ms()?.unwrap_or(0);
    let until = engine.now().mono_ms.saturating_add(ms);
    engine.pause(Pause { until, only_writes });
    reply.ok();
    Ok(Outcome::Done)
}

const CLIENT_UNPAUSE: Command = Command::system("unpause", Group::Connection, client_unpause)
    .arity(2)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("6.2.0")
    .cost("O(N) Where N is the number of paused clients")
    .summary("Lets all connections go on that CLIENT PAUSE holds back.");

fn client_unpause(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    engine.unpause();
    reply.ok();
    Ok(Outcome::Done)
}
