//! Cutting a log back to an instant: point-in-time recovery.
//!
//! Law: what is kept are whole units, all of those before the first stamp of a later second, and nothing behind it. The
//! base is never cut: an instant before its end is refused, and so is one that no stamp vouches for. Everything up to
//! the cut is read and checked first; the seal that the cut goes through is replaced by one of what is left of its
//! bytes. Whenever the power goes the log is whole: as it was, up to a point behind the cut, or as it is to be.
//! Not here: who may do that (nobody, while a daemon uses the folder).

use std::fmt;
use std::io;

use super::disk::Disk;
use super::load::{LoadFault, without_trailing_zeros};
use super::log::{LogFiles, LogNames};
use super::manifest::{FileKind, Manifest, ManifestFile};
use super::read::{Read, Reader};
use super::seal::Unsealed;
use super::snapshot::begins_as_snapshot;
use crate::rdb::time_of_snapshot;

/// How much of a snapshot is looked at to find its time.
const SNAPSHOT_HEAD: usize = 1 << 16;

/// What would be left of a log.
#[derive(Debug)]
pub struct Truncation {
    /// The last second that is known to be in what is kept, in Unix time.
    pub kept_until: u64,
    /// Where it is cut; nothing if it has nothing later.
    pub cut: Option<CutBack>,
}

/// Where a log is cut back.
#[derive(Debug)]
pub struct CutBack {
    /// The path of the increment that is cut.
    pub file: String,
    /// Its new length.
    pub offset: u64,
    /// Bytes behind that.
    pub bytes: u64,
    /// The second of the first unit that goes, in Unix time.
    pub first_cut: u64,
    /// Paths and sizes of the increments that are dropped as a whole.
    pub dropped: Vec<(String, u64)>,
    manifest: Manifest,
    /// What takes the place of the seal that the cut goes through.
    seal: Option<String>,
}

/// Why a log cannot be cut back to an instant.
#[derive(Debug)]
pub enum TruncationFault {
    /// There is no log.
    NoLog {
        /// The manifest that is not there.
        manifest: String,
    },
    /// What comes before the cut cannot be read.
    Load(LoadFault),
    /// The log says nothing about time.
    NoStamps,
    /// The earliest instant it can be cut back to is this one, in Unix seconds.
    TooEarly(u64),
}

impl From<LoadFault> for TruncationFault {
    fn from(fault: LoadFault) -> Self {
        Self::Load(fault)
    }
}

impl From<io::Error> for TruncationFault {
    fn from(error: io::Error) -> Self {
        Self::Load(error.into())
    }
}

impl fmt::Display for TruncationFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLog { manifest } => write!(out, "there is no log: no {manifest}"),
            Self::Load(fault) => write!(out, "{fault}"),
            Self::NoStamps => out.write_str("the log does not say when its commands were written"),
            Self::TooEarly(earliest) => {
                write!(out, "the earliest time it can be cut back to is {earliest} (Unix seconds)")
            }
        }
    }
}

impl std::error::Error for TruncationFault {}

/// What is known of time while files are read in order.
#[derive(Default)]
struct Clockwork {
    /// The last second that was read about.
    known: Option<u64>,
    /// An increment has said something of time.
    stamped: bool,
    /// There are units that no stamp stands before.
    loose: bool,
}

/// A place where a log could be cut.
struct Place {
    offset: u64,
    first_cut: u64,
}

