//! Snapshots of whole engines: written, read back whole or in pieces, damaged, of other versions; DEBUG RELOAD.
#![expect(clippy::unwrap_used, reason = "a test ends when something is missing")]

use std::convert::Infallible;

use pbj_store::config::Config;
use pbj_store::engine::{ClientId, Engine, EngineOptions, NoHost, Peer, Requests};
use pbj_store::rdb::{LoadOptions, LoadedSnapshot, RdbFault, SnapshotFault, SnapshotHead, SnapshotLoader};
use pbj_store::resp::reply::write_command;
use pbj_store::resp::request::{Batch, Parser, RequestLimits};
use pbj_store::time::Now;

const NOW: Now = Now { wall_us: 1_798_761_600_000_000, mono_ms: 5_000_000 };
const NOW_MS: u64 = NOW.wall_us / 1000;

/// An engine with one client; what it says it did is repeated on a second one and compared, in debug builds.
struct World {
    engine: Engine,
    client: ClientId,
    now: Now,
}

impl World {
    fn with(directives: &[(&str, &str)]) -> Self {
        let mut config = Config::default();
        config.set("enable-debug-command", &["yes"]).unwrap();
        for (name, value) in directives {
            config.set(name, &[value]).unwrap();
        }
        let host = Box::new(NoHost);
        let mut engine = Engine::new(EngineOptions { config, seed: 7, extension: None, host, now: NOW });
        engine.set_feed_wanted(true);
        #[cfg(debug_assertions)]
        engine.check_effects_from_now_on();
        let client = engine.connect(NOW, Peer::default());
        Self { engine, client, now: NOW }
    }

    /// An engine with something of everything in it.
    fn full() -> Self {
        let mut world = Self::with(&[]);
        for request in MAKE {
            let reply = world.say(request);
            assert!(!reply.starts_with('-'), "{request}: {reply}");
        }
        world.call(&[b"FUNCTION", b"LOAD", LIBRARY]);
        world.call(&[b"SCRIPT", b"LOAD", SCRIPT]);
        world.engine.fetch_frames(Vec::new());
        world
    }

    fn call(&mut self, words: &[&[u8]]) -> String {
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        write_command(&mut bytes, words);
        let (mut parser, mut batch) = (Parser::default(), Batch::default());
        let limits = RequestLimits { bulk_max: 1 << 30, authenticated: true };
        parser.parse(&bytes, limits, &mut batch).unwrap();
        self.engine.execute(self.now, self.client, &Requests::new(&batch, &bytes), &mut out);
        String::from_utf8_lossy(&out).replace("\r\n", " ").trim_end().to_owned()
    }

    /// The reply to a request of words without blanks.
    fn say(&mut self, request: &str) -> String {
        let words: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
        self.call(&words)
    }

    fn snapshot(&self) -> Vec<u8> {
        let head = SnapshotHead { unix_seconds: NOW_MS / 1000, ..SnapshotHead::default() };
        let mut all = Vec::new();
        let Ok(()) = self.engine.write_snapshot(&head, |piece| {
            all.extend_from_slice(&piece);
            Ok::<_, Infallible>(())
        });
        all
    }

    fn load(&mut self, snapshot: &[u8], options: LoadOptions) -> Result<LoadedSnapshot, SnapshotFault> {
        let mut loader = SnapshotLoader::new(&self.engine, options);
        loader.feed(&mut self.engine, self.now, snapshot)?;
        loader.finish().map(|(loaded, _)| loaded)
    }

    fn frames(&mut self) -> String {
        let frames = self.engine.fetch_frames(Vec::new());
        String::from_utf8_lossy(&frames).replace("\r\n", " ").trim_end().to_owned()
    }
}

const LIBRARY: &[u8] = b"#!lua name=lib\nredis.register_function('answer', function() return 42 end)";
const SCRIPT: &[u8] = b"return 'a script that stays'";

