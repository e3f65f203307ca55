//! Keys on their way to another server: MIGRATE.
//!
//! Law: from the copy of the values to the word of the other side nothing here changes; writes wait, reads go on. One
//! migration at a time follows from that, because MIGRATE is a write.

use super::Engine;
use super::output::{Output, Step};
use super::session::ClientId;
use crate::command::{Fault, Outcome, Run};
use crate::time::Now;
use crate::txn::EventClass;

/// What goes where.
#[derive(Clone, Debug)]
pub struct Migration {
    /// Name or address of the other server.
    pub host: String,
    /// Its port.
    pub port: String,
    /// The address of this machine that is to be used, or nothing.
    pub source: String,
    /// The database there.
    pub db: i64,
    /// How long it may be silent, in milliseconds.
    pub timeout_ms: u64,
    /// How to get in.
    pub credentials: Option<Credentials>,
    /// Keys that are there already are replaced.
    pub replace: bool,
    /// The keys.
    pub moved: Vec<Moving>,
}

/// Name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The default user if there is none.
    pub user: Option<Box<[u8]>>,
    /// The secret.
    pub password: Box<[u8]>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Credentials(redacted)")
    }
}

/// A key on its way.
#[derive(Clone, Debug)]
pub struct Moving {
    /// Its name.
    pub key: Box<[u8]>,
    /// Milliseconds that it has left; 0 if it has no date.
    pub ttl_ms: u64,
    /// Its value, as DUMP gives it.
    pub payload: Vec<u8>,
}

/// What became of a migration.
#[derive(Debug, Default)]
pub struct Migrated {
    /// The keys that the other side has now.
    pub arrived: Vec<Box<[u8]>>,
    /// What went wrong with others.
    pub fault: Option<Fault>,
}

/// A migration that is going on.
#[derive(Debug)]
pub(crate) struct Underway {
    client: ClientId,
    db: usize,
}

impl Engine {
    /// Hands keys to the host; unless they are only copied, writes wait until it is done.
    pub(crate) fn begin_migration(&mut self, client: ClientId, migration: Migration, copy: bool) -> Run {
        let session = self.session_mut(client)?;
        session.held = true;
        let db = session.db;
        if !copy {
            self.migration = Some(Underway { client, db });
            self.settle_frozen();
        }
        self.outputs.push(Output::Step { client: Some(client), step: Step::Migrate(Box::new(migration)) });
        Ok(Outcome::Done)
    }

    /// Ends a migration: what has arrived is gone from here, and the client gets its reply.
    pub fn finish_migration(&mut self, now: Now, client: ClientId, migrated: Migrated) {
        self.advance(now);
        if let Some(db) = self.end_migration(client) {
            let mut txn = self.txn(db);
            let mut effect: Vec<&[u8]> = vec![b"DEL"];
            for key in &migrated.arrived {
                if txn.discard(key) {
                    txn.changed(key, EventClass::Generic, "del");
                    effect.push(key);
                }
            }
            if effect.len() > 1 {
                txn.effect(&effect);
            }
            self.end_unit();
        }
        if let Some(fault) = &migrated.fault {
            self.count_error(&fault.to_string());
        }
        self.finish_step(client, &migrated.fault.map_or(Ok(()), Err));
    }

    /// Lets writes go on, if they wait for a migration of this client; the database that it takes keys from.
    pub(super) fn end_migration(&mut self, client: ClientId) -> Option<usize> {
        let ended = self.migration.take_if(|underway| underway.client == client)?;
        self.settle_frozen();
        self.release_postponed();
        Some(ended.db)
    }

    /// Whether keys are on their way.
    pub(crate) fn is_migrating(&self) -> bool {
        self.migration.is_some()
    }
}

/// The request that moves a key, as the other side takes it.
pub fn restore_request(out: &mut Vec<u8>, moving: &Moving, replace: bool) {
    let ttl = moving.ttl_ms.to_string();
    let words: [&[u8]; 5] = [b"RESTORE", &moving.key, ttl.as_bytes(), &moving.payload, b"REPLACE"];
    let count = if replace { 5 } else { 4 };
    crate::resp::reply::write_command(out, &words[..count]);
}
