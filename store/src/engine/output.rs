//! What the engine wants done in the world, beside the reply to the request at hand.

use bytes::Bytes;

use super::session::ClientId;

/// Something for the host to do.
#[derive(Debug)]
pub enum Output {
    /// A reply to a client that waited. Its further requests may be executed now.
    Reply {
        /// Who gets it.
        client: ClientId,
        /// The reply.
        bytes: Vec<u8>,
    },
    /// A message to a client, between replies.
    Push {
        /// Who gets it.
        client: ClientId,
        /// The message; all receivers share it.
        bytes: Bytes,
    },
    /// A connection to close, after what was sent to it.
    Close {
        /// Whose.
        client: ClientId,
    },
    /// Work that needs the world. The client that asked is held until [`super::Engine::finish_step`].
    Step {
        /// Who asked, if anybody waits for the end.
        client: Option<ClientId>,
        /// What is to be done.
        step: Step,
    },
}

/// Work that needs the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// End the process.
    Shutdown {
        /// Write a snapshot first: as configured, always, or never.
        save: Option<bool>,
        /// Do not wait for replicas.
        now: bool,
        /// End even if something fails.
        force: bool,
    },
    /// Do nothing for this many microseconds, and let nobody else do anything: DEBUG SLEEP.
    Stall(u64),
    /// Write and sync the log, forget all data and replay the log: DEBUG LOADAOF.
    ReloadLog,
    /// Directives of the configuration changed.
    ConfigChanged(Vec<&'static str>),
}
