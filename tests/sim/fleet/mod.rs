//! A fleet: one master and those who follow it, the links between them, and an operator who lets another one
//! be master.
//!
//! Law: a seed and a number of steps say everything that happens. Links lose connections, are slow, and break on one
//! side only; servers end at any point and come back with their logs; the role goes from one to another.
//! - [`node`] is a server and what it has lived through, [`link`] a connection between two of them.
//! - [`checks`] is what must be true.
//!
//! Not here: faults of disks (the other worlds of the simulator have them), more than one operator.

mod checks;
mod link;
mod node;

use std::collections::{HashMap, HashSet};

use fastrand::Rng;
use pbj_store::resp::value::Value;

use super::trace;
use crate::lab::{Clock, shown};
use checks::Promise;
use link::Link;
use node::Node;

/// Servers of a fleet.
const NODES: usize = 3;

/// What a seed has in store; rates are chances per thousand steps.
#[derive(Clone, Debug)]
struct Climate {
    cuts: u32,
    half_open: u32,
    kills: u32,
    restarts: u32,
    promotions: u32,
    /// Promotions that the next one does not hear of.
    unheard: u32,
    handovers: u32,
    /// Longest way of a message, in milliseconds.
    delay_max_ms: u64,
    /// Longest pause between two steps, in milliseconds, most of the time.
    pause_max_ms: u64,
    /// Bytes of the backlog.
    backlog: &'static str,
}

impl Climate {
    fn of(rng: &mut Rng) -> Self {
        let mut sometimes = |chance: u32, rate: u32| if rng.u32(..100) < chance { rate } else { 0 };
        let (cuts, half_open) = (sometimes(70, 25), sometimes(50, 10));
        let (kills, restarts) = (sometimes(50, 10), sometimes(40, 10));
        let (promotions, handovers) = (sometimes(70, 12), sometimes(40, 8));
        let unheard = sometimes(50, 6);
        Self {
            cuts,
            half_open,
            kills,
            restarts,
            promotions,
            unheard,
            handovers,
            delay_max_ms: [1, 40, 2_000][rng.usize(..3)],
            pause_max_ms: [20, 400, 3_000][rng.usize(..3)],
            backlog: ["16384", "1048576"][rng.usize(..2)],
        }
    }
}

/// What happened in a fleet.
#[derive(Clone, Copy, Debug, Default)]
pub struct FleetTally {
    /// Times that the role went to another server.
    pub promotions: u64,
    /// Those of a replica that had not heard of the promotion before.
    pub unheard: u64,
    /// Writes that replicas confirmed and that a promotion could have lost.
    pub promises: u64,
    /// Comparisons of two servers at the same offset.
    pub comparisons: u64,
    /// Replicas that went on where they were, and those that got everything.
    pub partial_syncs: u64,
    /// Replicas that got everything.
    pub full_syncs: u64,
}

impl std::ops::AddAssign for FleetTally {
    fn add_assign(&mut self, other: Self) {
        self.promotions += other.promotions;
        self.unheard += other.unheard;
        self.promises += other.promises;
        self.comparisons += other.comparisons;
        self.partial_syncs += other.partial_syncs;
        self.full_syncs += other.full_syncs;
    }
}

impl std::fmt::Display for FleetTally {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { promotions, unheard, promises, comparisons, partial_syncs, full_syncs } = self;
        write!(
            out,
            "{promotions} promotions, {unheard} of them after an unheard one, {promises} confirmed writes, {comparisons} \
             comparisons, {partial_syncs} partial and {full_syncs} full syncs"
        )
    }
}

/// Everything.
pub struct Fleet {
    rng: Rng,
    clock: Clock,
    climate: Climate,
    nodes: Vec<Node>,
    /// Of each node to its master.
    links: Vec<Option<Link>>,
    /// Whom clients write to.
    master: usize,
    /// From this offset on the master has told that it is one: who has less must not take over after it.
    settled_at: u64,
    promises: Vec<Promise>,
    /// How far each node has ever been in a history.
    reached: HashMap<(usize, String), u64>,
    /// The highest tokens that were given out, of deliveries and of locks.
    tokens: [i64; 2],
    /// Ids of all jobs.
    ids: HashSet<Vec<u8>>,
    unique: u64,
    /// What happened.
    pub tally: FleetTally,
}

