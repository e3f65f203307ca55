//! A server of a fleet, its log, and the clients it has.

use pbj_store::durable::SyncPolicy;
use pbj_store::engine::{ClientId, Keep, LinkFault, Place};
use pbj_store::resp::value::Value;
use pbj_store::time::Now;

use fastrand::Rng;

use crate::lab::{Clock, FaultyDisk, Server, ServerOptions, request};

/// Milliseconds until somebody who cannot reach his master tries again.
const RETRY_MS: u64 = 1000;

/// A server and its disk.
pub(super) struct Node {
    number: usize,
    pub(super) server: Server,
    disk: FaultyDisk,
    client: ClientId,
    /// Replies to clients that waited, as they come.
    pub(super) woken: Vec<(ClientId, Value)>,
    /// When it may try to reach its master.
    pub(super) retry_at: u64,
    ticked_at: u64,
    /// How often it began.
    pub(super) lives: u64,
    /// What it has of a dataset that it keeps until that is whole, and over which link.
    kept: (u64, Vec<u8>),
}

/// Bytes of a kept dataset that are read at once.
const KEPT_PIECE: usize = 1000;

/// The name that others know a node by.
pub(super) fn name(number: usize) -> String {
    format!("node-{number}")
}

fn options(number: usize, seed: u64, follows: Option<usize>, backlog: &str) -> ServerOptions {
    ServerOptions {
        seed,
        policy: SyncPolicy::EverySecond,
        master: follows.map(|master| (name(master), 1)),
        directives: vec![
            ("replica-announce-port".to_owned(), (7000 + number).to_string()),
            ("repl-backlog-size".to_owned(), backlog.to_owned()),
            (
                "repl-diskless-load".to_owned(),
                if seed.is_multiple_of(2) { "swapdb" } else { "disabled" }.to_owned(),
            ),
        ],
        ..ServerOptions::default()
    }
}

/// Starts a server. Some keep a dataset until it is whole.
fn begin(disk: &FaultyDisk, now: Now, seed: u64, options: &ServerOptions) -> Server {
    let mut server = Server::start(disk, now, options).expect("a log that was written in order");
    if !seed.is_multiple_of(3) {
        server.engine.keep_datasets();
    }
    server
}

impl Node {
    pub(super) fn new(
        number: usize,
        clock: &Clock,
        rng: &mut Rng,
        follows: Option<usize>,
        backlog: &str,
    ) -> Self {
        let (disk, now) = (FaultyDisk::default(), clock.now());
        let seed = rng.u64(..);
        let mut server = begin(&disk, now, seed, &options(number, seed, follows, backlog));
        let client = server.connect(now);
        Self {
            number,
            server,
            disk,
            client,
            woken: Vec::new(),
            retry_at: 0,
            ticked_at: now.mono_ms,
            lives: 0,
            kept: (0, Vec::new()),
        }
    }

    /// The process ends.
    pub(super) fn end(&mut self, now: Now, kill: bool) {
        if !kill {
            self.server.engine.end_stream();
            self.server.settle();
            self.server.stop().expect("a disk without faults");
        }
        self.ticked_at = now.mono_ms;
        self.disk.end_process();
    }

    /// It comes back.
    pub(super) fn start(&mut self, now: Now, seed: u64, follows: Option<usize>, backlog: &str) {
        self.server = begin(&self.disk, now, seed, &options(self.number, seed, follows, backlog));
        self.client = self.server.connect(now);
        self.woken.clear();
        (self.retry_at, self.ticked_at) = (0, now.mono_ms);
        self.kept = (0, Vec::new());
        self.lives += 1;
    }

    /// A client sends a request; nothing if it has to wait for the reply.
    pub(super) fn ask(&mut self, now: Now, words: &[&str]) -> Option<Value> {
        let client = self.client;
        let answer = self.server.execute(now, client, &request(words));
        self.after(now, answer.woken);
        let (value, _) = Value::read(&answer.bytes).expect("a reply is protocol")?;
        Some(value)
    }

    /// Somebody who follows, or is about to, says something; returns the answer.
    pub(super) fn hear(&mut self, now: Now, client: ClientId, bytes: &[u8]) -> Vec<u8> {
        self.server.engine.replica_speaks(now, client);
        let answer = self.server.execute(now, client, bytes);
        self.after(now, answer.woken);
        answer.bytes
    }

    /// The master says something: follows `daemon/src/follower.rs`.
    pub(super) fn hear_master(&mut self, now: Now, attempt: u64, bytes: &[u8]) -> Result<(), LinkFault> {
        let engine = &mut self.server.engine;
        engine.hear_master(now, attempt, bytes)?;
        let (bytes, whole) = match engine.bytes_to_keep(attempt) {
            Keep::Nothing => return Ok(()),
            Keep::More(bytes) => (bytes, false),
            Keep::Last(bytes) => (bytes, true),
        };
        if self.kept.0 != attempt {
            self.kept = (attempt, Vec::new());
        }
        self.kept.1.extend(bytes);
        if whole {
            let kept = std::mem::take(&mut self.kept.1);
            let rest = engine.begin_kept(now, attempt)?;
            kept.chunks(KEPT_PIECE).try_for_each(|piece| engine.hear_kept(now, attempt, piece))?;
            engine.hear_kept(now, attempt, &rest)?;
        }
        Ok(())
    }

    /// A connection for a client that waits.
    pub(super) fn another_client(&mut self, now: Now) -> ClientId {
        self.server.connect(now)
    }

    /// The number of the node that it follows.
    pub(super) fn follows(&self) -> Option<usize> {
        let master = self.server.engine.wanted_master()?;
        master.host.strip_prefix("node-")?.parse().ok()
    }

    /// The place of which history its data is at.
    pub(super) fn place(&self) -> Option<Place> {
        self.server.engine.place()
    }

    pub(super) fn offset(&self) -> u64 {
        self.place().map_or(0, |place| place.offset)
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Now) {
        self.ticked_at = now.mono_ms;
        let woken = self.server.tick(now).woken;
        self.after(now, woken);
    }

    /// Something was done with the engine.
    pub(super) fn settle(&mut self, now: Now) {
        let woken = self.server.settle();
        self.after(now, woken);
    }

    fn after(&mut self, now: Now, woken: Vec<(ClientId, Vec<u8>)>) {
        for (client, bytes) in woken {
            if let Ok(Some((value, _))) = Value::read(&bytes) {
                self.woken.push((client, value));
            }
        }
        // Replies leave; what they wait for is the business of other worlds.
        self.server.deliver();
        if self.server.sync_due_ms(now.mono_ms).is_some_and(|due| due <= now.mono_ms) {
            self.server.sync_begins(now.mono_ms);
            self.server.sync_ends().expect("a disk without faults");
        }
    }

    /// Writes what waits for the log.
    pub(super) fn write(&mut self, now: Now) {
        if self.server.may_write(now.mono_ms) {
            self.server.write(now.mono_ms).expect("a disk without faults");
        }
    }

    /// When something is due next.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        let due = self.server.engine.deadline();
        // Each due time is met once: what is left then is not a matter of time.
        let due = due.map(|due| due.max(self.ticked_at + 1));
        let wants_link = self.server.engine.wanted_master().is_some();
        let retry = (wants_link && self.retry_at > self.ticked_at).then_some(self.retry_at);
        [due, retry].into_iter().flatten().min()
    }

    pub(super) fn try_later(&mut self, now: Now) {
        self.retry_at = now.mono_ms + RETRY_MS;
    }
}
