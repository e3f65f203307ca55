//! CLIENT TRACKING and its relatives: connections that keep copies of what they read.

use std::collections::BTreeSet;

use super::help::wrong_form;
use super::prelude::*;
use crate::engine::{ClientId, Engine, TrackingMode};

pub(super) const CLIENT_TRACKING: Command = Command::system("tracking", Group::Connection, client_tracking)
    .arity(-3)
    .flags(NOSCRIPT | LOADING | STALE)
    .since("6.0.0")
    .cost("O(1). Some options may introduce additional complexity.")
    .summary("Tells the connection when keys change that it has read.")
    .syntax(
        "status=(on/ON|off/OFF) [client-id:i/REDIRECT] [prefix:s/PREFIX*...] [bcast/BCAST] [optin/OPTIN] \
         [optout/OPTOUT] [noloop/NOLOOP]",
    );

/// What the options ask for: whether tracking is to be on, how, and the prefixes as they came.
type Asked = (bool, TrackingMode, Vec<Box<[u8]>>);

fn read_mode(engine: &Engine, args: &mut Args<'_>) -> Result<Asked, Fault> {
    let status = args.bytes()?;
    let mut mode = TrackingMode::default();
    let mut prefixes: Vec<Box<[u8]>> = Vec::new();
    while args.left() > 0 {
        let word = args.bytes()?;
        let more = args.left() > 0;
        match () {
            () if is_word(word, "REDIRECT") && more => {
                if mode.redirect != 0 {
                    return Err(Fault::other("A client can only redirect to a single other client"));
                }
                let id = u64::try_from(args.integer()?).unwrap_or(u64::MAX);
                if !engine.sessions.contains_key(&ClientId(id)) {
                    return Err(Fault::other("The client ID you want redirect to does not exist"));
                }
                mode.redirect = id;
            }
            () if is_word(word, "BCAST") => mode.broadcast = true,
            () if is_word(word, "OPTIN") => mode.opt_in = true,
            () if is_word(word, "OPTOUT") => mode.opt_out = true,
            () if is_word(word, "NOLOOP") => mode.no_loop = true,
            () if is_word(word, "PREFIX") && more => prefixes.push(args.bytes()?.into()),
            () => return Err(Fault::Syntax),
        }
    }
    match () {
        () if is_word(status, "ON") => Ok((true, mode, prefixes)),
        () if is_word(status, "OFF") => Ok((false, mode, prefixes)),
        () => Err(Fault::Syntax),
    }
}

/// Checks that a new mode makes sense, by itself and after the one that the connection has.
fn check_mode(old: Option<&TrackingMode>, new: &TrackingMode, prefixes: &[Box<[u8]>]) -> Result<(), Fault> {
    let text = match () {
        () if !new.broadcast && !prefixes.is_empty() => "PREFIX option requires BCAST mode to be enabled",
        () if old.is_some_and(|old| old.broadcast != new.broadcast) => {
            "You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with \
             a different mode."
        }
        () if new.broadcast && (new.opt_in || new.opt_out) => {
            "OPTIN and OPTOUT are not compatible with BCAST"
        }
        () if new.opt_in && new.opt_out => "You can't specify both OPTIN mode and OPTOUT mode",
        () if old.is_some_and(|old| (new.opt_in && old.opt_out) || (new.opt_out && old.opt_in)) => {
            "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with \
             a different mode."
        }
        () => return Ok(()),
    };
    Err(Fault::other(text))
}

fn overlap(a: &[u8], b: &[u8]) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

fn overlapping(prefix: &[u8], which: &str, other: &[u8]) -> Fault {
    let middle = format!("' overlaps with {which} prefix '");
    Fault::Raw(
        [b"Prefix '", prefix, middle.as_bytes(), other, b"'. Prefixes for a single client must not overlap."]
            .concat(),
    )
}

fn check_prefixes(old: Option<&TrackingMode>, prefixes: &[Box<[u8]>]) -> Result<(), Fault> {
    for (nth, prefix) in prefixes.iter().enumerate() {
        let known = old.iter().flat_map(|old| &old.prefixes).find(|known| overlap(known, prefix));
        if let Some(known) = known {
            return Err(overlapping(prefix, "an existing", known));
        }
        if let Some(other) = prefixes[nth + 1..].iter().find(|other| overlap(prefix, other)) {
            return Err(overlapping(prefix, "another provided", other));
        }
    }
    Ok(())
}

