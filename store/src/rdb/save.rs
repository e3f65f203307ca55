//! A whole dataset as a snapshot.

use super::writer::{Records, Usage, Writer};
use crate::engine::Engine;
use crate::replication::Place;

/// What a snapshot says about itself.
#[derive(Clone, Debug, Default)]
pub struct SnapshotHead {
    /// When it is made, in Unix seconds.
    pub unix_seconds: u64,
    /// Bytes of memory that are used.
    pub used_memory: usize,
    /// A log goes on behind it.
    pub is_log_base: bool,
    /// It is written as commands (`aof-use-rdb-preamble no`).
    pub as_commands: bool,
    /// The place of the history of replication that the data is at.
    pub place: Option<Place>,
    /// It has no keys.
    pub without_keys: bool,
    /// It has no functions.
    pub without_functions: bool,
}

/// Bytes that are handed over at once, at least.
const PIECE: usize = 1 << 16;

impl Engine {
    /// Writes all data as a snapshot, in pieces, without a pause for anybody else.
    ///
    /// # Errors
    /// Those of `sink`; nothing more is written then.
    pub fn write_snapshot<E>(
        &self,
        head: &SnapshotHead,
        mut sink: impl FnMut(Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut writer = self.begin_snapshot(head);
        let databases = if head.without_keys { 0 } else { self.data.keyspace.count() };
        for index in 0..databases {
            let database = self.data.keyspace.db(index);
            if database.len() == 0 {
                continue;
            }
            writer.database(index, database.len(), database.dated());
            for entry in database.iter() {
                writer.entry(entry);
                while writer.pending() >= PIECE || !writer.is_short() {
                    sink(writer.take())?;
                }
            }
        }
        sink(writer.finish())
    }

    /// Begins a snapshot: everything that comes before keys.
    pub(crate) fn begin_snapshot(&self, head: &SnapshotHead) -> Writer {
        let records = Records::new(self.data.output.compress, self.policy.usage(), self.data.access);
        let records = if head.as_commands { records.into_commands() } else { records };
        let mut writer = Writer::new(records, self.config().flag("rdbchecksum"));
        if writer.is_commands() && self.config().flag("aof-timestamp-enabled") {
            writer.stamp(head.unix_seconds);
        }
        writer.aux("redis-ver", crate::COMPATIBLE_WITH.as_bytes());
        writer.aux("pbj-ver", env!("CARGO_PKG_VERSION").as_bytes());
        let mut number = |name: &str, value: u64| writer.aux(name, value.to_string().as_bytes());
        number("redis-bits", u64::from(usize::BITS));
        number("ctime", head.unix_seconds);
        number("used-mem", head.used_memory as u64);
        if let Some(Place { id, offset, db }) = &head.place {
            writer.aux("repl-stream-db", db.to_string().as_bytes());
            writer.aux("repl-id", id.as_bytes());
            writer.aux("repl-offset", offset.to_string().as_bytes());
        }
        writer.aux("aof-base", if head.is_log_base { b"1" } else { b"0" });
        if head.without_functions {
            return writer;
        }
        self.library_codes().for_each(|code| writer.library(code));
        self.lasting_scripts().for_each(|body| writer.script(body));
        writer
    }
}

impl crate::engine::Policy {
    /// What snapshots say about the use of keys.
    pub(crate) fn usage(self) -> Usage {
        use crate::txn::AccessMode;
        match self.access_mode() {
            AccessMode::Frequency => Usage::Frequency,
            AccessMode::Time { shares_integers: false } => Usage::Idle,
            AccessMode::Time { .. } => Usage::Unsaid,
        }
    }
}
