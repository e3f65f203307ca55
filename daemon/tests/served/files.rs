//! Snapshots and rewrites of the log in a real `pbjd`: killed while it rewrites, switched on and off, full of errors.
//!
//! Not here: crashes at each step of a rewrite, and power cuts (tests/sim), and other servers (tests/snapshots).

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use redis::{Commands, Connection};

use crate::daemon::{Daemon, ends_within, say, within};

fn info(r: &mut Connection, field: &str) -> String {
    let text = say(r, "INFO persistence").unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("INFO has no {field}")).to_owned()
}

/// Waits until a field of INFO has a value.
fn wait_for(r: &mut Connection, field: &str, value: &str) {
    within(10, field, value.to_owned(), || info(r, field));
}

fn digest(r: &mut Connection) -> String {
    say(r, "DEBUG DIGEST").unwrap()
}

fn fill(r: &mut Connection, keys: usize) {
    let mut pipe = redis::pipe();
    for n in 0..keys {
        pipe.cmd("SET").arg(format!("key:{n}")).arg(n).ignore();
        pipe.cmd("HSET").arg(format!("hash:{}", n % 100)).arg(n).arg("value").ignore();
    }
    pipe.query::<()>(r).unwrap();
}

/// Somebody counts while the log is rewritten again and again, and the daemon is killed at any moment: whatever was
/// answered is there afterwards, and nothing that was never asked for.
#[test]
fn nothing_that_was_answered_is_lost_to_a_kill_during_rewrites() {
    let folder = tempfile::tempdir().unwrap();
    let answered = Arc::new(AtomicI64::new(0));
    for round in 0..8 {
        let daemon = Daemon::start_on(folder.path(), &["--auto-aof-rewrite-percentage", "0"]);
        let mut r = daemon.connect();
        let there: i64 = r.get::<_, Option<i64>>("n").unwrap().unwrap_or(0);
        let known = answered.load(Ordering::SeqCst);
        assert!((known..=known + 1).contains(&there), "round {round}: {there} of {known}");
        assert_eq!(r.get::<_, Option<i64>>("same").unwrap().unwrap_or(0), there, "a transaction is whole");
        if round == 0 {
            fill(&mut r, 20_000);
        }
        let (mut writer, counter) = (daemon.connect(), Arc::clone(&answered));
        counter.store(there, Ordering::SeqCst);
        let writing = std::thread::spawn(move || {
            while let Ok(((n, _),)) = redis::pipe()
                .atomic()
                .incr("n", 1)
                .incr("same", 1)
                .query::<(i64, i64)>(&mut writer)
                .map(|pair| (pair,))
            {
                counter.store(n, Ordering::SeqCst);
            }
        });
        for _ in 0..round {
            // It may go on still.
            let _ = say(&mut r, "BGREWRITEAOF");
            std::thread::sleep(Duration::from_millis(37));
        }
        daemon.kill();
        writing.join().unwrap();
    }
    assert!(answered.load(Ordering::SeqCst) > 0);
}

#[test]
fn a_rewrite_leaves_one_base_and_what_came_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_on(folder.path(), &[]);
    let mut r = daemon.connect();
    for _ in 0..3 {
        fill(&mut r, 5000);
    }
    let before: u64 = info(&mut r, "aof_current_size").parse().unwrap();
    say(&mut r, "BGREWRITEAOF").unwrap();
    assert!(
        say(&mut r, "BGREWRITEAOF").is_err_and(|error| error.to_string().contains("already in progress"))
            || info(&mut r, "aof_rewrites") == "1"
    );
    wait_for(&mut r, "aof_rewrite_in_progress", "0");
    assert_eq!(info(&mut r, "aof_last_bgrewrite_status"), "ok");
    let after: u64 = info(&mut r, "aof_current_size").parse().unwrap();
    assert!(after < before / 2, "{after} of {before}");
    say(&mut r, "SET behind it").unwrap();
    let digest_before = digest(&mut r);
    say(&mut r, "DEBUG LOADAOF").unwrap();
    assert_eq!(digest(&mut r), digest_before);
    let manifest = fs::read_to_string(folder.path().join("appendonlydir/appendonly.aof.manifest")).unwrap();
    assert_eq!(manifest.lines().count(), 2, "{manifest}");
    assert_eq!(fs::read_dir(folder.path().join("appendonlydir")).unwrap().count(), 3);
    daemon.kill();
    let daemon = Daemon::start_on(folder.path(), &[]);
    assert_eq!(digest(&mut daemon.connect()), digest_before);
}

