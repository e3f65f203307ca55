//! JOB.GET, JOB.CANCEL, JOB.RETRY, JOB.SCAN, QUEUE.LIST, QUEUE.STATS.

use crate::stage::Stage;

#[test]
fn a_cancelled_job_is_never_delivered() {
    let mut stage = Stage::new();
    stage.run("JOB.MPUSH q t COUNT 2 PAYLOADS a b");
    stage.run("JOB.PUSH q t c DELAY 1s");
    stage.expect("JOB.CANCEL q:1 REASON boredom", "[ready cancelled]");
    stage.expect("JOB.CANCEL q:3", "[delayed cancelled]");
    stage.expect("JOB.CANCEL q:1", "[cancelled cancelled]");
    stage.pass(5000);
    assert_eq!(stage.fetch("q").0, "q:2");
    stage.expect("JOB.FETCH w QUEUES q", "nothing");
    assert_eq!(stage.stats("q", &["cancelled", "called_off"]), "2 2");
}

/// The worker of a leased job hears of the cancel when it extends; whatever it says then, the job is cancelled.
#[test]
fn a_leased_job_is_over_when_its_worker_hears_of_it() {
    for (verb, reply) in [("JOB.ACK", "OK"), ("JOB.FAIL", "cancelled"), ("JOB.RELEASE", "OK")] {
        let mut stage = Stage::new();
        stage.run("JOB.PUSH q t a");
        let (id, token) = stage.fetch("q");
        stage.expect(&format!("JOB.CANCEL {id}"), "[leased leased]");
        assert_eq!((stage.state(&id), stage.field(&id, "cancelling")), ("leased".into(), "1".into()));
        let deadline = stage.wall_ms() + 30_000;
        stage.expect(&format!("JOB.EXTEND {id} {token}"), &format!("[deadline {deadline} cancel 1]"));
        stage.expect(&format!("{verb} {id} {token}"), reply);
        assert_eq!((stage.state(&id), stage.field(&id, "cancelling")), ("cancelled".into(), "0".into()));
    }
    let mut stage = Stage::new();
    stage.run("JOB.PUSH q t a LEASE 100");
    stage.fetch("q");
    stage.run("JOB.CANCEL q:1");
    stage.pass(100);
    assert_eq!(stage.state("q:1"), "cancelled");
}

#[test]
fn what_is_over_can_begin_again_with_all_its_attempts() {
    let mut stage = Stage::new();
    stage.run("JOB.PUSH q t a ATTEMPTS 1 KEEP 1h");
    for end in ["JOB.ACK q:1 {} RESULT r", "JOB.FAIL q:1 {} NORETRY", "JOB.CANCEL q:1"] {
        let (_, token) = stage.fetch("q");
        if end.starts_with("JOB.CANCEL") {
            stage.run(&format!("JOB.RELEASE q:1 {token}"));
        }
        stage.run(&end.replace("{}", &token.to_string()));
        let before = stage.state("q:1");
        stage.expect("JOB.RETRY q:1", &format!("[{before} ready]"));
        assert_eq!((stage.field("q:1", "attempt"), stage.field("q:1", "lost")), ("0".into(), "0".into()));
        assert_eq!(
            (stage.field("q:1", "result"), stage.field("q:1", "ended_at")),
            ("nothing".into(), "nothing".into())
        );
    }
    stage.expect("JOB.RETRY q:1", "[ready ready]");
    // It is not forgotten while it is not over.
    stage.pass(7_200_000);
    assert_eq!(stage.state("q:1"), "ready");
    stage.fetch("q");
    stage.expect("JOB.RETRY q:1", "[leased leased]");
}

