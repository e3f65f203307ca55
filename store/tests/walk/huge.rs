//! Values of very many elements: no step and no change writes all of one, and what is written is that of the instant.

use pbj_store::engine::Output;
use pbj_store::limits::WALK_VISITS_PER_PIECE as VISITS;
use pbj_store::rdb::WalkId;
use pbj_store::resp::request::{Batch, Parser, RequestLimits};

use super::World;

/// Bytes of a piece, at most: it ends with the part that takes it over 64 KB, and a part is 64 KB of a text at most.
pub(crate) const PIECE_MAX: usize = 200_000;
/// Bytes that one change of such a value may leave waiting: two pages of a text, or what it takes out.
const CHANGE_MAX: usize = 140_000;

/// What makes a value one of very many elements, and what changes it.
const HUGE: [(&str, &str, &[&str]); 6] = [
    ("SADD", "s member-{n}", &["SADD s new-{n}", "SREM s member-{n}", "SPOP s 3", "SMOVE s z:s member-{n}"]),
    (
        "HSET",
        "h field-{n} value-{n}",
        &[
            "HSET h field-{n} other",
            "HDEL h field-{n}",
            "HSET h new-{n} 1",
            "HINCRBY h number 1",
            "HPEXPIREAT h 1898761600000 FIELDS 2 field-{n} g",
            "HPERSIST h FIELDS 1 field-{n}",
        ],
    ),
    (
        "ZADD",
        "z {n} member-{n}",
        &[
            "ZADD z 7 member-{n}",
            "ZREM z member-{n}",
            "ZADD z {n} new-{n}",
            "ZINCRBY z {n} member-{n}",
            "ZPOPMAX z",
            "ZPOPMIN z 2",
            "ZREMRANGEBYSCORE z {n} {n}",
        ],
    ),
    (
        "RPUSH",
        "l element-{n}",
        &[
            "LPUSH l a",
            "RPUSH l b",
            "LPOP l",
            "RPOP l 3",
            "LSET l {n} c",
            "LINSERT l BEFORE element-{n} d",
            "LREM l 0 element-{n}",
            "LTRIM l 2 -3",
            "LMOVE l l LEFT RIGHT",
            "LMOVE l z:l RIGHT LEFT",
        ],
    ),
    (
        "XADD",
        "x 1-{n} field value-{n}",
        &[
            "XADD x * field new-{n}",
            "XADD x * other new-{n}",
            "XDEL x 1-{n}",
            "XTRIM x MINID 1-{n}",
            "XTRIM x MAXLEN ~ 5000",
            "XREADGROUP GROUP g c{n} COUNT 3 STREAMS x >",
            "XACK x g 1-{n}",
            "XCLAIM x g other 0 1-{n}",
            "XGROUP CREATE x g{n} 0",
            "XGROUP DESTROY x g{n}",
            "XGROUP DELCONSUMER x g c{n}",
            "XSETID x 1898761600000-1",
        ],
    ),
    (
        "APPEND",
        "t 0123456789abcdef",
        &[
            "APPEND t more",
            "SETRANGE t {n}0 x",
            "SETBIT t {n}00 1",
            "BITFIELD t SET u8 {n} 1 SET u16 {n}999 2",
        ],
    ),
];

/// Changes that take a whole value out.
const REMOVALS: [&str; 6] = [
    "DEL {key}",
    "FLUSHALL",
    "SET {key} short",
    "COPY small:1 {key} REPLACE",
    "RENAME elsewhere {key}",
    "PEXPIREAT {key} 1",
];
/// Changes of which the value hears nothing.
const MOVES: [&str; 8] = [
    "RENAMENX {key} elsewhere",
    "RENAMENX elsewhere {key}",
    "RENAMENX elsewhere z:{key}",
    "RENAMENX z:{key} {key}",
    "MOVE {key} 3",
    "SWAPDB 0 3",
    "PEXPIREAT {key} 1898761600000",
    "PERSIST {key}",
];

