//! JOB.FETCH: what a delivery says, how many, from where, for how long, and who waits.

use crate::stage::Stage;

#[test]
fn a_delivery_says_everything_a_worker_needs() {
    let mut stage = Stage::new();
    stage.run("JOB.PUSH mail send hello ID greet LEASE 5s");
    let now = stage.wall_ms();
    let deadline = now + 5000;
    stage.expect(
        "JOB.FETCH w1 QUEUES mail",
        &format!(
            "[[id greet token 1 queue mail type send attempt 1 lost 0 deadline {deadline} scheduled_at {now} headers [] \
             payload hello]]"
        ),
    );
    for (name, value) in [
        ("state", "leased"),
        ("worker", "w1"),
        ("token", "1"),
        ("attempt", "1"),
        ("deadline", &deadline.to_string()),
        ("started_at", &now.to_string()),
    ] {
        assert_eq!(stage.field("greet", name), value, "{name}");
    }
    stage.expect("JOB.FETCH w1 QUEUES mail", "nothing");
}

#[test]
fn options_come_in_any_order_and_case() {
    let mut stage = Stage::new();
    stage.run("JOB.MPUSH a t COUNT 3 PAYLOADS 1 2 3");
    stage.run("JOB.MPUSH b t COUNT 3 PAYLOADS 4 5 6");
    let jobs = stage.ask("job.fetch w strict lease 1m count 4 block 5 queues none b a");
    let ids: Vec<String> =
        jobs.items().unwrap().iter().map(|job| job.field("id").unwrap().text().unwrap()).collect();
    // The first queue that has jobs gives what it has, then the next one.
    assert_eq!(ids, ["b:1", "b:2", "b:3", "a:1"]);
    let deadline = stage.wall_ms() + 60_000;
    assert_eq!(stage.field("a:1", "deadline"), deadline.to_string());
    assert_eq!(stage.stats("b", &["ready", "leased", "fetched"]), "0 3 3");
}

/// A delivery announces how many jobs follow before it takes the first: a queue that is named twice, or jobs of several
/// priorities, must not make the announcement wrong.
#[test]
fn a_queue_named_twice_gives_its_jobs_once() {
    let mut stage = Stage::new();
    stage.run("JOB.MPUSH a t COUNT 2 PAYLOADS 1 -7");
    stage.run("JOB.PUSH a t urgent PRIO -5");
    stage.run("JOB.PUSH a t later DELAY 1h");
    stage.run("JOB.PUSH b t 4");
    let jobs = stage.ask("JOB.FETCH w COUNT 10 QUEUES a a b a");
    let payloads: Vec<String> =
        jobs.items().unwrap().iter().map(|job| job.field("payload").unwrap().text().unwrap()).collect();
    assert_eq!(payloads, ["urgent", "1", "-7", "4"]);
    stage.expect("JOB.FETCH w COUNT 10 QUEUES a a b a", "nothing");
}

#[test]
fn tokens_rise_by_queue_and_over_a_restart() {
    let mut stage = Stage::new();
    stage.run("JOB.MPUSH q t COUNT 4 PAYLOADS 1 2 3 4");
    let (_, first) = stage.fetch("q");
    let (_, second) = stage.fetch("q");
    stage.restart(1);
    let (_, third) = stage.fetch("q");
    assert!((first, second) == (1, 2) && third > second);
    stage.expect("JOB.ACK q:2 2", "OK");
}

#[test]
fn who_waits_is_served_in_the_order_of_arrival() {
    let mut stage = Stage::new();
    let (first, second, third) = (stage.connect(), stage.connect(), stage.connect());
    for client in [first, second, third] {
        assert_eq!(stage.send(client, "JOB.FETCH w BLOCK 0 QUEUES x q").0, b"");
    }
    let producer = stage.connect();
    let (_, woken) = stage.send(producer, "JOB.MPUSH q t COUNT 2 PAYLOADS a b");
    let order: Vec<_> = woken.iter().map(|(client, _)| *client).collect();
    assert_eq!(order, [first, second]);
    assert!(woken[0].1.contains("q:1") && woken[1].1.contains("q:2"));
    let (_, woken) = stage.send(producer, "JOB.PUSH x t a");
    assert_eq!(woken[0].0, third);
    assert_eq!(stage.server.engine.waiting_clients(), 0);
}

