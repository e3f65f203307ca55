//! The keeper: a small process between a worker and the process of a job, which lets nothing of the job get away.
//!
//! ```text
//! worker ──socket──► keeper ──► process of the job ──► its children
//! ```
//! The keeper leads a session of its own, gives up the worker's user for the job's, adopts every orphan of the job
//! (child subreaper), and ends all of them when the worker asks, and when the worker is gone: the socket then ends,
//! however the worker died. First they are asked (SIGTERM), and after a grace they are killed.
//!
//! Not covered: a keeper that is itself killed by SIGKILL. Then the worker kills what is left in the keeper's session;
//! processes that began a session of their own live on. When worker and keeper are both killed, the job is alone.
//! Processes that a job leaves behind when it ends by itself are left alone, as cron does.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::time::TimeValLike;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, User, getuid, initgroups, setgid, setsid, setuid};
use serde::{Deserialize, Serialize};

use super::outcome::Usage;
use super::processes::descendants;
use crate::clock::Clock;

/// Longest order, in bytes: a payload as JSON in JSON.
const ORDER_MAX: u64 = 1 << 30;
/// Between kills, until nobody is left.
const KILL_AGAIN: Duration = Duration::from_millis(100);
/// Kills before what is left is given up: nothing ends a process that waits for a dead disk.
const KILLS_MAX: u32 = 50;

/// What a worker asks a keeper for.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) argv: Vec<String>,
    /// Its whole environment, except what its user adds.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: Option<String>,
    pub(crate) stdin: Option<String>,
    pub(crate) user: Option<String>,
    /// From asking to killing, in milliseconds.
    pub(crate) grace_ms: u64,
}

/// What a worker says later.
pub(crate) const STOP: &str = "stop";

/// What a keeper says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// The process runs, and leads a group of this number.
    Started {
        /// Its number.
        pid: i32,
    },
    /// There is no process.
    Failed {
        /// The class of the failure.
        kind: String,
        /// What happened.
        text: String,
    },
    /// The process ended, and nothing of it is left that was to be ended.
    Ended {
        /// Its exit code.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
        /// What it took.
        usage: Usage,
    },
}

enum Event {
    /// The worker wants an end, or is gone, or somebody sent a signal.
    Stop,
    /// The process of the job ended.
    Ended(ExitStatus),
    /// There are no processes left.
    Empty,
}

/// Runs as a keeper: the order comes in on standard input, which is a socket.
pub(crate) fn main() -> i32 {
    let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else {
        return crate::exit::USAGE;
    };
    // Without a session of its own a job could be reached by the keys of a terminal. It is one in all other cases.
    let _ = setsid();
    let _ = nix::sys::prctl::set_name(c"pbj-keeper");
    let Ok(mut reports) = socket.try_clone() else { return crate::exit::IO_ERROR };
    let mut orders = BufReader::new(socket);
    let mut line = String::new();
    if orders.by_ref().take(ORDER_MAX).read_line(&mut line).is_err() || line.is_empty() {
        return crate::exit::USAGE;
    }
    let order: Order = match serde_json::from_str(&line) {
        Ok(order) => order,
        Err(error) => {
            eprintln!("pbj: only a worker starts keepers: {error}");
            return crate::exit::USAGE;
        }
    };
    match start(order) {
        Err(failed) => say(&mut reports, &failed),
        Ok((child, grace)) => {
            say(&mut reports, &Report::Started { pid: child.id() as i32 });
            let ended = watch(orders, &child, grace);
            say(&mut reports, &ended);
        }
    }
    crate::exit::OK
}

/// A worker that is gone needs no report.
fn say(reports: &mut UnixStream, report: &Report) {
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let _ = reports.write_all(&line);
    }
}

fn failed(kind: &str, text: impl Into<String>) -> Report {
    Report::Failed { kind: kind.to_owned(), text: text.into() }
}

fn start(mut order: Order) -> Result<(Child, Duration), Report> {
    nix::sys::prctl::set_child_subreaper(true).map_err(|error| failed("spawn-keeper", error.to_string()))?;
    let cwd = match order.user.take() {
        Some(user) => become_user(&user, &mut order)?,
        None => order.cwd.clone().unwrap_or_else(|| ".".to_owned()),
    };
    let Some((program, arguments)) = order.argv.split_first() else {
        return Err(failed("spawn-not-found", "there is no command"));
    };
    if !Path::new(&cwd).is_dir() {
        return Err(failed("spawn-cwd", format!("the folder {cwd} is not there, or may not be entered")));
    }
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&order.env).current_dir(&cwd).process_group(0);
    command.stdin(if order.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => "spawn-not-found",
            std::io::ErrorKind::PermissionDenied => "spawn-no-permission",
            _ => "spawn-error",
        };
        failed(kind, format!("{program} cannot be started: {error}"))
    })?;
    if let (Some(mut pipe), Some(text)) = (child.stdin.take(), order.stdin.take()) {
        // A process need not read what it is given.
        std::thread::spawn(move || pipe.write_all(text.as_bytes()));
    }
    Ok((child, Duration::from_millis(order.grace_ms)))
}

