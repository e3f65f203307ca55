//! Client-side caching: who has read which key, and is told when it changes.
//!
//! Law: an invalidation leaves after the reply to the command that caused it, and never in the middle of one. The table
//! is bounded by `tracking-table-max-keys`: beyond it keys are forgotten by telling their readers that they changed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::Engine;
use super::output::Output;
use super::session::ClientId;
use crate::command::index::Callable;
use crate::command::keys::Key;
use crate::command::{Group, flags};
use crate::hash::{ByteMap, HashKey};
use crate::resp::reply::{Protocol, Reply};
use crate::txn::{DbKey, Flushed};

/// The channel on which clients of the older protocol hear of changes.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// How a client wants to hear of changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrackingMode {
    /// Whom to tell instead; 0 for the client itself.
    pub(crate) redirect: u64,
    pub(crate) broadcast: bool,
    pub(crate) opt_in: bool,
    pub(crate) opt_out: bool,
    /// Changes by the client itself are not told.
    pub(crate) no_loop: bool,
    /// What CLIENT CACHING said about the next command.
    pub(crate) caching: bool,
    /// The client to be told instead is gone.
    pub(crate) broken: bool,
    pub(crate) prefixes: BTreeSet<Box<[u8]>>,
}

/// Those who listen to a prefix, and what they have not heard yet: keys, and who changed them last.
#[derive(Debug, Default)]
struct Listeners {
    clients: BTreeSet<ClientId>,
    changed: BTreeMap<Box<[u8]>, Option<ClientId>>,
}

/// Readers by key, and listeners by prefix.
pub(crate) struct Tracking {
    readers: ByteMap<BTreeSet<ClientId>>,
    items: usize,
    by_prefix: BTreeMap<Box<[u8]>, Listeners>,
    clients: BTreeSet<ClientId>,
    /// How many of the changes of this unit are told already: keys, and databases as a whole.
    told: (usize, usize),
}

impl Tracking {
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            readers: ByteMap::with_hasher(key),
            items: 0,
            by_prefix: BTreeMap::new(),
            clients: BTreeSet::new(),
            told: (0, 0),
        }
    }

    /// How many clients want to hear of changes.
    pub(crate) fn clients(&self) -> usize {
        self.clients.len()
    }

    /// How many keys have readers.
    pub(crate) fn keys(&self) -> usize {
        self.readers.len()
    }

    /// How many readers all keys have together.
    pub(crate) fn items(&self) -> usize {
        self.items
    }

    /// How many prefixes somebody listens to.
    pub(crate) fn prefixes(&self) -> usize {
        self.by_prefix.len()
    }

    fn forget_key(&mut self, key: &[u8]) -> BTreeSet<ClientId> {
        let readers = self.readers.remove(key).unwrap_or_default();
        self.items -= readers.len();
        readers
    }
}

impl Engine {
    /// A client wants to hear of changes from now on.
    pub(crate) fn start_tracking(&mut self, client: ClientId, mode: TrackingMode) {
        // What has changed before in the same transaction is no news.
        self.invalidate_so_far();
        let Some(session) = self.sessions.get_mut(&client) else { return };
        let mut mode = mode;
        if mode.broadcast {
            if mode.prefixes.is_empty() {
                mode.prefixes.insert(Box::default());
            }
            for prefix in &mode.prefixes {
                self.tracking.by_prefix.entry(prefix.clone()).or_default().clients.insert(client);
            }
            let before = session.tracking.iter().flat_map(|before| before.prefixes.iter().cloned());
            mode.prefixes.extend(before);
        }
        session.tracking = Some(mode);
        self.tracking.clients.insert(client);
        self.data.touched.note_all(true);
    }

