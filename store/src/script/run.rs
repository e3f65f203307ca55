//! One run of a script: from a client's command to its reply.

use pbj_lua::{Kind, Ref, Stack, Verdict};

use super::cache::{Digest, Script};
use super::call::{Call, Detail, Running, SCRIPT_CLIENT, Target};
use super::flags::{ScriptFlags, read_eval_flags};
use super::native::{Context, Task};
use super::sandbox::{Purpose, Sandbox};
use super::{Scripting, to_reply};
use crate::acl::Denied;
use crate::command::{Fault, Outcome, flags};
use crate::engine::{ClientId, Engine, Invocation, LogLevel, NoHost, Session};
use crate::number::parse_i64;
use crate::resp::reply::{Protocol, Reply};

/// Runs after which some garbage is collected, and how much.
const RUNS_BETWEEN_COLLECTIONS: u32 = 50;
/// The text of an error that is a table and has none.
pub(super) const NO_TEXT: &[u8] = b"ERR unknown error";
/// Bytes of an error that is no table, as it is told to the client.
const PLAIN_ERROR_MAX: usize = 100;

/// Why a command of a script did not run; the text begins with its class. It was counted.
pub(super) struct Refusal(pub(super) Vec<u8>);

/// A run, as its commands see it.
pub(super) struct Run<'a> {
    engine: &'a mut Engine,
    call: &'a Call<'a>,
    name: &'a [u8],
    db: usize,
    protocol: Protocol,
    read_only: bool,
    allow_oom: bool,
    /// What the user of the client may do is looked at for every command.
    limited: bool,
    /// Memory was full when it began.
    oom: bool,
    replicated: bool,
    allow_all: bool,
    scratch: Vec<u8>,
}

