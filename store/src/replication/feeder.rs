//! The master's side: who may follow from where, and what each gets next.
//!
//! Law: the bytes that a replica may still need are kept, and none makes the master keep more than
//! `client-output-buffer-limit` says. What a replica gets is a function of its offset; a connection asks with
//! [`Engine::feed_replica`] whenever it has room.

use super::backlog::Backlog;
use super::history::is_id;
use super::replica::{Introduction, Replica, Stage};
use crate::command::Fault;
use crate::engine::{ClientId, Engine, LogLevel, Output};
use crate::limits::FEED_BYTES;
use crate::time::Now;

/// How a client asks for the stream.
pub(crate) enum Request<'a> {
    /// SYNC: everything.
    Whole,
    /// PSYNC: from this byte on (the first one has number 1) of the history with this name.
    From { id: &'a [u8], byte: i64 },
}

/// What became of the feeding of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feeding {
    /// There are bytes, or there will be.
    GoesOn,
    /// The same, and a tick makes more of them.
    Hungry,
    /// The client is none who follows; the connection is to be closed.
    Over,
}

/// Milliseconds between two looks at replicas and master.
pub(super) const LOOK_EVERY_MS: u64 = 1000;

impl Engine {
    /// Whether a client follows.
    pub fn follows(&self, client: ClientId) -> bool {
        self.replication.replicas.contains_key(&client)
    }

    /// How many follow.
    pub(crate) fn replicas(&self) -> usize {
        self.replication.replicas.len()
    }

    /// Whether anybody follows.
    pub fn is_followed(&self) -> bool {
        !self.replication.replicas.is_empty()
    }

    /// Lets a client follow; its reply comes with what it is fed.
    pub(crate) fn attach(&mut self, client: ClientId, request: &Request<'_>) -> Result<(), Fault> {
        if self.follows(client) {
            return Ok(());
        }
        if self.replication.master.as_ref().is_some_and(|master| !master.is_connected()) {
            return Err(Fault::coded("NOMASTERLINK Can't SYNC while not connected with my master"));
        }
        let introduction = self.session_mut(client)?.introduction.as_deref().cloned().unwrap_or_default();
        let is_old = matches!(request, Request::Whole);
        let offset = self.data.feed.replica_offset();
        let mut replica = Replica::new(introduction, is_old, offset, self.now.mono_ms);
        if let Request::From { id, byte } = *request {
            match self.partial_start(id, byte, &replica.introduction) {
                Some(start) => {
                    let name = if replica.introduction.knows_names {
                        format!("+CONTINUE {}\r\n", self.replication.history.id)
                    } else {
                        "+CONTINUE\r\n".to_owned()
                    };
                    replica.words = name.into_bytes();
                    replica.next = start;
                    replica.stage = Stage::Online;
                    self.replication.counters.partial += 1;
                    self.note_of(client, &format!("goes on {} bytes back", offset - start));
                }
                // Who asks for "?" wants everything.
                None if is_id(&String::from_utf8_lossy(id)) => self.replication.counters.partial_refused += 1,
                None => {}
            }
        }
        if replica.stage == Stage::Waiting {
            self.replication.counters.full += 1;
            self.note_of(client, "gets everything");
        }
        self.keep_backlog();
        let waits = replica.stage == Stage::Waiting;
        if self.replication.replicas.is_empty() {
            // What is silent is the time since it came.
            self.replication.pinged_at = self.now.mono_ms;
        }
        self.replication.replicas.insert(client, replica);
        self.replication.deserted_at = None;
        if waits {
            self.schedule_sync();
        }
        self.look_after_replication_at(self.now.mono_ms + LOOK_EVERY_MS);
        self.session_mut(client)?.is_replica = true;
        self.outputs.push(Output::Fed);
        Ok(())
    }

    /// The offset from which a client may go on, if it may.
    fn partial_start(&self, id: &[u8], byte: i64, introduction: &Introduction) -> Option<u64> {
        let offset = u64::try_from(byte.checked_sub(1)?).ok()?;
        let backlog = self.replication.backlog.as_ref()?;
        let history = &self.replication.history;
        // What was written and not fetched yet is on its way into the backlog.
        let end = self.data.feed.replica_offset();
        let known = history.covers(id, offset) && (backlog.reaches(offset) || offset == end);
        (known && !introduction.only_dataset).then_some(offset)
    }

    /// A client asks for the stream from nowhere.
    pub(crate) fn note_wrong_offset(&self, client: ClientId) {
        let addr = self.sessions.get(&client).map_or("", |session| &session.peer.addr);
        self.note(&format!("Replica {addr} asks for synchronization but with a wrong offset"));
    }

