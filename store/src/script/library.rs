//! Libraries of functions: FUNCTION LOAD and what belongs to it.
//!
//! Law: a library is its text. Loading runs the text once, which registers functions; whatever goes wrong leaves the
//! libraries as they were.

use std::collections::BTreeMap;

use pbj_lua::{Kind, Raised, Ref, Stack, Verdict};

use super::Scripting;
use super::api::raise_error;
use super::call::Call;
use super::flags::{ScriptFlags, shebang};
use super::native::{Context, Task};
use super::run::{NO_TEXT, Prepared, Room, count_keys, push_array, ready};
use super::sandbox::{Purpose, Sandbox};
use crate::command::Fault;
use crate::engine::{Engine, LogLevel};
use crate::limits::{LIBRARY_FUNCTIONS_MAX, LOAD_INTERRUPTS_MAX};
use crate::resp::reply::Reply;

const BAD_NAME: &str = "Library names can only contain letters, numbers, or underscores(_) and must be at least one \
                        character long";

/// A registered function.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: Vec<u8>,
    pub(crate) description: Option<Vec<u8>>,
    pub(crate) flags: ScriptFlags,
    callback: Ref,
}

/// A library.
#[derive(Debug)]
pub(crate) struct Library {
    pub(crate) name: Vec<u8>,
    /// Its text, with the first line that names it.
    pub(crate) code: Box<[u8]>,
    pub(crate) functions: Vec<Function>,
}

/// All libraries.
#[derive(Debug, Default)]
pub(crate) struct Libraries {
    by_name: BTreeMap<Vec<u8>, Library>,
    /// Library and place of each function, by its name in lower case: names are looked up in any case.
    functions: BTreeMap<Vec<u8>, (Vec<u8>, usize)>,
}

impl Libraries {
    /// All libraries, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Library> {
        self.by_name.values()
    }

    /// How many libraries there are.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// How many functions there are.
    pub(crate) fn function_count(&self) -> usize {
        self.functions.len()
    }

    /// Bytes of all texts.
    pub(crate) fn bytes(&self) -> usize {
        self.iter().map(|library| library.code.len()).sum()
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<&Function> {
        let (library, place) = self.functions.get(&name.to_ascii_lowercase())?;
        self.by_name.get(library)?.functions.get(*place)
    }

    fn link(&mut self, library: Library) {
        for (place, function) in library.functions.iter().enumerate() {
            let name = function.name.to_ascii_lowercase();
            self.functions.entry(name).or_insert_with(|| (library.name.clone(), place));
        }
        self.by_name.insert(library.name.clone(), library);
    }

    fn unlink(&mut self, name: &[u8]) -> Option<Library> {
        let library = self.by_name.remove(name)?;
        self.functions.retain(|_, (of, _)| *of != library.name);
        Some(library)
    }

    /// The first function of a library that is here already.
    fn clash<'l>(&self, library: &'l Library) -> Option<&'l Function> {
        library
            .functions
            .iter()
            .find(|function| self.functions.contains_key(&function.name.to_ascii_lowercase()))
    }
}

/// What becomes of the libraries that are there when others are restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestorePolicy {
    /// They go.
    Flush,
    /// They stay, and must not clash.
    Append,
    /// Those of the same names are replaced.
    Replace,
}

/// The loading of a library, as its code sees it.
pub(super) struct Loading<'a> {
    functions: Vec<Function>,
    engine: &'a mut Engine,
    interrupts: u32,
    /// The log is repeated: what was loaded once is loaded again.
    trusted: bool,
}

