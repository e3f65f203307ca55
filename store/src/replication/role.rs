//! Going from one side to the other, and looking after what must not be forgotten.
//!
//! Law: who becomes a replica forgets nothing before a master has answered; who becomes a master goes on with the same
//! data under another name of the history, so that those who followed the same master can follow this one.

use super::feeder::LOOK_EVERY_MS;
use super::master::{LinkFault, Master, MasterAddress, Stage};
use crate::command::Fault;
use crate::engine::{ClientId, Engine, Output, Peer, Step};
use crate::time::{Now, sooner};

impl Engine {
    /// Whether this server follows another.
    pub fn is_replica(&self) -> bool {
        self.replication.master.is_some()
    }

    /// Whether this server follows another and hears it.
    pub fn is_linked(&self) -> bool {
        self.replication.master.as_ref().is_some_and(Master::is_connected)
    }

    /// Whether this server follows that one.
    pub(crate) fn is_replica_of(&self, host: &[u8], port: u16) -> bool {
        let same = |master: &Master| master.host.as_bytes().eq_ignore_ascii_case(host) && master.port == port;
        self.replication.master.as_ref().is_some_and(same)
    }

    /// Begins to follow a master.
    pub(crate) fn follow(&mut self, host: &str, port: u16) {
        let was_master = !self.is_replica();
        // Another master of the same history goes on in the database where the last one was.
        let db = self.replication.master.as_ref().map_or(self.replication.resumed_db, |master| master.db);
        let attempt = self.end_link();
        // A stream of ours ends here; what is in it is told apart from what a master says.
        self.data.feed.forget_db();
        self.data.feed.set_local(true);
        let now = self.now.mono_ms;
        self.replication.master = Some(Master::new(host.to_owned(), port, attempt + 1, db, now));
        if was_master {
            self.unblock_for_new_role();
            self.pause_for_role();
        }
        self.write_down_master();
        self.look_after_replication_at(now);
        self.outputs.push(Output::Link);
    }

    /// Begins to follow whom the configuration names.
    pub fn follow_configured(&mut self) {
        let named = self.config.text("replicaof").to_owned();
        let words: Vec<&str> = named.split(' ').collect();
        if let [host, port] = words[..]
            && let Ok(port) = port.parse()
        {
            self.follow(host, port);
        }
    }

    /// Follows nobody any more.
    pub(crate) fn follow_nobody(&mut self) {
        if !self.is_replica() {
            return;
        }
        self.end_link();
        self.replication.master = None;
        self.write_down_master();
        let id = super::history::new_id(&mut self.data.rng);
        self.replication.history.rename(id, &self.data.feed);
        self.replication.history.is_whole = true;
        self.detach_all();
        self.forget_own_dates();
        self.data.feed.set_local(false);
        self.data.feed.forget_db();
        self.replication.deserted_at = Some(self.now.mono_ms);
        self.pause_for_role();
        self.note("MASTER MODE enabled: this server is a master from now on");
        self.become_head();
        self.outputs.push(Output::Link);
    }

    /// Gives the history another name, so that nobody can go on with the old one: DEBUG CHANGE-REPL-ID.
    pub(crate) fn change_history(&mut self) {
        self.replication.history.id = super::history::new_id(&mut self.data.rng);
        self.replication.history.former = None;
    }

    /// Ends the link to the master, if there is one; returns the number of the attempt it was.
    fn end_link(&mut self) -> u64 {
        let Some(master) = &mut self.replication.master else { return self.replication.last_attempt };
        let attempt = master.attempt;
        self.replication.last_attempt = attempt;
        self.lose_link(None);
        attempt
    }

    /// The link is gone.
    fn lose_link(&mut self, reason: Option<&LinkFault>) {
        let now = self.now.mono_ms;
        let Some(master) = &mut self.replication.master else { return };
        let stage = std::mem::replace(&mut master.stage, Stage::Apart);
        master.is_reached = false;
        if let Some(session) = master.session.take() {
            self.sessions.remove(&session);
        }
        master.input = Vec::new();
        master.parsed = Default::default();
        master.output = Vec::new();
        master.attempt += 1;
        self.replication.last_attempt = master.attempt;
        if matches!(stage, Stage::Connected) {
            master.down_since = Some(now);
        }
        if matches!(reason, Some(LinkFault::Damaged(_))) {
            master.from_nothing = true;
        }
        match stage {
            Stage::Transfer(transfer) => self.give_up_transfer(transfer.replaces()),
            Stage::Kept(_) => self.note("MASTER <-> REPLICA sync: the dataset did not become whole"),
            Stage::Apart | Stage::Handshake(_) | Stage::Connected => {}
        }
    }

    /// The master that a connection is to be made to; nothing if none is wanted.
    pub fn wanted_master(&self) -> Option<MasterAddress> {
        let master = self.replication.master.as_ref()?;
        Some(MasterAddress { host: master.host.clone(), port: master.port, attempt: master.attempt })
    }

    /// Somebody tries to reach the master.
    pub fn reaching_master(&mut self, now: Now, attempt: u64) {
        self.advance(now);
        if let Some(master) = self.replication.master.as_mut().filter(|master| master.attempt == attempt) {
            master.is_reached = true;
            master.heard_at = now.mono_ms;
        }
    }

