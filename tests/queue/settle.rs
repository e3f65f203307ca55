//! JOB.ACK, JOB.MACK, JOB.FAIL, JOB.RELEASE, JOB.EXTEND, and leases that end without a word.

use crate::stage::Stage;

/// A stage with one job in queue q, and its first delivery.
fn delivered(options: &str) -> (Stage, u64) {
    let mut stage = Stage::new();
    stage.run(&format!("JOB.PUSH q t a {options}"));
    let (_, token) = stage.fetch("q");
    (stage, token)
}

#[test]
fn an_ack_ends_a_job_and_a_result_is_kept_for_an_hour() {
    let (mut stage, token) = delivered("");
    stage.expect(&format!("JOB.ACK q:1 {token} result 42"), "OK");
    assert_eq!((stage.state("q:1"), stage.field("q:1", "result")), ("done".into(), "42".into()));
    assert_eq!(stage.field("q:1", "ended_at"), stage.wall_ms().to_string());
    stage.pass(3_599_999);
    assert_eq!(stage.state("q:1"), "done");
    stage.pass(1);
    assert_eq!(stage.state("q:1"), "no job");
    assert_eq!(stage.stats("q", &["done", "acked"]), "0 1");
}

#[test]
fn keep_decides_how_long() {
    let (mut stage, token) = delivered("KEEP 0");
    stage.expect(&format!("JOB.ACK q:1 {token} RESULT 42"), "OK");
    assert_eq!(stage.state("q:1"), "no job");
    let (mut stage, token) = delivered("KEEP 2h");
    stage.run(&format!("JOB.ACK q:1 {token} RESULT 42"));
    stage.pass(7_199_999);
    assert_eq!(stage.state("q:1"), "done");
    stage.pass(1);
    assert_eq!(stage.state("q:1"), "no job");
}

#[test]
fn a_second_ack_is_stale_and_says_why() {
    let (mut stage, token) = delivered("");
    stage.run(&format!("JOB.ACK q:1 {token}"));
    stage.expect(&format!("JOB.ACK q:1 {token}"), "-STALE q:1 done");
    assert_eq!(stage.stats("q", &["acked", "stale"]), "1 1");
}

/// A worker stalls past its lease, a second worker takes the job, the first wakes up and acks.
#[test]
fn a_late_worker_changes_nothing() {
    let (mut stage, old) = delivered("LEASE 100");
    stage.pass(100);
    let (_, new) = stage.fetch("q");
    let before = stage.server.engine.digest();
    for verb in ["ACK", "FAIL", "EXTEND", "RELEASE"] {
        stage.expect(&format!("JOB.{verb} q:1 {old}"), "-STALE q:1 leased");
        // A token of the future, and none.
        stage.expect(&format!("JOB.{verb} q:1 {}", new + 1), "-STALE q:1 leased");
        stage.expect(&format!("JOB.{verb} q:1 0"), "-STALE q:1 leased");
    }
    assert_eq!(stage.server.engine.digest(), before);
    stage.expect(&format!("JOB.ACK q:1 {new}"), "OK");
}

/// The time of a lease is over, but nobody has taken it back yet: the first of ack and taking back wins.
#[test]
fn an_ack_in_the_last_moment_counts() {
    let (mut stage, token) = delivered("LEASE 100");
    stage.clock.pass_ms(500);
    stage.expect(&format!("JOB.ACK q:1 {token}"), "OK");
    stage.pass(1000);
    assert_eq!(stage.state("q:1"), "done");
    assert_eq!(stage.stats("q", &["lost"]), "0");
}

#[test]
fn several_acks_are_answered_one_by_one() {
    let mut stage = Stage::new();
    stage.run("JOB.MPUSH q t COUNT 3 PAYLOADS a b c");
    stage.run("JOB.FETCH w COUNT 3 QUEUES q");
    stage.expect(
        "JOB.MACK q:1 1 q:2 1 q:3 3 q:9 1 q:1 1",
        "[OK -STALE q:2 leased OK -STALE q:9 unknown -STALE q:1 done]",
    );
    assert_eq!(stage.stats("q", &["done", "leased"]), "2 1");
}

