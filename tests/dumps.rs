//! DUMP and RESTORE as a client sees them, what they leave in the log, and payloads that somebody has damaged.
#![expect(clippy::unwrap_used, reason = "a test ends when something is missing")]

use pbj_store::engine::{NoHost, Peer};
use pbj_store::resp::reply::write_command;
use pbj_store::time::Now;
use pbj_tests::lab::alone::{Alone, NOW, executed};

const NOW_MS: u64 = NOW.wall_us / 1000;

/// An engine with one client.
struct World(Alone);

impl World {
    fn new() -> Self {
        Self(Alone::with(Box::new(NoHost), &[("enable-debug-command", "yes")]))
    }

    /// The reply to a request.
    fn call(&mut self, words: &[&[u8]]) -> Vec<u8> {
        executed(words, |requests, out| {
            self.0.engine.execute(NOW, self.0.client, requests, out);
        })
    }

    /// The reply to a request of words without blanks.
    fn say(&mut self, request: &str) -> String {
        let words: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
        String::from_utf8_lossy(&self.call(&words)).trim_end().to_owned()
    }

    fn dump(&mut self, key: &str) -> Vec<u8> {
        let reply = self.call(&[b"DUMP", key.as_bytes()]);
        let start = reply.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        reply[start..reply.len() - 2].to_vec()
    }

    /// The frames since the last call.
    fn frames(&mut self) -> Vec<u8> {
        self.0.engine.fetch_frames(Vec::new())
    }
}

fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_command(&mut bytes, words);
    bytes
}

/// A time to live becomes a date: the log is read at another time. Words that mean something when it is read stay.
#[test]
fn the_log_holds_dates() {
    let mut world = World::new();
    world.say("SET k value");
    let payload = world.dump("k");
    world.frames();
    world.call(&[b"RESTORE", b"a", b"5000", &payload]);
    let date = (NOW_MS + 5000).to_string();
    assert_eq!(world.frames(), command(&[b"RESTORE", b"a", date.as_bytes(), &payload, b"ABSTTL"]));
    world.call(&[b"RESTORE", b"a", b"0", &payload, b"replace", b"idletime", b"7"]);
    assert_eq!(world.frames(), command(&[b"RESTORE", b"a", b"0", &payload, b"REPLACE", b"IDLETIME", b"7"]));
    world.call(&[b"RESTORE-ASKING", b"b", date.as_bytes(), &payload, b"ABSTTL", b"FREQ", b"9"]);
    let words: [&[u8]; 7] = [b"RESTORE", b"b", date.as_bytes(), &payload, b"ABSTTL", b"FREQ", b"9"];
    assert_eq!(world.frames(), command(&words));
}

/// A date that has passed leaves nothing, and takes along what was there.
#[test]
fn a_date_in_the_past_deletes() {
    let mut world = World::new();
    world.say("SET k value");
    let payload = world.dump("k");
    world.frames();
    assert_eq!(world.call(&[b"RESTORE", b"new", b"1", &payload, b"ABSTTL"]), b"+OK\r\n");
    assert_eq!(world.frames(), b"");
    assert_eq!(world.call(&[b"RESTORE", b"k", b"1", &payload, b"ABSTTL", b"REPLACE"]), b"+OK\r\n");
    assert_eq!(world.frames(), command(&[b"DEL", b"k"]));
    assert_eq!(world.say("EXISTS k new"), ":0");
}

/// Redis adds what its clock says without looking, takes the sum for a date in the past, and answers OK to a value it
/// has dropped.
#[test]
fn a_date_beyond_all_clocks_is_refused() {
    let mut world = World::new();
    world.say("SET k value");
    let payload = world.dump("k");
    let reply = world.call(&[b"RESTORE", b"new", b"9223372036854775807", &payload]);
    assert_eq!(reply, b"-ERR Invalid TTL value, must be >= 0\r\n");
    assert_eq!(world.call(&[b"RESTORE", b"new", b"9223372036854775807", &payload, b"ABSTTL"]), b"+OK\r\n");
}

