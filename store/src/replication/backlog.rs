//! The backlog: the newest part of the stream of replication, once for all replicas.
//!
//! Law: bytes are kept by their offset and shared by reference: a replica is an offset, not a queue. What is older than
//! the size asked for goes, unless a replica still has to get it; who must not be waited for any longer is decided
//! elsewhere (`feeder.rs`), so that what is kept is bounded by that limit.

use std::collections::VecDeque;

use crate::limits::BACKLOG_BLOCK_BYTES;

/// A stretch of the stream.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// All but the last are full.
    blocks: VecDeque<Vec<u8>>,
    /// The offset of the first byte of the first block.
    start: u64,
    /// The offset behind the last byte.
    end: u64,
}

impl Backlog {
    /// An empty one, whose stream goes on at this offset.
    pub(crate) fn new(offset: u64) -> Self {
        Self { blocks: VecDeque::new(), start: offset, end: offset }
    }

    /// The offset of the first byte that is there.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// The offset behind the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> u64 {
        self.end - self.start
    }

    /// How many bytes of memory they take.
    pub(crate) fn taken(&self) -> u64 {
        (self.blocks.len() * BACKLOG_BLOCK_BYTES) as u64
    }

    /// Whether somebody who has everything up to this offset can go on here.
    pub(crate) fn reaches(&self, offset: u64) -> bool {
        (self.start..=self.end).contains(&offset)
    }

    /// Shifts all offsets: what is there comes behind so many bytes more.
    pub(crate) fn rebase(&mut self, by: u64) {
        self.start += by;
        self.end += by;
    }

    /// Appends bytes.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) {
        self.end += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = self.blocks.back().map_or(0, |block| BACKLOG_BLOCK_BYTES - block.len());
            if room == 0 {
                self.blocks.push_back(Vec::with_capacity(BACKLOG_BLOCK_BYTES));
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if let Some(block) = self.blocks.back_mut() {
                block.extend_from_slice(now);
            }
            bytes = later;
        }
    }

    /// Copies what comes from `offset` on to `out`, at most `most` bytes; returns how many.
    pub(crate) fn read(&self, offset: u64, most: usize, out: &mut Vec<u8>) -> usize {
        let behind = offset.saturating_sub(self.start) as usize;
        let mut left = most.min(self.end.saturating_sub(offset) as usize);
        let (mut index, mut at) = (behind / BACKLOG_BLOCK_BYTES, behind % BACKLOG_BLOCK_BYTES);
        let before = out.len();
        while left > 0 {
            let Some(block) = self.blocks.get(index) else { break };
            let part = &block[at..block.len().min(at + left)];
            out.extend_from_slice(part);
            left -= part.len();
            (index, at) = (index + 1, 0);
        }
        out.len() - before
    }

    /// Lets go of what lies before `offset`, in whole blocks.
    pub(crate) fn trim(&mut self, offset: u64) {
        while self.blocks.len() > 1 && self.start + BACKLOG_BLOCK_BYTES as u64 <= offset {
            self.blocks.pop_front();
            self.start += BACKLOG_BLOCK_BYTES as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_can_be_read_from_anywhere() {
        let mut backlog = Backlog::new(1000);
        let all: Vec<u8> = (0..3 * BACKLOG_BLOCK_BYTES + 17).map(|n| (n % 251) as u8).collect();
        for part in all.chunks(977) {
            backlog.append(part);
        }
        assert_eq!((backlog.start(), backlog.len()), (1000, all.len() as u64));
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..200 {
            let (from, most) = (rng.usize(..=all.len()), rng.usize(..2 * BACKLOG_BLOCK_BYTES));
            let mut out = Vec::new();
            let read = backlog.read(1000 + from as u64, most, &mut out);
            assert_eq!(read, out.len());
            assert_eq!(out, all[from..all.len().min(from + most)]);
        }
        backlog.trim(1000 + 2 * BACKLOG_BLOCK_BYTES as u64 + 5);
        assert_eq!(backlog.start(), 1000 + 2 * BACKLOG_BLOCK_BYTES as u64);
        assert!(!backlog.reaches(1000) && backlog.reaches(backlog.start()) && backlog.reaches(backlog.end()));
        assert!(!backlog.reaches(backlog.end() + 1));
        let mut out = Vec::new();
        backlog.read(backlog.start(), usize::MAX, &mut out);
        assert_eq!(out, all[2 * BACKLOG_BLOCK_BYTES..]);
    }
}
