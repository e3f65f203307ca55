//! What the simulator found, each as a story: they failed before.

use crate::stage::Stage;

/// A job that is not to be kept was called off: it got a date in the same millisecond, vanished before it had its
/// place, and the answer was "no such key".
#[test]
fn a_job_that_is_not_kept_can_be_called_off() {
    let mut stage = Stage::new();
    stage.run("JOB.PUSH q t a KEEP 0");
    stage.expect("JOB.CANCEL q:1", "[ready cancelled]");
    assert_eq!(stage.state("q:1"), "no job");
    stage.run("JOB.PUSH q t a KEEP 0");
    let (id, token) = stage.fetch("q");
    stage.run(&format!("JOB.CANCEL {id}"));
    stage.expect(&format!("JOB.FAIL {id} {token}"), "cancelled");
    assert_eq!(stage.state(&id), "no job");
}

/// A finished job passed its date while the daemon was down. The load stopped at it, and every job behind it was lost
/// to the workers until the next start.
#[test]
fn a_job_that_expired_meanwhile_does_not_stop_the_load() {
    let mut stage = Stage::new();
    for number in 0..20 {
        stage.run(&format!("JOB.PUSH q t a KEEP 100 ID short-{number}"));
        let (id, token) = stage.fetch("q");
        stage.run(&format!("JOB.ACK {id} {token}"));
    }
    for number in 0..20 {
        stage.run(&format!("JOB.PUSH q t a ID kept-{number}"));
    }
    stage.restart(60_000);
    assert_eq!(stage.stats("q", &["ready", "done"]), "20 0");
    stage.expect("JOB.GET short-3", "nothing");
    assert_eq!(stage.fetch("q").0, "kept-0");
}

/// The wall clock was set forward, a job with a date was fetched and given back: its date was then compared with the
/// steady clock, which is still behind it, and it waited for two hours.
#[test]
fn a_job_with_a_date_is_ready_when_it_comes_back() {
    let mut stage = Stage::new();
    let date = stage.wall_ms() + 7_200_000;
    stage.run(&format!("JOB.PUSH q t a AT {date}"));
    stage.set_wall(7_200_000);
    let (id, token) = stage.fetch("q");
    stage.expect(&format!("JOB.RELEASE {id} {token}"), "OK");
    assert_eq!(stage.state("q:1"), "ready");
    assert_eq!(stage.field("q:1", "due_at"), date.to_string());
    stage.fetch("q");
    stage.pass(30_000);
    assert_eq!(stage.state("q:1"), "ready");
}

/// A job had been delivered, the wall clock was set back, the daemon restarted: the job was delayed again until the
/// time it had been ready at came for the second time.
#[test]
fn what_was_ready_is_ready_after_the_clock_was_set_back() {
    let mut stage = Stage::new();
    stage.run("JOB.PUSH q t a DELAY 1s LEASE 1s");
    stage.pass(1000);
    stage.fetch("q");
    stage.pass(1000);
    assert_eq!(stage.state("q:1"), "ready");
    stage.set_wall(-7_200_000);
    stage.restart(1);
    assert_eq!(stage.state("q:1"), "ready");
}

/// Another database was emptied after the wall clock had been set: the steady clock began again with the wall clock, so
/// that all leases ended at once, or lasted for hours.
#[test]
fn emptying_a_database_leaves_the_leases_of_others_alone() {
    for jump in [7_200_000, -7_200_000] {
        let mut stage = Stage::new();
        stage.run("JOB.PUSH q t a LEASE 10s");
        let (id, token) = stage.fetch("q");
        stage.set_wall(jump);
        stage.expect_all(&[("SELECT 1", "OK"), ("FLUSHDB", "OK"), ("SELECT 0", "OK")]);
        stage.pass(9_999);
        stage.expect("JOB.FETCH w QUEUES q", "nothing");
        stage.pass(1);
        stage.expect(&format!("JOB.ACK {id} {token}"), "-STALE q:1 ready");
    }
}

/// A database was emptied; ids and tokens began again with 1, and a worker of the time before could settle a job that
/// it had never seen.
#[test]
fn tokens_go_on_rising_when_a_database_is_emptied() {
    let mut stage = Stage::new();
    stage.run("JOB.PUSH q t before");
    let (id, old) = stage.fetch("q");
    stage.expect("LOCK.TAKE l ann 1h", "1");
    stage.expect("FLUSHALL", "OK");
    stage.run("JOB.PUSH q t after");
    let (again, new) = stage.fetch("q");
    assert!(id == again && new > old);
    stage.expect(&format!("JOB.ACK {id} {old}"), "-STALE q:1 leased");
    stage.expect("LOCK.TAKE l bob 1h", "2");
}

/// A worker fetched a job that had failed before: builds with checks took the move from delayed to leased, which is
/// made without a record of being ready, for one that there is not, and stopped.
#[test]
fn a_job_is_fetched_again_after_its_wait() {
    let mut stage = Stage::new();
    stage.run("JOB.PUSH q t a");
    let (id, token) = stage.fetch("q");
    stage.run(&format!("JOB.FAIL {id} {token} RETRY 10"));
    stage.pass(10);
    assert_eq!(stage.fetch("q").0, id);
}

/// A schedule was set again to what it was, as deployments do: it lost its history, and an interval began anew, so that
/// one of an hour never fired where somebody deployed twice an hour.
#[test]
fn a_schedule_that_is_set_again_goes_on_where_it_was() {
    let mut stage = Stage::new();
    for _ in 0..4 {
        stage.expect("CRON.SET s EVERY 1h PUSH q t p", "OK");
        stage.pass(1_800_000);
    }
    assert_eq!(stage.stats("q", &["ready"]), "1");
    let runs = stage.ask("CRON.GET s").field("runs").map(pbj_tests::lab::shown);
    assert_eq!(runs.as_deref(), Some("1"));
}

/// The log was read again while the server ran: what it says was stated once more, and the log grew by it.
#[test]
fn reading_the_log_again_writes_nothing() {
    let mut stage = Stage::new();
    stage.run("SET key value PX 100000");
    stage.run("JOB.MPUSH q t COUNT 3 PAYLOADS a b c");
    stage.fetch("q");
    let before = stage.history_len();
    stage.expect("DEBUG LOADAOF", "OK");
    assert_eq!(stage.history_len(), before);
}

/// More effects in one unit than a parser takes at once: builds with checks compared a part of them with the whole.
#[test]
fn a_tick_may_have_many_effects() {
    let mut stage = Stage::new();
    stage.run("CRON.SET s EVERY 1s CATCHUP all OVERLAP allow PUSH q t p");
    stage.set_wall(600_000);
    assert_eq!(stage.stats("q", &["ready"]), "600");
}
