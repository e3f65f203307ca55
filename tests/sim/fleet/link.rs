//! A connection of a replica to its master: bytes that are under way, in both directions.
//!
//! Law: bytes come in order, in pieces as chance will, or not at all. A link that is half open swallows everything, and
//! neither side is told; each finds out by the silence of the other.

use std::collections::VecDeque;

use pbj_store::engine::{ClientId, Feeding, LinkFault};

use super::{Fleet, NODES};

/// Bytes under way, and when they arrive.
type Way = VecDeque<(u64, Vec<u8>)>;

/// A connection to a master.
pub(super) struct Link {
    master: usize,
    /// The life of the master that it belongs to.
    life: u64,
    attempt: u64,
    client: ClientId,
    to_master: Way,
    to_replica: Way,
    /// The master has fed it.
    was_fed: bool,
    /// It swallows everything.
    pub(super) is_dead: bool,
}

impl Link {
    /// When something arrives next.
    pub(super) fn next_ms(&self) -> Option<u64> {
        let first = |way: &Way| way.front().map(|(at, _)| *at);
        [first(&self.to_master), first(&self.to_replica)].into_iter().flatten().min()
    }
}

impl Fleet {
    /// Whether a node has a connection to that one.
    pub(super) fn is_linked_to(&self, number: usize, master: usize) -> bool {
        self.links[number].as_ref().is_some_and(|link| link.master == master)
    }

    /// A connection ends, and both sides hear of it.
    pub(super) fn drop_link(&mut self, number: usize) {
        let Some(link) = self.links[number].take() else { return };
        let now = self.clock.now();
        if self.nodes[link.master].lives == link.life {
            self.nodes[link.master].server.disconnect(link.client);
        }
        self.nodes[number].server.engine.master_lost(now, link.attempt, None);
        self.nodes[number].try_later(now);
        self.nodes[number].settle(now);
    }

    /// The master of a link is gone, and the replica does not hear of it.
    pub(super) fn strand_link(&mut self, number: usize) {
        if let Some(link) = &mut self.links[number] {
            link.is_dead = true;
        }
    }

    /// Brings everything under way that can be.
    pub(super) fn settle(&mut self) {
        self.settle_without(NODES);
    }

    pub(super) fn settle_without(&mut self, down: usize) {
        let now = self.clock.now();
        for number in (0..NODES).filter(|&number| number != down) {
            self.nodes[number].settle(now);
            self.note_reach(number);
            // The log may be behind the stream.
            if self.rng.u8(..3) > 0 {
                self.nodes[number].write(now);
            }
        }
        for number in (0..NODES).filter(|&number| number != down) {
            self.mend_link(number, down);
            self.load_link(number);
        }
    }

    /// Ends a link that is not wanted any more, and makes the one that is.
    fn mend_link(&mut self, number: usize, down: usize) {
        let now = self.clock.now();
        let wanted = self.nodes[number].server.engine.wanted_master();
        if let Some(link) = &self.links[number] {
            let attempt = wanted.as_ref().map(|wanted| wanted.attempt);
            let is_gone = self.nodes[link.master].lives != link.life;
            if attempt != Some(link.attempt) || (is_gone && !link.is_dead) {
                self.drop_link(number);
            }
            return;
        }
        let (Some(wanted), Some(master)) = (wanted, self.nodes[number].follows()) else { return };
        if self.nodes[number].retry_at > now.mono_ms || master == number {
            return;
        }
        let engine = &mut self.nodes[number].server.engine;
        if master == down {
            engine.reaching_master(now, wanted.attempt);
            engine.master_lost(now, wanted.attempt, None);
            return self.nodes[number].try_later(now);
        }
        engine.master_reached(now, wanted.attempt);
        let client = self.nodes[master].another_client(now);
        let life = self.nodes[master].lives;
        self.links[number] = Some(Link {
            master,
            life,
            attempt: wanted.attempt,
            client,
            to_master: Way::new(),
            to_replica: Way::new(),
            was_fed: false,
            is_dead: false,
        });
    }

    /// Takes what both sides of a link have to say.
    fn load_link(&mut self, number: usize) {
        let Some(mut link) = self.links[number].take() else { return };
        let now = self.clock.now();
        let said = self.nodes[number].server.engine.words_to_master(link.attempt).unwrap_or_default();
        self.send(&mut link, said, false);
        let mut over = false;
        if !link.is_dead {
            let engine = &mut self.nodes[link.master].server.engine;
            let mut bytes = Vec::new();
            while engine.follows(link.client) {
                link.was_fed = true;
                let before = bytes.len();
                over = engine.feed_replica(link.client, &mut bytes) == Feeding::Over;
                if over || bytes.len() == before {
                    break;
                }
            }
            // Whoever was cut off is closed.
            over |= !engine.follows(link.client) && link.was_fed;
            self.send(&mut link, bytes, true);
        }
        self.links[number] = Some(link);
        if over {
            self.note(&format!("node {number} is cut off"));
            self.drop_link(number);
        }
        self.nodes[number].settle(now);
    }

    fn send(&mut self, link: &mut Link, bytes: Vec<u8>, to_replica: bool) {
        if bytes.is_empty() || link.is_dead {
            return;
        }
        let way = if to_replica { &mut link.to_replica } else { &mut link.to_master };
        let at = self.clock.now().mono_ms + self.rng.u64(..=self.climate.delay_max_ms);
        // What was sent later arrives later.
        let at = at.max(way.back().map_or(0, |(before, _)| *before));
        if to_replica && bytes.len() > 1 && self.rng.bool() {
            let (first, second) = bytes.split_at(self.rng.usize(1..bytes.len()));
            way.push_back((at, first.to_vec()));
            way.push_back((at, second.to_vec()));
        } else {
            way.push_back((at, bytes));
        }
    }

    /// Hands over what has arrived.
    pub(super) fn move_parcels(&mut self, number: usize, down: usize) {
        let now = self.clock.now();
        let arrived = |way: &mut Way| {
            let is_there = way.front().is_some_and(|(at, _)| *at <= now.mono_ms);
            if is_there { way.pop_front().map(|(_, bytes)| bytes) } else { None }
        };
        while let Some(link) = &mut self.links[number] {
            let (master, client, attempt) = (link.master, link.client, link.attempt);
            if let Some(bytes) = arrived(&mut link.to_master) {
                let is_there = !link.is_dead && master != down && self.nodes[master].lives == link.life;
                if is_there {
                    self.master_hears(number, master, client, &bytes);
                }
            } else if let Some(bytes) = arrived(&mut link.to_replica) {
                if !link.is_dead {
                    let heard = self.nodes[number].hear_master(now, attempt, &bytes);
                    self.replica_heard(number, attempt, heard.err());
                }
            } else {
                return;
            }
        }
    }

    fn master_hears(&mut self, number: usize, master: usize, client: ClientId, bytes: &[u8]) {
        let now = self.clock.now();
        let answer = self.nodes[master].hear(now, client, bytes);
        if let Some(mut link) = self.links[number].take() {
            self.send(&mut link, answer, true);
            self.links[number] = Some(link);
        }
    }

    fn replica_heard(&mut self, number: usize, attempt: u64, fault: Option<LinkFault>) {
        let now = self.clock.now();
        self.nodes[number].settle(now);
        self.note_reach(number);
        if let Some(fault) = fault {
            self.note(&format!("the link of node {number} ends: {fault}"));
            self.nodes[number].server.engine.master_lost(now, attempt, Some(&fault));
            self.drop_link(number);
        }
    }
}
