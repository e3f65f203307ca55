//! The store: a Redis-compatible keyspace engine, pure and synchronous.
//!
//! Law: nothing in this crate does I/O, reads a clock, an environment or a source of chance, or waits. Time, chance and
//! bytes are arguments; same inputs and seed, same outputs.
//!
//! A tour, from the outside in:
//! - [`resp`]: bytes of a connection become requests, replies become bytes.
//! - [`engine`]: clients, units, waiting, publishing; from a request to its handler and back.
//! - `acl`: users and what they may do.
//! - [`command`]: what a command is; [`commands`] holds all of them, by family.
//! - [`txn`]: how commands read and write keys; the one door for effects.
//! - [`script`]: Lua for clients, in a sandbox.
//! - [`keyspace`], [`table`], [`types`]: how keys and values lie in memory.
//! - [`rdb`]: values as Redis writes them into dumps and snapshots.
//! - [`replication`]: the stream of effects for those who follow, and following.
//! - [`durable`]: the log, over a disk that is an argument.
//! - [`config`]: directives; [`limits`]: every bound; [`number`], [`glob`] and [`spelling`]: text as
//!   clients mean it.
//!
//! Not here: sockets, files, threads and signals (the daemon's), jobs and schedules (the queue's, which comes in as an
//! [`engine::Extension`]).

mod acl;
pub mod command;
mod commands;
pub mod config;
pub mod durable;
pub mod engine;
mod geohash;
pub mod glob;
pub mod hash;
mod keyspace;
pub mod limits;
pub mod number;
pub mod rdb;
mod replication;
pub mod resp;
mod script;
pub mod spelling;
mod table;
mod thin;
pub mod time;
pub mod txn;
mod types;
mod waiting;

pub use keyspace::digest::DatasetDigest;
pub use thin::Long;
pub use types::Thresholds;
pub use types::text::{Scalar, Text};

/// The version of Redis whose behaviour clients see.
pub const COMPATIBLE_WITH: &str = "7.0.15";
