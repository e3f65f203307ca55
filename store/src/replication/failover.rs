//! FAILOVER: handing the role over to a replica without losing anything.
//!
//! Law: writes stop first; when the chosen replica has everything, it is asked to take over, and this server follows
//! it. If it does not, or not in time, everything is as before.

use super::replica::Replica;
use crate::command::Fault;
use crate::engine::{ClientId, Engine, Output, Pause};

/// A failover that is going on.
#[derive(Clone, Debug)]
pub(crate) struct Failover {
    /// The address of the replica that is meant; any, if there is none.
    target: Option<(String, u16)>,
    /// Hand over at the end of the time even if the replica has not everything.
    forced: bool,
    /// Until when to wait, in monotonic milliseconds.
    until: Option<u64>,
    /// The replica was asked.
    is_handing_over: bool,
}

impl Engine {
    /// Begins to hand over.
    ///
    /// # Errors
    /// There is nobody to hand over to.
    pub(crate) fn begin_failover(
        &mut self,
        target: Option<(String, u16)>,
        forced: bool,
        timeout_ms: Option<u64>,
    ) -> Result<(), Fault> {
        if self.replication.failover.is_some() {
            return Err(Fault::other("FAILOVER already in progress."));
        }
        if self.is_replica() {
            return Err(Fault::other("FAILOVER is not valid when server is a replica."));
        }
        if !self.is_followed() {
            return Err(Fault::other("FAILOVER requires connected replicas."));
        }
        if let Some((host, port)) = &target {
            match self.replica_at(host, *port) {
                None => return Err(Fault::other("FAILOVER target HOST and PORT is not a replica.")),
                Some(client) if !self.replication.replicas[&client].is_online() => {
                    return Err(Fault::other("FAILOVER target replica is not online."));
                }
                Some(_) => {}
            }
        }
        let until = timeout_ms.map(|ms| self.now.mono_ms + ms);
        self.note("FAILOVER: writes wait until a replica has everything");
        self.replication.failover = Some(Failover { target, forced, until, is_handing_over: false });
        self.pause(Pause { until: u64::MAX, only_writes: true });
        self.ask_replicas();
        self.look_after_replication_at(self.now.mono_ms);
        Ok(())
    }

    /// Ends a failover that is going on without result.
    ///
    /// # Errors
    /// None is going on.
    pub(crate) fn abort_failover(&mut self, reason: &str) -> Result<(), Fault> {
        let failover = self.replication.failover.take();
        let failover = failover.ok_or_else(|| Fault::other("No failover in progress."))?;
        self.note(&format!("FAILOVER aborted: {reason}"));
        if failover.is_handing_over {
            self.follow_nobody();
        }
        self.unpause();
        Ok(())
    }

    fn replica_at(&self, host: &str, port: u16) -> Option<ClientId> {
        let is_meant = |&(client, replica): &(&ClientId, &Replica)| {
            let peer = self.sessions.get(client).map_or("", |session| &session.peer.addr);
            replica.introduction.port == port && replica.address(peer).eq_ignore_ascii_case(host)
        };
        self.replication.replicas.iter().find(is_meant).map(|(&client, _)| client)
    }

    /// Whether a replica was asked to take over.
    pub(crate) fn is_handing_over(&self) -> bool {
        self.is_failing_over()
    }

    pub(super) fn is_failing_over(&self) -> bool {
        self.replication.failover.is_some()
    }

    /// What INFO says about it.
    pub(super) fn failover_state(&self) -> &'static str {
        match &self.replication.failover {
            None => "no-failover",
            Some(failover) if failover.is_handing_over => "failover-in-progress",
            Some(_) => "waiting-for-sync",
        }
    }

    /// Hands over if a replica is ready for it.
    pub(super) fn failover_goes_on(&mut self) {
        let Some(failover) = self.replication.failover.clone().filter(|failover| !failover.is_handing_over)
        else {
            return;
        };
        let end = self.data.feed.replica_offset();
        let late = failover.until.is_some_and(|until| until <= self.now.mono_ms);
        let meant = failover.target.as_ref().map(|(host, port)| self.replica_at(host, *port));
        let ready = |client: ClientId| {
            self.replication.replicas.get(&client).is_some_and(|r| r.is_online() && r.acked >= end)
        };
        let chosen = match meant {
            Some(None) if !late || !failover.forced => None,
            Some(None) => None,
            Some(Some(client)) => (ready(client) || (late && failover.forced)).then_some(client),
            None => self.replication.replicas.keys().copied().find(|&client| ready(client)),
        };
        let address = |client: ClientId| {
            let replica = self.replication.replicas.get(&client)?;
            let peer = self.sessions.get(&client).map_or("", |session| &session.peer.addr);
            Some((replica.address(peer), replica.introduction.port))
        };
        let forced_to = failover.target.clone().filter(|_| late && failover.forced);
        match chosen.and_then(address).or(forced_to) {
            Some((host, port)) => self.hand_over(&host, port, late),
            None if late => {
                // It cannot fail: a failover is going on.
                self.abort_failover("Replica never caught up before timeout").ok();
            }
            None => {}
        }
    }

    fn hand_over(&mut self, host: &str, port: u16, late: bool) {
        self.note(&if late {
            format!("FAILOVER to {host}:{port} time out exceeded, failing over.")
        } else {
            format!("Failover target {host}:{port} is synced, failing over.")
        });
        if let Some(failover) = &mut self.replication.failover {
            failover.is_handing_over = true;
        }
        self.follow(host, port);
        if let Some(master) = &mut self.replication.master {
            master.takes_over = true;
        }
        self.outputs.push(Output::Link);
    }

    /// The former replica took over.
    pub(super) fn failover_succeeded(&mut self) {
        if self.replication.failover.take().is_some() {
            self.note("FAILOVER: the replica took over");
            self.unpause();
        }
    }

    /// The former replica does not take over; says whether it was asked to.
    pub(super) fn failover_was_refused(&mut self, reason: &str) -> bool {
        let handing_over =
            self.replication.failover.as_ref().is_some_and(|failover| failover.is_handing_over);
        handing_over
            && self.abort_failover(&format!("Failover target rejected psync request: {reason}")).is_ok()
    }

    /// A master asks this replica to take over; says whether it does.
    pub(crate) fn take_over(&mut self, id: &[u8]) -> Result<(), Fault> {
        if self.replication.history.id.as_bytes() != id {
            return Err(Fault::other("PSYNC FAILOVER replid must match my replid."));
        }
        if self.is_replica() {
            self.note("the master asks this replica to take over");
            self.follow_nobody();
        }
        Ok(())
    }
}
