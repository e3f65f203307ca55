//! What a master knows of one who follows it.

use crate::limits::FEED_BYTES;

/// What a client said about itself before it asked for the stream (REPLCONF).
#[derive(Clone, Debug, Default)]
pub(crate) struct Introduction {
    /// The port that it listens on.
    pub(crate) port: u16,
    /// The address that it is to be found at, if it is another one than that of the connection.
    pub(crate) address: Option<String>,
    /// It finds the end of a dataset whose length nobody knows beforehand.
    pub(crate) knows_mark: bool,
    /// It understands another name of the history.
    pub(crate) knows_names: bool,
    /// It wants the dataset and no stream.
    pub(crate) only_dataset: bool,
    /// It wants no keys.
    pub(crate) without_keys: bool,
    /// It wants no functions.
    pub(crate) without_functions: bool,
}

/// How far a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits for a dataset to be begun.
    Waiting,
    /// It gets this dataset, and has so many bytes of it.
    Dataset { payload: u64, sent: u64 },
    /// It has the dataset, and has not said so: what followed at once could be taken for part of it.
    Loading,
    /// It has what it came for.
    Fetched,
    /// It gets the stream.
    Online,
}

/// One who follows.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(super) stage: Stage,
    pub(super) introduction: Introduction,
    /// It spoke the protocol before there were partial syncs, and confirms nothing.
    pub(super) is_old: bool,
    /// Bytes that come before everything else.
    pub(super) words: Vec<u8>,
    /// The offset of the stream that it gets next.
    pub(super) next: u64,
    /// What it said it has.
    pub(super) acked: u64,
    /// What it said is safe on its disk.
    pub(super) synced: u64,
    /// When it came, in monotonic milliseconds.
    pub(super) attached_at: u64,
    /// When it said something, in monotonic milliseconds.
    pub(super) heard_at: u64,
    /// Since when more waits for it than the soft limit allows.
    pub(super) above_soft_since: Option<u64>,
}

impl Replica {
    pub(super) fn new(introduction: Introduction, is_old: bool, next: u64, now_ms: u64) -> Self {
        Self {
            stage: Stage::Waiting,
            introduction,
            is_old,
            words: Vec::new(),
            next,
            acked: 0,
            synced: 0,
            attached_at: now_ms,
            heard_at: now_ms,
            above_soft_since: None,
        }
    }

    /// Whether it confirms what it gets.
    pub(super) fn is_online(&self) -> bool {
        self.stage == Stage::Online
    }

    /// The name of its state in INFO.
    pub(super) fn state(&self) -> &'static str {
        match self.stage {
            Stage::Waiting => "wait_bgsave",
            // The words of Redis for a dataset that is sent as it is written.
            Stage::Dataset { .. } if self.introduction.knows_mark => "wait_bgsave",
            Stage::Dataset { .. } => "send_bulk",
            Stage::Loading | Stage::Online => "online",
            Stage::Fetched => "rdb_transmitted",
        }
    }

    /// Seconds since it said something.
    pub(super) fn lag_seconds(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.heard_at) / 1000
    }

    /// The address at which others reach it, where `peer` is the one it comes from.
    pub(super) fn address(&self, peer: &str) -> String {
        let of_peer = || {
            let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
            host.trim_start_matches('[').trim_end_matches(']').to_owned()
        };
        self.introduction.address.clone().unwrap_or_else(of_peer)
    }

    /// The part of `words` that fits into a hand-over of bytes.
    pub(super) fn take_words(&mut self, out: &mut Vec<u8>) {
        debug_assert!(self.words.len() <= FEED_BYTES, "words are few");
        out.append(&mut self.words);
    }
}
