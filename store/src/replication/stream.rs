//! How a replica follows: the stream of its master, applied unit by unit.
//!
//! Law: a unit is applied as a whole, and its bytes are passed on as they came; between two units nothing of a third is
//! visible. What the master says happened: no gate refuses it, no key expires on its own.

use super::master::{LinkFault, Stage};
use super::transfer::write_ack;
use crate::engine::{Engine, LogLevel, Scope};
use crate::limits::MASTER_UNIT_MAX;
use crate::resp::request::{Batch, RequestLimits};
use crate::time::Now;

/// What a command of the stream is to those who get it from here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It belongs into the log.
    Data,
    /// Only replicas have to hear it.
    Talk,
    /// It asks how far this replica is.
    Question,
}

/// Where in a batch of commands a unit lies.
struct Unit {
    commands: std::ops::Range<usize>,
    bytes: std::ops::Range<usize>,
}

impl Engine {
    /// Takes bytes that came from the master.
    ///
    /// # Errors
    /// The link has to end.
    pub fn hear_master(&mut self, now: Now, attempt: u64, bytes: &[u8]) -> Result<(), LinkFault> {
        if self.wanted_master().is_some_and(|master| master.attempt == attempt) {
            self.replication.counters.input += bytes.len() as u64;
        }
        self.hear_kept(now, attempt, bytes)
    }

    /// Takes bytes of the master that the host has kept, and that were counted when they came.
    ///
    /// # Errors
    /// The link has to end.
    pub fn hear_kept(&mut self, now: Now, attempt: u64, bytes: &[u8]) -> Result<(), LinkFault> {
        self.advance(now);
        let Some(master) = self.replication.master.as_mut().filter(|master| master.attempt == attempt) else {
            return Err(LinkFault::Outdated);
        };
        master.heard_at = now.mono_ms;
        master.input.extend_from_slice(bytes);
        let heard = self.understand_master();
        // A role that changed on the way left effects.
        self.end_unit();
        heard
    }

    fn understand_master(&mut self) -> Result<(), LinkFault> {
        self.shake_hands()?;
        self.take_dataset()?;
        self.follow_stream()
    }

    /// The master goes on with a history that this replica shares.
    pub(super) fn continue_stream(&mut self, id: Option<String>) -> Result<(), LinkFault> {
        let Some(master) = &mut self.replication.master else { return Err(LinkFault::Outdated) };
        master.parsed = Default::default();
        if let Some(id) = id.filter(|id| *id != self.replication.history.id) {
            self.replication.history.rename(id, &self.data.feed);
            // Their history has another name now.
            self.detach_all();
        }
        self.keep_backlog();
        self.note("Successful partial resynchronization with master.");
        self.become_connected();
        Ok(())
    }

    /// Applies the units that are whole.
    fn follow_stream(&mut self) -> Result<(), LinkFault> {
        loop {
            let Some(master) = &mut self.replication.master else { return Ok(()) };
            if !matches!(master.stage, Stage::Connected) || master.input.is_empty() {
                return Ok(());
            }
            let mut input = std::mem::take(&mut master.input);
            let (mut parser, mut batch) = std::mem::take(&mut master.parsed);
            let limits = RequestLimits { bulk_max: i64::MAX, authenticated: true };
            let parsed = parser.parse_up_to(&input, limits, &mut batch, usize::MAX);
            let used = self.apply_units(&batch, &input);
            input.drain(..used);
            let Some(master) = &mut self.replication.master else { return Ok(()) };
            let waiting = input.len();
            master.input = input;
            // A long transaction is read once, not once for each piece of it that comes.
            if used == 0 {
                master.parsed = (parser, batch);
            }
            if let Err(fault) = parsed {
                return Err(LinkFault::Damaged(format!("{fault:?}")));
            }
            if waiting > MASTER_UNIT_MAX {
                return Err(LinkFault::Damaged("a transaction has no end".to_owned()));
            }
            if used == 0 {
                return Ok(());
            }
        }
    }

