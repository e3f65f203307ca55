//! From a request to its handler: look-up, gates, queueing, statistics.
//!
//! The order of the checks is visible to clients and is that of Redis 7.0: command, arity, authentication, protection,
//! memory, failing disk, subscribed mode, loading, then MULTI queueing or the call.

use super::Engine;
use super::output::Output;
use super::session::{ClientId, Queued, ReplyMode};
use crate::command::index::Callable;
use crate::command::keys::{Begin, Find, KeySpec};
use crate::command::row::TimeoutReply;
use crate::command::{Args, Effect, Fault, Handler, Outcome, Run, flags};
use crate::limits::{ECHO_MAX, PREFETCH_WINDOW};
use crate::resp::reply::{Protocol, Reply};
use crate::resp::request::Batch;
use crate::time::Now;
use crate::txn::{Origin, Txn};

/// The requests of one connection, ready to be executed.
pub struct Requests<'a> {
    batch: &'a Batch,
    slices: Vec<&'a [u8]>,
}

impl<'a> Requests<'a> {
    /// The requests of `batch`, which was read from `buffer`.
    pub fn new(batch: &'a Batch, buffer: &'a [u8]) -> Self {
        Self { batch, slices: batch.slices(buffer) }
    }

    fn len(&self) -> usize {
        self.batch.len()
    }

    fn args(&self, index: usize) -> &[&'a [u8]] {
        &self.slices[self.batch.arguments_of(index)]
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Executed {
    /// How many requests are over. The others wait until the client has its [`Output::Reply`].
    pub requests: usize,
    /// The client waits; nothing more is executed for it until then.
    pub waits: bool,
    /// The connection is to be closed when the replies are sent.
    pub close: bool,
    /// The offset of the log that the replies depend on.
    pub offset: u64,
    /// Whether the batch wrote anything to the log.
    pub wrote: bool,
}

/// A command about to run.
#[derive(Clone, Copy)]
pub(crate) struct Invocation<'a> {
    pub(crate) client: ClientId,
    pub(crate) db: usize,
    pub(crate) command: Callable,
    pub(crate) args: &'a [&'a [u8]],
    /// The key whose change lets the command run again.
    pub(crate) waking: Option<&'a [u8]>,
}

/// A request whose command and key are looked up already.
#[derive(Clone, Copy)]
pub(super) struct Planned {
    command: Option<Callable>,
    /// The first key: argument number and hash.
    key: Option<(usize, u64)>,
}

/// What of a session decides how a request is treated; read once per batch and after every command that may change it.
#[derive(Clone, Copy)]
struct Context {
    client: ClientId,
    db: usize,
    protocol: Protocol,
    special: bool,
    waits: bool,
    closing: bool,
}

impl Engine {
    /// Runs requests of a client, and appends its replies to `out`.
    pub fn execute(
        &mut self,
        now: Now,
        client: ClientId,
        requests: &Requests<'_>,
        out: &mut Vec<u8>,
    ) -> Executed {
        self.advance(now);
        let offset_before = self.offset();
        let mut done = Executed::default();
        let Some(mut context) = self.context(client) else { return Executed { close: true, ..done } };
        self.start_timing();
        while done.requests < requests.len() && !context.waits && !context.closing {
            let window = done.requests..requests.len().min(done.requests + PREFETCH_WINDOW);
            self.plan_ahead(context.db, requests, window.clone());
            for (nth, index) in window.enumerate() {
                let args = requests.args(index);
                if !args.is_empty() {
                    let planned = self.plan[nth];
                    self.run_request(&mut context, planned, args, out);
                }
                done.requests += 1;
                if context.waits || context.closing {
                    break;
                }
            }
        }
        self.settle_timing();
        if let Some(session) = self.sessions.get_mut(&client) {
            session.last_used_at = now.mono_ms;
        }
        done.waits = context.waits;
        done.close = context.closing;
        done.offset = self.offset();
        done.wrote = done.offset != offset_before;
        done
    }

