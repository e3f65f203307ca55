//! Snapshots of one instant, written while somebody writes: the result is exactly the data as it was then.
#![expect(clippy::unwrap_used, reason = "a test ends when something is missing")]

mod huge;
mod long;

use fastrand::Rng;
use pbj_store::DatasetDigest;
use pbj_store::config::Config;
use pbj_store::engine::{ClientId, Engine, EngineOptions, NoHost, Peer, Requests};
use pbj_store::limits::WALK_VISITS_PER_PIECE as VISITS;
use pbj_store::rdb::{LoadOptions, SnapshotHead, SnapshotLoader, WalkId};
use pbj_store::resp::reply::write_command;
use pbj_store::resp::request::{Batch, Parser, RequestLimits};
use pbj_store::time::Now;

const START: Now = Now { wall_us: 1_798_761_600_000_000, mono_ms: 5_000_000 };

struct World {
    engine: Engine,
    client: ClientId,
    now: Now,
    rng: Rng,
}

/// What a digest does not say: the dates of keys and of fields of hashes.
type Dates = Vec<(usize, String, String, String)>;

/// What a world was at one moment.
struct Instant {
    now: Now,
    digest: DatasetDigest,
    dates: Dates,
}

impl Instant {
    /// A snapshot holds this, and nothing else.
    fn assert_in(&self, snapshot: &[u8], what: &str) {
        let mut loaded = World::load(snapshot, self.now);
        assert_eq!(loaded.engine.digest(), self.digest, "{what}");
        assert_eq!(loaded.dates(), self.dates, "{what}");
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let config = Config::default();
        let host = Box::new(NoHost);
        let mut engine = Engine::new(EngineOptions { config, seed, extension: None, host, now: START });
        let client = engine.connect(START, Peer::default());
        Self { engine, client, now: START, rng: Rng::with_seed(seed) }
    }