/// A base of commands comes to the same, and a byte of it that changed is noticed.
#[test]
fn a_base_may_be_commands() {
    let folder = tempfile::tempdir().unwrap();
    let directives = ["--aof-use-rdb-preamble", "no"];
    let daemon = Daemon::start_on(folder.path(), &directives);
    let mut r = daemon.connect();
    fill(&mut r, 500);
    for request in [
        "RPUSH l a b c",
        "ZADD z 1.5 a 2 b",
        "SADD s a b",
        "XADD x 1-1 f v",
        "HSETEX d PX 900000 FIELDS 1 f v",
    ] {
        say(&mut r, request).ok();
    }
    say(&mut r, "BGREWRITEAOF").unwrap();
    wait_for(&mut r, "aof_rewrite_in_progress", "0");
    say(&mut r, "SET behind it").unwrap();
    let before = digest(&mut r);
    daemon.kill();
    let daemon = Daemon::start_on(folder.path(), &directives);
    assert_eq!(digest(&mut daemon.connect()), before);
    daemon.kill();
    let base = folder.path().join("appendonlydir/appendonly.aof.2.base.aof");
    let mut content = fs::read(&base).unwrap();
    let at = content.windows(5).position(|bytes| bytes == b"value").unwrap();
    content[at] = b'w';
    fs::write(&base, content).unwrap();
    let refused = Command::new(env!("CARGO_BIN_EXE_pbjd"))
        .args(["--port", "0", "--http-port", "0", "--dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(65), "{refused:?}");
}

#[test]
fn a_log_that_has_grown_is_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_on(folder.path(), &["--auto-aof-rewrite-min-size", "100kb"]);
    let mut r = daemon.connect();
    while info(&mut r, "aof_rewrites") == "0" {
        fill(&mut r, 500);
    }
    assert_ne!(info(&mut r, "aof_base_size"), "0");
}

#[test]
fn the_log_is_switched_off_and_on() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_on(folder.path(), &["--appendonly", "no"]);
    let mut r = daemon.connect();
    fill(&mut r, 1000);
    say(&mut r, "CONFIG SET appendonly yes").unwrap();
    say(&mut r, "SET during begin").unwrap();
    wait_for(&mut r, "aof_rewrite_in_progress", "0");
    let with_log = digest(&mut r);
    say(&mut r, "CONFIG SET appendonly no").unwrap();
    say(&mut r, "SET without log").unwrap();
    daemon.kill();
    let daemon = Daemon::start_on(folder.path(), &["--appendonly", "yes"]);
    let mut r = daemon.connect();
    assert_eq!(digest(&mut r), with_log, "what came later had no log");
    say(&mut r, "CONFIG SET appendonly no").unwrap();
    say(&mut r, "SET more 1").unwrap();
    say(&mut r, "CONFIG SET appendonly yes").unwrap();
    wait_for(&mut r, "aof_rewrite_in_progress", "0");
    let again = digest(&mut r);
    daemon.kill();
    let daemon = Daemon::start_on(folder.path(), &["--appendonly", "yes"]);
    assert_eq!(digest(&mut daemon.connect()), again);
}

/// The files that the manifest names, each by the end of its name and its type.
fn files_of_log(folder: &tempfile::TempDir) -> Vec<String> {
    let text = fs::read_to_string(folder.path().join("appendonlydir/appendonly.aof.manifest")).unwrap();
    let word = |line: &str, at: usize| line.split(' ').nth(at).unwrap().to_owned();
    let file = |line: &str| word(line, 1).replace("appendonly.aof.", "") + " " + &word(line, 5);
    text.lines().map(file).collect()
}

