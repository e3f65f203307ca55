//! Elements that are long themselves: no step writes all of one, and what is written is that of the instant.

use pbj_store::limits::HUGE_TEXT;

use super::World;
use super::huge::PIECE_MAX;

/// Values with long elements: some of them alone, some among many others. `L` is a long text, `M` another one.
const VALUES: [&str; 15] = [
    "HSET h f L L short g 1",
    "HSET dated f L g 1",
    "HPEXPIREAT dated 1898761600000 FIELDS 1 f",
    "RPUSH l a L b M c",
    "SADD s L M 1",
    "ZADD z 1 L 2 M 3 short",
    "XADD x 1-1 f L",
    "XADD x 1-2 L 1 other M",
    "XADD x 1-3 f v",
    "XGROUP CREATE x g 0",
    "HSET H f L",
    "RPUSH Q L",
    "SADD S L M",
    "ZADD Z 5 L 3 M",
    "XADD X 1-1 f L",
];

/// What changes them, and those beside them.
const CHANGES: [&str; 34] = [
    "HSET h f M",
    "HDEL h f L",
    "HSET h g 2",
    "HPEXPIREAT h 1898761600000 FIELDS 1 f",
    "HPERSIST dated FIELDS 1 f",
    "HDEL dated f",
    "LSET l 1 short",
    "LSET l 0 M",
    "LINSERT l BEFORE b L",
    "LPOP l 2",
    "RPOP l 2",
    "LREM l 0 L",
    "SREM s L",
    "SPOP s 2",
    "ZINCRBY z 7 L",
    "ZREM z M",
    "ZADD z 9 short 1 new",
    "XADD x * f M",
    "XDEL x 1-1",
    "XDEL x 1-2",
    "XTRIM x MAXLEN 1",
    "XREADGROUP GROUP g c COUNT 2 STREAMS x >",
    "HSET H f M new 1",
    "HDEL H f",
    "LPOP Q",
    "RPOPLPUSH Q Q",
    "SREM S L",
    "ZINCRBY Z 1 L",
    "ZREM Z M",
    "XDEL X 1-1",
    "DEL h",
    "RENAME z s",
    "COPY x l REPLACE",
    "FLUSHALL",
];

impl World {
    /// Says a request with long texts in it.
    fn say_long(&mut self, request: &str) -> String {
        let long = |fill: &str| fill.repeat(HUGE_TEXT / fill.len() + 77);
        let words = request.split(' ').map(|word| match word {
            "L" => long("0123456789abcde"),
            "M" => long("~^"),
            other => other.to_owned(),
        });
        self.say(&words.collect::<Vec<_>>().join(" "))
    }

    /// Values with long elements, the last ones with many others, too.
    fn fill_with_long_elements(&mut self) {
        self.say("FLUSHALL");
        for value in VALUES {
            self.say_long(value);
        }
        for n in 0..5000 {
            self.say(&format!("HSET H f{n} v"));
            self.say(&format!("RPUSH Q {n}"));
            self.say(&format!("SADD S m{n}"));
            self.say(&format!("ZADD Z {n} m{n}"));
            self.say(&format!("XADD X 2-{n} f v"));
        }
    }
}

/// Whatever is done to them, before the walk comes to them and while a part of them is written.
#[test]
fn long_elements_are_those_of_the_instant_and_written_in_steps() {
    let mut changed = 0;
    for seed in 0..4 {
        let mut world = World::new(4000 + seed);
        for round in 0..2 {
            world.fill_with_long_elements();
            let instant = world.instant();
            let id = if (seed + round) % 2 == 0 { world.begin() } else { world.begin_commands() };
            let (snapshot, pieces) = world.write_in_steps(id, |world| {
                if world.rng.u8(..10) == 0 {
                    // The last ones empty it, and are rare.
                    let rare = if world.rng.u8(..10) == 0 { 0 } else { 4 };
                    let change = CHANGES[world.rng.usize(..CHANGES.len() - rare)];
                    world.say_long(change);
                    changed += 1;
                }
            });
            assert!(pieces > 15 * HUGE_TEXT / PIECE_MAX, "{pieces} pieces");
            instant.assert_in(&snapshot, &format!("seed {seed}, round {round}"));
            assert_eq!(world.engine.walk_bytes_waiting(), 0);
        }
    }
    assert!(changed > 60, "{changed} changes");
}

/// A snapshot that is written at once has them as well.
#[test]
fn a_snapshot_that_nobody_shares_has_long_elements() {
    let mut world = World::new(1);
    world.fill_with_long_elements();
    let instant = world.instant();
    let mut snapshot = Vec::new();
    let Ok(()) = world.engine.write_snapshot::<std::convert::Infallible>(&Default::default(), |piece| {
        assert!(piece.len() < PIECE_MAX, "a piece of {} bytes", piece.len());
        snapshot.extend(piece);
        Ok(())
    });
    instant.assert_in(&snapshot, "at once");
}
