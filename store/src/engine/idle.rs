//! Clients that say nothing for too long.

use super::{ClientId, Engine, Output, Session};

impl Engine {
    /// Closes clients that have said nothing for too long (`timeout`). Those who wait or listen are quiet by nature.
    pub(super) fn close_idle(&mut self) {
        let limit_ms = 1000 * self.config.size("timeout") as u64;
        let now = self.now.mono_ms;
        if limit_ms == 0 || now < self.idle_looked_at + 1000 {
            return;
        }
        self.idle_looked_at = now;
        let is_idle = |session: &&Session| {
            let quiet_by_nature = session.waiting.is_some()
                || session.held
                || session.listens()
                || session.is_replica
                || session.is_master;
            !quiet_by_nature && now.saturating_sub(session.last_used_at) > limit_ms
        };
        let idle: Vec<ClientId> = self.sessions.values().filter(is_idle).map(|session| session.id).collect();
        self.outputs.extend(idle.into_iter().map(|client| Output::Close { client }));
    }
}
