//! From a request to its handler: look-up, queueing, the call, statistics.
//!
//! Not here: what is refused before that, and in which order (`gates.rs`).

use std::sync::atomic::Ordering;

use super::Engine;
use super::output::Output;
use super::session::{ClientId, Queued, ReplyMode};
use crate::command::index::Callable;
use crate::command::keys::{Begin, KeySpec};
use crate::command::row::TimeoutReply;
use crate::command::{Args, Effect, Fault, Handler, Outcome, Run, flags};
use crate::limits::{BATCH_OUTPUT_MAX, PREFETCH_WINDOW};
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

    pub(super) fn len(&self) -> usize {
        self.batch.len()
    }

    pub(super) fn args(&self, index: usize) -> &[&'a [u8]] {
        &self.slices[self.batch.arguments_of(index)]
    }
}

/// Requests with bytes of their own, for when those of the connection cannot be lent.
pub struct OwnedRequests {
    batch: Batch,
    arguments: Vec<Vec<u8>>,
}

impl Requests<'_> {
    /// A copy.
    pub fn to_owned(&self) -> OwnedRequests {
        OwnedRequests {
            batch: self.batch.clone(),
            arguments: self.slices.iter().map(|&slice| slice.to_vec()).collect(),
        }
    }
}

impl OwnedRequests {
    /// The requests, ready to be executed.
    pub fn requests(&self) -> Requests<'_> {
        Requests { batch: &self.batch, slices: self.arguments.iter().map(|argument| &**argument).collect() }
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Executed {
    /// How many requests are over. If the client waits, the others wait until it has its [`Output::Reply`]; otherwise
    /// they come next.
    pub requests: usize,
    /// The client waits; nothing more is executed for it until then.
    pub waits: bool,
    /// The connection is to be closed when the replies are sent.
    pub close: bool,
    /// The offset of the log that the replies depend on.
    pub offset: u64,
    /// Whether the batch wrote anything to the log.
    pub wrote: bool,
    /// The client follows: from now on it is fed ([`Engine::feed_replica`]).
    pub follows: bool,
    /// Data was read, and nothing else happened: nothing is due earlier than before ([`Engine::deadline`]).
    pub only_read: bool,
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

impl Planned {
    /// Whether the command reads data and does nothing else.
    fn only_reads(self) -> bool {
        self.command.is_none_or(|command| {
            command.row.is(flags::READONLY) && matches!(command.row.handler, Handler::Data(_))
        })
    }
}

/// What of a session decides how a request is treated; read once per batch and after every command that may change it.
#[derive(Clone, Copy)]
pub(super) struct Context {
    pub(super) client: ClientId,
    db: usize,
    pub(super) protocol: Protocol,
    pub(super) special: bool,
    /// No gate is closed to its reads, whatever they are.
    is_calm: bool,
    /// Its reads leave no marks at keys.
    quiet: bool,
    /// The most that may wait for it, in bytes.
    reply_max: Option<usize>,
    pub(super) waits: bool,
    pub(super) closing: bool,
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
        let mut window = 0..requests.len().min(PREFETCH_WINDOW);
        if let Some(session) = self.sessions.get(&client) {
            self.plan_ahead(session.db, requests, window.clone());
        }
        let jumps_before = self.stats.clock_jumps;
        self.advance(now);
        let offset_before = self.offset();
        let mut done = Executed::default();
        self.evict_clients_if_due(client);
        let Some(mut context) = self.context(client) else { return Executed { close: true, ..done } };
        self.start_timing();
        self.written = None;
        self.current_client = Some(client);
        let mut last = None;
        let mut only_read = self.stats.clock_jumps == jumps_before;
        let start = out.len();
        while done.requests < requests.len() && !context.waits && !context.closing {
            if window.end == done.requests {
                window = done.requests..requests.len().min(done.requests + PREFETCH_WINDOW);
                self.plan_ahead(context.db, requests, window.clone());
            }
            for (nth, index) in window.clone().enumerate() {
                let args = requests.args(index);
                if !args.is_empty() {
                    let planned = self.plan[nth];
                    last = planned.command;
                    only_read &= planned.only_reads();
                    if !self.run_request(&mut context, planned, args, out) {
                        // It is held back, and comes again.
                        context.waits = true;
                        break;
                    }
                }
                done.requests += 1;
                if context.waits || context.closing || out.len() - start > BATCH_OUTPUT_MAX {
                    break;
                }
            }
            if out.len() - start > BATCH_OUTPUT_MAX {
                break;
            }
        }
        self.settle_timing();
        self.broadcast_changes();
        self.current_client = None;
        if let Some(session) = self.sessions.get_mut(&client) {
            session.last_used_at = now.mono_ms;
            session.last_command = last;
            if let Some(written) = self.written {
                session.written = written;
            }
            done.follows = session.is_replica;
            session.peer.gauges.output.fetch_add(out.len() - start, Ordering::Relaxed);
        }
        self.note_messages();
        done.waits = context.waits;
        done.close = context.closing;
        done.offset = self.offset();
        done.wrote = done.offset != offset_before;
        done.only_read = only_read && !done.wrote && !done.waits && self.outputs.is_empty();
        done
    }

    pub(super) fn context(&self, client: ClientId) -> Option<Context> {
        let session = self.sessions.get(&client)?;
        Some(Context {
            client,
            db: session.db,
            protocol: session.protocol,
            special: session.is_special(),
            is_calm: !session.is_special() && self.is_open_to_reads(),
            quiet: session.no_touch,
            reply_max: self.config.output_bytes_max(session.class()),
            waits: session.waiting.is_some() || session.held || session.postponed,
            closing: session.closing,
        })
    }

    /// Looks up commands and keys of a window of requests, and has the processor load what they will need: first all
    /// buckets, then all entries, so that the cache misses overlap. A request that is alone has the time until it runs.
    fn plan_ahead(&mut self, db: usize, requests: &Requests<'_>, window: std::ops::Range<usize>) {
        self.plan.clear();
        let several = window.len() > 1;
        let database = self.data.keyspace.db(db);
        // Who sends many requests at once mostly sends many of the same.
        let mut before: (&[u8], Option<Callable>) = (b"", None);
        for index in window {
            let args = requests.args(index);
            let command = match args {
                [name, ..] if *name == before.0 => before.1,
                _ => self.index.resolve(args),
            };
            if let ([name, ..], Some(Callable { row, container: None, .. })) = (args, command)
                && row.subcommands.is_empty()
            {
                before = (name, command);
            }
            let mut planned = Planned { command, key: None };
            if let Some(spec) = command.and_then(|command| command.row.keys.first())
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

    /// Runs a request, or answers why not; false if it has to come again later.
    fn run_request(
        &mut self,
        context: &mut Context,
        planned: Planned,
        args: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> bool {
        let start = out.len();
        let mut reply = Reply::new(out, context.protocol).limited(context.reply_max);
        let unhindered = planned.command.filter(|_| context.is_calm && planned.only_reads());
        let command = if let Some(command) = unhindered.filter(|command| command.row.takes(args.len())) {
            command
        } else {
            let told = self.outputs.len();
            let checked = self.check(context, planned.command, args);
            self.hasten_messages(told);
            let command = match checked {
                Ok(command) => command,
                Err(fault) => {
                    self.refuse(context.client, planned.command, &fault, &mut reply);
                    self.after_request(context, start, out);
                    return true;
                }
            };
            let may_be_held_back = self.pause.is_some() || self.is_migrating();
            if may_be_held_back && self.is_held_back(context.client, command, args) {
                if let Some(session) = self.sessions.get_mut(&context.client) {
                    session.postponed = true;
                }
                return false;
            }
            if context.special && self.queue_if_multi(context.client, command, args) {
                reply.status("QUEUED");
                self.after_request(context, start, out);
                return true;
            }
            command
        };
        if let Some((at, hash)) = planned.key {
            self.data.hints.set(args[at], hash);
        }
        if context.special {
            self.note_for_muted(context.client, command);
        }
        let invocation = Invocation { client: context.client, db: context.db, command, args, waking: None };
        let position = self.data.feed.offset();
        self.data.quiet = context.quiet && command.row.name != "touch";
        let is_local = self.begin_local_write(context.client, command);
        let run = self.invoke(&invocation, &mut reply);
        self.data.quiet = false;
        self.data.hints.clear();
        // Keys past their date that it came by have nothing to do with each other.
        if command.row.is(flags::TOUCHES_ARBITRARY_KEYS) {
            self.data.feed.loosen_unit();
        }
        self.end_unit();
        if is_local {
            self.end_local_write();
        }
        if self.data.feed.offset() != position {
            self.written = Some((self.data.feed.offset(), self.data.feed.replica_offset()));
        }
        if context.special && command.container.is_none_or(|container| container.name != "client") {
            self.forget_caching(context.client);
        }
        if let Ok(Outcome::Wait(wait)) = run {
            self.park(context.client, context.db, command, args, *wait);
            context.waits = true;
        }
        // Commands that only touch data leave sessions and outputs alone, unless somebody waits or listens.
        if context.special || !matches!(command.row.handler, Handler::Data(_)) || !self.outputs.is_empty() {
            self.after_request(context, start, out);
        }
        true
    }

    /// Brings the context up to date, and puts messages to this client around its reply.
    fn after_request(&mut self, context: &mut Context, start: usize, out: &mut Vec<u8>) {
        self.drop_unwanted_reply(context.client, start, out);
        self.place_messages(context.client, start, out);
        match self.context(context.client) {
            Some(fresh) => *context = fresh,
            None => context.closing = true,
        }
    }

    /// Remembers the command of a client that wants no replies: those to some commands are none.
    fn note_for_muted(&mut self, client: ClientId, command: Callable) {
        if let Some(session) = self.sessions.get_mut(&client)
            && session.reply_mode != ReplyMode::On
        {
            session.last_command = Some(command);
        }
    }

    /// Takes the reply that begins at `start` away from a client that does not want it.
    pub(super) fn drop_unwanted_reply(&mut self, client: ClientId, start: usize, out: &mut Vec<u8>) {
        if let Some(session) = self.sessions.get_mut(&client) {
            if session.reply_mode == ReplyMode::On {
                return;
            }
            // What confirms a subscription is a message, not a reply.
            let confirms = session.last_command.is_some_and(|last| last.row.name.ends_with("subscribe"));
            if !confirms || matches!(out.get(start), None | Some(b'-')) {
                out.truncate(start);
            }
            session.reply_mode = match session.reply_mode {
                ReplyMode::SkipNext => ReplyMode::Skip,
                ReplyMode::Skip => ReplyMode::On,
                kept => kept,
            };
        }
    }

    /// What was told since `first`, while room was made for a command, comes before the reply to it.
    fn hasten_messages(&mut self, first: usize) {
        for output in self.outputs.iter_mut().skip(first) {
            if let Output::Push { late, .. } = output {
                *late = false;
            }
        }
    }

    /// Puts what others would get as messages before or behind the reply, when they are for the client itself.
    fn place_messages(&mut self, client: ClientId, start: usize, out: &mut Vec<u8>) {
        let own = |output: &Output| matches!(output, Output::Push { client: to, .. } if *to == client);
        if !self.outputs.iter().any(own) {
            return;
        }
        let (mine, others): (Vec<Output>, Vec<Output>) =
            std::mem::take(&mut self.outputs).into_iter().partition(own);
        self.outputs = others;
        let mut before = Vec::new();
        for output in mine {
            match output {
                Output::Push { bytes, late: true, .. } => out.extend_from_slice(&bytes),
                Output::Push { bytes, .. } => before.extend_from_slice(&bytes),
                _ => {}
            }
        }
        out.splice(start..start, before);
    }

    pub(super) fn refuse(
        &mut self,
        client: ClientId,
        command: Option<Callable>,
        fault: &Fault,
        reply: &mut Reply<'_>,
    ) {
        if let Some(command) = command {
            self.stats.by_command[command.id as usize].rejected += 1;
            if command.row.name == "exec" {
                let fault = exec_abort(fault);
                self.stats.count_error(&fault.to_string());
                self.discard(client);
                return reply.error(&fault.to_bytes());
            }
        }
        self.stats.count_error(&fault.to_string());
        if let Some(multi) = self.sessions.get_mut(&client).and_then(|session| session.multi.as_mut()) {
            multi.broken = true;
        }
        reply.error(&fault.to_bytes());
    }

    /// Forgets the transaction of a client, and what it watches.
    pub(crate) fn discard(&mut self, client: ClientId) {
        if let Some(session) = self.sessions.get_mut(&client) {
            session.multi = None;
        }
        self.unwatch(client);
    }

    pub(super) fn queue_if_multi(&mut self, client: ClientId, command: Callable, args: &[&[u8]]) -> bool {
        let flags = self.flags_of(command, args);
        let Some(multi) = self.sessions.get_mut(&client).and_then(|session| session.multi.as_mut()) else {
            return false;
        };
        if ["exec", "discard", "multi", "watch", "quit", "reset"].contains(&command.row.name) {
            return false;
        }
        let args = args.iter().map(|&arg| arg.into()).collect();
        multi.queue.push(Queued { command, flags, args });
        true
    }

    /// Runs a command that passed all checks, and shows it to those who look on.
    pub(crate) fn invoke(&mut self, invocation: &Invocation<'_>, reply: &mut Reply<'_>) -> Run {
        let run = self.run(invocation, reply);
        let Invocation { client, command, args, .. } = *invocation;
        if !self.monitors.is_empty() {
            self.show_to_monitors(client, command, args);
        }
        if self.tracking.clients() > 0 {
            self.invalidate_so_far();
            self.remember_reads(client, command, args);
        }
        run
    }

    /// Runs a command. An error is written to `reply`, counted, and returned.
    pub(super) fn run(&mut self, invocation: &Invocation<'_>, reply: &mut Reply<'_>) -> Run {
        let Invocation { client, db, command, args, waking } = *invocation;
        let start = reply.position();
        let dirty_before = self.data.dirty;
        self.data.restated = false;
        self.before_run(command, args.len());
        // Commands that lead to keys beyond their arguments have a specification that cannot find them.
        let leads_anywhere = matches!(command.row.keys, [.., KeySpec { begin: Begin::Unknown, .. }]);
        self.data.keys_limited = leads_anywhere && !self.may_read_all_keys(client, command, args);
        let cursor = Args::new(args, command.words());
        let run = match command.row.handler {
            Handler::Data(run) => {
                let repeated = self.running.as_ref().is_some_and(|script| script.repeated);
                let origin = if repeated { Origin::Replay } else { Origin::Client };
                let mut txn = Txn { waking, ..Txn::new(&mut self.data, db, self.now, origin) };
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
        // Who waits has not run yet: the command counts when it is answered.
        if !matches!(run, Ok(Outcome::Wait(_)))
            && let Some(ns) = self.after_run(command, args.len())
        {
            self.note_slow(client, command, args, ns);
            self.note_latency(if command.row.is(flags::FAST) { "fast-command" } else { "command" }, ns);
        }
        match &run {
            Ok(_) => {
                let verbatim = command.row.effect == Effect::Verbatim && !self.data.restated;
                if verbatim && self.data.dirty != dirty_before {
                    if self.index.has_renamed() {
                        // Whoever reads the log knows only the names that all servers know.
                        let name = [command.container.unwrap_or(command.row).name.as_bytes()];
                        self.data.feed.effect(db, &[&name, &args[1..]].concat());
                    } else {
                        self.data.feed.effect(db, args);
                    }
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

    /// Runs a command inside of EXEC: what would wait answers at once.
    pub(crate) fn invoke_nested(&mut self, invocation: &Invocation<'_>, reply: &mut Reply<'_>) {
        self.note_for_muted(invocation.client, invocation.command);
        let run = self.invoke(invocation, reply);
        self.answer_at_once(run, invocation, reply);
    }

    /// Runs a command of a script, which `caller` called with the arguments `script`: what would wait answers at once.
    pub(crate) fn invoke_in_script(
        &mut self,
        (caller, script): (ClientId, &[&[u8]]),
        invocation: &Invocation<'_>,
        reply: &mut Reply<'_>,
    ) {
        self.data.in_script = true;
        let run = self.run(invocation, reply);
        self.data.in_script = false;
        let Invocation { db, command, args, .. } = *invocation;
        if !self.monitors.is_empty() {
            self.show_of_script(db, command, args);
        }
        if self.tracking.clients() > 0 {
            self.invalidate_so_far();
            self.remember_reads_of_script(caller, command, script);
        }
        self.answer_at_once(run, invocation, reply);
    }

    fn answer_at_once(&mut self, run: Run, invocation: &Invocation<'_>, reply: &mut Reply<'_>) {
        if let Ok(Outcome::Wait(wait)) = run {
            self.after_run(invocation.command, invocation.args.len());
            match wait.on_timeout {
                TimeoutReply::Null | TimeoutReply::NullArrayOrNull => reply.null(),
                TimeoutReply::NullArray | TimeoutReply::Rerun => reply.null_array(),
            }
        }
    }
}

/// The error of an EXEC that may not run: it says why.
pub(crate) fn exec_abort(fault: &Fault) -> Fault {
    let text = fault.to_string();
    let reason = text.strip_prefix("ERR ").unwrap_or(&text);
    Fault::coded(format!("EXECABORT Transaction discarded because of: {reason}"))
}
