//! Repeating what a log says.
//!
//! Law: what the log says happened, so it happens again exactly so: no key expires on its own, no limit refuses
//! anything, nothing is stated as an effect. A command that fails here means that the log does not belong to the data
//! before it.

use std::fmt;

use super::Engine;
use crate::command::index::Callable;
use crate::command::{Args, Group, Handler};
use crate::number::parse_i64;
use crate::resp::reply::{Protocol, Reply};
use crate::time::Now;
use crate::txn::{Origin, Txn};

/// Where a replay stands.
#[derive(Default)]
pub(super) struct ReplayState {
    pub(super) db: usize,
    /// Inside MULTI and EXEC of the log.
    in_multi: bool,
    scratch: Vec<u8>,
}

/// Why a command of a log cannot be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayFault {
    /// No such command, or none that a log can hold.
    Unknown(String),
    /// The command failed.
    Failed {
        /// Its name.
        command: String,
        /// Its error.
        error: String,
    },
}

impl fmt::Display for ReplayFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(out, "Unknown command '{name}'"),
            Self::Failed { command, error } => write!(out, "Command '{command}' failed ({error})"),
        }
    }
}

impl std::error::Error for ReplayFault {}

impl Engine {
    /// Repeats one command of a log.
    ///
    /// # Errors
    /// The command cannot be repeated.
    pub fn replay(&mut self, now: Now, args: &[&[u8]]) -> Result<(), ReplayFault> {
        #[cfg(debug_assertions)]
        self.repeat_on_shadow(now, args);
        self.now = now;
        let name = args.first().copied().unwrap_or_default();
        let unknown = || ReplayFault::Unknown(String::from_utf8_lossy(name).into_owned());
        let command = self.index.resolve_own(args).ok_or_else(unknown)?;
        let failed = |error: String| ReplayFault::Failed { command: command.full_name(), error };
        if !command.row.takes(args.len()) {
            return Err(failed("wrong number of arguments".to_owned()));
        }
        match (command.row.name, args) {
            ("select", [_, db]) => {
                let db = parse_i64(db).and_then(|db| usize::try_from(db).ok());
                let db = db.filter(|&db| db < self.data.keyspace.count());
                self.replaying.db = db.ok_or_else(|| failed("no such database".to_owned()))?;
                return Ok(());
            }
            ("multi", _) => {
                self.replaying.in_multi = true;
                return Ok(());
            }
            ("exec", _) => {
                self.replaying.in_multi = false;
                return Ok(());
            }
            _ => {}
        }
        // What a replica passed on as it came may hold what only replicas have to hear.
        if ["ping", "publish", "spublish", "replconf"].contains(&command.row.name) {
            return Ok(());
        }
        let db = self.replaying.db;
        let repeated = self.run_again(now, db, command, args);
        // Nobody listens yet, and everything derived is derived when the load ends.
        self.data.events.clear();
        self.data.touched.take();
        self.data.touched.take_swept();
        repeated.ok_or_else(unknown)?.map_err(failed)
    }

    /// Repeats a command of a master in one of its databases; what follows from it is left to the end of the unit.
    ///
    /// # Errors
    /// Why it cannot be repeated.
    pub(crate) fn repeat(&mut self, db: usize, command: Callable, args: &[&[u8]]) -> Result<(), String> {
        if !command.row.takes(args.len()) {
            return Err("wrong number of arguments".to_owned());
        }
        let now = self.now;
        #[cfg(debug_assertions)]
        self.repeat_on_shadow_in(now, db, args);
        let repeated = self.run_again(now, db, command, args);
        self.stats.by_command[command.id as usize].calls += 1;
        repeated.unwrap_or_else(|| Err("not a command of a stream".to_owned()))
    }

    /// Runs the handler of a command that happened; nothing if it is none that can be repeated.
    fn run_again(
        &mut self,
        now: Now,
        db: usize,
        command: Callable,
        args: &[&[u8]],
    ) -> Option<Result<(), String>> {
        if command.row.group == Group::Scripting {
            return Some(self.replay_script(db, args).map_err(|fault| fault.to_string()));
        }
        let Handler::Data(run) = command.row.handler else { return None };
        let mut scratch = std::mem::take(&mut self.replaying.scratch);
        scratch.clear();
        let mut reply = Reply::new(&mut scratch, Protocol::V2);
        // A log that is loaded again while clients are served must not be written a second time.
        let wanted = self.data.feed.is_wanted();
        self.data.feed.set_wanted(false);
        let mut txn = Txn::new(&mut self.data, db, now, Origin::Replay);
        let run = run(&mut txn, Args::new(args, command.words()), &mut reply);
        self.data.feed.set_wanted(wanted);
        self.replaying.scratch = scratch;
        Some(run.map(|_| ()).map_err(|fault| fault.to_string()))
    }

    /// Whether a replay stands outside of MULTI and EXEC.
    pub fn replay_is_between_units(&self) -> bool {
        !self.replaying.in_multi
    }
}