/// Gives up our user for another one, for good; returns the folder to run in.
fn become_user(name: &str, order: &mut Order) -> Result<String, Report> {
    let user = User::from_name(name).ok().flatten();
    let user =
        user.ok_or_else(|| failed("spawn-user", format!("there is no user {name} on this machine")))?;
    if user.uid != getuid() {
        if !getuid().is_root() {
            let us =
                User::from_uid(getuid()).ok().flatten().map_or_else(|| getuid().to_string(), |us| us.name);
            let text =
                format!("the job wants to run as {name}; this worker runs as {us}, and only root may change");
            return Err(failed("spawn-user", text));
        }
        let become_it = || -> nix::Result<()> {
            initgroups(&CString::new(name).map_err(|_| Errno::EINVAL)?, user.gid)?;
            setgid(user.gid)?;
            setuid(user.uid)
        };
        become_it().map_err(|error| failed("spawn-user", format!("cannot become {name}: {error}")))?;
    }
    let home = user.dir.display().to_string();
    let defaults = [
        ("HOME", home.clone()),
        ("LOGNAME", user.name.clone()),
        ("USER", user.name),
        ("SHELL", "/bin/sh".to_owned()),
        ("PATH", "/usr/bin:/bin".to_owned()),
    ];
    for (name, value) in defaults {
        order.env.entry(name.to_owned()).or_insert(value);
    }
    // As cron: a home that is not there is no reason not to run.
    Ok(order.cwd.take().unwrap_or(if Path::new(&home).is_dir() { home } else { "/".to_owned() }))
}

/// Waits for the end of a process, and brings it about when asked.
fn watch(orders: BufReader<UnixStream>, child: &Child, grace: Duration) -> Report {
    let (events, inbox) = channel();
    let pid = Pid::from_raw(child.id() as i32);
    listen(orders, events.clone());
    heed_signals(events.clone());
    std::thread::spawn(move || reap(pid, &events));
    let status = wait_for_end(&inbox, pid, grace);
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_or_else(
        |_| Usage::default(),
        |usage| Usage {
            user_ms: usage.user_time().num_milliseconds() as u64,
            system_ms: usage.system_time().num_milliseconds() as u64,
            max_rss_kib: usage.max_rss() as u64,
        },
    );
    Report::Ended {
        code: status.and_then(|status| status.code()),
        signal: status.and_then(|status| status.signal()),
        usage,
    }
}

/// Hears what the worker says. Everything that is no order to stop is not for us; the end of all is one.
fn listen(mut orders: BufReader<UnixStream>, events: Sender<Event>) {
    std::thread::spawn(move || {
        let mut line = String::new();
        while matches!(orders.read_line(&mut line), Ok(1..)) {
            if line.trim_end() == STOP {
                break;
            }
            line.clear();
        }
        let _ = events.send(Event::Stop);
    });
}

/// Whoever ends us by a signal means the job.
fn heed_signals(events: Sender<Event>) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    if let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP]) {
        std::thread::spawn(move || signals.forever().try_for_each(|_| events.send(Event::Stop)));
    }
}

/// Collects everybody who dies: the process of the job, and the orphans it left to us.
fn reap(job: Pid, events: &Sender<Event>) {
    loop {
        let sent = match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == job => {
                events.send(Event::Ended(ExitStatus::from_raw((code & 0xff) << 8)))
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == job => {
                events.send(Event::Ended(ExitStatus::from_raw(signal as i32)))
            }
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(_) => {
                let _ = events.send(Event::Empty);
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

/// What is going on between asking for an end and having it.
struct Stopping {
    /// When to kill, on the stopwatch.
    kill_at_ns: u64,
    kills: u32,
}

fn wait_for_end(inbox: &Receiver<Event>, job: Pid, grace: Duration) -> Option<ExitStatus> {
    let mut ended = None;
    let mut stopping: Option<Stopping> = None;
    loop {
        let event = match &stopping {
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(stopping) => {
                let left = stopping.kill_at_ns.saturating_sub(Clock.stopwatch_ns());
                inbox.recv_timeout(Duration::from_nanos(left))
            }
        };
        match (event, &mut stopping) {
            (Ok(Event::Ended(status)), None) => return Some(status),
            (Ok(Event::Ended(status)), Some(_)) => ended = Some(status),
            (Ok(Event::Stop), None) => {
                end_all(job, Signal::SIGTERM);
                let kill_at_ns = Clock.stopwatch_ns().saturating_add(grace.as_nanos() as u64);
                stopping = Some(Stopping { kill_at_ns, kills: 0 });
            }
            (Ok(Event::Stop), Some(_)) => {}
            (Err(RecvTimeoutError::Timeout), Some(stopping)) if stopping.kills < KILLS_MAX => {
                end_all(job, Signal::SIGKILL);
                stopping.kills += 1;
                stopping.kill_at_ns = Clock.stopwatch_ns() + KILL_AGAIN.as_nanos() as u64;
            }
            (Ok(Event::Empty), _) | (Err(_), _) => return ended,
        }
    }
}

/// Sends a signal to the group of the job, and to everybody who descends from us and left it.
fn end_all(job: Pid, signal: Signal) {
    // Who is gone already cannot be reached, and need not be.
    let _ = killpg(job, signal);
    for pid in descendants(Pid::this()) {
        if nix::unistd::getpgid(Some(pid)) != Ok(job) {
            let _ = kill(pid, signal);
        }
    }
}