/// Somebody copies the files of the log away, one after the other, while it is rewritten twice: with
/// aof-disable-auto-gc all of them stay where they are, over a restart too, until it is taken back.
#[test]
fn what_rewrites_replace_stays_as_long_as_it_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let keeping = ["--aof-disable-auto-gc", "yes"];
    let daemon = Daemon::start_on(folder.path(), &keeping);
    let mut r = daemon.connect();
    assert_eq!(
        files_of_log(&folder),
        ["1.base.rdb b", "1.incr.aof i"],
        "a log begins with a base of nothing"
    );
    for _ in 0..2 {
        say(&mut r, "BGREWRITEAOF").unwrap();
        wait_for(&mut r, "aof_rewrite_in_progress", "0");
    }
    let history = ["2.incr.aof h", "2.base.rdb h", "1.incr.aof h", "1.base.rdb h"];
    let all = [&["3.base.rdb b"], &history[..], &["3.incr.aof i"]].concat();
    assert_eq!(files_of_log(&folder), all);
    daemon.kill();
    let daemon = Daemon::start_on(folder.path(), &keeping);
    assert_eq!(files_of_log(&folder), all);
    say(&mut daemon.connect(), "CONFIG SET aof-disable-auto-gc no").unwrap();
    // The manifest forgets what was removed when it is gone.
    let left = vec!["3.base.rdb b".to_owned(), "3.incr.aof i".to_owned()];
    within(10, "only base and increment are named", left, || files_of_log(&folder));
    assert_eq!(fs::read_dir(folder.path().join("appendonlydir")).unwrap().count(), 3);
}

/// A rewrite while the log is off makes a base, and no increment that nothing would be written to.
#[test]
fn a_rewrite_without_a_log_leaves_a_base() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_on(folder.path(), &["--appendonly", "no"]);
    let mut r = daemon.connect();
    fill(&mut r, 100);
    say(&mut r, "BGREWRITEAOF").unwrap();
    wait_for(&mut r, "aof_rewrite_in_progress", "0");
    assert_eq!(files_of_log(&folder), ["1.base.rdb b"]);
    let before = digest(&mut r);
    say(&mut r, "DEBUG LOADAOF").unwrap();
    assert_eq!(digest(&mut r), before);
    say(&mut r, "CONFIG SET appendonly yes").unwrap();
    wait_for(&mut r, "aof_rewrite_in_progress", "0");
    assert_eq!(files_of_log(&folder), ["2.base.rdb b", "1.incr.aof i"]);
    say(&mut r, "SET behind it").unwrap();
    let before = digest(&mut r);
    daemon.kill();
    let daemon = Daemon::start_on(folder.path(), &["--appendonly", "yes"]);
    assert_eq!(digest(&mut daemon.connect()), before);
}

#[test]
fn snapshots_are_written_and_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let without_log = ["--appendonly", "no"];
    let daemon = Daemon::start_on(folder.path(), &without_log);
    let mut r = daemon.connect();
    fill(&mut r, 3000);
    assert_eq!(say(&mut r, "BGSAVE").unwrap(), "Background saving started");
    wait_for(&mut r, "rdb_bgsave_in_progress", "0");
    assert_eq!(
        (info(&mut r, "rdb_saves"), info(&mut r, "rdb_changes_since_last_save")),
        ("1".into(), "0".into())
    );
    let saved = digest(&mut r);
    say(&mut r, "SET lost 1").unwrap();
    daemon.kill();
    let daemon = Daemon::start_on(folder.path(), &without_log);
    let mut r = daemon.connect();
    assert_eq!(digest(&mut r), saved);
    say(&mut r, "SET kept 1").unwrap();
    let at_end = digest(&mut r);
    daemon.end("SHUTDOWN SAVE");
    let daemon = Daemon::start_on(folder.path(), &without_log);
    let mut r = daemon.connect();
    assert_eq!(digest(&mut r), at_end);
    say(&mut r, "DEBUG RELOAD").unwrap();
    assert_eq!(digest(&mut r), at_end);
    say(&mut r, "SET lost 1").unwrap();
    daemon.end("SHUTDOWN NOSAVE");
    // Redis would begin with nothing here.
    let daemon = Daemon::start_on(folder.path(), &["--appendonly", "yes"]);
    assert_eq!(digest(&mut daemon.connect()), at_end);
    assert!(folder.path().join("appendonlydir/appendonly.aof.1.base.rdb").exists());
}

