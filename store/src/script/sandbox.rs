//! An interpreter as scripts find it: which globals there are, and that nothing shared can be changed.

use pbj_lua::{Kind, Lua, Raised, Ref, Stack};

use super::native::{Context, Functions, Native, Tools, number};
use super::{api, bit, cjson, cmsgpack, math, pack};

/// Globals of the libraries of Lua that scripts can see; everything else is taken away.
const ALLOWED: &[&[u8]] = &[
    b"string",
    b"math",
    b"table",
    b"xpcall",
    b"tostring",
    b"setmetatable",
    b"next",
    b"assert",
    b"tonumber",
    b"rawequal",
    b"collectgarbage",
    b"getmetatable",
    b"rawset",
    b"pcall",
    b"coroutine",
    b"type",
    b"_G",
    b"select",
    b"unpack",
    b"gcinfo",
    b"pairs",
    b"rawget",
    b"loadstring",
    b"ipairs",
    b"_VERSION",
    b"load",
    b"error",
];
/// Globals that are there only with `lua-enable-deprecated-api`.
const DEPRECATED: &[&[u8]] = &[b"newproxy", b"setfenv", b"getfenv"];
/// Tables that are protected at most, one within the other; a bound of a recursion over tables of ours.
const DEPTH_MAX: u32 = 16;

/// Functions of the base.
pub(super) static BASE: Functions =
    &[("nonexistent", nonexistent as Native), ("collectgarbage", collectgarbage)];

/// An interpreter with everything that scripts find in it.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) lua: Lua,
    pub(super) tools: Tools,
    /// The message handler.
    pub(super) handler: Ref,
    /// The metatable of the globals that libraries are loaded with, and the two tables that its `__index` can be.
    pub(super) stages: Option<Stages>,
    /// Runs since garbage was collected between scripts.
    pub(super) runs: u32,
}

/// What code of functions sees: while its library is loaded, and when it is called.
#[derive(Debug)]
pub(super) struct Stages {
    pub(super) metatable: Ref,
    pub(super) loading: Ref,
    pub(super) running: Ref,
}

/// Which scripts an interpreter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Eval,
    Functions,
}

impl Sandbox {
    /// Makes an interpreter. Nothing if there is no memory for it.
    pub(super) fn new(purpose: Purpose, limit: usize, deprecated: bool) -> Option<Self> {
        let mut lua = Lua::new(limit)?;
        let mut stack = lua.stack();
        take_away_globals(&mut stack, deprecated);
        add_globals(&mut stack);
        if purpose == Purpose::Eval {
            api::add_eval_functions(&mut stack);
        }
        stack.push_error_handler();
        let handler = stack.keep();
        let stages = match purpose {
            Purpose::Eval => {
                stack.push_globals();
                stack.push_error_handler();
                stack.set_field(-2, b"__redis__err__handler");
                refuse_unknown_names(&mut stack);
                protect(&mut stack, DEPTH_MAX);
                stack.pop(1);
                None
            }
            Purpose::Functions => Some(make_stages(&mut stack)),
        };
        protect_basic_types(&mut stack);
        let tools = Tools::default();
        Some(Self { lua, tools, handler, stages, runs: 0 })
    }

    /// Bytes taken.
    pub(super) fn memory(&self) -> usize {
        self.lua.memory()
    }

    /// Compiles a program and keeps it.
    ///
    /// # Errors
    /// The message of the compiler.
    pub(super) fn compile(&mut self, text: &[u8], name: &str) -> Result<Ref, Vec<u8>> {
        let result = self.lua.load(text, name);
        let mut stack = self.lua.stack();
        match result {
            Ok(()) => Ok(stack.keep()),
            Err(_) => {
                let message = stack.text(-1).unwrap_or_default().into_owned();
                stack.pop(1);
                Err(message)
            }
        }
    }
}

/// Leaves the globals that are allowed, and what replaces some of them.
fn take_away_globals(stack: &mut Stack<'_>, deprecated: bool) {
    stack.push_globals();
    let mut names = Vec::new();
    let mut position = 0;
    while let Some(next) = stack.next(-1, position) {
        position = next;
        names.extend(stack.bytes(-2).map(<[u8]>::to_vec));
        stack.pop(2);
    }
    for name in names {
        let allowed = ALLOWED.contains(&&*name) || (deprecated && DEPRECATED.contains(&&*name));
        if !allowed {
            stack.push_nil();
            stack.set_field(-2, &name);
        }
    }
    push_function(stack, BASE, "collectgarbage");
    stack.set_field(-2, b"collectgarbage");
    stack.pop(1);
}

/// Pushes a function of ours.
pub(super) fn push_function(stack: &mut Stack<'_>, table: Functions, name: &str) {
    match number(table, name) {
        Some(id) => stack.push_native(id),
        None => stack.push_nil(),
    }
}

/// Sets all functions of a table of ours in the table on top.
pub(super) fn set_functions(stack: &mut Stack<'_>, table: Functions) {
    for (name, _) in table {
        push_function(stack, table, name);
        stack.set_field(-2, name.as_bytes());
    }
}

