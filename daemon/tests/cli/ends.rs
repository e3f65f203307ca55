//! Ends that somebody else brings about: time-outs, cancelling, signals. Nothing of a job may live on.

use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Daemon, is_alive, lines_in, number_in, text, until};

/// A job with a child in its group, one in a session of its own, and one that does not listen to SIGTERM.
const FAMILY: &str = "sleep 300 & echo $! > child
    setsid sh -c 'echo $$ > leaver.tmp; mv leaver.tmp leaver; exec sleep 300' &
    sh -c 'trap \"\" TERM; echo $$ > deaf.tmp; mv deaf.tmp deaf; while :; do sleep 1; done' &
    echo $$ > own
    wait";

fn family(daemon: &Daemon) -> Vec<u32> {
    ["own", "child", "leaver", "deaf"].iter().map(|name| number_in(&daemon.path(name))).collect()
}

fn all_gone(pids: &[u32]) {
    until("the whole family is gone", || !pids.iter().any(|&pid| is_alive(pid)));
}

#[test]
fn a_time_out_ends_the_whole_family() {
    let daemon = Daemon::start();
    let _worker = daemon.worker(&["--kill-grace", "200ms"]);
    // Long enough for the family to be there on a machine that stands still for seconds.
    let id = daemon.push(&["--timeout", "5s"], FAMILY);
    let pids = family(&daemon);
    let job = daemon.wait_for_state(&id, "dead");
    assert_eq!(job["error_kind"], "timeout");
    // The job is over when they are gone, not when they were asked.
    assert!(!pids.iter().any(|&pid| is_alive(pid)));
}

#[test]
fn a_cancelled_job_is_ended_at_once() {
    let daemon = Daemon::start();
    let _worker = daemon.worker(&["--kill-grace", "200ms"]);
    let id = daemon.push(&["--lease", "1h", "--attempts", "5"], FAMILY);
    let pids = family(&daemon);
    // With this lease a worker that only looks when it renews would not hear of it today.
    let said = daemon.says(&["cancel", &id, "--reason", "changed my mind"]);
    assert_eq!(said, format!("{id} is being cancelled: its worker will end it"));
    let job = daemon.wait_for_state(&id, "cancelled");
    assert_eq!((&job["error_kind"], &job["attempt"]), (&json!("cancelled"), &json!(1)));
    assert!(!pids.iter().any(|&pid| is_alive(pid)));
}

#[test]
fn who_waits_for_a_cancelled_job_is_told() {
    let daemon = Daemon::start();
    let waiting =
        daemon.command(&["run", "--wait", "--id", "me", "--", "true"]).stderr(Stdio::piped()).spawn();
    let waiting = waiting.unwrap();
    until("it is pushed", || daemon.call(&["job", "me"]).status.success());
    daemon.says(&["cancel", "me"]);
    let waited = waiting.wait_with_output().unwrap();
    assert_eq!(waited.status.code(), Some(125));
    assert!(text(&waited.stderr).contains("pbj: me: the job was cancelled"), "{waited:?}");
}

/// Any client may cancel, not only ours: then the worker hears of it when it renews.
#[test]
fn a_job_cancelled_by_another_client_is_ended_at_the_next_renewal() {
    let daemon = Daemon::start();
    let _worker = daemon.worker(&[]);
    // A lease that ended before its renewal would be lost, and the job cancelled without waiting for its process.
    let id = daemon.push(&["--lease", "6s"], "echo $$ > own; exec sleep 300");
    let pid = number_in(&daemon.path("own"));
    daemon.says(&["cli", "job.cancel", &id]);
    daemon.wait_for_state(&id, "cancelled");
    assert!(!is_alive(pid));
}

#[test]
fn after_sigterm_what_runs_may_finish_and_nothing_begins() {
    let daemon = Daemon::start();
    let mut worker = daemon.worker(&["--concurrency", "1"]);
    let first = daemon.push(&[], "touch began; while [ ! -e gate ]; do sleep 0.01; done; echo finished");
    until("the first began", || daemon.path("began").exists());
    let second = daemon.push(&[], "echo no");
    worker.signal(Signal::SIGTERM);
    until("the worker knows", || daemon.worker_log().contains("up to 30s to finish"));
    std::fs::write(daemon.path("gate"), "").unwrap();
    assert!(worker.ended().success());
    assert_eq!(daemon.job(&first)["state"], "done");
    let second = daemon.job(&second);
    assert_eq!((&second["state"], &second["attempt"]), (&json!("ready"), &json!(0)));
}

#[test]
fn after_the_grace_what_runs_is_ended_and_given_back_uncharged() {
    let daemon = Daemon::start();
    let mut worker = daemon.worker(&["--grace", "100ms", "--kill-grace", "100ms"]);
    let id = daemon.push(&["--lease", "1h"], FAMILY);
    let pids = family(&daemon);
    worker.signal(Signal::SIGTERM);
    assert!(worker.ended().success());
    all_gone(&pids);
    let job = daemon.job(&id);
    assert_eq!((&job["state"], &job["attempt"], &job["lost"]), (&json!("ready"), &json!(0), &json!(0)));
    // Another worker can have it at once, although the lease was long.
    let id2 = daemon.push(&[], "true");
    let _other = daemon.worker(&["--concurrency", "4"]);
    daemon.wait_for_state(&id2, "done");
    daemon.says(&["cancel", &id]);
    daemon.wait_for_state(&id, "cancelled");
}

#[test]
fn a_second_signal_does_not_wait() {
    let daemon = Daemon::start();
    let mut worker = daemon.worker(&["--grace", "1h"]);
    let id = daemon.push(&[], "echo $$ > own; exec sleep 300");
    let pid = number_in(&daemon.path("own"));
    worker.signal(Signal::SIGTERM);
    until("the worker knows", || daemon.worker_log().contains("to finish"));
    worker.signal(Signal::SIGTERM);
    assert!(worker.ended().success());
    assert!(!is_alive(pid));
    assert_eq!(daemon.job(&id)["state"], "ready");
}

/// A worker that waits for jobs has called its fetch off before it ends: a job pushed then is for others, at once.
#[test]
fn an_idle_worker_ends_without_taking_a_job_along() {
    let daemon = Daemon::start();
    let mut worker = daemon.worker(&["--name", "idle"]);
    until("it waits", || daemon.says(&["cli", "info", "clients"]).contains("blocked_clients:1"));
    worker.signal(Signal::SIGTERM);
    assert!(worker.ended().success());
    let id = daemon.push(&[], "true");
    assert_eq!(daemon.job(&id)["state"], "ready");
}

#[test]
fn a_keeper_that_dies_takes_its_job_along() {
    let daemon = Daemon::start();
    let _worker = daemon.worker(&[]);
    let id = daemon.push(&[], "echo x >> runs; echo $PPID > keeper; sleep 300 & echo $! > child; wait");
    let (keeper, child) = (number_in(&daemon.path("keeper")), number_in(&daemon.path("child")));
    until("the worker knows of it", || daemon.worker_log().contains("started job="));
    crate::support::send(keeper, Signal::SIGKILL);
    let job = daemon.wait_for_state(&id, "dead");
    assert_eq!(job["error_kind"], "signal-9");
    all_gone(&[child]);
    assert_eq!(lines_in(&daemon.path("runs")), 1);
}
