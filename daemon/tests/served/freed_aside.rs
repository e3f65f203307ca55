//! Data that is removed is freed by another thread, and counts as free from the beginning.

use redis::Connection;

use crate::daemon::{Daemon, say, within};

fn info(r: &mut Connection, field: &str) -> u64 {
    let info = say(r, "INFO").unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.parse().unwrap()
}

fn fill(r: &mut Connection, key: &str, members: usize) {
    let mut pipe = redis::pipe();
    for first in (0..members).step_by(1000) {
        let members: Vec<String> =
            (first..first + 1000).map(|nth| format!("a member with the number {nth:032}")).collect();
        pipe.sadd(key, members).ignore();
    }
    pipe.exec(r).unwrap();
}

#[test]
fn whatever_is_big_is_freed_aside_unless_somebody_wants_to_wait() {
    let daemon = Daemon::start();
    let mut r = daemon.connect();
    let mut freed = 0;
    for (request, aside) in [
        ("UNLINK big", 1),
        ("DEL big", 1),
        ("SET big small", 1),
        ("PEXPIRE big 1", 1),
        ("FLUSHALL ASYNC", 1),
        ("FLUSHALL", 1),
        ("FLUSHDB", 1),
        ("FLUSHALL SYNC", 0),
        ("CONFIG SET lazyfree-lazy-user-del no lazyfree-lazy-user-flush no lazyfree-lazy-expire no", 0),
        ("DEL big", 0),
        ("PEXPIRE big 1", 0),
        ("FLUSHDB", 0),
        ("FLUSHDB ASYNC", 1),
        ("UNLINK big", 1),
    ] {
        if !request.starts_with("CONFIG") {
            say(&mut r, "DEL big").unwrap();
            within(10, "what the round before left is freed", 0, || info(&mut r, "lazyfree_pending_objects"));
            freed = info(&mut r, "lazyfreed_objects");
            fill(&mut r, "big", 1000);
        }
        say(&mut r, request).unwrap();
        if request.starts_with("PEXPIRE") {
            within(10, "its date comes", "0".to_owned(), || say(&mut r, "EXISTS big").unwrap());
        }
        within(10, request, freed + aside, || info(&mut r, "lazyfreed_objects"));
    }
}

/// Otherwise who deletes to make room would have to wait, and would not know for how long.
#[test]
fn what_is_not_freed_yet_does_not_count_against_maxmemory() {
    let daemon = Daemon::start();
    let mut r = daemon.connect();
    for _ in 0..20 {
        fill(&mut r, "big", 50_000);
        let limit = info(&mut r, "used_memory") - (1 << 20);
        say(&mut r, &format!("CONFIG SET maxmemory {limit}")).unwrap();
        let refused = say(&mut r, "SET other 1").unwrap_err().to_string();
        assert!(refused.contains("maxmemory"), "{refused}");
        let mut pipe = redis::pipe();
        pipe.cmd("DEL").arg("big").cmd("SET").arg("other").arg(1).exec(&mut r).unwrap();
        say(&mut r, "CONFIG SET maxmemory 0").unwrap();
    }
}