    fn context(&self, client: ClientId) -> Option<Context> {
        let session = self.sessions.get(&client)?;
        Some(Context {
            client,
            db: session.db,
            protocol: session.protocol,
            special: session.is_special(),
            waits: session.waiting.is_some() || session.held,
            closing: session.closing,
        })
    }

    /// Looks up commands and keys of a window of requests, and has the processor load what they will need: first all
    /// buckets, then all entries, so that the cache misses overlap.
    fn plan_ahead(&mut self, db: usize, requests: &Requests<'_>, window: std::ops::Range<usize>) {
        self.plan.clear();
        let several = window.len() > 1;
        let database = self.data.keyspace.db(db);
        for index in window {
            let args = requests.args(index);
            let command = self.index.resolve(args);
            let mut planned = Planned { command, key: None };
            if several
                && let Some(spec) = command.and_then(|command| command.row.keys.first())
                && let Begin::Index(at) = spec.begin
                && let Some(key) = args.get(at)
            {
                let hash = database.hash(key);
                database.prefetch_bucket(hash);
                planned.key = Some((at, hash));
            }
            self.plan.push(planned);
        }
        if several {
            self.plan
                .iter()
                .filter_map(|planned| planned.key)
                .for_each(|(_, hash)| database.prefetch_entry(hash));
        }
    }

    fn run_request(&mut self, context: &mut Context, planned: Planned, args: &[&[u8]], out: &mut Vec<u8>) {
        let start = out.len();
        let mut reply = Reply::new(out, context.protocol);
        let command = match self.check(context, planned.command, args) {
            Ok(command) => command,
            Err(fault) => {
                self.refuse(context.client, planned.command, &fault, &mut reply);
                return self.after_request(context, start, out);
            }
        };
        if context.special && self.queue_if_multi(context.client, command, args) {
            reply.status("QUEUED");
            return self.after_request(context, start, out);
        }
        if let Some((at, hash)) = planned.key {
            self.data.hints.set(args[at], hash);
        }
        let invocation = Invocation { client: context.client, db: context.db, command, args, waking: None };
        let run = self.invoke(&invocation, &mut reply);
        self.data.hints.clear();
        self.end_unit();
        if let Ok(Outcome::Wait(wait)) = run {
            self.park(context.client, context.db, command, args, *wait);
            context.waits = true;
        }
        // Commands that only touch data leave sessions and outputs alone, unless somebody waits or listens.
        if context.special || !matches!(command.row.handler, Handler::Data(_)) || !self.outputs.is_empty() {
            self.after_request(context, start, out);
        }
    }

    /// Brings the context up to date, and puts messages to this client before its reply.
    fn after_request(&mut self, context: &mut Context, start: usize, out: &mut Vec<u8>) {
        let own =
            |output: &Output| matches!(output, Output::Push { client, .. } if *client == context.client);
        if self.outputs.iter().any(own) {
            let (mine, others) = std::mem::take(&mut self.outputs).into_iter().partition(own);
            self.outputs = others;
            let mine: Vec<Output> = mine;
            let pushes: Vec<u8> = mine
                .iter()
                .flat_map(|output| match output {
                    Output::Push { bytes, .. } => bytes.to_vec(),
                    _ => Vec::new(),
                })
                .collect();
            out.splice(start..start, pushes);
        }
        let Some(session) = self.sessions.get_mut(&context.client) else {
            context.closing = true;
            return;
        };
        match session.reply_mode {
            ReplyMode::On => {}
            ReplyMode::Off => out.truncate(start),
            ReplyMode::SkipNext => {
                out.truncate(start);
                session.reply_mode = ReplyMode::Skip;
            }
            ReplyMode::Skip => {
                out.truncate(start);
                session.reply_mode = ReplyMode::On;
            }
        }
        if let Some(fresh) = self.context(context.client) {
            *context = fresh;
        }
    }

    fn refuse(&mut self, client: ClientId, command: Option<Callable>, fault: &Fault, reply: &mut Reply<'_>) {
        self.stats.count_error(&fault.to_string());
        if let Some(command) = command {
            self.stats.by_command[command.id as usize].rejected += 1;
        }
        if let Some(multi) = self.sessions.get_mut(&client).and_then(|session| session.multi.as_mut()) {
            multi.broken = true;
        }
        reply.error(&fault.to_bytes());
    }

