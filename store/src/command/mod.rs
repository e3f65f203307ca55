//! What a command is: its row, its arguments, what it may answer.
//!
//! Law: a row tells everything about a command; dispatch, gates, COMMAND, ACL checks, help, metrics and fuzzing derive
//! from it. Rows stand beside their handlers (in [`crate::commands`] and in extensions), not here.

pub mod args;
pub mod fault;
pub mod flags;
pub mod index;
pub mod keys;
pub mod row;
pub mod syntax;

pub use args::Args;
pub use fault::Fault;
pub use index::Index;
pub use keys::{Key, KeySpec};
pub use row::{Command, Effect, Group, Handler, Outcome, Run, Wait, WaitClass};
