//! Writing snapshots, record by record: in the form of a snapshot, or as commands.
//!
//! Law: the writer keeps nothing but what was not taken yet, and knows nothing of where keys come from: whoever walks a
//! keyspace while it changes hands over one key after the other, and takes bytes in between.

use super::encode_huge::{self, InSnapshot, Parts};
use super::library::write_library;
use super::snapshot::{MAGIC, SCRIPT_FIELD, opcodes};
use super::{Output, Rope, VERSION, as_commands, encode};
use crate::durable::stamp;
use crate::keyspace::{EntryMut, EntryRef};
use crate::rdb::crc64::Crc64;
use crate::resp::reply::write_command;
use crate::table::Keyed;
use crate::thin::Held;
use crate::txn::Access;
use crate::waiting::Waiting;

/// What is written about the use of keys, for eviction after a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// Nothing.
    Unsaid,
    /// For how many seconds they were not used.
    Idle,
    /// How often they are used.
    Frequency,
}

/// Keys as records of a snapshot.
pub(crate) struct Records {
    output: Output,
    usage: Usage,
    /// How accesses are read, as of the beginning.
    access: Access,
    /// They are commands, not records.
    commands: bool,
}

impl Records {
    /// No records yet.
    pub(crate) fn new(compress: bool, usage: Usage, access: Access) -> Self {
        let mut output = Output::default();
        output.compress = compress;
        Self { output, usage, access, commands: false }
    }

    /// The same as commands, for a log.
    pub(crate) fn into_commands(self) -> Self {
        Self { commands: true, ..self }
    }

    /// The same form, without any records.
    pub(crate) fn like(&self) -> Self {
        Self { commands: self.commands, ..Self::new(self.output.compress, self.usage, self.access) }
    }

    /// Takes the bytes since the last time.
    pub(crate) fn take(&mut self) -> Rope {
        self.output.take()
    }

    /// Bytes that were not taken yet.
    pub(crate) fn pending(&self) -> usize {
        self.output.rope.len()
    }

    /// Bytes that were written elsewhere, in the same form.
    pub(crate) fn append(&mut self, bytes: Rope) {
        self.output.rope.append(bytes);
    }

    /// A key with its value and its date.
    pub(crate) fn entry(&mut self, entry: EntryRef<'_>) {
        if self.commands {
            return as_commands::entry(entry, &mut self.output);
        }
        let view = entry.view();
        self.head(entry, encode::type_of(view));
        encode::value(view, &mut self.output);
    }

    /// A key with its date, and the beginning of its value, which is huge.
    pub(crate) fn begin_huge(&mut self, entry: EntryRef<'_>, waiting: &Waiting) -> Parts {
        if !self.commands {
            let view = entry.view();
            self.head(entry, encode_huge::type_of(view));
            encode_huge::write_head(view, &mut self.output);
        }
        Parts::new(entry, waiting)
    }

    /// A part of a huge value, of about so many elements; says whether anything may be left.
    pub(crate) fn go_on(&mut self, parts: &mut Parts, entry: EntryMut<'_>, elements: usize) -> bool {
        let out = &mut self.output;
        if !self.commands {
            let smallest = parts.smallest();
            return parts.go_on(entry, elements, &mut InSnapshot { out, smallest });
        }
        let key = parts.key().to_vec();
        let mut batch = as_commands::Batch::new(&key, out);
        let is_left = parts.go_on(entry, elements, &mut batch);
        batch.end();
        if !is_left {
            as_commands::date(&key, parts.date(), out);
        }
        is_left
    }

    /// What stands before a value.
    fn head(&mut self, entry: EntryRef<'_>, kind: u8) {
        let Self { output, usage, access, .. } = self;
        if let Some(date) = entry.expires_at() {
            output.raw(&[opcodes::DATE_MS]);
            output.time(date);
        }
        match usage {
            Usage::Unsaid => {}
            Usage::Idle => {
                output.raw(&[opcodes::IDLE]);
                output.length(u64::from(access.idle_seconds(entry.access())));
            }
            Usage::Frequency => {
                output.raw(&[opcodes::FREQUENCY, access.frequency(entry.access()) as u8]);
            }
        }
        output.raw(&[kind]);
        output.string(entry.key());
    }
}

