//! The functions of Lua and of the bridge, as C declares them.
//!
//! Law: of these, only functions that cannot raise are called while a frame of Rust with something to drop is on the
//! stack. With the allocator in its trusted state (see `state.rs`) that is all of them that are declared here, used
//! with the checks that `stack.rs` makes.
#![expect(unsafe_code, reason = "foreign functions are unsafe by nature")]

use std::ffi::{c_char, c_double, c_int, c_void};
use std::marker::{PhantomData, PhantomPinned};

/// A thread of Lua.
#[repr(C)]
pub(crate) struct LuaState {
    opaque: [u8; 0],
    /// Neither Send nor Sync nor Unpin: it belongs to the one who runs it.
    marker: PhantomData<(*mut u8, PhantomPinned)>,
}

/// Allocates, grows, shrinks and frees.
pub(crate) type Allocate = unsafe extern "C" fn(
    data: *mut c_void,
    old: *mut c_void,
    old_size: usize,
    new_size: usize,
) -> *mut c_void;

pub(crate) const REGISTRY: c_int = -10_000;
pub(crate) const GLOBALS: c_int = -10_002;
pub(crate) const MULTIPLE_RESULTS: c_int = -1;
pub(crate) const GC_COLLECT: c_int = 2;
pub(crate) const GC_STEP: c_int = 5;

unsafe extern "C" {
    pub(crate) fn lua_newstate(allocate: Allocate, data: *mut c_void) -> *mut LuaState;
    pub(crate) fn lua_close(state: *mut LuaState);
    pub(crate) fn lua_getallocf(state: *mut LuaState, data: *mut *mut c_void) -> Option<Allocate>;
    pub(crate) fn lua_gettop(state: *mut LuaState) -> c_int;
    pub(crate) fn lua_settop(state: *mut LuaState, index: c_int);
    pub(crate) fn lua_pushvalue(state: *mut LuaState, index: c_int);
    pub(crate) fn lua_remove(state: *mut LuaState, index: c_int);
    pub(crate) fn lua_insert(state: *mut LuaState, index: c_int);
    pub(crate) fn lua_replace(state: *mut LuaState, index: c_int);
    pub(crate) fn lua_checkstack(state: *mut LuaState, extra: c_int) -> c_int;
    pub(crate) fn lua_hasroom(state: *mut LuaState, count: c_int) -> c_int;
    pub(crate) fn lua_toboolean(state: *mut LuaState, index: c_int) -> c_int;
    pub(crate) fn lua_touserdata(state: *mut LuaState, index: c_int) -> *mut c_void;
    pub(crate) fn lua_objlen(state: *mut LuaState, index: c_int) -> usize;
    pub(crate) fn lua_pushnil(state: *mut LuaState);
    pub(crate) fn lua_pushlightuserdata(state: *mut LuaState, pointer: *mut c_void);
    pub(crate) fn lua_createtable(state: *mut LuaState, array: c_int, hash: c_int);
    pub(crate) fn lua_rawget(state: *mut LuaState, index: c_int);
    pub(crate) fn lua_rawgeti(state: *mut LuaState, index: c_int, number: c_int);
    pub(crate) fn lua_getmetatable(state: *mut LuaState, index: c_int) -> c_int;
    pub(crate) fn lua_setmetatable(state: *mut LuaState, index: c_int) -> c_int;
    pub(crate) fn lua_setreadonly(state: *mut LuaState, index: c_int, readonly: c_int);
    pub(crate) fn lua_isreadonly(state: *mut LuaState, index: c_int) -> c_int;
    pub(crate) fn lua_gc(state: *mut LuaState, what: c_int, data: c_int) -> c_int;
    /// Runs code; what it raises ends there.
    pub(crate) fn lua_pcall(state: *mut LuaState, args: c_int, results: c_int, handler: c_int) -> c_int;
    pub(crate) fn luaL_ref(state: *mut LuaState, table: c_int) -> c_int;
    pub(crate) fn luaL_unref(state: *mut LuaState, table: c_int, reference: c_int);
    pub(crate) fn pbj_lua_open(state: *mut LuaState) -> c_int;
    pub(crate) fn pbj_lua_sethook(state: *mut LuaState, count: c_int);
    pub(crate) fn pbj_lua_pushnative(state: *mut LuaState, id: c_int);
    pub(crate) fn pbj_lua_pusherrorhandler(state: *mut LuaState);
    pub(crate) fn pbj_lua_load(
        state: *mut LuaState,
        text: *const c_char,
        length: usize,
        name: *const c_char,
    ) -> c_int;
    pub(crate) fn pbj_lua_kind(state: *mut LuaState, index: c_int) -> c_int;
    pub(crate) fn pbj_lua_string(
        state: *mut LuaState,
        index: c_int,
        bytes: *mut *const c_char,
        length: *mut usize,
    ) -> c_int;
    pub(crate) fn pbj_lua_number(state: *mut LuaState, index: c_int, value: *mut c_double) -> c_int;
    pub(crate) fn pbj_lua_pushbytes(state: *mut LuaState, bytes: *const c_char, length: usize) -> c_int;
    pub(crate) fn pbj_lua_pushnumber(state: *mut LuaState, value: c_double) -> c_int;
    pub(crate) fn pbj_lua_pushboolean(state: *mut LuaState, value: c_int) -> c_int;
    pub(crate) fn pbj_lua_getelement(state: *mut LuaState, index: c_int, number: c_int) -> c_int;
    pub(crate) fn pbj_lua_getfield(
        state: *mut LuaState,
        index: c_int,
        name: *const c_char,
        length: usize,
    ) -> c_int;
    pub(crate) fn pbj_lua_setelement(state: *mut LuaState, index: c_int, number: c_int) -> c_int;
    pub(crate) fn pbj_lua_setpair(state: *mut LuaState, index: c_int) -> c_int;
    pub(crate) fn pbj_lua_next(state: *mut LuaState, index: c_int, position: c_int) -> c_int;
    pub(crate) fn pbj_lua_pushowner(state: *mut LuaState, id: c_int);
    pub(crate) fn pbj_lua_pushown(state: *mut LuaState);
    pub(crate) fn pbj_lua_readnumber(text: *const c_char, value: *mut c_double) -> usize;
    pub(crate) fn pbj_lua_pushwhere(state: *mut LuaState, level: c_int);
    pub(crate) fn pbj_lua_pushargerror(state: *mut LuaState, arg: c_int, extra: *const c_char);
    pub(crate) fn pbj_lua_format(
        buffer: *mut c_char,
        size: usize,
        precision: c_int,
        value: c_double,
    ) -> c_int;
}