impl Run<'_> {
    /// The reply of the last command.
    pub(super) fn reply(&self) -> &[u8] {
        &self.scratch
    }

    pub(super) fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Says whether the effects of the commands that follow are stated.
    pub(super) fn set_replicated(&mut self, replicated: bool) {
        if !replicated {
            // From here on data and log may differ, because the script wants them to.
            self.engine.forget_shadow();
        }
        self.replicated = replicated;
    }

    /// Whether the user of the client may call this; nothing if there is no such command.
    pub(super) fn may_call(&self, args: &[&[u8]]) -> Option<bool> {
        let command = self.find(args)?;
        Some(!self.limited || self.engine.would_allow(self.call.client, command, args))
    }

    fn find(&self, args: &[&[u8]]) -> Option<crate::command::index::Callable> {
        let command = self.engine.index.resolve(args)?;
        let no_such_child =
            command.container.is_none() && !command.row.subcommands.is_empty() && args.len() > 1;
        (!no_such_child).then_some(command)
    }

    /// Runs a command; its reply is in [`Self::reply`].
    pub(super) fn command(&mut self, args: &[&[u8]]) -> Result<(), Refusal> {
        let Some(command) = self.find(args) else {
            return Err(self.refuse(None, "ERR Unknown Redis command called from script"));
        };
        let row = command.row;
        let refusal = if !row.takes(args.len()) {
            Some("ERR Wrong number of args calling Redis command from script".to_owned())
        } else if row.is(flags::NOSCRIPT) && !self.allow_all {
            Some("ERR This Redis command is not allowed from script".to_owned())
        } else {
            self.why_not(command, args)
        };
        if let Some(text) = refusal {
            return Err(self.refuse(Some(command.id), &text));
        }
        if row.is(flags::WRITE)
            && let Some(running) = &mut self.engine.running
        {
            running.wrote = true;
        }
        self.scratch.clear();
        let is_system = matches!(row.handler, crate::command::Handler::System(_));
        if is_system || self.limited {
            self.engine.enter_script_session(self.call.client, self.db, self.protocol);
        }
        self.engine.data.feed.set_muted(!self.replicated);
        let mut reply = Reply::new(&mut self.scratch, self.protocol);
        let invocation = Invocation { client: SCRIPT_CLIENT, db: self.db, command, args, waking: None };
        self.engine.invoke_in_script((self.call.client, self.call.args), &invocation, &mut reply);
        self.engine.data.feed.set_muted(false);
        if (is_system || self.limited)
            && let Some(db) = self.engine.leave_script_session()
        {
            self.db = db;
        }
        Ok(())
    }

    /// Why a command must not run now, if it must not.
    fn why_not(&mut self, command: crate::command::index::Callable, args: &[&[u8]]) -> Option<String> {
        let row = command.row;
        if self.call.repeated_in.is_some() {
            // It ran, so it may; but the queue states its effects itself, and nobody states its commands.
            let is_verb = matches!(row.handler, crate::command::Handler::Extension(_));
            return is_verb.then(|| "ERR This Redis command is not allowed from script".to_owned());
        }
        if self.limited
            && let Err(denied) = self.engine.check_access(self.call.client, command, args)
        {
            return Some(format!("ERR The user executing the script {}", denied_text(denied)));
        }
        if self.read_only && row.flags & (flags::WRITE | flags::MAY_REPLICATE) != 0 {
            return Some("ERR Write commands are not allowed from read-only scripts.".to_owned());
        }
        // What has written must be able to go on.
        let wrote = self.engine.running.as_ref().is_some_and(|running| running.wrote);
        if row.is(flags::WRITE)
            && !wrote
            && let Some(fault) = self.engine.why_no_script_may_write()
        {
            return Some(fault.to_string());
        }
        if row.is(flags::DENYOOM) && !wrote && self.oom && !self.allow_oom {
            return Some(Fault::OutOfMemory.to_string());
        }
        if row.is(flags::BLOCKING) && asks_to_block(args) {
            let name = String::from_utf8_lossy(args[0]);
            return Some(format!("ERR {name} command is not allowed with BLOCK option from scripts"));
        }
        if row.is(flags::WRITE)
            && let Err(fault) = self.engine.check_reserved(command, args)
        {
            return Some(fault.to_string());
        }
        None
    }

    fn refuse(&mut self, command: Option<u16>, text: &str) -> Refusal {
        self.engine.stats.count_error(text);
        if let Some(id) = command {
            self.engine.stats.by_command[id as usize].rejected += 1;
        }
        Refusal(text.as_bytes().to_vec())
    }

    pub(super) fn note(&mut self, level: LogLevel, text: &[u8]) {
        if level >= LogLevel::named(self.engine.config().text("loglevel")) {
            self.engine.host.note(level, text);
        }
    }

    /// Lets the host look after others, and says whether the script may go on.
    pub(super) fn interrupt(&mut self) -> Verdict {
        let detail = || {
            let command = self.call.args.iter().map(|&arg| arg.into()).collect();
            Box::new(Detail { name: self.name.to_vec(), command })
        };
        if let Some(running) = &mut self.engine.running
            && running.detail.is_none()
        {
            running.detail = Some(detail());
        }
        let mut host = std::mem::replace(&mut self.engine.host, Box::new(NoHost));
        host.script_goes_on(self.engine);
        self.engine.host = host;
        match &self.engine.running {
            Some(running) if running.abandoned => Verdict::End(b"ERR The server ends.".to_vec()),
            Some(running) if running.killed => {
                Verdict::End(b"ERR Script killed by user with SCRIPT KILL...".to_vec())
            }
            _ => Verdict::GoOn,
        }
    }
}

impl Context<'_> {
    /// Writes to the log of the daemon.
    pub(super) fn note(&mut self, level: LogLevel, text: &[u8]) {
        match &mut self.task {
            Task::Script(run) => run.note(level, text),
            Task::Load(loading) => loading.note(level, text),
        }
    }
}

/// How a run ended.
enum End {
    /// Its result is on top of the stack, to be written for this protocol of the script.
    Result(Protocol),
    /// Its error is.
    Error,
}