fn client_tracking(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (on, mut mode, prefixes) = read_mode(engine, &mut args)?;
    if on {
        let old = engine.session_mut(client)?.tracking.as_ref();
        check_mode(old, &mode, &prefixes)?;
        if mode.broadcast {
            check_prefixes(old, &prefixes)?;
            mode.prefixes = prefixes.into_iter().collect::<BTreeSet<_>>();
        }
        engine.start_tracking(client, mode);
    } else {
        engine.stop_tracking(client);
    }
    reply.ok();
    Ok(Outcome::Done)
}

pub(super) const CLIENT_CACHING: Command = Command::system("caching", Group::Connection, client_caching)
    .arity(3)
    .flags(NOSCRIPT | LOADING | STALE)
    .since("6.0.0")
    .cost("O(1)")
    .summary("Says whether the keys of the next command are to be remembered.")
    .syntax("mode=(yes/YES|no/NO)");

fn client_caching(engine: &mut Engine, client: ClientId, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let word = args.bytes()?;
    let mode = engine.session_mut(client)?.tracking.as_mut().ok_or_else(|| {
        Fault::other(
            "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        )
    })?;
    match () {
        () if is_word(word, "YES") && mode.opt_in => mode.caching = true,
        () if is_word(word, "YES") => {
            return Err(Fault::other(
                "CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            ));
        }
        () if is_word(word, "NO") && mode.opt_out => mode.caching = true,
        () if is_word(word, "NO") => {
            return Err(Fault::other(
                "CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
            ));
        }
        () => return Err(Fault::Syntax),
    }
    reply.ok();
    Ok(Outcome::Done)
}

pub(super) const CLIENT_GETREDIR: Command = Command::system("getredir", Group::Connection, client_getredir)
    .arity(2)
    .flags(NOSCRIPT | LOADING | STALE)
    .since("6.0.0")
    .cost("O(1)")
    .summary("Returns the connection that is told of changes instead of this one.");

/// The number of the connection that is told instead; 0 if it is told itself, -1 if nobody is.
fn redirect(mode: Option<&TrackingMode>) -> i64 {
    mode.map_or(-1, |mode| mode.redirect as i64)
}

fn client_getredir(engine: &mut Engine, client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply.integer(redirect(engine.session_mut(client)?.tracking.as_ref()));
    Ok(Outcome::Done)
}

pub(super) const CLIENT_TRACKINGINFO: Command =
    Command::system("trackinginfo", Group::Connection, client_trackinginfo)
        .arity(2)
        .flags(NOSCRIPT | LOADING | STALE)
        .since("6.2.0")
        .cost("O(1)")
        .summary("Returns how the connection is told of changes.");

fn client_trackinginfo(engine: &mut Engine, client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    if args.left() > 0 {
        return Err(wrong_form(args.all()));
    }
    let mode = engine.session_mut(client)?.tracking.as_ref();
    let is = |property: fn(&TrackingMode) -> bool| mode.is_some_and(property);
    let names: Vec<&str> = [
        (mode.is_some(), "on"),
        (mode.is_none(), "off"),
        (is(|mode| mode.broadcast), "bcast"),
        (is(|mode| mode.opt_in), "optin"),
        (is(|mode| mode.opt_in && mode.caching), "caching-yes"),
        (is(|mode| mode.opt_out), "optout"),
        (is(|mode| mode.opt_out && mode.caching), "caching-no"),
        (is(|mode| mode.no_loop), "noloop"),
        (is(|mode| mode.broken), "broken_redirect"),
    ]
    .into_iter()
    .filter_map(|(set, name)| set.then_some(name))
    .collect();
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(names.len());
    names.iter().for_each(|name| reply.bulk(name.as_bytes()));
    reply.bulk(b"redirect");
    reply.integer(redirect(mode));
    reply.bulk(b"prefixes");
    let prefixes = mode.map(|mode| &mode.prefixes);
    reply.array(prefixes.map_or(0, BTreeSet::len));
    prefixes.into_iter().flatten().for_each(|prefix| reply.bulk(prefix));
    Ok(Outcome::Done)
}
