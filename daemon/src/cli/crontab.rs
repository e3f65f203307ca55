//! `pbj cron`: schedules and crontab files.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use pbj_queue::cron::crontab::{self, Form};
use redis::cmd;
use serde_json::json;

use super::fault::{Fault, Kind};
use super::link::Link;
use super::print::{self, Ink, Table, brief};
use super::push::{PushOptions, read_stdin};
use super::reply::{self, Record};
use super::times::{now_ms, relative};
use super::worker::payload::what;
use super::zone;

/// `pbj cron`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Cron {
    /// Make schedules of the lines of a crontab
    Load(Load),
    /// List all schedules
    List,
    /// Show one schedule
    Get {
        /// The id
        id: String,
    },
    /// Show when an expression fires next
    Next(Next),
    /// Make a schedule, or replace it
    Set(Box<Set>),
    /// Delete schedules
    Del {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

/// `pbj cron load`.
#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    /// The crontab; - reads standard input
    pub(crate) file: PathBuf,
    /// Lines as crontab -e shows them: schedule, command [default]
    #[arg(long, conflicts_with = "system")]
    pub(crate) user: bool,
    /// Lines as in /etc/crontab and /etc/cron.d: schedule, user, command
    #[arg(long)]
    pub(crate) system: bool,
    /// Delete the schedules that an earlier load of this file made and that are not in it any more
    #[arg(long)]
    pub(crate) replace: bool,
    /// The name under which --replace knows the file [default: its path]
    #[arg(long, requires = "replace")]
    pub(crate) source: Option<String>,
    /// The queue of their jobs
    #[arg(long, default_value = "cron")]
    pub(crate) queue: String,
    /// The zone of their times, unless the file says CRON_TZ [default: the zone of this machine]
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
}

/// `pbj cron next`.
#[derive(Debug, clap::Args)]
pub(crate) struct Next {
    /// Five fields, or a word such as @daily or @every 5m
    expression: String,
    /// Whose clocks: Europe/Berlin [default: the zone of this machine]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// How many times
    #[arg(long, default_value_t = 5)]
    count: u32,
    /// After this time instead of now: RFC 3339, or Unix seconds
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
}

/// `pbj cron set`.
#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// Its id
    id: String,
    /// Five fields of cron, or @daily, or @every 5m
    #[arg(long, value_name = "EXPRESSION", required_unless_present_any = ["every", "at"], conflicts_with_all = ["every", "at"])]
    cron: Option<String>,
    /// Again and again after so much time
    #[arg(long, value_name = "DURATION", conflicts_with = "at")]
    every: Option<String>,
    /// Once: RFC 3339, or Unix milliseconds
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Whose clocks: Europe/Berlin [default: the zone of this machine]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// What becomes of times that passed while the daemon was down
    #[arg(long, value_parser = ["none", "last", "all"])]
    catchup: Option<String>,
    /// Whether a job is pushed while the one before is not over
    #[arg(long, value_parser = ["skip", "allow"])]
    overlap: Option<String>,
    /// The queue of its jobs
    #[arg(long, default_value = "cron")]
    queue: String,
    /// The type of its jobs; needs --payload
    #[arg(long = "type", value_name = "TYPE", requires = "payload", conflicts_with = "command")]
    kind: Option<String>,
    /// The payload of its jobs
    #[arg(long, requires = "kind")]
    payload: Option<String>,
    #[command(flatten)]
    options: ScheduledOptions,
    /// The command that its jobs run
    #[arg(last = true, required_unless_present = "kind", value_name = "COMMAND")]
    command: Vec<String>,
}

/// What a schedule may say about its jobs.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ScheduledOptions {
    /// Lower comes first: -32768 to 32767
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    prio: Option<i32>,
    /// Failures before a job is dead [default: 1 for commands]
    #[arg(long, value_name = "NUMBER")]
    attempts: Option<u32>,
    /// Wait between attempts: fixed:5s, exp:1s:1h, list:1s,10s,1m
    #[arg(long, value_name = "BACKOFF")]
    backoff: Option<String>,
    /// How long a worker holds a job without a sign of life
    #[arg(long, value_name = "DURATION")]
    lease: Option<String>,
    /// How long a job is kept when it is over
    #[arg(long, value_name = "DURATION")]
    keep: Option<String>,
}

