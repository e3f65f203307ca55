//! MONITOR and the slow log: what ran, for those who look on; secrets are left out.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Engine;
use super::output::Output;
use super::session::{ClientId, Session};
use crate::command::flags;
use crate::command::index::Callable;
use crate::config;

/// What stands in the place of a secret.
const REDACTED: &[u8] = b"(redacted)";
/// Most arguments of an entry of the slow log.
const SLOW_ARGS_MAX: usize = 32;
/// Longest argument of an entry of the slow log, in bytes.
const SLOW_ARG_MAX: usize = 128;

/// A command that took long.
#[derive(Clone, Debug)]
pub(crate) struct SlowEntry {
    pub(crate) id: u64,
    /// Unix seconds.
    pub(crate) at: u64,
    pub(crate) us: u64,
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) peer: String,
    pub(crate) name: Box<[u8]>,
}

/// The latest commands that took long, the newest first.
#[derive(Debug, Default)]
pub(crate) struct SlowLog {
    pub(crate) entries: VecDeque<SlowEntry>,
    next: u64,
}

/// The arguments of a request without what must not be seen.
fn redact<'a>(command: Callable, args: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let mut shown = args.to_vec();
    match command.full_name().as_str() {
        "auth" if args.len() <= 3 => shown.iter_mut().skip(1).for_each(|arg| *arg = REDACTED),
        "acl|setuser" => shown.iter_mut().skip(2).for_each(|arg| *arg = REDACTED),
        "hello" => {
            let at = args.iter().position(|arg| arg.eq_ignore_ascii_case(b"AUTH"));
            if let Some(at) = at {
                shown.iter_mut().skip(at + 1).take(2).for_each(|arg| *arg = REDACTED);
            }
        }
        "config|set" => {
            for at in (2..args.len().saturating_sub(1)).step_by(2) {
                let name = String::from_utf8_lossy(args[at]);
                if config::find(&name).is_some_and(|directive| directive.sensitive) {
                    shown[at + 1] = REDACTED;
                }
            }
        }
        "migrate" => {
            for (at, arg) in args.iter().enumerate() {
                let secrets = match () {
                    () if arg.eq_ignore_ascii_case(b"AUTH") => 1,
                    () if arg.eq_ignore_ascii_case(b"AUTH2") => 2,
                    () => continue,
                };
                shown.iter_mut().skip(at + 1).take(secrets).for_each(|arg| *arg = REDACTED);
            }
        }
        _ => {}
    }
    shown
}

/// Bytes in quotes, as a program would write them.
fn quote(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            7 => out.extend(b"\\a"),
            8 => out.extend(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => out.extend(format!("\\x{byte:02x}").into_bytes()),
        }
    }
    out.push(b'"');
}

impl Engine {
    /// A client wants to see all commands from now on.
    pub(crate) fn start_monitor(&mut self, client: ClientId) {
        if let Some(session) = self.sessions.get_mut(&client) {
            session.monitors = true;
            self.monitors.insert(client);
        }
    }

    /// A client does not want to see commands any more.
    pub(crate) fn stop_monitor(&mut self, client: ClientId) {
        if let Some(session) = self.sessions.get_mut(&client) {
            session.monitors = false;
        }
        self.monitors.remove(&client);
    }

    /// Shows a command to those who look on.
    pub(super) fn show_to_monitors(&mut self, client: ClientId, command: Callable, args: &[&[u8]]) {
        if self.loading || command.row.flags & (flags::SKIP_MONITOR | flags::ADMIN) != 0 {
            return;
        }
        let Some(session) = self.sessions.get(&client) else { return };
        let (db, addr) = (session.db, session.peer.addr.clone());
        self.show_line(db, &addr, command, args);
    }

    /// Shows the call of a script, before the commands that it runs.
    pub(crate) fn show_script(&mut self, client: ClientId, args: &[&[u8]]) {
        if self.monitors.is_empty() || self.loading {
            return;
        }
        if let (Some(session), Some(command)) = (self.sessions.get(&client), self.index.resolve(args)) {
            let (db, addr) = (session.db, session.peer.addr.clone());
            self.show_line(db, &addr, command, args);
        }
    }

    /// Shows a command of a script.
    pub(super) fn show_of_script(&mut self, db: usize, command: Callable, args: &[&[u8]]) {
        if !self.loading && command.row.flags & (flags::SKIP_MONITOR | flags::ADMIN) == 0 {
            self.show_line(db, "lua", command, args);
        }
    }

    fn show_line(&mut self, db: usize, addr: &str, command: Callable, args: &[&[u8]]) {
        let us = self.now.wall_us;
        let mut line = format!("+{}.{:06} [{db} {addr}]", us / 1_000_000, us % 1_000_000).into_bytes();
        for arg in redact(command, args) {
            line.push(b' ');
            quote(arg, &mut line);
        }
        line.extend_from_slice(b"\r\n");
        let bytes = Bytes::from(line);
        for &client in &self.monitors {
            self.outputs.push(Output::Push { client, bytes: bytes.clone(), late: true });
        }
    }

    /// Notes a command that took long.
    pub(super) fn note_slow(&mut self, client: ClientId, command: Callable, args: &[&[u8]], ns: u64) {
        let us = ns / 1000;
        let slower_than = self.config.slower_than();
        if command.row.is(flags::SKIP_SLOWLOG) || slower_than.is_none_or(|limit| us < limit) {
            return;
        }
        let shown = redact(command, args);
        let count = shown.len();
        let kept = if count > SLOW_ARGS_MAX { SLOW_ARGS_MAX - 1 } else { count };
        let mut args: Vec<Vec<u8>> = shown[..kept]
            .iter()
            .map(|arg| match arg.len().checked_sub(SLOW_ARG_MAX) {
                Some(more @ 1..) => {
                    [&arg[..SLOW_ARG_MAX], format!("... ({more} more bytes)").as_bytes()].concat()
                }
                _ => arg.to_vec(),
            })
            .collect();
        if kept < count {
            args.push(format!("... ({} more arguments)", count - kept).into_bytes());
        }
        let (peer, name) = self.sessions.get(&client).map_or_else(Default::default, |session: &Session| {
            (session.peer.addr.clone(), session.name.clone())
        });
        let id = self.slow_log.next;
        self.slow_log.next += 1;
        self.slow_log.entries.push_front(SlowEntry {
            id,
            at: self.now.wall_ms() / 1000,
            us,
            args,
            peer,
            name,
        });
        self.slow_log.entries.truncate(self.config.size("slowlog-max-len"));
    }
}