impl Engine {
    /// Runs a script for a client.
    ///
    /// # Errors
    /// It cannot be run; what it raises itself is its reply.
    pub(crate) fn run_script(&mut self, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Fault> {
        let Some(mut scripting) = self.scripting.take() else {
            return Err(Fault::other("a script cannot run another one"));
        };
        self.show_script(call.client, call.args);
        let outer = self.begin_inner_timing();
        let result = match call.target {
            Target::Function(name) => self.call_function(&mut scripting, call, name, reply),
            Target::Body(_) | Target::Digest(_) => self.eval(&mut scripting, call, reply),
        };
        self.end_inner_timing(outer);
        self.scripting = Some(scripting);
        result.map(|()| Outcome::Done)
    }

    fn eval(
        &mut self,
        scripting: &mut Scripting,
        call: &Call<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Fault> {
        if matches!(call.target, Target::Digest(text) if text.len() != 40) {
            return Err(Fault::NoScript);
        }
        let keys = count_keys(call.args, false)?;
        let digest = match call.target {
            Target::Digest(text) => Digest::parse(text).ok_or(Fault::NoScript)?,
            Target::Body(text) | Target::Function(text) => scripting.cache.digest_of(text),
        };
        match call.target {
            Target::Body(body) if !scripting.cache.contains(digest) => {
                self.add_script(scripting, digest, body)?;
            }
            Target::Digest(_) if !scripting.cache.contains(digest) => return Err(Fault::NoScript),
            _ => {}
        }
        let limit = self.script_memory_limit();
        let deprecated = self.config().script_deprecated_api();
        let Scripting { eval, cache, libraries, random, scratch, allow_all, .. } = scripting;
        let sandbox = ready(eval, Purpose::Eval, limit, deprecated)?;
        let Some(script) = cache.get_mut(digest) else { return Err(Fault::NoScript) };
        let flags = script.flags;
        if matches!(call.target, Target::Digest(_)) && !script.lasting {
            // Somebody relies on the digest: from now on it is remembered, here and elsewhere.
            let body = script.body.clone();
            cache.make_lasting(digest);
            self.data.feed.effect_for_log(&[b"SCRIPT", b"LOAD", &body]);
        }
        let Some(script) = cache.get_mut(digest) else { return Err(Fault::NoScript) };
        let function = compiled(sandbox, script)?;
        if call.repeated_in.is_none() {
            self.check_script(flags, call.read_only)?;
        }
        let mut stack = sandbox.lua.stack();
        stack.push_kept(&sandbox.handler);
        stack.push_kept(function);
        stack.push_globals();
        stack.set_readonly(-1, false);
        push_array(&mut stack, &call.args[3..3 + keys]);
        stack.set_field(-2, b"KEYS");
        push_array(&mut stack, &call.args[3 + keys..]);
        stack.set_field(-2, b"ARGV");
        stack.set_readonly(-1, true);
        stack.pop(1);
        let name = digest.to_hex();
        let counts = (libraries.len(), libraries.function_count());
        let room = Room { scratch: std::mem::take(scratch), allow_all: *allow_all, counts };
        let run = self.begin_run(call, &name, flags, room);
        let (end, used) = finish(sandbox, run, random, 0);
        *scratch = used;
        self.end_run(call, sandbox, end, &name, reply);
        Ok(())
    }

    /// Lets scripts call what is not for scripts, or not: for test suites.
    pub(crate) fn allow_all_in_scripts(&mut self, allow: bool) {
        if let Some(scripting) = &mut self.scripting {
            scripting.allow_all = allow;
        }
    }

    pub(super) fn script_memory_limit(&self) -> usize {
        self.config().script_memory()
    }

    /// Whether a script with these flags may run now.
    pub(super) fn check_script(&self, flags: ScriptFlags, read_only: bool) -> Result<(), Fault> {
        if self.is_replica() {
            self.check_script_on_replica(flags)?;
        }
        if flags.is_plain() || flags.no_writes() {
            return Ok(());
        }
        if !flags.allow_oom() && self.is_out_of_memory() {
            return Err(Fault::OutOfMemory);
        }
        if let Some(reason) = self.refuses_writes() {
            return Err(Fault::Misconfigured(reason.to_owned().into()));
        }
        if read_only {
            return Err(Fault::other("Can not execute a script with write flag using *_ro command."));
        }
        if self.lacks_replicas() { Err(Fault::NoReplicas) } else { Ok(()) }
    }

    pub(super) fn begin_run<'a>(
        &'a mut self,
        call: &'a Call<'a>,
        name: &'a [u8],
        flags: ScriptFlags,
        room: Room,
    ) -> Run<'a> {
        let Room { scratch, allow_all, counts } = room;
        let is_eval = !matches!(call.target, Target::Function(_));
        self.running = Some(Running {
            client: call.client,
            is_eval,
            started: self.now,
            wrote: false,
            killed: false,
            abandoned: false,
            counts,
            repeated: call.repeated_in.is_some(),
            detail: None,
        });
        let session = self.sessions.get(&call.client);
        let of_session = session.map_or((0, true), |session| (session.db, session.limited));
        let (db, limited) = call.repeated_in.map_or(of_session, |db| (db, false));
        Run {
            call,
            name,
            db,
            protocol: Protocol::V2,
            read_only: call.read_only || (!flags.is_plain() && flags.no_writes()),
            allow_oom: !flags.is_plain() && flags.allow_oom(),
            limited,
            oom: self.is_out_of_memory(),
            replicated: true,
            allow_all,
            scratch,
            engine: self,
        }
    }

