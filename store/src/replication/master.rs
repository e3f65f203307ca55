//! What a replica knows of its master.

use std::fmt;

use super::kept::Incoming;
use super::transfer::Transfer;
use crate::engine::ClientId;
use crate::resp::request::{Batch, Parser};

/// Where a master is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterAddress {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Changes with everything that ends a connection; bytes of an older one are not wanted any more.
    pub attempt: u64,
}

/// How far a link is.
pub(super) enum Stage {
    /// There is no connection.
    Apart,
    /// The two introduce themselves.
    Handshake(super::handshake::Step),
    /// The whole dataset comes in, and the host keeps it.
    Kept(Box<Incoming>),
    /// The whole dataset comes in.
    Transfer(Box<Transfer>),
    /// The stream comes in.
    Connected,
}

/// Whom this server follows.
pub(super) struct Master {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) attempt: u64,
    pub(super) stage: Stage,
    /// A connection is being made, or there is one.
    pub(super) is_reached: bool,
    /// Bytes that came and are not used yet.
    pub(super) input: Vec<u8>,
    /// How far they are read.
    pub(super) parsed: (Parser, Batch),
    /// Bytes that are to be sent.
    pub(super) output: Vec<u8>,
    /// When something came from it, in monotonic milliseconds.
    pub(super) heard_at: u64,
    /// When it was told how far we are.
    pub(super) told_at: u64,
    /// Since when there is no link, in monotonic milliseconds.
    pub(super) down_since: Option<u64>,
    /// The database of its stream.
    pub(super) db: usize,
    /// The history could not be gone on with the last time: everything is asked for.
    pub(super) from_nothing: bool,
    /// The session that stands for the link.
    pub(super) session: Option<ClientId>,
    /// It is asked to hand over its role.
    pub(super) takes_over: bool,
}

/// Why a link to a master ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkFault {
    /// The bytes belong to a connection that nobody wants any more.
    Outdated,
    /// The master says no, or something else than expected.
    Refused(String),
    /// What came is no dataset, or no stream.
    Damaged(String),
    /// The host could not keep a dataset.
    NotKept(String),
}

impl fmt::Display for LinkFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outdated => out.write_str("the link is not wanted any more"),
            Self::Refused(text) => write!(out, "the master answers: {text}"),
            Self::NotKept(text) => write!(out, "the dataset cannot be kept until it is whole: {text}"),
            Self::Damaged(text) => write!(out, "what the master sends makes no sense: {text}"),
        }
    }
}

impl std::error::Error for LinkFault {}

impl Master {
    pub(super) fn new(host: String, port: u16, attempt: u64, db: usize, now_ms: u64) -> Self {
        Self {
            host,
            port,
            attempt,
            stage: Stage::Apart,
            is_reached: false,
            input: Vec::new(),
            parsed: Default::default(),
            output: Vec::new(),
            heard_at: now_ms,
            told_at: now_ms,
            down_since: Some(now_ms),
            db,
            from_nothing: false,
            session: None,
            takes_over: false,
        }
    }

    /// Whether the stream comes in.
    pub(super) fn is_connected(&self) -> bool {
        matches!(self.stage, Stage::Connected)
    }

    /// Whether a whole dataset comes in.
    pub(super) fn is_taking_over(&self) -> bool {
        matches!(self.stage, Stage::Kept(_) | Stage::Transfer(_))
    }

    /// Bytes of the dataset that came so far, and bytes that the master said there are.
    pub(super) fn dataset_progress(&self) -> Option<(u64, Option<u64>)> {
        match &self.stage {
            Stage::Kept(incoming) => Some(incoming.progress()),
            Stage::Transfer(transfer) => Some((transfer.seen, transfer.total())),
            _ => None,
        }
    }

    /// The name of its state in ROLE.
    pub(super) fn state(&self) -> &'static str {
        match &self.stage {
            Stage::Apart if self.is_reached => "connecting",
            Stage::Apart => "connect",
            Stage::Handshake(_) => "handshake",
            Stage::Kept(_) | Stage::Transfer(_) => "sync",
            Stage::Connected => "connected",
        }
    }
}
