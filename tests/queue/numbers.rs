//! Tokens and the numbers of jobs are given out once, whatever the disk has forgotten.

use fastrand::Rng;
use pbj_store::durable::SyncPolicy;
use pbj_store::resp::value::Value;
use pbj_store::time::Now;
use pbj_tests::lab::{Clock, FaultyDisk, Server, ServerOptions, request};

use crate::stage::Stage;

fn ask(server: &mut Server, now: Now, line: &str) -> Value {
    let client = server.connect(now);
    let words: Vec<&str> = line.split(' ').collect();
    let answer = server.execute(now, client, &request(&words));
    Value::read(&answer.bytes).unwrap().unwrap().0
}

/// The number of a new job, the token of its delivery, and that of a lock that nobody has.
fn numbers(server: &mut Server, now: Now, lock: &str) -> [i64; 3] {
    let id = ask(server, now, "JOB.PUSH q t a").text().unwrap();
    let jobs = ask(server, now, "JOB.FETCH w QUEUES q");
    let token = jobs.items().unwrap()[0].field("token").and_then(Value::integer).unwrap();
    let lock = ask(server, now, &format!("LOCK.TAKE {lock} me 1h")).integer().unwrap();
    [id.rsplit_once(':').unwrap().1.parse().unwrap(), token, lock]
}

/// The power goes before anything was synced, again and again. What a client has heard of jobs, deliveries and locks is
/// forgotten then, and their numbers began with 1 again: the worker of the time before could settle a job that it had
/// never seen.
#[test]
fn a_power_cut_takes_no_number_back() {
    for policy in [SyncPolicy::EverySecond, SyncPolicy::Never] {
        let (mut clock, disk, mut rng) = (Clock::default(), FaultyDisk::default(), Rng::with_seed(7));
        let options = ServerOptions { policy, ..ServerOptions::default() };
        let mut server = Server::start(&disk, clock.now(), &options).unwrap();
        let mut before = numbers(&mut server, clock.now(), "first");
        assert_eq!(before, [1, 1, 1], "the first ones are the first");
        for cut in 0..20 {
            server.write(clock.now().mono_ms).unwrap();
            disk.cut_power(&mut rng);
            clock.pass_ms(5);
            server = Server::start(&disk, clock.now(), &options).unwrap();
            let after = numbers(&mut server, clock.now(), &format!("lock-{cut}"));
            for (after, before) in after.iter().zip(before) {
                assert!(*after > before, "{after} after {before}, behind power cut {cut}");
            }
            before = after;
        }
    }
}

/// Who has no queues finds no key after a start that he has not written.
#[test]
fn where_there_is_no_queue_a_restart_writes_nothing() {
    let mut stage = Stage::new();
    stage.run("SET a 1");
    let before = stage.history_len();
    stage.restart(1);
    assert_eq!(stage.history_len(), before);
    stage.expect("DBSIZE", "1");
}

/// A log that is read again while its server runs has lost nothing: numbers go on where they were.
#[test]
fn reading_the_log_again_skips_no_number_of_a_delivery() {
    let mut stage = Stage::new();
    stage.run("JOB.MPUSH q t COUNT 2 PAYLOADS a b");
    assert_eq!(stage.fetch("q").1, 1);
    stage.expect("DEBUG LOADAOF", "OK");
    assert!(stage.fetch("q").1 < 1_000_000);
}