/// A waiting worker gets a delayed job at its time, a lost one at the end of its lease, and one given back at once.
#[test]
fn who_waits_gets_what_becomes_ready() {
    let mut stage = Stage::new();
    stage.run("JOB.PUSH q t a DELAY 500 LEASE 100");
    let (first, second, third) = (stage.connect(), stage.connect(), stage.connect());
    stage.send(first, "JOB.FETCH w1 BLOCK 0 QUEUES q");
    assert_eq!(stage.pass(499), []);
    let woken = stage.pass(1);
    assert!(woken[0].0 == first && woken[0].1.contains("token 1 "), "{woken:?}");
    stage.send(second, "JOB.FETCH w2 BLOCK 0 LEASE 1h QUEUES q");
    assert_eq!(stage.pass(99), []);
    let woken = stage.pass(1);
    assert!(
        woken[0].0 == second && woken[0].1.contains("token 2 ") && woken[0].1.contains("lost 1"),
        "{woken:?}"
    );
    stage.send(third, "JOB.FETCH w3 BLOCK 0 QUEUES q");
    let (_, woken) = stage.send(second, "JOB.RELEASE q:1 2");
    assert!(woken[0].0 == third && woken[0].1.contains("token 3 ") && woken[0].1.contains("attempt 2"));
}

#[test]
fn waiting_ends_at_its_time_to_the_millisecond() {
    let mut stage = Stage::new();
    let worker = stage.connect();
    stage.send(worker, "JOB.FETCH w BLOCK 250 QUEUES q");
    assert_eq!(stage.pass(249), []);
    assert_eq!(stage.pass(1), [(worker, "nothing".to_owned())]);
    stage.run("JOB.PUSH q t a");
    assert_eq!(stage.state("q:1"), "ready");
}

/// Who went away is not waited for: the job goes to the next in line.
#[test]
fn who_hangs_up_gets_nothing() {
    let mut stage = Stage::new();
    let (gone, here, producer) = (stage.connect(), stage.connect(), stage.connect());
    stage.send(gone, "JOB.FETCH gone BLOCK 0 QUEUES q");
    stage.send(here, "JOB.FETCH here BLOCK 0 QUEUES q");
    stage.server.disconnect(gone);
    let (_, woken) = stage.send(producer, "JOB.PUSH q t a");
    assert_eq!(woken.len(), 1);
    assert_eq!(stage.field("q:1", "worker"), "here");
}

#[test]
fn a_batch_is_at_most_ten_thousand() {
    let mut stage = Stage::new();
    let payloads = " x".repeat(300);
    stage.run(&format!("JOB.MPUSH q t COUNT 300 PAYLOADS{payloads}"));
    let jobs = stage.ask("JOB.FETCH w COUNT 10000 QUEUES q");
    assert_eq!(jobs.items().unwrap().len(), 300);
}

#[test]
fn the_longest_lease_and_the_shortest() {
    let mut stage = Stage::new();
    stage.run("JOB.MPUSH q t COUNT 2 LEASE 7d PAYLOADS a b");
    stage.run("JOB.FETCH w QUEUES q");
    stage.run("JOB.FETCH w LEASE 1 QUEUES q");
    stage.pass(1);
    assert_eq!((stage.state("q:1"), stage.state("q:2")), ("leased".into(), "ready".into()));
    stage.pass(7 * 86_400_000 - 2);
    assert_eq!(stage.state("q:1"), "leased");
    stage.pass(1);
    assert_eq!(stage.state("q:1"), "ready");
}