const MAKE: &[&str] = &[
    "SET text some-text",
    "SET number -70000",
    "SET dated soon PX 100000",
    "SETBIT bits 9000 1",
    "RPUSH list a 1 -5000 70000 -3000000000 element",
    "SADD integers 1 -300 70000 5000000000",
    "SADD words a b 17 word",
    "HSET hash field value number 17 other-field -1",
    "ZADD zset 1 a 2.5 b -inf c 4000000000 d",
    "XADD stream 5-1 f v g 17",
    "XADD stream 7-0 other fields",
    "XADD stream 9-9 f x g 19",
    "XDEL stream 7-0",
    "XGROUP CREATE stream group 0",
    "XREADGROUP GROUP group alice COUNT 2 STREAMS stream >",
    "SELECT 3",
    "SET text another",
    "SET number 5 PX 5000000",
    "SELECT 15",
    "SADD last one",
    "SELECT 0",
];

/// A snapshot in the hands of somebody who writes it down himself, without a checksum.
fn by_hand(head: &[u8], records: &[&[u8]]) -> Vec<u8> {
    [head, &records.concat(), b"\xff\0\0\0\0\0\0\0\0"].concat()
}

fn load_by_hand(head: &[u8], records: &[&[u8]]) -> (World, Result<LoadedSnapshot, SnapshotFault>) {
    let mut world = World::with(&[]);
    let loaded = world.load(&by_hand(head, records), LoadOptions::default());
    (world, loaded)
}

#[test]
fn everything_comes_back_whatever_the_pieces() {
    let mut world = World::full();
    let snapshot = world.snapshot();
    let mut rng = fastrand::Rng::with_seed(5);
    for round in 0..50 {
        let mut other = World::with(&[]);
        let mut loader = SnapshotLoader::new(&other.engine, LoadOptions::default());
        let mut rest = &snapshot[..];
        while !rest.is_empty() {
            let largest = if round == 0 { 1 } else { rest.len().min(1 + rng.usize(..200)) };
            let (piece, more) = rest.split_at(largest);
            rest = more;
            let ended = loader.feed(&mut other.engine, NOW, piece).unwrap();
            assert_eq!(ended, rest.is_empty());
        }
        let (loaded, rest) = loader.finish().unwrap();
        assert!(rest.is_empty());
        assert_eq!((loaded.keys, loaded.libraries, loaded.expired, loaded.empty_count), (13, 1, 0, 0));
        assert_eq!(loaded.fact("redis-ver"), Some("7.0.15"));
        assert_eq!(loaded.fact("CTIME"), Some("1798761600"));
        assert_eq!(other.engine.digest(), world.engine.digest());
        for request in ["PEXPIRETIME dated", "XINFO STREAM stream FULL", "FCALL answer 0", "DBSIZE"] {
            assert_eq!(other.say(request), world.say(request));
        }
        let digest = world.call(&[b"SCRIPT", b"LOAD", SCRIPT]);
        let digest = digest.split(' ').next_back().unwrap();
        assert_eq!(other.say(&format!("EVALSHA {digest} 0")), "$19 a script that stays");
        assert_eq!(other.snapshot().len(), snapshot.len());
    }
}

/// Half of a snapshot is none, and neither is one with a bit flipped: each byte is either checked itself or summed up.
#[test]
fn no_damage_goes_unseen() {
    let world = World::full();
    let snapshot = world.snapshot();
    for cut in 0..snapshot.len() {
        let mut other = World::with(&[]);
        let fault = other.load(&snapshot[..cut], LoadOptions::default()).unwrap_err();
        assert_eq!(fault.fault, RdbFault::Truncated, "cut at {cut}");
        assert!(fault.offset <= cut as u64);
    }
    for at in 0..snapshot.len() {
        let mut damaged = snapshot.clone();
        damaged[at] ^= 1 << (at % 8);
        let mut other = World::with(&[]);
        assert!(other.load(&damaged, LoadOptions::default()).is_err(), "byte {at}");
    }
}

#[test]
fn a_checksum_that_is_not_wanted_is_not_looked_at() {
    let mut snapshot = World::full().snapshot();
    let at = snapshot.len() - 1;
    snapshot[at] ^= 1;
    let mut world = World::with(&[]);
    let fault = world.load(&snapshot, LoadOptions::default()).unwrap_err();
    assert!(matches!(fault.fault, RdbFault::Checksum { .. }), "{fault}");
    snapshot.truncate(at - 7);
    snapshot.extend_from_slice(&[0; 8]);
    assert!(World::with(&[]).load(&snapshot, LoadOptions::default()).is_ok());
    let mut careless = World::with(&[("rdbchecksum", "no")]);
    assert!(careless.load(&snapshot, LoadOptions::default()).is_ok());
    assert!(careless.snapshot().ends_with(&[0; 8]));
    snapshot[at] ^= 1;
    assert!(World::with(&[("rdbchecksum", "no")]).load(&snapshot, LoadOptions::default()).is_ok());
}

