//! What the tests of the whole have in common: a laboratory ([`lab`]), the simulator ([`sim`]), and what is
//! fuzzed ([`fuzz`]).
//!
//! Law: nothing in here reads a clock or a source of chance; a seed says everything that happens.
//! A harness ends the test it serves, so the words that the product avoids are right here.
#![expect(clippy::panic, clippy::expect_used, reason = "a harness ends the test when something is wrong")]

pub mod fuzz;
pub mod lab;
pub mod sim;