/// Whoever reads the log may be older than the server that a payload came from: the log gets the value as version 10.
#[test]
fn newer_payloads_are_translated_for_the_log() {
    let mut world = World::new();
    world.say("SADD k a b");
    world.say("DEBUG SET-SKIP-CHECKSUM-VALIDATION 1");
    // A listpack of two members, of version 11, without checksum.
    let newer = b"\x14\x0d\x0d\0\0\0\x02\0\x81a\x02\x81b\x02\xff\x0b\0........";
    world.frames();
    assert_eq!(world.call(&[b"RESTORE", b"s", b"0", newer]), b"+OK\r\n");
    assert_eq!(world.say("DEBUG DIGEST-VALUE s"), world.say("DEBUG DIGEST-VALUE k"));
    let frames = world.frames();
    let payload = world.dump("s");
    assert_eq!(frames, command(&[b"RESTORE", b"s", b"0", &payload]));
    assert_eq!(payload[payload.len() - 10..payload.len() - 8], [10, 0]);
    world.say("DEBUG SET-SKIP-CHECKSUM-VALIDATION 0");
    let reply = world.call(&[b"RESTORE", b"t", b"0", newer]);
    assert_eq!(reply, b"-ERR DUMP payload version or checksum are wrong\r\n");
}

/// A script, a transaction and a waiting client meet a key that was restored as they meet any other.
#[test]
fn a_restored_key_wakes_who_waits_for_it() {
    let mut world = World::new();
    world.say("RPUSH l a b");
    let payload = world.dump("l");
    let waiter = world.0.engine.connect(NOW, Peer::default());
    let asked = std::mem::replace(&mut world.0.client, waiter);
    assert_eq!(world.say("BLPOP other 0"), "");
    world.0.client = asked;
    world.call(&[b"RESTORE", b"other", b"0", &payload]);
    let woken = format!("{:?}", world.0.engine.take_outputs());
    assert!(woken.contains("other") || woken.contains("111, 116, 104, 101, 114"), "{woken}");
    assert_eq!(world.say("LLEN other"), ":1");
}

/// Values of every type and encoding.
const MAKE: &[&str] = &[
    "SET text some-text-that-is-neither-short-nor-a-number",
    "SET number -70000",
    "SETBIT bits 9000 1",
    "PFADD hll a b c d e",
    "RPUSH list a 1 -5000 70000 -3000000000 element",
    "RPUSH longlist aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b",
    "SADD integers 1 -300 70000 5000000000",
    "SADD words a b 17 word",
    "HSET hash field value number 17 other-field -1",
    "ZADD zset 1 a 2.5 b -inf c 4000000000 d",
    "XADD stream 5-1 f v g 17",
    "XADD stream 5-2 f w g 18",
    "XADD stream 7-0 other fields",
    "XADD stream 9-9 f x g 19",
    "XDEL stream 5-2",
    "XGROUP CREATE stream group 0",
    "XGROUP CREATE stream late 7-0",
    "XREADGROUP GROUP group alice COUNT 2 STREAMS stream >",
    "XREADGROUP GROUP group bob COUNT 1 STREAMS stream >",
    "XACK stream group 5-1",
];

/// What is done with a value that was taken, by its type.
const WORK: &[(&str, &[&str])] = &[
    ("+string", &["GET k", "APPEND k x", "BITCOUNT k", "SETRANGE k 3 y", "INCR k", "PFCOUNT k"]),
    ("+list", &["LRANGE k 0 -1", "LPUSH k x", "LINSERT k BEFORE x y", "LPOS k y", "RPOP k 2", "LREM k 0 a"]),
    ("+set", &["SMEMBERS k", "SADD k x", "SISMEMBER k 7", "SREM k a", "SSCAN k 0"]),
    ("+hash", &["HGETALL k", "HSET k x y", "HINCRBY k n 5", "HDEL k x", "HSCAN k 0", "HRANDFIELD k 3"]),
    (
        "+zset",
        &["ZRANGE k 0 -1 WITHSCORES", "ZADD k 5 x", "ZRANK k x", "ZPOPMIN k", "ZCOUNT k 0 9", "ZREM k a"],
    ),
    (
        "+stream",
        &[
            "XINFO STREAM k FULL",
            "XRANGE k - +",
            "XREVRANGE k + -",
            "XADD k * f v",
            "XGROUP CREATE k new 0",
            "XREADGROUP GROUP new c STREAMS k >",
            "XREADGROUP GROUP group alice STREAMS k 0",
            "XAUTOCLAIM k group carol 0 -",
            "XACK k group 7-0",
            "XDEL k 7-0",
            "XTRIM k MAXLEN 1",
        ],
    ),
];

