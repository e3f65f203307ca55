//! The queue: jobs, schedules and locks, as an extension of the engine.
//!
//! Law: everything that must survive is in ordinary keys, written as ordinary commands, so that the log and every
//! replica carry it, and a stock Redis can be a warm copy. What is held in memory (who is next, what is due) is
//! derived.
//!
//! A tour: [`model`] says what a job is and which moves it makes; [`keys`] names all keys and [`record`] all fields,
//! which a [`change`] writes; [`index`] keeps order and deadlines, in lines ([`line`]); [`queues`] is the door through
//! which jobs move; [`push`], [`schedule`], [`lock`] and [`extension`] use it; [`commands`] are the verbs; [`cron`] is
//! the language of schedules.

mod change;
mod commands;
pub mod cron;
pub mod duration;
mod durations;
mod epoch;
mod extension;
mod index;
mod keys;
pub mod limits;
mod line;
mod lock;
pub mod model;
mod outline;
mod push;
mod queues;
mod record;
mod schedule;
mod steady;

pub use durations::{DURATION_BOUNDS_MS, Durations};
pub use index::{Counts, Totals};
pub use model::State;
pub use queues::{QueueOverview, Queues};
pub use schedule::{LATENESS_MS, Lateness};
