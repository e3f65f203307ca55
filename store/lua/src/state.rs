//! An interpreter, and how code in it runs.
#![expect(unsafe_code, reason = "Lua is reached through its C interface")]

use std::ffi::{CString, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

use crate::ffi::{self, LuaState};
use crate::memory::{Account, allocate};
use crate::stack::{Raised, Stack};

/// Instructions between two calls of [`Host::interrupt`].
const INTERRUPT_INSTRUCTIONS: c_int = 20_000;
/// The part of the memory limit above which garbage is collected before the collector would.
const TIGHT_NUMERATOR: usize = 3;
const TIGHT_DENOMINATOR: usize = 4;

/// Whoever runs code: serves the native functions it calls, and is asked now and then whether it may go on.
pub trait Host {
    /// Runs the native function with this number. Its arguments are all that is on the stack; its results are the
    /// values on top, as many as it returns.
    ///
    /// # Errors
    /// An error, which it pushed, is to be raised.
    fn native(&mut self, id: i32, stack: &mut Stack<'_>) -> Result<i32, Raised>;

    /// Called every so many instructions.
    fn interrupt(&mut self, stack: &mut Stack<'_>) -> Verdict;
}

/// Whether code may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    GoOn,
    /// It ends: this text is raised, as a table with the field `err`, at every instruction from now on, so that no code
    /// can catch it and go on.
    End(Vec<u8>),
}

/// A value that the interpreter keeps for Rust.
#[derive(Debug, PartialEq, Eq)]
pub struct Ref(pub(crate) c_int);

/// Why code did not end well; the error is on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Text that is no program.
    Syntax,
    /// It raised an error.
    Runtime,
    /// It needed more memory than allowed.
    Memory,
    /// An error was raised while another one was handled.
    Handler,
}

impl Failure {
    fn of(status: c_int) -> Result<(), Self> {
        match status {
            0 => Ok(()),
            3 => Err(Self::Syntax),
            4 => Err(Self::Memory),
            5 => Err(Self::Handler),
            _ => Err(Self::Runtime),
        }
    }
}

/// What the functions of the bridge find behind the data of the allocator.
#[repr(C)]
struct Shared {
    /// First, so that the allocator can take the address of all as the address of this.
    account: Account,
    main: *mut LuaState,
    host: Option<*mut (dyn Host + 'static)>,
    /// Bytes after the last collection that the limit made necessary.
    collected_at: usize,
}

/// An interpreter.
pub struct Lua {
    state: NonNull<LuaState>,
    shared: NonNull<Shared>,
}

// SAFETY: the interpreter uses nothing that belongs to a thread, and is only reached through this handle.
unsafe impl Send for Lua {}

impl Lua {
    /// An interpreter with the libraries base, table, string and math, and with this memory limit in bytes (0 for
    /// none). Nothing if there is no memory for it.
    pub fn new(limit: usize) -> Option<Self> {
        let shared = Box::new(Shared {
            account: Account { used: 0, limit, trusted: true },
            main: ptr::null_mut(),
            host: None,
            collected_at: 0,
        });
        let shared = NonNull::from(Box::leak(shared));
        // SAFETY: the account is the first field of what `shared` points to, which lives as long as the interpreter.
        let state = unsafe { ffi::lua_newstate(allocate, shared.as_ptr().cast::<c_void>()) };
        let Some(state) = NonNull::new(state) else {
            // SAFETY: it was leaked just above, and nobody else knows it.
            drop(unsafe { Box::from_raw(shared.as_ptr()) });
            return None;
        };
        let mut lua = Self { state, shared };
        lua.shared_mut().main = state.as_ptr();
        // SAFETY: the interpreter is new; what could be raised is protected.
        let opened = unsafe {
            ffi::pbj_lua_sethook(state.as_ptr(), INTERRUPT_INSTRUCTIONS);
            ffi::pbj_lua_open(state.as_ptr())
        };
        (opened == 0).then_some(lua)
    }

    fn shared_mut(&mut self) -> &mut Shared {
        // SAFETY: it lives as long as `self`, and no code of the interpreter runs now.
        unsafe { self.shared.as_mut() }
    }

    /// Sets the memory limit in bytes, 0 for none.
    pub fn set_limit(&mut self, limit: usize) {
        self.shared_mut().account.limit = limit;
    }

    /// Bytes taken.
    pub fn memory(&self) -> usize {
        // SAFETY: as in `shared_mut`, for reading.
        unsafe { self.shared.as_ref().account.used }
    }

    /// The stack, while no code runs.
    pub fn stack(&mut self) -> Stack<'_> {
        // SAFETY: the main thread lives as long as `self`, which is borrowed as long as the stack; Rust runs, so the
        // allocator is trusted.
        unsafe { Stack::new(self.state.as_ptr()) }
    }

    /// Compiles a program and pushes it as a function.
    ///
    /// # Errors
    /// It is none; the message is on the stack.
    pub fn load(&mut self, text: &[u8], name: &str) -> Result<(), Failure> {
        let name = CString::new(name).unwrap_or_default();
        let state = self.state.as_ptr();
        self.shared_mut().account.trusted = false;
        // SAFETY: the text is not kept; the compiler is protected, so a lack of memory ends there.
        let status = unsafe { ffi::pbj_lua_load(state, text.as_ptr().cast(), text.len(), name.as_ptr()) };
        self.shared_mut().account.trusted = true;
        self.make_room();
        Failure::of(status)
    }

    /// Calls the function that lies below its `args` arguments, for a host; its `results` results are pushed. A message
    /// handler is expected below the function if `handled`.
    ///
    /// # Errors
    /// What was raised is on the stack.
    pub fn call(
        &mut self,
        host: &mut dyn Host,
        args: i32,
        results: i32,
        handled: bool,
    ) -> Result<(), Failure> {
        let state = self.state.as_ptr();
        let function = self.stack().len() - args;
        assert!(function > i32::from(handled) && results >= ffi::MULTIPLE_RESULTS, "no function to call");
        assert!(self.shared_mut().host.is_none(), "a call within a call goes through the stack of the host");
        // SAFETY: only the lifetime is forgotten; the pointer is taken away again before this function returns.
        let host: *mut (dyn Host + 'static) =
            unsafe { std::mem::transmute::<*mut (dyn Host + '_), *mut (dyn Host + 'static)>(host) };
        self.shared_mut().host = Some(host);
        self.shared_mut().account.trusted = false;
        let handler = if handled { function - 1 } else { 0 };
        // SAFETY: function and arguments are on the stack, as checked; what is raised ends in the call.
        let status = unsafe { ffi::lua_pcall(state, args, results, handler) };
        let shared = self.shared_mut();
        shared.account.trusted = true;
        shared.host = None;
        shared.collected_at = 0;
        // SAFETY: no code runs. The hook may have been made tight, and the collector may have been stopped.
        unsafe { ffi::pbj_lua_sethook(state, INTERRUPT_INSTRUCTIONS) };
        self.make_room();
        Failure::of(status)
    }

    /// What one script has left must not be what the next one lacks.
    fn make_room(&mut self) {
        if is_tight(&self.shared_mut().account) {
            self.stack().collect();
        }
    }
}

impl Drop for Lua {
    fn drop(&mut self) {
        // SAFETY: nobody else knows the interpreter; it frees with the account, which is freed after it.
        unsafe {
            ffi::lua_close(self.state.as_ptr());
            drop(Box::from_raw(self.shared.as_ptr()));
        }
    }
}

/// Whether most of the memory is taken.
fn is_tight(account: &Account) -> bool {
    account.limit > 0 && account.used > account.limit / TIGHT_DENOMINATOR * TIGHT_NUMERATOR
}

/// # Safety
/// `state` is a thread of an interpreter of ours.
unsafe fn shared_of(state: *mut LuaState) -> *mut Shared {
    let mut data = ptr::null_mut();
    // SAFETY: the data of the allocator is the address of the account, which is that of all that is shared.
    unsafe { ffi::lua_getallocf(state, &raw mut data) };
    data.cast()
}

/// Runs `work` with the host and the stack, with an allocator that does not fail. Nothing unwinds out of it.
///
/// # Safety
/// Called by the bridge, while `Lua::call` runs.
unsafe fn in_rust<R>(
    state: *mut LuaState,
    work: impl FnOnce(&mut dyn Host, &mut Stack<'_>) -> Result<R, Raised>,
) -> Result<R, Raised> {
    // SAFETY: see `shared_of`. References into it end before Lua allocates again.
    let shared = unsafe { shared_of(state) };
    // SAFETY: the thread runs us, so nobody else uses it; the flag is set before anything is pushed.
    let mut stack = unsafe {
        (*shared).account.trusted = true;
        Stack::new(state)
    };
    // A native function does not run code, so the host is taken out while it is used, and used once at a time.
    // SAFETY: `Lua::call` put it there and takes it away before its borrow ends.
    let host = unsafe { (*shared).host.take() };
    let result = match host {
        Some(host) => {
            // SAFETY: it was put there by `Lua::call`, whose caller lends it for the whole call.
            let lent = unsafe { &mut *host };
            catch_unwind(AssertUnwindSafe(|| work(lent, &mut stack)))
                .unwrap_or_else(|_| Err(stack.raise(b"internal error in a native function")))
        }
        None => Err(stack.raise(b"this function can only be called by a script")),
    };
    // SAFETY: as above.
    let over = unsafe {
        (*shared).host = host;
        (*shared).account.trusted = false;
        (*shared).account.is_over()
    };
    if over && result.is_ok() {
        // SAFETY: as above; the text must not fail, being the error itself.
        unsafe { (*shared).account.trusted = true };
        let raised = stack.raise(b"not enough memory");
        // SAFETY: as above.
        unsafe { (*shared).account.trusted = false };
        return Err(raised);
    }
    result
}

/// Called by the bridge.
///
/// # Safety
/// As the bridge calls it.
#[unsafe(no_mangle)]
unsafe extern "C" fn pbj_lua_native(state: *mut LuaState, id: c_int) -> c_int {
    // SAFETY: the bridge is called by code that runs within `Lua::call`.
    let result = unsafe { in_rust(state, |host, stack| host.native(id, stack)) };
    // SAFETY: the thread is alive.
    let len = unsafe { ffi::lua_gettop(state) };
    match result {
        Ok(results) if (0..=len).contains(&results) => results,
        _ => -1,
    }
}

/// Called by the bridge.
///
/// # Safety
/// As the bridge calls it.
#[unsafe(no_mangle)]
unsafe extern "C" fn pbj_lua_interrupt(state: *mut LuaState) -> c_int {
    // SAFETY: see `shared_of`.
    let shared = unsafe { shared_of(state) };
    // SAFETY: no other reference into it is alive.
    let (tight, used, limit, collected_at) = unsafe {
        let account = &(*shared).account;
        (is_tight(account), account.used, account.limit, (*shared).collected_at)
    };
    if tight && used > collected_at + limit / 16 {
        // The collector lets garbage double; near the limit there is no room for that.
        // SAFETY: the thread is alive; collecting frees, and runs no code.
        unsafe {
            ffi::lua_gc(state, ffi::GC_COLLECT, 0);
            (*shared).collected_at = (*shared).account.used;
        }
    }
    // SAFETY: the bridge is called by code that runs within `Lua::call`.
    let result = unsafe {
        in_rust(state, |host, stack| match host.interrupt(stack) {
            Verdict::GoOn => Ok(()),
            Verdict::End(text) => {
                ffi::pbj_lua_sethook(state, 1);
                ffi::pbj_lua_sethook((*shared).main, 1);
                stack.new_table(0, 1);
                stack.push_bytes(&text);
                stack.set_field(-2, b"err");
                Err(Raised)
            }
        })
    };
    if result.is_ok() { 0 } else { -1 }
}

impl std::fmt::Debug for Lua {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Lua with {} bytes", self.memory())
    }
}
