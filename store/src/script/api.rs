//! The table `redis` of scripts.

use pbj_lua::{Kind, Raised, Stack};

use super::cache::Digest;
use super::library;
use super::native::{Context, Functions, Native};
use super::run::Refusal;
use super::sandbox::{push_function, set_functions};
use super::to_lua;
use crate::COMPATIBLE_WITH;
use crate::engine::LogLevel;
use crate::number::Digits;
use crate::resp::reply::Protocol;

/// Functions for scripts and functions.
pub(super) static FUNCTIONS: Functions = &[
    ("call", call as Native),
    ("pcall", pcall),
    ("log", log),
    ("setresp", setresp),
    ("sha1hex", sha1hex),
    ("error_reply", error_reply),
    ("status_reply", status_reply),
    ("set_repl", set_repl),
    ("acl_check_cmd", acl_check_cmd),
    ("breakpoint", breakpoint),
    ("debug", debug),
    ("replicate_commands", replicate_commands),
];

/// Those of them that only scripts of EVAL have.
const EVAL_FUNCTIONS: [&str; 3] = ["breakpoint", "debug", "replicate_commands"];

/// Functions for the code of libraries.
pub(super) static LIBRARY_FUNCTIONS: Functions =
    &[("register_function", library::register_function as Native), ("log", log)];

const REPLICATE_LOG: i64 = 1;
const REPLICATE_REPLICAS: i64 = 2;

/// Sets everything in the table on top.
pub(super) fn add_fields(stack: &mut Stack<'_>) {
    set_functions(stack, FUNCTIONS);
    for name in EVAL_FUNCTIONS {
        stack.push_nil();
        stack.set_field(-2, name.as_bytes());
    }
    add_constants(stack);
    for (name, value) in [
        ("REPL_NONE", 0),
        ("REPL_AOF", REPLICATE_LOG),
        ("REPL_SLAVE", REPLICATE_REPLICAS),
        ("REPL_REPLICA", REPLICATE_REPLICAS),
        ("REPL_ALL", REPLICATE_LOG | REPLICATE_REPLICAS),
    ] {
        stack.push_number(value as f64);
        stack.set_field(-2, name.as_bytes());
    }
}

/// Sets levels of the log and the version in the table on top.
pub(super) fn add_constants(stack: &mut Stack<'_>) {
    for (name, value) in [("LOG_DEBUG", 0), ("LOG_VERBOSE", 1), ("LOG_NOTICE", 2), ("LOG_WARNING", 3)] {
        stack.push_number(f64::from(value));
        stack.set_field(-2, name.as_bytes());
    }
    let number = COMPATIBLE_WITH
        .split('.')
        .filter_map(|part| part.parse::<u32>().ok())
        .fold(0, |number, part| number << 8 | part);
    stack.push_number(f64::from(number));
    stack.set_field(-2, b"REDIS_VERSION_NUM");
    stack.push_bytes(COMPATIBLE_WITH.as_bytes());
    stack.set_field(-2, b"REDIS_VERSION");
}

/// Adds what only scripts of EVAL have.
pub(super) fn add_eval_functions(stack: &mut Stack<'_>) {
    stack.push_globals();
    stack.get_field(-1, b"redis");
    for name in EVAL_FUNCTIONS {
        push_function(stack, FUNCTIONS, name);
        stack.set_field(-2, name.as_bytes());
    }
    stack.pop(2);
}

/// Pushes an error of ours as `redis.pcall` returns one, with the class ERR unless the text brings its own (`-CODE …`).
pub(super) fn push_error(stack: &mut Stack<'_>, text: &[u8]) {
    stack.new_table(0, 1);
    stack.push_bytes(&classed(text));
    stack.set_field(-2, b"err");
}

/// As [`push_error`], to be raised.
pub(super) fn raise_error(stack: &mut Stack<'_>, text: &[u8]) -> Raised {
    push_error(stack, text);
    Raised
}

