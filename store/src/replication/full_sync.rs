//! The whole dataset for those who follow: one snapshot for all who wait for it.
//!
//! Law: a dataset is that of one instant, and the stream goes on exactly behind it. It is written in pieces while
//! clients are served, and never further ahead of the slowest reader than [`DATASET_AHEAD_MAX`]. Who knows the mark at
//! the end of a dataset gets it as it is written; who does not is told its length first, so it is written as a whole
//! before, as compressed as a snapshot is.

use std::collections::VecDeque;

use bytes::Bytes;

use super::replica::{Replica, Stage};
use super::resume::Place;
use crate::engine::{ClientId, Engine, Output};
use crate::limits::{DATASET_AHEAD_MAX, DATASET_PIECES_PER_TICK, WALK_VISITS_PER_PIECE};
use crate::rdb::{SnapshotHead, WalkId, WalkPiece};

/// Bytes of the mark at the end.
pub(super) const MARK: usize = 40;

/// A dataset on its way to replicas.
#[derive(Debug, Default)]
pub(super) struct Payload {
    pieces: VecDeque<Bytes>,
    /// How many bytes came before the first piece.
    start: u64,
    /// How many bytes there are so far.
    len: u64,
    /// What goes on writing it; nothing when it is whole.
    walk: Option<WalkId>,
    /// What comes behind it; nothing if its length comes before it.
    mark: Option<Vec<u8>>,
}

impl Payload {
    fn push(&mut self, piece: Vec<u8>) {
        self.len += piece.len() as u64;
        self.pieces.push_back(Bytes::from(piece));
    }

    /// Whether it can be read already.
    fn is_open(&self) -> bool {
        self.mark.is_some() || self.walk.is_none()
    }

    /// Whether nothing comes to it any more.
    pub(super) fn is_whole(&self) -> bool {
        self.walk.is_none()
    }

    /// Nothing of the dataset is missing: what comes around it is put there.
    fn finish(&mut self) {
        self.walk = None;
        match self.mark.take() {
            Some(mark) => self.push(mark),
            None => {
                let head = format!("${}\r\n", self.len).into_bytes();
                self.len += head.len() as u64;
                self.pieces.push_front(Bytes::from(head));
            }
        }
    }