impl World {
    /// A value of each type that is written in several steps, and one whose fields have dates.
    fn fill_with_huge_values(&mut self) {
        for n in 0..6000 {
            for (command, rest, _) in &HUGE[..5] {
                self.say(&format!("{command} {}", rest.replace("{n}", &n.to_string())));
            }
            self.say(&format!("HSET dated f{n} v"));
            if n % 3 == 0 {
                let date = self.now.wall_ms() + 1_000_000 + n;
                self.say(&format!("HPEXPIREAT dated {date} FIELDS 1 f{n}"));
            }
        }
        self.say("XGROUP CREATE x g 0");
        self.say("XREADGROUP GROUP g first COUNT 500 STREAMS x >");
        self.say(&format!("SET t {}", "text".repeat(400_000)));
        (0..500).for_each(|n| drop(self.say(&format!("SET small:{n} {n}"))));
    }

    /// Somebody changes one of them in place, wherever it is.
    fn change_huge(&mut self) {
        let (_, _, changes) = HUGE[self.rng.usize(..HUGE.len())];
        let n = self.rng.u32(..6000).to_string();
        let change = changes[self.rng.usize(..changes.len())];
        let database = 3 * self.rng.u8(..2);
        self.say(&format!("SELECT {database}"));
        self.say(&change.replace("{n}", &n));
        self.say("SELECT 0");
    }

    /// Somebody takes one of them elsewhere.
    fn act_on_huge(&mut self, actions: &[&str]) {
        let (_, rest, _) = HUGE[self.rng.usize(..HUGE.len())];
        let action = actions[self.rng.usize(..actions.len())];
        self.say(&action.replace("{key}", &rest[..1]));
    }
}

/// As long as nobody changes a value of very many elements, no step is long because of it, whatever else is written.
#[test]
fn huge_values_are_written_in_steps() {
    let mut world = World::new(3);
    world.fill_with_huge_values();
    let instant = world.instant();
    let id = world.begin();
    let (snapshot, pieces) = world.write_in_steps(id, |world| {
        let n = world.rng.u32(..500);
        world.say(&format!("SET small:{n} changed"));
        world.say(&format!("DEL small:{}", n / 2));
    });
    assert!(pieces > 40, "{pieces} pieces");
    instant.assert_in(&snapshot, "one world");
}

/// A value of very many elements that is removed or replaced goes along with the walk, whether it was begun or not: no
/// step writes all of it, and nobody who removes it waits. When it is written it is not kept any longer.
#[test]
fn huge_values_that_are_removed_are_written_in_steps() {
    let removals = [
        "DEL {key}",
        "UNLINK {key}",
        "SET {key} short",
        "COPY small:1 {key} REPLACE",
        "RENAME small:1 {key}",
        "PEXPIREAT {key} 1",
        // Emptied, after one was replaced by a value that is not of the instant.
        "SET {key} short|FLUSHDB",
    ];
    for (seed, removal) in removals.into_iter().enumerate() {
        for pieces_before in [0, 4, 12] {
            let mut world = World::new(seed as u64);
            world.fill_with_huge_values();
            let as_commands = pieces_before == 4;
            let instant = world.instant();
            let id = if as_commands { world.begin_commands() } else { world.begin() };
            let (mut snapshot, mut pieces, mut is_last) = (Vec::new(), 0, false);
            while !is_last {
                if pieces == pieces_before {
                    for key in ["s", "h", "z", "l", "x", "t", "dated"] {
                        world.say("SET small:1 1");
                        for request in removal.replace("{key}", key).split('|') {
                            world.say(request);
                        }
                        // A new value at the key is none of the walk's business.
                        world.say(&format!("DEL {key}"));
                        world.say(&format!("SADD {key} new"));
                    }
                    assert!(world.engine.walk_bytes_waiting() > 10_000, "{removal}: they are kept");
                }
                let piece = world.engine.walk_on(id, VISITS).unwrap();
                assert!(piece.bytes.len() < PIECE_MAX, "{removal}: a step of {} bytes", piece.bytes.len());
                snapshot.extend_from_slice(&piece.bytes);
                (pieces, is_last) = (pieces + 1, piece.is_last);
            }
            assert_eq!(world.engine.walk_bytes_waiting(), 0);
            instant.assert_in(&snapshot, &format!("{removal} after {pieces_before} pieces"));
        }
    }
}

