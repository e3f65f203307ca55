//! Reading a log back.
//!
//! Law: a unit (a command, or all of a MULTI) is applied whole or not at all. The end of the last file may be torn: an
//! incomplete unit, or zeros that a file system put there after a power cut. It is cut off and reported. Anything else
//! that is not a log stops the load, with file and offset.

use std::fmt;
use std::io;

use super::disk::Disk;
use super::log::LogNames;
use super::manifest::{FileKind, Manifest, ManifestFault};
use crate::engine::{Engine, ReplayFault};
use crate::number::parse_i64;
use crate::time::Now;

/// Bytes read at once.
const CHUNK: usize = 1 << 18;
/// Longest line of a log: an annotation, or a length.
const LINE_MAX: usize = 64 * 1024;
/// Longest argument that is believed, in bytes.
const ARGUMENT_MAX: i64 = 1 << 32;

/// Why a log cannot be loaded.
#[derive(Debug)]
pub enum LoadFault {
    /// The storage failed.
    Io(io::Error),
    /// The manifest makes no sense.
    Manifest {
        /// Its path.
        file: String,
        /// What is wrong.
        fault: ManifestFault,
    },
    /// The manifest names a file that is not there.
    Missing {
        /// Its path.
        file: String,
    },
    /// A snapshot as base, which this version does not read.
    Snapshot {
        /// Its path.
        file: String,
    },
    /// Something that is not a log.
    Damaged {
        /// The path of the file.
        file: String,
        /// Where the unit begins that cannot be read.
        offset: u64,
        /// What was expected.
        reason: &'static str,
    },
    /// The last file ends within a unit, and the configuration forbids to cut it.
    Torn(Cut),
    /// A file before the last one ends within a unit.
    TornBeforeLast(Cut),
    /// A command that cannot be repeated.
    Replay {
        /// The path of the file.
        file: String,
        /// Where the unit begins.
        offset: u64,
        /// Why.
        fault: ReplayFault,
    },
}

impl From<io::Error> for LoadFault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for LoadFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(out, "cannot read the log: {error}"),
            Self::Manifest { file, fault } => write!(out, "{file}: {fault}"),
            Self::Missing { file } => write!(out, "{file} is named in the manifest but is not there"),
            Self::Snapshot { file } => write!(out, "{file} is a snapshot, which this version cannot load"),
            Self::Damaged { file, offset, reason } => write!(
                out,
                "{file} is damaged at offset {offset}: {reason}. Make a copy of the folder, then look at that place; \
                 'redis-check-aof --fix' cuts everything from there on"
            ),
            Self::Torn(cut) => write!(
                out,
                "{} ends within a unit that begins at offset {} ({} bytes would be cut); set aof-load-truncated to \
                 yes to cut it",
                cut.file, cut.offset, cut.bytes
            ),
            Self::TornBeforeLast(cut) => write!(
                out,
                "{} ends within a unit that begins at offset {}, but is not the last file: later files would not fit \
                 behind it",
                cut.file, cut.offset
            ),
            Self::Replay { file, offset, fault } => {
                write!(
                    out,
                    "{file} at offset {offset}: {fault}; the log does not belong to the data before it"
                )
            }
        }
    }
}

impl std::error::Error for LoadFault {}

/// A torn end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The path of the file.
    pub file: String,
    /// Where the incomplete unit begins: the new length.
    pub offset: u64,
    /// Bytes behind it.
    pub bytes: u64,
}

/// What a load came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Commands that were repeated.
    pub commands: u64,
    /// What was cut off.
    pub cut: Option<Cut>,
}

/// How far a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub done: u64,
    /// Bytes of all files.
    pub total: u64,
}

/// A load that goes on step by step, so that others can be served in between.
pub struct Loader {
    files: Vec<Pending>,
    /// The file that is being read.
    at: usize,
    reader: Reader,
    done: u64,
    total: u64,
    report: LoadReport,
    /// Commands since MULTI, until EXEC comes.
    unit: Option<Vec<Vec<Vec<u8>>>>,
    /// Where the unit that is being read begins.
    unit_start: u64,
}

struct Pending {
    path: String,
    /// Bytes up to the last one that is not zero.
    meaningful: u64,
    size: u64,
}

impl Loader {
    pub(super) fn new(disk: &mut dyn Disk, names: &LogNames, manifest: &Manifest) -> Result<Self, LoadFault> {
        let mut files = Vec::new();
        for file in manifest.files.iter().filter(|file| file.kind != FileKind::History) {
            let path = names.path(&file.name);
            let Some(size) = disk.size(&path)? else { return Err(LoadFault::Missing { file: path }) };
            let meaningful = without_trailing_zeros(disk, &path, size)?;
            files.push(Pending { path, meaningful, size });
        }
        let total = files.iter().map(|file| file.size).sum();
        Ok(Self {
            files,
            at: 0,
            reader: Reader::default(),
            done: 0,
            total,
            report: LoadReport::default(),
            unit: None,
            unit_start: 0,
        })
    }