#[test]
fn a_failure_waits_by_its_backoff_and_the_last_one_is_dead() {
    let (mut stage, token) = delivered("ATTEMPTS 3 BACKOFF list:100,5s");
    let next = stage.wall_ms() + 100;
    stage.expect(&format!("JOB.FAIL q:1 {token} kind Timeout msg \"it took too long\""), &next.to_string());
    assert_eq!((stage.state("q:1"), stage.field("q:1", "error_kind")), ("delayed".into(), "Timeout".into()));
    assert_eq!(stage.field("q:1", "error"), "it took too long");
    stage.pass(99);
    stage.expect("JOB.FETCH w QUEUES q", "nothing");
    stage.pass(1);
    let (_, token) = stage.fetch("q");
    let next = stage.wall_ms() + 5000;
    stage.expect(&format!("JOB.FAIL q:1 {token}"), &next.to_string());
    assert_eq!(stage.field("q:1", "error"), "''");
    stage.pass(5000);
    let (_, token) = stage.fetch("q");
    stage.expect(&format!("JOB.FAIL q:1 {token} MSG last"), "dead");
    assert_eq!((stage.state("q:1"), stage.field("q:1", "error")), ("dead".into(), "last".into()));
    assert_eq!(stage.stats("q", &["failed", "retried", "died", "dead"]), "3 2 1 1");
}

#[test]
fn a_worker_may_say_when_or_that_it_is_useless() {
    let (mut stage, token) = delivered("");
    let next = stage.wall_ms() + 2000;
    stage.expect(&format!("JOB.FAIL q:1 {token} RETRY 2s"), &next.to_string());
    stage.pass(2000);
    let (_, token) = stage.fetch("q");
    let now = stage.wall_ms();
    stage.expect(&format!("JOB.FAIL q:1 {token} RETRY 0"), &now.to_string());
    stage.pass(0);
    let (_, token) = stage.fetch("q");
    stage.expect(&format!("JOB.FAIL q:1 {token} NORETRY"), "dead");
    // A wait longer than ten years is ten years.
    let (mut stage, token) = delivered("");
    let next = stage.wall_ms() + 3653 * 86_400_000;
    stage.expect(&format!("JOB.FAIL q:1 {token} RETRY 99999d"), &next.to_string());
}

#[test]
fn an_error_text_is_cut_at_sixteen_kibibytes() {
    let (mut stage, token) = delivered("");
    let long = "x".repeat(16 * 1024 + 1);
    stage.run(&format!("JOB.FAIL q:1 {token} KIND {long} MSG {long}"));
    assert_eq!(stage.field("q:1", "error").len(), 16 * 1024);
    assert_eq!(stage.field("q:1", "error_kind").len(), 16 * 1024);
}

#[test]
fn what_is_given_back_keeps_its_place_and_its_attempt() {
    let mut stage = Stage::new();
    stage.run("JOB.MPUSH q t COUNT 2 PAYLOADS a b");
    let (id, token) = stage.fetch("q");
    stage.pass(10);
    stage.expect(&format!("JOB.RELEASE {id} {token}"), "OK");
    assert_eq!((stage.state("q:1"), stage.field("q:1", "attempt")), ("ready".into(), "0".into()));
    assert_eq!(stage.fetch("q").0, "q:1");
    assert_eq!(stage.stats("q", &["released", "fetched"]), "1 2");
}

#[test]
fn extending_moves_the_end_and_keeps_the_token() {
    let (mut stage, token) = delivered("LEASE 1s");
    stage.pass(900);
    let deadline = stage.wall_ms() + 1000;
    stage.expect(&format!("JOB.EXTEND q:1 {token}"), &format!("[deadline {deadline} cancel 0]"));
    stage.pass(999);
    let deadline = stage.wall_ms() + 5;
    // Also shorter.
    stage.expect(&format!("JOB.EXTEND q:1 {token} LEASE 5"), &format!("[deadline {deadline} cancel 0]"));
    stage.pass(4);
    assert_eq!(stage.state("q:1"), "leased");
    stage.pass(1);
    assert_eq!(stage.state("q:1"), "ready");
    assert_eq!(stage.stats("q", &["extended", "lost"]), "2 1");
}