/// Whoever changes them, renames, moves or removes them, at any moment: before the walk comes to them, while they are
/// being written, and afterwards. And the next snapshot is that of its own instant, whether the one before was written
/// to its end or given up.
#[test]
fn huge_values_that_change_are_those_of_the_instant() {
    for seed in 0..8 {
        let mut world = World::new(1000 + seed);
        for round in 0..5 {
            if round % 2 == 0 {
                world.fill_with_huge_values();
            }
            let instant = world.instant();
            let id = if (seed + round) % 2 == 0 { world.begin() } else { world.begin_commands() };
            let (quiet, is_given_up) = (world.rng.usize(1..60), world.rng.u8(..4) == 0);
            let mut snapshot = Vec::new();
            for step in 0.. {
                if step % quiet == 0 {
                    (0..world.rng.u8(..60)).for_each(|_| world.change_huge());
                    (0..world.rng.u8(..3)).for_each(|_| world.act_on_huge(&MOVES));
                    if world.rng.u8(..60) == 0 {
                        world.act_on_huge(&REMOVALS);
                    }
                }
                if is_given_up && step == 20 {
                    break;
                }
                let visits = world.rng.usize(1..300);
                let piece = world.engine.walk_on(id, visits).unwrap();
                snapshot.extend_from_slice(&piece.bytes);
                if piece.is_last {
                    break;
                }
            }
            if world.engine.end_walk(id) {
                assert_eq!(world.engine.walk_bytes_waiting(), 0);
                continue;
            }
            assert_eq!(world.engine.walk_bytes_waiting(), 0);
            instant.assert_in(&snapshot, &format!("seed {seed}, round {round}"));
        }
    }
}

/// What was kept for a snapshot that is given up is freed by the host, not by who gives it up.
#[test]
fn what_was_kept_in_vain_is_handed_on() {
    for change in ["SREM s member-1", "HDEL h field-1", "ZREM z member-1", "LPOP l", "XDEL x 1-1", "DEL s"] {
        let mut world = World::new(4);
        world.fill_with_huge_values();
        let id = world.begin();
        world.engine.take_outputs();
        world.say(change);
        assert!(world.engine.walk_bytes_waiting() > 0, "{change}");
        assert!(world.engine.end_walk(id));
        let outputs = world.engine.take_outputs();
        assert!(outputs.iter().any(|output| matches!(output, Output::Garbage(_))), "{change}");
        assert_eq!(world.engine.walk_bytes_waiting(), 0);
    }
}

/// Values that change all the time are written in steps as well: no piece is long, and no change leaves more behind
/// than it changed itself, whether the value was begun or not.
#[test]
fn no_change_and_no_step_writes_all_of_a_huge_value() {
    for seed in 0..4 {
        let mut world = World::new(2000 + seed);
        world.fill_with_huge_values();
        let instant = world.instant();
        let id = if seed % 2 == 0 { world.begin() } else { world.begin_commands() };
        let (snapshot, pieces) = world.write_in_steps(id, |world| {
            for _ in 0..20 {
                let before = world.engine.walk_bytes_waiting();
                if world.rng.u8(..20) == 0 {
                    world.act_on_huge(&MOVES);
                } else {
                    world.change_huge();
                }
                let more = world.engine.walk_bytes_waiting().saturating_sub(before);
                assert!(more < CHANGE_MAX, "a change left {more} bytes");
            }
        });
        assert!(pieces > 40, "{pieces} pieces");
        instant.assert_in(&snapshot, &format!("seed {seed}"));
    }
}

/// Whether bytes are commands, and nothing behind them.
fn are_commands(mut bytes: &[u8]) -> bool {
    let limits = RequestLimits { bulk_max: i64::MAX, authenticated: true };
    while !bytes.is_empty() {
        let (mut parser, mut batch) = (Parser::default(), Batch::default());
        parser.parse(bytes, limits, &mut batch).unwrap();
        if batch.is_empty() {
            return false;
        }
        bytes = &bytes[batch.bytes_of_first(batch.len())..];
    }
    true
}