/// Changes one or two bytes, or cuts something out, and leaves the last ten as they are.
fn damage(payload: &[u8], rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut damaged = payload.to_vec();
    let body = payload.len() - 10;
    match rng.u8(..10) {
        0 => {
            let from = rng.usize(..body);
            damaged.drain(from..rng.usize(from..=body));
        }
        1 => {
            let at = rng.usize(..body);
            let again = damaged[at..rng.usize(at..=body)].to_vec();
            damaged.splice(at..at, again);
        }
        kind => {
            for _ in 0..=usize::from(kind == 2) {
                let at = rng.usize(..body);
                damaged[at] = if rng.bool() { damaged[at] ^ 1 << rng.u8(..8) } else { rng.u8(..) };
            }
        }
    }
    damaged
}

/// Whatever comes, it is refused or it is a value that can be worked with; what it leaves in the log is what it did.
/// Each seed is a payload, so that a failure names it.
#[test]
fn no_damage_is_too_much() {
    let mut world = World::new();
    for request in MAKE {
        let reply = world.say(request);
        assert!(!reply.starts_with('-'), "{request}: {reply}");
    }
    let keys =
        ["text", "number", "bits", "hll", "list", "longlist", "integers", "words", "hash", "zset", "stream"];
    let mut payloads = Vec::new();
    for compress in ["yes", "no"] {
        world.say(&format!("CONFIG SET rdbcompression {compress}"));
        payloads.extend(keys.map(|key| world.dump(key)));
    }
    // The last one has the most that can be wrong with it.
    let stream = payloads.last().unwrap().clone();
    payloads.extend(std::iter::repeat_n(stream, 8));
    world.say("DEBUG SET-SKIP-CHECKSUM-VALIDATION 1");
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..if cfg!(debug_assertions) { 20_000 } else { 200_000 } {
        let mut rng = fastrand::Rng::with_seed(seed);
        let payload = damage(&payloads[rng.usize(..payloads.len())], &mut rng);
        match &*world.call(&[b"RESTORE", b"k", b"0", &payload]) {
            b"+OK\r\n" => taken += 1,
            b"-ERR Bad data format\r\n" => {
                refused += 1;
                continue;
            }
            other => panic!("seed {seed}: {}", other.escape_ascii()),
        }
        let kind = world.say("TYPE k");
        let (_, work) = WORK.iter().find(|(name, _)| *name == kind).unwrap();
        work.iter().for_each(|request| {
            world.say(request);
        });
        if world.say("EXISTS k") == ":1" {
            let again = world.dump("k");
            assert_eq!(
                world.call(&[b"RESTORE", b"copy", b"0", &again, b"REPLACE"]),
                b"+OK\r\n",
                "seed {seed}"
            );
            let digests = ["k", "copy"].map(|key| world.say(&format!("DEBUG DIGEST-VALUE {key}")));
            assert_eq!(digests[0], digests[1], "seed {seed}");
        }
        world.say("DEL k");
        world.frames();
    }
    assert!(taken > 1000 && refused > 1000, "{taken} were taken, {refused} refused");
}

/// Dates of fields are a part of the value: in a dump, in a snapshot, and in what the log holds of a RESTORE.
#[test]
fn dates_of_fields_come_along() {
    let mut world = World::new();
    let later = NOW_MS + 5000;
    world.say("HSET h a 1 b 2 c 3");
    world.say(&format!("HPEXPIREAT h {later} FIELDS 1 a"));
    world.say(&format!("HPEXPIREAT h {} FIELDS 1 c", later + 1000));
    let payload = world.dump("h");
    assert_eq!(world.call(&[b"RESTORE", b"again", b"0", &payload]), b"+OK\r\n");
    let dates = format!("*3\r\n:{later}\r\n:-1\r\n:{}", later + 1000);
    assert_eq!(world.say("HPEXPIRETIME again FIELDS 3 a b c"), dates);
    assert_eq!(world.say("DEBUG RELOAD"), "+OK");
    for key in ["h", "again"] {
        assert_eq!(world.say(&format!("HPEXPIRETIME {key} FIELDS 3 a b c")), dates, "{key}");
    }
    world.say("SET probe 1");
    world.0.engine.tick(Now { wall_us: (later + 1) * 1000, mono_ms: NOW.mono_ms + 5001 });
    assert_eq!(world.say("HLEN again"), ":2", "and they are obeyed");
}