impl Loading<'_> {
    /// A library has to register its functions and be done.
    pub(super) fn interrupt(&mut self) -> Verdict {
        self.interrupts += 1;
        if self.interrupts > LOAD_INTERRUPTS_MAX && !self.trusted {
            return Verdict::End(b"ERR FUNCTION LOAD timeout".to_vec());
        }
        Verdict::GoOn
    }

    pub(super) fn note(&mut self, level: LogLevel, text: &[u8]) {
        if level >= LogLevel::named(self.engine.config().text("loglevel")) {
            self.engine.host.note(level, text);
        }
    }

    fn register(&mut self, function: Function) -> Result<(), (&'static str, Function)> {
        if !is_name(&function.name) {
            return Err((BAD_NAME, function));
        }
        if self.functions.iter().any(|known| known.name == function.name) {
            return Err(("Function already exists in the library", function));
        }
        if self.functions.len() >= LIBRARY_FUNCTIONS_MAX {
            return Err(("Too many functions in the library", function));
        }
        self.functions.push(function);
        Ok(())
    }
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `redis.register_function`.
pub(super) fn register_function(context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    let Some(loading) = context.loading() else {
        let text = b"redis.register_function can only be called on FUNCTION LOAD command";
        return Err(raise_error(stack, text));
    };
    let function = match stack.len() {
        1 => read_named(stack),
        2 => read_positional(stack),
        _ => Err("wrong number of arguments to redis.register_function"),
    };
    let registered = function.map_err(str::as_bytes).map(|function| loading.register(function));
    match registered {
        Ok(Ok(())) => Ok(0),
        Ok(Err((text, function))) => {
            stack.release(function.callback);
            Err(raise_error(stack, text.as_bytes()))
        }
        Err(text) => Err(raise_error(stack, text)),
    }
}

fn read_positional(stack: &mut Stack<'_>) -> Result<Function, &'static str> {
    let Some(name) = owned_text(stack, 1) else {
        return Err("first argument to redis.register_function must be a string");
    };
    if !stack.is_function(2) {
        return Err("second argument to redis.register_function must be a function");
    }
    stack.push_copy(2);
    let callback = stack.keep();
    Ok(Function { name, description: None, flags: ScriptFlags::default(), callback })
}

fn owned_text(stack: &Stack<'_>, index: i32) -> Option<Vec<u8>> {
    stack.text(index).map(std::borrow::Cow::into_owned)
}

/// The arguments of a call with one table.
#[derive(Default)]
struct Named {
    name: Option<Vec<u8>>,
    description: Option<Vec<u8>>,
    callback: Option<Ref>,
    flags: ScriptFlags,
}

fn read_named(stack: &mut Stack<'_>) -> Result<Function, &'static str> {
    if stack.kind(1) != Kind::Table {
        return Err(
            "calling redis.register_function with a single argument is only applicable to Lua table (representing \
             named arguments).",
        );
    }
    let mut named = Named::default();
    let mut position = 0;
    let mut read = Ok(());
    while let Some(next) = stack.next(1, position) {
        position = next;
        read = read_one(stack, &mut named);
        stack.truncate(1);
        if read.is_err() {
            break;
        }
    }
    let missing = match (&read, &named) {
        (Err(text), _) => Some(*text),
        (Ok(()), Named { name: None, .. }) => {
            Some("redis.register_function must get a function name argument")
        }
        (Ok(()), Named { callback: None, .. }) => {
            Some("redis.register_function must get a callback argument")
        }
        _ => None,
    };
    match (missing, named) {
        (None, Named { name: Some(name), description, callback: Some(callback), flags }) => {
            Ok(Function { name, description, flags, callback })
        }
        (missing, Named { callback, .. }) => {
            if let Some(callback) = callback {
                stack.release(callback);
            }
            Err(missing.unwrap_or("redis.register_function must get a callback argument"))
        }
    }
}

/// Reads one named argument: its name is below the top, its value on top.
fn read_one(stack: &mut Stack<'_>, named: &mut Named) -> Result<(), &'static str> {
    let Some(name) = owned_text(stack, -2) else {
        return Err("named argument key given to redis.register_function is not a string");
    };
    match &*name.to_ascii_lowercase() {
        b"function_name" => {
            named.name = owned_text(stack, -1);
            named
                .name
                .as_ref()
                .map(|_| ())
                .ok_or("function_name argument given to redis.register_function must be a string")
        }
        b"description" => {
            named.description = owned_text(stack, -1);
            named
                .description
                .as_ref()
                .map(|_| ())
                .ok_or("description argument given to redis.register_function must be a string")
        }
        b"callback" => {
            if !stack.is_function(-1) {
                return Err("callback argument given to redis.register_function must be a function");
            }
            stack.push_copy(-1);
            let kept = stack.keep();
            if let Some(earlier) = named.callback.replace(kept) {
                stack.release(earlier);
            }
            Ok(())
        }
        b"flags" => {
            if stack.kind(-1) != Kind::Table {
                return Err(
                    "flags argument to redis.register_function must be a table representing function flags",
                );
            }
            read_flags(stack).map(|flags| named.flags = flags).ok_or("unknown flag given")
        }
        _ => Err("unknown argument given to redis.register_function"),
    }
}

/// Reads the names of flags in the table on top.
fn read_flags(stack: &mut Stack<'_>) -> Option<ScriptFlags> {
    let mut flags = ScriptFlags::default();
    let mut number = 1;
    while stack.get_element(-1, number) != Kind::Nil {
        let name = owned_text(stack, -1)?;
        stack.pop(1);
        if !flags.add(&name, true) {
            return None;
        }
        number += 1;
    }
    stack.pop(1);
    Some(flags)
}

/// What the first line of a library says.
struct Metadata<'a> {
    name: Vec<u8>,
    program: &'a [u8],
}

fn read_metadata(code: &[u8]) -> Result<Metadata<'_>, Vec<u8>> {
    if !code.starts_with(b"#!") {
        return Err(b"Missing library metadata".to_vec());
    }
    let invalid = || b"Invalid library metadata".to_vec();
    let found = shebang(code).ok_or_else(invalid)?;
    let (engine, options) = found.words.split_first().ok_or_else(invalid)?;
    let mut name = None;
    for option in options {
        let is_name = option.len() >= 5 && option[..5].eq_ignore_ascii_case(b"name=");
        if !is_name {
            return Err([b"Invalid metadata value given: ", &**option].concat());
        }
        if name.replace(option[5..].to_vec()).is_some() {
            return Err(b"Invalid metadata value, name argument was given multiple times".to_vec());
        }
    }
    let name = name.ok_or_else(|| b"Library name was not given".to_vec())?;
    if !is_name(&name) {
        return Err(BAD_NAME.into());
    }
    let engine = &engine[2..];
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err([b"Engine '", engine, b"' not found"].concat());
    }
    Ok(Metadata { name, program: found.rest })
}

