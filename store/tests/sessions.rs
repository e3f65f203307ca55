//! What clients see of each other and of themselves: messages between replies, pauses, dates, transactions.
#![expect(clippy::unwrap_used, reason = "a test ends when something is missing")]

use pbj_store::command::Fault;
use pbj_store::config::Config;
use pbj_store::engine::{ClientId, Engine, EngineOptions, Migrated, NoHost, Output, Peer, Requests, Step};
use pbj_store::resp::reply::write_command;
use pbj_store::resp::request::{Batch, Parser, RequestLimits};
use pbj_store::time::Now;

const NOW: Now = Now { wall_us: 1_798_761_600_000_000, mono_ms: 5_000_000 };

/// An engine, a client of it, and the time.
struct World {
    engine: Engine,
    client: ClientId,
    now: Now,
}

impl World {
    fn new() -> Self {
        let config = Config::default();
        let mut engine =
            Engine::new(EngineOptions { config, seed: 7, extension: None, host: Box::new(NoHost), now: NOW });
        engine.set_feed_wanted(true);
        #[cfg(debug_assertions)]
        engine.check_effects_from_now_on();
        let client = engine.connect(NOW, Peer::default());
        Self { engine, client, now: NOW }
    }

    fn connect(&mut self) -> ClientId {
        self.engine.connect(self.now, Peer::default())
    }

    /// What the client gets at once for a request, lines apart by blanks.
    fn call(&mut self, request: &str) -> String {
        self.call_as(self.client, request)
    }

    fn call_as(&mut self, client: ClientId, request: &str) -> String {
        let words: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
        self.call_words(client, &words)
    }

    fn call_words(&mut self, client: ClientId, words: &[&[u8]]) -> String {
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        write_command(&mut bytes, words);
        let (mut parser, mut batch) = (Parser::default(), Batch::default());
        let limits = RequestLimits { bulk_max: 1 << 30, authenticated: true };
        parser.parse(&bytes, limits, &mut batch).unwrap();
        self.engine.execute(self.now, client, &Requests::new(&batch, &bytes), &mut out);
        readable(&out)
    }

    fn eval(&mut self, client: ClientId, script: &str, keys: &[&str]) -> String {
        let count = keys.len().to_string();
        let mut words: Vec<&[u8]> = vec![b"EVAL", script.as_bytes(), count.as_bytes()];
        words.extend(keys.iter().map(|key| key.as_bytes()));
        self.call_words(client, &words)
    }

    fn pass(&mut self, ms: u64) {
        self.now = Now { wall_us: self.now.wall_us + 1000 * ms, mono_ms: self.now.mono_ms + ms };
        self.engine.tick(self.now);
    }

    /// The messages for a client since the last call.
    fn messages(&mut self, client: ClientId) -> Vec<String> {
        let outputs = self.engine.take_outputs().into_iter();
        outputs
            .filter_map(|output| match output {
                Output::Push { client: to, bytes, .. } if to == client => Some(readable(&bytes)),
                _ => None,
            })
            .collect()
    }
}

fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", " ").trim_end().to_owned()
}

#[test]
fn keys_that_share_a_bucket_and_a_date_go_once() {
    let mut world = World::new();
    for key in 0..200 {
        world.call(&format!("SET key:{key} x PX 50"));
    }
    world.engine.fetch_frames(Vec::new());
    world.pass(60);
    assert_eq!(world.engine.data_counters().expired, 200);
    let frames = String::from_utf8(world.engine.fetch_frames(Vec::new())).unwrap();
    assert_eq!(frames.matches("DEL").count(), 200);
}

#[test]
fn confirmations_of_subscriptions_are_messages() {
    let mut world = World::new();
    assert_eq!(world.call("CLIENT REPLY SKIP"), "");
    assert_eq!(world.call("SUBSCRIBE c"), "*3 $9 subscribe $1 c :1");
    assert_eq!(world.call("PING"), "*2 $4 pong $0", "only one reply is skipped");
    assert_eq!(world.call("UNSUBSCRIBE"), "*3 $11 unsubscribe $1 c :0");
    world.call("CLIENT REPLY SKIP");
    assert_eq!(world.call("SUBSCRIBE"), "", "errors are replies");
}

