//! `pbj push`: jobs from arguments, from standard input, and many from a file.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use redis::{Cmd, cmd};

use super::fault::{Fault, Kind};
use super::link::Link;
use super::{print, reply};

/// Lines pushed by one call.
const BATCH_LINES: usize = 1000;
/// Bytes pushed by one call, at least one line.
const BATCH_BYTES: usize = 1 << 20;
/// Longest payload, in bytes: as the daemon has it.
const PAYLOAD_MAX: u64 = 512 << 20;

/// What a push may say about its job.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct PushOptions {
    /// Not before so much time: 90s, 5m, 2h, 1d
    #[arg(long, value_name = "DURATION", conflicts_with = "at")]
    pub(crate) delay: Option<String>,
    /// Not before this time: RFC 3339, or Unix milliseconds
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Lower comes first: -32768 to 32767
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) prio: Option<i32>,
    /// Failures before the job is dead
    #[arg(long, value_name = "NUMBER")]
    pub(crate) attempts: Option<u32>,
    /// Wait between attempts: fixed:5s, exp:1s:1h, list:1s,10s,1m
    #[arg(long, value_name = "BACKOFF")]
    pub(crate) backoff: Option<String>,
    /// How long a worker holds the job without a sign of life
    #[arg(long, value_name = "DURATION")]
    pub(crate) lease: Option<String>,
    /// How often workers may be lost with the job before it is dead
    #[arg(long, value_name = "NUMBER")]
    pub(crate) lost: Option<u32>,
    /// How long the job is kept when it is over
    #[arg(long, value_name = "DURATION")]
    pub(crate) keep: Option<String>,
}

impl PushOptions {
    /// Adds the words that JOB.PUSH and JOB.MPUSH understand.
    pub(crate) fn write_to(&self, command: &mut Cmd) {
        let numbers = [
            ("PRIO", self.prio.map(|number| number.to_string())),
            ("ATTEMPTS", self.attempts.map(|number| number.to_string())),
            ("LOST", self.lost.map(|number| number.to_string())),
        ];
        let texts = [
            ("DELAY", &self.delay),
            ("AT", &self.at),
            ("BACKOFF", &self.backoff),
            ("LEASE", &self.lease),
            ("KEEP", &self.keep),
        ];
        let texts = texts.into_iter().map(|(word, text)| (word, text.clone()));
        for (word, value) in numbers.into_iter().chain(texts) {
            if let Some(value) = value {
                command.arg(word).arg(value);
            }
        }
    }
}

/// `pbj push`.
#[derive(Debug, clap::Args)]
pub(crate) struct Push {
    /// The queue
    queue: String,
    /// What the job is; workers choose by it what to do
    #[arg(value_name = "TYPE")]
    kind: String,
    /// What to do it with; - reads standard input
    #[arg(required_unless_present = "lines", conflicts_with = "lines", allow_hyphen_values = true)]
    payload: Option<String>,
    /// One job for every line of this file that is not blank; - reads standard input
    #[arg(long, value_name = "FILE")]
    lines: Option<PathBuf>,
    /// An id of your choice; refused if there is a job with it
    #[arg(long, conflicts_with = "lines")]
    id: Option<String>,
    /// With --lines: write the id of each job
    #[arg(long, requires = "lines")]
    ids: bool,
    #[command(flatten)]
    options: PushOptions,
}

/// Everything that comes in on standard input.
pub(crate) fn read_stdin() -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().take(PAYLOAD_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| Fault::file(Path::new("standard input"), &error))?;
    if bytes.len() as u64 > PAYLOAD_MAX {
        return Err(Fault::new(Kind::Input, "standard input has more than 512 MiB"));
    }
    Ok(bytes)
}

impl Push {
    pub(crate) async fn run(self, link: &Link, json: bool) -> Result<(), Fault> {
        if let Some(file) = &self.lines {
            return self.push_lines(link, file, json).await;
        }
        let payload = match self.payload.as_deref() {
            Some("-") | None => read_stdin()?,
            Some(text) => text.as_bytes().to_vec(),
        };
        let mut command = cmd("JOB.PUSH");
        command.arg(&self.queue).arg(&self.kind).arg(payload);
        if let Some(id) = &self.id {
            command.arg("ID").arg(id);
        }
        self.options.write_to(&mut command);
        let id = reply::text(&link.call(&command).await?);
        print::line(if json { serde_json::json!({ "id": id }).to_string() } else { id })
    }

