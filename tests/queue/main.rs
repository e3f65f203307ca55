//! Every verb of the queue through the engine: options, replies in both protocols, errors, states, bounds.
//!
//! Law: after every command the recorded effects are repeated on a second engine, which must come to the same data and
//! derive the same order, deadlines and counts at once (see [`stage::Stage`]).
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends when something is missing")]

mod cron;
mod edges;
mod errors;
mod fetch;
mod found;
mod lock;
mod look;
mod matrix;
mod numbers;
mod push;
mod reload;
mod settle;
mod stage;
mod wire;
