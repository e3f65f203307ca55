//! Client eviction: which connections go when clients take more than `maxmemory-clients`.
//!
//! Law: the client that takes most goes first, until the rest fits; who said CLIENT NO-EVICT stays and does not count.

use super::Engine;
use super::session::ClientId;

impl Engine {
    /// Closes clients that take too much, if they take too much together.
    pub(super) fn evict_clients(&mut self) {
        let Some(limit) = self.config.client_memory_limit() else { return };
        let mut sizes: Vec<(usize, ClientId)> = self
            .sessions
            .values()
            .filter(|session| !session.no_evict)
            .map(|session| (session.footprint(), session.id))
            .collect();
        let mut total: usize = sizes.iter().map(|&(size, _)| size).sum();
        if total <= limit {
            return;
        }
        sizes.sort_unstable();
        while total > limit
            && let Some((size, client)) = sizes.pop()
        {
            total -= size;
            self.stats.evicted_clients += 1;
            self.close(client);
            self.leaving.insert(client, size);
        }
    }

    /// Looks at the clients before the commands of one of them: once a millisecond, or if that one is big by itself.
    pub(super) fn evict_clients_if_due(&mut self, client: ClientId) {
        let Some(limit) = self.config.client_memory_limit() else { return };
        let is_big = self.sessions.get(&client).is_some_and(|session| session.footprint() > limit / 16);
        if is_big || self.clients_looked_at != self.now.mono_ms {
            self.clients_looked_at = self.now.mono_ms;
            self.evict_clients();
        }
    }
}
