//! Reading snapshots, record by record, out of bytes that come in pieces.
//!
//! Law: what was read is not kept and not read again, and what is not whole yet waits for more. A record is handed over
//! before the checksum of the snapshot is known: who must not serve half of one waits for the end.

use super::cursor::Cursor;
use super::decode::{Decoder, Loaded, Setup, module_name};
use super::fault::RdbFault;
use super::library::read_library;
use super::snapshot::{FIRST_WITH_CHECKSUM, HEAD, MAGIC, MAGIC_OF_VALKEY, opcodes};
use super::{VALKEY, crc64::Crc64};
use crate::number::parse_u64;

/// Slots of a cluster.
const SLOTS: u64 = 16384;

/// A record.
pub(crate) enum Record {
    /// Something about the snapshot.
    Aux {
        /// What it is about.
        name: Vec<u8>,
        /// What it says.
        value: Vec<u8>,
    },
    /// A library of functions.
    Library(Vec<u8>),
    /// The keys that follow belong to this database.
    Database(u64),
    /// Something of a module that is not there was passed over.
    ModuleAux {
        /// Which type of which module.
        name: String,
    },
    /// A key with its value.
    Entry {
        /// The key.
        key: Vec<u8>,
        /// Its value.
        loaded: Loaded,
        /// What else is known of it.
        attributes: Attributes,
    },
    /// The snapshot ends here, and its checksum is right.
    End,
}

/// What is known of a key beside its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// When it expires, in Unix milliseconds.
    pub(crate) expires_at: Option<u64>,
    /// For how many seconds it was not used.
    pub(crate) idle_seconds: Option<i64>,
    /// How often it is used.
    pub(crate) frequency: Option<i64>,
}

/// A snapshot that is being read.
pub(crate) struct Reader {
    buffer: Vec<u8>,
    /// What of the buffer was read.
    at: usize,
    /// Where in the snapshot the buffer begins.
    start: u64,
    checksum: Crc64,
    /// Where in the buffer that begins what was read and is not in the checksum yet: many records are summed at once.
    summed: usize,
    parser: Parser,
}

/// What is expected next.
struct Parser {
    state: State,
    version: u16,
    /// Whether the checksum is compared.
    checked: bool,
    /// What is known of the next key.
    attributes: Attributes,
}

enum State {
    /// Magic and version.
    Head,
    /// A record.
    Record,
    /// The value of a key.
    Value { key: Vec<u8>, decoder: Decoder },
    /// Parts of something of a module.
    Module { name: String },
    /// The checksum.
    Checksum,
    /// Nothing.
    End,
}

impl Reader {
    /// Begins to read; without `checked`, a wrong checksum is none.
    pub(crate) fn new(checked: bool) -> Self {
        let parser = Parser { state: State::Head, version: 0, checked, attributes: Attributes::default() };
        Self { buffer: Vec::new(), at: 0, start: 0, checksum: Crc64::default(), summed: 0, parser }
    }

    /// Adds bytes of the snapshot.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        // What is left is less than a record, or than one element of a value.
        self.sum();
        self.buffer.drain(..self.at);
        self.start += self.at as u64;
        (self.at, self.summed) = (0, 0);
        self.buffer.extend_from_slice(bytes);
    }

    /// Adds what was read to the checksum, which itself is not a part of it.
    fn sum(&mut self) {
        self.checksum.update(&self.buffer[self.summed..self.at]);
        self.summed = self.at;
    }

    /// How many bytes were read.
    pub(crate) fn offset(&self) -> u64 {
        self.start + self.at as u64
    }

    /// The key whose value is being read.
    pub(crate) fn key(&self) -> Option<&[u8]> {
        match &self.parser.state {
            State::Value { key, .. } => Some(key),
            _ => None,
        }
    }

    /// The bytes that were not read: those behind the end, once it was reached.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// The next record; nothing if there are not enough bytes for it yet, or the end was reached. `setup` says what the
    /// collection at a key has to know.
    ///
    /// # Errors
    /// This is no snapshot.
    pub(crate) fn next(&mut self, setup: &dyn Fn(&[u8]) -> Setup) -> Result<Option<Record>, RdbFault> {
        while !matches!(self.parser.state, State::End) {
            if matches!(self.parser.state, State::Checksum) {
                self.sum();
            }
            let mut cursor = Cursor::new(&self.buffer[self.at..]);
            let read = self.parser.read(&mut cursor, setup, self.checksum.value());
            self.at += cursor.position();
            match read {
                Ok(None) => {}
                Err(RdbFault::Truncated) => return Ok(None),
                other => return other,
            }
        }
        Ok(None)
    }
}

impl Parser {
    /// Reads one thing, which may be no record of its own.
    fn read(
        &mut self,
        cursor: &mut Cursor<'_>,
        setup: &dyn Fn(&[u8]) -> Setup,
        checksum: u64,
    ) -> Result<Option<Record>, RdbFault> {
        let (next, record) = match &mut self.state {
            State::Head => {
                self.version = cursor.whole(read_head)?;
                (State::Record, None)
            }
            State::Record => cursor.whole(|cursor| self.record(cursor))?,
            State::Value { key, decoder } => {
                let loaded = decoder.read(cursor, &setup(key))?;
                let (key, attributes) = (std::mem::take(key), std::mem::take(&mut self.attributes));
                (State::Record, Some(Record::Entry { key, loaded, attributes }))
            }
            State::Module { name } => {
                while cursor.whole(skip_module_part)? {}
                (State::Record, Some(Record::ModuleAux { name: std::mem::take(name) }))
            }
            State::Checksum => {
                let found = u64::from_le_bytes(cursor.array()?);
                if self.checked && found != 0 && found != checksum {
                    return Err(RdbFault::Checksum { found, expected: checksum });
                }
                (State::End, Some(Record::End))
            }
            State::End => (State::End, None),
        };
        self.state = next;
        Ok(record)
    }