fn add_globals(stack: &mut Stack<'_>) {
    stack.push_globals();
    for (name, functions) in [
        ("cjson", cjson::FUNCTIONS),
        ("cmsgpack", cmsgpack::FUNCTIONS),
        ("struct", pack::FUNCTIONS),
        ("bit", bit::FUNCTIONS),
    ] {
        stack.new_table(0, functions.len());
        set_functions(stack, functions);
        match name {
            "cjson" => cjson::add_fields(stack),
            "cmsgpack" => cmsgpack::add_fields(stack),
            _ => {}
        }
        stack.set_field(-2, name.as_bytes());
    }
    stack.get_field(-1, b"math");
    set_functions(stack, math::FUNCTIONS);
    stack.pop(1);
    stack.new_table(0, 32);
    api::add_fields(stack);
    stack.set_field(-2, b"redis");
    stack.pop(1);
}

/// Makes the table on top raise an error when a name is read that it does not have.
pub(super) fn refuse_unknown_names(stack: &mut Stack<'_>) {
    stack.new_table(0, 1);
    push_function(stack, BASE, "nonexistent");
    stack.set_field(-2, b"__index");
    stack.set_metatable(-2);
}

/// Makes the table on top read-only, and all tables and metatables within.
pub(super) fn protect(stack: &mut Stack<'_>, depth: u32) {
    if depth == 0 || stack.is_readonly(-1) || !stack.reserve(8) {
        return;
    }
    stack.set_readonly(-1, true);
    let mut position = 0;
    while let Some(next) = stack.next(-1, position) {
        position = next;
        if stack.kind(-1) == Kind::Table {
            protect(stack, depth - 1);
        }
        stack.pop(2);
    }
    if stack.get_metatable(-1) {
        protect(stack, depth - 1);
        stack.pop(1);
    }
}

/// Strings have a metatable, which all scripts share.
fn protect_basic_types(stack: &mut Stack<'_>) {
    stack.push_bytes(b"");
    if stack.get_metatable(-1) {
        protect(stack, DEPTH_MAX);
        stack.pop(1);
    }
    stack.pop(1);
}

/// The globals of functions are an empty table; what they see is behind its metatable, and differs between the loading
/// of a library and the call of a function.
fn make_stages(stack: &mut Stack<'_>) -> Stages {
    stack.new_table(0, 1);
    stack.new_table(0, 8);
    set_functions(stack, api::LIBRARY_FUNCTIONS);
    api::add_constants(stack);
    refuse_unknown_names(stack);
    stack.set_field(-2, b"redis");
    refuse_unknown_names(stack);
    protect(stack, DEPTH_MAX);
    let loading = stack.keep();
    stack.push_globals();
    refuse_unknown_names(stack);
    protect(stack, DEPTH_MAX);
    let running = stack.keep();
    stack.new_table(0, 0);
    stack.new_table(0, 1);
    stack.push_kept(&running);
    stack.set_field(-2, b"__index");
    stack.set_readonly(-1, true);
    stack.push_copy(-1);
    let metatable = stack.keep();
    stack.set_metatable(-2);
    stack.set_readonly(-1, true);
    stack.replace_globals();
    Stages { metatable, loading, running }
}

impl Sandbox {
    /// Lets code see what it may see while a library is loaded, or when a function is called.
    pub(super) fn set_stage(&mut self, loading: bool) {
        let Some(stages) = &self.stages else { return };
        let mut stack = self.lua.stack();
        stack.push_kept(&stages.metatable);
        stack.set_readonly(-1, false);
        stack.push_kept(if loading { &stages.loading } else { &stages.running });
        stack.set_field(-2, b"__index");
        stack.set_readonly(-1, true);
        stack.pop(1);
    }
}

/// A global was read that is not there.
fn nonexistent(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    if stack.len() != 2 {
        return Err(stack.raise_here(b"Wrong number of arguments to luaProtectedTableError"));
    }
    let Some(name) = stack.text(2).map(std::borrow::Cow::into_owned) else {
        let text = b"Second argument to luaProtectedTableError must be a string or number";
        return Err(stack.raise_here(text));
    };
    // The text ends where C would let it end.
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    Err(stack.raise_here(&[b"Script attempted to access nonexistent global variable '", name, b"'"].concat()))
}

/// `collectgarbage`, without what would change the collector for the scripts that come later.
fn collectgarbage(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    let option = match stack.kind(1) {
        Kind::None | Kind::Nil => b"collect".to_vec(),
        _ => stack.check_text(1)?.into_owned(),
    };
    let data = match stack.kind(2) {
        Kind::None | Kind::Nil => 0,
        _ => stack.check_int(2)?,
    };
    match &*option {
        b"collect" => {
            stack.collect();
            stack.push_number(0.0);
        }
        b"stop" | b"restart" => stack.push_number(0.0),
        b"count" => {
            let bytes = stack.memory();
            stack.push_number(bytes as f64 / 1024.0);
        }
        b"step" => {
            let ended = stack.collect_some(data.clamp(0, 1 << 20));
            stack.push_boolean(ended);
        }
        b"setpause" | b"setstepmul" => stack.push_number(200.0),
        _ => {
            let text = format!("invalid option '{}'", String::from_utf8_lossy(&option));
            return Err(stack.argument_error(1, &text));
        }
    }
    Ok(1)
}
