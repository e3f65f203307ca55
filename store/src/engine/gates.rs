//! The gates before a command: what is refused, in the order that clients see.
//!
//! Law: a gate changes nothing that a client could see, except that room is made before a command that may need it. The
//! order is that of Redis 7.0: command, arity, protection, authentication, access, memory, failing disk, subscribed
//! mode, reserved keys, loading.

use super::Engine;
use super::access::refusal;
use super::dispatch::Context;
use super::session::{ClientId, Session};
use crate::command::index::Callable;
use crate::command::keys::{Begin, Find, KeySpec};
use crate::command::{Fault, Handler, flags};
use crate::limits::ECHO_MAX;

impl Engine {
    /// All checks before a command runs or is queued.
    pub(super) fn check(
        &mut self,
        context: &Context,
        command: Option<Callable>,
        args: &[&[u8]],
    ) -> Result<Callable, Fault> {
        let command = check_form(command, args)?;
        if command.row.is(flags::PROTECTED) {
            self.check_protected(context.client, command)?;
        }
        if context.special {
            self.check_session(context.client, command, args)?;
        }
        // While a script runs, nothing of what it may see goes.
        let bounded = self.config.maxmemory() > 0 && !self.ignores_memory();
        if bounded && self.running.is_none() {
            self.check_memory(context.client, command)?;
        }
        if self.tracking.clients() > 0 {
            self.bound_tracking();
        }
        if self.broken.is_some() || self.persistence.saves_fail() {
            self.check_disk(command)?;
        }
        self.check_role(context.client, command)?;
        if context.special {
            self.check_listening(context.client, command)?;
        }
        if command.row.is(flags::WRITE) && self.extension.is_some() {
            self.check_reserved(command, args)?;
        }
        if self.is_replica() {
            self.check_link(context.client, command)?;
        }
        if self.loading && !command.row.is(flags::LOADING) && !self.may_turn_away(command) {
            return Err(Fault::Loading);
        }
        if context.special {
            self.check_replica(context.client, command)?;
        }
        Ok(command)
    }

    /// Whether [`Self::check`] lets every command through that only reads, from a session that is not special, and
    /// nothing holds it back afterwards. Only commands that do more than change data can change that.
    pub(super) fn is_open_to_reads(&self) -> bool {
        let is_bounded = self.config.maxmemory() > 0;
        !is_bounded
            && self.tracking.clients() == 0
            && !self.is_replica()
            && !self.loading
            && self.pause.is_none()
            && !self.is_migrating()
    }

    /// Who follows this server gets the stream, and nothing of the keys besides.
    fn check_replica(&self, client: ClientId, command: Callable) -> Result<(), Fault> {
        let follows = self.sessions.get(&client).is_some_and(|session| session.is_replica);
        if follows && command.row.flags & (flags::READONLY | flags::WRITE | flags::MAY_REPLICATE) != 0 {
            return Err(Fault::other("Replica can't interact with the keyspace"));
        }
        Ok(())
    }

    /// Who takes the dataset of a master over may be told to follow another one, or none: the master may be gone.
    fn may_turn_away(&self, command: Callable) -> bool {
        matches!(command.row.name, "replicaof" | "slaveof") && self.takes_dataset_over()
    }

    /// Keys of the extension are written by its own commands only.
    pub(crate) fn check_reserved(&self, command: Callable, args: &[&[u8]]) -> Result<(), Fault> {
        let reserved = self.data.reserved;
        let touches = |index: usize| args.get(index).is_some_and(|key| key.starts_with(reserved));
        let forbidden = match command.row.keys {
            [KeySpec { begin: Begin::Index(index), find: Find::Range { last: 0, .. }, .. }] => {
                touches(*index)
            }
            _ => command.row.key_positions(args).into_iter().any(|(index, _)| touches(index)),
        };
        if forbidden && !matches!(command.row.handler, Handler::Extension(_)) {
            return Err(Fault::other(format!(
                "keys that begin with '{}' belong to the queue and are written by its commands only",
                String::from_utf8_lossy(reserved)
            )));
        }
        Ok(())
    }

    fn check_protected(&self, client: ClientId, command: Callable) -> Result<(), Fault> {
        let is_local = self.sessions.get(&client).is_some_and(|session| session.peer.is_local());
        let name = command.container.unwrap_or(command.row).name;
        if self.config.allows_protected(name, is_local) {
            return Ok(());
        }
        Err(Fault::other(format!(
            "{} command not allowed. If the enable-{}-command option is set to \"local\", you can run it from a local \
             connection, otherwise you need to set this option in the configuration file, and then restart the server.",
            name.to_ascii_uppercase(),
            name
        )))
    }

    fn check_session(&mut self, client: ClientId, command: Callable, args: &[&[u8]]) -> Result<(), Fault> {
        let Some(session) = self.sessions.get(&client) else { return Ok(()) };
        if !session.authenticated && !command.row.is(flags::NO_AUTH) && !self.access.is_open() {
            return Err(Fault::NoAuth);
        }
        if session.multi.is_some() && command.row.is(flags::NO_MULTI) {
            return Err(Fault::other("Command not allowed inside a transaction"));
        }
        self.check_access(client, command, args).map_err(|denied| refusal(denied, command))
    }