    async fn push_lines(&self, link: &Link, file: &Path, json: bool) -> Result<(), Fault> {
        let started = crate::clock::Clock.stopwatch_ns();
        let mut lines = Lines::open(file)?;
        let mut ids: Vec<String> = Vec::new();
        let mut pushed = 0;
        loop {
            let batch = lines.batch()?;
            if batch.is_empty() {
                break;
            }
            let mut command = cmd("JOB.MPUSH");
            command.arg(&self.queue).arg(&self.kind).arg("COUNT").arg(batch.len());
            self.options.write_to(&mut command);
            command.arg("PAYLOADS");
            batch.iter().for_each(|line| {
                command.arg(line);
            });
            let answer = link.call(&command).await.map_err(|fault| lines.unfinished(fault, pushed))?;
            let new = reply::items(answer);
            pushed += new.len();
            let new = new.iter().map(reply::text);
            match (json, self.ids) {
                (true, _) => ids.extend(new),
                (false, true) => new.into_iter().try_for_each(print::line)?,
                (false, false) => {}
            }
        }
        lines.progress.finish_and_clear();
        if json {
            return print::line(serde_json::json!({ "queue": self.queue, "pushed": pushed, "ids": ids }));
        }
        if self.ids {
            return Ok(());
        }
        let took = crate::clock::Clock.stopwatch_ns().saturating_sub(started) / 1_000_000;
        print::line(format_args!(
            "Pushed {} to {} in {}.",
            print::count(pushed, "job"),
            self.queue,
            super::times::duration(took)
        ))
    }
}

/// Lines of a file, in batches.
struct Lines {
    name: PathBuf,
    input: Box<dyn BufRead>,
    /// Lines read so far.
    number: usize,
    /// The first line of the batch that was read last.
    batch_from: usize,
    progress: ProgressBar,
}

impl Lines {
    fn open(file: &Path) -> Result<Self, Fault> {
        let (input, bytes): (Box<dyn BufRead>, Option<u64>) = if file == Path::new("-") {
            (Box::new(BufReader::new(std::io::stdin())), None)
        } else {
            let opened = std::fs::File::open(file).map_err(|error| Fault::file(file, &error))?;
            let bytes = opened.metadata().ok().filter(std::fs::Metadata::is_file).map(|data| data.len());
            (Box::new(BufReader::new(opened)), bytes)
        };
        let progress = match bytes {
            Some(bytes) => ProgressBar::new(bytes),
            None => ProgressBar::no_length(),
        };
        let template = match bytes {
            Some(_) => "{wide_bar} {percent:>3} %  {msg}  {eta} left",
            None => "{spinner} {msg}",
        };
        // A template of ours that does not parse leaves the ordinary bar.
        if let Ok(style) = ProgressStyle::with_template(template) {
            progress.set_style(style);
        }
        Ok(Self { name: file.to_owned(), input, number: 0, batch_from: 0, progress })
    }

    /// The next lines; none at the end.
    fn batch(&mut self) -> Result<Vec<Vec<u8>>, Fault> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        self.batch_from = self.number + 1;
        while batch.len() < BATCH_LINES && bytes < BATCH_BYTES {
            let mut line = Vec::new();
            let mut limited = self.input.by_ref().take(PAYLOAD_MAX + 1);
            let read = limited.read_until(b'\n', &mut line);
            let read = read.map_err(|error| Fault::file(&self.name, &error))?;
            if read == 0 {
                break;
            }
            self.number += 1;
            if read as u64 > PAYLOAD_MAX {
                let text = format!("{}:{}: a line of more than 512 MiB", self.name.display(), self.number);
                return Err(Fault::new(Kind::Input, text));
            }
            self.progress.inc(read as u64);
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.iter().all(u8::is_ascii_whitespace) {
                bytes += line.len();
                batch.push(line.to_vec());
            }
        }
        self.progress.set_message(format!("{} lines", self.number));
        Ok(batch)
    }

    /// Says how far a push came that went wrong.
    fn unfinished(&self, fault: Fault, pushed: usize) -> Fault {
        self.progress.abandon();
        let sure = if fault.kind == Kind::Failed { "were not" } else { "may or may not have been" };
        fault.hint(format!(
            "{} were pushed before; lines {} to {} of {} {sure} pushed.",
            print::count(pushed, "job"),
            self.batch_from,
            self.number,
            self.name.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_batches_and_blank_ones_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lines");
        let text: String = (0..1500).map(|n| format!("{n}\r\n\n")).collect();
        std::fs::write(&file, text).unwrap();
        let mut lines = Lines::open(&file).unwrap();
        let first = lines.batch().unwrap();
        assert_eq!((first.len(), &*first[0], lines.batch_from), (1000, &b"0"[..], 1));
        let second = lines.batch().unwrap();
        assert_eq!((second.len(), &*second[499]), (500, &b"1499"[..]));
        assert!(lines.batch().unwrap().is_empty());
    }
}
