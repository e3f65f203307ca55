//! Scripts that are kept: loaded, remembered over restarts, repeated from a log, forgotten.
//!
//! Law: a script of EVAL is a cache entry that may go; one that somebody relies on by its digest (SCRIPT LOAD, EVALSHA)
//! is *lasting*, and stated as an effect.
//!
//! Not here: running one of them (`run.rs`), and libraries of functions (`library.rs`).

use super::cache::{Digest, Script};
use super::flags::{ScriptFlags, read_eval_flags};
use super::run::ready;
use super::sandbox::Purpose;
use super::{Call, ScriptCache, Scripting, Target};
use crate::command::index::Callable;
use crate::command::{Fault, Group, flags};
use crate::engine::Engine;
use crate::resp::reply::{Protocol, Reply};

impl Engine {
    /// Compiles a script that is not known yet, and keeps it.
    pub(super) fn add_script(
        &mut self,
        scripting: &mut Scripting,
        digest: Digest,
        body: &[u8],
    ) -> Result<(), Fault> {
        let (flags, program) = read_eval_flags(body).map_err(Fault::Raw)?;
        let limit = self.script_memory_limit();
        let deprecated = self.config().script_deprecated_api();
        let sandbox = ready(&mut scripting.eval, Purpose::Eval, limit, deprecated)?;
        let function = sandbox.compile(program, "@user_script").map_err(|message| {
            Fault::Raw([b"Error compiling script (new function): ", &*message].concat())
        })?;
        let script = Script { body: body.into(), flags, function: Some(function), lasting: false };
        let gone = scripting.cache.add(digest, script);
        let mut stack = sandbox.lua.stack();
        gone.into_iter().for_each(|function| stack.release(function));
        Ok(())
    }

    /// Loads a script without running it; what SCRIPT LOAD does.
    ///
    /// # Errors
    /// It is no program.
    pub(crate) fn load_script(&mut self, body: &[u8]) -> Result<Digest, Fault> {
        let Some(mut scripting) = self.scripting.take() else {
            return Err(Fault::other("a script cannot load another one"));
        };
        let digest = Digest::of(body);
        let known = scripting.cache.contains(digest);
        let added = if known { Ok(()) } else { self.add_script(&mut scripting, digest, body) };
        if added.is_ok() && scripting.cache.make_lasting(digest) {
            self.data.feed.effect_for_log(&[b"SCRIPT", b"LOAD", body]);
        }
        self.scripting = Some(scripting);
        added.map(|()| digest)
    }

    /// Repeats what a log says about scripts.
    ///
    /// # Errors
    /// It cannot be repeated.
    pub(crate) fn replay_script(&mut self, db: usize, args: &[&[u8]]) -> Result<(), Fault> {
        let is = |index: usize, word: &str| {
            args.get(index).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
        };
        match args.len() {
            3 if is(0, "script") && is(1, "load") => self.load_script(args[2]).map(|_| ()),
            2.. if is(0, "script") && is(1, "flush") => {
                self.flush_scripts();
                Ok(())
            }
            2.. if is(0, "function") => self.replay_function(args),
            3.. if is(0, "eval") => self.replay_eval(&Call::repeated(Target::Body(args[1]), args, db)),
            3.. if is(0, "evalsha") => self.replay_eval(&Call::repeated(Target::Digest(args[1]), args, db)),
            _ => Err(Fault::other("a log does not hold this command")),
        }
    }

    /// Runs a script again. Redis before version 5 stated scripts, and later ones could be told to, where we state what
    /// they did. The error that a script ends with is part of what happened.
    fn replay_eval(&mut self, call: &Call<'_>) -> Result<(), Fault> {
        let mut scratch = Vec::new();
        // A log that is loaded again while clients are served must not be written a second time.
        let wanted = self.data.feed.is_wanted();
        self.data.feed.set_wanted(false);
        let run = self.run_script(call, &mut Reply::new(&mut scratch, Protocol::V2));
        self.data.feed.set_wanted(wanted);
        run.map(|_| ())
    }

    /// The texts of the scripts that outlive the process, for a snapshot; SCRIPT LOAD brings one back.
    pub fn lasting_scripts(&self) -> impl Iterator<Item = &[u8]> {
        self.scripting.iter().flat_map(|scripting| scripting.cache.lasting())
    }

    /// The texts of all libraries, for a snapshot; FUNCTION LOAD brings one back.
    pub fn library_codes(&self) -> impl Iterator<Item = &[u8]> {
        self.scripting.iter().flat_map(|scripting| scripting.libraries.iter().map(|library| &*library.code))
    }

    /// Forgets all scripts and functions, because data is loaded again.
    pub(crate) fn forget_scripts(&mut self) {
        self.flush_scripts();
        self.flush_functions();
    }

    /// Forgets all scripts of EVAL, and their interpreter with them.
    pub(crate) fn flush_scripts(&mut self) {
        if let Some(scripting) = &mut self.scripting {
            scripting.cache = ScriptCache::default();
            scripting.eval = None;
        }
    }

    /// The flags of a command; for one that calls a script which says something about itself, those of the script.
    pub(crate) fn flags_of(&self, command: Callable, args: &[&[u8]]) -> u32 {
        let known = command.row.flags;
        if command.row.group != Group::Scripting {
            return known;
        }
        let Some(script) = self.flags_of_script(args) else { return known };
        let decided = flags::WRITE | flags::DENYOOM | flags::MAY_REPLICATE;
        let writes = if script.no_writes() { 0 } else { flags::WRITE };
        let grows = if script.no_writes() || script.allow_oom() { 0 } else { flags::DENYOOM };
        known & !decided | writes | grows
    }

    /// What the script that a request calls says about itself, if the request calls one that is known.
    fn flags_of_script(&self, args: &[&[u8]]) -> Option<ScriptFlags> {
        let scripting = self.scripting.as_ref()?;
        let (name, script) = (args.first()?.to_ascii_lowercase(), args.get(1)?);
        match &*name {
            b"eval" | b"eval_ro" => read_eval_flags(script).ok().map(|(flags, _)| flags),
            b"evalsha" | b"evalsha_ro" => scripting.cache.flags(Digest::parse(script)?),
            b"fcall" | b"fcall_ro" => scripting.libraries.find(script).map(|function| function.flags),
            _ => None,
        }
        .filter(|flags| !flags.is_plain())
    }
}