#[test]
fn a_walk_finds_every_job_that_fits() {
    let mut stage = Stage::new();
    stage.run("JOB.MPUSH mail send COUNT 3 PAYLOADS a b c");
    stage.run("JOB.PUSH mail check d ID special DELAY 1h");
    stage.run("JOB.PUSH video cut e");
    stage.run("SET other 1");
    stage.pass(1000);
    stage.run("JOB.PUSH mail send f");
    let mut walk = |filter: &str| {
        let mut ids = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let reply = stage.ask(&format!("JOB.SCAN {cursor} {filter}"));
            let items = reply.items().unwrap();
            ids.extend(items[1].items().unwrap().iter().map(|id| id.text().unwrap()));
            cursor = items[0].text().unwrap();
            if cursor == "0" {
                ids.sort();
                return ids.join(" ");
            }
        }
    };
    assert_eq!(walk("COUNT 1"), "mail:1 mail:2 mail:3 mail:5 special video:1");
    assert_eq!(walk("QUEUE mail TYPE send"), "mail:1 mail:2 mail:3 mail:5");
    assert_eq!(walk("state Delayed"), "special");
    assert_eq!(walk("OLDER 1s QUEUE mail"), "mail:1 mail:2 mail:3 special");
    assert_eq!(walk("OLDER 1001"), "");
    assert_eq!(walk("QUEUE none"), "");
}

#[test]
fn queues_are_listed_by_name_and_database() {
    let mut stage = Stage::new();
    stage.run("JOB.PUSH mail t a");
    stage.run("JOB.PUSH app:mail t a");
    stage.expect("QUEUE.LIST", "[app:mail mail]");
    stage.expect_all(&[
        ("SELECT 3", "OK"),
        ("QUEUE.LIST", "[]"),
        ("JOB.PUSH z t a", "z:1"),
        ("QUEUE.LIST", "[z]"),
    ]);
    // Asking makes no queue.
    stage.expect_all(&[("JOB.FETCH w QUEUES none", "nothing"), ("QUEUE.LIST", "[z]")]);
    stage.expect_all(&[
        ("FLUSHDB", "OK"),
        ("QUEUE.LIST", "[]"),
        ("SELECT 0", "OK"),
        ("QUEUE.LIST", "[app:mail mail]"),
    ]);
}

#[test]
fn the_oldest_ready_job_is_known() {
    let mut stage = Stage::new();
    stage.run("JOB.PUSH q t a PRIO 5");
    stage.pass(700);
    stage.run("JOB.PUSH q t b PRIO 1");
    stage.pass(300);
    assert_eq!(stage.stats("q", &["oldest_ready_ms"]), "1000");
    stage.fetch("q");
    assert_eq!(stage.stats("q", &["oldest_ready_ms"]), "1000");
    stage.fetch("q");
    assert_eq!(stage.stats("q", &["oldest_ready_ms"]), "0");
}

#[test]
fn databases_can_be_exchanged_and_moved_about() {
    let mut stage = Stage::new();
    stage.run("JOB.PUSH q t a ID x");
    let (_, token) = stage.fetch("q");
    stage.expect_all(&[
        ("SWAPDB 0 1", "OK"),
        ("JOB.GET x", "nothing"),
        ("SELECT 1", "OK"),
        (&format!("JOB.ACK x {token}"), "OK"),
    ]);
}

/// DEBUG LOADAOF forgets everything and reads it again from the log, while clients go on.
#[test]
fn the_log_can_be_read_again_at_any_time() {
    let mut stage = Stage::new();
    stage.run("JOB.MPUSH q t COUNT 3 PAYLOADS a b c");
    stage.run("JOB.PUSH q t d DELAY 1h ID later");
    let (id, token) = stage.fetch("q");
    stage.run("LOCK.TAKE l ann 1h");
    stage.run("CRON.SET s EVERY 1h PUSH q t p");
    let waiter = stage.connect();
    stage.send(waiter, "JOB.FETCH w BLOCK 0 QUEUES other");
    stage.expect("DEBUG LOADAOF", "OK");
    assert_eq!(stage.stats("q", &["ready", "delayed", "leased"]), "2 1 1");
    stage.expect(&format!("JOB.ACK {id} {token}"), "OK");
    stage.expect("LOCK.TAKE l bob 1h", "nothing");
    let producer = stage.connect();
    let (_, woken) = stage.send(producer, "JOB.PUSH other t x");
    assert_eq!(woken.len(), 1);
}
