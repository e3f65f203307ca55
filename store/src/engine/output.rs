//! What the engine wants done in the world, beside the reply to the request at hand.

use bytes::Bytes;

use super::migration::Migration;
use super::session::ClientId;
use crate::config::Config;
use crate::keyspace::Garbage;

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
        /// It comes after the reply to the request at hand, not before.
        late: bool,
    },
    /// A connection to close, after what was sent to it.
    Close {
        /// Whose.
        client: ClientId,
    },
    /// There is something for those who follow: [`super::Engine::feed_replica`] hands it over.
    Fed,
    /// There is something for the link to the master: [`super::Engine::wanted_master`] and
    /// [`super::Engine::words_to_master`] say what.
    Link,
    /// Data that nobody needs any more: to be dropped where nobody waits for the engine.
    Garbage(Garbage),
    /// Work that needs the world. The client that asked is held until [`super::Engine::finish_step`].
    Step {
        /// Who asked, if anybody waits for the end.
        client: Option<ClientId>,
        /// What is to be done.
        step: Step,
    },
}

/// Work that needs the world.
#[derive(Clone, Debug)]
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
    /// The end that was asked for is not to be; who asks for it next is the first again.
    EndGivenUp,
    /// Write a snapshot, and let nobody else do anything: SAVE. [`super::Engine::saved`] takes note.
    Save,
    /// Write a snapshot while clients are served; [`super::Engine::run_begins`] and [`super::Engine::run_ended`] have
    /// to be told.
    SaveInBackground {
        /// The number of the run.
        number: u64,
    },
    /// The snapshot that is being written is not wanted any more.
    CancelSave,
    /// Rewrite the log while clients are served; as with [`Step::SaveInBackground`].
    RewriteLog {
        /// The number of the run.
        number: u64,
    },
    /// Load the snapshot: DEBUG RELOAD. See [`super::Engine::begin_reload`].
    Reload {
        /// Write it first.
        save: bool,
        /// Forget all data before.
        flush: bool,
        /// Keys that are there already are replaced.
        merge: bool,
    },
    /// Do nothing for this many microseconds, and let nobody else do anything: DEBUG SLEEP.
    Stall(u64),
    /// Wait so many microseconds before each write of the log from now on: DEBUG AOF-FLUSH-SLEEP.
    PauseBeforeWrites(u64),
    /// Write and sync the log, forget all data and replay the log: DEBUG LOADAOF.
    ReloadLog,
    /// Directives of the configuration changed. If the change cannot be made in the world,
    /// [`super::Engine::set_config`] takes the old one back.
    ConfigChanged {
        /// Which ones.
        names: Vec<&'static str>,
        /// The configuration before.
        before: Box<Config>,
    },
    /// Move keys to another server, and report with [`super::Engine::finish_migration`] instead of `finish_step`.
    Migrate(Box<Migration>),
    /// Panic, to see what becomes of it: DEBUG PANIC.
    Panic,
    /// Write a line into the log of the daemon: DEBUG LOG.
    Log(String),
    /// Write the directives that differ from their defaults (or all) into the configuration file: CONFIG REWRITE.
    RewriteConfig {
        /// Those that have their defaults too.
        all: bool,
    },
    /// Write all users into the ACL file: ACL SAVE.
    SaveUsers,
    /// Read all users from the ACL file: ACL LOAD.
    LoadUsers,
}
