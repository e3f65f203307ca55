//! Client eviction: which connections go when clients take more than `maxmemory-clients`.
//!
//! Law: the client that takes most goes first, until the rest fits; who said CLIENT NO-EVICT stays and does not count.

use super::Engine;
use super::output::Output;
use super::session::{ClientId, Session};

impl Engine {
    /// Closes clients that take too much, if they take too much together.
    pub(super) fn evict_clients(&mut self) {
        self.unseen_messages = 0;
        let Some(limit) = self.config.client_memory_limit() else { return };
        // Whoever is beyond the limit of its class goes for that reason, and makes room.
        let lost: Vec<(usize, ClientId)> = self
            .sessions
            .values()
            .filter(|session| self.is_beyond_limit(session))
            .map(size_of_session)
            .collect();
        for (size, client) in lost {
            self.close(client);
            self.leaving.insert(client, size);
        }
        // Those that follow have a limit of their own.
        let stays = |session: &&Session| {
            !session.no_evict && !self.leaving.contains_key(&session.id) && !self.follows(session.id)
        };
        let mut sizes: Vec<(usize, ClientId)> =
            self.sessions.values().filter(stays).map(size_of_session).collect();
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

    fn is_beyond_limit(&self, session: &Session) -> bool {
        let limit = self.config.output_bytes_max(session.class());
        limit.is_some_and(|limit| session.peer.gauges.output() > limit)
            && !self.leaving.contains_key(&session.id)
    }

    /// Looks at the clients before the commands of one of them: once a millisecond, or if that one is big by itself, or
    /// if many messages went out since the last look.
    pub(super) fn evict_clients_if_due(&mut self, client: ClientId) {
        let Some(limit) = self.config.client_memory_limit() else { return };
        let notable = limit / 16;
        let is_big = self.sessions.get(&client).is_some_and(|session| session.footprint() > notable);
        if is_big || self.unseen_messages > notable || self.clients_looked_at != self.now.mono_ms {
            self.clients_looked_at = self.now.mono_ms;
            self.evict_clients();
        }
    }

    /// Notes what others are sent by the requests that just ran.
    pub(super) fn note_messages(&mut self) {
        if self.outputs.is_empty() || self.config.client_memory_limit().is_none() {
            return;
        }
        let bytes = self.outputs.iter().map(|output| match output {
            Output::Push { bytes, .. } => bytes.len(),
            _ => 0,
        });
        self.unseen_messages += bytes.sum::<usize>();
    }

    /// Looks at the memory of all clients now: one of them has sent much of a request that is not whole yet.
    pub fn look_at_clients(&mut self) {
        self.evict_clients();
    }
}

fn size_of_session(session: &Session) -> (usize, ClientId) {
    (session.footprint(), session.id)
}