impl Engine {
    /// Loads a library; returns its name.
    ///
    /// # Errors
    /// It is none, or is there already; nothing has changed then.
    pub(crate) fn load_library(
        &mut self,
        code: &[u8],
        replace: bool,
        trusted: bool,
    ) -> Result<Vec<u8>, Fault> {
        self.with_scripting(|engine, scripting| {
            let Metadata { name, .. } = read_metadata(code).map_err(Fault::Raw)?;
            let known = scripting.libraries.by_name.contains_key(&name);
            if known && !replace {
                return Err(Fault::Raw([b"Library '", &*name, b"' already exists"].concat()));
            }
            let library = engine.make_library(scripting, code, trusted)?;
            let old = scripting.libraries.unlink(&name);
            if let Some(clash) = scripting.libraries.clash(&library) {
                let text = [b"Function ", &*clash.name, b" already exists"].concat();
                forget(&mut scripting.functions, [library]);
                old.into_iter().for_each(|old| scripting.libraries.link(old));
                return Err(Fault::Raw(text));
            }
            forget(&mut scripting.functions, old);
            scripting.libraries.link(library);
            Ok(name)
        })
    }

    fn with_scripting<R>(
        &mut self,
        work: impl FnOnce(&mut Self, &mut Scripting) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let Some(mut scripting) = self.scripting.take() else {
            return Err(Fault::other("not while a script runs"));
        };
        let result = work(self, &mut scripting);
        self.scripting = Some(scripting);
        result
    }

