//! HELP of every container: made from the rows of its subcommands.

use super::prelude::*;
use crate::command::syntax::{self, Argument, Kind};
use crate::engine::{ClientId, Engine};
use crate::limits::ECHO_MAX;

static OF_SERVER: Command = row(Group::Server);
static OF_CONNECTION: Command = row(Group::Connection);
static OF_SCRIPTING: Command = row(Group::Scripting);
static OF_KEYS: Command = row(Group::Generic);
static OF_STREAMS: Command = row(Group::Stream);

/// The row that a container gets which has none of its own: whoever may use a group may ask for its help.
pub(crate) fn help_of(container: &Command) -> Option<&'static Command> {
    if container.subcommands.is_empty() || container.subcommands.iter().any(|row| row.name == "help") {
        return None;
    }
    Some(match container.group {
        Group::Scripting => &OF_SCRIPTING,
        Group::Generic => &OF_KEYS,
        Group::Stream => &OF_STREAMS,
        Group::Connection => &OF_CONNECTION,
        _ if container.categories & CONNECTION != 0 => &OF_CONNECTION,
        _ => &OF_SERVER,
    })
}

const fn row(group: Group) -> Command {
    Command::system("help", group, help)
        .arity(2)
        .flags(LOADING | STALE)
        .since("5.0.0")
        .summary("Lists the subcommands.")
}

fn help(engine: &mut Engine, _client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let container = args.all().first().and_then(|name| engine.index.find(name)).ok_or(Fault::Syntax)?;
    let name = container.row.name.to_ascii_uppercase();
    let mut lines = vec![format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")];
    for row in container.row.subcommands.iter().chain(help_of(container.row)) {
        let usage = syntax::parse(row.syntax).iter().map(usage).collect::<Vec<_>>().join(" ");
        lines.push(format!("{} {usage}", row.name.to_ascii_uppercase()).trim_end().to_owned());
        lines.push(format!("    {}", row.summary));
    }
    reply.array(lines.len());
    lines.iter().for_each(|line| reply.status(line));
    Ok(Outcome::Done)
}

/// The error of a subcommand that is called with a number of arguments which its arity allows and its form does not.
pub(super) fn wrong_form(args: &[&[u8]]) -> Fault {
    let name = args.get(1).copied().unwrap_or_default();
    let container = args.first().copied().unwrap_or_default().to_ascii_uppercase();
    Fault::Raw(
        [
            b"unknown subcommand or wrong number of arguments for '",
            &name[..name.len().min(ECHO_MAX)],
            b"'. Try ",
            &*container,
            b" HELP.",
        ]
        .concat(),
    )
}

/// An argument as manuals write it.
fn usage(argument: &Argument) -> String {
    let inner = |separator: &str| argument.arguments.iter().map(usage).collect::<Vec<_>>().join(separator);
    let value = match argument.kind {
        Kind::PureToken => String::new(),
        Kind::OneOf => format!("({})", inner("|")),
        Kind::Block => inner(" "),
        _ => format!("<{}>", argument.name),
    };
    let words = [argument.token.clone().unwrap_or_default(), value];
    let mut text = words.iter().filter(|word| !word.is_empty()).cloned().collect::<Vec<_>>().join(" ");
    if argument.multiple {
        text = format!("{text} [{text} ...]");
    }
    if argument.optional { format!("[{text}]") } else { text }
}