    /// Somebody who follows asked for something that has this answer, which would be taken for a part of the stream.
    pub fn note_reply_to_replica(&self, client: ClientId, reply: &[u8]) {
        let Some(session) = self.sessions.get(&client) else { return };
        let command = session.last_command.map(|command| command.full_name()).unwrap_or_default();
        let addr = &session.peer.addr;
        self.note(&format!("Replica generated a reply to command '{command}', disconnecting it: {addr}"));
        if let Some(error) = reply.strip_prefix(b"-") {
            let error =
                String::from_utf8_lossy(error.split(|&byte| byte == b'\r').next().unwrap_or_default());
            let text = format!(
                "== CRITICAL == This master is sending an error to its replica: '{error}' after processing the command \
                 '{command}'"
            );
            self.host.note(LogLevel::Warning, text.as_bytes());
        }
    }

    fn note_of(&mut self, client: ClientId, text: &str) {
        let addr = self.sessions.get(&client).map(|session| session.peer.addr.clone()).unwrap_or_default();
        self.note(&format!("replica {addr} {text}"));
    }

    /// Writes a line about replication into the log of the host.
    pub(crate) fn note(&self, text: &str) {
        if LogLevel::Notice >= LogLevel::named(self.config.text("loglevel")) {
            self.host.note(LogLevel::Notice, text.as_bytes());
        }
    }

    /// Begins to keep the stream, if it is not kept yet.
    pub(super) fn keep_backlog(&mut self) {
        if self.replication.backlog.is_none() {
            let offset = self.data.feed.replica_offset();
            self.data.feed.set_replica_offset(offset);
            self.replication.backlog = Some(Backlog::new(offset));
            if !self.is_replica() {
                // What came before was not kept, so its name must not promise it.
                self.replication.history.id = super::history::new_id(&mut self.data.rng);
                self.replication.history.former = None;
            }
            self.data.feed.forget_db();
            self.settle_feed();
        }
    }

    /// Lets go of the stream.
    pub(super) fn drop_backlog(&mut self) {
        self.replication.backlog = None;
        self.settle_feed();
    }

    /// Tells the door for effects who reads what comes through it.
    pub(crate) fn settle_feed(&mut self) {
        let heard = self.replication.backlog.is_some();
        self.data.feed.set_wanted(self.log_wanted || heard);
        self.data.feed.set_heard(heard);
    }

    /// Files what was fetched of the stream, and lets go of replicas that are too far behind.
    pub(crate) fn file_frames(&mut self, frames: &crate::txn::Frames) {
        let Some(backlog) = &mut self.replication.backlog else { return };
        // What came before the backlog began is not in it.
        let mut offset = frames.replicated();
        frames.for_replicas(|bytes| {
            let skipped = (backlog.end().saturating_sub(offset) as usize).min(bytes.len());
            backlog.append(&bytes[skipped..]);
            offset += bytes.len() as u64;
        });
        self.replication.marks.add(self.data.feed.offset(), offset);
        self.bound_replicas();
    }

    /// Cuts off replicas that are further behind than they may be, and lets go of what nobody needs.
    fn bound_replicas(&mut self) {
        let size = self.backlog_size();
        let limit = self.config.output_limit("replica");
        let now = self.now.mono_ms;
        let Some(backlog) = &mut self.replication.backlog else { return };
        let end = backlog.end();
        let mut cut = Vec::new();
        let mut oldest = end.saturating_sub(size);
        for (&client, replica) in &mut self.replication.replicas {
            if matches!(replica.stage, Stage::Fetched | Stage::Waiting) {
                continue;
            }
            let behind = end.saturating_sub(replica.next);
            // A limit below the backlog would let nobody join who uses the whole of it.
            let is_above = |bytes: usize| bytes > 0 && behind > (bytes as u64).max(size);
            let since = is_above(limit.soft).then(|| *replica.above_soft_since.get_or_insert(now));
            replica.above_soft_since = since;
            if let Some(session) = self.sessions.get(&client) {
                session.peer.gauges.mail.store(behind as usize, std::sync::atomic::Ordering::Relaxed);
            }
            if is_above(limit.hard) || since.is_some_and(|since| now - since >= limit.soft_ms) {
                cut.push((client, behind));
            } else {
                oldest = oldest.min(replica.next);
            }
        }
        backlog.trim(oldest);
        for (client, behind) in cut {
            self.note_of(client, &format!("is {behind} bytes behind, more than it may be, and is cut off"));
            self.detach(client);
            self.outputs.push(Output::Close { client });
        }
    }

    /// Hands over what a replica gets next.
    pub fn feed_replica(&mut self, client: ClientId, out: &mut Vec<u8>) -> Feeding {
        let Some(replica) = self.replication.replicas.get_mut(&client) else { return Feeding::Over };
        let before = out.len();
        replica.take_words(out);
        match replica.stage {
            Stage::Dataset { payload, sent } => {
                let Some(payload) = self.replication.payloads.get(&payload) else { return Feeding::Over };
                let read = payload.read(sent, FEED_BYTES, out);
                let hungry = read > 0 && !payload.is_whole();
                replica.advance_dataset(payload, sent + read);
                replica.heard_at = self.now.mono_ms;
                self.replication.counters.output += read;
                self.drop_payloads();
                return if hungry { Feeding::Hungry } else { Feeding::GoesOn };
            }
            Stage::Online => {
                if let Some(backlog) = &self.replication.backlog {
                    if replica.next < backlog.start() {
                        return Feeding::Over;
                    }
                    replica.next += backlog.read(replica.next, FEED_BYTES, out) as u64;
                }
            }
            Stage::Waiting | Stage::Loading | Stage::Fetched => {}
        }
        self.replication.counters.output += (out.len() - before) as u64;
        Feeding::GoesOn
    }

