//! `pbj jobs`, `job`, `cancel`, `retry`: looking at jobs and deciding about them.

use redis::cmd;
use serde_json::json;

use super::fault::Fault;
use super::link::Link;
use super::print::{self, Ink, Table, brief};
use super::reply::{self, Record};
use super::times::{duration, now_ms, relative, stamp};
use super::worker::payload::what;

/// Keys looked at by one call.
const SCAN_COUNT: usize = 1000;

/// Where `pbj cancel` says that a job was called off, so that its worker looks at once.
pub(crate) const CANCEL_CHANNEL: &str = "pbj:cancel";

/// `pbj jobs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Jobs {
    /// Only of this queue
    #[arg(long)]
    queue: Option<String>,
    /// Only in this state
    #[arg(long, value_parser = ["ready", "delayed", "leased", "done", "dead", "cancelled"])]
    state: Option<String>,
    /// Only of this type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only pushed so long ago, or longer
    #[arg(long, value_name = "DURATION")]
    older: Option<String>,
    /// Show so many at most
    #[arg(long, default_value_t = 50, value_name = "NUMBER")]
    limit: usize,
    /// Only their ids, one a line
    #[arg(long)]
    ids: bool,
}

impl Jobs {
    /// The ids that match, up to one more than the limit.
    async fn matching(&self, link: &Link) -> Result<Vec<String>, Fault> {
        let mut ids = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let mut command = cmd("JOB.SCAN");
            command.arg(&cursor).arg("COUNT").arg(SCAN_COUNT);
            let filters = [
                ("QUEUE", &self.queue),
                ("STATE", &self.state),
                ("TYPE", &self.kind),
                ("OLDER", &self.older),
            ];
            for (word, value) in filters {
                if let Some(value) = value {
                    command.arg(word).arg(value);
                }
            }
            let mut answer = reply::items(link.call(&command).await?).into_iter();
            cursor = answer.next().map(|next| reply::text(&next)).unwrap_or_default();
            ids.extend(answer.next().map(reply::items).unwrap_or_default().iter().map(reply::text));
            if cursor == "0" || cursor.is_empty() || ids.len() > self.limit {
                // A walk over a table that grows meanwhile may show a key twice.
                ids.sort_unstable();
                ids.dedup();
                return Ok(ids);
            }
        }
    }

    pub(crate) async fn run(self, link: &Link, json: bool) -> Result<(), Fault> {
        let mut ids = self.matching(link).await?;
        let more = ids.len() > self.limit;
        ids.truncate(self.limit);
        if self.ids && !json {
            return ids.iter().try_for_each(print::line);
        }
        let mut jobs = Vec::with_capacity(ids.len());
        for some in ids.chunks(SCAN_COUNT) {
            let mut commands = redis::pipe();
            some.iter().for_each(|id| {
                commands.add_command(cmd("JOB.GET").arg(id).clone());
            });
            jobs.extend(link.call_all(&commands).await?.into_iter().filter_map(Record::of));
        }
        jobs.sort_by_key(|job| std::cmp::Reverse(job.time("pushed_at")));
        if json {
            let jobs: Vec<_> = jobs.iter().map(Record::to_json).collect();
            return print::line(json!({ "jobs": jobs, "more": more }));
        }
        if jobs.is_empty() {
            return print::line("No jobs.");
        }
        let now = now_ms();
        let mut table = Table::new(&["ID", "TYPE", "STATE", ">ATTEMPT", "WHEN", "WHAT"]);
        jobs.iter().for_each(|job| table.row(job_row(job, now)));
        print::raw(table.render().as_bytes())?;
        if more {
            print::line(format_args!("There are more: --limit {}", self.limit.saturating_mul(10)))?;
        }
        Ok(())
    }
}