impl World {
    /// What is known of the stream and its groups, but how nodes are divided, and when consumers were seen.
    fn history(&mut self) -> (String, [String; 5]) {
        let questions =
            ["XINFO GROUPS x", "XPENDING x g - + 9999", "XPENDING x g", "XPENDING x behind", "XLEN x"];
        let whole = self.say("XINFO STREAM x");
        let (_, since) = whole.split_once("last-generated-id").unwrap();
        (since.to_owned(), questions.map(|question| self.say(question)))
    }

    /// Writes everything, while somebody acts before each step. Says how many steps that took.
    pub(crate) fn write_in_steps(&mut self, id: WalkId, mut act: impl FnMut(&mut Self)) -> (Vec<u8>, usize) {
        let (mut snapshot, mut pieces, mut is_last, mut whole) = (Vec::new(), 0, false, 0);
        while !is_last {
            act(self);
            let piece = self.engine.walk_on(id, VISITS).unwrap();
            assert!(piece.bytes.len() < PIECE_MAX, "a step of {} bytes", piece.bytes.len());
            snapshot.extend_from_slice(&piece.bytes);
            if piece.is_whole {
                let is_commands = !snapshot.starts_with(b"REDIS");
                assert!(!is_commands || are_commands(&snapshot[whole..]), "a piece that is not whole");
                whole = snapshot.len();
            }
            (pieces, is_last) = (pieces + 1, piece.is_last);
        }
        (snapshot, pieces)
    }
}

/// A stream and its groups are those of the instant: history, what was read, what is pending with whom and since when.
/// Commands say it as well, as long as no entry that is pending is gone.
#[test]
fn groups_of_a_huge_stream_are_those_of_the_instant() {
    for seed in 0..4 {
        let mut world = World::new(3000 + seed);
        world.fill_with_huge_values();
        for n in 0..40 {
            world.now.wall_us += 1_000_000;
            world.say(&format!("XREADGROUP GROUP g c{} COUNT 90 STREAMS x >", n % 7));
            world.say(&format!("XACK x g 1-{} 1-{}", 60 * n + 5, 17 * n));
            world.say(&format!("XCLAIM x g other 0 1-{}", 70 * n + 6));
        }
        // Entries that are gone, the last one too; none of them is pending.
        world.say("XACK x g 1-40 1-5999");
        world.say("XDEL x 1-40 1-5999");
        world.say("XGROUP CREATE x ahead 9-9");
        world.say("XGROUP CREATE x behind 1-100 ENTRIESREAD 99");
        world.say("XGROUP CREATECONSUMER x behind idle");
        world.say("XSETID x 7-7 ENTRIESADDED 70000");
        let (before, now) = (world.history(), world.now);
        let id = if seed % 2 == 0 { world.begin() } else { world.begin_commands() };
        let changes = if seed < 2 { 0 } else { 20 };
        let (snapshot, _) = world.write_in_steps(id, |world| (0..changes).for_each(|_| world.change_huge()));
        assert_eq!(World::load(&snapshot, now).history(), before, "seed {seed}");
    }
}

/// A stream whose entries are all gone is there all the same; as commands, what is pending of them is left out.
#[test]
fn a_huge_stream_without_entries_is_there_as_commands() {
    let mut world = World::new(5);
    world.say("XGROUP CREATE x g 0 MKSTREAM");
    (0..6000).for_each(|n| drop(world.say(&format!("XADD x 8-{n} f v"))));
    world.say("XREADGROUP GROUP g first COUNT 6000 STREAMS x >");
    world.say("XTRIM x MAXLEN 0");
    let (whole, [_, pending, ..]) = world.history();
    assert!(pending.starts_with("*6000\r\n"));
    let id = world.begin_commands();
    let (snapshot, pieces) = world.write_in_steps(id, |_| ());
    assert!(pieces > 1, "it is written in steps");
    assert!(snapshot.windows(4).filter(|word| word == b"XADD").count() == 1, "it is written as commands");
    let (loaded, [groups, pending, ..]) = World::load(&snapshot, world.now).history();
    assert_eq!((loaded, &*pending), (whole, "*0\r\n"));
    assert!(groups.contains("$9\r\nconsumers\r\n:1\r\n"), "{groups}");
}
