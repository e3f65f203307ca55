//! Daemons, workers and calls of `pbj` for tests.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::ports::free_port;

pub(crate) const PBJ: &str = env!("CARGO_BIN_EXE_pbj");
const PBJD: &str = env!("CARGO_BIN_EXE_pbjd");
/// How long anything may take that takes milliseconds on a machine with nothing else to do.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(10);

/// Waits until something is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
        if so() {
            return;
        }
        std::thread::sleep(LOOK);
    }
    panic!("still not so: {what}");
}

pub(crate) fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

pub(crate) fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid as i32), signal).unwrap();
}

/// Whether a process runs; one that is dead and not yet collected does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().next());
    state.is_some_and(|state| state != "Z" && state != "X")
}

/// A process that is killed when the test is over, however it ends.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Waits for the end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the process ended", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whatever ended already needs no end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A daemon, and the folder of a test.
pub(crate) struct Daemon {
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
    directives: Vec<String>,
    process: Option<Running>,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(directives: &[&str]) -> Self {
        let directives = directives.iter().map(|word| (*word).to_owned()).collect();
        let folder = tempfile::tempdir().unwrap();
        let mut daemon = Self { port: free_port(), folder, directives, process: None };
        daemon.restart();
        daemon
    }

    pub(crate) fn restart(&mut self) {
        let data = self.path("data");
        std::fs::create_dir_all(&data).unwrap();
        let log = std::fs::File::options().append(true).create(true).open(self.path("pbjd.log")).unwrap();
        let child = Command::new(PBJD)
            .args(["--port", &self.port.to_string(), "--http-port", "0", "--dir", data.to_str().unwrap()])
            .args(["--appendfsync", "always"])
            .args(&self.directives)
            .stderr(log)
            .spawn();
        self.process = Some(Running(child.unwrap()));
        until("the daemon serves", || {
            let process = self.process.as_mut().unwrap();
            assert_eq!(process.0.try_wait().unwrap(), None, "the daemon ended");
            !matches!(self.call(&["cli", "ping"]).status.code(), Some(69 | 75))
        });
    }

    /// Waits until the daemon has ended by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.process.take().unwrap().ended()
    }

    /// Ends it in order.
    pub(crate) fn end(&mut self) {
        let mut process = self.process.take().unwrap();
        process.signal(Signal::SIGTERM);
        assert!(process.ended().success());
    }

    /// As a power cut.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PBJ);
        command.args(words).env("PBJ_URL", self.url()).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn call(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// What a call that must work writes, without the line end.
    pub(crate) fn says(&self, words: &[&str]) -> String {
        let output = self.call(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        text(&output.stdout).trim_end().to_owned()
    }

    pub(crate) fn json(&self, words: &[&str]) -> Json {
        serde_json::from_str(&self.says(&[&["--json"], words].concat())).unwrap()
    }

    pub(crate) fn job(&self, id: &str) -> Json {
        self.json(&["job", id])
    }

    pub(crate) fn wait_for_state(&self, id: &str, state: &str) -> Json {
        let mut job = Json::Null;
        until(&format!("{id} is {state}"), || {
            job = self.job(id);
            job["state"] == state
        });
        job
    }

    /// Pushes a shell command as a job; returns the id.
    pub(crate) fn push(&self, options: &[&str], script: &str) -> String {
        self.says(&[&["run"], options, &["--", "sh", "-c", script]].concat())
    }

    pub(crate) fn worker(&self, options: &[&str]) -> Running {
        self.worker_with(options, &[])
    }

    pub(crate) fn worker_with(&self, options: &[&str], env: &[(&str, &str)]) -> Running {
        let log = std::fs::File::options().append(true).create(true).open(self.path("worker.log")).unwrap();
        let mut command = self.command(&[&["worker"], options].concat());
        Running(command.envs(env.iter().copied()).stderr(log).spawn().unwrap())
    }

    pub(crate) fn worker_log(&self) -> String {
        std::fs::read_to_string(self.path("worker.log")).unwrap_or_default()
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a file says once it says something: a number that a job wrote.
pub(crate) fn number_in(file: &Path) -> u32 {
    let mut number = None;
    until(&format!("{} has a number", file.display()), || {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        number = text.strip_suffix('\n').and_then(|text| text.trim().parse().ok());
        number.is_some()
    });
    number.unwrap()
}

pub(crate) fn lines_in(file: &Path) -> usize {
    std::fs::read_to_string(file).unwrap_or_default().lines().count()
}