fn job_row(job: &Record, now: u64) -> Vec<(String, Ink)> {
    let state = job.text("state");
    let when = match &*state {
        "delayed" => ("due", job.time("due_at")),
        "leased" => ("started", job.time("started_at")),
        "ready" => ("pushed", job.time("pushed_at")),
        _ => ("ended", job.time("ended_at")),
    };
    let when = when.1.map_or_else(String::new, |ms| format!("{} {}", when.0, relative(ms, now)));
    let about = match &*state {
        "dead" => job.text("error"),
        _ => what(job),
    };
    let ink = Ink::of_state(&state);
    vec![
        (job.text("id"), Ink::Plain),
        (brief(&job.text("type"), 24), Ink::Plain),
        (state, ink),
        (
            format!("{}/{}", job.number("attempt").unwrap_or(0), job.number("attempts").unwrap_or(0)),
            Ink::Plain,
        ),
        (when, Ink::Plain),
        (brief(about.lines().next().unwrap_or_default(), 60), Ink::Dim),
    ]
}

/// `pbj job`.
#[derive(Debug, clap::Args)]
pub(crate) struct Job {
    /// The id
    id: String,
    /// Only this part, as it is
    #[arg(long, value_parser = ["payload", "result", "error", "state"])]
    only: Option<String>,
}

fn unknown(id: &str) -> Fault {
    Fault::failed(format!("there is no job {id}")).hint(
        "Jobs that are over are forgotten after a while (pbj push --keep); pbj jobs lists those there are.",
    )
}

impl Job {
    pub(crate) async fn run(self, link: &Link, json: bool) -> Result<(), Fault> {
        let answer = link.call(cmd("JOB.GET").arg(&self.id)).await?;
        let job = Record::of(answer).ok_or_else(|| unknown(&self.id))?;
        if let Some(part) = &self.only {
            let bytes = job.bytes(part).unwrap_or_default();
            print::raw(bytes)?;
            // A prompt should not stand behind it.
            return if print::is_terminal() && !bytes.ends_with(b"\n") { print::raw(b"\n") } else { Ok(()) };
        }
        if json {
            return print::line(job.to_json());
        }
        print::raw(describe(&job, now_ms()).as_bytes())
    }
}

/// Everything about a job, a line for each thing that there is to say.
fn describe(job: &Record, now: u64) -> String {
    let mut lines: Vec<(&str, String)> = Vec::new();
    let state = job.text("state");
    let calling_off = if job.flag("cancelling") { ", being cancelled" } else { "" };
    lines.push(("job", Ink::Bold.paint(&job.text("id"))));
    lines.push(("state", format!("{}{calling_off}", Ink::of_state(&state).paint(&state))));
    for name in ["queue", "type", "schedule", "worker"] {
        lines.push((name, job.text(name)));
    }
    let number = |name: &str| job.number(name).unwrap_or(0);
    let lost = match number("lost") {
        0 => String::new(),
        lost => format!(", {} with its worker", print::count(lost as usize, "time") + " lost"),
    };
    lines.push(("attempts", format!("{} of {}{lost}", number("attempt"), number("attempts"))));
    if number("prio") != 0 {
        lines.push(("priority", number("prio").to_string()));
    }
    lines.push(("backoff", job.text("backoff")));
    lines.push(("lease", duration(number("lease").unsigned_abs())));
    for (name, field) in [
        ("pushed", "pushed_at"),
        ("due", "due_at"),
        ("started", "started_at"),
        ("held until", "deadline"),
        ("ended", "ended_at"),
    ] {
        let time =
            job.time(field).map_or_else(String::new, |ms| format!("{} ({})", stamp(ms), relative(ms, now)));
        lines.push((name, time));
    }
    if let (Some(started), Some(ended)) = (job.time("started_at"), job.time("ended_at")) {
        lines.push(("took", duration(ended.saturating_sub(started))));
    }
    lines.push(("payload", job.text("payload")));
    lines.push(("result", pretty(&job.text("result"))));
    let kind = job.text("error_kind");
    let kind = if kind.is_empty() { String::new() } else { format!("[{kind}] ") };
    let error = job.text("error").replace("\n\n\n", "\n\n");
    lines.push(("error", if error.is_empty() { String::new() } else { format!("{kind}{error}") }));
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
        let indented = value.trim_end().replace('\n', &format!("\n{}", " ".repeat(width + 2)));
        text.push_str(&format!("{}{}  {indented}\n", Ink::Dim.paint(name), " ".repeat(width - name.len())));
    }
    text
}

