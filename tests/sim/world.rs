//! The world of a seed: lets clients act, time pass and things break, and says what was promised.
//!
//! Between any two steps of the server (execute, write, begin to sync, end of a sync) the process may end or the power
//! may go. What may be lost then, and nothing else, is what the policy in force says (see `crash.rs`).

mod crash;
mod passing;

use std::collections::BTreeMap;

use fastrand::Rng;
use pbj_store::durable::SyncPolicy;
use pbj_store::engine::ClientId;
use pbj_store::resp::value::Value;
use pbj_store::time::Now;

use super::actor::{Actor, Manner, Sight, Words};
use super::fleet::FleetTally;
use super::model::{Event, Model, Moment, Verdict};
use super::trace;
use super::weather::Weather;
use crate::lab::server::Answer;
use crate::lab::{Clock, FaultyDisk, Replica, Server, ServerOptions, request, shown};

/// A client and its connection.
pub struct Guest {
    /// What it does.
    pub actor: Actor,
    /// Its database.
    pub db: usize,
    connection: Option<ClientId>,
    /// The next reply is that to the first requests of the connection, which are of no interest.
    greets: bool,
    /// The request that has no reply yet, and the turn in its line if it waits.
    pending: Option<(Words, Option<u64>)>,
}

/// A reply that reached its client.
#[derive(Clone, Copy, Debug)]
struct Acknowledged {
    /// When that was written.
    mono_ms: u64,
    /// Place in the history of what it depends on.
    offset: u64,
    policy: SyncPolicy,
}

/// Everything.
pub struct World {
    /// Source of chance.
    pub rng: Rng,
    /// Time.
    pub clock: Clock,
    /// What must be true.
    pub model: Model,
    /// What is in store.
    pub weather: Weather,
    /// The clients.
    pub guests: Vec<Guest>,
    /// Fires of schedules: by job id, where in the history.
    pub fires: BTreeMap<String, u64>,
    pub(super) server: Server,
    pub(super) replica: Replica,
    disk: FaultyDisk,
    options: ServerOptions,
    /// All effects that may still be in the log, of all lives of the server.
    history: Vec<u8>,
    /// When the server of this life had loaded its data.
    began: Now,
    /// Where in the history the stream of this life begins.
    base: u64,
    /// Increments of the log by path, and where in the history each begins.
    increments: Vec<(String, u64)>,
    /// The newest increment was given up: the next one may have its name.
    increment_lost: bool,
    fed: usize,
    observed: Vec<(Moment, Event)>,
    acknowledged: Vec<Acknowledged>,
    /// Writes of this life: the offset behind, and when.
    written: Vec<(u64, u64)>,
    write_at: Option<u64>,
    sync_ends_at: Option<u64>,
    ticked_at: u64,
    failed_at: Option<u64>,
    /// How late the timer was at most, and with it the threads of the log.
    late_ms: u64,
    /// By how much the wall clock was set in this life.
    wall_set_ms: i64,
    /// Somebody has set the wall clock back, in this life or in one before.
    was_set_back: bool,
    /// Where the history was when the start had said where numbers begin, if it did.
    start_told: Option<u64>,
    /// The wall clock was set back in this life: jobs with a date may be ready before it.
    pub(super) dates_blurred: bool,
    set_back: bool,
    /// The wall clock was set back, and the server has not heard of it.
    just_set_back: bool,
    unique: u64,
    /// Starts, lost units and further counts, to see that a seed was worth its time.
    pub tally: Tally,
}

/// What happened in a seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Requests that were executed.
    pub requests: u64,
    /// Starts after the first.
    pub starts: u64,
    /// Crashes that lost something.
    pub losses: u64,
    /// Censuses.
    pub censuses: u64,
    /// Rewrites of the log that came to their end.
    pub rewrites: u64,
    /// Times that a log that had failed was sound again, without a restart.
    pub heals: u64,
    /// Deliveries of jobs.
    pub deliveries: u64,
    /// What happened in fleets.
    pub fleet: FleetTally,
}

