//! COMMAND: the rows of all commands, as clients may ask for them.

use super::prelude::*;
use crate::command::index::Callable;
use crate::command::syntax::{self, Argument};
use crate::engine::{ClientId, Engine};
use crate::glob;

pub(super) const ROWS: &[Command] = &[COMMAND_ROW];

const COMMAND_ROW: Command = Command {
    subcommands: &[
        COMMAND_COUNT,
        COMMAND_INFO,
        COMMAND_DOCS,
        COMMAND_LIST,
        COMMAND_GETKEYS,
        COMMAND_GETKEYSANDFLAGS,
    ],
    ..COMMAND
};

const COMMAND: Command = Command::system("command", Group::Server, command)
    .arity(-1)
    .flags(LOADING | STALE)
    .categories(CONNECTION)
    .since("2.8.13")
    .cost("O(N) where N is the total number of Redis commands")
    .summary("Describes all commands.")
    .tips(&["nondeterministic_output_order"]);

fn command(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let all: Vec<Callable> = engine.index.top_level().collect();
    reply.array(all.len());
    all.iter().for_each(|callable| write_info(*callable, reply));
    Ok(Outcome::Done)
}

const COMMAND_COUNT: Command = Command::system("count", Group::Server, command_count)
    .arity(2)
    .flags(LOADING | STALE)
    .categories(CONNECTION)
    .since("2.8.13")
    .cost("O(1)")
    .summary("Returns the number of commands.");

fn command_count(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply.count(engine.index.top_level().count());
    Ok(Outcome::Done)
}

const COMMAND_INFO: Command = Command::system("info", Group::Server, command_info)
    .arity(-2)
    .flags(LOADING | STALE)
    .categories(CONNECTION)
    .since("2.8.13")
    .cost("O(N) where N is the number of commands to look up")
    .summary("Describes commands.")
    .syntax("[command-name:s...]")
    .tips(&["nondeterministic_output_order"]);

fn command_info(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if args.left() == 0 {
        return command(engine, client, args, reply);
    }
    let names = args.rest();
    reply.array(names.len());
    for name in names {
        match engine.index.find_full(name) {
            Some(callable) => write_info(callable, reply),
            None => reply.null(),
        }
    }
    Ok(Outcome::Done)
}

/// First key, last key and step, for clients that know no key specifications.
fn legacy_range(row: &Command) -> (i64, i64, i64) {
    let ranges = row.keys.iter().filter_map(|spec| match (spec.begin, spec.find) {
        (Begin::Index(first), Find::Range { last, step, .. }) => {
            let last = if last >= 0 { first as i64 + i64::from(last) } else { i64::from(last) };
            Some((first as i64, last, step as i64))
        }
        _ => None,
    });
    let mut merged: Option<(i64, i64, i64)> = None;
    for (first, last, step) in ranges {
        merged = match merged {
            None => Some((first, last, step)),
            Some((start, end, 1)) if step == 1 && end + 1 == first => Some((start, last, 1)),
            other => other,
        };
    }
    merged.unwrap_or((0, 0, 0))
}

/// Whether the legacy range does not tell all keys.
fn keys_move(row: &Command) -> bool {
    row.keys.iter().any(|spec| {
        let plain = matches!((spec.begin, spec.find), (Begin::Index(_), Find::Range { .. }));
        !plain || spec.flags & Key::INCOMPLETE != 0
    })
}

