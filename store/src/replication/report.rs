//! What INFO and ROLE say about replication, in the words of Redis.

use std::fmt::Write as _;

use super::master::Master;
use super::replica::Stage as ReplicaStage;
use crate::engine::{ClientId, Engine, Session};
use crate::limits::{BACKLOG_BLOCK_BYTES, BACKLOG_MIN};
use crate::resp::reply::Reply;

/// The name of a history that nobody knows.
const NO_ID: &str = "0000000000000000000000000000000000000000";

impl Engine {
    /// The lines of INFO replication.
    pub(crate) fn describe_replication(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{name}:{value}\r\n");
        };
        let replication = &self.replication;
        let offset = self.data.feed.replica_offset();
        line("role", &if self.is_replica() { "slave" } else { "master" });
        if let Some(master) = &replication.master {
            self.describe_master(master, &mut line);
        }
        line("connected_slaves", &replication.replicas.len());
        if let Some((_, lag_max)) = self.config.min_replicas() {
            line("min_slaves_good_slaves", &self.good_replicas(lag_max));
        }
        for (number, description) in self.describe_replicas().into_iter().enumerate() {
            line(&format!("slave{number}"), &description);
        }
        line("master_failover_state", &self.failover_state());
        line("master_replid", &replication.history.id);
        let (former, end) = match &replication.history.former {
            Some((former, end)) => (&**former, *end as i64),
            None => (NO_ID, -1),
        };
        line("master_replid2", &former);
        line("master_repl_offset", &offset);
        line("second_repl_offset", &end);
        let (first, len) = match &replication.backlog {
            Some(backlog) => (backlog.start() + 1, backlog.len()),
            None => (0, 0),
        };
        line("repl_backlog_active", &u8::from(replication.backlog.is_some()));
        line("repl_backlog_size", &self.config.integer("repl-backlog-size"));
        line("repl_backlog_first_byte_offset", &first);
        line("repl_backlog_histlen", &len);
        text
    }

    fn describe_master(&self, master: &Master, line: &mut impl FnMut(&str, &dyn std::fmt::Display)) {
        let now = self.now.mono_ms;
        let offset = self.data.feed.replica_offset();
        let connected = master.is_connected();
        let silent = now.saturating_sub(master.heard_at) / 1000;
        line("master_host", &master.host);
        line("master_port", &master.port);
        line("master_link_status", &if connected { "up" } else { "down" });
        line("master_last_io_seconds_ago", &if connected { silent as i64 } else { -1 });
        line("master_sync_in_progress", &u8::from(master.is_taking_over()));
        line("slave_read_repl_offset", &(offset + if connected { master.input.len() as u64 } else { 0 }));
        line("slave_repl_offset", &offset);
        if let Some((seen, total)) = master.dataset_progress() {
            line("master_sync_total_bytes", &total.unwrap_or(0));
            line("master_sync_read_bytes", &seen);
            line("master_sync_left_bytes", &total.map_or(-1, |total| (total - seen) as i64));
            let share = total.filter(|&total| total > 0).map_or(0.0, |total| seen as f64 / total as f64);
            line("master_sync_perc", &format!("{:.2}", 100.0 * share));
            line("master_sync_last_io_seconds_ago", &silent);
        }
        if let Some(since) = master.down_since {
            line("master_link_down_since_seconds", &(now.saturating_sub(since) / 1000));
        }
        line("slave_priority", &self.config.integer("replica-priority"));
        line("slave_read_only", &u8::from(self.config.flag("replica-read-only")));
        line("replica_announced", &u8::from(self.config.flag("replica-announced")));
    }

    fn describe_replicas(&self) -> Vec<String> {
        let now = self.now.mono_ms;
        let describe = |(client, replica): (&ClientId, &super::Replica)| {
            let peer = self.sessions.get(client).map_or("", |session| &session.peer.addr);
            format!(
                "ip={},port={},state={},offset={},lag={}",
                replica.address(peer),
                replica.introduction.port,
                replica.state(),
                replica.acked,
                if replica.is_old { 0 } else { replica.lag_seconds(now) }
            )
        };
        self.replication.replicas.iter().map(describe).collect()
    }

    /// Bytes that replicas still have to get, of all together.
    fn bytes_for_replicas(&self) -> u64 {
        let end = self.data.feed.replica_offset();
        let of = |replica: &super::Replica| match replica.stage {
            ReplicaStage::Fetched | ReplicaStage::Waiting => 0,
            _ => end.saturating_sub(replica.next),
        };
        self.replication.replicas.values().map(of).sum()
    }

    /// Bytes of the stream that are kept, for the backlog and for slow replicas.
    pub(crate) fn backlog_bytes(&self) -> u64 {
        self.replication.backlog.as_ref().map_or(0, super::Backlog::len)
    }

    /// Bytes that all clients take but those that follow: what these still have to get is counted with the backlog.
    pub(crate) fn bytes_of_clients(&self) -> usize {
        let others = self.sessions.values().filter(|session| !self.follows(session.id));
        others.map(Session::footprint).sum()
    }

    /// Bytes of the stream that are kept only because slow replicas still have to get them.
    pub(crate) fn bytes_for_slow_replicas(&self) -> u64 {
        // The backlog goes in whole blocks.
        self.backlog_bytes().saturating_sub(self.backlog_size() + BACKLOG_BLOCK_BYTES as u64)
    }

    /// Bytes that do not count against `maxmemory`: what the stream takes beyond the backlog that was asked for. Keys
    /// that are evicted would only make it more.
    pub(crate) fn bytes_not_counted(&self) -> u64 {
        let taken = self.replication.backlog.as_ref().map_or(0, super::Backlog::taken);
        taken.saturating_sub(self.backlog_size())
    }

    /// Bytes of the stream that are kept for those who come back.
    pub(super) fn backlog_size(&self) -> u64 {
        self.config.backlog_size().max(BACKLOG_MIN)
    }

    /// The reply to ROLE.
    pub(crate) fn write_role(&self, reply: &mut Reply<'_>) {
        let offset = self.data.feed.replica_offset() as i64;
        if let Some(master) = &self.replication.master {
            reply.array(5);
            reply.bulk(b"slave");
            reply.bulk(master.host.as_bytes());
            reply.integer(i64::from(master.port));
            reply.bulk(master.state().as_bytes());
            reply.integer(if master.is_connected() { offset } else { -1 });
            return;
        }
        let online = || self.replication.replicas.iter().filter(|(_, replica)| replica.is_online());
        reply.array(3);
        reply.bulk(b"master");
        reply.integer(offset);
        reply.array(online().count());
        for (client, replica) in online() {
            let peer = self.sessions.get(client).map_or("", |session| &session.peer.addr);
            reply.array(3);
            reply.bulk(replica.address(peer).as_bytes());
            reply.bulk(replica.introduction.port.to_string().as_bytes());
            reply.bulk(replica.acked.to_string().as_bytes());
        }
    }

    /// Counts of replicas and of the link, for metrics: how many follow, and whether this server follows and hears its
    /// master.
    pub fn replication_counts(&self) -> ReplicationCounts {
        let counters = self.replication.counters;
        ReplicationCounts {
            replicas: self.replication.replicas.len(),
            offset: self.data.feed.replica_offset(),
            backlog: self.backlog_bytes(),
            behind: self.bytes_for_replicas(),
            full_syncs: counters.full,
            partial_syncs: counters.partial,
            refused_partial_syncs: counters.partial_refused,
            link: self.replication.master.as_ref().map(Master::is_connected),
        }
    }
}

/// Counts about replication, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicationCounts {
    /// How many follow.
    pub replicas: usize,
    /// The offset of the stream.
    pub offset: u64,
    /// Bytes of the backlog.
    pub backlog: u64,
    /// Bytes that replicas still have to get.
    pub behind: u64,
    /// Replicas that got the whole dataset.
    pub full_syncs: u64,
    /// Replicas that went on where they were.
    pub partial_syncs: u64,
    /// Replicas that would have liked to.
    pub refused_partial_syncs: u64,
    /// Whether the master is heard, if there is one.
    pub link: Option<bool>,
}
