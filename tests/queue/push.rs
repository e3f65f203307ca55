//! JOB.PUSH and JOB.MPUSH: ids, order, delays, dates, every option as JOB.GET shows it, bounds.

use crate::stage::Stage;

#[test]
fn ids_are_queue_and_number_or_what_the_client_chose() {
    let mut stage = Stage::new();
    stage.expect_all(&[
        ("JOB.PUSH mail send a", "mail:1"),
        ("JOB.PUSH mail send b ID order-7", "order-7"),
        ("JOB.PUSH mail send c", "mail:3"),
        ("JOB.PUSH video cut d", "video:1"),
        ("JOB.PUSH mail send e ID order-7", "-DUP order-7"),
        ("JOB.PUSH video send e ID order-7", "-DUP order-7"),
        ("JOB.PUSH mail send e ID mail:3", "-DUP mail:3"),
        ("JOB.MPUSH mail send COUNT 3 PAYLOADS x y z", "[mail:4 mail:5 mail:6]"),
        ("SELECT 1", "OK"),
        ("JOB.PUSH mail send a ID order-7", "order-7"),
        ("JOB.PUSH mail send a", "mail:2"),
    ]);
}

/// After a crash a number may be given out again: whoever held it must not get at the job that has it now.
#[test]
fn a_job_with_a_chosen_id_has_no_other() {
    let mut stage = Stage::new();
    stage.expect("JOB.PUSH mail send a ID order-7", "order-7");
    let (id, token) = stage.fetch("mail");
    assert_eq!(id, "order-7");
    stage.expect_all(&[
        ("JOB.GET mail:1", "nothing"),
        ("JOB.PUSH mail send b ID mail:1", "mail:1"),
        ("JOB.CANCEL mail:1", "[ready cancelled]"),
    ]);
    stage.expect(&format!("JOB.ACK order-7 {token}"), "OK");
}

#[test]
fn an_id_that_a_client_chose_is_given_to_no_other_job() {
    let mut stage = Stage::new();
    stage.expect_all(&[
        ("JOB.PUSH mail send a ID mail:2", "mail:2"),
        ("JOB.PUSH mail send a ID mail:3", "mail:3"),
        ("JOB.PUSH mail send b", "mail:4"),
        ("JOB.PUSH mail send a ID mail:6", "mail:6"),
        ("JOB.MPUSH mail send COUNT 2 PAYLOADS x y", "[mail:7 mail:8]"),
    ]);
    assert_eq!(stage.field("mail:2", "payload"), "a");
}

#[test]
fn an_id_is_free_again_when_its_job_is_forgotten() {
    let mut stage = Stage::new();
    stage.expect("JOB.PUSH mail send a ID x KEEP 100", "x");
    let (id, token) = stage.fetch("mail");
    stage.expect(&format!("JOB.ACK {id} {token}"), "OK");
    stage.expect("JOB.PUSH mail send a ID x", "-DUP x");
    stage.pass(99);
    stage.expect("JOB.PUSH mail send a ID x", "-DUP x");
    stage.pass(1);
    stage.expect("JOB.PUSH mail send b ID x", "x");
    stage.expect("JOB.GET mail:1", "nothing");
    assert_eq!(stage.field("x", "payload"), "b");
}

#[test]
fn options_are_kept() {
    let mut stage = Stage::new();
    stage.expect(
        "JOB.PUSH mail send a delay 5s Prio -3 attempts 7 BACKOFF list:1s,1m lease 2m LOST 0 KEEP 1h",
        "mail:1",
    );
    for (name, value) in [
        ("state", "delayed"),
        ("prio", "-3"),
        ("attempt", "0"),
        ("attempts", "7"),
        ("lost", "0"),
        ("lease", "120000"),
        ("token", "nothing"),
        ("backoff", "list:1000,60000"),
        ("type", "send"),
        ("payload", "a"),
        ("worker", "nothing"),
        ("cancelling", "0"),
        ("ended_at", "nothing"),
        ("schedule", "nothing"),
    ] {
        assert_eq!(stage.field("mail:1", name), value, "{name}");
    }
    let now = stage.wall_ms();
    assert_eq!(stage.field("mail:1", "pushed_at"), now.to_string());
    assert_eq!(stage.field("mail:1", "due_at"), (now + 5000).to_string());
    stage.expect("JOB.PUSH mail send a", "mail:2");
    for (name, value) in
        [("state", "ready"), ("prio", "0"), ("attempts", "10"), ("lease", "30000"), ("due_at", "nothing")]
    {
        assert_eq!(stage.field("mail:2", name), value, "{name}");
    }
    assert_eq!(stage.field("mail:2", "backoff"), "exp:1000:3600000:0.1");
}

