//! A real `pbjd`, as clients of redis-rs see it: what they are served, and what becomes of it on the disk.
//!
//! Not here: the command line (`cli`), malformed input (`malformed`), clients of other languages (`tests/clients`).
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends when something is missing")]

#[path = "../shared/ports.rs"]
mod ports;

mod daemon;
mod directives;
mod files;
mod freed_aside;
mod redis_rs;
mod replica;
mod signals;
mod slow_reader;
mod turns;
