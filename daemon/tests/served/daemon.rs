//! A real `pbjd`, and how to talk to it.

use std::fmt::Debug;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::{Client, Connection, RedisResult};
use tempfile::TempDir;

use crate::ports::free_port;

/// A daemon; it ends with its test.
pub(crate) struct Daemon {
    process: Child,
    pub(crate) port: u16,
    /// It goes when the daemon has ended.
    folder: Option<TempDir>,
}

impl Daemon {
    /// On a folder of its own, which goes with it.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut daemon = Self::start_on(folder.path(), &[]);
        daemon.folder = Some(folder);
        daemon
    }

    /// On a folder that stays when it ends.
    pub(crate) fn start_on(folder: &Path, directives: &[&str]) -> Self {
        let port = free_port();
        let process = Command::new(env!("CARGO_BIN_EXE_pbjd"))
            .args(["--bind", "127.0.0.1", "--http-port", "0", "--port", &port.to_string()])
            .args(["--enable-debug-command", "yes", "--enable-protected-configs", "yes", "--dir"])
            .arg(folder)
            .args(directives)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self { process, port, folder: None };
        within(10, "the daemon serves", true, || {
            daemon.client("").get_connection().is_ok_and(|mut r| say(&mut r, "PING").is_ok())
        });
        daemon
    }

    /// A client with these options of its address.
    pub(crate) fn client(&self, options: &str) -> Client {
        Client::open(format!("redis://127.0.0.1:{}/{options}", self.port)).unwrap()
    }

    pub(crate) fn connect(&self) -> Connection {
        self.client("").get_connection().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).unwrap();
    }

    /// Waits until it has ended.
    pub(crate) fn ended(mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }

    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks for the end in these words, and waits for it.
    pub(crate) fn end(mut self, words: &str) {
        say(&mut self.connect(), words).unwrap_err();
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Whatever ended already needs no end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The reply to a request of words without blanks, as text.
pub(crate) fn say(r: &mut Connection, request: &str) -> RedisResult<String> {
    let mut words = request.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        command.arg(word);
    });
    command.query(r)
}

/// Does what would never end if something were wrong.
pub(crate) fn ends_within(seconds: u64, what: &str, work: impl FnOnce() + Send + 'static) {
    let (done, ended) = channel();
    let working = std::thread::spawn(move || {
        work();
        // Nobody listens any more when it is too late.
        let _ = done.send(());
    });
    let ended = ended.recv_timeout(Duration::from_secs(seconds));
    assert_ne!(ended, Err(RecvTimeoutError::Timeout), "{what}: not in {seconds} s");
    working.join().unwrap();
}

/// Looks until there is what is wanted, for so many seconds.
pub(crate) fn within<T: PartialEq + Debug>(seconds: u32, what: &str, wanted: T, mut look: impl FnMut() -> T) {
    let mut last = look();
    for _ in 0..100 * seconds {
        if last == wanted {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
        last = look();
    }
    assert_eq!(last, wanted, "{what}");
}
