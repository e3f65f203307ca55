//! Publish and subscribe.

use super::help::wrong_form;
use super::prelude::*;
use crate::engine::{ClientId, Engine, Scope};
use crate::glob;

pub(super) const ROWS: &[Command] = &[
    SUBSCRIBE,
    PSUBSCRIBE,
    SSUBSCRIBE,
    UNSUBSCRIBE,
    PUNSUBSCRIBE,
    SUNSUBSCRIBE,
    PUBLISH,
    SPUBLISH,
    CONTAINER,
];

const CONTAINER: Command = Command::container(
    "pubsub",
    Group::Pubsub,
    &[PUBSUB_CHANNELS, PUBSUB_SHARDCHANNELS, PUBSUB_NUMSUB, PUBSUB_SHARDNUMSUB, PUBSUB_NUMPAT],
)
.since("2.8.0")
.summary("A container for commands about publish and subscribe.");

/// How many subscriptions a confirmation reports.
fn total(engine: &mut Engine, client: ClientId, scope: Scope) -> Result<usize, Fault> {
    let session = engine.session_mut(client)?;
    Ok(if scope == Scope::Shard { session.shard_channels.len() } else { session.subscriptions() })
}

fn subscribe_to(
    engine: &mut Engine,
    client: ClientId,
    mut args: Args<'_>,
    reply: &mut Reply<'_>,
    (scope, kind): (Scope, &str),
) -> Run {
    engine.publish_events();
    for channel in args.rest() {
        if engine.session_mut(client)?.subscribed(scope).insert((*channel).into()) {
            engine.channels.add(scope, channel, client);
        }
        let count = total(engine, client, scope)?;
        reply.push(3);
        reply.bulk(kind.as_bytes());
        reply.bulk(channel);
        reply.count(count);
    }
    Ok(Outcome::Done)
}

fn unsubscribe_from(
    engine: &mut Engine,
    client: ClientId,
    mut args: Args<'_>,
    reply: &mut Reply<'_>,
    (scope, kind): (Scope, &str),
) -> Run {
    engine.publish_events();
    let named: Vec<Box<[u8]>> = args.rest().iter().map(|&channel| channel.into()).collect();
    let channels = if named.is_empty() {
        engine.session_mut(client)?.subscribed(scope).iter().cloned().collect()
    } else {
        named
    };
    if channels.is_empty() {
        let count = total(engine, client, scope)?;
        reply.push(3);
        reply.bulk(kind.as_bytes());
        reply.null();
        reply.count(count);
    }
    for channel in channels {
        if engine.session_mut(client)?.subscribed(scope).remove(&channel) {
            engine.channels.remove(scope, &channel, client);
        }
        let count = total(engine, client, scope)?;
        reply.push(3);
        reply.bulk(kind.as_bytes());
        reply.bulk(&channel);
        reply.count(count);
    }
    Ok(Outcome::Done)
}

const SUBSCRIBE: Command = Command::system("subscribe", Group::Pubsub, subscribe)
    .arity(-2)
    .flags(PUBSUB | NOSCRIPT | LOADING | STALE)
    .since("2.0.0")
    .cost("O(N) where N is the number of channels to subscribe to.")
    .summary("Listens to channels.")
    .syntax("channel:s...");

fn subscribe(engine: &mut Engine, client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    subscribe_to(engine, client, args, reply, (Scope::Channel, "subscribe"))
}

const PSUBSCRIBE: Command = Command::system("psubscribe", Group::Pubsub, psubscribe)
    .arity(-2)
    .flags(PUBSUB | NOSCRIPT | LOADING | STALE)
    .since("2.0.0")
    .cost("O(N) where N is the number of patterns the client is already subscribed to.")
    .summary("Listens to the channels that match patterns.")
    .syntax("pattern={pattern:p}...");

fn psubscribe(engine: &mut Engine, client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    subscribe_to(engine, client, args, reply, (Scope::Pattern, "psubscribe"))
}