/// A snapshot that is sent over a link has something behind it.
#[test]
fn what_stands_behind_the_end_is_left_over() {
    let world = World::full();
    let mut other = World::with(&[]);
    let mut loader = SnapshotLoader::new(&other.engine, LoadOptions::default());
    let sent = [&*world.snapshot(), b"*1\r\n$4\r\nPING\r\n"].concat();
    assert_eq!(loader.feed(&mut other.engine, NOW, &sent), Ok(true));
    assert_eq!(loader.feed(&mut other.engine, NOW, b"more"), Ok(true));
    assert_eq!(loader.finish().unwrap().1, b"*1\r\n$4\r\nPING\r\nmore");
}

#[test]
fn keys_past_their_date_are_left_out_unless_a_log_follows() {
    let mut world = World::full();
    world.say("SET later value PX 900000");
    let snapshot = world.snapshot();
    let late = Now { wall_us: NOW.wall_us + 200_000_000, mono_ms: NOW.mono_ms + 200_000 };
    let mut other = World { now: late, ..World::with(&[]) };
    let loaded = other.load(&snapshot, LoadOptions::default()).unwrap();
    assert_eq!((loaded.keys, loaded.expired), (13, 1));
    let mut exact = World { now: late, ..World::with(&[]) };
    let options = LoadOptions { keep_expired: true, ..LoadOptions::default() };
    assert_eq!(exact.load(&snapshot, options).unwrap().keys, 14);
    assert_eq!(exact.engine.digest(), world.engine.digest());
}

#[test]
fn keys_that_are_there_are_refused_or_replaced() {
    let mut world = World::full();
    let snapshot = world.snapshot();
    let fault = world.load(&snapshot, LoadOptions::default()).unwrap_err();
    assert!(matches!(fault.fault, RdbFault::Library(_)), "{fault}");
    world.say("FUNCTION FLUSH");
    let fault = world.load(&snapshot, LoadOptions::default()).unwrap_err();
    assert_eq!((fault.fault, fault.key.is_some()), (RdbFault::DuplicateKey, true));
    let before = world.engine.digest();
    world.say("SET text changed");
    let options = LoadOptions { replace: true, ..LoadOptions::default() };
    assert_eq!(world.load(&snapshot, options).unwrap().keys, 13);
    assert_eq!(world.engine.digest(), before);
}

/// How often or how long ago a key was used survives, under the policies that need it.
#[test]
fn the_use_of_keys_survives() {
    for (policy, make, look, wanted) in [
        ("allkeys-lru", "IDLETIME 700", "OBJECT IDLETIME k", ":700"),
        ("volatile-lfu", "FREQ 77", "OBJECT FREQ k", ":77"),
    ] {
        let directives = [("maxmemory-policy", policy), ("maxmemory", "1gb")];
        let mut world = World::with(&directives);
        world.say("DEBUG SET-SKIP-CHECKSUM-VALIDATION 1");
        world.call(&[b"SET", b"other", b"v"]);
        let make: Vec<&[u8]> = make.split(' ').map(str::as_bytes).collect();
        let restore: [&[u8]; 4] = [b"RESTORE", b"k", b"0", b"\0\x01v\x0a\0........"];
        assert_eq!(world.call(&[&restore[..], &make].concat()), "+OK");
        let mut other = World::with(&directives);
        other.load(&world.snapshot(), LoadOptions::default()).unwrap();
        assert_eq!(other.say(look), wanted);
        assert_eq!(world.say("DEBUG RELOAD"), "+OK");
        assert_eq!(world.say(look), wanted);
        let mut indifferent = World::with(&[]);
        indifferent.load(&world.snapshot(), LoadOptions::default()).unwrap();
        assert_eq!(indifferent.say("OBJECT IDLETIME other"), ":0");
    }
}