    /// All checks before a command runs or is queued.
    fn check(&self, context: &Context, command: Option<Callable>, args: &[&[u8]]) -> Result<Callable, Fault> {
        let Some(command) = command else { return Err(unknown_command(args)) };
        let lacks_subcommand = command.container.is_none()
            && !command.row.subcommands.is_empty()
            && (args.len() > 1 || matches!(command.row.handler, Handler::Container));
        if lacks_subcommand {
            return Err(match args.get(1) {
                None => Fault::Arity(command.row.name.into()),
                Some(name) => Fault::Raw(
                    [
                        b"unknown subcommand '",
                        &name[..name.len().min(ECHO_MAX)],
                        format!("'. Try {} HELP.", command.row.name.to_ascii_uppercase()).as_bytes(),
                    ]
                    .concat(),
                ),
            });
        }
        if !command.row.takes(args.len()) {
            return Err(Fault::Arity(command.full_name().into()));
        }
        if context.special {
            self.check_session(context.client, command)?;
        }
        if command.row.flags & (flags::PROTECTED | flags::DENYOOM | flags::WRITE) != 0 {
            self.check_state(command)?;
        }
        if command.row.is(flags::WRITE) && self.extension.is_some() {
            self.check_reserved(command, args)?;
        }
        if self.loading && !command.row.is(flags::LOADING) {
            return Err(Fault::Loading);
        }
        Ok(command)
    }

    /// Keys of the extension are written by its own commands only.
    fn check_reserved(&self, command: Callable, args: &[&[u8]]) -> Result<(), Fault> {
        let reserved = self.data.reserved;
        let touches = |index: usize| args.get(index).is_some_and(|key| key.starts_with(reserved));
        let forbidden = match command.row.keys {
            [KeySpec { begin: Begin::Index(index), find: Find::Range { last: 0, .. }, .. }] => {
                touches(*index)
            }
            specs => specs.iter().any(|spec| spec.indices(args).into_iter().any(touches)),
        };
        if forbidden && !matches!(command.row.handler, Handler::Extension(_)) {
            return Err(Fault::other(format!(
                "keys that begin with '{}' belong to the queue and are written by its commands only",
                String::from_utf8_lossy(reserved)
            )));
        }
        Ok(())
    }

    fn check_session(&self, client: ClientId, command: Callable) -> Result<(), Fault> {
        let Some(session) = self.sessions.get(&client) else { return Ok(()) };
        if !session.authenticated && !command.row.is(flags::NO_AUTH) {
            return Err(Fault::NoAuth);
        }
        if session.multi.is_some() && command.row.is(flags::NO_MULTI) {
            return Err(Fault::other("Command not allowed inside a transaction"));
        }
        let allowed = [
            "ping",
            "subscribe",
            "ssubscribe",
            "sunsubscribe",
            "psubscribe",
            "unsubscribe",
            "punsubscribe",
            "quit",
            "reset",
        ];
        if session.only_listens() && !allowed.contains(&command.row.name) {
            return Err(Fault::Other(
                format!(
                    "Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed \
                     in this context",
                    command.full_name()
                )
                .into(),
            ));
        }
        Ok(())
    }

    pub(crate) fn check_state(&self, command: Callable) -> Result<(), Fault> {
        if command.row.is(flags::PROTECTED) && !self.config.allows_protected(command.row.name) {
            return Err(Fault::Other(
                format!(
                    "{} command not allowed. If the enable-{}-command option is set to \"local\", you can run it \
                     from a local connection, otherwise you need to set this option in the configuration file, and \
                     then restart the server.",
                    command.row.name.to_ascii_uppercase(),
                    command.row.name
                )
                .into(),
            ));
        }
        if command.row.is(flags::DENYOOM) && self.is_out_of_memory() {
            return Err(Fault::OutOfMemory);
        }
        if command.row.is(flags::WRITE)
            && let Some(reason) = &self.broken
        {
            return Err(Fault::Misconfigured(reason.clone().into()));
        }
        Ok(())
    }