    /// How far the load is.
    pub fn progress(&self) -> Progress {
        Progress { done: (self.done + self.reader.offset()).min(self.total), total: self.total }
    }

    /// Repeats some commands; returns the report when everything is loaded. A torn end is cut if `may_cut`.
    ///
    /// # Errors
    /// The log cannot be loaded.
    pub fn step(
        &mut self,
        disk: &mut dyn Disk,
        engine: &mut Engine,
        now: Now,
        may_cut: bool,
    ) -> Result<Option<LoadReport>, LoadFault> {
        for _ in 0..4096 {
            let Some(file) = self.files.get(self.at) else {
                return Ok(Some(std::mem::take(&mut self.report)));
            };
            let start = self.reader.offset();
            if self.unit.is_none() {
                self.unit_start = start;
            }
            match self.reader.command(disk, &file.path, file.meaningful)? {
                Read::Command(args) => self.take(engine, now, args)?,
                Read::Annotation => {}
                Read::End if self.unit.is_none() && file.meaningful == file.size => self.next_file(),
                Read::End | Read::Incomplete => self.cut(disk, may_cut)?,
                Read::Damaged(reason) => {
                    return Err(LoadFault::Damaged {
                        file: file.path.clone(),
                        offset: self.unit_start,
                        reason,
                    });
                }
            }
        }
        Ok(None)
    }

    fn next_file(&mut self) {
        self.done += self.files[self.at].size;
        self.at += 1;
        self.reader = Reader::default();
    }

    fn take(&mut self, engine: &mut Engine, now: Now, args: Vec<Vec<u8>>) -> Result<(), LoadFault> {
        let is = |name: &str| args.len() == 1 && args[0].eq_ignore_ascii_case(name.as_bytes());
        if is("multi") {
            self.unit = Some(Vec::new());
            return Ok(());
        }
        if is("exec") {
            let commands = self.unit.take().unwrap_or_default();
            return commands.iter().try_for_each(|command| self.replay(engine, now, command));
        }
        match &mut self.unit {
            Some(commands) => {
                commands.push(args);
                Ok(())
            }
            None => self.replay(engine, now, &args),
        }
    }

    fn replay(&mut self, engine: &mut Engine, now: Now, args: &[Vec<u8>]) -> Result<(), LoadFault> {
        self.report.commands += 1;
        let slices: Vec<&[u8]> = args.iter().map(|arg| &**arg).collect();
        let file = &self.files[self.at];
        engine.replay(now, &slices).map_err(|fault| LoadFault::Replay {
            file: file.path.clone(),
            offset: self.unit_start,
            fault,
        })
    }

    /// Ends the load at the beginning of the incomplete unit.
    fn cut(&mut self, disk: &mut dyn Disk, may_cut: bool) -> Result<(), LoadFault> {
        let file = &self.files[self.at];
        let bytes = file.size - self.unit_start;
        let cut = Cut { file: file.path.clone(), offset: self.unit_start, bytes };
        if self.at + 1 < self.files.len() {
            return Err(LoadFault::TornBeforeLast(cut));
        }
        if !may_cut {
            return Err(LoadFault::Torn(cut));
        }
        disk.truncate(&cut.file, cut.offset)?;
        self.unit = None;
        self.report.cut = Some(cut);
        self.next_file();
        Ok(())
    }
}

/// The length of a file without the zeros at its end.
fn without_trailing_zeros(disk: &mut dyn Disk, path: &str, size: u64) -> io::Result<u64> {
    let mut end = size;
    let mut buffer = vec![0; CHUNK];
    while end > 0 {
        let start = end.saturating_sub(CHUNK as u64);
        let wanted = (end - start) as usize;
        let mut read = 0;
        while read < wanted {
            match disk.read_at(path, start + read as u64, &mut buffer[read..wanted])? {
                0 => return Ok(start + read as u64),
                count => read += count,
            }
        }
        if let Some(last) = buffer[..wanted].iter().rposition(|&byte| byte != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// What the reader found.
enum Read {
    Command(Vec<Vec<u8>>),
    /// A line that begins with `#`.
    Annotation,
    /// Nothing more.
    End,
    /// The file ends within a command.
    Incomplete,
    Damaged(&'static str),
}

/// Reads commands of one file, strictly: this is what we wrote, not what a client typed.
#[derive(Default)]
struct Reader {
    buffer: Vec<u8>,
    /// Where in the buffer the next command begins.
    at: usize,
    /// Where in the file the buffer begins.
    base: u64,
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
    fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    fn command(&mut self, disk: &mut dyn Disk, path: &str, end: u64) -> io::Result<Read> {
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
                self.at += ahead;
                Ok(read)
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
            self.line()?;
            return Ok(Read::Annotation);
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