/// Version 3, of Redis 2.6: dates in seconds, no checksum, no fields about itself.
#[test]
fn the_oldest_form_is_read() {
    let date = ((NOW_MS / 1000 + 100) as u32).to_le_bytes();
    let records = [b"\xfe\x02\xfd", &date[..], b"\0\x01k\x01v\xfe\0\x01\x01l\x02\x01a\x01b\xff"].concat();
    let mut world = World::with(&[]);
    let mut loader = SnapshotLoader::new(&world.engine, LoadOptions::default());
    let old = [b"REDIS0003", &*records].concat();
    assert_eq!(loader.feed(&mut world.engine, NOW, &old), Ok(true));
    assert_eq!(loader.finish().unwrap().0.keys, 2);
    assert_eq!(world.say("LRANGE l 0 -1"), "*2 $1 a $1 b");
    world.say("SELECT 2");
    assert_eq!(world.say("TTL k"), ":100");
}

#[test]
fn what_others_write_besides_is_passed_over() {
    let key = b"\0\x01k\x01v";
    let (_, loaded) = load_by_hand(
        b"REDIS0012",
        &[b"\xfa\x09redis-ver\x058.0.0", b"\xfa\x07unknown\x05thing", b"\xfb\x01\0", b"\xf4\x05\x01\0", key],
    );
    assert_eq!(loaded.unwrap().facts.len(), 2);
    // Valkey 9: slots that a cluster imports; a hash without dates in the form that could hold some.
    let job = [&b"\xf3\x28"[..], &[b'j'; 40], b"\x02\x01\x05\x40\x64\x41\x00"].concat();
    let (mut world, loaded) =
        load_by_hand(b"VALKEY080", &[&job, b"\x16\x01h\x01\x01f\x01v\xff\xff\xff\xff\xff\xff\xff\xff"]);
    assert_eq!(loaded.unwrap().keys, 1);
    assert_eq!(world.say("HGETALL h"), "*2 $1 f $1 v");
    // The same opcode has another meaning, or none, in Redis.
    let (_, loaded) = load_by_hand(b"REDIS0012", &[&job]);
    assert_eq!(loaded.unwrap_err().fault, RdbFault::UnknownType(243));
}

/// What a module keeps beside keys is passed over, part by part, and named; its values are refused by name.
#[test]
fn modules_are_named() {
    let id = [&b"\x81"[..], &0x91E8_BA84_1022_3403_u64.to_be_bytes()].concat();
    let aux = [b"\xf7", &*id, b"\x02\x02\x01\x07\x02\x09\x05\x05hello\x03....\x04........\0"].concat();
    let (_, loaded) = load_by_hand(b"REDIS0009", &[&aux, &aux, b"\0\x01k\x01v"]);
    let loaded = loaded.unwrap();
    assert_eq!((loaded.keys, loaded.modules.len(), loaded.modules[0].len()), (1, 1, 9));
    let value = [b"\x07\x06module", &*id, b"\x05\x01x\0"].concat();
    let fault = load_by_hand(b"REDIS0009", &[&value]).1.unwrap_err();
    assert_eq!(fault.key.as_deref(), Some(&b"module"[..]));
    assert_eq!(fault.fault, RdbFault::Module { name: loaded.modules[0].clone() });
    let broken = [b"\xf7", &*id, b"\x02\x02\x09\0"].concat();
    assert!(load_by_hand(b"REDIS0009", &[&broken]).1.is_err());
}

