//! PBJ: persistent background jobs. The daemon as a library, so that `pbjd`, `pbj`, tests and examples are thin.
//!
//! Law: only this crate touches the world, and each part of the world in one file: the clock in [`clock`], files in
//! [`disk`], sockets in [`listener`] and `stream.rs`, memory in [`allocator`].
//!
//! A tour: [`boot`] puts everything together; [`shared`] is what threads share; [`io_thread`] (`io_loop.rs`,
//! `connection.rs`) serves clients; [`timer`] lets happen what is due; [`log_writer`] makes it last; [`supervise`] runs
//! it all as a service.

pub mod alarm;
pub mod allocator;
pub mod boot;
pub mod busy;
pub mod cli;
pub mod clock;
pub mod config_file;
mod connection;
pub mod control;
pub mod disk;
pub mod doors;
mod durability;
pub mod embedded;
pub mod exit;
mod feeder;
pub mod follower;
pub mod freer;
pub mod host;
pub mod http;
mod io_loop;
pub mod io_thread;
pub mod kept_dataset;
pub mod listener;
pub mod live_config;
pub mod log_growth;
pub mod log_status;
pub mod log_writer;
pub mod logging;
pub mod mailbox;
pub mod metrics;
pub mod migrate;
pub mod oom_score;
pub mod outgoing;
pub mod panic;
pub mod rewrite;
mod room;
pub mod saver;
pub mod shared;
pub mod signals;
mod stream;
pub mod supervise;
pub mod timer;
pub mod users_file;