    fn say(&mut self, request: &str) -> String {
        let words: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        write_command(&mut bytes, &words);
        let (mut parser, mut batch) = (Parser::default(), Batch::default());
        let limits = RequestLimits { bulk_max: 1 << 30, authenticated: true };
        parser.parse(&bytes, limits, &mut batch).unwrap();
        self.engine.execute(self.now, self.client, &Requests::new(&batch, &bytes), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn key(&mut self) -> String {
        // Few of some, so that each is changed again and again; many of others, so that tables grow and shrink.
        match self.rng.u8(..3) {
            0 => format!("k{}", self.rng.u8(..40)),
            1 => format!("m{}", self.rng.u16(..3000)),
            _ => format!("{}", self.rng.u16(..500)),
        }
    }

    /// Somebody writes something.
    fn write(&mut self) {
        let (key, other, n) = (self.key(), self.key(), self.rng.u32(..50));
        let date = self.now.wall_ms() + self.rng.u64(1..200);
        let request = match self.rng.u8(..30) {
            0 => format!("SET {key} text-{n}"),
            1 => format!("SET {key} {n} PXAT {date}"),
            2 => format!("APPEND {key} more"),
            3 => format!("INCRBY {key} {n}"),
            4 => format!("SETRANGE {key} {n} x"),
            5 => format!("RPUSH {key} a{n} b c"),
            6 => format!("LSET {key} 0 z{n}"),
            7 => format!("LPOP {key}"),
            8 => format!("SADD {key} {n} {}", n + 1),
            9 => format!("SADD {key} word-{n}"),
            10 => format!("SREM {key} {n}"),
            11 => format!("HSET {key} f{n} {n} g v"),
            12 => format!("HPEXPIREAT {key} {date} FIELDS 2 f{n} g"),
            13 => format!("HDEL {key} f{n}"),
            14 => format!("HPERSIST {key} FIELDS 1 g"),
            15 => format!("ZADD {key} {n} m{n} 1.5 o"),
            16 => format!("ZINCRBY {key} 2 m{n}"),
            17 => format!("ZPOPMIN {key}"),
            18 => format!("XADD {key} * f {n}"),
            19 => format!("XGROUP CREATE {key} g 0"),
            20 => format!("XREADGROUP GROUP g c{n} COUNT 2 STREAMS {key} >"),
            21 => format!("XTRIM {key} MAXLEN 2"),
            22 => format!("DEL {key}"),
            23 => format!("RENAME {key} {other}"),
            24 => format!("COPY {key} {other} REPLACE"),
            25 => format!("PEXPIREAT {key} {date}"),
            26 => format!("PERSIST {key}"),
            27 => format!("SELECT {}", self.rng.u8(..3)),
            28 => format!("MOVE {key} {}", self.rng.u8(..4)),
            _ => match self.rng.u16(..400) {
                0 => "FLUSHALL".to_owned(),
                1 => "FLUSHDB".to_owned(),
                2..20 => format!("SWAPDB {} {}", self.rng.u8(..4), self.rng.u8(..4)),
                _ => format!("GETEX {key} PXAT {date}"),
            },
        };
        self.say(&request);
    }

    /// Time goes by: keys and fields expire.
    fn wait(&mut self) {
        let ms = self.rng.u64(..40);
        self.now = Now { wall_us: self.now.wall_us + 1000 * ms, mono_ms: self.now.mono_ms + ms };
        self.engine.tick(self.now);
    }

    fn begin(&mut self) -> WalkId {
        self.engine.begin_walk(&SnapshotHead::default()).unwrap()
    }

    /// Begins to write it as commands.
    fn begin_commands(&mut self) -> WalkId {
        self.engine.begin_walk(&SnapshotHead { as_commands: true, ..SnapshotHead::default() }).unwrap()
    }

    fn load(snapshot: &[u8], now: Now) -> Self {
        let mut other = Self::new(99);
        other.now = now;
        if !snapshot.starts_with(b"REDIS") {
            replay(&mut other.engine, snapshot, now);
            return other;
        }
        let options = LoadOptions { keep_expired: true, ..LoadOptions::default() };
        let mut loader = SnapshotLoader::new(&other.engine, options);
        assert!(loader.feed(&mut other.engine, now, snapshot).unwrap(), "it ends");
        let (_, rest) = loader.finish().unwrap();
        assert!(rest.is_empty());
        other
    }

    fn instant(&mut self) -> Instant {
        Instant { now: self.now, digest: self.engine.digest(), dates: self.dates() }
    }

    fn dates(&mut self) -> Dates {
        let mut dates = Vec::new();
        for db in 0..4 {
            self.say(&format!("SELECT {db}"));
            let keys = self.say("KEYS *");
            for key in keys.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with(['$', '*'])) {
                let date = self.say(&format!("PEXPIRETIME {key}"));
                let mut fields = self.say(&format!("HPEXPIRETIME {key} FIELDS 1 g"));
                for n in 0..50 {
                    fields += &self.say(&format!("HPEXPIRETIME {key} FIELDS 1 f{n}"));
                }
                dates.push((db, key.to_owned(), date, fields));
            }
        }
        dates.sort();
        self.say("SELECT 0");
        dates
    }
}

/// One client writes all the time: every type, dates, renames, exchanged and emptied databases, tables that grow and
/// shrink. Whatever it does, the snapshot has what was there when it began.
#[test]
fn a_snapshot_is_the_state_at_the_instant_it_began() {
    let mut emptied_on_the_way = 0;
    for seed in 0..25 {
        let mut world = World::new(seed);
        for _ in 0..world.rng.u32(..8000) {
            world.write();
        }
        world.wait();
        let instant = world.instant();
        let id = if seed % 2 == 0 { world.begin() } else { world.begin_commands() };
        let (mut snapshot, mut grows) = (Vec::new(), 0);
        loop {
            // At times the writer is much faster than the walk, at times slower; and there is a great deletion.
            let writes = if world.rng.u8(..4) == 0 { world.rng.u32(..1000) } else { world.rng.u32(..20) };
            for _ in 0..writes {
                world.write();
            }
            match world.rng.u8(..12) {
                0 => world.wait(),
                1 => {
                    for n in 0..2000 {
                        world.say(&format!("SET new:{grows}:{n} x"));
                    }
                    grows += 1;
                }
                2 => {
                    for n in 0..3000 {
                        world.say(&format!("DEL m{n} new:0:{n}"));
                    }
                }
                3 if world.rng.u8(..4) == 0 => {
                    world.say("FLUSHALL");
                    emptied_on_the_way += 1;
                }
                _ => {}
            }
            let visits = world.rng.usize(1..300);
            let piece = world.engine.walk_on(id, visits).unwrap();
            snapshot.extend_from_slice(&piece.bytes);
            if piece.is_last {
                break;
            }
        }
        assert!(world.engine.current_walk().is_none() && world.engine.walk_on(id, 1).is_none());
        instant.assert_in(&snapshot, &format!("seed {seed}"));
    }
    assert!(emptied_on_the_way > 0, "this is among what is tried");
}

/// Whoever follows the stream of effects from the instant on comes to the same data as the one who serves: this is what
/// the base of a log and a replica are.
#[test]
fn a_snapshot_and_the_effects_behind_it_are_the_data() {
    for seed in 100..115 {
        let mut world = World::new(seed);
        world.engine.set_feed_wanted(true);
        (0..3000).for_each(|_| world.write());
        world.engine.fetch_frames(Vec::new());
        let id = world.begin();
        world.engine.set_feed_wanted(true);
        let (mut snapshot, mut frames) = (Vec::new(), Vec::new());
        loop {
            (0..100).for_each(|_| world.write());
            world.wait();
            frames.extend(world.engine.fetch_frames(Vec::new()));
            let piece = world.engine.walk_on(id, VISITS).unwrap();
            snapshot.extend_from_slice(&piece.bytes);
            if piece.is_last {
                break;
            }
        }
        let mut loaded = World::load(&snapshot, world.now);
        replay(&mut loaded.engine, &frames, world.now);
        assert_eq!(loaded.engine.digest(), world.engine.digest(), "seed {seed}");
        assert_eq!(loaded.dates(), world.dates(), "seed {seed}");
    }
}

fn replay(engine: &mut Engine, mut frames: &[u8], now: Now) {
    let limits = RequestLimits { bulk_max: i64::MAX, authenticated: true };
    while !frames.is_empty() {
        let (mut parser, mut batch) = (Parser::default(), Batch::default());
        parser.parse(frames, limits, &mut batch).unwrap();
        let slices = batch.slices(frames);
        for n in 0..batch.len() {
            engine.replay(now, &slices[batch.arguments_of(n)]).unwrap();
        }
        frames = &frames[batch.bytes_of_first(batch.len())..];
    }
}

#[test]
fn one_walk_at_a_time_and_it_can_be_given_up() {
    let mut world = World::new(1);
    for n in 0..5000 {
        world.say(&format!("SET key:{n} {n}"));
    }
    let first = world.begin();
    assert!(world.engine.begin_walk(&SnapshotHead::default()).is_err());
    assert!(!world.engine.walk_on(first, VISITS).unwrap().is_last);
    world.say("FLUSHALL");
    world.say("SET a 1");
    assert!(world.engine.end_walk(first) && !world.engine.end_walk(first));
    let second = world.begin();
    assert!(world.engine.walk_on(first, VISITS).is_none(), "a walk is known by its name");
    world.say("SET a 2");
    assert!(world.engine.walk_bytes_waiting() > 0);
    let piece = world.engine.walk_on(second, VISITS).unwrap();
    assert!(piece.is_last);
    assert_eq!(World::load(&piece.bytes, START).say("GET a"), "$1\r\n1\r\n");
}

#[test]
fn a_step_is_bounded() {
    let mut world = World::new(2);
    for n in 0..20_000 {
        world.say(&format!("SET key:{n} {}", "x".repeat(n % 300)));
    }
    let id = world.begin();
    let mut pieces = 0;
    loop {
        let piece = world.engine.walk_on(id, VISITS).unwrap();
        assert!(piece.bytes.len() < 70_000);
        pieces += 1;
        if piece.is_last {
            break;
        }
    }
    assert!(pieces > 20_000 / VISITS, "{pieces} pieces");
}