impl LogFiles {
    /// Finds out where a log has to be cut to end with this second. Nothing is changed.
    ///
    /// # Errors
    /// There is no such place, or what is before it is damaged.
    pub fn plan_truncation(
        disk: &mut dyn Disk,
        names: &LogNames,
        until: u64,
    ) -> Result<Truncation, TruncationFault> {
        let manifest =
            Self::read(disk, names)?.ok_or_else(|| TruncationFault::NoLog { manifest: names.manifest() })?;
        let mut clockwork = Clockwork::default();
        if let Some(base) = manifest.base() {
            clockwork.read_base(disk, &names.path(&base.name), until)?;
        }
        for (index, file) in manifest.files.iter().enumerate() {
            if file.kind != FileKind::Increment {
                continue;
            }
            let path = names.path(&file.name);
            let Some((place, seal)) = clockwork.find(disk, &path, until)? else { continue };
            let mut left = manifest.clone();
            let mut dropped = Vec::new();
            for later in left.files[index + 1..].iter_mut().filter(|file| file.kind == FileKind::Increment) {
                dropped.push(size_of(disk, names, later)?);
                later.kind = FileKind::History;
            }
            let size = disk.size(&path)?.unwrap_or(0);
            let cut = CutBack {
                file: path,
                offset: place.offset,
                bytes: size.saturating_sub(place.offset),
                first_cut: place.first_cut,
                dropped,
                manifest: left,
                seal,
            };
            return Ok(Truncation { kept_until: clockwork.known.unwrap_or(until), cut: Some(cut) });
        }
        match clockwork.known {
            Some(kept_until) if !clockwork.loose => Ok(Truncation { kept_until, cut: None }),
            _ => Err(TruncationFault::NoStamps),
        }
    }

    /// Cuts a log back.
    ///
    /// # Errors
    /// The storage refuses; what is there is whole, and the cut can be tried again.
    pub fn truncate(disk: &mut dyn Disk, names: &LogNames, cut: CutBack) -> io::Result<()> {
        let CutBack { file, offset, dropped, manifest, seal, .. } = cut;
        let mut files = Self { names: names.clone(), manifest };
        // What follows the cut must be gone before the cut is there: it would not fit behind it.
        if !dropped.is_empty() {
            files.write_manifest(disk)?;
        }
        disk.truncate(&file, offset)?;
        if let Some(seal) = seal {
            disk.append(&file, seal.as_bytes())?;
            disk.sync(&file)?;
        }
        disk.close(&file);
        files.remove_history(disk)
    }
}

fn size_of(disk: &mut dyn Disk, names: &LogNames, file: &ManifestFile) -> io::Result<(String, u64)> {
    let path = names.path(&file.name);
    let size = disk.size(&path)?.unwrap_or(0);
    Ok((path, size))
}

impl Clockwork {
    /// Learns from the base up to when it goes; it must not go further than it may.
    fn read_base(&mut self, disk: &mut dyn Disk, path: &str, until: u64) -> Result<(), TruncationFault> {
        if begins_as_snapshot(disk, path)? {
            let mut head = vec![0; SNAPSHOT_HEAD];
            let read = disk.read_at(path, 0, &mut head)?;
            self.known = time_of_snapshot(&head[..read]);
        } else if let Some((place, _)) = self.find(disk, path, until)? {
            return Err(TruncationFault::TooEarly(place.first_cut));
        }
        match self.known {
            Some(base) if base > until => Err(TruncationFault::TooEarly(base)),
            _ => Ok(()),
        }
    }

    /// Finds the first stamp of a file that is later, and what seals the bytes before it if the seal of them goes.
    fn find(
        &mut self,
        disk: &mut dyn Disk,
        path: &str,
        until: u64,
    ) -> Result<Option<(Place, Option<String>)>, TruncationFault> {
        let missing = || LoadFault::Missing { file: path.to_owned() };
        let size = disk.size(path)?.ok_or_else(missing)?;
        let end = without_trailing_zeros(disk, path, size)?;
        let mut reader = Reader::default();
        let mut unit: Option<(u64, Unsealed)> = None;
        loop {
            let (offset, unsealed) = (reader.offset(), reader.unsealed());
            match reader.command(disk, path, end)? {
                Read::Seal | Read::Annotation(_) => {}
                Read::Stamp(second) if second > until => {
                    if self.loose || self.known.is_none() {
                        return Err(TruncationFault::TooEarly(second));
                    }
                    // Redis may say the time within a transaction, which is kept or goes as a whole.
                    let (offset, unsealed) = unit.unwrap_or((offset, unsealed));
                    let seal = seal_before(unsealed, &mut reader, disk, path, end)?;
                    return Ok(Some((Place { offset, first_cut: second }, seal)));
                }
                Read::Stamp(second) => {
                    self.known = self.known.max(Some(second));
                    self.stamped = true;
                    self.loose = false;
                }
                Read::Command(args) => {
                    let is = |name: &str| args.len() == 1 && args[0].eq_ignore_ascii_case(name.as_bytes());
                    if is("multi") {
                        unit = Some((offset, unsealed));
                    } else if is("exec") {
                        unit = None;
                    }
                    self.loose |= !self.stamped;
                }
                Read::Broken(covered) => return Err(changed(path, covered, offset)),
                // A torn end is cut at the next start.
                Read::End | Read::Incomplete => return Ok(None),
                Read::Damaged(reason) => {
                    return Err(LoadFault::Damaged { file: path.to_owned(), offset, reason }.into());
                }
            }
        }
    }
}