#[test]
fn save_points_save_and_a_save_can_be_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_on(folder.path(), &["--appendonly", "no", "--save", "1 10"]);
    let mut r = daemon.connect();
    fill(&mut r, 100);
    within(10, "a save", true, || info(&mut r, "rdb_saves") != "0");
    let no_more: String = redis::cmd("CONFIG").arg(&["SET", "save", ""]).query(&mut r).unwrap();
    assert_eq!(no_more, "OK");
    wait_for(&mut r, "rdb_bgsave_in_progress", "0");
    say(&mut r, "CONFIG SET rdb-key-save-delay 10000000").unwrap();
    say(&mut r, "BGSAVE").unwrap();
    assert!(say(&mut r, "BGSAVE").unwrap_err().to_string().contains("already in progress"));
    assert!(say(&mut r, "SAVE").unwrap_err().to_string().contains("already in progress"));
    assert_eq!(say(&mut r, "BGREWRITEAOF").unwrap(), "Background append only file rewriting scheduled");
    assert_eq!(info(&mut r, "aof_rewrite_scheduled"), "1");
    assert_eq!(say(&mut r, "BGSAVE CANCEL").unwrap(), "Background saving cancelled");
    assert_eq!(info(&mut r, "rdb_bgsave_in_progress"), "0");
    assert_eq!(info(&mut r, "rdb_last_bgsave_status"), "ok");
    daemon.end("SHUTDOWN NOSAVE");
    assert!(!folder.path().join("temp-dump.rdb").exists(), "nothing is left behind");
}

/// A folder stands where the snapshot should be.
#[test]
fn a_snapshot_that_cannot_be_written_stops_writes_and_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_on(folder.path(), &["--appendonly", "yes", "--save", "3600 100000"]);
    fs::create_dir_all(folder.path().join("dump.rdb/full")).unwrap();
    let mut r = daemon.connect();
    say(&mut r, "SET a 1").unwrap();
    assert!(say(&mut r, "SAVE").is_err());
    say(&mut r, "BGSAVE").unwrap();
    wait_for(&mut r, "rdb_last_bgsave_status", "err");
    let refused = say(&mut r, "SET a 2").unwrap_err();
    assert!(refused.to_string().contains("MISCONF"), "{refused}");
    assert!(say(&mut r, "SHUTDOWN").unwrap_err().to_string().contains("Errors trying to SHUTDOWN"));
    say(&mut r, "CONFIG SET stop-writes-on-bgsave-error no").unwrap();
    say(&mut r, "SET a 3").unwrap();
    say(&mut r, "CONFIG SET stop-writes-on-bgsave-error yes").unwrap();
    fs::remove_dir_all(folder.path().join("dump.rdb")).unwrap();
    say(&mut r, "SAVE").unwrap();
    say(&mut r, "SET a 4").unwrap();
    daemon.end("SHUTDOWN");
}

/// What is on its way when `appendfsync` stops to be `always` still waits for its sync, so somebody has to make it.
#[test]
fn replies_come_while_the_policy_of_the_log_changes() {
    ends_within(60, "replies while the policy changes", || {
        let folder = tempfile::tempdir().unwrap();
        let daemon = Daemon::start_on(folder.path(), &["--appendfsync", "always"]);
        let done = Arc::new(AtomicI64::new(0));
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (mut r, done) = (daemon.connect(), Arc::clone(&done));
                std::thread::spawn(move || {
                    while done.load(Ordering::Relaxed) == 0 {
                        say(&mut r, &format!("INCR counter:{writer}")).unwrap();
                    }
                })
            })
            .collect();
        let mut r = daemon.connect();
        for _ in 0..100 {
            for policy in ["no", "always", "everysec", "always"] {
                say(&mut r, &format!("CONFIG SET appendfsync {policy}")).unwrap();
            }
        }
        say(&mut r, "CONFIG SET appendfsync no").unwrap();
        say(&mut r, "INCR counter:last").unwrap();
        done.store(1, Ordering::Relaxed);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
}

/// WAITAOF says when the disk has what this connection wrote, whatever `appendfsync` promises to everybody.
#[test]
fn who_asks_waits_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    for policy in ["always", "everysec"] {
        let daemon = Daemon::start_on(folder.path(), &["--appendfsync", policy]);
        let mut r = daemon.connect();
        say(&mut r, "SET a 1").unwrap();
        let waited: (i64, i64) = redis::cmd("WAITAOF").arg(&["1", "0", "0"]).query(&mut r).unwrap();
        assert_eq!(waited, (1, 0), "{policy}");
        let late: (i64, i64) = redis::cmd("WAITAOF").arg(&["1", "1", "20"]).query(&mut r).unwrap();
        assert_eq!(late, (1, 0), "there is no replica");
        say(&mut r, "CONFIG SET appendonly no").unwrap();
        let refused = redis::cmd("WAITAOF").arg(&["1", "0", "0"]).query::<(i64, i64)>(&mut r).unwrap_err();
        assert!(refused.to_string().contains("appendonly is disabled"), "{refused}");
        say(&mut r, "CONFIG SET appendonly yes").unwrap();
    }
}
