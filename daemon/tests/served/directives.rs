//! Directives that reach something outside of the engine, in a real `pbjd`.
#![expect(clippy::unwrap_used, reason = "a test ends when something is missing")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::{Client, Connection};

/// A daemon that ends with the test.
struct Daemon {
    process: Child,
    port: u16,
}

impl Daemon {
    fn start(folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(env!("CARGO_BIN_EXE_pbjd"))
            .args(["--bind", "127.0.0.1", "--http-port", "0", "--enable-protected-configs", "yes"])
            .args(["--port", &port.to_string(), "--dir"])
            .arg(folder)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self { process, port };
        let up = within_ten_seconds(|| {
            daemon.client().get_connection().is_ok_and(|mut r| say(&mut r, "PING") == "PONG")
        });
        assert!(up, "pbjd does not start");
        daemon
    }

    fn client(&self) -> Client {
        Client::open(format!("redis://127.0.0.1:{}/", self.port)).unwrap()
    }

    fn connect(&self) -> Connection {
        self.client().get_connection().unwrap()
    }

    fn oom_score(&self) -> i64 {
        let text = fs::read_to_string(format!("/proc/{}/oom_score_adj", self.process.id())).unwrap();
        text.trim().parse().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Whatever ended already needs no end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The reply to a request of words without blanks, or the error, as text.
fn say(r: &mut Connection, request: &str) -> String {
    let mut words = request.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        command.arg(word);
    });
    command.query(r).unwrap_or_else(|error| error.to_string())
}

fn within_ten_seconds(done: impl Fn() -> bool) -> bool {
    (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        done()
    })
}

/// Its files stay where they are: CONFIG SET dir was answered with OK, and changed nothing.
#[test]
fn the_folder_is_another_one_at_a_start_only() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let daemon = Daemon::start(folder.path());
    let mut r = daemon.connect();
    let answer = say(&mut r, &format!("CONFIG SET dir {}", other.path().display()));
    assert!(answer.contains("the folder is locked while the server runs"), "{answer}");
    let answer = say(&mut r, "CONFIG SET dir /nowhere/at/all");
    assert!(answer.contains("No such file or directory"), "{answer}");
    assert_eq!(say(&mut r, &format!("CONFIG SET dir {}/.", folder.path().display())), "OK");
    say(&mut r, "SET a 1");
    assert_eq!(say(&mut r, "SAVE"), "OK");
    assert!(folder.path().join("dump.rdb").exists());
}

/// The second of `oom-score-adj-values` counts as soon as the server is a replica, and the first when it is none any
/// more.
#[test]
fn the_oom_score_follows_the_role() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let (mut r, base) = (daemon.connect(), daemon.oom_score());
    let answer: String = redis::cmd("CONFIG")
        .arg(&["SET", "oom-score-adj-values", "10 20 30", "oom-score-adj", "yes"])
        .query(&mut r)
        .unwrap();
    assert_eq!((&*answer, daemon.oom_score()), ("OK", base + 10));
    say(&mut r, "REPLICAOF 127.0.0.1 1");
    assert!(within_ten_seconds(|| daemon.oom_score() == base + 20), "{}", daemon.oom_score());
    say(&mut r, "REPLICAOF NO ONE");
    assert!(within_ten_seconds(|| daemon.oom_score() == base + 10), "{}", daemon.oom_score());
}

/// The master and the target of MIGRATE see the address of `bind-source-addr`; one that this machine does not have is
/// no reason not to connect.
#[test]
fn connections_come_from_the_address_that_is_named() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (master, replica) = (Daemon::start(folders[0].path()), Daemon::start(folders[1].path()));
    let (mut of_master, mut of_replica) = (master.connect(), replica.connect());
    say(&mut of_replica, "CONFIG SET bind-source-addr 127.0.0.2");
    say(&mut of_replica, "SET a 1");
    assert_eq!(say(&mut of_replica, &format!("MIGRATE 127.0.0.1 {} a 0 5000", master.port)), "OK");
    let list = say(&mut of_master, "CLIENT LIST");
    assert!(list.contains("addr=127.0.0.2:"), "{list}");
    for (source, seen) in [("127.0.0.3", "127.0.0.3"), ("192.0.2.1", "127.0.0.1")] {
        say(&mut of_replica, &format!("CONFIG SET bind-source-addr {source}"));
        say(&mut of_replica, &format!("REPLICAOF 127.0.0.1 {}", master.port));
        let wanted = format!("ip={seen},");
        let mut info = String::new();
        for _ in 0..1000 {
            info = say(&mut of_master, "INFO replication");
            if info.contains(&wanted) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(info.contains(&wanted), "{info}");
        say(&mut of_replica, "REPLICAOF NO ONE");
    }
}
