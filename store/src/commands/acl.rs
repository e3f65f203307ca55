//! ACL: users and their rights.

use super::help::wrong_form;
use super::prelude::*;
use crate::acl::{DEFAULT, Denied, has_spaces};
use crate::engine::{ClientId, Engine, Step};
use crate::limits::ECHO_MAX;

pub(super) const ROWS: &[Command] = &[ACL];

const ACL: Command = Command::container(
    "acl",
    Group::Server,
    &[
        ACL_CAT,
        ACL_DELUSER,
        ACL_DRYRUN,
        ACL_GENPASS,
        ACL_GETUSER,
        ACL_LIST,
        ACL_LOAD,
        ACL_LOG,
        ACL_SAVE,
        ACL_SETUSER,
        ACL_USERS,
        ACL_WHOAMI,
    ],
)
.since("6.0.0")
.summary("A container for commands about users and their rights.");

/// Longest password of ACL GENPASS, in bits.
const GENERATED_BITS_MAX: i64 = 4096;
/// Entries of ACL LOG unless told otherwise.
const LOG_ENTRIES: i64 = 10;

const ACL_CAT: Command = Command::system("cat", Group::Server, acl_cat)
    .arity(-2)
    .flags(NOSCRIPT | LOADING | STALE)
    .since("6.0.0")
    .cost("O(1) since the categories and commands are a fixed set.")
    .summary("Lists the categories, or the commands of one.")
    .syntax("[categoryname:s]");

fn acl_cat(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if args.left() > 1 {
        return Err(wrong_form(args.all()));
    }
    let Some(&name) = args.rest().first() else {
        reply.array(CATEGORIES.len());
        CATEGORIES.iter().for_each(|(name, _)| reply.bulk(name.as_bytes()));
        return Ok(Outcome::Done);
    };
    let shown = &name[..name.len().min(ECHO_MAX)];
    let wanted = category(&String::from_utf8_lossy(name).to_ascii_lowercase())
        .ok_or_else(|| Fault::Raw([b"Unknown category '", shown, b"'"].concat()))?;
    let members: Vec<String> = engine
        .index
        .all()
        .iter()
        .filter(|command| command.row.all_categories() & wanted != 0)
        .map(|command| command.full_name())
        .collect();
    reply.array(members.len());
    members.iter().for_each(|name| reply.bulk(name.as_bytes()));
    Ok(Outcome::Done)
}

const ACL_DELUSER: Command = Command::system("deluser", Group::Server, acl_deluser)
    .arity(-3)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("6.0.0")
    .cost("O(1) amortized time considering the typical user.")
    .summary("Removes users and closes their connections.")
    .syntax("username:s...");

fn acl_deluser(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let names = args.rest();
    if names.contains(&DEFAULT) {
        return Err(Fault::other("The 'default' user cannot be removed"));
    }
    reply.count(names.iter().filter(|name| engine.delete_user(name, client)).count());
    Ok(Outcome::Done)
}

const ACL_DRYRUN: Command = Command::system("dryrun", Group::Server, acl_dryrun)
    .arity(-4)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("7.0.0")
    .cost("O(1).")
    .summary("Tells whether a user may run a command, without running it.")
    .syntax("username:s command:s [arg:s...]");

fn acl_dryrun(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let name = args.bytes()?;
    let request = args.rest();
    let user = engine.access.users.get(name);
    let user = user.ok_or_else(|| Fault::Raw([b"User '", name, b"' not found"].concat()))?;
    let unknown = || Fault::Raw([b"Command '", request[0], b"' not found"].concat());
    let command = engine.index.resolve(request).ok_or_else(unknown)?;
    let named_sub = command.container.is_some() || command.row.subcommands.is_empty() || request.len() == 1;
    if !named_sub {
        return Err(unknown());
    }
    if !command.row.takes(request.len()) {
        return Err(Fault::Arity(command.full_name().into()));
    }
    let denied = match user.check(command, request) {
        Ok(()) => {
            reply.ok();
            return Ok(Outcome::Done);
        }
        Err(denied) => denied,
    };
    let full_name = command.full_name();
    let (verb, object, kind): (&str, &[u8], &str) = match denied {
        Denied::Command => ("run", full_name.as_bytes(), "command"),
        Denied::Key(at) => ("access", request[at], "key"),
        Denied::Channel(at) => ("access", request[at], "channel"),
    };
    let head = format!("This user has no permissions to {verb} the '");
    reply.bulk(&[head.as_bytes(), object, b"' ", kind.as_bytes()].concat());
    Ok(Outcome::Done)
}

const ACL_GENPASS: Command = Command::system("genpass", Group::Server, acl_genpass)
    .arity(-2)
    .flags(NOSCRIPT | LOADING | STALE)
    .since("6.0.0")
    .cost("O(1)")
    .summary("Makes a password by chance.")
    .syntax("[bits:i]");

fn acl_genpass(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if args.left() > 1 {
        return Err(wrong_form(args.all()));
    }
    let bits = if args.left() > 0 { args.integer()? } else { 256 };
    if !(1..=GENERATED_BITS_MAX).contains(&bits) {
        return Err(Fault::other(format!(
            "ACL GENPASS argument must be the number of bits for the output password, a positive number up to \
             {GENERATED_BITS_MAX}"
        )));
    }
    let digits = (bits as usize).div_ceil(4);
    let mut secret = vec![0; digits.div_ceil(2)];
    engine.host.fill_secret(&mut secret);
    let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    reply.bulk(&text.as_bytes()[..digits]);
    Ok(Outcome::Done)
}

const ACL_GETUSER: Command = Command::system("getuser", Group::Server, acl_getuser)
    .arity(3)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("6.0.0")
    .cost("O(N). Where N is the number of password, command and pattern rules that the user has.")
    .summary("Returns the rights of a user.")
    .syntax("username:s");

