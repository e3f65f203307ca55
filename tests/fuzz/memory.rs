//! How much memory an input takes: the allocator of the system, with what each thread takes counted.
//!
//! Law: one allocation of more than a gibibyte fails, whatever the bound of the target: nothing here has a
//! use for it.
#![allow(unsafe_code)] // The interface of allocators is unsafe; every call goes on to the system's as it came.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The largest allocation that is possible.
const ALLOCATION_MAX: usize = 1 << 30;

thread_local! {
    static TAKEN: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counted.
pub struct Counted;

fn count(bytes: isize) {
    let taken = TAKEN.get() + bytes;
    TAKEN.set(taken);
    PEAK.set(PEAK.get().max(taken));
}

/// Does `work`, which may take so many bytes at a time, beyond what is taken already.
pub fn within<T>(most: usize, work: impl FnOnce() -> T) -> T {
    let before = TAKEN.get();
    PEAK.set(before);
    let done = work();
    let peak = (PEAK.get() - before).unsigned_abs();
    assert!(peak <= most, "{peak} bytes were taken at a time, and {most} are the bound");
    done
}

// SAFETY: forwards to the system's allocator with unchanged arguments, or says that there is no memory.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > ALLOCATION_MAX {
            return std::ptr::null_mut();
        }
        count(layout.size() as isize);
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(address, layout) }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size > ALLOCATION_MAX {
            return std::ptr::null_mut();
        }
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller's promise is the same.
        unsafe { System.realloc(address, layout, size) }
    }
}
