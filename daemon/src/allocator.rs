//! The allocator, counted: `maxmemory` and INFO have to know how much memory is taken.
#![allow(unsafe_code)] // The interface of allocators is unsafe; every call goes on to jemalloc as it came.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering};

use tikv_jemallocator::Jemalloc;

/// jemalloc with a count of the bytes that were asked for.
pub struct CountedJemalloc;

static TAKEN: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Bytes taken from the allocator.
pub fn bytes_taken() -> usize {
    TAKEN.load(Ordering::Relaxed)
}

/// A statistic of jemalloc, brought up to date first.
fn statistic(read: fn() -> tikv_jemalloc_ctl::Result<usize>) -> usize {
    tikv_jemalloc_ctl::epoch::advance().and_then(|_| read()).unwrap_or(0)
}

/// Bytes of the pages that hold what is allocated.
pub fn active() -> usize {
    statistic(tikv_jemalloc_ctl::stats::active::read)
}

/// Bytes of pages that are in memory, those that hold nothing included.
pub fn resident() -> usize {
    statistic(tikv_jemalloc_ctl::stats::resident::read)
}

/// Gives pages that hold nothing back to the system.
pub fn purge() {
    let (nothing, no_len) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: a command (of all arenas: 4096) that takes no value and returns none.
    let code =
        unsafe { tikv_jemalloc_sys::mallctl(c"arena.4096.purge".as_ptr(), nothing, no_len, nothing, 0) };
    if code != 0 {
        tracing::debug!(code, "the allocator keeps its pages");
    }
}

/// The most bytes that were ever seen taken by [`note_peak`].
pub fn peak() -> usize {
    PEAK.load(Ordering::Relaxed)
}

/// Takes note of how many bytes are taken now.
pub fn note_peak() {
    PEAK.fetch_max(bytes_taken(), Ordering::Relaxed);
}

/// What jemalloc reserves for a request: 16, 32, …, 128, and from there on four classes between two powers of two.
fn reserved(layout: Layout) -> usize {
    match layout.size() {
        0..=8 => 8,
        size @ 9..=128 => size.next_multiple_of(16),
        size => size.next_multiple_of(size.next_power_of_two() / 8),
    }
}

// SAFETY: forwards to jemalloc with unchanged arguments.
unsafe impl GlobalAlloc for CountedJemalloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.fetch_add(reserved(layout), Ordering::Relaxed);
        // SAFETY: the caller's promise is the same.
        unsafe { Jemalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(reserved(layout), Ordering::Relaxed);
        // SAFETY: the caller's promise is the same.
        unsafe { Jemalloc.dealloc(address, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        TAKEN.fetch_add(reserved(layout), Ordering::Relaxed);
        // SAFETY: the caller's promise is the same.
        unsafe { Jemalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let new = reserved(Layout::from_size_align(size, layout.align()).unwrap_or(layout));
        TAKEN.fetch_add(new, Ordering::Relaxed);
        TAKEN.fetch_sub(reserved(layout), Ordering::Relaxed);
        // SAFETY: the caller's promise is the same.
        unsafe { Jemalloc.realloc(address, layout, size) }
    }
}