#[test]
fn a_script_that_reads_has_read_the_keys_it_declared() {
    let mut world = World::new();
    let (reader, writer) = (world.client, world.connect());
    world.call("HELLO 3");
    world.call("CLIENT TRACKING ON");
    world.eval(reader, "redis.call('set', 'x', 1)", &["a"]);
    world.call_as(writer, "SET a 1");
    assert!(world.messages(reader).is_empty(), "it has read nothing");
    world.eval(reader, "redis.call('get', 'other')", &["a", "b"]);
    world.call_as(writer, "SET other 1");
    assert!(world.messages(reader).is_empty(), "it did not declare that key");
    world.call_as(writer, "MSET a 1 b 1");
    let told = world.messages(reader);
    assert_eq!(told, [">2 $10 invalidate *1 $1 a", ">2 $10 invalidate *1 $1 b"]);
    world.call_words(reader, &[b"EVAL_RO", b"return redis.call('ping')", b"1", b"a"]);
    world.call_as(writer, "SET a 2");
    assert!(world.messages(reader).is_empty(), "a script that may read need not");
}

#[test]
fn what_a_transaction_reads_after_it_wrote_stays_valid() {
    let mut world = World::new();
    world.call("HELLO 3");
    world.call("CLIENT TRACKING ON");
    for request in ["MULTI", "SET a 1", "GET a"] {
        world.call(request);
    }
    assert_eq!(world.call("EXEC"), "*2 +OK $1 1");
    world.call("MULTI");
    world.call("GET a");
    world.call("SET a 2");
    let reply = world.call("EXEC");
    assert_eq!(reply, "*2 $1 1 +OK >2 $10 invalidate *1 $1 a", "but what it wrote after it read does not");
    world.call("CLIENT TRACKING OFF");
    for request in ["WATCH b", "MULTI", "SET b 1", "CLIENT TRACKING ON BCAST"] {
        world.call(request);
    }
    assert_eq!(world.call("EXEC"), "*2 +OK +OK", "nor is what changed before it asked");
}

#[test]
fn a_pause_of_writes_lets_scripts_through_that_promise_to_read() {
    let mut world = World::new();
    let (other, third) = (world.connect(), world.connect());
    let promise = "#!lua flags=no-writes\nreturn 1";
    world.call_as(third, "MULTI");
    world.eval(third, "return 1", &[]);
    world.call_as(other, "CLIENT PAUSE 1000 WRITE");
    assert_eq!(world.eval(world.client, promise, &[]), ":1");
    world.call("MULTI");
    world.eval(world.client, promise, &[]);
    assert_eq!(world.call("EXEC"), "*1 :1");
    assert_eq!(world.call_as(third, "EXEC"), "", "who promises nothing waits");
    world.call_as(other, "CLIENT UNPAUSE");
    assert_eq!(world.call_as(third, "EXEC"), "*1 :1");
}