fn acl_getuser(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let Some(user) = engine.access.users.get(args.bytes()?) else {
        reply.null();
        return Ok(Outcome::Done);
    };
    reply.map(6);
    reply.bulk(b"flags");
    let names = user.flag_names();
    reply.set(names.len());
    names.iter().for_each(|name| reply.bulk(name.as_bytes()));
    reply.bulk(b"passwords");
    let hashes = user.password_hashes();
    reply.array(hashes.len());
    hashes.iter().for_each(|hash| reply.bulk(hash.as_bytes()));
    for (nth, selector) in user.descriptions(&engine.index).iter().enumerate() {
        if nth == 1 {
            reply.bulk(b"selectors");
            reply.array(user.descriptions(&engine.index).len() - 1);
        }
        if nth > 0 {
            reply.map(3);
        }
        for (field, value) in
            [("commands", &selector.commands), ("keys", &selector.keys), ("channels", &selector.channels)]
        {
            reply.bulk(field.as_bytes());
            reply.bulk(value);
        }
    }
    if user.descriptions(&engine.index).len() == 1 {
        reply.bulk(b"selectors");
        reply.array(0);
    }
    Ok(Outcome::Done)
}

const ACL_LIST: Command = Command::system("list", Group::Server, acl_list)
    .arity(2)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("6.0.0")
    .cost("O(N). Where N is the number of configured users.")
    .summary("Lists all users in the form of an ACL file.");

fn acl_list(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply.array(engine.access.users.len());
    for (name, user) in &engine.access.users {
        reply.bulk(&[b"user ", &**name, b" ", &*user.describe(&engine.index)].concat());
    }
    Ok(Outcome::Done)
}

const NO_FILE: &str = "This Redis instance is not configured to use an ACL file. You may want to specify users via the \
                       ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration \
                       file set) in order to store users in the Redis configuration.";

/// Lets the client wait until the host has read or written the ACL file.
fn with_file(engine: &mut Engine, client: ClientId, step: Step, reply: &mut Reply<'_>) -> Run {
    if engine.config().text("aclfile").is_empty() {
        return Err(Fault::other(NO_FILE));
    }
    engine.hold(client, step, reply)
}

const ACL_LOAD: Command = Command::system("load", Group::Server, acl_load)
    .arity(2)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("6.0.0")
    .cost("O(N). Where N is the number of configured users.")
    .summary("Reads all users from the ACL file.");

fn acl_load(engine: &mut Engine, client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    with_file(engine, client, Step::LoadUsers, reply)
}

const ACL_SAVE: Command = Command::system("save", Group::Server, acl_save)
    .arity(2)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("6.0.0")
    .cost("O(N). Where N is the number of configured users.")
    .summary("Writes all users into the ACL file.");

fn acl_save(engine: &mut Engine, client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    with_file(engine, client, Step::SaveUsers, reply)
}

const ACL_LOG: Command = Command::system("log", Group::Server, acl_log)
    .arity(-2)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("6.0.0")
    .cost("O(N) with N being the number of entries shown.")
    .summary("Returns what was refused lately, or forgets it.")
    .syntax("[operation=(count:i|reset/RESET)]");

fn acl_log(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if args.left() > 1 {
        return Err(wrong_form(args.all()));
    }
    if args.word("RESET") {
        engine.access.log.clear();
        reply.ok();
        return Ok(Outcome::Done);
    }
    let wanted = if args.left() > 0 { args.integer()? } else { LOG_ENTRIES };
    let entries = engine.access.log.entries();
    let count = usize::try_from(wanted).unwrap_or(0).min(entries.len());
    let now_ms = engine.now().wall_ms();
    reply.array(count);
    for entry in entries.iter().take(count) {
        reply.map(7);
        reply.bulk(b"count");
        reply.integer(entry.count as i64);
        for (field, value) in [
            ("reason", entry.reason.as_bytes()),
            ("context", entry.context.name().as_bytes()),
            ("object", &*entry.object),
            ("username", &*entry.user),
        ] {
            reply.bulk(field.as_bytes());
            reply.bulk(value);
        }
        reply.bulk(b"age-seconds");
        reply.double(now_ms.saturating_sub(entry.at_ms) as f64 / 1000.0);
        reply.bulk(b"client-info");
        reply.bulk(&entry.client);
    }
    Ok(Outcome::Done)
}

const ACL_SETUSER: Command = Command::system("setuser", Group::Server, acl_setuser)
    .arity(-3)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("6.0.0")
    .cost("O(N). Where N is the number of rules provided.")
    .summary("Changes the rights of a user, or makes one.")
    .syntax("username:s [rule:s...]");

fn acl_setuser(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let name = args.bytes()?;
    if has_spaces(name) {
        return Err(Fault::other("Usernames can't contain spaces or null characters"));
    }
    engine.set_user(name, args.rest())?;
    reply.ok();
    Ok(Outcome::Done)
}

const ACL_USERS: Command = Command::system("users", Group::Server, acl_users)
    .arity(2)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("6.0.0")
    .cost("O(N). Where N is the number of configured users.")
    .summary("Lists the names of all users.");

fn acl_users(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply.array(engine.access.users.len());
    engine.access.users.keys().for_each(|name| reply.bulk(name));
    Ok(Outcome::Done)
}

const ACL_WHOAMI: Command = Command::system("whoami", Group::Server, acl_whoami)
    .arity(2)
    .flags(NOSCRIPT | LOADING | STALE)
    .since("6.0.0")
    .cost("O(1)")
    .summary("Returns the name of the user of the connection.");

fn acl_whoami(engine: &mut Engine, client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply.bulk(&engine.session_mut(client)?.user);
    Ok(Outcome::Done)
}
