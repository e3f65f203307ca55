//! What can be wrong with a line of a crontab, worded for the person who wrote it.

use std::fmt::{Display, Formatter, Result};

use super::super::fault::{ExpressionFault, Quoted};
use super::super::zone::ZoneFault;
use super::{DELAY_MAX_MIN, ENTRIES_MAX, FAULTS_MAX, FILE_MAX_BYTES, LINE_MAX_BYTES, SETTINGS_MAX};

/// A line that is not understood, or understood and refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it stands, counted from 1.
    pub line: usize,
    /// The byte of the line at which the trouble begins, counted from 1, if it is at one place.
    pub column: Option<usize>,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The file is longer than [`FILE_MAX_BYTES`]; none of it is read.
    FileTooLong {
        /// Its length.
        length_bytes: usize,
    },
    /// The line is longer than [`LINE_MAX_BYTES`].
    LineTooLong {
        /// Its length.
        length_bytes: usize,
    },
    /// There are more than [`ENTRIES_MAX`] entries; nothing is read from here on.
    TooManyEntries,
    /// There are more than [`SETTINGS_MAX`] settings; nothing is read from here on.
    TooManySettings,
    /// More than [`FAULTS_MAX`] lines are wrong; nothing is read from here on.
    TooManyFaults,
    /// The line is not UTF-8, or has a zero byte.
    NotText,
    /// The schedule is none.
    Schedule(ExpressionFault),
    /// Nothing follows the schedule.
    NoUser,
    /// What stands where the user should stand cannot be one.
    User {
        /// What was written.
        text: String,
    },
    /// Nothing follows the schedule, or the user, or nothing is before a `%`.
    NoCommand,
    /// Something with a `-` stands before the command, and is not one `-n`.
    Flag {
        /// What was written.
        text: String,
    },
    /// The value of a setting begins with a quote that is not closed.
    OpenQuote,
    /// Something follows the quoted value of a setting.
    BehindQuote {
        /// What was written.
        text: String,
    },
    /// The value of `CRON_TZ` is no time zone.
    Zone(ZoneFault),
    /// The entry is right, but the `CRON_TZ` above it is not.
    ZoneAbove {
        /// Where that stands.
        line: usize,
    },
    /// The value of `RANDOM_DELAY` is no number of minutes.
    Delay {
        /// What was written.
        text: String,
    },
}

impl Reason {
    /// Whether nothing behind the line is read.
    pub(super) fn ends_reading(&self) -> bool {
        matches!(self, Self::TooManyEntries | Self::TooManySettings | Self::TooManyFaults)
    }
}

impl Display for Fault {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        write!(out, "line {}", self.line)?;
        if let Some(column) = self.column {
            write!(out, ", column {column}")?;
        }
        write!(out, ": {}", self.reason)
    }
}

impl std::error::Error for Fault {}

impl Display for Reason {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match self {
            Self::FileTooLong { length_bytes } => {
                write!(out, "the file is {length_bytes} bytes long, at most {FILE_MAX_BYTES} are read")
            }
            Self::LineTooLong { length_bytes } => {
                write!(out, "the line is {length_bytes} bytes long, at most {LINE_MAX_BYTES} are allowed")
            }
            Self::TooManyEntries => write!(out, "more than {ENTRIES_MAX} entries; the rest is not read"),
            Self::TooManySettings => write!(out, "more than {SETTINGS_MAX} settings; the rest is not read"),
            Self::TooManyFaults => write!(out, "more than {FAULTS_MAX} faults; the rest is not read"),
            Self::NotText => out.write_str("this is no text: it is not UTF-8, or has a zero byte"),
            Self::Schedule(fault) => fault.fmt(out),
            Self::NoUser => out.write_str("a user and a command are missing behind the schedule"),
            Self::User { text } => {
                write!(out, "{} is no user; files of the system name one here", Quoted(text))
            }
            Self::NoCommand => out.write_str("a command is missing"),
            Self::Flag { text } => {
                write!(
                    out,
                    "{} is no flag of an entry; only one '-n' may stand before a command",
                    Quoted(text)
                )
            }
            Self::OpenQuote => out.write_str("the quote that opens the value is not closed"),
            Self::BehindQuote { text } => write!(out, "{} stands behind the closing quote", Quoted(text)),
            Self::Zone(fault) => write!(out, "CRON_TZ: {fault}"),
            Self::ZoneAbove { line } => {
                write!(out, "not used, as the CRON_TZ of line {line} is no time zone")
            }
            Self::Delay { text } => {
                write!(out, "RANDOM_DELAY: {} is no number of minutes up to {DELAY_MAX_MIN}", Quoted(text))
            }
        }
    }
}
