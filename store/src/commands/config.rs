//! CONFIG: the directives of the configuration, at run time.

use super::prelude::*;
use crate::config::{self, ConfigFault};
use crate::engine::{ClientId, Engine, Output, Step};

pub(super) const ROWS: &[Command] = &[CONFIG];

const CONFIG: Command =
    Command::container("config", Group::Server, &[CONFIG_GET, CONFIG_SET, CONFIG_RESETSTAT, CONFIG_REWRITE])
        .since("2.0.0")
        .summary("A container for commands about the configuration.");

const CONFIG_GET: Command = Command::system("get", Group::Server, config_get)
    .arity(-3)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("2.0.0")
    .cost("O(N) when N is the number of configuration parameters provided")
    .summary("Returns directives of the configuration.")
    .syntax("parameter={parameter:s}...");

fn config_get(engine: &mut Engine, _client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let mut found = std::collections::BTreeMap::new();
    for pattern in args.rest() {
        let pattern = String::from_utf8_lossy(pattern).to_ascii_lowercase();
        found.extend(engine.config().matching(&pattern));
    }
    reply.map(found.len());
    for (name, value) in found {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    Ok(Outcome::Done)
}

/// Directives whose change may fail in the world, so that the client has to wait for it.
const WORLDLY: &[&str] = &["bind", "dir", "port", "oom-score-adj", "oom-score-adj-values"];

/// The error of CONFIG SET for one of its pairs.
fn failed(name: &str, reason: &str) -> Fault {
    Fault::other(format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}"))
}

const CONFIG_SET: Command = Command::system("set", Group::Server, config_set)
    .arity(-4)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("2.0.0")
    .cost("O(N) when N is the number of configuration parameters provided")
    .summary("Sets directives of the configuration.")
    .syntax("parameter_value={parameter:s value:s}...")
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]);

fn config_set(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let pairs = args.rest();
    if !pairs.len().is_multiple_of(2) {
        return Err(Fault::Syntax);
    }
    let is_local = engine.session_mut(client)?.peer.is_local();
    let may_be_protected = engine.config().allows_protected_directives(is_local);
    // All or nothing: the pairs are tried on a copy.
    let mut changed = engine.config().clone();
    let mut names = Vec::new();
    for pair in pairs.chunks_exact(2) {
        let (name, value) = (String::from_utf8_lossy(pair[0]), String::from_utf8_lossy(pair[1]));
        let unknown =
            || Fault::other(format!("Unknown option or number of arguments for CONFIG SET - '{name}'"));
        let directive = config::find(&name).ok_or_else(unknown)?;
        if directive.immutable {
            return Err(failed(&name, "can't set immutable config"));
        }
        if directive.protected && !may_be_protected {
            return Err(failed(&name, "can't set protected config"));
        }
        if engine.is_loading() && directive.not_while_loading {
            return Err(Fault::Loading);
        }
        if names.contains(&directive.name) {
            return Err(failed(&name, "duplicate parameter"));
        }
        let words: Vec<&str> = match directive.kind {
            config::Kind::Special => value.split_ascii_whitespace().collect(),
            _ => vec![&value],
        };
        changed.set(&name, &words).map_err(|fault| match fault {
            ConfigFault::Invalid { reason, .. } => failed(&name, &reason),
            other => failed(&name, &other.to_string()),
        })?;
        names.push(directive.name);
    }
    let worldly = names.iter().copied().find(|name| WORLDLY.contains(name));
    let session = engine.session_mut(client)?;
    if let Some(name) = worldly
        && session.in_exec
    {
        return Err(failed(name, "can't be set inside a transaction"));
    }
    session.held = worldly.is_some();
    let before = Box::new(std::mem::replace(&mut engine.config, changed));
    engine.apply_config();
    if names.contains(&"requirepass") {
        engine.apply_password();
    }
    let step = Step::ConfigChanged { names, before };
    engine.outputs.push(Output::Step { client: worldly.map(|_| client), step });
    if worldly.is_none() {
        reply.ok();
    }
    Ok(Outcome::Done)
}

const CONFIG_RESETSTAT: Command = Command::system("resetstat", Group::Server, config_resetstat)
    .arity(2)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("2.0.0")
    .cost("O(1)")
    .summary("Begins the counters of INFO again.");

fn config_resetstat(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    engine.stats.reset();
    engine.data.counters = crate::txn::DataCounters::default();
    engine.replication.counters = crate::replication::SyncCounters::default();
    reply.ok();
    Ok(Outcome::Done)
}

const CONFIG_REWRITE: Command = Command::system("rewrite", Group::Server, config_rewrite)
    .arity(2)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE)
    .since("2.8.0")
    .cost("O(1)")
    .summary("Writes the directives that were changed into the configuration file.");

fn config_rewrite(engine: &mut Engine, client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    engine.hold(client, Step::RewriteConfig { all: false }, reply)
}
