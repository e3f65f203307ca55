//! `docs/commands.md` is made from the rows of the commands, and says what they say.
//!
//! After a change of a row: `PBJ_WRITE_DOCS=1 cargo test -p pbj-tests --test tidy`.

use std::fmt::Write;
use std::fs;

use pbj_store::command::index::Callable;
use pbj_store::command::syntax::{Argument, Kind, parse};
use pbj_store::command::{Command, Group};
use pbj_tests::lab::server::{ServerOptions, engine};

use crate::tree::root;

const HEAD: &str = "# All commands

Made from the rows in the code (`COMMAND DOCS` tells the same to clients); a test keeps it true. What the commands of
the queue mean, with their replies: [queue.md](queue.md). Those of Redis behave as in Redis 7.0.15, later ones as in the
version that brought them: see their [documentation](https://valkey.io/commands/), and [what differs](differences.md).
";

/// The order of the chapters: ours first.
const GROUPS: [(Group, &str); 19] = [
    (Group::Job, "Jobs and queues"),
    (Group::Cron, "Schedules"),
    (Group::Lock, "Locks"),
    (Group::Generic, "Keys"),
    (Group::String, "Strings"),
    (Group::Bitmap, "Bitmaps"),
    (Group::List, "Lists"),
    (Group::Hash, "Hashes"),
    (Group::Set, "Sets"),
    (Group::SortedSet, "Sorted sets"),
    (Group::Stream, "Streams"),
    (Group::Geo, "Geo"),
    (Group::Hyperloglog, "HyperLogLog"),
    (Group::Pubsub, "Publish and subscribe"),
    (Group::Transactions, "Transactions"),
    (Group::Scripting, "Scripts and functions"),
    (Group::Connection, "Connections"),
    (Group::Server, "Server"),
    (Group::Cluster, "Cluster"),
];

#[test]
fn the_page_of_commands_is_true() {
    let path = root().join("docs/commands.md");
    let engine = engine(pbj_store::time::Now::default(), &ServerOptions::default());
    let page = page(engine.commands().all());
    if std::env::var_os("PBJ_WRITE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/commands.md is old; PBJ_WRITE_DOCS=1 cargo test -p pbj-tests --test tidy");
}

fn page(all: &[Callable]) -> String {
    let mut page = HEAD.to_owned();
    for (group, title) in GROUPS {
        let mut rows: Vec<(String, &Command)> = all
            .iter()
            .filter(|callable| callable.row.group == group && callable.row.subcommands.is_empty())
            .map(|callable| (callable.full_name().replace('|', " ").to_uppercase(), callable.row))
            .collect();
        rows.sort_by(|one, other| one.0.cmp(&other.0));
        if rows.is_empty() {
            continue;
        }
        writeln!(page, "\n## {title}\n\n| command | since | what it does |\n|---|---|---|").unwrap();
        for (name, row) in rows {
            let form = format!("{name} {}", usage(&parse(row.syntax)));
            let form = form.trim_end().replace('|', "\\|");
            writeln!(page, "| `{form}` | {} | {} |", row.since, row.summary).unwrap();
        }
    }
    page
}

/// Arguments as people read them: `key value [NX | XX] [EX seconds]`.
fn usage(arguments: &[Argument]) -> String {
    arguments.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn one(argument: &Argument) -> String {
    let inner = match argument.kind {
        Kind::OneOf => argument.arguments.iter().map(one).collect::<Vec<_>>().join(" | "),
        Kind::Block => usage(&argument.arguments),
        Kind::PureToken => String::new(),
        _ => argument.name.clone(),
    };
    let repeated = match (argument.multiple, &argument.token) {
        (true, Some(token)) if argument.multiple_token => format!("{inner} [{token} {inner} ...]"),
        (true, _) => format!("{inner} [{inner} ...]"),
        (false, _) => inner,
    };
    let whole = match &argument.token {
        Some(token) if token.is_empty() => "\"\"".to_owned(),
        Some(token) => format!("{token} {repeated}").trim_end().to_owned(),
        None => repeated,
    };
    match (argument.optional, argument.kind) {
        (true, _) => format!("[{whole}]"),
        (false, Kind::OneOf) => format!("<{whole}>"),
        (false, _) => whole,
    }
}
