//! The process of a job, as its worker sees it: started by a keeper, read to its end, ended on demand.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::capture::Capture;
use super::keeper::{Order, Report, STOP};
use super::outcome::{End, Ended, Usage};
use super::payload::Payload;
use super::processes::session_of;
use crate::cli::times::now_ms;

/// The first argument that makes this program a keeper.
pub(crate) const KEEPER: &str = "job-keeper";
/// How long output may come after the end of a process: whoever else holds its pipes is not waited for.
const OUTPUT_AFTER_END: Duration = Duration::from_secs(1);
/// Longest report of a keeper, in bytes.
const REPORT_MAX: u64 = 64 << 10;
/// Variables of the worker that jobs see.
const HANDED_ON: [&str; 10] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SYSTEMD_EXEC_PID"];

/// What a worker gives to each of its processes.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// From asking a process to end to killing it.
    pub(crate) kill_grace: Duration,
    /// Bytes kept of each stream.
    pub(crate) output_max: usize,
    /// Further variables of the worker that jobs see.
    pub(crate) pass_env: Vec<String>,
}

/// Why there is no process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StartFault {
    pub(crate) kind: String,
    pub(crate) text: String,
}

/// A keeper and the socket to it.
pub(crate) struct Kept {
    child: Child,
    reports: BufReader<OwnedReadHalf>,
    /// The beginning of a report whose end has not come yet.
    partial: Vec<u8>,
    orders: OwnedWriteHalf,
}

impl Kept {
    /// Starts a process under a keeper; `about` says for whom, to people who list processes.
    ///
    /// # Errors
    /// It cannot be started; nothing is left of the attempt.
    pub(crate) async fn start(about: &str, order: &Order, output: fn() -> Stdio) -> Result<Self, StartFault> {
        let fault = |error: std::io::Error| StartFault {
            kind: "spawn-keeper".to_owned(),
            text: format!("no process can be started here: {error}"),
        };
        let (child, socket) = keeper(about, output).map_err(fault)?;
        let (reports, orders) = socket.into_split();
        let reports = BufReader::new(reports);
        let mut kept = Self { child, reports, partial: Vec::new(), orders };
        let mut line = serde_json::to_vec(order).map_err(|error| fault(error.into()))?;
        line.push(b'\n');
        kept.orders.write_all(&line).await.map_err(fault)?;
        match kept.report().await {
            Some(Report::Started { .. }) => Ok(kept),
            Some(Report::Failed { kind, text }) => Err(StartFault { kind, text }),
            _ => {
                kept.bury();
                Err(fault(std::io::Error::other("the keeper of the process died")))
            }
        }
    }

    /// Asks the process and all its descendants to end; they are killed after the grace.
    pub(crate) async fn stop(&mut self) {
        // A keeper that is gone has nothing left to end; its end is seen in the reports.
        let _ = self.orders.write_all(format!("{STOP}\n").as_bytes()).await;
    }

    /// The next report; `None` if there is no keeper any more. May be dropped and called again.
    pub(crate) async fn report(&mut self) -> Option<Report> {
        let mut limited = (&mut self.reports).take(REPORT_MAX);
        limited.read_until(b'\n', &mut self.partial).await.ok()?;
        serde_json::from_slice(&std::mem::take(&mut self.partial)).ok()
    }

    /// How the process ended, and what it took; waits for the keeper.
    pub(crate) async fn ended(&mut self, report: Option<Report>) -> (End, Usage) {
        let ended = match report {
            Some(Report::Ended { code: Some(code), usage, .. }) => (End::Code(code), usage),
            Some(Report::Ended { signal: Some(signal), usage, .. }) => (End::Signal(signal), usage),
            _ => {
                self.bury();
                (End::Signal(Signal::SIGKILL as i32), Usage::default())
            }
        };
        let _ = self.child.wait().await;
        ended
    }

