//! Data that nobody needs any more.
//!
//! To free a value of a million elements takes as long as to write it, so whoever holds the lock of the engine hands it
//! on instead.

use std::fmt;

use super::walk::Walked;
use super::{Database, Entry};
use crate::waiting::Leftover;

/// Data that nobody needs any more. Dropping it frees it, which may take long: best without the lock of the engine.
#[derive(Default)]
pub struct Garbage {
    /// Databases that were emptied during a walk.
    pub(super) emptied: Vec<Database>,
    /// Huge values that were removed during a walk.
    pub(super) removed: Vec<Entry>,
    /// What values kept for a walk that was given up.
    pub(super) kept: Vec<Leftover>,
    /// What databases kept for a walk.
    pub(super) walked: Vec<Walked>,
}

impl Garbage {
    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.emptied.is_empty() && self.removed.is_empty() && self.kept.is_empty() && self.walked.is_empty()
    }
}

impl fmt::Debug for Garbage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Garbage").finish_non_exhaustive()
    }
}