/// Losses are counted apart from failures, and what kills its workers is taken out.
#[test]
fn a_job_that_is_lost_too_often_is_dead() {
    let (mut stage, _) = delivered("LEASE 100 LOST 1 ATTEMPTS 1");
    stage.pass(100);
    assert_eq!((stage.state("q:1"), stage.field("q:1", "lost")), ("ready".into(), "1".into()));
    let (_, token) = stage.fetch("q");
    stage.pass(100);
    assert_eq!((stage.state("q:1"), stage.field("q:1", "error_kind")), ("dead".into(), "lost".into()));
    assert_eq!(stage.field("q:1", "error"), "its workers were lost too often");
    stage.expect(&format!("JOB.ACK q:1 {token}"), "-STALE q:1 dead");
    assert_eq!(stage.stats("q", &["lost", "died", "failed"]), "2 1 0");
}

#[test]
fn a_lost_lease_uses_no_attempt() {
    let (mut stage, _) = delivered("LEASE 100 ATTEMPTS 2 BACKOFF fixed:0");
    stage.pass(100);
    let (_, token) = stage.fetch("q");
    assert!(stage.run(&format!("JOB.FAIL q:1 {token}")).parse::<u64>().is_ok());
    stage.pass(0);
    let (_, token) = stage.fetch("q");
    stage.expect(&format!("JOB.FAIL q:1 {token}"), "dead");
}

#[test]
fn setting_the_clock_neither_ends_nor_prolongs_a_lease() {
    let (mut stage, token) = delivered("LEASE 10s");
    stage.set_wall(3_600_000);
    assert_eq!(stage.state("q:1"), "leased");
    stage.set_wall(-7_200_000);
    stage.pass(9_999);
    stage.expect("JOB.FETCH w QUEUES q", "nothing");
    stage.pass(1);
    assert_eq!(stage.state("q:1"), "ready");
    stage.expect(&format!("JOB.ACK q:1 {token}"), "-STALE q:1 ready");
}

/// A deploy of the daemon does not run jobs again: who holds one has at least some seconds to say so.
#[test]
fn leases_survive_a_restart() {
    let (mut stage, token) = delivered("LEASE 30s");
    stage.restart(1000);
    stage.expect(
        &format!("JOB.EXTEND q:1 {token}"),
        &format!("[deadline {} cancel 0]", stage.wall_ms() + 30_000),
    );
    stage.restart(3_600_000);
    stage.pass(4_999);
    stage.expect(&format!("JOB.ACK q:1 {token}"), "OK");
    let (mut stage, _) = delivered("LEASE 30s");
    stage.restart(3_600_000);
    stage.pass(5_000);
    assert_eq!(stage.state("q:1"), "ready");
    // A short lease is not made longer than it was.
    let (mut stage, _) = delivered("LEASE 300");
    stage.restart(3_600_000);
    stage.pass(300);
    assert_eq!(stage.state("q:1"), "ready");
}

#[test]
fn the_newest_thousand_finished_jobs_are_kept() {
    let mut stage = Stage::new();
    for _ in 0..2 {
        stage.run(&format!("JOB.MPUSH q t COUNT 505 PAYLOADS{}", " x".repeat(505)));
        let jobs = stage.ask("JOB.FETCH w COUNT 505 QUEUES q");
        let pairs: Vec<String> = jobs
            .items()
            .unwrap()
            .iter()
            .map(|job| {
                let text = |name| job.field(name).map(pbj_tests::lab::shown).unwrap();
                format!("{} {}", text("id"), text("token"))
            })
            .collect();
        stage.run(&format!("JOB.MACK {}", pairs.join(" ")));
    }
    assert_eq!(stage.stats("q", &["done", "acked"]), "1000 1010");
    assert_eq!((stage.state("q:10"), stage.state("q:11")), ("no job".into(), "done".into()));
}
