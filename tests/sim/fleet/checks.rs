//! What must be true of a fleet.
//!
//! - At the same offset of the same history two servers have the same data.
//! - What WAIT counts is there, and survives a promotion of a replica that has it.
//! - A schedule of the data of the master leaves no time out, and fires none twice.
//! - Tokens rise (`Fleet::fetch`).

use pbj_store::engine::{ClientId, Place};
use pbj_store::resp::value::Value;

use super::{Fleet, NODES};

/// A write that a client waits for, or that replicas have confirmed.
pub(super) struct Promise {
    key: String,
    value: String,
    /// The place behind it.
    place: Place,
    /// Who waits at the master of which life.
    waits: Option<ClientId>,
    life: u64,
}

impl Fleet {
    /// Takes note of how far a node has come.
    pub(super) fn note_reach(&mut self, number: usize) {
        if let Some(Place { id, offset, .. }) = self.nodes[number].place() {
            let reached = self.reached.entry((number, id)).or_default();
            *reached = offset.max(*reached);
        }
    }

    /// A client writes, and waits until replicas have it.
    pub(super) fn write_and_wait(&mut self) {
        let (key, value) = (format!("kept:{}", self.unique), self.unique.to_string());
        let (master, now) = (self.master, self.clock.now());
        let client = self.nodes[master].another_client(now);
        let set = crate::lab::request(&["SET", &key, &value]);
        let written = self.nodes[master].server.execute(now, client, &set).bytes == b"+OK\r\n";
        let place = self.nodes[master].place();
        let (Some(place), true) = (place, written) else { return };
        let wait = crate::lab::request(&["WAIT", &self.rng.usize(1..NODES).to_string(), "3000"]);
        let answer = self.nodes[master].server.execute(now, client, &wait);
        let life = self.nodes[master].lives;
        self.promises.push(Promise { key, value, place, waits: Some(client), life });
        if let Ok(Some((count, _))) = Value::read(&answer.bytes) {
            self.nodes[master].woken.push((client, count));
        }
        self.hear_waits();
    }

    /// Replies to WAIT arrive.
    pub(super) fn hear_waits(&mut self) {
        for number in 0..NODES {
            for (client, reply) in std::mem::take(&mut self.nodes[number].woken) {
                if number != self.master {
                    continue;
                }
                let life = self.nodes[number].lives;
                let at = self.promises.iter().position(|p| p.waits == Some(client) && p.life == life);
                let Some(at) = at else { continue };
                let count = reply.integer().unwrap_or(0);
                let place = self.promises[at].place.clone();
                let have = (0..NODES).filter(|&other| other != number && self.has_reached(other, &place));
                let have = have.count() as i64;
                assert!(count <= have, "WAIT counts {count} replicas, and {have} have the write");
                if count == 0 {
                    self.promises.remove(at);
                } else {
                    self.promises[at].waits = None;
                    self.tally.promises += 1;
                }
            }
        }
    }

    fn has_reached(&self, number: usize, place: &Place) -> bool {
        self.reached.get(&(number, place.id.clone())).is_some_and(|&offset| offset >= place.offset)
    }

    /// A replica that the operator may choose: it follows the history of the master, from behind its beginning on.
    pub(super) fn candidate(&mut self) -> Option<usize> {
        let master = self.nodes[self.master].place()?;
        let fits = |number: &usize| {
            let place = self.nodes[*number].place().filter(|_| *number != self.master);
            place.is_some_and(|place| place.id == master.id && place.offset >= self.settled_at)
        };
        let fitting: Vec<usize> = (0..NODES).filter(fits).collect();
        (!fitting.is_empty()).then(|| fitting[self.rng.usize(..fitting.len())])
    }

    /// The confirmed writes that a replica says it has.
    pub(super) fn promises_of(&mut self, number: usize) -> Vec<Promise> {
        let Some(place) = self.nodes[number].place() else { return Vec::new() };
        let has = |promise: &Promise| promise.place.id == place.id && promise.place.offset <= place.offset;
        std::mem::take(&mut self.promises).into_iter().filter(has).collect()
    }

