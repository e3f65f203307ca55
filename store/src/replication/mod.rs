//! Replication: one stream of effects, and those who follow it.
//!
//! Law: everything here is a state machine over bytes; whoever has sockets moves them. A history has a name (forty
//! digits) and its bytes have offsets; a replica that knows both goes on where it was, if the bytes are still there.
//! What a master sends is applied unit by unit and passed on byte by byte: the offsets of a whole chain are those of
//! its head.
//!
//! - `backlog`: the newest part of the stream, once for all replicas.
//! - `replica` is what a master knows of one of them, `feeder` what it does for them, `full_sync` how it gives them the
//!   whole dataset, `acks` what they confirm.
//! - `master` is what a replica knows of its master, `handshake` how it introduces itself, `transfer` how it takes the
//!   whole dataset over, `stream` how it follows.
//! - `own_dates` are keys that only this replica has.
//! - `role` is going from one side to the other, `failover` doing so without losing anything, `report` what INFO and
//!   ROLE say, `resume` how a restart goes on with a history.
//!
//! Source of the protocol: replication.c of Redis 7.0.15, and captures of it.

mod acks;
mod backlog;
mod failover;
mod feeder;
mod full_sync;
mod handshake;
mod history;
mod kept;
mod master;
mod own_dates;
mod replica;
mod report;
mod resume;
mod role;
mod stream;
mod transfer;

use std::collections::BTreeMap;

pub(crate) use acks::AckWait;
pub use feeder::Feeding;
pub(crate) use feeder::Request;
pub(crate) use history::{History, new_id};
pub use kept::Keep;
pub use master::{LinkFault, MasterAddress};
pub(crate) use replica::{Introduction, Replica};
pub use report::ReplicationCounts;
pub use resume::Place;
pub(crate) use resume::PlaceReader;

use crate::engine::ClientId;
use acks::Marks;
use backlog::Backlog;
use failover::Failover;
use full_sync::Payload;
use master::Master;

/// Everything about replication.
pub(crate) struct Replication {
    /// The history that the data belongs to.
    pub(crate) history: History,
    /// The newest part of the stream, if anybody ever asked for it.
    backlog: Option<Backlog>,
    /// Those who follow.
    replicas: BTreeMap<ClientId, Replica>,
    /// Whole datasets on their way to replicas.
    payloads: BTreeMap<u64, Payload>,
    next_payload: u64,
    /// When a dataset is to be written for those who wait for it, in monotonic milliseconds.
    sync_due: Option<u64>,
    /// Until when the next piece of a dataset is put off, in monotonic milliseconds.
    slowed_until: u64,
    /// Since when nobody follows, in monotonic milliseconds.
    deserted_at: Option<u64>,
    /// When replicas, master and clients that wait for either are looked after next, in monotonic milliseconds.
    look_at: u64,
    /// When replicas were last told that the master is there.
    pinged_at: u64,
    /// A request for a word of all replicas is wanted at the end of the unit.
    ask: bool,
    /// Which places in the log are which offsets.
    marks: Marks,
    /// Whom this server follows.
    master: Option<Master>,
    /// The database in which the stream of the next one goes on.
    resumed_db: usize,
    /// The history that the log knows the name of.
    pub(crate) logged_id: Option<String>,
    /// Keys that clients wrote while this server follows.
    own_dates: own_dates::OwnDates,
    /// A client writes, although this server follows.
    local_write: bool,
    /// The host is able to keep a dataset until it is whole.
    host_keeps: bool,
    /// The number of the last attempt to reach one.
    last_attempt: u64,
    /// The role is being handed over.
    failover: Option<Failover>,
    /// Counters for INFO.
    pub(crate) counters: SyncCounters,
}

/// Counters for INFO.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SyncCounters {
    pub(crate) full: u64,
    pub(crate) partial: u64,
    pub(crate) partial_refused: u64,
    /// Bytes that came from masters.
    pub(crate) input: u64,
    /// Bytes that went to replicas.
    pub(crate) output: u64,
}

impl Replication {
    pub(crate) fn new(id: String) -> Self {
        Self {
            history: History::new(id),
            backlog: None,
            replicas: BTreeMap::new(),
            payloads: BTreeMap::new(),
            next_payload: 0,
            sync_due: None,
            slowed_until: 0,
            deserted_at: None,
            look_at: 0,
            pinged_at: 0,
            ask: false,
            marks: Marks::default(),
            master: None,
            own_dates: own_dates::OwnDates::default(),
            local_write: false,
            resumed_db: 0,
            logged_id: None,
            host_keeps: false,
            last_attempt: 0,
            failover: None,
            counters: SyncCounters::default(),
        }
    }
}
