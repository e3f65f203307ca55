//! What can be wrong with an expression, worded for the person who wrote it.
//!
//! Law: a fault names the field and the words that are wrong, and says what would be right. It quotes at most
//! [`QUOTE_MAX_CHARS`] characters of what it was given.

use std::fmt::{Display, Formatter, Result};

use super::expression::{EXPRESSION_MAX_BYTES, WORDS};
use super::field::Field;

/// How much of a wrong text is quoted.
const QUOTE_MAX_CHARS: usize = 40;

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpressionFault {
    /// There is nothing but space.
    Empty,
    /// The text is longer than [`EXPRESSION_MAX_BYTES`].
    TooLong {
        /// Its length.
        length_bytes: usize,
    },
    /// There are not five fields.
    FieldCount {
        /// How many there are.
        found: usize,
    },
    /// A word that begins with `@` and is none of ours, or has something behind it.
    Word {
        /// What was written.
        text: String,
    },
    /// What follows `@every` is no duration.
    Duration {
        /// What was written.
        text: String,
    },
    /// A value is out of its range, or no value at all.
    Value {
        /// Where.
        field: Field,
        /// What was written.
        text: String,
    },
    /// Nothing before, behind or between commas.
    EmptyItem {
        /// Where.
        field: Field,
        /// The whole field.
        text: String,
    },
    /// A range whose end lies before its start.
    Backwards {
        /// Where.
        field: Field,
        /// What was written.
        text: String,
    },
    /// A step that is no number above 0.
    Step {
        /// Where.
        field: Field,
        /// What was written behind the slash.
        text: String,
    },
    /// A step behind a single value.
    StepWithoutRange {
        /// Where.
        field: Field,
        /// What was written.
        text: String,
    },
    /// A step behind a random value.
    StepAfterRandom {
        /// Where.
        field: Field,
        /// What was written.
        text: String,
    },
    /// The calendar refused lists that our own reading had accepted: a mistake of ours.
    Calendar {
        /// What the calendar was given, and what it said.
        text: String,
    },
}

impl ExpressionFault {
    /// The field that is wrong, if it is one field that is wrong.
    pub fn field(&self) -> Option<Field> {
        match self {
            Self::Value { field, .. }
            | Self::EmptyItem { field, .. }
            | Self::Backwards { field, .. }
            | Self::Step { field, .. }
            | Self::StepWithoutRange { field, .. }
            | Self::StepAfterRandom { field, .. } => Some(*field),
            _ => None,
        }
    }
}

impl Display for ExpressionFault {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        if let Some(field) = self.field() {
            write!(out, "{}: ", field.name())?;
        }
        match self {
            Self::Empty => {
                out.write_str("no schedule given; write five fields, as in '0 5 * * *', or '@daily'")
            }
            Self::TooLong { length_bytes } => {
                write!(
                    out,
                    "the schedule is {length_bytes} bytes long, at most {EXPRESSION_MAX_BYTES} are allowed"
                )
            }
            Self::FieldCount { found } => count(*found, out),
            Self::Word { text } => {
                write!(out, "{} is no known word; known are ", Quoted(text))?;
                WORDS.iter().try_for_each(|word| write!(out, "@{word}, "))?;
                out.write_str("@reboot, and @every with a duration")
            }
            Self::Duration { text } => write!(
                out,
                "@every: {} is no duration; write a number above 0 with ms, s, m, h or d, as in '@every 5m'",
                Quoted(text)
            ),
            Self::Value { field, text } => value(*field, text, out),
            Self::EmptyItem { text, .. } => {
                write!(out, "a value is missing around a comma in {}", Quoted(text))
            }
            Self::Backwards { field, text } => backwards(*field, text, out),
            Self::Step { text, .. } => {
                write!(out, "{} is no step; write a number above 0, as in '*/5'", Quoted(text))
            }
            Self::StepWithoutRange { field, text } => step_without_range(*field, text, out),
            Self::StepAfterRandom { text, .. } => {
                write!(out, "{}: a random value takes no step; write '0~9' or '0-59/10'", Quoted(text))
            }
            Self::Calendar { text } => write!(out, "internal: the calendar refused {text}"),
        }
    }
}

impl std::error::Error for ExpressionFault {}

fn count(found: usize, out: &mut Formatter<'_>) -> Result {
    write!(out, "{found} field{} found, 5 expected: ", if found == 1 { "" } else { "s" })?;
    out.write_str("minute, hour, day of month, month, day of week")?;
    if found > 5 {
        out.write_str(
            ". Seconds and years are not understood (programs disagree on where they stand): leave them out, or use \
             '@every 10s' below a minute",
        )?;
    }
    Ok(())
}

fn value(field: Field, text: &str, out: &mut Formatter<'_>) -> Result {
    if text.is_empty() {
        out.write_str("a value is missing; ")?;
    } else {
        write!(out, "{} is not allowed; ", Quoted(text))?;
    }
    write!(out, "allowed are {}-{}", field.range().start(), field.range().end())?;
    if let [first, .., last] = field.words() {
        write!(out, " and {first}-{last}")?;
    }
    if field == Field::DayOfWeek {
        out.write_str(" (0 and 7 are Sunday)")?;
    }
    out.write_str(", '*', and lists (1,4), ranges (1-5), steps (*/2) and random values (1~5) of them")
}

fn backwards(field: Field, text: &str, out: &mut Formatter<'_>) -> Result {
    write!(out, "{} ends before it begins; ", Quoted(text))?;
    let (first, last) = field.range().into_inner();
    match text.split_once('-') {
        Some((low, high)) => {
            write!(out, "to wrap around, write {}", Quoted(&format!("{low}-{last},{first}-{high}")))
        }
        None => out.write_str("write the lower end first"),
    }
}

fn step_without_range(field: Field, text: &str, out: &mut Formatter<'_>) -> Result {
    let (value, step) = text.split_once('/').unwrap_or((text, "2"));
    let meant = format!("{value}-{}/{step}", field.range().end());
    write!(out, "{}: a step needs a range or '*' before it; write {}", Quoted(text), Quoted(&meant))
}

/// A text in quotes, its end left out if it is long, and without anything that could move a terminal's cursor.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        out.write_str("'")?;
        for c in self.0.chars().take(QUOTE_MAX_CHARS) {
            if c.is_control() { write!(out, "{}", c.escape_default())? } else { write!(out, "{c}")? }
        }
        out.write_str(if self.0.chars().nth(QUOTE_MAX_CHARS).is_some() { "...'" } else { "'" })
    }
}
