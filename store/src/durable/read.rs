//! Reading the commands of one file of a log, strictly: this is what we wrote, not what a client typed.
//!
//! Not here: what becomes of commands, and of a file that ends too early (`load.rs`).

use std::io;

use super::disk::Disk;
use super::seal::{Checked, Unsealed};
use super::stamp;
use crate::number::parse_i64;

/// Bytes read at once.
pub(super) const CHUNK: usize = 1 << 18;
/// Longest line of a log: an annotation, or a length.
const LINE_MAX: usize = 64 * 1024;
/// Longest argument that is believed, in bytes.
const ARGUMENT_MAX: i64 = 1 << 32;

/// What the reader found.
pub(super) enum Read {
    Command(Vec<Vec<u8>>),
    /// A line that begins with `#`, and is none of those below, with its end.
    Annotation(Vec<u8>),
    /// What follows was written in this second, or later.
    Stamp(u64),
    /// The seal of the bytes before it.
    Seal,
    /// A seal of other bytes than the so many before it.
    Broken(u64),
    /// Nothing more.
    End,
    /// The file ends within a command.
    Incomplete,
    Damaged(&'static str),
}

/// A file that is being read.
#[derive(Default)]
pub(super) struct Reader {
    buffer: Vec<u8>,
    /// Where in the buffer the next command begins.
    at: usize,
    /// Where in the file the buffer begins.
    base: u64,
    /// What was read since the last seal.
    unsealed: Unsealed,
}

/// Why a part of a command could not be read.
enum Part {
    Incomplete,
    Damaged(&'static str),
    Io(io::Error),
}

impl From<io::Error> for Part {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Reader {
    /// Begins to read at a place in a file.
    pub(super) fn starting_at(offset: u64) -> Self {
        Self { base: offset, ..Self::default() }
    }

    /// What was read since the last seal.
    pub(super) fn unsealed(&self) -> Unsealed {
        self.unsealed
    }

    /// Where the next command begins.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Reads the next command of the file, which counts as ended at `end`.
    pub(super) fn command(&mut self, disk: &mut dyn Disk, path: &str, end: u64) -> io::Result<Read> {
        if self.offset() >= end {
            return Ok(Read::End);
        }
        if self.at > CHUNK {
            self.buffer.drain(..self.at);
            self.base += self.at as u64;
            self.at = 0;
        }
        let mut cursor = Cursor { reader: self, disk, path, end, ahead: 0 };
        let read = cursor.read();
        let ahead = cursor.ahead;
        match read {
            Ok(read) => {
                let bytes = &self.buffer[self.at..self.at + ahead];
                self.at += ahead;
                let Read::Annotation(line) = read else {
                    self.unsealed.add(bytes);
                    return Ok(read);
                };
                Ok(match self.unsealed.check(bytes) {
                    Checked::Whole => {
                        self.unsealed = Unsealed::default();
                        Read::Seal
                    }
                    Checked::Broken => Read::Broken(self.unsealed.bytes()),
                    Checked::NoSeal => {
                        self.unsealed.add(bytes);
                        let text = line.strip_suffix(b"\r\n").unwrap_or(&line);
                        match stamp::read(text) {
                            Some(second) => Read::Stamp(second),
                            None => Read::Annotation(line),
                        }
                    }
                })
            }
            Err(Part::Incomplete) => Ok(Read::Incomplete),
            Err(Part::Damaged(reason)) => Ok(Read::Damaged(reason)),
            Err(Part::Io(error)) => Err(error),
        }
    }
}

struct Cursor<'a> {
    reader: &'a mut Reader,
    disk: &'a mut dyn Disk,
    path: &'a str,
    end: u64,
    /// Bytes read of the command.
    ahead: usize,
}

impl Cursor<'_> {
    /// Makes at least `count` bytes behind what was read available.
    fn fill(&mut self, count: usize) -> Result<(), Part> {
        let wanted = self.reader.at + self.ahead + count;
        while self.reader.buffer.len() < wanted {
            let offset = self.reader.base + self.reader.buffer.len() as u64;
            let left = self.end.saturating_sub(offset) as usize;
            if left == 0 {
                return Err(Part::Incomplete);
            }
            let len = self.reader.buffer.len();
            let more = left.min(CHUNK.max(wanted - len));
            self.reader.buffer.resize(len + more, 0);
            let read = self.disk.read_at(self.path, offset, &mut self.reader.buffer[len..])?;
            self.reader.buffer.truncate(len + read);
            if read == 0 {
                return Err(Part::Incomplete);
            }
        }
        Ok(())
    }

    fn rest(&self) -> &[u8] {
        &self.reader.buffer[self.reader.at + self.ahead..]
    }

    /// The next line, without its end.
    fn line(&mut self) -> Result<Vec<u8>, Part> {
        let mut searched = 0;
        loop {
            if let Some(found) = self.rest()[searched..].iter().position(|&byte| byte == b'\n') {
                let line = self.rest()[..searched + found].to_vec();
                self.ahead += line.len() + 1;
                let stripped =
                    line.strip_suffix(b"\r").ok_or(Part::Damaged("a line must end with CR and LF"))?;
                return Ok(stripped.to_vec());
            }
            searched = self.rest().len();
            if searched > LINE_MAX {
                return Err(Part::Damaged("a line has no end"));
            }
            self.fill(searched + 1)?;
        }
    }

    fn number(&mut self, kind: u8, reason: &'static str) -> Result<i64, Part> {
        self.fill(1)?;
        if self.rest()[0] != kind {
            return Err(Part::Damaged(reason));
        }
        let line = self.line()?;
        parse_i64(&line[1..]).ok_or(Part::Damaged("a length must be a number"))
    }

    fn read(&mut self) -> Result<Read, Part> {
        self.fill(1)?;
        if self.rest()[0] == b'#' {
            let mut line = self.line()?;
            line.extend_from_slice(b"\r\n");
            return Ok(Read::Annotation(line));
        }
        let count = self.number(b'*', "a command must begin with *")?;
        if !(1..=i64::from(i32::MAX)).contains(&count) {
            return Err(Part::Damaged("a command must have at least one argument"));
        }
        let mut args = Vec::new();
        for _ in 0..count {
            let len = self.number(b'$', "an argument must begin with $")?;
            if !(0..=ARGUMENT_MAX).contains(&len) {
                return Err(Part::Damaged("an argument is too long"));
            }
            let len = len as usize;
            self.fill(len + 2)?;
            if &self.rest()[len..len + 2] != b"\r\n" {
                return Err(Part::Damaged("an argument must end with CR and LF"));
            }
            args.push(self.rest()[..len].to_vec());
            self.ahead += len + 2;
        }
        Ok(Read::Command(args))
    }
}