#[test]
fn who_expects_one_reply_for_a_command_cannot_listen_to_shards() {
    let mut world = World::new();
    world.call("MULTI");
    world.call("SSUBSCRIBE c");
    assert_eq!(world.call("EXEC"), "*1 -ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
}

#[test]
fn keys_of_a_subcommand_that_is_none() {
    let mut world = World::new();
    assert_eq!(world.call("COMMAND GETKEYS OBJECT key"), "-ERR Invalid command specified");
    assert_eq!(world.call("COMMAND GETKEYS OBJECT ENCODING key"), "*1 $3 key");
    // A stream without its ID.
    let halved = world.call("COMMAND GETKEYS XREADGROUP GROUP g c NOACK STREAMS x0");
    assert_eq!(halved, "-ERR Invalid arguments specified for command");
}

/// Within a transaction nobody hears of what happened before he began to listen, and whoever ends it does; what is
/// published comes after what happened before.
#[test]
fn events_of_a_transaction_come_in_their_order() {
    let mut world = World::new();
    world.call("CONFIG SET notify-keyspace-events KEA");
    let early = world.connect();
    world.call_as(early, "PSUBSCRIBE *");
    for request in
        ["MULTI", "SADD s a", "PSUBSCRIBE __keyevent*", "SADD s b", "PUNSUBSCRIBE", "SADD s c", "PUBLISH c m"]
    {
        world.call(request);
    }
    let reply = world.call("EXEC");
    assert_eq!(reply.matches("__keyevent@0__:sadd").count(), 1, "{reply}");
    let told = world.messages(early).join(" | ");
    assert_eq!(told.matches("__keyevent@0__:sadd").count(), 3, "{told}");
    assert!(told.ends_with("$1 c $1 m"), "{told}");
}

/// SWAPDB brings a key past its date to somebody who waits for it: it goes at once, and the client waits on.
#[test]
fn a_key_past_its_date_is_swapped_to_who_waits() {
    let mut world = World::new();
    for request in ["SELECT 1", "RPUSH k hello", "PEXPIRE k 100", "SELECT 0"] {
        world.call(request);
    }
    let waiter = world.connect();
    assert_eq!(world.call_as(waiter, "BRPOP k 0"), "");
    // Nobody looked for it yet.
    world.now = world.now.plus_ms(101);
    world.engine.fetch_frames(Vec::new());
    assert_eq!(world.call("SWAPDB 1 0"), "+OK");
    let frames = readable(&world.engine.fetch_frames(Vec::new()));
    assert_eq!(frames, "*2 $6 SELECT $1 0 *3 $6 SWAPDB $1 1 $1 0 *2 $3 DEL $1 k");
    assert!(world.call("CLIENT LIST").contains("flags=b"), "it waits on");
    world.call("RPUSH k a");
    let served = world.engine.take_outputs().into_iter().any(
        |output| matches!(output, Output::Reply { client, bytes } if client == waiter && readable(&bytes) == "*2 $1 k $1 a"),
    );
    assert!(served);
}

/// SMOVE looks for both keys, whatever it finds: the target goes if its date has passed.
#[test]
fn a_move_from_nothing_looks_for_its_target() {
    let mut world = World::new();
    world.call("SET t x PXAT 1");
    assert_eq!((world.call("SMOVE none t a"), world.call("DBSIZE")), (":0".into(), ":0".into()));
}

/// What SCAN and RANDOMKEY come by past its date goes key by key, without a transaction; within EXEC with one.
#[test]
fn keys_found_past_their_date_by_the_way_go_one_by_one() {
    for request in ["SCAN 0", "RANDOMKEY"] {
        for in_exec in [false, true] {
            let mut world = World::new();
            world.call("MSET a 1 b 2");
            world.call("PEXPIRE a 1");
            world.call("PEXPIRE b 1");
            world.now = world.now.plus_ms(2);
            world.engine.fetch_frames(Vec::new());
            if in_exec {
                world.call("MULTI");
                world.call(request);
                world.call("EXEC");
            } else {
                world.call(request);
            }
            let frames = readable(&world.engine.fetch_frames(Vec::new()));
            assert_eq!(
                (frames.matches("DEL").count(), frames.contains("MULTI")),
                (2, in_exec),
                "{request}: {frames}"
            );
        }
    }
}

#[test]
fn a_walk_removes_what_it_would_have_returned() {
    let mut world = World::new();
    world.call("SET k x PXAT 1");
    world.call("SCAN 0 MATCH other");
    assert_eq!(world.call("DBSIZE"), ":1");
    assert_eq!(world.call("SCAN 0 MATCH k TYPE list"), "*2 $1 0 *0");
    assert_eq!(world.call("DBSIZE"), ":0");
}

/// A client that is cut off at its limit gets nothing more; a reply is not made longer than that for nobody.
#[test]
fn a_reply_ends_where_its_client_is_cut_off() {
    let mut world = World::new();
    world.call("HSET h f v");
    assert_eq!(world.call("HRANDFIELD h -999999999"), "-ERR value is out of range");
    world.call_words(world.client, &[b"CONFIG", b"SET", b"client-output-buffer-limit", b"normal 1000 0 0"]);
    let started = world.call("HRANDFIELD h -999999999");
    assert!(started.len() < 2000, "{} bytes", started.len());
    assert!(world.call("HRANDFIELD h -3").starts_with("*3"));
}

/// Keys leave for another server: until it has them, reads go on and writes wait; then they are gone here.
#[test]
fn writes_wait_for_a_migration() {
    let mut world = World::new();
    world.call("SET a 1");
    world.call("SET b 2");
    world.call("PEXPIRE b 500");
    assert_eq!(world.call("MIGRATE h 1 missing 0 100"), "+NOKEY");
    let mover = world.connect();
    assert_eq!(world.call_as(mover, "MIGRATE h 1  0 100 REPLACE AUTH secret KEYS a b"), "");
    let steps = world.engine.take_outputs();
    let [Output::Step { client: Some(_), step: Step::Migrate(migration) }] = &steps[..] else {
        panic!("{steps:?}")
    };
    assert!(!format!("{migration:?}").contains("secret"));
    let names: Vec<(&[u8], u64)> =
        migration.moved.iter().map(|moving| (&*moving.key, moving.ttl_ms)).collect();
    assert_eq!(names, [(&b"a"[..], 0), (&b"b"[..], 500)]);
    assert_eq!(world.call("GET a"), "$1 1");
    assert_eq!(world.call("SET a 3"), "", "it waits");
    world.engine.fetch_frames(Vec::new());
    let migrated = Migrated { arrived: vec![(*b"a").into()], fault: Some(Fault::coded("IOERR gone")) };
    world.engine.finish_migration(world.now, mover, migrated);
    let log = world.engine.fetch_frames(Vec::new());
    assert_eq!(readable(&log), "*2 $3 DEL $1 a");
    let told: Vec<(ClientId, String)> = world
        .engine
        .take_outputs()
        .into_iter()
        .filter_map(|output| match output {
            Output::Reply { client, bytes } => Some((client, readable(&bytes))),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(world.client, String::new()), (mover, "-IOERR gone".to_owned())]);
    assert_eq!(world.call("EXISTS a b"), ":1");
    assert_eq!(world.call("SET a 3"), "+OK");
    let nested =
        world.eval(world.client, "return redis.pcall('MIGRATE', 'h', '1', KEYS[1], 0, 1).err", &["a"]);
    assert!(nested.contains("transaction or a script"), "{nested}");
}

/// A command has another name, or none, for clients; the log has its own.
#[test]
fn commands_get_other_names() {
    let mut config = Config::default();
    config.set("rename-command", &["SETNX", "only"]).unwrap();
    config.set("rename-command", &["FLUSHALL", ""]).unwrap();
    let mut engine =
        Engine::new(EngineOptions { config, seed: 7, extension: None, host: Box::new(NoHost), now: NOW });
    engine.set_feed_wanted(true);
    let client = engine.connect(NOW, Peer::default());
    let mut world = World { engine, client, now: NOW };
    assert_eq!(world.call("ONLY k v"), ":1");
    assert!(world.call("SETNX k v").starts_with("-ERR unknown command 'SETNX'"));
    assert!(world.call("FLUSHALL").starts_with("-ERR unknown command 'FLUSHALL'"));
    assert!(readable(&world.engine.fetch_frames(Vec::new())).ends_with("*3 $5 setnx $1 k $1 v"));
}

/// A member of 64 KiB, four million times, is a quarter of a terabyte: the largest reply of the smallest request.
#[test]
fn what_is_repeated_fits_into_a_reply() {
    let mut world = World::new();
    let long = "x".repeat(64 << 10);
    world.call(&format!("SADD s {long}"));
    world.call(&format!("HSET h {long} v"));
    world.call(&format!("ZADD z 1 {long}"));
    for request in ["SRANDMEMBER s -4194304", "HRANDFIELD h -4194304", "ZRANDMEMBER z -4194304"] {
        assert_eq!(world.call(request), "-ERR value is out of range", "{request}");
    }
    assert!(world.call("SRANDMEMBER s -2").starts_with("*2 $65536 xxx"));
}

/// A look at a directive by its name costs as much as a GET.
#[test]
#[cfg(debug_assertions)]
fn no_directive_is_looked_up_for_an_ordinary_request() {
    let mut world = World::new();
    for (role, before) in [("a master", ""), ("a replica", "REPLICAOF 127.0.0.1 1")] {
        if !before.is_empty() {
            world.call(before);
        }
        for request in ["GET a", "SET a b", "LPUSH l a", "HSET h f v", "ZADD z 1 a", "EXPIRE a 100", "PING"] {
            world.call(request);
            let lookups = pbj_store::config::lookups();
            world.call(request);
            let count = pbj_store::config::lookups() - lookups;
            // A refusal may ask why.
            let allowed = if before.is_empty() { 0 } else { 1 };
            assert!(count <= allowed, "{request} on {role} looks {count} directives up");
        }
    }
}

/// The name of a request is not looked up again if the request before had the same; a subcommand has two names.
#[test]
fn requests_sent_at_once_are_told_apart() {
    let mut world = World::new();
    let requests: [&[&[u8]]; 8] = [
        &[b"CLIENT", b"SETNAME", b"a"],
        &[b"CLIENT", b"GETNAME"],
        &[b"CLIENT"],
        &[b"get", b"k"],
        &[b"get", b"k", b"k"],
        &[b"getx", b"k"],
        &[b"getx", b"k"],
        &[b"GET", b"k"],
    ];
    let mut bytes = Vec::new();
    requests.iter().for_each(|words| write_command(&mut bytes, words));
    let (mut parser, mut batch, mut out) = (Parser::default(), Batch::default(), Vec::new());
    parser.parse(&bytes, RequestLimits { bulk_max: 1 << 30, authenticated: true }, &mut batch).unwrap();
    world.engine.execute(world.now, world.client, &Requests::new(&batch, &bytes), &mut out);
    let unknown = "-ERR unknown command 'getx', with args beginning with: 'k' ";
    let expected = [
        "+OK",
        "$1 a",
        "-ERR wrong number of arguments for 'client' command",
        "$-1",
        "-ERR wrong number of arguments for 'get' command",
        unknown,
        unknown,
        "$-1",
    ];
    assert_eq!(readable(&out), expected.join(" "));
}