/// The subcommands, HELP among them.
fn children(row: &'static Command) -> Vec<&'static Command> {
    row.subcommands.iter().chain(super::help_of(row)).collect()
}

/// Flags that Redis keeps to itself.
const HIDDEN_FLAGS: u32 = MAY_REPLICATE | PROTECTED | TOUCHES_ARBITRARY_KEYS | ALLDBS;

fn write_info(callable: Callable, reply: &mut Reply<'_>) {
    let row = callable.row;
    let (first, last, step) = legacy_range(row);
    reply.array(10);
    reply.bulk(callable.full_name().as_bytes());
    reply.integer(i64::from(row.arity));
    let shown = NAMES.iter().filter(|(flag, _)| row.is(*flag) && HIDDEN_FLAGS & flag == 0);
    let mut names: Vec<&str> = shown.map(|&(_, name)| name).collect();
    if keys_move(row) {
        names.push("movablekeys");
    }
    reply.set(names.len());
    names.iter().for_each(|name| reply.status(name));
    [first, last, step].into_iter().for_each(|number| reply.integer(number));
    let categories = row.all_categories();
    let named: Vec<&str> =
        CATEGORIES.iter().filter(|(_, bit)| categories & bit != 0).map(|&(name, _)| name).collect();
    reply.set(named.len());
    named.iter().for_each(|name| reply.status(&format!("@{name}")));
    reply.set(row.tips.len());
    row.tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(row.keys.len());
    row.keys.iter().for_each(|spec| write_key_spec(spec, reply));
    let children = children(row);
    reply.set(children.len());
    for child in children {
        write_info(Callable { row: child, container: Some(row), id: 0 }, reply);
    }
}

fn write_key_flags(flags: u16, reply: &mut Reply<'_>) {
    let names: Vec<&str> =
        Key::NAMES.iter().filter(|(flag, _)| flags & flag != 0).map(|&(_, name)| name).collect();
    reply.set(names.len());
    names.iter().for_each(|name| reply.status(name));
}

fn write_key_spec(spec: &KeySpec, reply: &mut Reply<'_>) {
    reply.map(3);
    reply.bulk(b"flags");
    write_key_flags(spec.flags, reply);
    reply.bulk(b"begin_search");
    match spec.begin {
        Begin::Unknown => write_spec_part("unknown", &[], reply),
        Begin::Index(index) => write_spec_part("index", &[("index", index as i64)], reply),
        Begin::Keyword(word, from) => {
            write_spec_head("keyword", 2, reply);
            reply.bulk(b"keyword");
            reply.bulk(word.as_bytes());
            reply.bulk(b"startfrom");
            reply.integer(i64::from(from));
        }
    }
    reply.bulk(b"find_keys");
    match spec.find {
        Find::Unknown | Find::Custom(_) => write_spec_part("unknown", &[], reply),
        Find::Range { last, step, limit } => {
            let parts = [("lastkey", i64::from(last)), ("keystep", step as i64), ("limit", limit as i64)];
            write_spec_part("range", &parts, reply);
        }
        Find::Count { count, first, step } => {
            let parts = [("keynumidx", count as i64), ("firstkey", first as i64), ("keystep", step as i64)];
            write_spec_part("keynum", &parts, reply);
        }
    }
}

fn write_spec_head(kind: &str, parts: usize, reply: &mut Reply<'_>) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(parts);
}

fn write_spec_part(kind: &str, parts: &[(&str, i64)], reply: &mut Reply<'_>) {
    write_spec_head(kind, parts.len(), reply);
    for (name, value) in parts {
        reply.bulk(name.as_bytes());
        reply.integer(*value);
    }
}

const COMMAND_DOCS: Command = Command::system("docs", Group::Server, command_docs)
    .arity(-2)
    .flags(LOADING | STALE)
    .categories(CONNECTION)
    .since("7.0.0")
    .cost("O(N) where N is the number of commands to look up")
    .summary("Returns the documentation of commands.")
    .syntax("[command-name:s...]")
    .tips(&["nondeterministic_output_order"]);

fn command_docs(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let named: Vec<Callable> = args.rest().iter().filter_map(|name| engine.index.find_full(name)).collect();
    let asked = !args.all().get(2..).unwrap_or_default().is_empty();
    let all = if asked { named } else { engine.index.top_level().collect() };
    reply.map(all.len());
    for callable in all {
        reply.bulk(callable.full_name().as_bytes());
        write_docs(callable, reply);
    }
    Ok(Outcome::Done)
}

fn write_docs(callable: Callable, reply: &mut Reply<'_>) {
    let row = callable.row;
    let arguments = syntax::parse(row.syntax);
    let extras = usize::from(!arguments.is_empty()) + usize::from(!row.subcommands.is_empty());
    reply.map(4 + extras);
    for (field, text) in [
        ("summary", row.summary),
        ("since", row.since),
        ("group", row.group.name()),
        ("complexity", row.cost),
    ] {
        reply.bulk(field.as_bytes());
        reply.bulk(text.as_bytes());
    }
    if !arguments.is_empty() {
        reply.bulk(b"arguments");
        write_arguments(&arguments, reply);
    }
    if !row.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        let children = children(row);
        reply.map(children.len());
        for child in children {
            let child = Callable { row: child, container: Some(row), id: 0 };
            reply.bulk(child.full_name().as_bytes());
            write_docs(child, reply);
        }
    }
}

fn write_arguments(arguments: &[Argument], reply: &mut Reply<'_>) {
    reply.array(arguments.len());
    for argument in arguments {
        let flags: Vec<&str> = [
            (argument.optional, "optional"),
            (argument.multiple, "multiple"),
            (argument.multiple_token, "multiple_token"),
        ]
        .into_iter()
        .filter(|(set, _)| *set)
        .map(|(_, name)| name)
        .collect();
        let optional_parts = [
            argument.key_spec.is_some(),
            argument.token.is_some(),
            argument.since.is_some(),
            !flags.is_empty(),
            !argument.arguments.is_empty(),
        ];
        reply.map(2 + optional_parts.iter().filter(|&&part| part).count());
        reply.bulk(b"name");
        reply.bulk(argument.name.as_bytes());
        reply.bulk(b"type");
        reply.bulk(argument.kind.name().as_bytes());
        if let Some(index) = argument.key_spec {
            reply.bulk(b"key_spec_index");
            reply.count(index);
        }
        for (field, text) in [("token", &argument.token), ("since", &argument.since)] {
            if let Some(text) = text {
                reply.bulk(field.as_bytes());
                reply.bulk(text.as_bytes());
            }
        }
        if !flags.is_empty() {
            reply.bulk(b"flags");
            reply.set(flags.len());
            flags.iter().for_each(|flag| reply.status(flag));
        }
        if !argument.arguments.is_empty() {
            reply.bulk(b"arguments");
            write_arguments(&argument.arguments, reply);
        }
    }
}

