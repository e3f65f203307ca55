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
use super::read::{CHUNK, Read, Reader};
use super::seal::Unsealed;
use super::snapshot::{SnapshotInput, begins_as_snapshot};
use crate::engine::{Engine, ReplayFault};
use crate::rdb::{LoadOptions, LoadedSnapshot, SnapshotFault};
use crate::replication::{Place, PlaceReader};
use crate::time::Now;

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
    /// A snapshot that cannot be read.
    Snapshot {
        /// Its path.
        file: String,
        /// Where and why.
        fault: SnapshotFault,
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
    /// A seal says that the bytes before it are not those that were written.
    Changed {
        /// The path of the file.
        file: String,
        /// Where the bytes begin that the seal covers.
        from: u64,
        /// Where the seal begins.
        to: u64,
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
            Self::Missing { file } => {
                write!(out, "{file} cannot be opened: No such file or directory, but the manifest names it")
            }
            Self::Snapshot { file, fault } => write!(out, "{file}: {fault}"),
            Self::Damaged { file, offset, reason } => write!(
                out,
                "Bad file format reading the append only file {file}: damaged at offset {offset}: {reason}. Make a copy of the folder, then look at that place; \
                 'redis-check-aof --fix' cuts everything from there on"
            ),
            Self::Changed { file, from, to } => write!(
                out,
                "{file} was changed between offsets {from} and {to}: the checksum behind them is another one. Make a \
                 copy of the folder, then take these bytes from a replica or a backup, or cut the file at {from}"
            ),
            Self::Torn(cut) => write!(
                out,
                "Unexpected end of file reading the append only file {}: the last unit begins at offset {} and is not whole \
                 ({} bytes would be cut); set aof-load-truncated to \
                 yes to cut it",
                cut.file, cut.offset, cut.bytes
            ),
            Self::TornBeforeLast(cut) => write!(
                out,
                "Unexpected end of file reading the append only file {}: the last unit begins at offset {} and is not whole, \
                 and this is not the last file: later files would not fit behind it",
                cut.file, cut.offset
            ),
            Self::Replay { file, offset, fault } => write!(
                out,
                "{fault} reading the append only file {file} at offset {offset}: it does not belong to the data before it"
            ),
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
    /// What the base came to, if it is a snapshot.
    pub snapshot: Option<LoadedSnapshot>,
    /// Bytes at the end of the newest increment that no seal covers.
    pub unsealed: Unsealed,
    /// The place of the history of replication that the data is at.
    pub place: Option<Place>,
    /// There was nothing: the log was made just now, and nobody has had an answer from what is in it.
    pub is_new: bool,
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
    /// What is not sealed before it.
    unsealed_before: Unsealed,
    /// The snapshot that is being read.
    snapshot: Option<SnapshotInput>,
    /// The place of the history of replication that the data is at.
    place: PlaceReader,
}

struct Pending {
    path: String,
    /// Bytes up to the last one that is not zero.
    meaningful: u64,
    size: u64,
    /// It begins as a snapshot, which was not read yet.
    snapshot: bool,
    is_increment: bool,
}

/// Keys past their date are loaded too: the log says what became of them.
const BASE: LoadOptions = LoadOptions { keep_expired: true, replace: false, stated: false };

impl Loader {
    pub(super) fn new(disk: &mut dyn Disk, names: &LogNames, manifest: &Manifest) -> Result<Self, LoadFault> {
        let mut files = Vec::new();
        for file in manifest.files.iter().filter(|file| file.kind != FileKind::History) {
            let path = names.path(&file.name);
            let Some(size) = disk.size(&path)? else { return Err(LoadFault::Missing { file: path }) };
            let meaningful = without_trailing_zeros(disk, &path, size)?;
            let snapshot = begins_as_snapshot(disk, &path)?;
            let is_increment = file.kind == FileKind::Increment;
            files.push(Pending { path, meaningful, size, snapshot, is_increment });
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
            unsealed_before: Unsealed::default(),
            snapshot: None,
            place: PlaceReader::default(),
        })
    }

    /// Whether the log was made just now.
    pub(super) fn note_new(&mut self, is_new: bool) {
        self.report.is_new = is_new;
    }

    /// How far the load is.
    pub fn progress(&self) -> Progress {
        let within = self.snapshot.as_ref().map_or(self.reader.offset(), SnapshotInput::offset);
        Progress { done: (self.done + within).min(self.total), total: self.total }
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
                self.report.place = self.place.place();
                return Ok(Some(std::mem::take(&mut self.report)));
            };
            if file.snapshot {
                self.load_snapshot(disk, engine, now)?;
                return Ok(None);
            }
            let start = self.reader.offset();
            if self.unit.is_none() {
                self.unit_start = start;
                self.unsealed_before = self.reader.unsealed();
            }
            match self.reader.command(disk, &file.path, file.meaningful)? {
                Read::Command(args) => self.take(engine, now, args)?,
                // Within a unit there is no place to go on from.
                Read::Annotation(line) if self.unit.is_none() => self.place.line(&line),
                Read::Annotation(_) | Read::Stamp(_) | Read::Seal => {}
                Read::Broken(covered) => {
                    let file = file.path.clone();
                    return Err(LoadFault::Changed { file, from: start - covered.min(start), to: start });
                }
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

    /// Loads a piece of the snapshot that the file at hand begins with. Commands may follow it.
    fn load_snapshot(&mut self, disk: &mut dyn Disk, engine: &mut Engine, now: Now) -> Result<(), LoadFault> {
        let file = &mut self.files[self.at];
        let mut input = match self.snapshot.take() {
            Some(input) => input,
            None => SnapshotInput::new(engine, &file.path, file.size, BASE),
        };
        match input.step(disk, engine, now)? {
            None => self.snapshot = Some(input),
            Some((loaded, end)) => {
                self.place.snapshot(&loaded);
                self.report.snapshot = Some(loaded);
                file.snapshot = false;
                // A snapshot may end with zeros.
                file.meaningful = file.meaningful.max(end);
                self.reader = Reader::starting_at(end);
            }
        }
        Ok(())
    }

    fn next_file(&mut self) {
        let file = &self.files[self.at];
        self.done += file.size;
        if file.is_increment {
            self.report.unsealed = self.unsealed_before;
        }
        self.at += 1;
        self.reader = Reader::default();
    }

    fn take(&mut self, engine: &mut Engine, now: Now, args: Vec<Vec<u8>>) -> Result<(), LoadFault> {
        self.place.command();
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
        // An empty file was made ready for what comes after a rewrite, which did not begin.
        if self.files[self.at + 1..].iter().any(|later| later.size > 0) {
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
pub(super) fn without_trailing_zeros(disk: &mut dyn Disk, path: &str, size: u64) -> io::Result<u64> {
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