fn classed(text: &[u8]) -> Vec<u8> {
    let Some(rest) = text.strip_prefix(b"-") else { return [b"ERR ", text].concat() };
    let trim = |text: &[u8]| -> Vec<u8> {
        let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let start = text.iter().position(|byte| !is_end(byte)).unwrap_or(text.len());
        let end = text.iter().rposition(|byte| !is_end(byte)).map_or(start, |at| at + 1);
        text[start..end].to_vec()
    };
    match rest.iter().position(|&byte| byte == b' ') {
        Some(at) => [&rest[..at], b" ", &trim(&rest[at + 1..])].concat(),
        None => [b"ERR ", &*trim(rest)].concat(),
    }
}

/// The text of a number among the arguments of a command.
enum NumberText {
    Digits(Digits),
    Text(Vec<u8>),
}

impl NumberText {
    /// Not as Lua prints it, which would lose digits.
    fn of(value: f64) -> Self {
        if value == value.trunc() && value.abs() < 1e15 && !(value == 0.0 && value.is_sign_negative()) {
            return Self::Digits(Digits::of(value as i64));
        }
        Self::Text(pbj_lua::format_number(value, 17))
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Digits(digits) => digits.as_bytes(),
            Self::Text(text) => text,
        }
    }
}

/// The texts of the numbers among the arguments, in order; nothing if there is an argument that is neither a number
/// nor a string.
fn number_texts(stack: &Stack<'_>) -> Option<Vec<NumberText>> {
    let mut texts = Vec::new();
    for index in 1..=stack.len() {
        match stack.kind(index) {
            Kind::String => {}
            Kind::Number => texts.push(NumberText::of(stack.number(index).unwrap_or(0.0))),
            _ => return None,
        }
    }
    Some(texts)
}

/// All arguments as bytes, with the texts of those that are numbers.
fn arguments<'a>(stack: &'a Stack<'_>, numbers: &'a [NumberText]) -> impl Iterator<Item = &'a [u8]> {
    let mut numbers = numbers.iter();
    (1..=stack.len()).map(move |index| match stack.bytes(index) {
        Some(bytes) => bytes,
        None => numbers.next().map_or(&[][..], NumberText::as_bytes),
    })
}

fn call(context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    let is_error = run_command(context, stack)?;
    if is_error { Err(Raised) } else { Ok(1) }
}

fn pcall(context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    run_command(context, stack)?;
    Ok(1)
}

/// Arguments of a command that need no room of their own.
const FEW: usize = 8;

