//! A replica with data while a new dataset comes in: real processes, real sockets, a real file.

use redis::Connection;

use crate::daemon::{Daemon, say, within};

fn replication(r: &mut Connection, field: &str) -> String {
    let text = say(r, "INFO replication").unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.unwrap_or_default().to_owned()
}

/// The dataset waits in a file, so a master that is killed halfway takes nothing along; when another one is whole, it
/// takes the place of the old data, and the file is gone.
#[test]
fn a_master_that_is_killed_halfway_takes_nothing_along() {
    let folder = tempfile::tempdir().unwrap();
    let replica = Daemon::start_on(folder.path(), &[]);
    let mut r = replica.connect();
    say(&mut r, "SET old 1").unwrap();
    let file = folder.path().join("temp-from-master.rdb");

    let first = Daemon::start();
    let mut to_first = first.connect();
    say(&mut to_first, "DEBUG POPULATE 2000 key 1000").unwrap();
    say(&mut to_first, "CONFIG SET rdb-key-save-delay 20000").unwrap();
    say(&mut r, &format!("REPLICAOF 127.0.0.1 {}", first.port)).unwrap();
    within(10, "the dataset comes in", true, || {
        replication(&mut r, "master_sync_read_bytes").parse::<u64>().is_ok_and(|bytes| bytes > 2000)
    });
    assert!(file.exists());
    assert_eq!(say(&mut r, "GET old").unwrap(), "1");
    first.kill();
    within(10, "the file is gone", false, || file.exists());
    assert_eq!(say(&mut r, "GET old").unwrap(), "1");

    let second = Daemon::start();
    let mut to_second = second.connect();
    say(&mut to_second, "DEBUG POPULATE 2000 key 1000").unwrap();
    say(&mut r, &format!("REPLICAOF 127.0.0.1 {}", second.port)).unwrap();
    within(10, "the link is up", "up".to_owned(), || replication(&mut r, "master_link_status"));
    say(&mut to_second, "SET behind 1").unwrap();
    within(10, "the replica has all", say(&mut to_second, "DEBUG DIGEST").unwrap(), || {
        say(&mut r, "DEBUG DIGEST").unwrap()
    });
    assert!(!file.exists());
}
