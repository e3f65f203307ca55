//! Signs of life to the service manager.
#![expect(clippy::unwrap_used, reason = "a test ends when something is missing")]

#[path = "shared/ports.rs"]
mod ports;

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What the service manager allows without a sign: there is one in each third of it, which a machine that stands still
/// for a second leaves time for.
const WATCHDOG: Duration = Duration::from_secs(6);
/// How many are waited for, and how often nothing may come meanwhile, each time for a tenth of a second.
const SIGNS: usize = 4;
const SILENCES_MAX: usize = 400;

/// Threads with nothing to do answer at once on one look and a moment later on the next. They were once
/// called stuck for that: the look counted the answer to its own question, if it was quick.
#[test]
fn a_daemon_with_nothing_to_do_is_alive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let port = ports::free_port();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_pbjd"))
        .args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--http-port",
            "0",
            "--io-threads",
            "8",
            "--dir",
        ])
        .arg(folder.path())
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut told, mut piece, mut silences) = (String::new(), [0; 4096], 0);
    while told.matches("WATCHDOG=1").count() < SIGNS && silences < SILENCES_MAX {
        match manager.recv(&mut piece) {
            Ok(len) => told += &String::from_utf8_lossy(&piece[..len]),
            Err(_) => silences += 1,
        }
        told.push('\n');
    }
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(silences < SILENCES_MAX, "{told}");
    assert!(!told.contains("No progress"), "{told}");
}
