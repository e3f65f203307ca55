//! CLIENT PAUSE: for a time nobody runs anything, or nobody writes.
//!
//! Law: a command that is held back is executed later as if it came later; it is neither answered nor lost. While
//! clients are paused, no key expires and none is evicted, so that data stands still.

use super::Engine;
use super::output::Output;
use super::session::ClientId;
use crate::command::flags;
use crate::command::index::Callable;

/// A pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause {
    /// Until when, in monotonic milliseconds.
    pub(crate) until: u64,
    /// Reads go on.
    pub(crate) only_writes: bool,
}

/// What may change data or what others hear.
const WRITES: u32 = flags::WRITE | flags::MAY_REPLICATE;

impl Engine {
    /// Begins a pause, or makes the one that is going on longer and wider.
    pub(crate) fn pause(&mut self, wanted: Pause) {
        let merged = match self.pause {
            Some(known) => Pause {
                until: known.until.max(wanted.until),
                only_writes: known.only_writes && wanted.only_writes,
            },
            None => wanted,
        };
        self.pause = Some(merged);
        self.settle_frozen();
    }

    /// Data stands still while clients are paused, and on a replica: there only the master decides what is gone.
    pub(crate) fn settle_frozen(&mut self) {
        self.data.frozen = self.pause.is_some() || self.is_migrating() || self.is_replica();
    }

    /// Ends the pause: who was held back goes on.
    pub(crate) fn unpause(&mut self) {
        self.pause = None;
        self.settle_frozen();
        self.release_postponed();
    }

    /// Lets those who are held back try again.
    pub(super) fn release_postponed(&mut self) {
        let mut held: Vec<ClientId> =
            self.sessions.values().filter(|session| session.postponed).map(|session| session.id).collect();
        held.sort_unstable();
        for client in held {
            if let Some(session) = self.sessions.get_mut(&client) {
                session.postponed = false;
            }
            // No bytes: the client may go on with what it has sent.
            self.outputs.push(Output::Reply { client, bytes: Vec::new() });
        }
    }

    /// Ends the pause if its time is over.
    pub(super) fn end_pause_if_due(&mut self) {
        if self.pause.is_some_and(|pause| pause.until <= self.now.mono_ms) {
            self.unpause();
        }
    }

    /// Whether a command has to wait for the end of the pause, or until keys have arrived elsewhere.
    pub(super) fn is_held_back(&self, client: ClientId, command: Callable, args: &[&[u8]]) -> bool {
        let Some(session) = self.sessions.get(&client) else { return false };
        let mut queued = session.multi.iter().flat_map(|multi| &multi.queue);
        self.pause.is_some_and(|pause| !pause.only_writes)
            || self.flags_of(command, args) & WRITES != 0
            || (command.row.name == "exec" && queued.any(|queued| queued.flags & WRITES != 0))
    }

    /// How many clients are held back.
    pub(crate) fn postponed_clients(&self) -> usize {
        if self.pause.is_none() && !self.is_migrating() {
            0
        } else {
            self.sessions.values().filter(|session| session.postponed).count()
        }
    }
}
