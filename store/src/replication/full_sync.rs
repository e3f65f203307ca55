//! The whole dataset for those who follow: one snapshot for all who wait for it.
//!
//! Law: a dataset is that of one instant, and the stream goes on exactly behind it. Who knows the mark at the end of a
//! dataset gets it as it is written; who does not is told its length first.

use std::collections::VecDeque;

use bytes::Bytes;

use super::replica::{Replica, Stage};
use crate::engine::{ClientId, Engine, Output};
use crate::rdb::SnapshotHead;

/// Bytes of the mark at the end.
pub(super) const MARK: usize = 40;

/// A dataset on its way to replicas.
#[derive(Debug, Default)]
pub(super) struct Payload {
    pieces: VecDeque<Bytes>,
    /// How many bytes came before the first piece.
    start: u64,
    /// How many bytes there are.
    len: u64,
}

impl Payload {
    fn push(&mut self, piece: Vec<u8>) {
        self.len += piece.len() as u64;
        self.pieces.push_back(Bytes::from(piece));
    }

    /// Copies at most `most` bytes from `at` on; returns how many.
    pub(super) fn read(&self, at: u64, most: usize, out: &mut Vec<u8>) -> u64 {
        let (mut skip, mut left) = (at.saturating_sub(self.start) as usize, most);
        for piece in &self.pieces {
            if skip >= piece.len() {
                skip -= piece.len();
                continue;
            }
            let part = &piece[skip..piece.len().min(skip + left)];
            out.extend_from_slice(part);
            left -= part.len();
            skip = 0;
            if left == 0 {
                break;
            }
        }
        (most - left) as u64
    }

    /// Lets go of what everybody has.
    fn trim(&mut self, at: u64) {
        while self.pieces.front().is_some_and(|piece| self.start + piece.len() as u64 <= at) {
            self.start += self.pieces.pop_front().map_or(0, |piece| piece.len() as u64);
        }
    }
}

impl Replica {
    /// Takes note of what it has of a dataset.
    pub(super) fn advance_dataset(&mut self, payload: &Payload, at: u64) {
        let Stage::Dataset { sent, .. } = &mut self.stage else { return };
        *sent = at;
        if at == payload.len {
            self.stage = if self.introduction.only_dataset {
                Stage::Fetched
            } else if self.introduction.knows_mark {
                Stage::Loading
            } else {
                Stage::Online
            };
        }
    }

    /// What kind of dataset it wants: all who want the same share one.
    fn wants(&self) -> (bool, bool, bool) {
        let told = &self.introduction;
        (told.knows_mark, told.without_keys, told.without_functions)
    }
}

impl Engine {
    /// Has a dataset written for those who wait, soon: others may come who can share it.
    pub(super) fn schedule_sync(&mut self) {
        let delay_ms = 1000 * self.config.integer("repl-diskless-sync-delay") as u64;
        let delay_ms = if self.config.flag("repl-diskless-sync") { delay_ms } else { 0 };
        let waiting = self.replication.replicas.values().filter(|replica| replica.stage == Stage::Waiting);
        let most = self.config.size("repl-diskless-sync-max-replicas");
        let now = self.now.mono_ms;
        let due = if most > 0 && waiting.count() + 1 >= most { now } else { now + delay_ms };
        self.replication.sync_due = Some(self.replication.sync_due.map_or(due, |known| known.min(due)));
    }

    /// Writes datasets for all who wait, if it is time.
    pub(super) fn sync_if_due(&mut self) {
        if self.replication.sync_due.is_none_or(|due| due > self.now.mono_ms) {
            return;
        }
        self.replication.sync_due = None;
        // The reader of the stream knows no database yet.
        self.data.feed.forget_db();
        while let Some(wanted) = self
            .replication
            .replicas
            .values()
            .find(|replica| replica.stage == Stage::Waiting)
            .map(Replica::wants)
        {
            self.begin_dataset(wanted);
        }
        self.outputs.push(Output::Fed);
    }

    /// Writes one dataset, for all who want this kind of it.
    fn begin_dataset(&mut self, wanted: (bool, bool, bool)) {
        let (marked, without_keys, without_functions) = wanted;
        let offset = self.data.feed.replica_offset();
        let head = SnapshotHead {
            unix_seconds: self.now.wall_ms() / 1000,
            used_memory: self.host.memory_used(),
            is_log_base: false,
            stream: Some((0, self.replication.history.id.clone(), offset)),
            without_keys,
            without_functions,
        };
        let mut payload = Payload::default();
        let mark = marked.then(|| super::history::new_id(&mut self.data.rng));
        if let Some(mark) = &mark {
            payload.push(format!("$EOF:{mark}\r\n").into_bytes());
        }
        let mut dataset = Payload::default();
        let Ok(()) = self.write_snapshot(&head, |piece| {
            dataset.push(piece);
            Ok::<_, std::convert::Infallible>(())
        });
        if mark.is_none() {
            payload.push(format!("${}\r\n", dataset.len).into_bytes());
        }
        payload.len += dataset.len;
        payload.pieces.append(&mut dataset.pieces);
        if let Some(mark) = mark {
            payload.push(mark.into_bytes());
        }
        let number = self.replication.next_payload;
        self.replication.next_payload += 1;
        self.replication.payloads.insert(number, payload);
        let greeting = format!("+FULLRESYNC {} {offset}\r\n", self.replication.history.id);
        let now = self.now.mono_ms;
        for replica in self.replication.replicas.values_mut() {
            if replica.stage == Stage::Waiting && replica.wants() == wanted {
                replica.stage = Stage::Dataset { payload: number, sent: 0 };
                replica.next = offset;
                replica.heard_at = now;
                if !replica.is_old {
                    replica.words.extend_from_slice(greeting.as_bytes());
                }
            }
        }
    }

    /// Lets go of what nobody needs of the datasets.
    pub(super) fn drop_payloads(&mut self) {
        let replicas = &self.replication.replicas;
        let least = |number: u64| {
            let at = replicas.values().filter_map(|replica| match replica.stage {
                Stage::Dataset { payload, sent } if payload == number => Some(sent),
                _ => None,
            });
            at.min()
        };
        self.replication.payloads.retain(|&number, payload| match least(number) {
            Some(sent) => {
                payload.trim(sent);
                true
            }
            None => false,
        });
    }

    /// A replica has its dataset and says so: it gets the stream from now on.
    pub(super) fn begin_stream(&mut self, client: ClientId) {
        if let Some(replica) = self.replication.replicas.get_mut(&client)
            && replica.stage == Stage::Loading
        {
            replica.stage = Stage::Online;
            self.outputs.push(Output::Fed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_gets_all_pieces_at_his_own_pace() {
        let mut payload = Payload::default();
        for piece in ["abc", "defgh", "i", "jk"] {
            payload.push(piece.as_bytes().to_vec());
        }
        for most in 1..12 {
            let (mut at, mut out) = (0, Vec::new());
            while at < payload.len {
                at += payload.read(at, most, &mut out);
            }
            assert_eq!(out, b"abcdefghijk");
        }
        payload.trim(8);
        let mut out = Vec::new();
        assert_eq!(payload.read(8, 100, &mut out), 3);
        assert_eq!((&out[..], payload.pieces.len()), (&b"ijk"[..], 2));
    }
}
