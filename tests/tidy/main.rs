//! House rules as tests: what a machine can check of how this project is written.
//!
//! Where the house breaks a rule today, the place is named here with how far it goes; such a number can only shrink,
//! and a test fails when it could be made smaller, too.
#![expect(clippy::unwrap_used, reason = "a test ends when something is missing")]

mod commands;
mod layers;
mod links;
mod rows;
mod text;
mod tree;
