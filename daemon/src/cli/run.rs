//! `pbj run -- command`: a command as a job, and with `--wait` as if it had been run here.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::ProgressBar;
use redis::cmd;
use serde_json::{Value as Json, json};

use super::fault::{Fault, Kind};
use super::link::Link;
use super::push::{PushOptions, read_stdin};
use super::reply::Record;
use super::worker::outcome::FailureText;
use super::worker::payload::Payload;
use super::{print, reply};

/// First and longest pause between looks at a job that is waited for.
const LOOK_FIRST: Duration = Duration::from_millis(10);
const LOOK_LAST: Duration = Duration::from_millis(500);
/// How long the daemon may be away while somebody waits.
const AWAY_MAX_MS: u64 = 60_000;

/// Exit codes of a job that is not simply over, as `timeout` and `docker run` have them.
const TIMED_OUT: i32 = 124;
const NOT_RUN: i32 = 125;
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;

/// `pbj run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The queue
    #[arg(long, default_value = "default")]
    queue: String,
    /// Wait until it is over, show its output, and exit as it did
    #[arg(long)]
    wait: bool,
    /// A variable of its environment; can be given several times
    #[arg(long = "env", value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// The folder it runs in [default: this one]
    #[arg(long, value_name = "FOLDER")]
    cwd: Option<PathBuf>,
    /// Run it in the folder of the worker
    #[arg(long, conflicts_with = "cwd")]
    no_cwd: bool,
    /// Give it our standard input
    #[arg(long)]
    stdin: bool,
    /// End it after so much time
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// Run it as this user, if the worker may
    #[arg(long)]
    user: Option<String>,
    /// A failure is final, unless the exit code is 75
    #[arg(long)]
    no_retry: bool,
    /// An id of your choice; refused if there is a job with it
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    options: PushOptions,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    argv: Vec<String>,
}

impl Run {
    fn payload(&self) -> Result<Json, Fault> {
        let mut payload = json!({ "argv": self.argv });
        if !self.env.is_empty() {
            let mut env = serde_json::Map::new();
            for pair in &self.env {
                let (name, value) = pair
                    .split_once('=')
                    .ok_or_else(|| Fault::usage(format!("--env {pair}: write NAME=VALUE")))?;
                env.insert(name.to_owned(), value.into());
            }
            payload["env"] = env.into();
        }
        let cwd = match (&self.cwd, self.no_cwd) {
            (_, true) => None,
            (Some(folder), _) => Some(std::path::absolute(folder)),
            (None, _) => Some(std::env::current_dir()),
        };
        if let Some(cwd) = cwd {
            let cwd = cwd.map_err(|error| Fault::new(Kind::Io, format!("this folder: {error}")))?;
            let cwd = cwd.to_str().ok_or_else(|| Fault::usage("the name of the folder is no UTF-8"))?;
            payload["cwd"] = cwd.into();
        }
        if self.stdin {
            let text = String::from_utf8(read_stdin()?);
            payload["stdin"] =
                text.map_err(|_| Fault::new(Kind::Input, "standard input is no UTF-8"))?.into();
        }
        for (name, value) in [("timeout", &self.timeout), ("user", &self.user)] {
            if let Some(value) = value {
                payload[name] = value.as_str().into();
            }
        }
        if self.no_retry {
            payload["no_retry"] = true.into();
        }
        Payload::parse(payload.to_string().as_bytes()).map_err(Fault::usage)?;
        Ok(payload)
    }

    /// Pushes the job; returns the exit code.
    pub(crate) async fn run(self, link: &Link, json: bool) -> Result<i32, Fault> {
        if self.wait && self.options.keep.as_deref().is_some_and(|keep| keep.starts_with('0')) {
            return Err(Fault::usage("--wait needs the job when it is over: leave out --keep 0"));
        }
        // As cron and at: a command that fails is not run again unless somebody says so.
        let options = PushOptions { attempts: self.options.attempts.or(Some(1)), ..self.options.clone() };
        let mut command = cmd("JOB.PUSH");
        command.arg(&self.queue).arg("exec").arg(self.payload()?.to_string());
        if let Some(id) = &self.id {
            command.arg("ID").arg(id);
        }
        options.write_to(&mut command);
        let id = reply::text(&link.call(&command).await?);
        if !self.wait {
            print::line(if json { json!({ "id": id }).to_string() } else { id })?;
            return Ok(0);
        }
        let job = wait_for(link, &id).await?;
        show(&job, json)
    }
}

/// Looks at a job until it is over.
async fn wait_for(link: &Link, id: &str) -> Result<Record, Fault> {
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(Duration::from_millis(200));
    let mut pause = LOOK_FIRST;
    let mut away_since = None;
    loop {
        let now = super::times::now_ms();
        match link.call(cmd("JOB.GET").arg(id)).await.map(Record::of) {
            Ok(Some(job)) => {
                away_since = None;
                let state = job.text("state");
                if matches!(&*state, "done" | "dead" | "cancelled") {
                    spinner.finish_and_clear();
                    return Ok(job);
                }
                spinner.set_message(format!("{id} is {state} (Ctrl-C ends the waiting, not the job)"));
            }
            Ok(None) => {
                return Err(Fault::failed(format!("{id} is gone: it was over and has been forgotten")));
            }
            Err(fault) if fault.may_pass() => {
                let since = *away_since.get_or_insert(now);
                if now.saturating_sub(since) > AWAY_MAX_MS {
                    return Err(fault.hint(format!("{id} was pushed and will run; look later: pbj job {id}")));
                }
            }
            Err(fault) => return Err(fault),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LOOK_LAST);
    }
}

/// Shows what a job wrote, and returns what it exited with.
fn show(job: &Record, json: bool) -> Result<i32, Fault> {
    let state = job.text("state");
    let (code, stdout, stderr, note) = if state == "done" {
        let result: Json = serde_json::from_str(&job.text("result")).unwrap_or_default();
        let part = |name: &str| result[name].as_str().unwrap_or_default().to_owned();
        (0, part("stdout"), part("stderr"), String::new())
    } else {
        let kind = job.text("error_kind");
        let failure = FailureText::parse(&job.text("error"));
        let code = match kind.split_once('-').unwrap_or((&kind, "")) {
            _ if state == "cancelled" => NOT_RUN,
            ("exit", code) => code.parse().unwrap_or(NOT_RUN),
            ("signal", signal) => 128 + signal.parse::<i32>().unwrap_or(0),
            ("timeout", _) => TIMED_OUT,
            ("spawn", "not-found") => NOT_FOUND,
            ("spawn", _) => NOT_EXECUTABLE,
            _ => NOT_RUN,
        };
        let note = match (&*kind, &*state) {
            (kind, "dead") if kind.starts_with("exit-") => String::new(),
            (_, "cancelled") => "the job was cancelled".to_owned(),
            _ => failure.summary,
        };
        (code, failure.stdout, failure.stderr, note)
    };
    if json {
        let text = json!({
            "id": job.text("id"), "state": state, "exit": code, "stdout": stdout, "stderr": stderr,
        });
        print::line(text)?;
        return Ok(code);
    }
    print::raw(stdout.as_bytes())?;
    // Who reads standard error and how fast is not for us to say.
    let _ = std::io::stderr().write_all(stderr.as_bytes());
    if !note.is_empty() {
        eprintln!("pbj: {}: {note}", job.text("id"));
    }
    Ok(code)
}
