//! What replicas confirm, and who waits for it: WAIT, WAITAOF, `min-replicas-to-write`.
//!
//! Law: a confirmation says what a replica has, never that it will keep it: after a failover to another one it may be
//! gone all the same.

use std::collections::VecDeque;

use super::replica::{Replica, Stage};
use crate::engine::{ClientId, Engine, Output};

/// Places in the log whose offsets are known and that are not synced yet.
const MARKS_MAX: usize = 1024;

/// What a client waits for with WAIT or WAITAOF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AckWait {
    /// The offset of replication behind its last write.
    pub(crate) offset: u64,
    /// The place in the log behind its last write.
    pub(crate) position: u64,
    /// Until when it waits, in monotonic milliseconds; `None` for ever.
    pub(crate) until: Option<u64>,
}

/// Which places in the log are which offsets of replication: the two count different bytes.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// In order.
    marks: VecDeque<(u64, u64)>,
    /// The last one that was passed.
    passed: Option<u64>,
}

impl Marks {
    /// Notes that a place is an offset.
    pub(super) fn add(&mut self, position: u64, offset: u64) {
        if self.marks.len() >= MARKS_MAX {
            self.marks.pop_back();
        }
        self.marks.push_back((position, offset));
    }

    /// The offset of the last noted place that is not behind `position`.
    fn offset_at(&mut self, position: u64) -> Option<u64> {
        while let Some(&(place, offset)) = self.marks.front()
            && place <= position
        {
            self.passed = Some(offset);
            self.marks.pop_front();
        }
        self.passed
    }

    /// Forgets everything: another history begins.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Engine {
    /// A replica says how far it is, and how far its disk.
    pub(crate) fn confirm(&mut self, client: ClientId, offset: u64, synced: Option<u64>) {
        let now = self.now.mono_ms;
        let Some(replica) = self.replication.replicas.get_mut(&client) else { return };
        replica.acked = replica.acked.max(offset);
        replica.synced = replica.synced.max(synced.unwrap_or(0));
        replica.heard_at = now;
        self.begin_stream(client);
        // While a script runs, no command of anybody else may; the next tick comes after it.
        if self.running.is_none() {
            self.serve_ack_waiters();
            self.failover_goes_on();
            self.end_goes_on();
        }
    }

    /// Replicas that get the stream, each once: one that came back while its former connection has not been noticed to
    /// be dead has two, and the former one has said nothing since.
    fn online_replicas(&self) -> impl Iterator<Item = &Replica> {
        let address = |client: &ClientId, replica: &Replica| {
            let peer = self.sessions.get(client).map_or("", |session| &session.peer.addr);
            (replica.address(peer), replica.introduction.port)
        };
        let replaced = move |client: &ClientId, replica: &Replica| {
            let came_later = |other: &Replica| other.attached_at > replica.heard_at;
            let mut later = self.replication.replicas.iter().filter(|(_, other)| came_later(other));
            later.any(|(other, newer)| address(other, newer) == address(client, replica))
        };
        let online = self.replication.replicas.iter().filter(|(_, replica)| replica.is_online());
        online.filter(move |(client, replica)| !replaced(client, replica)).map(|(_, replica)| replica)
    }

    /// How many replicas have everything up to this offset.
    pub(crate) fn replicas_with(&self, offset: u64) -> usize {
        self.online_replicas().filter(|replica| replica.acked >= offset).count()
    }

    /// How many replicas have everything up to this offset on their disks.
    pub(crate) fn replicas_with_on_disk(&self, offset: u64) -> usize {
        self.online_replicas().filter(|replica| replica.synced >= offset).count()
    }

    /// Whether somebody who follows has not confirmed everything.
    pub(crate) fn has_lagging_replicas(&self) -> bool {
        let end = self.data.feed.replica_offset();
        self.replication.replicas.values().any(|replica| replica.acked < end)
    }

    /// Notes who does not have everything at the end.
    pub(crate) fn note_lagging_replicas(&self) {
        let (end, now) = (self.data.feed.replica_offset(), self.now.mono_ms);
        let replicas = &self.replication.replicas;
        let lagging = replicas.iter().filter(|(_, replica)| replica.acked < end);
        for (client, replica) in lagging.clone() {
            let peer = self.sessions.get(client).map_or("", |session| &session.peer.addr);
            self.note(&format!(
                "Lagging replica {peer} reported offset {} behind master, lag={}, state={}.",
                end - replica.acked,
                replica.lag_seconds(now),
                replica.state()
            ));
        }
        if !replicas.is_empty() {
            let synced = replicas.len() - lagging.count();
            self.note(&format!("{synced} of {} replicas are in sync when shutting down.", replicas.len()));
        }
    }

    /// Where the last write of a client ended: its place in the log, and its offset of replication.
    pub(crate) fn written_by(&self, client: ClientId) -> (u64, u64) {
        let before = self.sessions.get(&client).map_or((0, 0), |session| session.written);
        self.written.unwrap_or(before)
    }

    /// Up to which offset the log of this server is synced; nothing if there is no log.
    pub(super) fn synced_offset(&mut self) -> Option<u64> {
        let position = self.host.synced_position()?;
        self.replication.marks.offset_at(position)
    }

    /// Asks all replicas how far they are, once for all who wait.
    pub(crate) fn ask_replicas(&mut self) {
        if self.is_followed() && !self.is_replica() && !self.replication.ask {
            self.replication.ask = true;
            // It belongs to no unit, and a command is going on.
            self.outputs.push(Output::Fed);
            self.look_after_replication_at(self.now.mono_ms);
        }
    }

    /// Asks what was to be asked.
    pub(super) fn ask_if_wanted(&mut self) {
        if std::mem::take(&mut self.replication.ask) {
            self.data.feed.effect_for_replicas(None, &[b"REPLCONF", b"GETACK", b"*"]);
            self.data.feed.end_unit();
        }
    }

    /// How many replicas follow with at most so many seconds of lag.
    pub(crate) fn good_replicas(&self, lag_max: u64) -> usize {
        let now = self.now.mono_ms;
        let replicas = self.replication.replicas.values();
        let online = replicas.filter(|replica| matches!(replica.stage, Stage::Online | Stage::Loading));
        online.filter(|replica| replica.lag_seconds(now) <= lag_max).count()
    }

    /// Whether too few replicas follow for a write to be accepted (`min-replicas-to-write`).
    pub(crate) fn lacks_replicas(&self) -> bool {
        let Some((wanted, lag_max)) = self.config.min_replicas() else { return false };
        !self.is_replica() && self.good_replicas(lag_max) < wanted
    }
}