#[test]
fn a_payload_is_any_bytes() {
    let mut stage = Stage::new();
    stage.expect(r#"JOB.PUSH mail send "\x00\xff\r\n""#, "mail:1");
    assert_eq!(stage.field("mail:1", "payload"), "\\x00\\xff\\r\\n");
    stage.expect(r#"JOB.PUSH mail send """#, "mail:2");
    assert_eq!(stage.field("mail:2", "payload"), "''");
}

/// Urgent ones first; among equals who has been ready for longer; then who was pushed first.
#[test]
fn order_is_priority_then_patience_then_number() {
    let mut stage = Stage::new();
    stage.run("JOB.PUSH q t late DELAY 50");
    stage.run("JOB.PUSH q t calm PRIO 5");
    stage.run("JOB.PUSH q t first");
    stage.run("JOB.PUSH q t second");
    stage.pass(10);
    stage.run("JOB.PUSH q t third");
    stage.run("JOB.PUSH q t urgent PRIO -32768");
    stage.run("JOB.PUSH q t calmest PRIO 32767");
    stage.pass(100);
    stage.run("JOB.PUSH q t last");
    let mut order = Vec::new();
    for _ in 0..8 {
        let (id, _) = stage.fetch("q");
        order.push(stage.field(&id, "payload"));
    }
    assert_eq!(order.join(" "), "urgent first second third late last calm calmest");
}

#[test]
fn a_delayed_job_is_ready_at_its_time_and_not_before() {
    let mut stage = Stage::new();
    stage.run("JOB.PUSH q t a DELAY 1000");
    let date = stage.wall_ms() + 2000;
    stage.run(&format!("JOB.PUSH q t b AT {date}"));
    stage.run("JOB.PUSH q t c AT 2027-01-01T00:00:03Z");
    stage.run("JOB.PUSH q t d AT 1");
    stage.run("JOB.PUSH q t e DELAY 0");
    assert_eq!(stage.stats("q", &["ready", "delayed"]), "2 3");
    stage.pass(999);
    assert_eq!(stage.stats("q", &["ready", "delayed"]), "2 3");
    stage.pass(1);
    assert_eq!(stage.stats("q", &["ready", "delayed"]), "3 2");
    stage.pass(999);
    assert_eq!(stage.state("q:2"), "delayed");
    stage.pass(1);
    assert_eq!(stage.state("q:2"), "ready");
    stage.pass(1000);
    assert_eq!(stage.stats("q", &["ready", "delayed"]), "5 0");
}

/// A delay is a duration, a date is on the calendar.
#[test]
fn setting_the_clock_moves_dates_and_not_delays() {
    let mut stage = Stage::new();
    stage.run("JOB.PUSH q t a DELAY 1h");
    let date = stage.wall_ms() + 3_600_000;
    stage.run(&format!("JOB.PUSH q t b AT {date}"));
    stage.set_wall(3_600_000);
    assert_eq!((stage.state("q:1"), stage.state("q:2")), ("delayed".into(), "ready".into()));
    stage.pass(3_599_999);
    assert_eq!(stage.state("q:1"), "delayed");
    stage.pass(1);
    assert_eq!(stage.state("q:1"), "ready");
}

#[test]
fn bounds_of_names() {
    let mut stage = Stage::new();
    let long = |len: usize| "x".repeat(len);
    stage.expect(&format!("JOB.PUSH {} t p ID {}", long(128), long(128)), &long(128));
    stage.expect(&format!("JOB.PUSH q {} p", long(256)), "q:1");
    let name = "-ERR a queue name has 1 to 128 bytes without spaces, control characters and braces, is not 'lock', \
                and does not end in a colon and a number";
    for bad in [&long(129), "\"\"", "\"a b\"", "a{b", "a}b", "lock", "mail:3", "\"a\\nb\"", "\"\\x7f\""] {
        stage.expect(&format!("JOB.PUSH {bad} t p"), name);
    }
    stage.expect("JOB.PUSH q \"\" p", "-ERR a job type has 1 to 256 bytes");
    stage.expect(&format!("JOB.PUSH q {} p", long(257)), "-ERR a job type has 1 to 256 bytes");
    let id = "-ERR ID must have 1 to 128 bytes without spaces and control characters";
    for bad in [&long(129), "\"\"", "\"a b\"", "\"a\\r\\nb\""] {
        stage.expect(&format!("JOB.PUSH q t p ID {bad}"), id);
    }
}

#[test]
fn a_push_inside_a_transaction_happens_with_it_or_not_at_all() {
    let mut stage = Stage::new();
    stage.expect_all(&[
        ("MULTI", "OK"),
        ("SET order 7", "QUEUED"),
        ("JOB.PUSH mail send 7", "QUEUED"),
        ("JOB.FETCH w BLOCK 0 QUEUES none", "QUEUED"),
        ("EXEC", "[OK mail:1 nothing]"),
        ("MULTI", "OK"),
        ("JOB.PUSH mail send", "-ERR wrong number of arguments for 'job.push' command"),
        ("SET order 8", "QUEUED"),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
        ("GET order", "7"),
    ]);
}

#[test]
fn a_batch_has_as_many_payloads_as_it_says() {
    let mut stage = Stage::new();
    stage.expect_all(&[
        ("JOB.MPUSH q t COUNT 1 PAYLOADS", "-ERR wrong number of arguments for 'job.mpush' command"),
        ("JOB.MPUSH q t COUNT 2 PAYLOADS a", "-ERR COUNT says 2, but there are 1 payloads"),
        ("JOB.MPUSH q t COUNT 2 PAYLOADS a b c", "-ERR COUNT says 2, but there are 3 payloads"),
        ("JOB.MPUSH q t COUNT 0 PAYLOADS a b", "-ERR COUNT must be between 1 and 10000"),
        ("JOB.MPUSH q t COUNT 10001 PAYLOADS a b", "-ERR COUNT must be between 1 and 10000"),
        ("JOB.MPUSH q t COUNT x PAYLOADS a b", "-ERR COUNT must be between 1 and 10000"),
        ("JOB.MPUSH q t ID x COUNT 1 PAYLOADS a", "-ERR syntax error"),
        ("JOB.MPUSH q t COUNT 1 ID x PAYLOADS a", "-ERR ID names one job; JOB.MPUSH adds several"),
        ("JOB.MPUSH q t COUNT 2 a b c d", "-ERR syntax error"),
        ("QUEUE.LIST", "[]"),
        ("JOB.MPUSH q t COUNT 2 PRIO 4 DELAY 1s PAYLOADS a b", "[q:1 q:2]"),
    ]);
    assert_eq!(stage.field("q:2", "prio"), "4");
    assert_eq!(stage.stats("q", &["delayed", "pushed"]), "2 2");
}