    /// Writes the reply of a run.
    fn end_run(
        &mut self,
        call: &Call<'_>,
        sandbox: &mut Sandbox,
        end: End,
        name: &[u8],
        reply: &mut Reply<'_>,
    ) {
        if self.running.take().is_some_and(|running| running.abandoned) {
            self.data.feed.abandon_unit();
            self.forget_shadow();
        }
        let mut stack = sandbox.lua.stack();
        let failed = match end {
            End::Result(protocol) => {
                let written = to_reply::write(&mut stack, protocol, reply);
                let count = |text: &Vec<u8>| self.stats.count_error(&String::from_utf8_lossy(text));
                written.uncounted.iter().for_each(count);
                written.failed
            }
            End::Error => {
                let (text, counted) = error_text(&mut stack, name);
                reply.error(&text);
                if !counted {
                    self.stats.count_error(&String::from_utf8_lossy(&text));
                }
                true
            }
        };
        if failed && let Some(command) = self.index.resolve(call.args) {
            self.stats.by_command[command.id as usize].failed += 1;
        }
        stack.truncate(0);
        sandbox.runs += 1;
        if sandbox.runs >= RUNS_BETWEEN_COLLECTIONS {
            sandbox.runs = 0;
            stack.collect_some(RUNS_BETWEEN_COLLECTIONS.cast_signed());
        }
    }

    /// Calls what is on the stack of the functions and writes its reply.
    pub(super) fn finish_function(
        &mut self,
        sandbox: &mut Sandbox,
        prepared: Prepared<'_>,
        reply: &mut Reply<'_>,
    ) -> Vec<u8> {
        let Prepared { call, name, flags, room, random } = prepared;
        let run = self.begin_run(call, name, flags, room);
        let (end, scratch) = finish(sandbox, run, random, 2);
        self.end_run(call, sandbox, end, name, reply);
        scratch
    }

    /// Makes the session that commands of a script see: one that changes nothing at the caller's, with its user.
    fn enter_script_session(&mut self, caller: ClientId, db: usize, protocol: Protocol) {
        let mut session = Session::new(SCRIPT_CLIENT, crate::engine::Peer::default(), true, self.now.mono_ms);
        session.db = db;
        session.protocol = protocol;
        if let Some(caller) = self.sessions.get(&caller) {
            session.user = caller.user.clone();
            session.limited = caller.limited;
        }
        self.sessions.insert(SCRIPT_CLIENT, session);
    }

    /// Takes that session away again; returns the database it is in.
    fn leave_script_session(&mut self) -> Option<usize> {
        self.sessions.remove(&SCRIPT_CLIENT).map(|session| session.db)
    }
}

/// What a run takes along of all that outlives it.
pub(super) struct Room {
    pub(super) scratch: Vec<u8>,
    pub(super) allow_all: bool,
    pub(super) counts: (usize, usize),
}

/// Why the user of a script may not run a command.
fn denied_text(denied: Denied) -> &'static str {
    match denied {
        Denied::Command => "can't run this command or subcommand",
        Denied::Key(_) => "can't access at least one of the keys mentioned in the command arguments",
        Denied::Channel(_) => "can't publish to the channel mentioned in the command",
    }
}

/// Whether a command on streams is told to wait: XREAD and XREADGROUP say so, where others are no commands of scripts
/// at all, or do not wait.
fn asks_to_block(args: &[&[u8]]) -> bool {
    let is = |arg: &[u8], word: &str| arg.eq_ignore_ascii_case(word.as_bytes());
    (is(args[0], "xread") || is(args[0], "xreadgroup"))
        && args.iter().take_while(|arg| !is(arg, "streams")).any(|arg| is(arg, "block"))
}