    /// A node is the master now; it must have these writes.
    pub(super) fn role_went_to(&mut self, chosen: usize, kept: Vec<Promise>) {
        self.tally.promotions += 1;
        self.master = chosen;
        self.settle();
        let place = self.nodes[chosen].place().expect("who was a replica has a history");
        self.settled_at = place.offset;
        self.keep(kept, &place.id);
        self.check_schedule();
    }

    /// The master comes back from its log, with what that has.
    pub(super) fn master_came_back(&mut self, before: Option<Place>) {
        self.settle();
        let after = self.nodes[self.master].place();
        let (Some(before), Some(after)) = (before, after) else {
            // Nobody can go on: everything begins anew, and what was confirmed is only known by its data.
            self.promises.clear();
            self.settled_at = 0;
            return;
        };
        let loaded = self.nodes[self.master].server.loaded_at.clone();
        let offset = loaded.filter(|place| place.id == before.id).map_or(0, |place| place.offset);
        let has = |promise: &Promise| promise.place.id == before.id && promise.place.offset <= offset;
        let kept = std::mem::take(&mut self.promises).into_iter().filter(has).collect();
        self.settled_at = after.offset;
        self.keep(kept, &after.id);
    }

    /// These writes must be there; their history is called otherwise now.
    fn keep(&mut self, kept: Vec<Promise>, id: &str) {
        for mut promise in kept {
            let found = self.ask_master(&["GET", &promise.key]);
            assert_eq!(
                found.text().as_deref(),
                Some(&*promise.value),
                "{} was confirmed and is lost",
                promise.key
            );
            id.clone_into(&mut promise.place.id);
            promise.waits = None;
            self.promises.push(promise);
        }
    }

    /// Servers at the same offset have the same data.
    pub(super) fn check(&mut self) {
        let places: Vec<Option<Place>> = self.nodes.iter().map(super::Node::place).collect();
        for one in 0..NODES {
            for other in one + 1..NODES {
                let (Some(mine), Some(theirs)) = (&places[one], &places[other]) else { continue };
                if (&mine.id, mine.offset) != (&theirs.id, theirs.offset) {
                    continue;
                }
                self.tally.comparisons += 1;
                let (mine, theirs) = (self.digest(one), self.digest(other));
                assert_eq!(mine, theirs, "nodes {one} and {other} differ at the same offset");
            }
        }
    }

    fn digest(&self, number: usize) -> String {
        self.nodes[number].server.engine.digest().to_hex()
    }

    /// Whether everybody is at the same place.
    pub(super) fn is_at_rest(&self) -> bool {
        let master = self.nodes[self.master].place();
        self.nodes.iter().all(|node| node.place() == master)
    }

    /// Without faults everybody has everything.
    pub(super) fn check_all_agree(&mut self) {
        for number in 0..NODES {
            let counts = self.nodes[number].server.engine.replication_counts();
            self.tally.full_syncs += counts.full_syncs;
            self.tally.partial_syncs += counts.partial_syncs;
            assert_eq!(
                self.nodes[number].place(),
                self.nodes[self.master].place(),
                "node {number} is behind"
            );
        }
        let (all, master) = ((0..NODES).map(|number| self.digest(number)), self.digest(self.master));
        assert!(
            all.clone().all(|digest| digest == master),
            "the data differs: {:?}",
            all.collect::<Vec<_>>()
        );
    }

    /// Each time of the schedule fired once.
    pub(super) fn check_schedule(&mut self) {
        let schedule = self.ask_master(&["CRON.GET", "slots"]);
        // It was made when the master had no replica.
        let Some(runs) = schedule.field("runs").and_then(Value::integer) else { return };
        let found = self.ask_master(&["JOB.SCAN", "0", "QUEUE", "cron", "COUNT", "1000000"]);
        let ids = found.items().and_then(|found| found.get(1)?.items()).unwrap_or_default();
        let slot = |id: &Value| id.text()?.rsplit_once('@')?.1.parse::<u64>().ok();
        let mut slots: Vec<u64> = ids.iter().filter_map(slot).collect();
        slots.sort_unstable();
        assert_eq!(slots.len() as i64, runs, "a time fired twice, or its job is lost");
        let gap = slots.windows(2).find(|pair| pair[1] - pair[0] != 30_000);
        assert_eq!(gap, None, "a time was left out");
    }
}
