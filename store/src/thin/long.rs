//! Long allocations, which several may own.
//!
//! Purpose: an element of a gigabyte is written into a snapshot while others are served. Who writes it holds the bytes
//! where they are, as long as that takes, and nobody waits for a copy.
//! Law: what stands in a long allocation changes only as long as it has one owner; the others copy what they keep
//! before they change it. Layout: `owners, size` in front of what a [`super::Thin`] is otherwise.
#![allow(unsafe_code)] // Owners of one allocation count themselves. Tested under Miri.

use std::alloc::{self, Layout};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use crate::limits::HUGE_TEXT;

/// From how much room on an allocation can have several owners, in bytes.
pub(super) const LONG: usize = HUGE_TEXT;
/// Bytes in front of a long allocation.
pub(super) const FRONT: usize = size_of::<Front>();
/// Every allocation of this kind has it.
pub(super) const ALIGN: usize = align_of::<Front>();

/// What stands in front.
#[repr(C, align(8))]
pub(super) struct Front {
    owners: AtomicUsize,
    /// Bytes of the allocation, with this.
    size: usize,
}

impl Front {
    /// Of an allocation of this size with one owner.
    pub(super) fn new(size: usize) -> Self {
        Self { owners: AtomicUsize::new(1), size }
    }

    /// Whether there is one owner. It stays so while that one does nothing, and whatever others did is done.
    pub(super) fn has_one_owner(&self) -> bool {
        self.owners.load(Ordering::Acquire) == 1
    }

    /// One owner more.
    pub(super) fn adopt(&self) {
        self.owners.fetch_add(1, Ordering::Relaxed);
    }
}

/// One owner less; without any, the allocation is freed.
///
/// # Safety
/// The caller is an owner, and does not touch the allocation any more. It was made with [`ALIGN`] and the size that
/// stands in it.
pub(super) unsafe fn release(front: NonNull<Front>) {
    // SAFETY: as long as the caller is an owner, it lives.
    let (before, size) =
        unsafe { (front.as_ref().owners.fetch_sub(1, Ordering::Release), front.as_ref().size) };
    if before == 1 {
        // What other owners read, they have read.
        fence(Ordering::Acquire);
        // SAFETY: nobody owns it any more; size and alignment are those it was made with.
        unsafe { alloc::dealloc(front.as_ptr().cast(), Layout::from_size_align_unchecked(size, ALIGN)) };
    }
}

/// Bytes of a long allocation, while it is borrowed.
#[derive(Clone, Copy)]
pub struct Long<'a> {
    front: NonNull<Front>,
    bytes: &'a [u8],
}

// SAFETY: a shared view of bytes, and of a counter that is atomic.
unsafe impl Send for Long<'_> {}
// SAFETY: as above.
unsafe impl Sync for Long<'_> {}

impl<'a> Long<'a> {
    /// A part of an allocation.
    ///
    /// # Safety
    /// The bytes lie in the long allocation with this front.
    pub(super) unsafe fn new(front: NonNull<Front>, bytes: &'a [u8]) -> Self {
        Self { front, bytes }
    }

    /// The bytes.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The same bytes, for as long as they are wanted.
    pub(crate) fn hold(self) -> Held {
        // SAFETY: the allocation is borrowed, so it lives.
        unsafe { self.front.as_ref() }.adopt();
        Held { front: self.front, bytes: NonNull::from(self.bytes) }
    }
}

/// Bytes of a long allocation, of which this is an owner.
pub(crate) struct Held {
    front: NonNull<Front>,
    bytes: NonNull<[u8]>,
}

// SAFETY: an owner of bytes that do not change as long as it is one; the counter is atomic.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

impl Held {
    /// The same bytes, while this is borrowed.
    pub(crate) fn lend(&self) -> Long<'_> {
        Long { front: self.front, bytes: self }
    }

    /// Leaves bytes at the beginning out from now on.
    pub(crate) fn advance(&mut self, count: usize) {
        // SAFETY: as in `deref`; the slice is taken from those bytes, so it lives as long.
        let bytes = unsafe { self.bytes.as_ref() };
        self.bytes = NonNull::from(&bytes[count..]);
    }
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: they live as long as this owns them, and other owners do not change them.
        unsafe { self.bytes.as_ref() }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: this is an owner, and goes.
        unsafe { release(self.front) };
    }
}