    /// A client does not want to hear of changes any more. What is known about its reads is forgotten when it matters.
    pub(crate) fn stop_tracking(&mut self, client: ClientId) {
        let Some(session) = self.sessions.get_mut(&client) else { return };
        let Some(mode) = session.tracking.take() else { return };
        for prefix in mode.prefixes {
            if let Some(listeners) = self.tracking.by_prefix.get_mut(&prefix) {
                listeners.clients.remove(&client);
                if listeners.clients.is_empty() {
                    self.tracking.by_prefix.remove(&prefix);
                }
            }
        }
        self.tracking.clients.remove(&client);
        if self.tracking.clients.is_empty() {
            self.data.touched.note_all(false);
            self.tracking.readers.clear();
            self.tracking.items = 0;
        }
    }

    /// A command of a client has run: remembers the keys that it read. Of a script only what it calls counts.
    pub(super) fn remember_reads(&mut self, client: ClientId, command: Callable, args: &[&[u8]]) {
        if command.row.is(flags::READONLY) && command.row.group != Group::Scripting {
            self.remember_keys(client, command, args);
        }
    }

    /// A command of a script of a client has run: if it reads, the keys that were declared for the script count as
    /// read.
    pub(super) fn remember_reads_of_script(&mut self, client: ClientId, read: Callable, script: &[&[u8]]) {
        if read.row.is(flags::READONLY)
            && let Some(command) = self.index.resolve(script)
        {
            self.remember_keys(client, command, script);
        }
    }

    fn remember_keys(&mut self, client: ClientId, command: Callable, args: &[&[u8]]) {
        if command.row.is(flags::PUBSUB) {
            return;
        }
        let Some(mode) = self.sessions.get(&client).and_then(|session| session.tracking.as_ref()) else {
            return;
        };
        if mode.broadcast || (mode.opt_in && !mode.caching) || (mode.opt_out && mode.caching) {
            return;
        }
        for (at, key_flags) in command.row.key_positions(args) {
            if key_flags & Key::NOT_KEY == 0 {
                let readers = self.tracking.readers.entry(args[at].into()).or_default();
                self.tracking.items += usize::from(readers.insert(client));
            }
        }
    }

    /// What CLIENT CACHING said is about one command, or one transaction.
    pub(super) fn forget_caching(&mut self, client: ClientId) {
        if let Some(session) = self.sessions.get_mut(&client)
            && session.multi.is_none()
            && let Some(mode) = &mut session.tracking
        {
            mode.caching = false;
        }
    }

    /// Tells readers of keys beyond the limit of the table that these changed, so that they can be forgotten.
    pub(super) fn bound_tracking(&mut self) {
        let max = self.config.size("tracking-table-max-keys");
        if max == 0 {
            return;
        }
        while self.tracking.keys() > max {
            // Any key will do; the order of a hash table is as good as chance.
            let Some(key) = self.tracking.readers.keys().next().cloned() else { return };
            self.invalidate_key(&key, None);
        }
    }

    /// Tells readers what has changed in this unit so far, before the command at hand counts as a reader: what a
    /// transaction reads after it has written stays valid.
    pub(super) fn invalidate_so_far(&mut self) {
        let (touched, flushed) = self.data.touched.take();
        self.invalidate(&touched, &flushed);
        self.tracking.told = (touched.len(), flushed.len());
        self.data.touched.give_back(touched, flushed);
    }

    /// The unit has ended: tells readers what they have not been told.
    pub(super) fn invalidate_rest(&mut self, touched: &[DbKey], flushed: &[Flushed]) {
        self.invalidate(touched, flushed);
        self.tracking.told = (0, 0);
    }

    fn invalidate(&mut self, touched: &[DbKey], flushed: &[Flushed]) {
        if self.tracking.clients.is_empty() {
            return;
        }
        let (keys_told, flushed_told) = self.tracking.told;
        let touched = touched.get(keys_told..).unwrap_or_default();
        let flushed = flushed.get(flushed_told..).unwrap_or_default();
        let author = self.current_client;
        for (_, key) in touched {
            self.invalidate_key(key, author);
        }
        for (prefix, listeners) in &mut self.tracking.by_prefix {
            let matching = touched.iter().map(|(_, key)| key).filter(|key| key.starts_with(prefix));
            listeners.changed.extend(matching.map(|key| (key.clone(), author)));
        }
        if flushed.iter().any(|flushed| matches!(flushed, Flushed::Emptied(_))) {
            self.invalidate_all();
        }
    }