impl Cron {
    pub(crate) async fn run(self, link: &Link, json: bool) -> Result<(), Fault> {
        match self {
            Self::Load(load) => {
                let ids = load.run(link).await?;
                if json {
                    return print::line(json!({ "schedules": ids }));
                }
                ids.iter().try_for_each(print::line)
            }
            Self::List => list(link, json).await,
            Self::Get { id } => {
                let answer = link.call(cmd("CRON.GET").arg(&id)).await?;
                let schedule =
                    Record::of(answer).ok_or_else(|| Fault::failed(format!("there is no schedule {id}")))?;
                if json { print::line(schedule.to_json()) } else { show(&[schedule]) }
            }
            Self::Next(next) => next.run(link, json).await,
            Self::Set(set) => set.run(link, json).await,
            Self::Del { ids } => {
                let answer = link.call(cmd("CRON.DEL").arg(&ids)).await?;
                let deleted = match answer {
                    redis::Value::Int(number) => number as usize,
                    _ => 0,
                };
                match json {
                    true => print::line(json!({ "deleted": deleted }))?,
                    false => print::line(format_args!("Deleted {}.", print::count(deleted, "schedule")))?,
                }
                if deleted == 0 { Err(Fault::failed("there are no such schedules")) } else { Ok(()) }
            }
        }
    }
}

impl Load {
    /// Loads a file; returns the ids of its schedules.
    pub(crate) async fn run(&self, link: &Link) -> Result<Vec<String>, Fault> {
        let (text, name) = read(&self.file)?;
        let form = if self.system { Form::System } else { Form::User };
        check(&text, &name, form)?;
        let mut command = cmd("CRON.LOAD");
        command.arg(text);
        if self.replace {
            command.arg("REPLACE").arg(self.source.as_deref().unwrap_or(&name));
        }
        if self.system {
            command.arg("SYSTEM");
        }
        command.arg("QUEUE").arg(&self.queue).arg("TZ").arg(zone::or_local(self.tz.as_deref()));
        let answer = link.call(&command).await?;
        Ok(reply::items(answer).iter().map(reply::text).collect())
    }
}

/// A crontab and the name it has in messages.
fn read(file: &Path) -> Result<(Vec<u8>, String), Fault> {
    if file == Path::new("-") {
        return Ok((read_stdin()?, "stdin".to_owned()));
    }
    let text = std::fs::read(file).map_err(|error| Fault::file(file, &error))?;
    let full = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    Ok((text, full.display().to_string()))
}

/// Finds all faults of a crontab at once; the daemon would name the first.
fn check(text: &[u8], name: &str, form: Form) -> Result<(), Fault> {
    let faults = crontab::parse(text, form).faults;
    if faults.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = faults.iter().take(20).map(|fault| format!("  {fault}")).collect();
    let more = faults.len().saturating_sub(shown.len());
    let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
    let wrong_form = match form {
        Form::User => crontab::parse(text, Form::System).faults.is_empty().then_some("--system"),
        Form::System => crontab::parse(text, Form::User).faults.is_empty().then_some("--user"),
    };
    let fault = Fault::new(Kind::Input, format!("{name}: nothing was loaded:\n{}{more}", shown.join("\n")));
    Err(match wrong_form {
        Some(flag) => fault.hint(format!("With {flag} the file can be read.")),
        None => fault,
    })
}

async fn list(link: &Link, json: bool) -> Result<(), Fault> {
    let answer = reply::items(link.call(&cmd("CRON.LIST")).await?);
    let mut schedules: Vec<Record> = answer.into_iter().filter_map(Record::of).collect();
    if json {
        let schedules: Vec<_> = schedules.iter().map(Record::to_json).collect();
        return print::line(json!({ "schedules": schedules }));
    }
    schedules.sort_by_key(|schedule| schedule.time("next_at").unwrap_or(u64::MAX));
    if schedules.is_empty() {
        return print::line("No schedules. Load a crontab: pbj cron load FILE");
    }
    show(&schedules)
}