#[test]
fn faults_are_named_with_their_place() {
    for (head, records, wanted) in [
        (&b"REDIS0000"[..], &b""[..], "version 'REDIS0000'"),
        (b"REDIS0080", b"", "version 'REDIS0080'"),
        (b"VALKEY081", b"", "version 'VALKEY081'"),
        (b"REDIS00x1", b"", "version 'REDIS00x1'"),
        (b"NOTREDIS1", b"", "does not begin"),
        (b"REDIS0010", b"\xfe\x10", "database 16"),
        (b"REDIS0010", b"\x1a\x01k\0", "unknown type 26"),
        (b"REDIS0010", b"\x0b\x01k\x01x", "key 'k': Intset integrity check failed"),
        (b"REDIS0010", b"\xf5\x03abc", "library of functions cannot be loaded: Missing library metadata"),
        (b"REDIS0010", b"\0\x01k\x01v\0\x01k\x01v", "key 'k': a key that is there already"),
        (b"REDIS0010", b"\0\x01k\x81\xff\xff\xff\xff\xff\xff\xff\xff", "longer than any can be"),
    ] {
        let fault = load_by_hand(head, &[records]).1.unwrap_err().to_string();
        assert!(fault.contains(wanted), "{fault}");
    }
    let (_, loaded) = load_by_hand(b"REDIS0010", &[b"\x02\x01e\0\0\x01k\x01v"]);
    let loaded = loaded.unwrap();
    assert_eq!((loaded.keys, loaded.empty_count, &*loaded.empty[0]), (1, 1, &b"e"[..]));
}

/// A count in a damaged snapshot is believed element by element: it takes no memory ahead.
#[test]
fn counts_take_no_memory() {
    let huge = b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff";
    for kind in [1, 2, 3, 4, 5, 14, 15, 18, 19] {
        let mut world = World::with(&[]);
        let mut loader = SnapshotLoader::new(&world.engine, LoadOptions::default());
        let snapshot = [b"REDIS0010", &[kind, 1, b'k'][..], huge].concat();
        assert_eq!(loader.feed(&mut world.engine, NOW, &snapshot), Ok(false));
        assert_eq!(loader.finish().unwrap_err().fault, RdbFault::Truncated);
    }
}

#[test]
fn a_reload_changes_nothing() {
    let mut world = World::full();
    let digest = world.engine.digest();
    let keys = world.say("DEBUG DIGEST-VALUE stream hash zset dated");
    world.say("SET short value PX 5");
    world.now = Now { wall_us: NOW.wall_us + 10_000, mono_ms: NOW.mono_ms + 10 };
    world.say("WATCH text");
    world.say("SELECT 5");
    assert_eq!(world.say("DEBUG RELOAD"), "+OK");
    world.say("SELECT 0");
    assert_eq!(world.engine.digest(), digest);
    assert_eq!(world.say("DEBUG DIGEST-VALUE stream hash zset dated"), keys);
    assert_eq!(world.say("FCALL answer 0"), ":42");
    world.say("MULTI");
    world.say("PING");
    assert_eq!(world.say("EXEC"), "*-1", "who watches a key sees it go");
    // The log has the key whose date has passed still, and nothing else to hear of.
    let frames = world.frames();
    let words: Vec<&str> = frames.split(' ').collect();
    assert_eq!(words.iter().filter(|word| **word == "DEL").count(), 1, "{frames}");
    assert!(!frames.contains("FLUSHALL") && !frames.contains("RESTORE"), "{frames}");
}

/// What the log does not come to by itself is stated: an old snapshot over newer data.
#[test]
fn an_older_snapshot_is_stated() {
    let mut world = World::full();
    assert_eq!(world.say("DEBUG RELOAD NOSAVE"), "-ERR Error trying to load the RDB dump: there is none");
    assert_eq!(world.say("DEBUG RELOAD"), "+OK");
    let digest = world.engine.digest();
    world.say("SET text changed");
    world.say("SET new value");
    assert_eq!(world.say("DEBUG RELOAD NOSAVE NOFLUSH MERGE"), "+OK");
    assert_eq!(world.say("GET text"), "$9 some-text");
    assert_eq!(world.say("GET new"), "$5 value");
    assert!(world.frames().contains("RESTORE"));
    assert_eq!(world.say("DEBUG RELOAD NOSAVE"), "+OK");
    assert_eq!(world.engine.digest(), digest);
    assert!(world.frames().contains("FLUSHALL"));
    assert!(world.say("DEBUG RELOAD NOFLUSH").starts_with("-ERR Error trying to load the RDB dump"));
    assert_eq!(world.say("DEBUG RELOAD NOFLUSH MERGE"), "+OK");
    assert_eq!(world.engine.digest(), digest);
    let wrong = world.say("DEBUG RELOAD SIDEWAYS");
    assert_eq!(wrong, "-ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.");
}
