//! Crontab files, of a user and of the system: entries, settings and what is wrong with them.
//!
//! Law: a line means what it means to cronie, or it is a fault that names the line; no fault hides another line, and
//! no line is read half. Where cronie would run a job at a time that nobody asked for, there is a fault instead: the
//! entries below a `CRON_TZ` that is no time zone are faults, not entries in the zone of the machine.
//!
//! A line ends with a line feed; a carriage return before it is no part of the line, so files from Windows are read.
//! The last line needs no end.
//!
//! Not here: reading files, whether a user exists and may do what a line asks for, and what is done with settings
//! such as `MAILTO`. Values of settings are kept as written: cron expands no variables.

mod command;
mod fault;
mod line;

use super::zone::Zone;
pub use fault::{Fault, Reason};
use line::{Cursor, Line};

/// Longest file. The crontabs of whole companies fit in.
pub const FILE_MAX_BYTES: usize = 1 << 20;

/// Longest line, as in cronie.
pub const LINE_MAX_BYTES: usize = 128 << 10;

/// Most entries of a file, as in cronie.
pub const ENTRIES_MAX: usize = 10_000;

/// Most settings of a file, as in cronie.
pub const SETTINGS_MAX: usize = 1_000;

/// Most faults that are listed. A file with more is no crontab, and is not read to its end.
pub const FAULTS_MAX: usize = 1_000;

/// Longest `RANDOM_DELAY`, as in cronie: a day.
pub const DELAY_MAX_MIN: u32 = 24 * 60;

/// Which kind of file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As `crontab -e` shows it: schedule, command.
    User,
    /// As `/etc/crontab` and the files in `/etc/cron.d`: schedule, user, command.
    System,
}

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crontab {
    /// What is to be run, in the order of the file.
    pub entries: Vec<Entry>,
    /// What is wrong, in the order of the file.
    pub faults: Vec<Fault>,
    /// Kept once for all entries: each sees those above it.
    settings: Vec<Setting>,
}

/// One line that runs a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands, counted from 1.
    pub line: usize,
    /// When, as written; it is an [`Expression`](super::Expression).
    pub schedule: String,
    /// By whose clocks, if a `CRON_TZ` above says so.
    pub zone: Option<Zone>,
    /// How much later it may start, if a `RANDOM_DELAY` above says so, in minutes.
    pub delay_max_min: Option<u32>,
    /// As whom, in a file of the system.
    pub user: Option<String>,
    /// What; for the shell. `\%` has become `%`.
    pub command: String,
    /// What the command finds on its standard input: what follows the first `%`, each further `%` a line end.
    pub stdin: Option<String>,
    /// Whether runs are not to be logged: the schedule has a `-` before it.
    pub quiet: bool,
    /// Whether output is to be mailed only if the command fails: the command has `-n` before it.
    pub mail_on_failure_only: bool,
    settings_above: usize,
}

/// One line `NAME = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    name: String,
    value: String,
}

impl Crontab {
    /// The settings that an entry sees, names and values, in the order in which the names first appear. `CRON_TZ` and
    /// `RANDOM_DELAY` are among them, as cron hands them on.
    pub fn environment(&self, entry: &Entry) -> Vec<(&str, &str)> {
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for setting in self.settings.iter().take(entry.settings_above) {
            match seen.iter_mut().find(|(name, _)| *name == setting.name) {
                Some((_, value)) => *value = &setting.value,
                None => seen.push((&setting.name, &setting.value)),
            }
        }
        seen
    }
}

/// Reads a file.
pub fn parse(text: &[u8], form: Form) -> Crontab {
    let mut reading = Reading { form, crontab: Crontab::default(), zone: Ok(None), delay_max_min: None };
    if text.len() > FILE_MAX_BYTES {
        reading.fault(1, None, Reason::FileTooLong { length_bytes: text.len() });
        return reading.crontab;
    }
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        if let Err((column, reason)) = reading.line(index + 1, line) {
            let too_many = reading.crontab.faults.len() == FAULTS_MAX;
            let (column, reason) = if too_many { (None, Reason::TooManyFaults) } else { (column, reason) };
            let last = reason.ends_reading();
            reading.fault(index + 1, column, reason);
            if last {
                break;
            }
        }
    }
    reading.crontab
}

/// Why a line is refused, and where in it.
type Refusal = (Option<usize>, Reason);

struct Reading {
    form: Form,
    crontab: Crontab,
    /// What the last `CRON_TZ` says; if it says nothing that can be understood, the line where it stands.
    zone: Result<Option<Zone>, usize>,
    delay_max_min: Option<u32>,
}

impl Reading {
    fn fault(&mut self, line: usize, column: Option<usize>, reason: Reason) {
        self.crontab.faults.push(Fault { line, column, reason });
    }

    fn line(&mut self, number: usize, line: &[u8]) -> Result<(), Refusal> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > LINE_MAX_BYTES {
            return Err((None, Reason::LineTooLong { length_bytes: line.len() }));
        }
        if let Some(at) = line.iter().position(|&byte| byte == 0) {
            return Err((Some(at + 1), Reason::NotText));
        }
        let text = str::from_utf8(line).map_err(|fault| (Some(fault.valid_up_to() + 1), Reason::NotText))?;
        let mut cursor = Cursor::new(text);
        match line::read(&mut cursor, self.form).map_err(|reason| (Some(cursor.column()), reason))? {
            Line::Nothing => Ok(()),
            Line::Setting { name, value, column } => {
                self.setting(number, name, value).map_err(|reason| (Some(column), reason))
            }
            Line::Entry(parts) => self.entry(number, parts).map_err(|reason| (None, reason)),
        }
    }

    fn setting(&mut self, number: usize, name: &str, value: &str) -> Result<(), Reason> {
        if self.crontab.settings.len() == SETTINGS_MAX {
            return Err(Reason::TooManySettings);
        }
        match name {
            "CRON_TZ" => {
                self.zone = Err(number);
                let zone =
                    if value.is_empty() { None } else { Some(Zone::parse(value).map_err(Reason::Zone)?) };
                self.zone = Ok(zone);
            }
            "RANDOM_DELAY" => {
                self.delay_max_min = None;
                self.delay_max_min = Some(delay(value)?).filter(|&delay| delay > 0);
            }
            _ => {}
        }
        self.crontab.settings.push(Setting { name: name.to_owned(), value: value.to_owned() });
        Ok(())
    }

    fn entry(&mut self, number: usize, parts: line::Parts<'_>) -> Result<(), Reason> {
        let zone = self.zone.map_err(|line| Reason::ZoneAbove { line })?;
        if self.crontab.entries.len() == ENTRIES_MAX {
            return Err(Reason::TooManyEntries);
        }
        self.crontab.entries.push(Entry {
            line: number,
            schedule: parts.schedule.to_owned(),
            zone,
            delay_max_min: self.delay_max_min,
            user: parts.user.map(str::to_owned),
            command: parts.command,
            stdin: parts.stdin,
            quiet: parts.quiet,
            mail_on_failure_only: parts.mail_on_failure_only,
            settings_above: self.crontab.settings.len(),
        });
        Ok(())
    }
}

fn delay(text: &str) -> Result<u32, Reason> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let delay = text.parse().ok().filter(|&delay| digits && delay <= DELAY_MAX_MIN);
    delay.ok_or_else(|| Reason::Delay { text: text.to_owned() })
}
