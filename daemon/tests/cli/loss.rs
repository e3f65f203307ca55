//! Workers and daemons that are killed: nothing is lost, and nothing is left behind.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Daemon, is_alive, lines_in, number_in, until};

/// A lease that has to last while its worker lives: a renewal comes in time, although the machine stands still for
/// seconds.
const LEASE: &str = "6s";
const LEASE_TIME: Duration = Duration::from_secs(6);

#[test]
fn a_killed_worker_leaves_nothing_behind_and_another_one_finishes() {
    let daemon = Daemon::start();
    let mut first = daemon.worker(&["--name", "first", "--kill-grace", "100ms"]);
    let script = "test -e child && exec echo again
        setsid sleep 300 & echo $! > leaver; sleep 300 & echo $! > child; wait";
    let id = daemon.push(&["--lease", LEASE], script);
    let pids = ["leaver", "child"].map(|name| number_in(&daemon.path(name)));
    first.signal(Signal::SIGKILL);
    first.ended();
    until("its processes are gone", || !pids.iter().any(|&pid| is_alive(pid)));
    let _second = daemon.worker(&["--name", "second"]);
    let job = daemon.wait_for_state(&id, "done");
    assert_eq!((&job["worker"], &job["lost"], &job["attempt"]), (&json!("second"), &json!(1), &json!(2)));
}

/// The daemon is gone for longer than the lease: the process goes on, and its end is heard.
#[test]
fn a_job_outlives_a_killed_daemon() {
    let mut daemon = Daemon::start();
    let _worker = daemon.worker(&[]);
    let script = "echo x >> runs; while [ ! -e gate ]; do sleep 0.01; done; echo finished";
    let id = daemon.push(&["--lease", LEASE], script);
    until("it runs", || daemon.path("runs").exists());
    daemon.kill();
    until("the worker knows", || daemon.worker_log().contains("trying again until it answers"));
    std::thread::sleep(LEASE_TIME + LEASE_TIME / 8); // Longer than the lease: that is the point.
    daemon.restart();
    until("the worker is back", || daemon.worker_log().contains("again"));
    std::fs::write(daemon.path("gate"), "").unwrap();
    let job = daemon.wait_for_state(&id, "done");
    assert_eq!((&job["attempt"], &job["lost"]), (&json!(1), &json!(0)));
    assert_eq!(lines_in(&daemon.path("runs")), 1);
}

/// The process ends while there is no daemon to tell.
#[test]
fn an_end_is_told_when_the_daemon_is_back() {
    let mut daemon = Daemon::start();
    let _worker = daemon.worker(&[]);
    let script = "echo $$ > own; while [ ! -e gate ]; do sleep 0.01; done; exit 7";
    let id = daemon.push(&[], script);
    let pid = number_in(&daemon.path("own"));
    daemon.kill();
    std::fs::write(daemon.path("gate"), "").unwrap();
    until("it ended", || !is_alive(pid));
    until("the worker tried to say so", || daemon.worker_log().contains("not settled yet"));
    daemon.restart();
    let job = daemon.wait_for_state(&id, "dead");
    assert_eq!((&job["error_kind"], &job["lost"]), (&json!("exit-7"), &json!(0)));
}

/// A worker stalls past its lease, and another one takes the job. When the first wakes up it must end its process, and
/// say nothing about the job: the second holds it now.
#[test]
fn a_worker_that_slept_through_its_lease_lets_go() {
    let daemon = Daemon::start();
    // One place: a second one would be first in line for what the first lost.
    let first = daemon.worker(&["--name", "first", "--concurrency", "1"]);
    let script = "echo $$ > own.$PBJ_ATTEMPT; while [ ! -e gate ]; do sleep 0.01; done; echo $PBJ_ATTEMPT";
    let id = daemon.push(&["--lease", LEASE], script);
    let pid = number_in(&daemon.path("own.1"));
    first.signal(Signal::SIGSTOP);
    let _second = daemon.worker(&["--name", "second"]);
    let other = number_in(&daemon.path("own.2"));
    assert!(is_alive(pid), "its process does not know yet");
    first.signal(Signal::SIGCONT);
    until("the first lets go", || !is_alive(pid));
    assert!(is_alive(other));
    std::fs::write(daemon.path("gate"), "").unwrap();
    let job = daemon.wait_for_state(&id, "done");
    assert_eq!((&job["worker"], &job["attempt"], &job["lost"]), (&json!("second"), &json!(2), &json!(1)));
    assert!(daemon.worker_log().contains("lost: STALE"), "{}", daemon.worker_log());
}

#[test]
fn a_lease_is_kept_for_as_long_as_a_job_takes() {
    let daemon = Daemon::start();
    let _worker = daemon.worker(&["--concurrency", "2"]);
    let id = daemon.push(&["--lease", LEASE], "echo x >> runs; sleep 7");
    let job = daemon.wait_for_state(&id, "done");
    assert_eq!((&job["attempt"], &job["lost"]), (&json!(1), &json!(0)));
    assert_eq!(lines_in(&daemon.path("runs")), 1);
}

#[test]
fn a_worker_may_be_there_before_its_daemon() {
    let mut daemon = Daemon::start();
    let id = daemon.push(&[], "true");
    daemon.kill();
    let _worker = daemon.worker(&[]);
    until("it tries", || daemon.worker_log().contains("cannot be reached"));
    assert!(daemon.worker_log().contains("trying again until it answers"));
    daemon.restart();
    daemon.wait_for_state(&id, "done");
}

/// A thread that panics takes the process with it: a daemon without one of its threads would keep promises no longer.
#[test]
fn a_panic_ends_the_daemon_and_loses_nothing() {
    let mut daemon = Daemon::start_with(&["--enable-debug-command", "local"]);
    daemon.says(&["cli", "set", "kept", "1"]);
    daemon.call(&["cli", "debug", "panic"]);
    assert_eq!(daemon.ended().signal(), Some(Signal::SIGABRT as i32));
    let log = std::fs::read_to_string(daemon.path("pbjd.log")).unwrap();
    assert!(log.contains("a mistake in pbjd itself, in thread io-") && log.contains("asked for it"), "{log}");
    daemon.restart();
    assert_eq!(daemon.says(&["cli", "get", "kept"]).trim(), "1");
}
