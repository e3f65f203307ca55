//! Cron: crontab syntax, time zones, and when a schedule fires.
//!
//! Law: a schedule means what cron(5) as shipped by cronie means, in every zone as in the zone of the machine.
//! Everything is a pure function of its arguments: the clock, the anchor of an interval and the chance behind `~` are
//! handed in.
//!
//! A tour, from the text to the instant:
//! - [`Expression`]: the five fields and the `@` words, read strictly; [`ExpressionFault`] says what is wrong.
//! - [`Calendar`]: the minutes of a wall clock that an expression names; the `cron` crate is the calendar behind it.
//! - [`Zone`]: the wall clocks of the world, as pieces of time in which the offset stays the same.
//! - [`next_after`], [`fires`], [`due_after_ms`]: the instants at which an expression fires in a zone.
//! - [`crontab`]: whole crontab files, a line at a time.
//!
//! Not here: records of schedules, catching up, overlap of runs, jitter, and what `@reboot` is an event of (the
//! queue's schedules), and reading files (the daemon's). Not yet here: `L`, `W`, `#`, `H`, ranges that wrap, seconds,
//! years.

mod calendar;
mod chance;
pub mod crontab;
mod expression;
mod fault;
mod field;
mod interval;
mod next;
mod zone;

pub use calendar::Calendar;
pub use expression::{EXPRESSION_MAX_BYTES, Expression, Kind};
pub use fault::ExpressionFault;
pub use field::Field;
pub use interval::Interval;
pub use next::{Fire, Fires, Occasion, due_after_ms, fires, next_after};
pub use zone::{Stretch, TZDB_VERSION, Zone, ZoneFault};
