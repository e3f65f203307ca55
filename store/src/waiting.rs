//! Bytes that wait in memory until a walk writes them, counted where they are kept.
//!
//! Law: all holders of one walk add to one sum; what a holder added is taken off when it goes.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a holder held when nobody wanted it any more: to free it may take long.
pub(crate) type Leftover = Box<dyn Any + Send + Sync>;

/// The part of one holder in the sum.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    sum: Arc<AtomicUsize>,
    mine: usize,
}

impl Waiting {
    /// Another holder, of the same sum, that holds nothing yet.
    pub(crate) fn another(&self) -> Self {
        Self { sum: Arc::clone(&self.sum), mine: 0 }
    }

    /// So many bytes more are held.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.mine += bytes;
        self.sum.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes are held no longer.
    pub(crate) fn subtract(&mut self, bytes: usize) {
        let bytes = bytes.min(self.mine);
        self.mine -= bytes;
        self.sum.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The bytes of all holders.
    pub(crate) fn sum(&self) -> usize {
        self.sum.load(Ordering::Relaxed)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.subtract(self.mine);
    }
}
