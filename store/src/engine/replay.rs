//! Repeating what a log says.
//!
//! Law: what the log says happened, so it happens again exactly so: no key expires on its own, no limit refuses
//! anything, nothing is stated as an effect. A command that fails here means that the log does not belong to the data
//! before it.

use std::fmt;

use super::Engine;
use crate::command::{Args, Group, Handler};
use crate::number::parse_i64;
use crate::resp::reply::{Protocol, Reply};
use crate::time::Now;
use crate::txn::{Origin, Txn};

/// Where a replay stands.
#[derive(Default)]
pub(super) struct ReplayState {
    db: usize,
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
            Self::Unknown(name) => write!(out, "unknown command '{name}'"),
            Self::Failed { command, error } => write!(out, "'{command}' failed: {error}"),
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
        if command.row.group == Group::Scripting {
            return self.replay_script(args).map_err(|fault| failed(fault.to_string()));
        }
        let mut scratch = std::mem::take(&mut self.replaying.scratch);
        scratch.clear();
        let mut reply = Reply::new(&mut scratch, Protocol::V2);
        // A log that is loaded again while clients are served must not be written a second time.
        let wanted = self.data.feed.is_wanted();
        self.data.feed.set_wanted(false);
        let mut txn = Txn::new(&mut self.data, self.replaying.db, now, Origin::Replay);
        let args = Args::new(args, command.words());
        let run = match command.row.handler {
            Handler::Data(run) => Some(run(&mut txn, args, &mut reply)),
            _ => None,
        };
        self.data.feed.set_wanted(wanted);
        self.replaying.scratch = scratch;
        // Nobody listens yet, and everything derived is derived when the load ends.
        self.data.events.clear();
        self.data.touched.take();
        self.data.touched.take_swept();
        run.ok_or_else(unknown)?.map(|_| ()).map_err(|fault| failed(fault.to_string()))
    }

    /// Whether a replay stands outside of MULTI and EXEC.
    pub fn replay_is_between_units(&self) -> bool {
        !self.replaying.in_multi
    }
}
