//! PBJ: persistent background jobs. The daemon as a library, so that `pbjd`, `pbj`, tests and examples are thin.
//!
//! Law: only this crate touches the world, and each part of the world in one file: the clock in [`clock`], files in
//! [`disk`], sockets in [`listener`] and [`connection`], memory in [`allocator`].
//!
//! A tour: [`boot`] puts everything together; [`shared`] is what threads share; [`io_thread`] and [`connection`] serve
//! clients; [`timer`] lets happen what is due; [`log_writer`] makes it last.

pub mod allocator;
pub mod boot;
pub mod clock;
pub mod config_file;
pub mod connection;
pub mod disk;
pub mod exit;
pub mod host;
pub mod io_thread;
pub mod listener;
pub mod log_writer;
pub mod mailbox;
pub mod shared;
pub mod timer;
