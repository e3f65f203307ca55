//! Memory of an interpreter: counted, and bounded while its own code allocates.
#![expect(unsafe_code, reason = "an allocator deals in raw memory")]

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::ffi::c_void;
use std::ptr;

/// What Lua needs at most: pointers, doubles.
const ALIGN: usize = 8;

/// The account of an interpreter.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Bytes taken.
    pub(crate) used: usize,
    /// Bytes that may be taken; 0 for no limit.
    pub(crate) limit: usize,
    /// Rust is allocating: it must not fail, because it cannot be raised through.
    pub(crate) trusted: bool,
}

impl Account {
    /// Whether more was taken than allowed.
    pub(crate) fn is_over(&self) -> bool {
        self.limit > 0 && self.used > self.limit
    }
}

/// The allocator of Lua, with the account as `data`.
///
/// # Safety
/// As Lua calls it: `data` is the account of the interpreter, `old` was given by this function with `old_size`.
pub(crate) unsafe extern "C" fn allocate(
    data: *mut c_void,
    old: *mut c_void,
    old_size: usize,
    new_size: usize,
) -> *mut c_void {
    // SAFETY: `data` is the account; nobody else holds a reference while Lua allocates.
    let account = unsafe { &mut *data.cast::<Account>() };
    // Without an old block the old size says nothing.
    let old_size = if old.is_null() { 0 } else { old_size };
    if new_size == 0 {
        if old_size > 0 {
            account.used -= old_size;
            // SAFETY: the block is of this allocator and size; the layout was valid when it was made.
            unsafe { dealloc(old.cast(), Layout::from_size_align_unchecked(old_size, ALIGN)) };
        }
        return ptr::null_mut();
    }
    let after = account.used - old_size + new_size;
    if !account.trusted && account.limit > 0 && new_size > old_size && after > account.limit {
        return ptr::null_mut();
    }
    let Ok(layout) = Layout::from_size_align(new_size, ALIGN) else { return ptr::null_mut() };
    let new = if old_size == 0 {
        // SAFETY: the size is not 0.
        unsafe { alloc(layout) }
    } else {
        // SAFETY: the block is of this allocator with this layout; the new size is not 0 and was checked.
        unsafe { realloc(old.cast(), Layout::from_size_align_unchecked(old_size, ALIGN), new_size) }
    };
    if new.is_null() && account.trusted {
        // Nothing of Rust survives this either.
        std::alloc::handle_alloc_error(layout);
    }
    if !new.is_null() {
        account.used = after;
    }
    new.cast()
}