/// Runs the command in the arguments and pushes its reply; says whether it is an error.
fn run_command(context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<bool, Raised> {
    let Some(run) = context.script() else {
        return Err(raise_error(stack, b"redis.call/pcall can only be called inside a script invocation"));
    };
    let count = stack.len();
    if count == 0 {
        push_error(stack, b"Please specify at least one argument for this redis lib call");
        return Ok(true);
    }
    let Some(numbers) = number_texts(stack) else {
        stack.truncate(0);
        push_error(stack, b"Lua redis lib command arguments must be strings or integers");
        return Ok(true);
    };
    let refused = if count as usize <= FEW {
        let mut few: [&[u8]; FEW] = [b""; FEW];
        few.iter_mut().zip(arguments(stack, &numbers)).for_each(|(place, argument)| *place = argument);
        run.command(&few[..count as usize])
    } else {
        run.command(&arguments(stack, &numbers).collect::<Vec<_>>())
    };
    stack.truncate(0);
    match refused {
        Ok(()) => {
            let reply = run.reply();
            to_lua::push_reply(stack, reply)?;
            Ok(reply.first() == Some(&b'-'))
        }
        Err(Refusal(text)) => {
            to_lua::push_counted_error(stack, &text);
            Ok(true)
        }
    }
}

fn log(context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    if stack.len() < 2 {
        return Err(raise_error(stack, b"redis.log() requires two arguments or more."));
    }
    let Some(level) = stack.number(1) else {
        return Err(raise_error(stack, b"First argument must be a number (log level)."));
    };
    let Some(level) = LogLevel::numbered(pbj_lua::to_integer(level)) else {
        return Err(raise_error(stack, b"Invalid debug level."));
    };
    let mut text = Vec::new();
    for index in 2..=stack.len() {
        if let Some(part) = stack.text(index) {
            if index > 2 {
                text.push(b' ');
            }
            text.extend_from_slice(&part);
        }
    }
    context.note(level, &text);
    Ok(0)
}

fn setresp(context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    let Some(run) = context.script() else {
        return Err(raise_error(stack, b"redis.setresp can only be called inside a script invocation"));
    };
    if stack.len() != 1 {
        return Err(raise_error(stack, b"redis.setresp() requires one argument."));
    }
    match stack.number(1).map(pbj_lua::to_integer) {
        Some(2) => run.set_protocol(Protocol::V2),
        Some(3) => run.set_protocol(Protocol::V3),
        _ => return Err(raise_error(stack, b"RESP version must be 2 or 3.")),
    }
    Ok(0)
}

fn sha1hex(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    if stack.len() != 1 {
        return Err(raise_error(stack, b"wrong number of arguments"));
    }
    let digest = Digest::of(&stack.text(1).unwrap_or_default());
    stack.push_bytes(&digest.to_hex());
    Ok(1)
}

/// Says whether there is one argument, a string; pushes an error if not.
fn is_one_string(stack: &mut Stack<'_>) -> bool {
    let right = stack.len() == 1 && stack.kind(1) == Kind::String;
    if !right {
        push_error(stack, b"wrong number or type of arguments");
    }
    right
}

fn error_reply(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    if is_one_string(stack) {
        let text = stack.bytes(1).unwrap_or_default();
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        let text = if text.starts_with(b"-") { text.to_vec() } else { [b"-", text].concat() };
        push_error(stack, &text);
    }
    Ok(1)
}

fn status_reply(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    if is_one_string(stack) {
        stack.new_table(0, 1);
        stack.push_copy(1);
        stack.set_field(-2, b"ok");
    }
    Ok(1)
}

fn set_repl(context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    let Some(run) = context.script() else {
        return Err(raise_error(stack, b"redis.set_repl can only be called inside a script invocation"));
    };
    if stack.len() != 1 {
        return Err(raise_error(stack, b"redis.set_repl() requires two arguments."));
    }
    let flags = pbj_lua::to_integer(stack.number(1).unwrap_or(0.0)) as i32;
    if flags & !3 != 0 {
        let text = b"Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.";
        return Err(raise_error(stack, text));
    }
    run.set_replicated(flags != 0);
    Ok(0)
}

fn acl_check_cmd(context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    let Some(run) = context.script() else {
        return Err(raise_error(stack, b"redis.acl_check_cmd can only be called inside a script invocation"));
    };
    if stack.is_empty() {
        return Err(raise_error(stack, b"Please specify at least one argument for this redis lib call"));
    }
    let Some(numbers) = number_texts(stack) else {
        return Err(raise_error(stack, b"Lua redis lib command arguments must be strings or integers"));
    };
    let allowed = run.may_call(&arguments(stack, &numbers).collect::<Vec<_>>());
    match allowed {
        Some(allowed) => {
            stack.push_boolean(allowed);
            Ok(1)
        }
        None => Err(raise_error(stack, b"Invalid command passed to redis.acl_check_cmd()")),
    }
}

/// There is no debugger here, so no breakpoint is ever reached.
fn breakpoint(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    stack.push_boolean(false);
    Ok(1)
}

fn debug(_context: &mut Context<'_>, _stack: &mut Stack<'_>) -> Result<i32, Raised> {
    Ok(0)
}

/// What it asks for is how things are.
fn replicate_commands(_context: &mut Context<'_>, stack: &mut Stack<'_>) -> Result<i32, Raised> {
    stack.push_boolean(true);
    Ok(1)
}
