//! Publish and subscribe: who listens to what.
//!
//! Law: a message goes to every listener once per subscription that matches, in the order of client numbers, and is
//! encoded once per protocol however many receive it. Nothing is stored.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::output::Output;
use super::session::ClientId;
use super::{Engine, Session};
use crate::glob;
use crate::hash::{ByteMap, HashKey};
use crate::resp::reply::{Protocol, Reply};

/// Which kind of subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One channel by name.
    Channel,
    /// All channels that match.
    Pattern,
    /// One channel of a cluster shard; here a name space of its own.
    Shard,
}

/// Listeners by channel.
pub(crate) struct Channels {
    by_channel: ByteMap<BTreeSet<ClientId>>,
    by_pattern: ByteMap<BTreeSet<ClientId>>,
    by_shard: ByteMap<BTreeSet<ClientId>>,
}

impl Channels {
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            by_channel: ByteMap::with_hasher(key),
            by_pattern: ByteMap::with_hasher(key),
            by_shard: ByteMap::with_hasher(key),
        }
    }

    pub(crate) fn of(&self, scope: Scope) -> &ByteMap<BTreeSet<ClientId>> {
        match scope {
            Scope::Channel => &self.by_channel,
            Scope::Pattern => &self.by_pattern,
            Scope::Shard => &self.by_shard,
        }
    }

    fn of_mut(&mut self, scope: Scope) -> &mut ByteMap<BTreeSet<ClientId>> {
        match scope {
            Scope::Channel => &mut self.by_channel,
            Scope::Pattern => &mut self.by_pattern,
            Scope::Shard => &mut self.by_shard,
        }
    }

    pub(crate) fn add(&mut self, scope: Scope, channel: &[u8], client: ClientId) {
        self.of_mut(scope).entry(channel.into()).or_default().insert(client);
    }

    pub(crate) fn remove(&mut self, scope: Scope, channel: &[u8], client: ClientId) {
        let map = self.of_mut(scope);
        if let Some(listeners) = map.get_mut(channel) {
            listeners.remove(&client);
            if listeners.is_empty() {
                map.remove(channel);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.by_channel.is_empty() && self.by_pattern.is_empty() && self.by_shard.is_empty()
    }
}

impl Session {
    /// The subscriptions of a scope.
    pub(crate) fn subscribed(&mut self, scope: Scope) -> &mut BTreeSet<Box<[u8]>> {
        match scope {
            Scope::Channel => &mut self.channels,
            Scope::Pattern => &mut self.patterns,
            Scope::Shard => &mut self.shard_channels,
        }
    }
}

/// A message in both protocols, encoded when first needed.
struct Message<'a> {
    parts: &'a [&'a [u8]],
    encoded: [Option<Bytes>; 2],
}

impl Message<'_> {
    fn bytes(&mut self, protocol: Protocol) -> Bytes {
        let parts = self.parts;
        let slot = &mut self.encoded[usize::from(protocol == Protocol::V3)];
        slot.get_or_insert_with(|| {
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, protocol);
            reply.push(parts.len());
            parts.iter().for_each(|part| reply.bulk(part));
            Bytes::from(out)
        })
        .clone()
    }
}

impl Engine {
    /// Sends a message to all who listen to a channel; returns how many that were.
    pub(crate) fn publish(&mut self, scope: Scope, channel: &[u8], payload: &[u8]) -> usize {
        if self.channels.is_empty() {
            return 0;
        }
        let kind: &[u8] = if scope == Scope::Shard { b"smessage" } else { b"message" };
        let listeners = self.channels.of(scope).get(channel).cloned().unwrap_or_default();
        let mut count = self.send_message(&listeners, &[kind, channel, payload]);
        if scope == Scope::Channel {
            let mut matching: Vec<_> = self
                .channels
                .by_pattern
                .iter()
                .filter(|(pattern, _)| glob::matches(pattern, channel))
                .map(|(pattern, listeners)| (pattern.clone(), listeners.clone()))
                .collect();
            matching.sort_by(|a, b| a.0.cmp(&b.0));
            for (pattern, listeners) in matching {
                count += self.send_message(&listeners, &[b"pmessage", &pattern, channel, payload]);
            }
        }
        count
    }

    fn send_message(&mut self, listeners: &BTreeSet<ClientId>, parts: &[&[u8]]) -> usize {
        let mut message = Message { parts, encoded: [None, None] };
        for &client in listeners {
            if let Some(session) = self.sessions.get(&client) {
                let bytes = message.bytes(session.protocol);
                self.outputs.push(Output::Push { client, bytes, late: false });
            }
        }
        listeners.len()
    }

    /// Ends all subscriptions of a client.
    pub(crate) fn unsubscribe_all(&mut self, client: ClientId) {
        for scope in [Scope::Channel, Scope::Pattern, Scope::Shard] {
            let Some(session) = self.sessions.get_mut(&client) else { return };
            for channel in std::mem::take(session.subscribed(scope)) {
                self.channels.remove(scope, &channel, client);
            }
        }
    }
}
