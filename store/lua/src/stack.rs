//! The stack of values between Rust and Lua.
//!
//! Law: no method runs code of Lua or raises; tables are looked at raw. An index that names nothing is a mistake of
//! ours and stops the program in its tests; in production the native function that made it becomes an error of the
//! script.
#![expect(unsafe_code, reason = "Lua is reached through its C interface")]

use std::borrow::Cow;
use std::ffi::{CString, c_char, c_int};
use std::marker::PhantomData;
use std::ptr;

use crate::ffi::{self, LuaState};
use crate::memory::Account;
use crate::state::Ref;

/// Slots that a native function finds free without asking.
const FREE_SLOTS: c_int = 20;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a type of Lua")]
pub enum Kind {
    None,
    Nil,
    Boolean,
    LightUserdata,
    Number,
    String,
    Table,
    Function,
    Userdata,
    Thread,
}

impl Kind {
    fn numbered(number: c_int) -> Self {
        match number {
            0 => Self::Nil,
            1 => Self::Boolean,
            2 => Self::LightUserdata,
            3 => Self::Number,
            4 => Self::String,
            5 => Self::Table,
            6 => Self::Function,
            7 => Self::Userdata,
            8 => Self::Thread,
            _ => Self::None,
        }
    }

    /// The name that Lua gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "no value",
            Self::Nil => "nil",
            Self::Boolean => "boolean",
            Self::LightUserdata | Self::Userdata => "userdata",
            Self::Number => "number",
            Self::String => "string",
            Self::Table => "table",
            Self::Function => "function",
            Self::Thread => "thread",
        }
    }
}

/// An error was pushed, and is to be raised by whoever called Rust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raised;

/// The stack of a thread of Lua, for as long as Rust runs.
pub struct Stack<'a> {
    state: *mut LuaState,
    marker: PhantomData<&'a mut Account>,
}