fn changed(path: &str, covered: u64, to: u64) -> TruncationFault {
    LoadFault::Changed { file: path.to_owned(), from: to - covered.min(to), to }.into()
}

/// The seal of bytes before a cut, if a seal behind it covers them: it goes, and so does what it covers behind the cut.
/// It is not replaced before it has vouched for all of them.
fn seal_before(
    unsealed: Unsealed,
    reader: &mut Reader,
    disk: &mut dyn Disk,
    path: &str,
    end: u64,
) -> Result<Option<String>, TruncationFault> {
    if unsealed.bytes() == 0 {
        return Ok(None);
    }
    loop {
        let offset = reader.offset();
        match reader.command(disk, path, end)? {
            Read::Seal => return Ok(Some(unsealed.seal())),
            Read::Broken(covered) => return Err(changed(path, covered, offset)),
            Read::End | Read::Incomplete | Read::Damaged(_) => return Ok(None),
            Read::Command(_) | Read::Annotation(_) | Read::Stamp(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::{Log, MemoryDisk, Stamps};

    const FOLDER: &str = "appendonlydir";

    fn names() -> LogNames {
        LogNames { folder: FOLDER.to_owned(), file: "a".to_owned() }
    }

    fn path(sequence: u64) -> String {
        format!("{FOLDER}/a.{sequence}.incr.aof")
    }

    fn unit(word: &str) -> String {
        format!("*2\r\n$3\r\nDEL\r\n${}\r\n{word}\r\n", word.len())
    }

    /// A log of increments with these seconds, a unit in each of them; several share a seal.
    fn log(increments: &[&[u64]]) -> MemoryDisk {
        let mut disk = MemoryDisk::new();
        let mut manifest = String::new();
        for (index, seconds) in increments.iter().enumerate() {
            let sequence = index as u64 + 1;
            manifest += &format!("file a.{sequence}.incr.aof seq {sequence} type i\n");
            let (mut log, mut stamps) = (Log::beginning_in(&path(sequence)), Stamps::default());
            disk.put(&path(sequence), b"");
            for pair in seconds.chunks(2) {
                let mut frames = String::new();
                for &second in pair {
                    frames += &stamps.due(second).unwrap_or_default();
                    frames += &unit(&second.to_string());
                }
                log.append(&mut disk, &mut frames.into_bytes()).unwrap();
            }
        }
        disk.put(&format!("{FOLDER}/a.manifest"), manifest.as_bytes());
        disk
    }

    /// The seconds of the units that are there; every seal is checked.
    fn left(disk: &mut MemoryDisk) -> Vec<u64> {
        let manifest = LogFiles::read(disk, &names()).unwrap().unwrap();
        let mut units = Vec::new();
        for file in manifest.increments() {
            let path = names().path(&file.name);
            let end = disk.size(&path).unwrap().unwrap();
            let mut reader = Reader::default();
            loop {
                match reader.command(disk, &path, end).unwrap() {
                    Read::Command(args) => units.push(String::from_utf8_lossy(&args[1]).parse().unwrap()),
                    Read::End => break,
                    Read::Seal | Read::Stamp(_) => {}
                    _ => panic!("{path} is damaged"),
                }
            }
            assert_eq!(reader.unsealed().bytes(), 0, "what is left is sealed");
        }
        units
    }

    fn cut(disk: &mut MemoryDisk, until: u64) -> Result<bool, TruncationFault> {
        match LogFiles::plan_truncation(disk, &names(), until)?.cut {
            Some(cut) => LogFiles::truncate(disk, &names(), cut).map(|()| true).map_err(Into::into),
            None => Ok(false),
        }
    }

    #[test]
    fn what_is_left_is_everything_up_to_a_second_whatever_file_it_is_in() {
        let all = [10, 11, 14, 15, 20, 21, 22, 30];
        for until in 10..31 {
            let mut disk = log(&[&all[..4], &all[4..7], &[], &all[7..]]);
            assert_eq!(cut(&mut disk, until).unwrap(), until < 30);
            let expected: Vec<u64> = all.into_iter().filter(|&second| second <= until).collect();
            assert_eq!(left(&mut disk), expected, "until {until}");
            assert!(!cut(&mut disk, until).unwrap(), "a second time there is nothing to cut");
        }
    }

    #[test]
    fn an_instant_that_nothing_vouches_for_is_refused() {
        let mut disk = log(&[&[10, 11]]);
        assert!(matches!(cut(&mut disk, 9), Err(TruncationFault::TooEarly(10))));
        let mut stamped = unit("1") + &unit("2");
        disk.put(&path(1), stamped.as_bytes());
        assert!(matches!(cut(&mut disk, 9), Err(TruncationFault::NoStamps)));
        stamped += "#TS:10\r\n";
        disk.put(&path(1), stamped.as_bytes());
        assert!(
            matches!(cut(&mut disk, 9), Err(TruncationFault::TooEarly(10))),
            "they are of any time before"
        );
        assert!(!cut(&mut disk, 10).unwrap());
        let mut nothing = MemoryDisk::new();
        assert!(matches!(cut(&mut nothing, 10), Err(TruncationFault::NoLog { .. })));
    }

    #[test]
    fn the_base_is_never_cut() {
        let mut disk = log(&[&[10, 11]]);
        let mut manifest = disk.content(&format!("{FOLDER}/a.manifest")).unwrap();
        manifest.extend_from_slice(b"file a.1.base.aof seq 1 type b\n");
        disk.put(&format!("{FOLDER}/a.manifest"), &manifest);
        disk.put(&format!("{FOLDER}/a.1.base.aof"), format!("#TS:8\r\n{}", unit("8")).as_bytes());
        assert!(matches!(cut(&mut disk, 7), Err(TruncationFault::TooEarly(8))));
        assert!(cut(&mut disk, 8).unwrap());
        assert_eq!(left(&mut disk), []);
        assert_eq!(disk.content(&path(1)).as_deref(), Some(&b""[..]));
    }

    /// A seal that the cut goes through must not be replaced before it was compared: it would bless what it is there to
    /// find.
    #[test]
    fn damage_before_the_cut_is_not_sealed_again() {
        let mut disk = log(&[&[10, 11]]);
        let mut content = disk.content(&path(1)).unwrap();
        let at = content.windows(3).position(|bytes| bytes == b"DEL").unwrap();
        content[at] = b'G';
        disk.put(&path(1), &content);
        assert!(matches!(cut(&mut disk, 10), Err(TruncationFault::Load(LoadFault::Changed { .. }))));
    }

    /// Redis says the time in front of any command, also within a transaction.
    #[test]
    fn a_transaction_goes_as_a_whole() {
        let mut disk = log(&[&[10]]);
        let mut content = disk.content(&path(1)).unwrap();
        let end = content.len();
        content.extend_from_slice(b"*1\r\n$5\r\nMULTI\r\n");
        content.extend_from_slice(unit("1").as_bytes());
        content.extend_from_slice(b"#TS:12\r\n");
        content.extend_from_slice(unit("2").as_bytes());
        content.extend_from_slice(b"*1\r\n$4\r\nEXEC\r\n");
        disk.put(&path(1), &content);
        assert!(cut(&mut disk, 11).unwrap());
        assert_eq!(disk.content(&path(1)).unwrap().len(), end);
    }
}
