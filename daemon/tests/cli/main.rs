//! The command line against the real daemon: real processes, real sockets, real signals.
//!
//! Every test has a daemon of its own on a free port, in a temporary folder, and ends what it started.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end in a panic; the lint knows test functions only.

#[path = "../shared/ports.rs"]
mod ports;

mod commands;
mod cron;
mod ends;
mod log;
mod loss;
mod support;
mod up;
mod worker;