const COMMAND_LIST: Command = Command::system("list", Group::Server, command_list)
    .arity(-2)
    .flags(LOADING | STALE)
    .categories(CONNECTION)
    .since("7.0.0")
    .cost("O(N) where N is the total number of Redis commands")
    .summary("Lists the names of commands.")
    .syntax("[filterby=(module-name:s/MODULE|category:s/ACLCAT|pattern:p/PATTERN)/FILTERBY]")
    .tips(&["nondeterministic_output_order"]);

fn command_list(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let mut keep: Box<dyn Fn(&Callable) -> bool> = Box::new(|_| true);
    if args.left() > 0 {
        if args.left() != 3 || !args.word("FILTERBY") {
            return Err(Fault::Syntax);
        }
        let (kind, value) = (args.bytes()?, args.bytes()?);
        keep = match () {
            () if is_word(kind, "MODULE") => Box::new(|_| false),
            () if is_word(kind, "ACLCAT") => {
                let name = String::from_utf8_lossy(value).to_ascii_lowercase();
                match category(&name) {
                    Some(bit) => Box::new(move |callable| callable.row.all_categories() & bit != 0),
                    None => Box::new(|_| false),
                }
            }
            () if is_word(kind, "PATTERN") => {
                Box::new(move |callable| glob::matches_nocase(value, callable.full_name().as_bytes()))
            }
            () => return Err(Fault::Syntax),
        };
    }
    let names: Vec<String> =
        engine.index.all().iter().filter(|callable| keep(callable)).map(Callable::full_name).collect();
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name.as_bytes()));
    Ok(Outcome::Done)
}

/// The keys of a request and what happens to them.
fn keys_of(engine: &Engine, request: &[&[u8]]) -> Result<Vec<(usize, u16)>, Fault> {
    let names_no_child = |callable: &Callable| {
        callable.container.is_none() && !callable.row.subcommands.is_empty() && request.len() > 1
    };
    let callable = engine
        .index
        .resolve(request)
        .filter(|callable| !names_no_child(callable))
        .ok_or_else(|| Fault::other("Invalid command specified"))?;
    if callable.row.keys.iter().all(|spec| spec.flags & Key::NOT_KEY != 0) {
        return Err(Fault::other("The command has no key arguments"));
    }
    if !callable.row.takes(request.len()) {
        return Err(Fault::other("Invalid number of arguments specified for command"));
    }
    let mut keys = callable.row.key_positions(request);
    keys.retain(|(_, flags)| flags & Key::NOT_KEY == 0);
    if callable.row.counts_keys_loosely(request) {
        // Redis finds them in another way then, which knows nothing of what is done with them.
        keys.iter_mut().for_each(|(_, flags)| *flags = 0);
    }
    if keys.is_empty() && !callable.row.is(NO_MANDATORY_KEYS) {
        return Err(Fault::other("Invalid arguments specified for command"));
    }
    Ok(keys)
}

const COMMAND_GETKEYS: Command = Command::system("getkeys", Group::Server, command_getkeys)
    .arity(-4)
    .flags(LOADING | STALE)
    .categories(CONNECTION)
    .since("2.8.13")
    .cost("O(N) where N is the number of arguments to the command")
    .summary("Returns the keys among the arguments of a command.");

fn command_getkeys(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let request = args.rest();
    let keys = keys_of(engine, request)?;
    reply.array(keys.len());
    keys.iter().for_each(|&(index, _)| reply.bulk(request[index]));
    Ok(Outcome::Done)
}

const COMMAND_GETKEYSANDFLAGS: Command =
    Command::system("getkeysandflags", Group::Server, command_getkeysandflags)
        .arity(-4)
        .flags(LOADING | STALE)
        .categories(CONNECTION)
        .since("7.0.0")
        .cost("O(N) where N is the number of arguments to the command")
        .summary("Returns the keys among the arguments of a command, and what it does with them.");

fn command_getkeysandflags(
    engine: &mut Engine,
    _client: ClientId,
    mut args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Run {
    let request = args.rest();
    let keys = keys_of(engine, request)?;
    reply.array(keys.len());
    for (index, flags) in keys {
        reply.array(2);
        reply.bulk(request[index]);
        write_key_flags(flags, reply);
    }
    Ok(Outcome::Done)
}