fn show(schedules: &[Record]) -> Result<(), Fault> {
    let now = now_ms();
    let mut table =
        Table::new(&["ID", "SCHEDULE", "ZONE", "NEXT", "LAST", ">RUNS", ">MISSED", "QUEUE", "WHAT"]);
    for schedule in schedules {
        let time = |name: &str| schedule.time(name).map_or_else(|| "-".to_owned(), |ms| relative(ms, now));
        let spec = schedule.text("spec");
        let number = |name: &str| schedule.number(name).unwrap_or(0).to_string();
        let about = match &*schedule.text("type") {
            "exec" => what(schedule),
            kind => format!("{kind} {}", what(schedule)),
        };
        table.row(vec![
            (schedule.text("id"), Ink::Bold),
            (spec.strip_prefix("CRON ").unwrap_or(&spec).to_owned(), Ink::Plain),
            (schedule.text("zone"), Ink::Plain),
            (time("next_at"), Ink::Green),
            (time("previous_at"), Ink::Plain),
            (number("runs"), Ink::Plain),
            (number("missed"), Ink::Plain),
            (schedule.text("queue"), Ink::Plain),
            (brief(&about, 48), Ink::Dim),
        ]);
    }
    print::raw(table.render().as_bytes())
}

impl Next {
    async fn run(self, link: &Link, json: bool) -> Result<(), Fault> {
        let mut command = cmd("CRON.NEXT");
        let tz = zone::or_local(self.tz.as_deref());
        command.arg(&self.expression).arg("TZ").arg(&tz).arg("COUNT").arg(self.count);
        if let Some(from) = &self.from {
            command.arg("FROM").arg(from_seconds(from)?);
        }
        let answer = reply::items(link.call(&command).await?);
        let times: Vec<i64> = answer
            .into_iter()
            .filter_map(|time| match time {
                redis::Value::Int(seconds) => Some(seconds),
                _ => None,
            })
            .collect();
        let zone: Tz = tz.parse().unwrap_or(Tz::UTC);
        let local =
            |seconds: i64| DateTime::<Utc>::from_timestamp(seconds, 0).map(|time| time.with_timezone(&zone));
        if json {
            let times: Vec<_> = times
                .iter()
                .map(|&time| json!({ "unix": time, "local": local(time).map(|local| local.to_rfc3339()) }))
                .collect();
            return print::line(json!({ "expression": self.expression, "zone": tz, "times": times }));
        }
        if times.is_empty() {
            return print::line("Never.");
        }
        let now = now_ms();
        for time in times {
            let shown = local(time)
                .map_or_else(String::new, |local| local.format("%a %Y-%m-%d %H:%M:%S %:z").to_string());
            let distance = relative(time.unsigned_abs() * 1000, now);
            print::line(format_args!("{shown}  {}", Ink::Dim.paint(&distance)))?;
        }
        Ok(())
    }
}

fn from_seconds(text: &str) -> Result<i64, Fault> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(seconds);
    }
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| {
        Fault::usage(format!("--from {text}: write Unix seconds, or a time such as 2027-01-01T00:00:00Z"))
    })?;
    Ok(time.timestamp())
}

impl Set {
    async fn run(self, link: &Link, json: bool) -> Result<(), Fault> {
        let mut command = cmd("CRON.SET");
        command.arg(&self.id);
        let tz = Some(zone::or_local(self.tz.as_deref()));
        for (word, value) in [
            ("CRON", &self.cron),
            ("EVERY", &self.every),
            ("AT", &self.at),
            ("TZ", &tz),
            ("CATCHUP", &self.catchup),
            ("OVERLAP", &self.overlap),
        ] {
            if let Some(value) = value {
                command.arg(word).arg(value);
            }
        }
        let options = self.options;
        let mut options = PushOptions {
            prio: options.prio,
            attempts: options.attempts,
            backoff: options.backoff,
            lease: options.lease,
            keep: options.keep,
            ..PushOptions::default()
        };
        command.arg("PUSH").arg(&self.queue);
        match (self.kind, self.payload) {
            (Some(kind), Some(payload)) => command.arg(kind).arg(payload),
            _ => {
                options.attempts = options.attempts.or(Some(1));
                command.arg("exec").arg(json!({ "argv": self.command }).to_string())
            }
        };
        options.write_to(&mut command);
        link.call(&command).await?;
        let answer = link.call(cmd("CRON.GET").arg(&self.id)).await?;
        match Record::of(answer) {
            Some(schedule) if json => print::line(schedule.to_json()),
            Some(schedule) => show(&[schedule]),
            None => Err(Fault::failed(format!("{} was deleted meanwhile", self.id))),
        }
    }
}