impl Stack<'_> {
    /// # Safety
    /// The thread is alive and not used by anybody else for `'a`; its allocator is trusted.
    pub(crate) unsafe fn new(state: *mut LuaState) -> Self {
        Self { state, marker: PhantomData }
    }

    fn account(&self) -> &Account {
        let mut data = ptr::null_mut();
        // SAFETY: the thread is alive; the data of its allocator is its account.
        unsafe {
            ffi::lua_getallocf(self.state, &raw mut data);
            &*data.cast::<Account>()
        }
    }

    /// Whether more memory was taken than allowed: whoever builds much asks now and then.
    pub fn is_over_limit(&self) -> bool {
        self.account().is_over()
    }

    /// How many values there are.
    pub fn len(&self) -> i32 {
        // SAFETY: see `new`.
        unsafe { ffi::lua_gettop(self.state) }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The index from the bottom, checked.
    fn at(&self, index: i32) -> c_int {
        let len = self.len();
        let index = if index < 0 { len + index + 1 } else { index };
        assert!((1..=len).contains(&index), "no value at that index");
        index
    }

    fn table_at(&self, index: i32) -> c_int {
        let index = self.at(index);
        assert!(self.kind(index) == Kind::Table, "no table at that index");
        index
    }

    /// Makes room for so many values beyond the twenty that a native function may push unasked; says whether there is.
    #[must_use]
    pub fn reserve(&mut self, count: i32) -> bool {
        // SAFETY: see `new`. The growth itself is protected.
        unsafe { ffi::lua_checkstack(self.state, count.saturating_add(FREE_SLOTS)) != 0 }
    }

    /// As [`Self::reserve`], counting every slot: for those who must stop where Redis does.
    #[must_use]
    pub fn reserve_exactly(&mut self, count: i32) -> bool {
        // SAFETY: see `new`. The growth itself is protected.
        unsafe { ffi::lua_checkstack(self.state, count) != 0 }
    }

    /// Every push needs room; natives have some, and this finds more. Running out is a bound of Lua, not of memory.
    fn room(&mut self) {
        self.room_for(1);
    }

    fn room_for(&mut self, count: c_int) {
        // SAFETY: as in `reserve`. More than is needed is asked for first, so that it is not asked for each time.
        let found = unsafe {
            ffi::lua_hasroom(self.state, count) != 0
                || ffi::lua_checkstack(self.state, FREE_SLOTS) != 0
                || ffi::lua_checkstack(self.state, count) != 0
        };
        assert!(found, "the stack of Lua is full");
    }

    /// Keeps the first `len` values.
    pub fn truncate(&mut self, len: i32) {
        assert!((0..=self.len()).contains(&len), "a stack is not extended this way");
        // SAFETY: see `new`; the length was checked.
        unsafe { ffi::lua_settop(self.state, len) };
    }

    /// Takes `count` values off.
    pub fn pop(&mut self, count: i32) {
        let len = self.len();
        self.truncate(len - count);
    }

    /// Takes out the value at `index`; those above move down.
    pub fn remove(&mut self, index: i32) {
        let index = self.at(index);
        // SAFETY: see `new`; the index was checked.
        unsafe { ffi::lua_remove(self.state, index) };
    }

    /// Moves the top value to `index`; those above move up.
    pub fn insert(&mut self, index: i32) {
        let index = self.at(index);
        // SAFETY: see `new`; the index was checked.
        unsafe { ffi::lua_insert(self.state, index) };
    }

    /// Pushes a copy of the value at `index`.
    pub fn push_copy(&mut self, index: i32) {
        let index = self.at(index);
        self.room();
        // SAFETY: see `new`; the index was checked.
        unsafe { ffi::lua_pushvalue(self.state, index) };
    }

    /// What the value at `index` is.
    pub fn kind(&self, index: i32) -> Kind {
        // SAFETY: see `new`; the index is checked there.
        Kind::numbered(unsafe { ffi::pbj_lua_kind(self.state, index) })
    }

    /// The bytes of a string; nothing for other values, numbers among them.
    #[inline]
    pub fn bytes(&self, index: i32) -> Option<&[u8]> {
        let (mut start, mut len) = (ptr::null(), 0);
        // SAFETY: index and type are checked there, so nothing is converted; the bytes stay while the string is on the
        // stack, and the stack is borrowed as long as they are.
        unsafe {
            let is_string = ffi::pbj_lua_string(self.state, index, &raw mut start, &raw mut len) != 0;
            is_string.then(|| std::slice::from_raw_parts(start.cast::<u8>(), len))
        }
    }

    /// The text of a string or a number, the latter as Lua prints it.
    pub fn text(&self, index: i32) -> Option<Cow<'_, [u8]>> {
        match self.kind(index) {
            Kind::String => self.bytes(index).map(Cow::Borrowed),
            Kind::Number => self.number(index).map(|value| Cow::Owned(format_number(value, 14))),
            _ => None,
        }
    }

    /// The value of a number, or of a string that reads as one.
    pub fn number(&self, index: i32) -> Option<f64> {
        let mut value = 0.0;
        // SAFETY: see `new`; the index is checked there. Strings are read, not converted in place.
        let is_number = unsafe { ffi::pbj_lua_number(self.state, index, &raw mut value) != 0 };
        is_number.then_some(value)
    }

    /// Whether the value counts as true.
    pub fn boolean(&self, index: i32) -> bool {
        // SAFETY: see `new`; the index was checked.
        self.kind(index) != Kind::None && unsafe { ffi::lua_toboolean(self.state, index) != 0 }
    }

    /// Whether the value is the null that [`Self::push_null`] pushes.
    pub fn is_null(&self, index: i32) -> bool {
        // SAFETY: see `new`; it is a light userdata.
        self.kind(index) == Kind::LightUserdata && unsafe { ffi::lua_touserdata(self.state, index).is_null() }
    }

    /// The length of a string or of the array part of a table.
    pub fn raw_len(&self, index: i32) -> usize {
        let index = self.at(index);
        match self.kind(index) {
            // SAFETY: see `new`; the index was checked, and nothing is converted.
            Kind::String | Kind::Table => unsafe { ffi::lua_objlen(self.state, index) },
            _ => 0,
        }
    }

    /// Pushes nil.
    pub fn push_nil(&mut self) {
        self.room();
        // SAFETY: see `new`; there is room.
        unsafe { ffi::lua_pushnil(self.state) };
    }

    /// Pushes true or false.
    pub fn push_boolean(&mut self, value: bool) {
        // SAFETY: see `new`; room is found there.
        full(unsafe { ffi::pbj_lua_pushboolean(self.state, c_int::from(value)) });
    }

    /// Pushes a number.
    pub fn push_number(&mut self, value: f64) {
        // SAFETY: see `new`; room is found there.
        full(unsafe { ffi::pbj_lua_pushnumber(self.state, value) });
    }

    /// Pushes a string.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        // SAFETY: see `new`; room is found there, and the bytes are copied.
        full(unsafe { ffi::pbj_lua_pushbytes(self.state, bytes.as_ptr().cast::<c_char>(), bytes.len()) });
    }

    /// Pushes the value that stands for null where nil cannot: a light userdata without address.
    pub fn push_null(&mut self) {
        self.room();
        // SAFETY: see `new`; there is room.
        unsafe { ffi::lua_pushlightuserdata(self.state, ptr::null_mut()) };
    }

    /// Pushes a function: calling it calls [`crate::Host::native`] with this number.
    pub fn push_native(&mut self, id: i32) {
        self.room();
        // SAFETY: see `new`; there is room.
        unsafe { ffi::pbj_lua_pushnative(self.state, id) };
    }

    /// Pushes the message handler that notes where an error was raised.
    pub fn push_error_handler(&mut self) {
        self.room();
        // SAFETY: see `new`; there is room.
        unsafe { ffi::pbj_lua_pusherrorhandler(self.state) };
    }

    /// Pushes the table of globals.
    pub fn push_globals(&mut self) {
        self.room();
        // SAFETY: see `new`; there is room.
        unsafe { ffi::lua_pushvalue(self.state, ffi::GLOBALS) };
    }

    /// Makes the table on top the table of globals.
    pub fn replace_globals(&mut self) {
        self.table_at(-1);
        // SAFETY: see `new`; a table is on top.
        unsafe { ffi::lua_replace(self.state, ffi::GLOBALS) };
    }

    /// Pushes a new table with room for so many elements.
    pub fn new_table(&mut self, array: usize, fields: usize) {
        self.room();
        // A wish, not a promise: what is asked for comes from outside.
        let room = |count: usize| c_int::try_from(count.min(1 << 16)).unwrap_or(0);
        // SAFETY: see `new`; there is room.
        unsafe { ffi::lua_createtable(self.state, room(array), room(fields)) };
    }

    /// Replaces the key on top with its value in the table at `index`.
    pub fn get(&mut self, index: i32) {
        let index = self.table_at(index);
        self.at(-1);
        // SAFETY: see `new`; a table is there, and a key is on top.
        unsafe { ffi::lua_rawget(self.state, index) };
    }

    /// Pushes the field of the table at `index`; returns what it is.
    pub fn get_field(&mut self, index: i32, name: &[u8]) -> Kind {
        // SAFETY: see `new`; table and room are checked there, and the name is copied.
        let kind =
            unsafe { ffi::pbj_lua_getfield(self.state, index, name.as_ptr().cast::<c_char>(), name.len()) };
        full(kind);
        Kind::numbered(kind)
    }

    /// Pushes the element of the table at `index`; returns what it is.
    pub fn get_element(&mut self, index: i32, number: i32) -> Kind {
        // SAFETY: see `new`; table and room are checked there.
        let kind = unsafe { ffi::pbj_lua_getelement(self.state, index, number) };
        full(kind);
        Kind::numbered(kind)
    }

    /// Sets the key below the top to the value on top, in the table at `index`, and takes both; says whether a table
    /// can have that key (not nil, not NaN) and the table can be written.
    pub fn set(&mut self, index: i32) -> bool {
        // SAFETY: see `new`; table, key and value are checked there.
        let set = unsafe { ffi::pbj_lua_setpair(self.state, index) };
        full(set);
        set > 0
    }

    /// Sets a field of the table at `index` to the value on top, and takes it.
    pub fn set_field(&mut self, index: i32, name: &[u8]) {
        let index = self.table_at(index);
        self.push_bytes(name);
        self.insert(-2);
        self.set(index);
    }

    /// Sets an element of the table at `index` to the value on top, and takes it.
    pub fn set_element(&mut self, index: i32, number: i32) {
        // SAFETY: see `new`; table and value are checked there.
        full(unsafe { ffi::pbj_lua_setelement(self.state, index, number) });
    }

    /// Pushes key and value of the first entry of the table at `index` from a position on; returns the position behind
    /// it. Positions begin at 0; the table must not change meanwhile, or entries may be skipped or seen twice.
    pub fn next(&mut self, index: i32, position: i32) -> Option<i32> {
        // SAFETY: see `new`; table and room are checked there, and any position is safe.
        let next = unsafe { ffi::pbj_lua_next(self.state, index, position) };
        full(next);
        (next > 0).then_some(next)
    }

    /// Pushes the metatable of the value at `index`, if it has one.
    pub fn get_metatable(&mut self, index: i32) -> bool {
        let index = self.at(index);
        self.room();
        // SAFETY: see `new`; the index was checked, and there is room.
        unsafe { ffi::lua_getmetatable(self.state, index) != 0 }
    }

    /// Makes the table on top the metatable of the table at `index`, and takes it.
    pub fn set_metatable(&mut self, index: i32) {
        let index = self.table_at(index);
        self.table_at(-1);
        if self.is_readonly(index) {
            return self.pop(1);
        }
        // SAFETY: see `new`; both are tables, and the first can be written.
        unsafe { ffi::lua_setmetatable(self.state, index) };
    }

    /// Forbids or allows changes of the table at `index`.
    pub fn set_readonly(&mut self, index: i32, readonly: bool) {
        let index = self.table_at(index);
        // SAFETY: see `new`; a table is there.
        unsafe { ffi::lua_setreadonly(self.state, index, c_int::from(readonly)) };
    }

    /// Whether the value at `index` is a table that cannot be changed.
    pub fn is_readonly(&self, index: i32) -> bool {
        let index = self.at(index);
        // SAFETY: see `new`; the index was checked.
        unsafe { ffi::lua_isreadonly(self.state, index) != 0 }
    }

    /// Takes the value on top and keeps it.
    pub fn keep(&mut self) -> Ref {
        self.at(-1);
        // SAFETY: see `new`; a value is on top, and the registry can always be written.
        Ref(unsafe { ffi::luaL_ref(self.state, ffi::REGISTRY) })
    }

    /// Pushes a value that is kept.
    pub fn push_kept(&mut self, kept: &Ref) {
        self.room();
        // SAFETY: see `new`; there is room, and the registry is a table.
        unsafe { ffi::lua_rawgeti(self.state, ffi::REGISTRY, kept.0) };
    }

    /// Keeps a value no longer.
    #[expect(clippy::needless_pass_by_value, reason = "nobody may use it afterwards")]
    pub fn release(&mut self, kept: Ref) {
        // SAFETY: see `new`; the registry can always be written.
        unsafe { ffi::luaL_unref(self.state, ffi::REGISTRY, kept.0) };
    }

    /// Bytes taken by the interpreter.
    pub fn memory(&self) -> usize {
        self.account().used
    }

    /// Collects all garbage.
    pub fn collect(&mut self) {
        // SAFETY: see `new`; there are no finalizers that could raise.
        unsafe { ffi::lua_gc(self.state, ffi::GC_COLLECT, 0) };
    }

    /// Collects some garbage; says whether a cycle ended.
    pub fn collect_some(&mut self, size: i32) -> bool {
        // SAFETY: see `new`; there are no finalizers that could raise.
        unsafe { ffi::lua_gc(self.state, ffi::GC_STEP, size) != 0 }
    }

    /// Pushes an error that is a plain text; for `return Err(stack.raise(…))`.
    pub fn raise(&mut self, text: &[u8]) -> Raised {
        // The values of a function that fails are of no use to anybody, and without them there is room.
        self.truncate(0);
        self.push_bytes(text);
        Raised
    }
}