const SSUBSCRIBE: Command = Command::system("ssubscribe", Group::Pubsub, ssubscribe)
    .arity(-2)
    .flags(PUBSUB | NOSCRIPT | LOADING | STALE)
    .keys(&[Key::range(1, -1, 1, Key::NOT_KEY)])
    .since("7.0.0")
    .cost("O(N) where N is the number of shard channels to subscribe to.")
    .summary("Listens to shard channels.")
    .syntax("shardchannel:s...");

fn ssubscribe(engine: &mut Engine, client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    // Who expects one reply for each command cannot do with one for each channel. SUBSCRIBE is allowed for the sake of
    // old programs.
    if engine.session_mut(client)?.in_exec {
        return Err(Fault::other("SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    subscribe_to(engine, client, args, reply, (Scope::Shard, "ssubscribe"))
}

const UNSUBSCRIBE: Command = Command::system("unsubscribe", Group::Pubsub, unsubscribe)
    .arity(-1)
    .flags(PUBSUB | NOSCRIPT | LOADING | STALE)
    .since("2.0.0")
    .cost("O(N) where N is the number of clients already subscribed to a channel.")
    .summary("Stops listening to channels.")
    .syntax("[channel:s...]");

fn unsubscribe(engine: &mut Engine, client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    unsubscribe_from(engine, client, args, reply, (Scope::Channel, "unsubscribe"))
}

const PUNSUBSCRIBE: Command = Command::system("punsubscribe", Group::Pubsub, punsubscribe)
    .arity(-1)
    .flags(PUBSUB | NOSCRIPT | LOADING | STALE)
    .since("2.0.0")
    .cost("O(N+M)")
    .summary("Stops listening to patterns.")
    .syntax("[pattern:p...]");

fn punsubscribe(engine: &mut Engine, client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    unsubscribe_from(engine, client, args, reply, (Scope::Pattern, "punsubscribe"))
}

const SUNSUBSCRIBE: Command = Command::system("sunsubscribe", Group::Pubsub, sunsubscribe)
    .arity(-1)
    .flags(PUBSUB | NOSCRIPT | LOADING | STALE)
    .keys(&[Key::range(1, -1, 1, Key::NOT_KEY)])
    .since("7.0.0")
    .cost("O(N) where N is the number of clients already subscribed to a shard channel.")
    .summary("Stops listening to shard channels.")
    .syntax("[shardchannel:s...]");

fn sunsubscribe(engine: &mut Engine, client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    unsubscribe_from(engine, client, args, reply, (Scope::Shard, "sunsubscribe"))
}

fn publish_in(
    engine: &mut Engine,
    client: ClientId,
    mut args: Args<'_>,
    reply: &mut Reply<'_>,
    scope: Scope,
) -> Run {
    engine.publish_events();
    let (channel, message) = (args.bytes()?, args.bytes()?);
    reply.count(engine.publish(scope, channel, message));
    // A replica passes on what its master publishes; what it publishes itself is heard by its own clients.
    if !engine.is_replica() {
        let db = engine.session_mut(client)?.db;
        engine.data.feed.effect_for_replicas(Some(db), args.all());
    }
    Ok(Outcome::Done)
}

const PUBLISH: Command = Command::system("publish", Group::Pubsub, publish)
    .arity(3)
    .flags(PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE)
    .since("2.0.0")
    .cost("O(N+M)")
    .summary("Sends a message to a channel.")
    .syntax("channel:s message:s");

fn publish(engine: &mut Engine, client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    publish_in(engine, client, args, reply, Scope::Channel)
}

const SPUBLISH: Command = Command::system("spublish", Group::Pubsub, spublish)
    .arity(3)
    .flags(PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE)
    .keys(&[Key::at(1, Key::NOT_KEY)])
    .since("7.0.0")
    .cost("O(N) where N is the number of clients subscribed to the receiving shard channel.")
    .summary("Sends a message to a shard channel.")
    .syntax("shardchannel:s message:s");

fn spublish(engine: &mut Engine, client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    publish_in(engine, client, args, reply, Scope::Shard)
}

fn list_channels(engine: &Engine, mut args: Args<'_>, reply: &mut Reply<'_>, scope: Scope) -> Run {
    if args.left() > 1 {
        return Err(wrong_form(args.all()));
    }
    let pattern = args.rest().first().copied();
    let mut channels: Vec<&[u8]> = engine
        .channels
        .of(scope)
        .keys()
        .map(|channel| &**channel)
        .filter(|channel| pattern.is_none_or(|pattern| glob::matches(pattern, channel)))
        .collect();
    channels.sort_unstable();
    reply.array(channels.len());
    channels.iter().for_each(|channel| reply.bulk(channel));
    Ok(Outcome::Done)
}

fn count_listeners(engine: &Engine, mut args: Args<'_>, reply: &mut Reply<'_>, scope: Scope) -> Run {
    let channels = args.rest();
    reply.array(2 * channels.len());
    for channel in channels {
        reply.bulk(channel);
        reply.count(engine.channels.of(scope).get(*channel).map_or(0, std::collections::BTreeSet::len));
    }
    Ok(Outcome::Done)
}

const PUBSUB_CHANNELS: Command = Command::system("channels", Group::Pubsub, pubsub_channels)
    .arity(-2)
    .flags(PUBSUB | LOADING | STALE)
    .since("2.8.0")
    .cost("O(N)")
    .summary("Lists the channels somebody listens to.")
    .syntax("[pattern:p]");

fn pubsub_channels(engine: &mut Engine, _client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    list_channels(engine, args, reply, Scope::Channel)
}

const PUBSUB_SHARDCHANNELS: Command = Command::system("shardchannels", Group::Pubsub, pubsub_shardchannels)
    .arity(-2)
    .flags(PUBSUB | LOADING | STALE)
    .since("7.0.0")
    .cost("O(N)")
    .summary("Lists the shard channels somebody listens to.")
    .syntax("[pattern:p]");

fn pubsub_shardchannels(
    engine: &mut Engine,
    _client: ClientId,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Run {
    list_channels(engine, args, reply, Scope::Shard)
}

const PUBSUB_NUMSUB: Command = Command::system("numsub", Group::Pubsub, pubsub_numsub)
    .arity(-2)
    .flags(PUBSUB | LOADING | STALE)
    .since("2.8.0")
    .cost("O(N) for the NUMSUB subcommand, where N is the number of requested channels")
    .summary("Returns how many listen to each of several channels.")
    .syntax("[channel:s...]");

fn pubsub_numsub(engine: &mut Engine, _client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    count_listeners(engine, args, reply, Scope::Channel)
}

const PUBSUB_SHARDNUMSUB: Command = Command::system("shardnumsub", Group::Pubsub, pubsub_shardnumsub)
    .arity(-2)
    .flags(PUBSUB | LOADING | STALE)
    .since("7.0.0")
    .cost("O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard channels")
    .summary("Returns how many listen to each of several shard channels.")
    .syntax("[shardchannel:s...]");

fn pubsub_shardnumsub(engine: &mut Engine, _client: ClientId, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    count_listeners(engine, args, reply, Scope::Shard)
}

const PUBSUB_NUMPAT: Command = Command::system("numpat", Group::Pubsub, pubsub_numpat)
    .arity(2)
    .flags(PUBSUB | LOADING | STALE)
    .since("2.8.0")
    .cost("O(1)")
    .summary("Returns the number of patterns somebody listens to.");

fn pubsub_numpat(engine: &mut Engine, _client: ClientId, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply.count(engine.channels.of(Scope::Pattern).len());
    Ok(Outcome::Done)
}