    /// The master is reached: the first words are said.
    pub fn master_reached(&mut self, now: Now, attempt: u64) {
        self.reaching_master(now, attempt);
        if self.wanted_master().is_some_and(|master| master.attempt == attempt) {
            self.register_link(now);
            self.greet_master();
        }
    }

    /// Shows the link among the clients.
    fn register_link(&mut self, now: Now) {
        let Some(master) = &self.replication.master else { return };
        let peer = Peer { addr: format!("{}:{}", master.host, master.port), ..Peer::default() };
        let session = self.connect(now, peer);
        if let Some(session) = self.sessions.get_mut(&session) {
            session.is_master = true;
        }
        if let Some(master) = &mut self.replication.master {
            master.session = Some(session);
        }
    }

    /// Ends the connection to the master, so that another one is made.
    pub(crate) fn break_link(&mut self) {
        self.note("the link to the master is to be made anew");
        self.lose_link(None);
        self.outputs.push(Output::Link);
    }

    /// The connection is gone, or could not be made.
    pub fn master_lost(&mut self, now: Now, attempt: u64, reason: Option<&LinkFault>) {
        self.advance(now);
        if self.wanted_master().is_some_and(|master| master.attempt == attempt) {
            if let Some(reason) = reason {
                self.note(&format!("the link to the master ends: {reason}"));
            } else if self.is_linked() {
                self.note("Connection with master lost.");
            }
            self.lose_link(reason);
        }
    }

    /// Takes what is to be sent to the master; nothing if this is not its connection any more.
    pub fn words_to_master(&mut self, attempt: u64) -> Option<Vec<u8>> {
        let master = self.replication.master.as_mut().filter(|master| master.attempt == attempt)?;
        Some(std::mem::take(&mut master.output))
    }

    /// Clients that wait learn that they wait at somebody else now.
    fn unblock_for_new_role(&mut self) {
        let fault = Fault::coded(
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        );
        let waiting: Vec<ClientId> = self
            .sessions
            .values()
            .filter(|session| session.waiting.is_some())
            .map(|session| session.id)
            .collect();
        for client in waiting {
            self.unblock(client, Some(&fault));
        }
    }

    /// The role has changed: a replica lets nothing disappear on its own.
    pub(crate) fn pause_for_role(&mut self) {
        self.settle_frozen();
        self.outputs.push(Output::Link);
    }

    /// This server is the head from now on: what is derived from keys is derived now, and what it gives out must be
    /// higher than what the master before gave out.
    pub(crate) fn become_head(&mut self) {
        if !self.loading {
            self.with_extension(|extension, txn| extension.promoted(txn));
        }
    }

    /// Writes into the configuration whom this server follows, for CONFIG REWRITE and for what else hangs on its role.
    fn write_down_master(&mut self) {
        let before = Box::new(self.config.clone());
        let written = match &self.replication.master {
            Some(master) => self.config.set("replicaof", &[&master.host, &master.port.to_string()]),
            None => self.config.set("replicaof", &[]),
        };
        debug_assert!(written.is_ok(), "a host and a port are a value of replicaof: {written:?}");
        let step = Step::ConfigChanged { names: vec!["replicaof"], before };
        self.outputs.push(Output::Step { client: None, step });
    }

    /// Looks after replication no later than then, in monotonic milliseconds.
    pub(super) fn look_after_replication_at(&mut self, at_ms: u64) {
        self.replication.look_at = self.replication.look_at.min(at_ms);
    }

    /// When replication is to be looked after next.
    pub(crate) fn replication_deadline(&self) -> Option<u64> {
        let replication = &self.replication;
        let busy = self.is_replica()
            || self.is_followed()
            || replication.deserted_at.is_some()
            || replication.failover.is_some();
        let look = busy.then_some(replication.look_at);
        sooner(sooner(look, replication.sync_due), self.dataset_due())
    }

    /// Looks after replicas, master, and those who wait for either.
    pub(crate) fn look_after_replication(&mut self) {
        let now = self.now.mono_ms;
        self.ask_if_wanted();
        self.sync_if_due();
        self.write_dataset_on();
        self.serve_ack_waiters();
        self.failover_goes_on();
        if now < self.replication.look_at {
            return;
        }
        self.replication.look_at = now + LOOK_EVERY_MS;
        if self.replication_deadline().is_none() {
            return;
        }
        self.ping_replicas();
        self.cut_off_silent_replicas();
        self.retire_backlog();
        self.soothe_master();
        self.answer_master();
        self.cut_off_silent_master();
        if self.is_replica() {
            self.outputs.push(Output::Link);
        }
        if self.replication.backlog.is_some() {
            self.outputs.push(Output::Fed);
        }
    }

    fn cut_off_silent_master(&mut self) {
        let limit_ms = 1000 * self.config.integer("repl-timeout") as u64;
        let now = self.now.mono_ms;
        let silent = |master: &Master| master.is_reached && now.saturating_sub(master.heard_at) > limit_ms;
        if self.replication.master.as_ref().is_some_and(silent) {
            self.note(match self.replication.master.as_ref().map(|master| &master.stage) {
                Some(Stage::Connected) => "MASTER timeout: no data nor PING received for repl-timeout",
                Some(Stage::Kept(_) | Stage::Transfer(_)) => {
                    "Timeout receiving bulk data from MASTER: nothing came for repl-timeout"
                }
                _ => "Timeout connecting to the MASTER: it has said nothing for repl-timeout",
            });
            self.lose_link(None);
        }
    }
}
