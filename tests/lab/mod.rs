//! The laboratory: the real engine, the real queue and the real log, in a world that is an argument.
//!
//! - [`clock`] is time: it passes when told, and the wall clock can be set.
//! - [`disk`] is a disk that fails as real ones do.
//! - [`server`] is a daemon without threads: what `pbjd` does with engine and log, step by step.
//! - [`alone`] is an engine without any of that.
//! - [`client`] speaks to it; [`replica`] follows its log and says what it should contain.

pub mod alone;
pub mod client;
pub mod clock;
pub mod disk;
pub mod replica;
pub mod server;

pub use client::{Client, request, shown};
pub use clock::Clock;
pub use disk::FaultyDisk;
pub use replica::Replica;
pub use server::{Delivery, Server, ServerOptions};