    /// Copies at most `most` bytes from `at` on; returns how many.
    pub(super) fn read(&self, at: u64, most: usize, out: &mut Vec<u8>) -> u64 {
        if !self.is_open() {
            return 0;
        }
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
        if at == payload.len && payload.is_whole() {
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
        let due = if most > 0 && waiting.count() >= most { now } else { now + delay_ms };
        self.replication.sync_due = Some(self.replication.sync_due.map_or(due, |known| known.min(due)));
    }

    /// Writes datasets for all who wait, if it is time.
    pub(super) fn sync_if_due(&mut self) {
        if self.replication.sync_due.is_none_or(|due| due > self.now.mono_ms) {
            return;
        }
        self.replication.sync_due = None;
        let waiting = self.replication.replicas.values().find(|replica| replica.stage == Stage::Waiting);
        let Some(wanted) = waiting.map(Replica::wants) else { return };
        if self.begin_dataset(wanted) {
            self.outputs.push(Output::Fed);
        }
    }

    /// A snapshot is written, or given up: those who wait because of it, or for another kind of dataset, are next.
    pub(crate) fn walk_has_ended(&mut self) {
        if self.replication.replicas.values().any(|replica| replica.stage == Stage::Waiting) {
            self.replication.sync_due.get_or_insert(self.now.mono_ms);
        }
    }

    /// Whether a dataset is being written.
    pub(crate) fn writes_dataset(&self) -> bool {
        self.replication.payloads.values().any(|payload| payload.walk.is_some())
    }

    /// Begins a dataset for all who want this kind of it; says whether it could.
    fn begin_dataset(&mut self, wanted: (bool, bool, bool)) -> bool {
        let (marked, without_keys, without_functions) = wanted;
        let offset = self.data.feed.replica_offset();
        let head = SnapshotHead {
            unix_seconds: self.now.wall_ms() / 1000,
            used_memory: self.host.memory_used(),
            as_commands: false,
            is_log_base: false,
            place: Some(Place { id: self.replication.history.id.clone(), offset, db: 0 }),
            without_keys,
            without_functions,
        };
        let Ok(walk) = self.begin_walk(&head) else { return false };
        let pid = self.host.facts().process_id;
        self.note(&format!("Background RDB transfer started by pid {pid}"));
        // The reader of the stream knows no database yet.
        self.data.feed.forget_db();
        let mut payload = Payload { walk: Some(walk), ..Payload::default() };
        if marked {
            let mark = super::history::new_id(&mut self.data.rng);
            payload.push(format!("$EOF:{mark}\r\n").into_bytes());
            payload.mark = Some(mark.into_bytes());
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
        true
    }

    /// The least that anybody has of a dataset; nothing if nobody gets it.
    fn least_of(&self, number: u64) -> Option<u64> {
        let sent = self.replication.replicas.values().filter_map(|replica| match replica.stage {
            Stage::Dataset { payload, sent } if payload == number => Some(sent),
            _ => None,
        });
        sent.min()
    }

    /// The dataset that is to be written on, and what writes it: none if its readers are far behind it.
    fn dataset_to_write(&self) -> Option<(u64, WalkId)> {
        self.replication.payloads.iter().find_map(|(&number, payload)| {
            let least = self.least_of(number)?;
            let wanted = !payload.is_open() || payload.len.saturating_sub(least) < DATASET_AHEAD_MAX;
            payload.walk.filter(|_| wanted).map(|walk| (number, walk))
        })
    }

    /// When a dataset is to be written on, in monotonic milliseconds.
    pub(super) fn dataset_due(&self) -> Option<u64> {
        self.dataset_to_write().map(|_| self.dataset_slowed_until().unwrap_or(self.now.mono_ms))
    }

    /// Until when `rdb-key-save-delay` puts off what comes next, as long as it is not taken back.
    fn dataset_slowed_until(&self) -> Option<u64> {
        let until = self.replication.slowed_until;
        (until > self.now.mono_ms && self.config.integer("rdb-key-save-delay") > 0).then_some(until)
    }

    /// Writes some more of the dataset that is being written.
    pub(super) fn write_dataset_on(&mut self) {
        if self.dataset_slowed_until().is_some() {
            return;
        }
        let mut written = false;
        let delay_us = self.config.integer("rdb-key-save-delay").max(0) as u64;
        let (pieces, visits) =
            if delay_us > 0 { (1, 1) } else { (DATASET_PIECES_PER_TICK, WALK_VISITS_PER_PIECE) };
        for _ in 0..pieces {
            let Some((number, walk)) = self.dataset_to_write() else { break };
            let piece = self.walk_on(walk, visits);
            let keys = piece.as_ref().map_or(0, |piece| piece.keys);
            self.replication.slowed_until = self.now.mono_ms + (keys * delay_us).div_ceil(1000);
            let Some(payload) = self.replication.payloads.get_mut(&number) else { break };
            match piece {
                Some(WalkPiece { bytes, is_last, garbage, .. }) => {
                    payload.push(bytes);
                    if is_last {
                        payload.finish();
                        let readers = self.readers_of(number).len();
                        self.note(&format!(
                            "Diskless rdb transfer, done reading from pipe, {readers} replicas still up."
                        ));
                    }
                    written = true;
                    self.hand_on(garbage);
                }
                None => self.dataset_was_given_up(number),
            }
        }
        if written {
            self.outputs.push(Output::Fed);
        }
    }

    /// Everything was emptied: what replicas would get is not worth its time, and they begin again.
    pub(crate) fn give_up_datasets(&mut self) {
        let payloads = self.replication.payloads.iter();
        let walked: Vec<(u64, WalkId)> =
            payloads.filter_map(|(&number, payload)| Some((number, payload.walk?))).collect();
        for (number, walk) in walked {
            self.end_walk(walk);
            self.dataset_was_given_up(number);
        }
    }

    /// Somebody ended the snapshot that a dataset is made of: its readers have to ask again.
    fn dataset_was_given_up(&mut self, number: u64) {
        for client in self.readers_of(number) {
            self.detach(client);
            self.outputs.push(Output::Close { client });
        }
    }

    /// Who gets a dataset.
    fn readers_of(&self, number: u64) -> Vec<ClientId> {
        let reads =
            |replica: &Replica| matches!(replica.stage, Stage::Dataset { payload, .. } if payload == number);
        let replicas = self.replication.replicas.iter();
        replicas.filter(|(_, replica)| reads(replica)).map(|(&client, _)| client).collect()
    }

    /// Lets go of what nobody needs of the datasets.
    pub(super) fn drop_payloads(&mut self) {
        let numbers: Vec<u64> = self.replication.payloads.keys().copied().collect();
        for number in numbers {
            match self.least_of(number) {
                Some(least) => {
                    if let Some(payload) = self.replication.payloads.get_mut(&number) {
                        payload.trim(least);
                    }
                }
                None => {
                    let payload = self.replication.payloads.remove(&number);
                    if let Some(walk) = payload.and_then(|payload| payload.walk) {
                        self.note("Diskless rdb transfer, last replica dropped, killing fork child: the snapshot is given up");
                        self.end_walk(walk);
                    }
                }
            }
        }
    }

    /// Whether a replica waits for a dataset that cannot be read yet.
    pub(super) fn waits_for_length(&self, replica: &Replica) -> bool {
        match replica.stage {
            Stage::Dataset { payload, .. } => {
                self.replication.payloads.get(&payload).is_some_and(|payload| !payload.is_open())
            }
            _ => false,
        }
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
        let mut payload = Payload { mark: Some(b"k".to_vec()), ..Payload::default() };
        for piece in ["abc", "defgh", "i", "j"] {
            payload.push(piece.as_bytes().to_vec());
        }
        payload.finish();
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
        assert_eq!((&out[..], payload.pieces.len()), (&b"ijk"[..], 3));
    }

    #[test]
    fn who_needs_the_length_gets_nothing_before_it_is_known() {
        let mut out = Vec::new();
        let mut payload = Payload::default();
        payload.push(b"0123456789".to_vec());
        payload.finish();
        payload.read(0, 100, &mut out);
        assert_eq!(out, b"$10\r\n0123456789");
    }
}
