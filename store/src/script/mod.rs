//! Scripts of clients: Lua 5.1 in a sandbox, as Redis 7.0 gives it.
//!
//! Law: a script sees what its client may see, and changes data only through commands, so that its effects are those of
//! its commands. What it can break is itself: globals, libraries and metatables cannot be changed; memory has a limit;
//! a script that runs long can be ended as long as it has written nothing.
//! - `sandbox` builds an interpreter, `native` lists what scripts can call, `api` is the table `redis`;
//! - `cache` keeps the scripts of EVAL, `library` those of FUNCTION; `kept` says which outlive the process; `run` runs
//!   one of them;
//! - `to_lua` and `to_reply` bring values over; `cjson`, `cmsgpack`, `pack` and `bit` are the libraries.
//!
//! Not here: the interpreter itself (the crate `pbj-lua`), and the rows of the commands ([`crate::commands`]).

mod api;
mod bit;
mod cache;
mod call;
mod cjson;
mod cmsgpack;
pub(crate) mod dump;
mod flags;
mod kept;
mod library;
mod math;
mod native;
mod on_replica;
mod pack;
mod run;
mod sandbox;
mod to_lua;
mod to_reply;

pub(crate) use cache::{Digest, ScriptCache};
pub(crate) use call::{Call, Running, Target};
pub(crate) use library::{Libraries, Library};

use math::Random;
use sandbox::Sandbox;

/// Everything about scripts that outlives one of them.
#[derive(Debug, Default)]
pub(crate) struct Scripting {
    /// The interpreter of EVAL, once it was needed.
    eval: Option<Sandbox>,
    /// The interpreter of functions, once it was needed.
    functions: Option<Sandbox>,
    pub(crate) cache: ScriptCache,
    pub(crate) libraries: Libraries,
    random: Random,
    /// Room for replies that go to scripts.
    scratch: Vec<u8>,
    /// NOSCRIPT is not obeyed: DEBUG SET-DISABLE-DENY-SCRIPTS.
    pub(crate) allow_all: bool,
}

impl Scripting {
    /// Bytes taken by the interpreter of EVAL.
    pub(crate) fn eval_memory(&self) -> usize {
        self.eval.as_ref().map_or(0, Sandbox::memory)
    }

    /// Bytes taken by the interpreter of functions.
    pub(crate) fn functions_memory(&self) -> usize {
        self.functions.as_ref().map_or(0, Sandbox::memory)
    }
}