    /// A replica said something, if only that it is there.
    pub fn replica_speaks(&mut self, now: Now, client: ClientId) {
        if let Some(replica) = self.replication.replicas.get_mut(&client) {
            replica.heard_at = now.mono_ms;
        }
    }

    /// Forgets one who follows; the connection is another matter.
    pub(crate) fn detach(&mut self, client: ClientId) {
        if self.replication.replicas.remove(&client).is_none() {
            return;
        }
        if let Some(session) = self.sessions.get_mut(&client) {
            session.is_replica = false;
        }
        if self.replication.replicas.is_empty() {
            self.replication.deserted_at = Some(self.now.mono_ms);
        }
        self.drop_payloads();
        self.trim_backlog();
    }

    /// Lets go of what of the stream nobody needs any more.
    fn trim_backlog(&mut self) {
        let size = self.backlog_size();
        let reads = |replica: &&Replica| !matches!(replica.stage, Stage::Fetched | Stage::Waiting);
        let next = self.replication.replicas.values().filter(reads).map(|replica| replica.next).min();
        if let Some(backlog) = &mut self.replication.backlog {
            let oldest = backlog.end().saturating_sub(size);
            backlog.trim(next.map_or(oldest, |next| next.min(oldest)));
        }
    }

    /// Cuts off all who follow: they have to ask again.
    pub(super) fn detach_all(&mut self) {
        let clients: Vec<ClientId> = self.replication.replicas.keys().copied().collect();
        for client in clients {
            self.detach(client);
            self.outputs.push(Output::Close { client });
        }
    }

    /// Lets go of the stream if nobody has followed for long (`repl-backlog-ttl`).
    pub(super) fn retire_backlog(&mut self) {
        let ttl_ms = 1000 * self.config.integer("repl-backlog-ttl") as u64;
        let Some(since) = self.replication.deserted_at else { return };
        if ttl_ms > 0 && !self.is_replica() && self.now.mono_ms.saturating_sub(since) >= ttl_ms {
            self.replication.deserted_at = None;
            // Who comes back later must not find a history with a hole.
            self.replication.history.id = super::history::new_id(&mut self.data.rng);
            self.replication.history.former = None;
            self.drop_backlog();
            self.note("nobody has followed for repl-backlog-ttl: the backlog is given back");
        }
    }

    /// Tells all replicas that the master is there, and who waits for a dataset that it is not forgotten.
    pub(super) fn ping_replicas(&mut self) {
        let now = self.now.mono_ms;
        let period_ms = 1000 * self.config.integer("repl-ping-replica-period") as u64;
        let due = now.saturating_sub(self.replication.pinged_at) >= period_ms;
        if due && self.is_followed() && !self.is_replica() {
            self.replication.pinged_at = now;
            // While a failover waits for them to have everything, there must be an end of everything.
            if !self.is_failing_over() && !self.is_ending() {
                self.data.feed.effect_for_replicas(None, &[b"PING"]);
                self.data.feed.end_unit();
            }
        }
        let is_waiting = |replica: &Replica| {
            matches!(replica.stage, Stage::Waiting | Stage::Fetched) || self.waits_for_length(replica)
        };
        let replicas = self.replication.replicas.iter();
        let waiting: Vec<ClientId> =
            replicas.filter(|(_, replica)| is_waiting(replica)).map(|(&client, _)| client).collect();
        for client in waiting {
            if let Some(replica) = self.replication.replicas.get_mut(&client)
                && replica.words.is_empty()
            {
                replica.words.push(b'\n');
                self.outputs.push(Output::Fed);
            }
        }
    }

    /// Cuts off replicas that have said nothing for too long.
    pub(super) fn cut_off_silent_replicas(&mut self) {
        let limit_ms = 1000 * self.config.integer("repl-timeout") as u64;
        let now = self.now.mono_ms;
        let is_silent = |replica: &Replica| {
            let speaks = match replica.stage {
                Stage::Online | Stage::Loading => !replica.is_old,
                Stage::Dataset { .. } | Stage::Fetched => true,
                Stage::Waiting => false,
            };
            speaks && now.saturating_sub(replica.heard_at) > limit_ms
        };
        let replicas = self.replication.replicas.iter();
        let silent: Vec<ClientId> =
            replicas.filter(|(_, replica)| is_silent(replica)).map(|(&client, _)| client).collect();
        for client in silent {
            let streams = self.replication.replicas.get(&client).is_some_and(Replica::is_online);
            let what = if streams { "streaming sync" } else { "full sync" };
            self.note(&format!("Disconnecting timedout replica ({what})"));
            self.note_of(client, "has said nothing for repl-timeout, and is cut off");
            self.detach(client);
            self.outputs.push(Output::Close { client });
        }
    }
}