/// A snapshot that is being written.
pub(crate) struct Writer {
    records: Records,
    /// The database that the last record belongs to.
    database: Option<usize>,
    /// Of the bytes that were taken; nothing if no checksum is wanted.
    checksum: Option<Crc64>,
}

impl Writer {
    /// Begins a snapshot with records of this form.
    pub(crate) fn new(mut records: Records, checksum: bool) -> Self {
        if !records.commands {
            records.output.raw(MAGIC);
            records.output.raw(format!("{VERSION:04}").as_bytes());
        }
        Self { records, database: None, checksum: checksum.then(Crc64::default) }
    }

    /// Whether it is commands, not records.
    pub(crate) fn is_commands(&self) -> bool {
        self.records.commands
    }

    /// Says when it is written, in Unix seconds, if it is commands.
    pub(crate) fn stamp(&mut self, unix_seconds: u64) {
        self.records.output.raw(stamp(unix_seconds).as_bytes());
    }

    /// Bytes that were not taken yet.
    pub(crate) fn pending(&self) -> usize {
        self.records.pending()
    }

    /// Whether all that was written is taken at once.
    pub(crate) fn is_short(&self) -> bool {
        self.records.output.rope.is_short()
    }

    /// Takes bytes that were written: all of them, or a page of a long text and what stands before it.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let bytes = self.records.output.rope.take();
        if let Some(checksum) = &mut self.checksum {
            checksum.update(&bytes);
        }
        bytes
    }

    /// Something about the snapshot; readers pass over what they do not know.
    pub(crate) fn aux(&mut self, name: &str, value: &[u8]) {
        if self.records.commands {
            return;
        }
        self.records.output.raw(&[opcodes::AUX]);
        self.records.output.string(name.as_bytes());
        self.records.output.string(value);
    }

    /// A script of EVAL that outlives the process.
    pub(crate) fn script(&mut self, body: &[u8]) {
        if self.records.commands {
            return write_command(self.records.output.rope.end_mut(), &[b"SCRIPT", b"LOAD", body]);
        }
        self.aux(SCRIPT_FIELD, body);
    }

    /// A library of functions.
    pub(crate) fn library(&mut self, code: &[u8]) {
        if self.records.commands {
            return write_command(self.records.output.rope.end_mut(), &[b"FUNCTION", b"LOAD", code]);
        }
        write_library(code, &mut self.records.output);
    }

    /// Says about how large a database is, and that the keys that follow belong to it.
    pub(crate) fn database(&mut self, number: usize, keys: usize, dated: usize) {
        self.select(number);
        if self.records.commands {
            return;
        }
        self.records.output.raw(&[opcodes::SIZES]);
        self.records.output.count(keys);
        self.records.output.count(dated);
    }

    /// Says which database the keys that follow belong to, unless that is known.
    pub(crate) fn select(&mut self, number: usize) {
        if self.database.replace(number) == Some(number) {
            return;
        }
        if self.records.commands {
            as_commands::select(number, &mut self.records.output);
        } else {
            self.records.output.raw(&[opcodes::DATABASE]);
            self.records.output.count(number);
        }
    }

    /// A key with its value and its date.
    pub(crate) fn entry(&mut self, entry: EntryRef<'_>) {
        self.records.entry(entry);
    }

    /// Where keys go, one after the other.
    pub(crate) fn records_mut(&mut self) -> &mut Records {
        &mut self.records
    }

    /// Long texts that were written and are no longer wanted.
    pub(crate) fn take_spent(&mut self) -> Vec<Held> {
        self.records.output.rope.take_spent()
    }

    /// No records yet, in the form of these.
    pub(crate) fn like(&self) -> Records {
        self.records.like()
    }

    /// Ends a snapshot of which all that is left can be taken at once; that is returned.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        debug_assert!(self.is_short(), "long texts are written");
        if self.records.commands {
            return self.take();
        }
        self.records.output.raw(&[opcodes::END]);
        let mut bytes = self.take();
        let checksum = self.checksum.map_or(0, Crc64::value);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }
}