    /// Runs the code of a library, and returns what it registered.
    fn make_library(
        &mut self,
        scripting: &mut Scripting,
        code: &[u8],
        trusted: bool,
    ) -> Result<Library, Fault> {
        let Metadata { name, program } = read_metadata(code).map_err(Fault::Raw)?;
        let limit = self.script_memory_limit();
        let deprecated = self.config().script_deprecated_api();
        let sandbox = ready(&mut scripting.functions, Purpose::Functions, limit, deprecated)?;
        sandbox.set_stage(true);
        let result = self.run_library(sandbox, &mut scripting.random, program, trusted);
        sandbox.set_stage(false);
        let functions = result.map_err(Fault::Raw)?;
        if functions.is_empty() {
            return Err(Fault::other("No functions registered"));
        }
        Ok(Library { name, code: code.into(), functions })
    }

    fn run_library(
        &mut self,
        sandbox: &mut Sandbox,
        random: &mut super::math::Random,
        program: &[u8],
        trusted: bool,
    ) -> Result<Vec<Function>, Vec<u8>> {
        let function = sandbox
            .compile(program, "@user_function")
            .map_err(|message| [b"Error compiling function: ", &*message].concat())?;
        let mut stack = sandbox.lua.stack();
        stack.push_kept(&function);
        stack.release(function);
        let loading = Loading { functions: Vec::new(), engine: self, interrupts: 0, trusted };
        let mut context = Context { task: Task::Load(loading), tools: &mut sandbox.tools, random };
        let result = sandbox.lua.call(&mut context, 0, 0, false);
        let functions = match context.task {
            Task::Load(loading) => loading.functions,
            Task::Script(_) => Vec::new(),
        };
        let mut stack = sandbox.lua.stack();
        let Err(_) = result else {
            stack.truncate(0);
            return Ok(functions);
        };
        functions.into_iter().for_each(|function| stack.release(function.callback));
        let message = match stack.kind(-1) {
            Kind::Table => {
                stack.get_field(-1, b"err");
                owned_text(&stack, -1).unwrap_or_else(|| NO_TEXT.to_vec())
            }
            _ => owned_text(&stack, -1).map_or_else(|| NO_TEXT.to_vec(), |text| [b"ERR ", &*text].concat()),
        };
        stack.truncate(0);
        Err([b"Error registering functions: ", &*message].concat())
    }

    /// Deletes a library.
    ///
    /// # Errors
    /// There is none of this name.
    pub(crate) fn delete_library(&mut self, name: &[u8]) -> Result<(), Fault> {
        self.with_scripting(|_, scripting| {
            let library =
                scripting.libraries.unlink(name).ok_or_else(|| Fault::other("Library not found"))?;
            forget(&mut scripting.functions, [library]);
            Ok(())
        })
    }

    /// Deletes all libraries, and their interpreter with them.
    pub(crate) fn flush_functions(&mut self) {
        if let Some(scripting) = &mut self.scripting {
            scripting.libraries = Libraries::default();
            scripting.functions = None;
        }
    }

    /// Loads several libraries, all or none.
    ///
    /// # Errors
    /// One of them is none, or clashes; nothing has changed then.
    pub(crate) fn restore_libraries(
        &mut self,
        codes: &[Vec<u8>],
        policy: RestorePolicy,
        trusted: bool,
    ) -> Result<(), Fault> {
        self.with_scripting(|engine, scripting| {
            let mut new = Libraries::default();
            let made = codes.iter().try_for_each(|code| {
                let library = engine.make_library(scripting, code, trusted)?;
                let text = if new.by_name.contains_key(&library.name) {
                    Some([b"Library '", &*library.name, b"' already exists"].concat())
                } else {
                    new.clash(&library).map(|clash| [b"Function ", &*clash.name, b" already exists"].concat())
                };
                if let Some(text) = text {
                    forget(&mut scripting.functions, [library]);
                    return Err(Fault::Raw(text));
                }
                new.link(library);
                Ok(())
            });
            let joined = made.and_then(|()| check_join(&scripting.libraries, &new, policy));
            if let Err(fault) = joined {
                forget(&mut scripting.functions, new.by_name.into_values());
                return Err(fault);
            }
            let gone: Vec<Vec<u8>> = match policy {
                RestorePolicy::Flush => scripting.libraries.by_name.keys().cloned().collect(),
                _ => new.by_name.keys().cloned().collect(),
            };
            let gone: Vec<Library> =
                gone.iter().filter_map(|name| scripting.libraries.unlink(name)).collect();
            forget(&mut scripting.functions, gone);
            new.by_name.into_values().for_each(|library| scripting.libraries.link(library));
            Ok(())
        })
    }

