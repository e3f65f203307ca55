//! Scripts: in an engine alone ([`engine`]), and in the laboratory: what of them outlives the process, and that jobs
//! are theirs too.
#![expect(clippy::unwrap_used, reason = "a test ends when something is missing")]

mod engine;

use pbj_store::resp::value::Value;
use pbj_tests::lab::{Client, Clock, FaultyDisk, Replica, Server, ServerOptions};

const DIGEST: &str = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";

fn bulk(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec())
}

struct Lab {
    clock: Clock,
    disk: FaultyDisk,
    server: Server,
    client: Client,
}

impl Lab {
    fn new() -> Self {
        let (clock, disk) = (Clock::default(), FaultyDisk::default());
        let options = ServerOptions { check_effects: true, ..ServerOptions::default() };
        let mut server = Server::start(&disk, clock.now(), &options).unwrap();
        let client = Client(server.connect(clock.now()));
        Self { clock, disk, server, client }
    }

    fn call(&mut self, words: &[&str]) -> Value {
        self.client.call(&mut self.server, &self.clock, words)
    }

    fn restart(self) -> Self {
        let Self { mut clock, disk, mut server, .. } = self;
        server.stop().unwrap();
        clock.pass_ms(1000);
        let mut server = Server::start(&disk, clock.now(), &ServerOptions::default()).unwrap();
        let client = Client(server.connect(clock.now()));
        Self { clock, disk, server, client }
    }
}

/// A worker sends a script whole once, and by its digest from then on, also after the server was started anew.
#[test]
fn scripts_and_functions_outlive_the_process() {
    let mut lab = Lab::new();
    let library = "#!lua name=lib\nredis.register_function('answer', function() return 42 end)";
    assert_eq!(lab.call(&["EVAL", "return 1", "0"]), Value::Integer(1));
    assert_eq!(lab.call(&["EVALSHA", DIGEST, "0"]), Value::Integer(1));
    assert_eq!(lab.call(&["SCRIPT", "LOAD", "return 2"]), bulk("7f923f79fe76194c868d7e1d0820de36700eb649"));
    assert_eq!(lab.call(&["FUNCTION", "LOAD", library]), bulk("lib"));
    let mut lab = lab.restart();
    assert_eq!(lab.call(&["EVALSHA", DIGEST, "0"]), Value::Integer(1));
    assert_eq!(lab.call(&["EVALSHA", "7f923f79fe76194c868d7e1d0820de36700eb649", "0"]), Value::Integer(2));
    assert_eq!(lab.call(&["FCALL", "answer", "0"]), Value::Integer(42));
    let dump = lab.call(&["FUNCTION", "DUMP"]);
    assert_eq!(lab.call(&["FUNCTION", "FLUSH"]), Value::Simple("OK".to_owned()));
    assert_eq!(lab.call(&["SCRIPT", "FLUSH"]), Value::Simple("OK".to_owned()));
    let mut lab = lab.restart();
    assert!(
        matches!(lab.call(&["EVALSHA", DIGEST, "0"]), Value::Error(text) if text.starts_with("NOSCRIPT "))
    );
    assert!(matches!(lab.call(&["FCALL", "answer", "0"]), Value::Error(_)));
    let Value::Bulk(payload) = dump else { panic!("a dump is bytes") };
    let restore: [&[u8]; 4] = [b"FUNCTION", b"RESTORE", &payload, b"REPLACE"];
    assert_eq!(lab.client.call(&mut lab.server, &lab.clock, &restore), Value::Simple("OK".to_owned()));
    let mut lab = lab.restart();
    assert_eq!(lab.call(&["FCALL", "answer", "0"]), Value::Integer(42));
}

/// A job is taken, its work is written, and it is acknowledged, in one script: all of it or nothing.
#[test]
fn jobs_locks_and_schedules_work_in_scripts() {
    let mut lab = Lab::new();
    let began = lab.clock.now();
    let mut replica = Replica::new(began, &ServerOptions::default());
    assert!(matches!(
        lab.call(&["EVAL", "return redis.call('JOB.PUSH', 'mail', 'greet', ARGV[1])", "0", "hello"]),
        Value::Bulk(_)
    ));
    let script = "local taken = redis.call('JOB.FETCH', 'worker', 'QUEUES', 'mail') \
                  redis.call('SET', 'seen', cjson.encode(taken)) \
                  return taken";
    let taken = lab.call(&["EVAL", script, "0"]);
    assert!(format!("{taken:?}").contains("104, 101, 108, 108, 111"), "{taken:?}");
    let none = lab.call(&[
        "EVAL",
        "return redis.call('JOB.FETCH', 'worker', 'BLOCK', '10s', 'QUEUES', 'mail') == false",
        "0",
    ]);
    assert_eq!(none, Value::Integer(1), "nobody waits in a script");
    let lock = lab.call(&["EVAL", "return redis.call('LOCK.TAKE', 'l', 'me', '10s')", "0"]);
    assert!(!matches!(lock, Value::Error(_)), "{lock:?}");
    let cron = lab.call(&[
        "EVAL",
        "return redis.call('CRON.SET', 'nightly', 'CRON', '0 3 * * *', 'PUSH', 'mail', 'greet', 'x')",
        "0",
    ]);
    assert!(!matches!(cron, Value::Error(_)), "{cron:?}");
    let stray = lab.call(&["EVAL", "return redis.pcall('SET', 'pbj:{mail}:x', '1').err", "0"]);
    assert!(format!("{:?}", stray).len() > 20 && matches!(stray, Value::Bulk(_)), "{stray:?}");
    replica.feed(began, &lab.server.take_stream());
    assert_eq!(replica.digest(), lab.server.engine.digest());
}