/// What [`Engine::finish_function`] needs beside the stack.
pub(super) struct Prepared<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) name: &'a [u8],
    pub(super) flags: ScriptFlags,
    pub(super) room: Room,
    pub(super) random: &'a mut super::math::Random,
}

/// Calls what is on the stack, with so many arguments.
fn finish(
    sandbox: &mut Sandbox,
    run: Run<'_>,
    random: &mut super::math::Random,
    args: i32,
) -> (End, Vec<u8>) {
    let mut context = Context { task: Task::Script(run), tools: &mut sandbox.tools, random };
    let result = sandbox.lua.call(&mut context, args, 1, true);
    let (protocol, scratch) = match context.task {
        Task::Script(run) => (run.protocol, run.scratch),
        Task::Load(_) => (Protocol::V2, Vec::new()),
    };
    (result.map_or(End::Error, |()| End::Result(protocol)), scratch)
}

/// The interpreter for a purpose, made when it is first needed.
pub(super) fn ready(
    place: &mut Option<Sandbox>,
    purpose: Purpose,
    limit: usize,
    deprecated: bool,
) -> Result<&mut Sandbox, Fault> {
    if place.is_none() {
        *place = Sandbox::new(purpose, limit, deprecated);
    }
    let sandbox = place.as_mut().ok_or_else(|| Fault::other("no memory for scripts"))?;
    sandbox.lua.set_limit(limit);
    Ok(sandbox)
}

/// The compiled function of a script; one that was only loaded is compiled now.
fn compiled<'s>(sandbox: &mut Sandbox, script: &'s mut Script) -> Result<&'s Ref, Fault> {
    if script.function.is_none() {
        let (_, program) = read_eval_flags(&script.body).map_err(Fault::Raw)?;
        script.function = Some(sandbox.compile(program, "@user_script").map_err(Fault::Raw)?);
    }
    script.function.as_ref().ok_or(Fault::NoScript)
}

/// Reads how many of the arguments are keys.
///
/// # Errors
/// It is no number, negative, or more than there are arguments.
pub(super) fn count_keys(args: &[&[u8]], of_function: bool) -> Result<usize, Fault> {
    let text = args.get(2).copied().unwrap_or_default();
    let not_integer =
        || if of_function { Fault::other("Bad number of keys provided") } else { Fault::NotInteger };
    let count = parse_i64(text).ok_or_else(not_integer)?;
    if count > args.len() as i64 - 3 {
        return Err(Fault::other("Number of keys can't be greater than number of args"));
    }
    usize::try_from(count).map_err(|_| Fault::other("Number of keys can't be negative"))
}

/// Pushes an array of strings.
pub(super) fn push_array(stack: &mut Stack<'_>, elements: &[&[u8]]) {
    stack.new_table(elements.len(), 0);
    for (number, element) in (1..).zip(elements) {
        stack.push_bytes(element);
        stack.set_element(-2, number);
    }
}

/// The text of the error on top of the stack, and whether it was counted already.
fn error_text(stack: &mut Stack<'_>, name: &[u8]) -> (Vec<u8>, bool) {
    if stack.kind(-1) != Kind::Table {
        let message = stack.text(-1).unwrap_or(std::borrow::Cow::Borrowed(b"execution failure"));
        let message = &message[..message.len().min(PLAIN_ERROR_MAX)];
        return ([b"ERR Error running script ", name, b", ", message].concat(), false);
    }
    let table = stack.len();
    let mut field = |name: &[u8]| {
        stack.get_field(table, name);
        let text = stack.text(-1).map(std::borrow::Cow::into_owned);
        stack.pop(1);
        text
    };
    let mut text = field(b"err").unwrap_or_else(|| NO_TEXT.to_vec());
    // A text of C ends at the first zero.
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    text.truncate(end);
    if let (Some(source), Some(line)) = (field(b"source"), field(b"line")) {
        text.extend_from_slice(&[b" script: ", name, b", on ", &*source, b":", &*line, b"."].concat());
    }
    let counted = stack.get_field(table, b"ignore_error_stats_update") == Kind::Boolean && stack.boolean(-1);
    stack.pop(1);
    (text, counted)
}