    fn is_out_of_memory(&self) -> bool {
        let limit = self.config.maxmemory();
        limit > 0 && self.host.memory_used() as u64 > limit
    }

    fn queue_if_multi(&mut self, client: ClientId, command: Callable, args: &[&[u8]]) -> bool {
        let Some(multi) = self.sessions.get_mut(&client).and_then(|session| session.multi.as_mut()) else {
            return false;
        };
        if ["exec", "discard", "multi", "watch", "quit", "reset"].contains(&command.row.name) {
            return false;
        }
        multi.queue.push(Queued { command, args: args.iter().map(|&arg| arg.into()).collect() });
        true
    }

    /// Runs a command that passed all checks. An error is written to `reply`, counted, and returned.
    pub(crate) fn invoke(&mut self, invocation: &Invocation<'_>, reply: &mut Reply<'_>) -> Run {
        let Invocation { client, db, command, args, waking } = *invocation;
        let start = reply.position();
        let dirty_before = self.data.dirty;
        self.before_run(command);
        let cursor = Args::new(args, command.words());
        let run = match command.row.handler {
            Handler::Data(run) => {
                let mut txn = Txn { waking, ..Txn::new(&mut self.data, db, self.now, Origin::Client) };
                run(&mut txn, cursor, reply)
            }
            Handler::System(run) => {
                if let Some(session) = self.sessions.get_mut(&client) {
                    session.last_command = Some(command);
                }
                run(self, client, cursor, reply)
            }
            Handler::Extension(verb) => self.invoke_extension(verb, invocation, cursor, reply),
            Handler::Container => Err(Fault::Syntax),
        };
        self.after_run(command);
        match &run {
            Ok(_) => {
                if command.row.effect == Effect::Verbatim && self.data.dirty != dirty_before {
                    self.data.feed.effect(db, args);
                }
            }
            Err(fault) => {
                reply.truncate(start);
                reply.error(&fault.to_bytes());
                self.stats.count_error(&fault.to_string());
                self.stats.by_command[command.id as usize].failed += 1;
            }
        }
        run
    }

    fn invoke_extension(
        &mut self,
        verb: u16,
        invocation: &Invocation<'_>,
        args: Args<'_>,
        reply: &mut Reply<'_>,
    ) -> Run {
        let Some(mut extension) = self.extension.take() else { return Err(Fault::Syntax) };
        let Invocation { db, waking, .. } = *invocation;
        let mut txn = Txn { waking, ..Txn::new(&mut self.data, db, self.now, Origin::Client) };
        let run = extension.call(verb, &mut txn, args, reply);
        self.extension = Some(extension);
        run
    }

    /// Runs a command inside of another one (EXEC, a script): what would wait answers at once.
    pub(crate) fn invoke_nested(&mut self, invocation: &Invocation<'_>, reply: &mut Reply<'_>) {
        if let Ok(Outcome::Wait(wait)) = self.invoke(invocation, reply) {
            match wait.on_timeout {
                TimeoutReply::Null => reply.null(),
                TimeoutReply::NullArray | TimeoutReply::Rerun => reply.null_array(),
            }
        }
    }
}

/// The error for a command that does not exist: names it, and the beginning of its arguments.
fn unknown_command(args: &[&[u8]]) -> Fault {
    let name = args.first().copied().unwrap_or_default();
    let mut text = b"unknown command '".to_vec();
    text.extend_from_slice(&name[..name.len().min(ECHO_MAX)]);
    text.extend_from_slice(b"', with args beginning with: ");
    let mut echoed = 0;
    for arg in args.iter().skip(1) {
        if echoed >= ECHO_MAX {
            break;
        }
        let part = &arg[..arg.len().min(ECHO_MAX - echoed)];
        text.push(b'\'');
        text.extend_from_slice(part);
        text.extend_from_slice(b"' ");
        echoed += part.len() + 3;
    }
    Fault::Raw(text)
}