impl Fleet {
    /// The fleet of a seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let climate = Climate::of(&mut rng);
        let clock = Clock::default();
        trace::note(clock.now().mono_ms, &format!("seed {seed}, {climate:?}"));
        let follows = |number: usize| (number > 0).then_some(0);
        let nodes =
            (0..NODES).map(|number| Node::new(number, &clock, &mut rng, follows(number), climate.backlog));
        let mut fleet = Self {
            nodes: nodes.collect(),
            rng,
            clock,
            climate,
            links: (0..NODES).map(|_| None).collect(),
            master: 0,
            settled_at: 0,
            promises: Vec::new(),
            reached: HashMap::new(),
            tokens: [0; 2],
            ids: HashSet::new(),
            unique: 0,
            tally: FleetTally::default(),
        };
        let every = [
            "CRON.SET", "slots", "EVERY", "30s", "CATCHUP", "all", "OVERLAP", "allow", "PUSH", "cron", "t",
            "p",
        ];
        fleet.ask_master(&every);
        fleet.pass_ms(3_000);
        fleet
    }

    fn note(&self, what: &str) {
        trace::note(self.clock.now().mono_ms, what);
    }

    /// One thing happens.
    pub fn step(&mut self) {
        let climate = self.climate.clone();
        let roll = self.rng.u32(..1000);
        let rates = [
            climate.cuts,
            climate.half_open,
            climate.kills,
            climate.restarts,
            climate.promotions,
            climate.handovers,
            climate.unheard,
            300,
        ];
        let mut edge = 0;
        let what = rates.iter().position(|rate| {
            edge += rate;
            roll < edge
        });
        match what {
            Some(0) => self.cut_a_link(false),
            Some(1) => self.cut_a_link(true),
            Some(2 | 3) => {
                let number = self.rng.usize(..NODES);
                self.end_a_node(number, what == Some(2));
            }
            Some(4) => self.promote(),
            Some(5) => self.hand_over(),
            Some(6) => self.promote_unheard(),
            Some(7) => {
                let most = if self.rng.u8(..15) == 0 { 70_000 } else { self.climate.pause_max_ms };
                let ms = self.rng.u64(..=most);
                self.pass_ms(ms);
            }
            _ => self.act(),
        }
        self.settle();
        self.check();
    }

    /// After all faults: everybody comes to the same.
    pub fn finish(&mut self) {
        self.note("no more faults");
        self.climate.delay_max_ms = 1;
        // Half-open links are noticed, and everything is sent once more if need be.
        self.pass_ms(200_000);
        // A message may be under way at any moment, but not at all of them.
        for _ in 0..10 {
            if self.is_at_rest() {
                break;
            }
            self.pass_ms(20);
        }
        self.check();
        self.check_all_agree();
        self.check_schedule();
    }

    // ---- clients

    fn ask_master(&mut self, words: &[&str]) -> Value {
        let master = self.master;
        self.ask(master, words)
    }

    /// A client of a node sends a request that has a reply at once.
    fn ask(&mut self, number: usize, words: &[&str]) -> Value {
        let now = self.clock.now();
        let reply = self.nodes[number].ask(now, words);
        self.note(&format!(
            "node {number}: {} = {}",
            words.join(" "),
            reply.as_ref().map_or("...".to_owned(), shown)
        ));
        self.settle();
        reply.unwrap_or(Value::Null)
    }

    fn act(&mut self) {
        self.unique += 1;
        let (unique, key) = (self.unique.to_string(), self.rng.u32(..12).to_string());
        match self.rng.u32(..15) {
            0 => self.ask_master(&["SET", &format!("text:{key}"), &unique]),
            1 => self.ask_master(&[
                "SET",
                &format!("brief:{key}"),
                &unique,
                "PX",
                &format!("{}", self.unique % 900 + 1),
            ]),
            2 => {
                self.ask_master(&["RPUSH", &format!("list:{key}"), &"x".repeat(self.unique as usize % 3000)])
            }
            3 => self.ask_master(&["LPOP", &format!("list:{key}")]),
            4 => self.ask_master(&["SPOP", &format!("set:{key}")]),
            5 => self.ask_master(&["SADD", &format!("set:{key}"), &unique, "a", "b"]),
            6 => self.ask_master(&["EXPIRE", &format!("list:{key}"), "20"]),
            7 => self.ask_master(&[
                "EVAL",
                "redis.call('INCR', KEYS[1]) return redis.call('DEL', KEYS[2])",
                "2",
                "count",
                &format!("set:{key}"),
            ]),
            8 => self.ask_master(&["PUBLISH", "news", &unique]),
            9 => {
                self.push();
                Value::Null
            }
            10 | 11 => {
                self.fetch();
                Value::Null
            }
            12 => {
                self.wait_while_a_replica_comes_back();
                Value::Null
            }
            _ => {
                self.write_and_wait();
                Value::Null
            }
        };
    }

    /// What the master gives out once only: the reply leaves when the log has it, so that no kill takes it back.
    fn ask_for_number(&mut self, words: &[&str]) -> Value {
        let reply = self.ask_master(words);
        let (master, now) = (self.master, self.clock.now());
        self.nodes[master].write(now);
        reply
    }

    /// A job is pushed; no other job ever had its id.
    fn push(&mut self) {
        let reply = self.ask_for_number(&["JOB.PUSH", "q", "t", &self.unique.to_string()]);
        if let Value::Bulk(id) = &reply {
            assert!(self.ids.insert(id.clone()), "two jobs have the id {}", shown(&reply));
        }
    }

    /// A worker takes a job.
    fn fetch(&mut self) {
        let reply = self.ask_for_number(&["JOB.FETCH", "worker", "QUEUES", "q"]);
        let token = reply.items().and_then(|jobs| jobs.first()?.field("token")?.integer());
        self.rises(0, token);
    }

    /// Somebody takes a lock that nobody else wants.
    fn take_lock(&mut self) {
        let reply = self.ask_for_number(&["LOCK.TAKE", &format!("lock:{}", self.unique), "owner", "1s"]);
        self.rises(1, reply.integer());
    }

    /// A token is higher than every one before.
    fn rises(&mut self, which: usize, token: Option<i64>) {
        let Some(token) = token else { return };
        let before = self.tokens[which];
        assert!(token > before, "token {token} comes after {before}");
        self.tokens[which] = token;
    }

    // ---- faults

    /// Somebody's link is cut; if half of it only, neither side is told.
    fn cut_a_link(&mut self, half: bool) {
        let number = self.rng.usize(..NODES);
        if let Some(link) = &mut self.links[number] {
            trace::note(
                self.clock.now().mono_ms,
                &format!("the link of node {number} is cut, half open: {half}"),
            );
            if half {
                link.is_dead = true;
            } else {
                self.drop_link(number);
            }
        }
    }

    /// A process ends, in order or not, and comes back.
    fn end_a_node(&mut self, number: usize, kill: bool) {
        self.note(&format!("node {number} {}", if kill { "is killed" } else { "ends in order" }));
        let served: Vec<usize> = (0..NODES).filter(|&other| self.is_linked_to(other, number)).collect();
        for other in served {
            // The kernel closes connections, unless the other side never hears of it.
            if self.rng.bool() { self.drop_link(other) } else { self.strand_link(other) }
        }
        self.links[number] = None;
        let now = self.clock.now();
        let before = self.nodes[number].place();
        self.nodes[number].end(now, kill);
        let down_ms = [0, 3, 900, 30_000][self.rng.usize(..4)];
        self.pass_without(number, down_ms);
        let follows = (number != self.master).then_some(self.master);
        self.nodes[number].start(self.clock.now(), self.rng.u64(..), follows, self.climate.backlog);
        if number == self.master {
            self.master_came_back(before);
        }
    }

    /// A client waits for replicas; one that has confirmed ends meanwhile, and confirms again on another connection
    /// while the master may still hold the first one.
    fn wait_while_a_replica_comes_back(&mut self) {
        self.write_and_wait();
        if self.climate.kills > 0 {
            let ms = self.rng.u64(..=self.climate.delay_max_ms * 2);
            self.pass_ms(ms);
            let number = (self.master + self.rng.usize(1..NODES)) % NODES;
            let kill = self.rng.bool();
            self.end_a_node(number, kill);
            self.pass_ms(1_500);
        }
    }

    /// A replica becomes the master, and the others follow it.
    fn promote(&mut self) {
        let Some(chosen) = self.candidate() else { return };
        self.note(&format!("node {chosen} is to be the master"));
        let kept = self.promises_of(chosen);
        self.ask(chosen, &["REPLICAOF", "NO", "ONE"]);
        self.role_went_to(chosen, kept);
        for other in (0..NODES).filter(|&other| other != chosen) {
            self.ask(other, &["REPLICAOF", &node::name(chosen), "1"]);
        }
        self.pass_ms(5);
    }

    /// A replica becomes the master, and, before anybody else hears of it, another replica does.
    fn promote_unheard(&mut self) {
        let before = self.master;
        let Some(first) = self.candidate() else { return };
        let Some(second) = (0..NODES).find(|&number| number != before && number != first) else { return };
        self.note(&format!("node {first} is to be the master, and node {second} does not hear of it"));
        let kept = self.promises_of(first);
        self.ask(first, &["REPLICAOF", "NO", "ONE"]);
        self.role_went_to(first, kept);
        for _ in 0..self.rng.u32(1..30) {
            self.unique += 1;
            match self.rng.u32(..3) {
                0 => self.push(),
                1 => self.fetch(),
                _ => self.take_lock(),
            }
        }
        let ms = self.rng.u64(1..=50);
        self.pass_ms(ms);
        // Nobody takes over who has half a dataset.
        if self.nodes[second].place().is_some() {
            let kept = self.promises_of(second);
            self.ask(second, &["REPLICAOF", "NO", "ONE"]);
            self.role_went_to(second, kept);
            self.tally.unheard += 1;
        }
        let master = self.master;
        for other in (0..NODES).filter(|&other| other != master) {
            self.ask(other, &["REPLICAOF", &node::name(master), "1"]);
        }
        self.pass_ms(5);
    }

    /// FAILOVER: the role goes over in order, or everything stays as it is.
    fn hand_over(&mut self) {
        self.ask_master(&["FAILOVER", "TIMEOUT", "5000"]);
        self.pass_ms(8_000);
        let before = self.master;
        if !self.nodes[before].server.engine.is_replica() {
            return;
        }
        let followed = self.nodes[before].follows();
        let Some(chosen) = followed.filter(|&chosen| !self.nodes[chosen].server.engine.is_replica()) else {
            // It was asked and cannot be heard: the operator gives up.
            self.ask(before, &["FAILOVER", "ABORT"]);
            assert!(
                !self.nodes[before].server.engine.is_replica(),
                "a failover that was given up changes no role"
            );
            self.settled_at = self.nodes[before].offset();
            return;
        };
        self.note(&format!("node {chosen} took over"));
        let all = std::mem::take(&mut self.promises);
        self.role_went_to(chosen, all);
        for other in (0..NODES).filter(|&other| other != chosen && other != before) {
            self.ask(other, &["REPLICAOF", &node::name(chosen), "1"]);
        }
    }

    // ---- time

    /// Lets time pass.
    fn pass_ms(&mut self, ms: u64) {
        self.pass_without(NODES, ms);
    }

    /// Lets time pass while one node is down.
    fn pass_without(&mut self, down: usize, ms: u64) {
        let end = self.clock.now().mono_ms + ms;
        loop {
            self.settle_without(down);
            let now_ms = self.clock.now().mono_ms;
            let up = (0..NODES).filter(|&number| number != down);
            let next = up.filter_map(|number| self.next_event(number)).min();
            match next {
                Some(at) if at <= end => self.clock.pass_until(at.max(now_ms)),
                _ => break,
            }
            let now = self.clock.now();
            for number in (0..NODES).filter(|&number| number != down) {
                self.nodes[number].tick(now);
                self.move_parcels(number, down);
            }
            self.hear_waits();
        }
        self.clock.pass_until(end);
    }

    fn next_event(&self, number: usize) -> Option<u64> {
        let link = self.links[number].as_ref().and_then(Link::next_ms);
        [self.nodes[number].deadline_ms(), link].into_iter().flatten().min()
    }
}