fn guests() -> Vec<Guest> {
    let worker = |manner| Actor::Worker { manner, held: Vec::new(), past: Vec::new() };
    let locker = |name: &str| Actor::Locker { name: name.to_owned(), held: Vec::new(), past: Vec::new() };
    let actors = vec![
        (Actor::Producer, 0),
        (Actor::Producer, 0),
        (Actor::Producer, 1),
        (worker(Manner::Obedient), 0),
        (worker(Manner::Obedient), 0),
        (worker(Manner::Obedient), 1),
        (worker(Manner::Slow), 0),
        (worker(Manner::Dying), 0),
        (worker(Manner::Stale), 0),
        (worker(Manner::Stale), 0),
        (Actor::Scheduler { made: Vec::new() }, 0),
        (locker("ann"), 0),
        (locker("bob"), 0),
        (locker("cat"), 0),
        (Actor::Keys { prefix: "x".to_owned() }, 0),
        (Actor::Keys { prefix: "y".to_owned() }, 1),
        (Actor::Fields { key: "dated".to_owned() }, 0),
        (Actor::Fields { key: "dated".to_owned() }, 1),
        (Actor::Feeder, 0),
        (Actor::Popper, 0),
        (Actor::Popper, 0),
        (Actor::Popper, 0),
        (Actor::Operator, 0),
    ];
    actors
        .into_iter()
        .map(|(actor, db)| Guest { actor, db, connection: None, greets: false, pending: None })
        .collect()
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let weather = Weather::of(&mut rng);
        let clock = Clock::default();
        let disk = FaultyDisk::default();
        let options = ServerOptions {
            seed: rng.u64(..),
            policy: weather.policy,
            check_effects: true,
            // The base of a rewrite is a snapshot, or commands.
            directives: vec![("aof-use-rdb-preamble".to_owned(), weather.preamble.to_owned())],
            ..ServerOptions::default()
        };
        let server = Server::start(&disk, clock.now(), &options).expect("a start with nothing");
        let increments = vec![(server.increment().to_owned(), 0)];
        let replica = Replica::new(clock.now(), &options);
        trace::note(clock.now().mono_ms, &format!("seed {seed}, {weather:?}"));
        let mut world = Self {
            rng,
            clock,
            model: Model::default(),
            weather,
            guests: guests(),
            fires: BTreeMap::new(),
            server,
            replica,
            disk,
            options,
            history: Vec::new(),
            began: clock.now(),
            base: 0,
            increments,
            increment_lost: false,
            fed: 0,
            observed: Vec::new(),
            acknowledged: Vec::new(),
            written: Vec::new(),
            write_at: None,
            sync_ends_at: None,
            ticked_at: clock.now().mono_ms,
            failed_at: None,
            late_ms: 0,
            wall_set_ms: 0,
            was_set_back: false,
            start_told: None,
            dates_blurred: false,
            set_back: false,
            just_set_back: false,
            unique: 0,
            tally: Tally::default(),
        };
        world.connect_all();
        world
    }

    /// Monotonic milliseconds.
    pub fn mono_ms(&self) -> u64 {
        self.clock.now().mono_ms
    }

    pub(super) fn note(&self, what: &str) {
        trace::note(self.mono_ms(), what);
    }

    /// Ends the seed if something must not be.
    pub(super) fn must(&self, verdict: Verdict) {
        if let Err(reason) = verdict {
            panic!("{reason}");
        }
    }

    pub(super) fn moment(&self, start: u64, end: u64) -> Moment {
        let now = self.clock.now();
        Moment {
            steady_ms: self.began.wall_ms() + now.mono_ms - self.began.mono_ms,
            wall_ms: now.wall_ms(),
            set_back: self.set_back,
            just_set_back: self.just_set_back,
            start: self.base + start,
            end: self.base + end,
        }
    }

    pub(super) fn observe(&mut self, moment: Moment, event: Event) {
        let verdict = self.model.observe(moment, &event);
        self.observed.push((moment, event));
        self.must(verdict);
    }

    fn connect_all(&mut self) {
        (0..self.guests.len()).for_each(|number| self.connect(number));
        self.deliver();
    }

    fn connect(&mut self, number: usize) {
        let client = self.server.connect(self.clock.now());
        let db = self.guests[number].db.to_string();
        let hello = if self.rng.bool() { "3" } else { "2" };
        let bytes = [request(&["HELLO", hello]), request(&["SELECT", &db])].concat();
        let answer = self.server.execute(self.clock.now(), client, &bytes);
        // Any request finds that time has passed.
        if !answer.woken.is_empty() {
            self.take_note(&answer);
        }
        let guest = &mut self.guests[number];
        (guest.connection, guest.greets, guest.pending) = (Some(client), true, None);
    }

    // ---- clients

    /// A client that is not waiting for a reply does something.
    pub fn act(&mut self) {
        let number = self.rng.usize(..self.guests.len());
        if self.guests[number].pending.is_some() {
            // Sometimes somebody loses patience and hangs up.
            if self.rng.u8(..40) == 0 {
                self.hang_up(number);
            }
            return;
        }
        self.act_as(number);
    }

    /// The timer of the server comes late: somebody uses keys of his own although what is past its date is still there.
    pub fn act_late(&mut self) {
        let ms = self.rng.u64(1..=self.weather.pause_max_ms);
        self.late_ms = self.late_ms.max(ms);
        self.clock.pass_until(self.mono_ms() + ms);
        let is_alone = |guest: &Guest| {
            guest.pending.is_none() && matches!(guest.actor, Actor::Keys { .. } | Actor::Fields { .. })
        };
        let alone: Vec<usize> = (0..self.guests.len()).filter(|&at| is_alone(&self.guests[at])).collect();
        for number in alone {
            self.act_as(number);
        }
        self.pass_ms(0);
    }

    fn act_as(&mut self, number: usize) {
        self.unique += 1;
        let db = self.guests[number].db;
        let all: Vec<&String> = self
            .model
            .jobs
            .range((db, String::new())..(db + 1, String::new()))
            .map(|((_, id), _)| id)
            .collect();
        let mut ids: Vec<String> = Vec::new();
        for _ in 0..3.min(all.len()) {
            ids.push(all[self.rng.usize(..all.len())].clone());
        }
        let sight = Sight {
            wall_ms: self.clock.now().wall_ms(),
            ids,
            unique: self.unique,
            is_rewriting: self.server.is_rewriting(),
        };
        let words = self.guests[number].actor.next(&mut self.rng, &sight);
        if let Some(words) = words {
            self.send(number, words);
        }
    }

    fn hang_up(&mut self, number: usize) {
        self.note(&format!("#{number} hangs up"));
        let guest = &mut self.guests[number];
        if let Some(client) = guest.connection.take() {
            self.server.disconnect(client);
        }
        if let Some((_, Some(turn))) = guest.pending.take() {
            let moment = self.moment(self.server.engine.offset(), self.server.engine.offset());
            self.observe(moment, Event::Left { turn });
        }
        self.connect(number);
        self.deliver();
    }

    /// Executes a request of a client; its reply is on its way.
    pub fn send(&mut self, number: usize, words: Words) {
        let Some(client) = self.guests[number].connection else { return };
        self.note(&format!("#{number} {}", words.join(" ")));
        let answer = self.server.execute(self.clock.now(), client, &bytes_of(&words));
        self.tally.requests += 1;
        let moment = self.moment(answer.offsets.0, answer.offsets.1);
        let db = self.guests[number].db;
        if answer.bytes.is_empty() {
            trace::append(" ... waits");
            self.guests[number].pending = Some((words.clone(), Some(self.unique)));
            self.observe(moment, Event::Waits { db, words, turn: self.unique });
        } else {
            let reply = last_value(&answer.bytes);
            trace::append(&format!(" = {}", shown(&reply)));
            self.guests[number].pending = Some((words.clone(), None));
            self.observe(moment, Event::Reply { db, words, reply, turn: None });
        }
        self.just_set_back = false;
        self.take_note(&answer);
        self.schedule_write();
        self.deliver();
    }

    /// What else came of something the server did: replies to those who waited, effects.
    fn take_note(&mut self, answer: &Answer) {
        let moment = self.moment(answer.offsets.0, answer.offsets.1);
        for (client, bytes) in &answer.woken {
            let number = self.guests.iter().position(|guest| guest.connection == Some(*client));
            let Some(number) = number else { continue };
            let reply = last_value(bytes);
            let (db, pending) = (self.guests[number].db, self.guests[number].pending.clone());
            let Some((words, turn)) = pending else { panic!("#{number} was answered without a request") };
            self.note(&format!("#{number} {} woke = {}", words.join(" "), shown(&reply)));
            assert!(turn.is_some(), "#{number} was answered twice");
            self.guests[number].pending = Some((words.clone(), None));
            self.observe(moment, Event::Reply { db, words, reply, turn });
        }
        let stream = self.server.take_stream();
        self.note_fires(&stream);
        self.history.extend_from_slice(&stream);
    }

    /// Every fire of a schedule pushes a job with an id of its own, once.
    fn note_fires(&mut self, stream: &[u8]) {
        let mut rest = stream;
        while let Some(at) = rest.windows(5).position(|window| window == b"cron:") {
            let offset = self.history.len() + (stream.len() - rest.len()) + at;
            let end = rest[at..].iter().position(|&byte| byte == b'\r').map_or(rest.len(), |len| at + len);
            let id = String::from_utf8_lossy(&rest[at..end]).into_owned();
            // The schedule itself names its last job, and its own key has the word in it.
            let before = &rest[..at];
            let names_job = before.ends_with(b"\r\n") && ends_with_field(before, b"id");
            if names_job {
                assert!(self.fires.insert(id.clone(), offset as u64).is_none(), "{id} was pushed twice");
            }
            rest = &rest[end..];
        }
    }

    /// Brings replies that may leave to their clients.
    fn deliver(&mut self) {
        let policy = self.server.pace().policy();
        for delivery in self.server.deliver() {
            if delivery.offset > 0 {
                let offset = self.base + delivery.offset;
                let written = self.written.partition_point(|&(end, _)| end < delivery.offset);
                let mono_ms = self.written.get(written).map_or(self.mono_ms(), |&(_, at)| at);
                self.acknowledged.push(Acknowledged { mono_ms, offset, policy });
            }
            let guest = self.guests.iter_mut().find(|guest| guest.connection == Some(delivery.client));
            let Some(guest) = guest else { continue };
            if std::mem::take(&mut guest.greets) {
                continue;
            }
            let pending = guest.pending.take();
            let Some((words, None)) = pending else { panic!("a reply without a request: {pending:?}") };
            guest.actor.hear(&words, &last_value(&delivery.bytes));
        }
        // What is certainly synced need not be remembered.
        if self.acknowledged.len() > 4000 {
            self.acknowledged.drain(..2000);
        }
    }

    pub(super) fn extend_history(&mut self, stream: &[u8]) {
        self.note_fires(stream);
        self.history.extend_from_slice(stream);
        self.schedule_write();
    }

    /// Somebody changes `appendfsync`.
    pub fn configure(&mut self, policy: &str) {
        if let Some(operator) = self.idle_guest() {
            self.send(operator, ["CONFIG", "SET", "appendfsync", policy].map(str::to_owned).to_vec());
            self.options.policy = SyncPolicy::named(policy);
        }
    }

    /// Somebody empties a database.
    pub fn flush(&mut self) {
        if let Some(guest) = self.idle_guest() {
            if self.guests[guest].db == 0 {
                // What the start said of numbers stands there.
                self.start_told = None;
            }
            self.send(guest, vec!["FLUSHDB".to_owned()]);
        }
    }

    fn idle_guest(&mut self) -> Option<usize> {
        let idle: Vec<usize> =
            (0..self.guests.len()).filter(|&number| self.guests[number].pending.is_none()).collect();
        if idle.is_empty() { None } else { Some(idle[self.rng.usize(..idle.len())]) }
    }

    /// Feeds the replica what it has not seen yet; it must come to the same.
    pub fn compare_replica(&mut self) {
        let now = self.clock.now();
        self.replica.feed(now, &self.history[self.fed..]);
        self.fed = self.history.len();
        assert_eq!(
            self.server.engine.digest(),
            self.replica.digest(),
            "the effects do not lead to the data they came from"
        );
        let blurred = self.dates_blurred && self.history.windows(8).any(|window| window == b"calendar");
        if blurred {
            return;
        }
        let (live, derived) = (self.server.queues().outline(), self.replica.outline(now));
        assert!(
            live == derived,
            "derived state differs; kept: {:?}; derived at once: {:?}",
            live.difference(&derived).collect::<Vec<_>>(),
            derived.difference(&live).collect::<Vec<_>>()
        );
    }
}

/// The bytes of a request; a transaction is several.
fn bytes_of(words: &[String]) -> Vec<u8> {
    if words[0] != "EXEC" {
        return request(words);
    }
    let inner = words[1..].split(|word| word == "|").map(request);
    [request(&["MULTI"])].into_iter().chain(inner).chain([request(&["EXEC"])]).flatten().collect()
}

/// The last of several replies.
fn last_value(bytes: &[u8]) -> Value {
    let mut rest = bytes;
    loop {
        let (value, taken) = Value::read(rest).expect("a reply is protocol").expect("a reply is whole");
        rest = &rest[taken..];
        if rest.is_empty() {
            return value;
        }
    }
}

/// Whether the argument before the one that begins here is this word.
fn ends_with_field(before: &[u8], word: &[u8]) -> bool {
    let Some(line) = before.strip_suffix(b"\r\n") else { return false };
    let Some(dollar) = line.iter().rposition(|&byte| byte == b'$') else { return false };
    before[..dollar].ends_with(&[b"\r\n", word, b"\r\n"].concat())
}