    /// The keeper died: what it kept dies with it, as far as it can be found.
    fn bury(&self) {
        // Not collected yet, so the number of its session is still its own.
        let Some(keeper) = self.child.id() else { return };
        for pid in session_of(Pid::from_raw(keeper as i32)) {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

/// Starts a keeper, with a socket to it.
fn keeper(about: &str, output: fn() -> Stdio) -> std::io::Result<(Child, UnixStream)> {
    let (ours, its) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    // The file that runs now, even if another version has taken its place meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("pbj").arg(KEEPER).arg(about).stdin(Stdio::from(OwnedFd::from(its)));
    command.stdout(output()).stderr(output());
    Ok((command.spawn()?, UnixStream::from_std(ours)?))
}

/// A running process of a job.
pub(crate) struct Process {
    kept: Kept,
    started_ms: u64,
    stdout: Stream,
    stderr: Stream,
}

/// An end of a pipe.
type Pipe = Box<dyn AsyncRead + Unpin + Send>;

/// A stream that is read on the side.
struct Stream {
    capture: Arc<Mutex<Capture>>,
    reader: JoinHandle<()>,
}

impl Stream {
    fn read(from: Option<Pipe>, bytes_max: usize) -> Self {
        let capture = Arc::new(Mutex::new(Capture::new(bytes_max)));
        let to = Arc::clone(&capture);
        let reader = tokio::spawn(async move {
            let Some(mut from) = from else { return };
            let mut buffer = vec![0; 16 << 10];
            while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
                to.lock().take(&buffer[..bytes]);
            }
        });
        Self { capture, reader }
    }

    async fn end(mut self) -> Capture {
        if tokio::time::timeout(OUTPUT_AFTER_END, &mut self.reader).await.is_err() {
            self.reader.abort();
        }
        self.capture.lock().clone()
    }
}

/// The environment of a job: little of ours, what its payload says, and what it is.
fn environment(
    payload: &Payload,
    setting: &Setting,
    about: Vec<(&'static str, String)>,
) -> BTreeMap<String, String> {
    // A job of another user finds the world of that user, not ours.
    let ours = |name: &str| match payload.user {
        Some(_) => matches!(name, "LANG" | "LANGUAGE" | "TZ") || name.starts_with("LC_"),
        None => HANDED_ON.contains(&name) || name.starts_with("LC_"),
    };
    let handed_on = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        (ours(&name) || setting.pass_env.contains(&name)).then_some((name, value))
    });
    let mut environment: BTreeMap<String, String> = handed_on.collect();
    environment.extend(payload.env.clone());
    environment.extend(about.into_iter().map(|(name, value)| (name.to_owned(), value)));
    environment
}

impl Process {
    /// Starts the process that a payload asks for.
    ///
    /// # Errors
    /// It cannot be started; nothing is left of the attempt.
    pub(crate) async fn start(
        id: &str,
        payload: &Payload,
        setting: &Setting,
        about: Vec<(&'static str, String)>,
    ) -> Result<Self, StartFault> {
        let order = Order {
            argv: payload.argv.clone(),
            env: environment(payload, setting, about),
            cwd: payload.cwd.clone(),
            stdin: payload.stdin.clone(),
            user: payload.user.clone(),
            grace_ms: setting.kill_grace.as_millis() as u64,
        };
        let started_ms = now_ms();
        let mut kept = Kept::start(id, &order, Stdio::piped).await?;
        let read = |from: Option<_>| Stream::read(from, setting.output_max);
        let stdout = read(kept.child.stdout.take().map(Box::new).map(|from| from as Pipe));
        let stderr = read(kept.child.stderr.take().map(Box::new).map(|from| from as Pipe));
        Ok(Self { kept, started_ms, stdout, stderr })
    }

    /// Asks the process and all its descendants to end; they are killed after the grace.
    pub(crate) async fn stop(&mut self) {
        self.kept.stop().await;
    }

    /// Waits for the end. May be dropped and called again.
    pub(crate) async fn ended(&mut self) -> Option<Report> {
        self.kept.report().await
    }

    /// What there is to know after [`Self::ended`].
    pub(crate) async fn collect(mut self, report: Option<Report>) -> Ended {
        let (end, usage) = self.kept.ended(report).await;
        let ended_ms = now_ms();
        let (stdout, stderr) = tokio::join!(self.stdout.end(), self.stderr.end());
        Ended { end, started_ms: self.started_ms, ended_ms, usage, stdout, stderr }
    }
}