impl Stack<'_> {
    /// Whether a value is a function.
    pub fn is_function(&self, index: i32) -> bool {
        self.kind(index) == Kind::Function
    }

    /// Replaces the value at `index` with the one on top, and takes that.
    pub fn replace(&mut self, index: i32) {
        let index = self.at(index);
        // SAFETY: see `new`; the index was checked.
        unsafe { ffi::lua_replace(self.state, index) };
    }

    /// Pushes a function of ours with a value of its own, which is taken from the top.
    pub fn push_native_with_value(&mut self, id: i32) {
        self.at(-1);
        self.room();
        // SAFETY: see `new`; a value is on top, and there is room.
        unsafe { ffi::pbj_lua_pushowner(self.state, id) };
    }

    /// Pushes the value that belongs to the function of ours that runs; nil if none does.
    pub fn push_own_value(&mut self) {
        self.room();
        // SAFETY: see `new`; there is room. What is not there reads as nil.
        unsafe { ffi::pbj_lua_pushown(self.state) };
    }

    /// Bytes that may be taken in all; `None` without a limit.
    pub fn limit(&self) -> Option<usize> {
        let limit = self.account().limit;
        (limit > 0).then_some(limit)
    }

    /// Pushes an error with the place of the caller before it: `user_script:1: text`.
    pub fn raise_here(&mut self, text: &[u8]) -> Raised {
        self.truncate(0);
        self.room_for(4);
        // SAFETY: see `new`; there is room. The place is read from the call stack.
        unsafe { ffi::pbj_lua_pushwhere(self.state, 1) };
        let place = self.bytes(-1).unwrap_or_default().to_vec();
        self.raise(&[&place, text].concat())
    }

    /// Pushes the error of an argument that is wrong: `bad argument #1 to 'name' (why)`.
    pub fn argument_error(&mut self, argument: i32, why: &str) -> Raised {
        let why = CString::new(why).unwrap_or_default();
        self.truncate(0);
        self.room_for(4);
        // SAFETY: see `new`; there is room. The text is copied.
        unsafe { ffi::pbj_lua_pushargerror(self.state, argument, why.as_ptr()) };
        Raised
    }

    /// Pushes the error of an argument of the wrong type.
    pub fn type_error(&mut self, argument: i32, expected: &str) -> Raised {
        let found = self.kind(argument).name();
        self.argument_error(argument, &format!("{expected} expected, got {found}"))
    }

    /// An argument that must be a number, or read as one.
    ///
    /// # Errors
    /// It is none.
    pub fn check_number(&mut self, argument: i32) -> Result<f64, Raised> {
        self.number(argument).ok_or_else(|| self.type_error(argument, "number"))
    }

    /// An argument that must be a number, as the C of Lua makes an integer of it: cut, and wrapped to 64 bits.
    ///
    /// # Errors
    /// It is none.
    pub fn check_integer(&mut self, argument: i32) -> Result<i64, Raised> {
        self.check_number(argument).map(to_integer)
    }

    /// An argument that must be a number, as the C of Lua makes an `int` of it.
    ///
    /// # Errors
    /// It is none.
    pub fn check_int(&mut self, argument: i32) -> Result<i32, Raised> {
        self.check_integer(argument).map(|value| value as i32)
    }

    /// An argument that must be a string or a number.
    ///
    /// # Errors
    /// It is neither.
    pub fn check_text(&mut self, argument: i32) -> Result<Cow<'_, [u8]>, Raised> {
        if matches!(self.kind(argument), Kind::String | Kind::Number) {
            return Ok(self.text(argument).unwrap_or_default());
        }
        Err(self.type_error(argument, "string"))
    }
}

