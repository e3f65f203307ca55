//! Directives that reach something outside of the engine, in a real `pbjd`.

use std::fs;

use redis::Connection;

use crate::daemon::{Daemon, say, within};

/// The reply to a request of words without blanks, or the error, as text.
fn told(r: &mut Connection, request: &str) -> String {
    say(r, request).unwrap_or_else(|error| error.to_string())
}

fn oom_score(daemon: &Daemon) -> i64 {
    let text = fs::read_to_string(format!("/proc/{}/oom_score_adj", daemon.pid())).unwrap();
    text.trim().parse().unwrap()
}

/// Its files stay where they are: CONFIG SET dir was answered with OK, and changed nothing.
#[test]
fn the_folder_is_another_one_at_a_start_only() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let daemon = Daemon::start_on(folder.path(), &[]);
    let mut r = daemon.connect();
    let answer = told(&mut r, &format!("CONFIG SET dir {}", other.path().display()));
    assert!(answer.contains("the folder is locked while the server runs"), "{answer}");
    let answer = told(&mut r, "CONFIG SET dir /nowhere/at/all");
    assert!(answer.contains("No such file or directory"), "{answer}");
    assert_eq!(told(&mut r, &format!("CONFIG SET dir {}/.", folder.path().display())), "OK");
    told(&mut r, "SET a 1");
    assert_eq!(told(&mut r, "SAVE"), "OK");
    assert!(folder.path().join("dump.rdb").exists());
}

/// The second of `oom-score-adj-values` counts as soon as the server is a replica, and the first when it is none any
/// more.
#[test]
fn the_oom_score_follows_the_role() {
    let daemon = Daemon::start();
    let (mut r, base) = (daemon.connect(), oom_score(&daemon));
    let answer: String = redis::cmd("CONFIG")
        .arg(&["SET", "oom-score-adj-values", "10 20 30", "oom-score-adj", "yes"])
        .query(&mut r)
        .unwrap();
    assert_eq!((&*answer, oom_score(&daemon)), ("OK", base + 10));
    told(&mut r, "REPLICAOF 127.0.0.1 1");
    within(10, "the score of a replica", base + 20, || oom_score(&daemon));
    told(&mut r, "REPLICAOF NO ONE");
    within(10, "the score of a master", base + 10, || oom_score(&daemon));
}

/// The master and the target of MIGRATE see the address of `bind-source-addr`; one that this machine does not have is
/// no reason not to connect.
#[test]
fn connections_come_from_the_address_that_is_named() {
    let (master, replica) = (Daemon::start(), Daemon::start());
    let (mut of_master, mut of_replica) = (master.connect(), replica.connect());
    told(&mut of_replica, "CONFIG SET bind-source-addr 127.0.0.2");
    told(&mut of_replica, "SET a 1");
    assert_eq!(told(&mut of_replica, &format!("MIGRATE 127.0.0.1 {} a 0 5000", master.port)), "OK");
    let list = told(&mut of_master, "CLIENT LIST");
    assert!(list.contains("addr=127.0.0.2:"), "{list}");
    for (source, seen) in [("127.0.0.3", "127.0.0.3"), ("192.0.2.1", "127.0.0.1")] {
        told(&mut of_replica, &format!("CONFIG SET bind-source-addr {source}"));
        told(&mut of_replica, &format!("REPLICAOF 127.0.0.1 {}", master.port));
        let wanted = format!("ip={seen},");
        within(10, &wanted, true, || told(&mut of_master, "INFO replication").contains(&wanted));
        told(&mut of_replica, "REPLICAOF NO ONE");
    }
}
