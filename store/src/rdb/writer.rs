//! Writing snapshots, record by record.
//!
//! Law: the writer keeps nothing but what was not taken yet, and knows nothing of where keys come from: whoever walks a
//! keyspace while it changes hands over one key after the other, and takes bytes in between.

use super::library::write_library;
use super::snapshot::{MAGIC, SCRIPT_FIELD, opcodes};
use super::{Output, VERSION, encode};
use crate::keyspace::EntryRef;
use crate::rdb::crc64::Crc64;
use crate::table::Keyed;
use crate::txn::Access;

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

/// A snapshot that is being written.
pub(crate) struct Writer {
    output: Output,
    /// Of the bytes that were taken; nothing if no checksum is wanted.
    checksum: Option<Crc64>,
}

impl Writer {
    /// Begins a snapshot.
    pub(crate) fn new(compress: bool, checksum: bool) -> Self {
        let mut output = Output::default();
        output.compress = compress;
        output.raw(MAGIC);
        output.raw(format!("{VERSION:04}").as_bytes());
        Self { output, checksum: checksum.then(Crc64::default) }
    }

    /// Bytes that were not taken yet.
    pub(crate) fn pending(&self) -> usize {
        self.output.bytes.len()
    }

    /// Takes the bytes since the last time.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let bytes = self.output.take();
        if let Some(checksum) = &mut self.checksum {
            checksum.update(&bytes);
        }
        bytes
    }

    /// Something about the snapshot; readers pass over what they do not know.
    pub(crate) fn aux(&mut self, name: &str, value: &[u8]) {
        self.output.raw(&[opcodes::AUX]);
        self.output.string(name.as_bytes());
        self.output.string(value);
    }

    /// A script of EVAL that outlives the process.
    pub(crate) fn script(&mut self, body: &[u8]) {
        self.aux(SCRIPT_FIELD, body);
    }

    /// A library of functions.
    pub(crate) fn library(&mut self, code: &[u8]) {
        write_library(code, &mut self.output);
    }

    /// Says which database the keys that follow belong to, and about how large it is.
    pub(crate) fn database(&mut self, number: usize, keys: usize, dated: usize) {
        self.output.raw(&[opcodes::DATABASE]);
        self.output.count(number);
        self.output.raw(&[opcodes::SIZES]);
        self.output.count(keys);
        self.output.count(dated);
    }

    /// A key with its value and its date.
    pub(crate) fn entry(&mut self, entry: EntryRef<'_>, usage: Usage, access: &Access) {
        let output = &mut self.output;
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
        let view = entry.view();
        output.raw(&[encode::type_of(view)]);
        output.string(entry.key());
        encode::value(view, output);
    }

    /// Ends the snapshot; the last bytes are returned.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.output.raw(&[opcodes::END]);
        let mut bytes = self.take();
        let checksum = self.checksum.map_or(0, Crc64::value);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }
}