/// Reads a number at the beginning of a text as `strtod` of C does; returns it and how many bytes belong to it.
pub fn read_number(text: &[u8]) -> Option<(f64, usize)> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._()".contains(byte);
    let len = text.iter().position(|byte| !is_part(byte)).unwrap_or(text.len());
    let copy = CString::new(&text[..len]).ok()?;
    let mut value = 0.0;
    // SAFETY: the copy ends with a zero, and the value is ours.
    let used = unsafe { ffi::pbj_lua_readnumber(copy.as_ptr(), &raw mut value) };
    (used > 0).then_some((value, used))
}

/// A number as the C of Lua makes a 64-bit integer of it; what does not fit becomes the smallest one, as x86 does.
pub fn to_integer(value: f64) -> i64 {
    // 2^63 is a float, its predecessor as an integer is not.
    let limit = (1_u64 << 63) as f64;
    if (-limit..limit).contains(&value) { value as i64 } else { i64::MIN }
}

/// Stops at what the bridge refused: there is no such value or table, or no room for another value.
fn full(answer: c_int) {
    assert!(answer >= 0, "no such value, or the stack of Lua is full");
}

/// A number as `%.{precision}g` of C prints it.
pub fn format_number(value: f64, precision: i32) -> Vec<u8> {
    let mut buffer = [0_u8; 64];
    // SAFETY: the buffer is as long as said; 17 digits, sign, point and exponent fit well.
    let len = unsafe {
        ffi::pbj_lua_format(buffer.as_mut_ptr().cast(), buffer.len(), precision.clamp(1, 17), value)
    };
    buffer[..usize::try_from(len).unwrap_or(0).min(buffer.len())].to_vec()
}
