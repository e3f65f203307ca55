//! The log of a daemon that is stopped is cut back to an instant.

use crate::support::{Daemon, text, until};

fn unix_seconds(daemon: &Daemon) -> u64 {
    daemon.says(&["cli", "--raw", "time"]).lines().next().unwrap().parse().unwrap()
}

/// Waits until another second has begun; returns the one before.
fn end_of_second(daemon: &Daemon) -> u64 {
    let second = unix_seconds(daemon);
    until("the second is over", || unix_seconds(daemon) > second);
    second
}

fn cut(daemon: &Daemon, to: u64, more: &[&str]) -> std::process::Output {
    let (dir, to) = (daemon.path("data").display().to_string(), to.to_string());
    daemon.call(&[&["log", "truncate", "--dir", &dir, "--to", &to], more].concat())
}

/// Somebody empties everything by mistake: whatever was there a second before comes back, a rewrite in between or not.
#[test]
fn what_was_there_before_a_mistake_comes_back() {
    for rewrites in [false, true] {
        let mut daemon = Daemon::start_with(&["--aof-timestamp-enabled", "yes"]);
        let before = unix_seconds(&daemon);
        daemon.says(&["cli", "set", "a", "1"]);
        if rewrites {
            daemon.says(&["cli", "bgrewriteaof"]);
            until("the log is rewritten", || {
                daemon.says(&["cli", "info", "persistence"]).contains("aof_rewrite_in_progress:0")
            });
        }
        daemon.says(&["cli", "set", "b", "2"]);
        daemon.says(&["push", "mail", "send", "hello"]);
        let good = end_of_second(&daemon);
        daemon.says(&["cli", "flushall"]);
        daemon.says(&["cli", "set", "c", "3"]);
        let held = cut(&daemon, good, &[]);
        assert_eq!(held.status.code(), Some(69), "{held:?}");
        assert!(text(&held.stderr).contains("in use by process"), "{held:?}");
        daemon.end();
        let early = cut(&daemon, before - 10, &[]);
        assert_eq!(early.status.code(), Some(1), "{early:?}");
        let would = cut(&daemon, good, &["--dry-run"]);
        assert!(text(&would.stdout).ends_with("Nothing was changed.\n"), "{would:?}");
        let done = cut(&daemon, good, &["--json"]);
        let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(report["kept_until"].as_u64().max(Some(good)), Some(good));
        assert!(report["first_cut"].as_u64() > Some(good) && report["changed"] == true, "{report}");
        assert_eq!(text(&cut(&daemon, good, &[]).stdout).split(':').next(), Some("Nothing to cut"));
        daemon.restart();
        assert_eq!(daemon.says(&["cli", "get", "b"]), "2");
        assert_eq!(daemon.job("mail:1")["state"], "ready");
        assert_eq!(daemon.says(&["cli", "dbsize"]).parse::<u32>().unwrap(), 2 + keys_of_a_queue());
        // What is written behind the cut is sealed together with what is before it.
        daemon.says(&["cli", "set", "d", "4"]);
        daemon.kill();
        daemon.restart();
        assert_eq!(daemon.says(&["cli", "get", "d"]), "4");
    }
}

/// A queue with one job behind a restart: the job, the counters, and what the restart says of numbers.
fn keys_of_a_queue() -> u32 {
    let mut daemon = Daemon::start();
    daemon.says(&["push", "mail", "send", "hello"]);
    daemon.end();
    daemon.restart();
    daemon.says(&["cli", "dbsize"]).parse().unwrap()
}

#[test]
fn a_log_without_times_is_refused_and_left_alone() {
    let mut daemon = Daemon::start();
    daemon.says(&["cli", "set", "a", "1"]);
    daemon.end();
    let refused = cut(&daemon, 2_000_000_000, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("aof-timestamp-enabled"), "{refused:?}");
    let elsewhere = daemon.call(&["log", "truncate", "--dir", "nowhere", "--to", "1"]);
    assert_eq!(elsewhere.status.code(), Some(66), "{elsewhere:?}");
    daemon.restart();
    assert_eq!(daemon.says(&["cli", "get", "a"]), "1");
}