    /// Tells those who listen to prefixes what has changed since the last call: one message for all keys.
    pub(super) fn broadcast_changes(&mut self) {
        if self.tracking.by_prefix.values().all(|listeners| listeners.changed.is_empty()) {
            return;
        }
        let changed: Vec<Listeners> = self
            .tracking
            .by_prefix
            .values_mut()
            .map(|Listeners { clients, changed }| Listeners {
                clients: clients.clone(),
                changed: std::mem::take(changed),
            })
            .collect();
        for Listeners { clients, changed } in changed {
            for client in clients {
                let deaf = self.is_deaf_to_itself(client);
                let told = changed.iter().filter(|(_, author)| !deaf || **author != Some(client));
                let keys: BTreeSet<&[u8]> = told.map(|(key, _)| &**key).collect();
                if !keys.is_empty() {
                    self.tell(client, Some(&keys));
                }
            }
        }
    }

    fn is_deaf_to_itself(&self, client: ClientId) -> bool {
        let mode = self.sessions.get(&client).and_then(|session| session.tracking.as_ref());
        mode.is_some_and(|mode| mode.no_loop)
    }

    fn invalidate_key(&mut self, key: &[u8], author: Option<ClientId>) {
        for client in self.tracking.forget_key(key) {
            let mode = self.sessions.get(&client).and_then(|session| session.tracking.as_ref());
            let reads = mode.is_some_and(|mode| !mode.broadcast);
            if reads && (author != Some(client) || !self.is_deaf_to_itself(client)) {
                self.tell(client, Some(&BTreeSet::from([key])));
            }
        }
    }

    /// All keys of a database are gone: all that anybody has read is worth nothing.
    fn invalidate_all(&mut self) {
        for client in self.tracking.clients.clone() {
            self.tell(client, None);
        }
        self.tracking.readers.clear();
        self.tracking.items = 0;
    }

    /// Tells a client, or whom it named instead, that keys changed (all of them, without a list).
    fn tell(&mut self, client: ClientId, keys: Option<&BTreeSet<&[u8]>>) {
        let Some(session) = self.sessions.get(&client) else { return };
        let Some(mode) = &session.tracking else { return };
        let redirect = mode.redirect;
        let target = if redirect == 0 { Some(session) } else { self.sessions.get(&ClientId(redirect)) };
        let mut out = Vec::new();
        let Some(target) = target else {
            if session.protocol == Protocol::V3 {
                let mut reply = Reply::new(&mut out, Protocol::V3);
                reply.push(2);
                reply.bulk(b"tracking-redir-broken");
                reply.integer(redirect as i64);
            }
            self.break_redirect(client);
            return self.send_late(client, out);
        };
        let mut reply = Reply::new(&mut out, target.protocol);
        match target.protocol {
            Protocol::V3 => {
                reply.push(2);
                reply.bulk(b"invalidate");
            }
            Protocol::V2 if redirect != 0 && target.listens() => {
                reply.push(3);
                reply.bulk(b"message");
                reply.bulk(CHANNEL);
            }
            // Nobody would know what to do with it.
            Protocol::V2 => return,
        }
        match keys {
            Some(keys) => {
                reply.array(keys.len());
                keys.iter().for_each(|key| reply.bulk(key));
            }
            None => reply.null_array(),
        }
        let target = target.id;
        self.send_late(target, out);
    }

    fn break_redirect(&mut self, client: ClientId) {
        if let Some(mode) = self.sessions.get_mut(&client).and_then(|session| session.tracking.as_mut()) {
            mode.broken = true;
        }
    }

    pub(super) fn send_late(&mut self, client: ClientId, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.outputs.push(Output::Push { client, bytes: Bytes::from(bytes), late: true });
        }
    }
}
