//! A dataset that the host keeps aside until it is whole.
//!
//! Law: as long as it is not whole, this server is what it was before: its data is served, its own replicas stay, and
//! it can still go on with the history that it knows. A master that goes away halfway costs nothing but the transfer.
//!
//! How to use it, by a host that said [`Engine::keep_datasets`]: after each [`Engine::hear_master`] it asks
//! [`Engine::bytes_to_keep`]. With the last of them it calls [`Engine::begin_kept`], hands everything that it kept to
//! [`Engine::hear_kept`], and what `begin_kept` returned to it at the end.
//!
//! Not here: a dataset that grows beside the old data in memory, or replaces it as it comes in (`transfer.rs`).

use super::full_sync::MARK;
use super::master::{LinkFault, Stage};
use super::transfer::{Framing, Transfer};
use crate::engine::Engine;
use crate::time::Now;

/// A dataset on its way to the host.
pub(super) struct Incoming {
    framing: Framing,
    /// The history that it begins.
    begins: Option<(String, u64)>,
    /// Bytes so far.
    seen: u64,
    /// The last of them, where a mark may be.
    tail: Vec<u8>,
}

/// What a host that keeps datasets is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// These bytes are the next ones.
    More(Vec<u8>),
    /// These bytes are the last ones.
    Last(Vec<u8>),
}

impl Incoming {
    pub(super) fn new(framing: Framing, begins: Option<(String, u64)>) -> Self {
        Self { framing, begins, seen: 0, tail: Vec::new() }
    }

    /// Bytes so far, and bytes that the master said there are.
    pub(super) fn progress(&self) -> (u64, Option<u64>) {
        let total = match self.framing {
            Framing::Length(total) => Some(total),
            Framing::Mark(_) => None,
        };
        (self.seen, total)
    }

    /// Takes its bytes from what came; says which, and whether that is all.
    fn take(&mut self, input: &mut Vec<u8>) -> (Vec<u8>, bool) {
        match &self.framing {
            Framing::Length(total) => {
                let left = usize::try_from(total - self.seen).unwrap_or(usize::MAX);
                let mine: Vec<u8> = input.drain(..left.min(input.len())).collect();
                self.seen += mine.len() as u64;
                (mine, self.seen == *total)
            }
            // Behind the mark the master waits for a word of ours.
            Framing::Mark(mark) => {
                let mine = std::mem::take(input);
                self.seen += mine.len() as u64;
                self.tail.extend_from_slice(&mine[mine.len().saturating_sub(MARK)..]);
                self.tail.drain(..self.tail.len().saturating_sub(MARK));
                let whole = self.tail == *mark;
                (mine, whole)
            }
        }
    }
}

impl Engine {
    /// The host is able to keep a dataset of a master aside until it is whole.
    pub fn keep_datasets(&mut self) {
        self.replication.host_keeps = true;
    }

    /// Whether the next dataset is to be kept aside: there is something that it would replace.
    pub(super) fn wants_dataset_kept(&self) -> bool {
        let keyspace = &self.data.keyspace;
        let grows_aside = self.config.text("repl-diskless-load") == "swapdb";
        self.replication.host_keeps
            && !grows_aside
            && (0..keyspace.count()).any(|db| keyspace.db(db).len() > 0)
    }

    /// Takes the bytes that the host is to keep.
    pub fn bytes_to_keep(&mut self, attempt: u64) -> Keep {
        let Some(master) = self.replication.master.as_mut().filter(|master| master.attempt == attempt) else {
            return Keep::Nothing;
        };
        let Stage::Kept(incoming) = &mut master.stage else { return Keep::Nothing };
        match incoming.take(&mut master.input) {
            (bytes, true) => Keep::Last(bytes),
            (bytes, false) if bytes.is_empty() => Keep::Nothing,
            (bytes, false) => Keep::More(bytes),
        }
    }

    /// The host has all of a dataset: it takes the place of the data from now on. Returns what came behind it.
    ///
    /// # Errors
    /// The link is not wanted any more.
    pub fn begin_kept(&mut self, now: Now, attempt: u64) -> Result<Vec<u8>, LinkFault> {
        self.advance(now);
        let Some(master) = self.replication.master.as_mut().filter(|master| master.attempt == attempt) else {
            return Err(LinkFault::Outdated);
        };
        let Stage::Kept(incoming) = std::mem::replace(&mut master.stage, Stage::Apart) else {
            return Err(LinkFault::Outdated);
        };
        let rest = std::mem::take(&mut master.input);
        let Incoming { framing, begins, .. } = *incoming;
        let transfer = Transfer::begin(self, framing, begins);
        if let Some(master) = &mut self.replication.master {
            master.stage = Stage::Transfer(Box::new(transfer));
        }
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However the bytes come in, everything up to the end is kept, and what is behind it is left.
    #[test]
    fn the_end_is_found_in_pieces_of_any_size() {
        let mark = vec![b'm'; MARK];
        let marked = [&b"a dataset with mmm in it"[..], &mark].concat();
        let plain = b"a dataset";
        for piece in 1..=marked.len() {
            for (framing, bytes) in [
                (Framing::Mark(mark.clone()), &marked[..]),
                (Framing::Length(plain.len() as u64), &b"a dataset*1\r\n$4\r\nPING"[..]),
            ] {
                let whole = if matches!(framing, Framing::Mark(_)) { &marked[..] } else { &plain[..] };
                let mut incoming = Incoming::new(framing, None);
                let (mut kept, mut input, mut ended) = (Vec::new(), Vec::new(), false);
                for part in bytes.chunks(piece) {
                    input.extend_from_slice(part);
                    if !ended {
                        let (mine, last) = incoming.take(&mut input);
                        kept.extend(mine);
                        ended = last;
                    }
                }
                assert!(ended && kept == whole, "pieces of {piece}");
                assert_eq!([&kept[..], &input].concat(), bytes);
            }
        }
    }
}