    /// A record, or what stands before a value; and what comes then.
    fn record(&mut self, cursor: &mut Cursor<'_>) -> Result<(State, Option<Record>), RdbFault> {
        let opcode = cursor.byte()?;
        if let Some(library) = read_library(opcode, cursor) {
            return library
                .map(|code| (State::Record, Some(Record::Library(code))))
                .map_err(|(_, fault)| fault);
        }
        let attributes = &mut self.attributes;
        match opcode {
            opcodes::DATE => {
                let seconds = i64::from(i32::from_le_bytes(cursor.array()?));
                attributes.expires_at = Some(u64::try_from(1000 * seconds).unwrap_or(0));
            }
            opcodes::DATE_MS => {
                // Redis takes this date for none.
                let date = Some(cursor.signed_time()?).filter(|&date| date != -1);
                attributes.expires_at = date.map(|date| u64::try_from(date).unwrap_or(0));
            }
            opcodes::IDLE => {
                attributes.idle_seconds = Some(i64::try_from(cursor.length()?).unwrap_or(i64::MAX));
            }
            opcodes::FREQUENCY => attributes.frequency = Some(i64::from(cursor.byte()?)),
            opcodes::AUX => {
                let (name, value) = (cursor.string()?.into_vec(), cursor.string()?.into_vec());
                return Ok((State::Record, Some(Record::Aux { name, value })));
            }
            opcodes::DATABASE => return Ok((State::Record, Some(Record::Database(cursor.length()?)))),
            opcodes::SIZES => skip_numbers(cursor, 2)?,
            opcodes::SLOT_INFO => skip_numbers(cursor, 3)?,
            opcodes::SLOT_IMPORT if self.version >= VALKEY => skip_slot_import(cursor)?,
            opcodes::MODULE_AUX => {
                let name = module_name(cursor.length()?);
                // When it is to be loaded: a number, which says before that it is one.
                skip_numbers(cursor, 2)?;
                return Ok((State::Module { name }, None));
            }
            opcodes::END if self.version < FIRST_WITH_CHECKSUM => return Ok((State::End, Some(Record::End))),
            opcodes::END => return Ok((State::Checksum, None)),
            kind => {
                let decoder = Decoder::new(kind, self.version)?;
                return Ok((State::Value { key: cursor.string()?.into_vec(), decoder }, None));
            }
        }
        Ok((State::Record, None))
    }
}

/// When a snapshot that begins so was made, in Unix seconds, if it says so.
pub(crate) fn time_of_snapshot(beginning: &[u8]) -> Option<u64> {
    let mut cursor = Cursor::new(beginning);
    read_head(&mut cursor).ok()?;
    while cursor.byte().ok()? == opcodes::AUX {
        let (name, value) = (cursor.string().ok()?.into_vec(), cursor.string().ok()?.into_vec());
        if name == b"ctime" {
            return parse_u64(&value);
        }
    }
    None
}

/// Magic and version; returns the version.
fn read_head(cursor: &mut Cursor<'_>) -> Result<u16, RdbFault> {
    let head: [u8; HEAD] = cursor.array()?;
    let version = |digits: &[u8]| -> Option<u16> { std::str::from_utf8(digits).ok()?.parse().ok() };
    let unknown = || RdbFault::Version(String::from_utf8_lossy(&head).into_owned());
    if let Some(digits) = head.strip_prefix(MAGIC) {
        return version(digits).filter(|&version| (1..VALKEY).contains(&version)).ok_or_else(unknown);
    }
    match head.strip_prefix(MAGIC_OF_VALKEY) {
        Some(digits) => version(digits).filter(|&version| version == VALKEY).ok_or_else(unknown),
        None => Err(RdbFault::Damaged("it does not begin as a snapshot does")),
    }
}

fn skip_numbers(cursor: &mut Cursor<'_>, count: usize) -> Result<(), RdbFault> {
    (0..count).try_for_each(|_| cursor.length().map(|_| ()))
}

/// A job of a cluster: its name and ranges of slots.
fn skip_slot_import(cursor: &mut Cursor<'_>) -> Result<(), RdbFault> {
    cursor.string()?;
    let ranges = cursor.length()?;
    if ranges > SLOTS {
        return Err(RdbFault::Damaged("more ranges of slots than there are slots"));
    }
    skip_numbers(cursor, 2 * ranges as usize)
}

/// Passes over a part of something of a module; says whether more follow.
fn skip_module_part(cursor: &mut Cursor<'_>) -> Result<bool, RdbFault> {
    match cursor.length()? {
        0 => return Ok(false),
        1 | 2 => skip_numbers(cursor, 1)?,
        3 => cursor.take(4).map(|_| ())?,
        4 => cursor.take(8).map(|_| ())?,
        5 => cursor.string().map(|_| ())?,
        _ => return Err(RdbFault::Damaged("an unknown part of something of a module")),
    }
    Ok(true)
}
