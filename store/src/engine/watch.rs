//! WATCH: who wants its transaction to fail if a key changes.

use super::Engine;
use super::session::{ClientId, Watch};
use crate::hash::{ByteMap, HashKey};

/// Watching clients by key.
pub(crate) struct Watchers {
    by_key: Vec<ByteMap<Vec<ClientId>>>,
}

impl Watchers {
    pub(crate) fn new(databases: usize, key: HashKey) -> Self {
        Self { by_key: (0..databases).map(|_| ByteMap::with_hasher(key)).collect() }
    }
}

impl Engine {
    /// A client begins to watch a key.
    pub(crate) fn watch(&mut self, client: ClientId, key: &[u8]) {
        let Some(session) = self.sessions.get_mut(&client) else { return };
        let db = session.db;
        if session.watches.iter().any(|watch| watch.db == db && *watch.key == *key) {
            return;
        }
        let now_ms = self.now.wall_ms();
        let database = self.data.keyspace.db(db);
        let found = database.find(database.hash(key), key);
        let date = found.and_then(|entry| entry.expires_at());
        let expired = date.is_some_and(|date| date <= now_ms);
        session.watches.push(Watch { db, key: key.into(), existed: found.is_some(), expired });
        self.data.touched.want(db, key);
        self.watchers.by_key[db].entry(key.into()).or_default().push(client);
    }

    /// A client stops watching.
    pub(crate) fn unwatch(&mut self, client: ClientId) {
        let Some(session) = self.sessions.get_mut(&client) else { return };
        session.watch_failed = false;
        for Watch { db, key, .. } in std::mem::take(&mut session.watches) {
            self.data.touched.unwant(db, &key);
            if let Some(clients) = self.watchers.by_key[db].get_mut(&key) {
                clients.retain(|&other| other != client);
                if clients.is_empty() {
                    self.watchers.by_key[db].remove(&key);
                }
            }
        }
    }

    /// Whether the transaction of a client must not run: a watched key changed, or is past its date now.
    pub(crate) fn watch_failed(&self, client: ClientId) -> bool {
        let Some(session) = self.sessions.get(&client) else { return true };
        session.watch_failed
            || session.watches.iter().any(|watch| {
                let database = self.data.keyspace.db(watch.db);
                let date = database.find(database.hash(&watch.key), &watch.key).and_then(|e| e.expires_at());
                watch.existed && !watch.expired && date.is_some_and(|date| date <= self.now.wall_ms())
            })
    }

    /// A key changed: the transactions of those who watch it fail.
    pub(super) fn fail_watchers(&mut self, db: usize, key: &[u8]) {
        let Some(clients) = self.watchers.by_key[db].get(key) else { return };
        let database = self.data.keyspace.db(db);
        let gone = database.find(database.hash(key), key).is_none();
        for client in clients {
            let Some(session) = self.sessions.get_mut(client) else { continue };
            let watch = session.watches.iter_mut().find(|watch| watch.db == db && *watch.key == *key);
            match watch {
                // It was past its date when the watch began, and is removed only now: nothing has changed.
                Some(watch) if watch.expired && gone => watch.expired = false,
                _ => session.watch_failed = true,
            }
        }
    }
}
