//! The simulator: clients, a server, a clock and a disk, in one thread, from one seed.
//!
//! Law: a seed and a number of steps say everything that happens; run again, it happens again.
//! - [`weather`] says what a seed has in store; [`world`] lets time pass, crashes and starts again.
//! - [`actor`] is what clients do: they know only what they were told.
//! - [`model`] is what must be true, from requests and replies alone; [`census`] compares it with the engine.
//! - [`fleet`] is another kind of world: a master, its replicas, and the links between them.
//! - [`run`] plays a seed and catches what goes wrong, with the last steps as they happened.
//!
//! Not here: sockets, threads and the parser's bounds (other tests have them).

pub mod actor;
pub mod census;
pub mod fleet;
pub mod model;
mod observe;
mod observe_fields;
mod observe_keys;
pub mod run;
pub mod trace;
pub mod weather;
pub mod world;