    /// How many libraries and functions there are.
    pub(crate) fn function_counts(&self) -> (usize, usize) {
        match (&self.scripting, &self.running) {
            (Some(scripting), _) => (scripting.libraries.len(), scripting.libraries.function_count()),
            (None, Some(running)) => running.counts,
            (None, None) => (0, 0),
        }
    }

    /// Calls a function for a client.
    pub(super) fn call_function(
        &mut self,
        scripting: &mut Scripting,
        call: &Call<'_>,
        name: &[u8],
        reply: &mut Reply<'_>,
    ) -> Result<(), Fault> {
        let Scripting { functions, libraries, random, scratch, allow_all, .. } = scripting;
        let (Some(function), Some(sandbox)) = (libraries.find(name), functions) else {
            return Err(Fault::other("Function not found"));
        };
        let keys = count_keys(call.args, true)?;
        self.check_script(function.flags, call.read_only)?;
        sandbox.lua.set_limit(self.script_memory_limit());
        let mut stack = sandbox.lua.stack();
        stack.push_kept(&sandbox.handler);
        stack.push_kept(&function.callback);
        push_array(&mut stack, &call.args[3..3 + keys]);
        push_array(&mut stack, &call.args[3 + keys..]);
        let prepared = Prepared {
            call,
            name: &function.name,
            flags: function.flags,
            room: Room {
                scratch: std::mem::take(scratch),
                allow_all: *allow_all,
                counts: (libraries.len(), libraries.function_count()),
            },
            random,
        };
        *scratch = self.finish_function(sandbox, prepared, reply);
        Ok(())
    }

    /// Repeats what a log says about functions.
    pub(super) fn replay_function(&mut self, args: &[&[u8]]) -> Result<(), Fault> {
        let word = args.get(1).map(|word| word.to_ascii_lowercase()).unwrap_or_default();
        match (&*word, args.get(2..).unwrap_or_default()) {
            (b"load", [code]) => self.load_library(code, false, true).map(|_| ()),
            (b"load", [_, code]) => self.load_library(code, true, true).map(|_| ()),
            (b"delete", [name]) => self.delete_library(name),
            (b"flush", _) => {
                self.flush_functions();
                Ok(())
            }
            (b"restore", [payload, policy @ ..]) => {
                let policy = super::dump::policy(policy.first().copied())?;
                let codes = super::dump::read(payload)?;
                self.restore_libraries(&codes, policy, true)
            }
            _ => Err(Fault::other("a log does not hold this command")),
        }
    }
}

/// Whether new libraries can join those that are there.
fn check_join(old: &Libraries, new: &Libraries, policy: RestorePolicy) -> Result<(), Fault> {
    if policy == RestorePolicy::Flush {
        return Ok(());
    }
    if policy == RestorePolicy::Append
        && let Some(name) = new.by_name.keys().find(|name| old.by_name.contains_key(*name))
    {
        return Err(Fault::Raw([b"Library ", &**name, b" already exists"].concat()));
    }
    for function in new.by_name.values().flat_map(|library| &library.functions) {
        let owner = old.functions.get(&function.name.to_ascii_lowercase()).map(|(owner, _)| owner);
        if owner.is_some_and(|owner| !new.by_name.contains_key(owner)) {
            return Err(Fault::Raw([b"Function ", &*function.name, b" already exists"].concat()));
        }
    }
    Ok(())
}

/// Gives the functions of libraries back to the collector.
fn forget(sandbox: &mut Option<Sandbox>, libraries: impl IntoIterator<Item = Library>) {
    let Some(sandbox) = sandbox else { return };
    let mut stack = sandbox.lua.stack();
    for function in libraries.into_iter().flat_map(|library| library.functions) {
        stack.release(function.callback);
    }
}
