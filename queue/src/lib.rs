//! The queue: jobs, schedules and locks, as an extension of the engine.

pub mod cron;