    /// Applies the whole units of a batch; returns how many bytes they took.
    fn apply_units(&mut self, batch: &Batch, input: &[u8]) -> usize {
        let slices = batch.slices(input);
        let mut used = 0;
        for unit in units(batch, &slices) {
            let Some(before) = self.replication.master.as_ref().map(|master| master.db) else { break };
            let mut for_log = false;
            let mut asked = false;
            for index in unit.commands {
                let args = &slices[batch.arguments_of(index)];
                match self.apply(args) {
                    Kind::Data => for_log = true,
                    Kind::Talk => {}
                    Kind::Question => asked = true,
                }
            }
            if asked {
                self.answer_master();
            }
            let after = self.replication.master.as_ref().map_or(before, |master| master.db);
            self.end_unit();
            self.data.feed.relay(&input[unit.bytes.clone()], for_log, (before, after));
            used = unit.bytes.end;
        }
        used
    }

    /// Applies one command of the stream.
    fn apply(&mut self, args: &[&[u8]]) -> Kind {
        let Some(command) = self.index.resolve(args) else {
            if !args.is_empty() {
                self.note_divergence(args, "unknown command");
            }
            return Kind::Talk;
        };
        match (command.row.name, args) {
            ("ping" | "multi" | "exec", _) => return Kind::Talk,
            ("replconf", [_, what, ..]) if what.eq_ignore_ascii_case(b"getack") => return Kind::Question,
            ("select", [_, db]) => {
                let known = crate::number::parse_i64(db).and_then(|db| usize::try_from(db).ok());
                match (known.filter(|&db| db < self.data.keyspace.count()), &mut self.replication.master) {
                    (Some(db), Some(master)) => master.db = db,
                    _ => self.note_divergence(args, "no such database"),
                }
                // Where the log is, the log is told when it matters.
                return Kind::Talk;
            }
            ("publish", [_, channel, message]) => {
                self.publish(Scope::Channel, channel, message);
                return Kind::Talk;
            }
            ("spublish", [_, channel, message]) => {
                self.publish(Scope::Shard, channel, message);
                return Kind::Talk;
            }
            _ => {}
        }
        let db = self.replication.master.as_ref().map_or(0, |master| master.db);
        match self.repeat(db, command, args) {
            Ok(()) => Kind::Data,
            Err(reason) => {
                self.note_divergence(args, &reason);
                // A log that holds it could not be loaded again.
                Kind::Talk
            }
        }
    }

    /// A command of the master cannot be repeated here: from here on the data differs.
    fn note_divergence(&mut self, args: &[&[u8]], reason: &str) {
        let name = String::from_utf8_lossy(args.first().copied().unwrap_or_default()).into_owned();
        let text = format!(
            "== CRITICAL == This replica is sending an error to its master: '{reason}' after processing the command \
                '{name}': the data here differs from now on"
        );
        self.host.note(LogLevel::Warning, text.as_bytes());
        self.stats.unexpected_errors += 1;
    }

    /// Says how far this replica is.
    pub(super) fn answer_master(&mut self) {
        let offset = self.data.feed.replica_offset();
        let synced = self.synced_offset();
        let now = self.now.mono_ms;
        if let Some(master) = self.replication.master.as_mut().filter(|master| master.is_connected()) {
            write_ack(&mut master.output, offset, synced);
            master.told_at = now;
        }
    }
}

/// The whole units of a batch: commands on their own, and transactions.
fn units(batch: &Batch, slices: &[&[u8]]) -> Vec<Unit> {
    let mut units = Vec::new();
    let (mut first, mut start, mut inside) = (0, 0, false);
    for index in 0..batch.len() {
        let is = |name: &[u8]| matches!(slices[batch.arguments_of(index)], [word] if word.eq_ignore_ascii_case(name));
        inside = (inside || is(b"multi")) && !is(b"exec");
        if !inside {
            let end = batch.bytes_of_first(index + 1);
            units.push(Unit { commands: first..index + 1, bytes: start..end });
            (first, start) = (index + 1, end);
        }
    }
    units
}