/// JSON over several lines; other text as it is.
fn pretty(text: &str) -> String {
    let json: Result<serde_json::Value, _> = serde_json::from_str(text);
    match json {
        Ok(json) if json.is_object() => {
            serde_json::to_string_pretty(&json).unwrap_or_else(|_| text.to_owned())
        }
        _ => text.to_owned(),
    }
}

/// `pbj cancel`.
#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    /// The jobs
    #[arg(required = true)]
    ids: Vec<String>,
    /// Why; kept with the job
    #[arg(long)]
    reason: Option<String>,
}

impl Cancel {
    pub(crate) async fn run(self, link: &Link, json: bool) -> Result<i32, Fault> {
        let mut decisions = Vec::new();
        for id in self.ids {
            let mut command = cmd("JOB.CANCEL");
            command.arg(&id);
            if let Some(reason) = &self.reason {
                command.arg("REASON").arg(reason);
            }
            let states = states(link.call(&command).await?);
            if matches!(&states, Some((before, _)) if before == "leased") {
                // Workers look when they renew a lease in any case; this lets ours look now.
                let _ = link.call(cmd("PUBLISH").arg(CANCEL_CHANNEL).arg(&id)).await;
            }
            decisions.push((id, states));
        }
        let says = |before: &str, after: &str| match (before, after) {
            ("leased", "leased") => "is being cancelled: its worker will end it".to_owned(),
            (_, "cancelled") if before != after => "is cancelled".to_owned(),
            _ => format!("is {after} already"),
        };
        report(&decisions, json, says, |before, after| before != after || before == "leased")
    }
}

/// `pbj retry`.
#[derive(Debug, clap::Args)]
pub(crate) struct Retry {
    /// The jobs
    #[arg(required = true)]
    ids: Vec<String>,
}

impl Retry {
    pub(crate) async fn run(self, link: &Link, json: bool) -> Result<i32, Fault> {
        let mut decisions = Vec::new();
        for id in self.ids {
            let states = states(link.call(cmd("JOB.RETRY").arg(&id)).await?);
            decisions.push((id, states));
        }
        let says = |before: &str, after: &str| match before == after {
            true => format!("is {after}: only jobs that are over can be tried again"),
            false => format!("was {before} and is {after}"),
        };
        report(&decisions, json, says, |before, after| before != after)
    }
}

/// States before and after, as JOB.CANCEL and JOB.RETRY answer.
fn states(answer: redis::Value) -> Option<(String, String)> {
    let mut states = reply::items(answer).into_iter().map(|state| reply::text(&state));
    Some((states.next()?, states.next()?))
}

/// Says what became of jobs; the exit code says whether all of them could be helped.
fn report(
    decisions: &[(String, Option<(String, String)>)],
    json: bool,
    says: impl Fn(&str, &str) -> String,
    helped: impl Fn(&str, &str) -> bool,
) -> Result<i32, Fault> {
    let mut all = true;
    let mut list = Vec::new();
    for (id, states) in decisions {
        let done = states.as_ref().is_some_and(|(before, after)| helped(before, after));
        all &= done;
        match (json, states) {
            (true, states) => {
                let (before, after) = states.clone().unzip();
                list.push(json!({ "id": id, "before": before, "after": after }));
            }
            (false, Some((before, after))) => print::line(format_args!("{id} {}", says(before, after)))?,
            (false, None) => unknown(id).report(false),
        }
    }
    if json {
        print::line(json!({ "jobs": list }))?;
    }
    Ok(if all { crate::exit::OK } else { crate::exit::FAILURE })
}