    /// RESP2 has no way to tell replies from messages.
    fn check_listening(&self, client: ClientId, command: Callable) -> Result<(), Fault> {
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
        let only_listens = self.sessions.get(&client).is_some_and(Session::only_listens);
        if !only_listens || allowed.contains(&command.row.name) {
            return Ok(());
        }
        Err(Fault::other(format!(
            "Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            command.full_name()
        )))
    }

    /// A replica holds what its master holds, however much that is.
    pub(crate) fn ignores_memory(&self) -> bool {
        self.is_replica() && self.config.replica_ignores_memory()
    }

    /// Makes room before a command, and refuses it if it needs more and there is none.
    fn check_memory(&mut self, client: ClientId, command: Callable) -> Result<(), Fault> {
        if !self.make_room() {
            return Ok(());
        }
        let multi = self.sessions.get(&client).and_then(|session| session.multi.as_ref());
        let refused = match multi {
            Some(multi) if command.row.name == "exec" => {
                multi.queue.iter().any(|queued| queued.flags & flags::DENYOOM != 0)
            }
            // What is queued takes memory too.
            Some(_) => !["discard", "quit", "reset"].contains(&command.row.name),
            None => command.row.is(flags::DENYOOM),
        };
        if refused { Err(Fault::OutOfMemory) } else { Ok(()) }
    }

    /// Refuses what the log could not hold. PING tells those who look after the server.
    fn check_disk(&self, command: Callable) -> Result<(), Fault> {
        match self.refuses_writes() {
            Some(reason) if command.row.is(flags::WRITE) || command.row.name == "ping" => {
                Err(Fault::Misconfigured(reason.to_owned().into()))
            }
            _ => Ok(()),
        }
    }

    /// Whether a command writes, or is the end of a transaction that does.
    pub(crate) fn writes(&self, client: ClientId, command: Callable) -> bool {
        let multi = || self.sessions.get(&client).and_then(|session| session.multi.as_ref());
        let queued = |flag| multi().is_some_and(|multi| multi.queue.iter().any(|q| q.flags & flag != 0));
        command.row.is(flags::WRITE) || (command.row.name == "exec" && queued(flags::WRITE))
    }

    /// Refuses writes where too few would have them, and where only a master may write.
    fn check_role(&self, client: ClientId, command: Callable) -> Result<(), Fault> {
        if self.lacks_replicas() && self.writes(client, command) {
            return Err(Fault::NoReplicas);
        }
        if self.is_replica() && self.writes(client, command) {
            // What the queue derives from its keys is not kept up to date on a replica, read-only or not.
            let of_extension = matches!(command.row.handler, Handler::Extension(_));
            if self.config.flag("replica-read-only") || of_extension {
                return Err(Fault::ReadOnlyReplica);
            }
        }
        Ok(())
    }

    /// Refuses to answer from data that is old, if the configuration says so.
    fn check_link(&self, client: ClientId, command: Callable) -> Result<(), Fault> {
        if self.is_linked() || self.config.flag("replica-serve-stale-data") {
            return Ok(());
        }
        let multi = self.sessions.get(&client).and_then(|session| session.multi.as_ref());
        let queue = multi.iter().flat_map(|multi| &multi.queue);
        let needs_data = !command.row.is(flags::STALE)
            || (command.row.name == "exec" && queue.clone().any(|queued| queued.flags & flags::STALE == 0));
        if needs_data { Err(Fault::MasterDown) } else { Ok(()) }
    }

    /// The checks that are made again when EXEC runs what was queued.
    pub(crate) fn check_state(&self, command: Callable) -> Result<(), Fault> {
        self.check_disk(command)
    }

    /// Why a script must not write now, if it must not: the role of this server, the disk, the replicas.
    pub(crate) fn why_no_script_may_write(&self) -> Option<Fault> {
        if self.is_replica() && self.config.flag("replica-read-only") {
            return Some(Fault::ReadOnlyReplica);
        }
        if let Some(reason) = self.refuses_writes() {
            return Some(Fault::Misconfigured(reason.to_owned().into()));
        }
        self.lacks_replicas().then_some(Fault::NoReplicas)
    }
}

/// Checks that a request names a command, and has as many arguments as the command takes.
fn check_form(command: Option<Callable>, args: &[&[u8]]) -> Result<Callable, Fault> {
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
                    up_to_zero(&name[..name.len().min(ECHO_MAX)]),
                    format!("'. Try {} HELP.", command.row.name.to_ascii_uppercase()).as_bytes(),
                ]
                .concat(),
            ),
        });
    }
    if command.row.takes(args.len()) { Ok(command) } else { Err(Fault::Arity(command.full_name().into())) }
}

/// Words end at a zero when they are repeated in an error, as in Redis.
fn up_to_zero(word: &[u8]) -> &[u8] {
    word.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The error for a command that does not exist: names it, and the beginning of its arguments.
fn unknown_command(args: &[&[u8]]) -> Fault {
    let name = args.first().copied().unwrap_or_default();
    let mut text = b"unknown command '".to_vec();
    text.extend_from_slice(up_to_zero(&name[..name.len().min(ECHO_MAX)]));
    text.extend_from_slice(b"', with args beginning with: ");
    let mut echoed = 0;
    for arg in args.iter().skip(1) {
        if echoed >= ECHO_MAX {
            break;
        }
        let part = up_to_zero(&arg[..arg.len().min(ECHO_MAX - echoed)]);
        text.push(b'\'');
        text.extend_from_slice(part);
        text.extend_from_slice(b"' ");
        echoed += part.len() + 3;
    }
    Fault::Raw(text)
}
