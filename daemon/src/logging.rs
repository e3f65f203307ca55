//! What the daemon tells its administrator: lines on standard error, in a file, or in the journal.
//!
//! Law: a line never holds a key, a value, a password or a payload. In the journal a line has no time of its own and
//! begins with its priority (`<4>`), as sd-daemon(3) says.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use parking_lot::Mutex;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

use crate::clock::Clock;

/// Changes what is told, and where.
#[derive(Clone)]
pub struct Logging {
    level: reload::Handle<Targets, Registry>,
    sink: Sink,
}

impl Logging {
    /// Begins to tell: to this file, or to standard error.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn start(level: &str, file: Option<&Path>) -> io::Result<Self> {
        let sink = Sink::open(file)?;
        let (filter, handle) = reload::Layer::new(targets(level));
        let journal = file.is_none() && pbj_systemd::journal_is_stderr();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(sink.clone())
            .with_ansi(false)
            .event_format(Format { journal });
        tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(io::Error::other)?;
        Ok(Self { level: handle, sink })
    }

    /// Tells from this level on (`loglevel`).
    pub fn set_level(&self, level: &str) {
        if let Err(error) = self.level.reload(targets(level)) {
            tracing::error!(%error, "the log level cannot be changed");
        }
    }

    /// Opens the file again: somebody moved the old one away.
    ///
    /// # Errors
    /// It cannot be opened; the old one is used on.
    pub fn reopen(&self) -> io::Result<()> {
        self.sink.reopen()
    }
}

/// What passes at a `loglevel`. Libraries only warn.
fn targets(level: &str) -> Targets {
    let level = match level {
        "debug" => LevelFilter::TRACE,
        "verbose" => LevelFilter::DEBUG,
        "warning" => LevelFilter::WARN,
        _ => LevelFilter::INFO,
    };
    let ours = ["pbj", "pbjd", "pbj_store", "pbj_queue", "pbj_systemd"].map(|name| (name, level));
    Targets::new().with_default(LevelFilter::WARN).with_targets(ours)
}

/// Where lines go.
#[derive(Clone)]
struct Sink(Option<Arc<LogFile>>);

struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
}

fn append_to(path: &Path) -> io::Result<File> {
    let fault = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    OpenOptions::new().append(true).create(true).open(path).map_err(fault)
}

impl Sink {
    fn open(path: Option<&Path>) -> io::Result<Self> {
        let open = |path: &Path| {
            let file = Mutex::new(append_to(path)?);
            Ok::<_, io::Error>(Arc::new(LogFile { path: path.to_owned(), file }))
        };
        Ok(Self(path.map(open).transpose()?))
    }

    fn reopen(&self) -> io::Result<()> {
        if let Some(log) = &self.0 {
            *log.file.lock() = append_to(&log.path)?;
        }
        Ok(())
    }
}

/// A line on its way.
struct Line(Sink);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0.0 {
            Some(log) => log.file.lock().write(bytes),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(self.clone())
    }
}

struct Format {
    journal: bool,
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        if self.journal {
            write!(line, "<{}>", priority(level))?;
        } else {
            write!(line, "{} {level:5} ", time())?;
        }
        context.format_fields(line.by_ref(), event)?;
        writeln!(line)
    }
}

/// Priority of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

fn time() -> String {
    let wall_us = Clock.now().wall_us as i64;
    let time = DateTime::<Utc>::from_timestamp_micros(wall_us).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_their_names() {
        let passes = |level: &str, target: &str, event: Level| targets(level).would_enable(target, &event);
        assert!(passes("notice", "pbj::boot", Level::INFO) && !passes("notice", "pbj::boot", Level::DEBUG));
        assert!(passes("debug", "pbj_store", Level::TRACE) && !passes("debug", "hyper", Level::INFO));
        assert!(passes("warning", "pbj", Level::WARN) && !passes("warning", "pbj", Level::INFO));
    }

    #[test]
    fn a_moved_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pbjd.log");
        let sink = Sink::open(Some(&path)).unwrap();
        sink.make_writer().write_all(b"one\n").unwrap();
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        sink.make_writer().write_all(b"two\n").unwrap();
        sink.reopen().unwrap();
        sink.make_writer().write_all(b"three\n").unwrap();
        let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((text("old").as_str(), text("pbjd.log").as_str()), ("one\ntwo\n", "three\n"));
    }
}
