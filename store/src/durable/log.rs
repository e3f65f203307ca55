//! The log: its files, and appending to the newest of them.

use std::io;

use super::disk::{Disk, Syncer, read_small, replace_small};
use super::load::{LoadFault, LoadReport, Loader};
use super::manifest::{FileKind, MANIFEST_MAX, Manifest, ManifestFile};
use super::read::CHUNK;
use super::rewrite::BaseForm;
use super::seal::Unsealed;
use super::snapshot::SnapshotOutput;
use crate::rdb::empty_base;

/// How the files of a log are called.
#[derive(Clone, Debug)]
pub struct LogNames {
    /// The folder (`appenddirname`).
    pub folder: String,
    /// The beginning of all names (`appendfilename`).
    pub file: String,
}

impl LogNames {
    pub(super) fn manifest(&self) -> String {
        format!("{}/{}.manifest", self.folder, self.file)
    }

    pub(super) fn base(&self, sequence: u64, form: BaseForm) -> String {
        let ending = if form == BaseForm::Snapshot { "rdb" } else { "aof" };
        format!("{}.{sequence}.base.{ending}", self.file)
    }

    fn increment(&self, sequence: u64) -> String {
        format!("{}.{sequence}.incr.aof", self.file)
    }

    /// The path of a file of the log.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }
}

/// The newest increment of a log, open for appending.
pub struct Log {
    /// Its path.
    current: String,
    /// Its length, without what a write has left there that failed.
    end: u64,
    /// Bytes of all files.
    size: u64,
    /// Bytes of all files when the log was opened or rewritten.
    base_size: u64,
    /// Whether every append ends with a seal.
    seals: bool,
    /// What the next seal covers beside its own append.
    unsealed: Unsealed,
}

/// The files of a log: what the manifest names.
pub struct LogFiles {
    pub(super) names: LogNames,
    pub(super) manifest: Manifest,
}

impl LogFiles {
    /// Finds the log of a data folder, or makes a new one; [`Loader`] reads what is in it. What rewrites have replaced
    /// may still be there, see [`Self::remove_history`]. A new one begins with the snapshot of this name, if there is
    /// one, and with a base of nothing in this form if there is none.
    ///
    /// # Errors
    /// The storage fails, or what is there cannot be a log.
    pub fn open(
        disk: &mut dyn Disk,
        names: &LogNames,
        snapshot: &str,
        form: BaseForm,
    ) -> Result<(Self, Log, Loader), LoadFault> {
        let (manifest, is_new) = match Self::read(disk, names)? {
            Some(manifest) => (manifest, false),
            None => Self::begin(disk, names, snapshot, form)?,
        };
        Self::fetch_old(disk, names, &manifest)?;
        let mut loader = Loader::new(disk, names, &manifest)?;
        loader.note_new(is_new);
        let mut files = Self { names: names.clone(), manifest };
        // What a process before wrote may not be on disk yet. Whoever reads it now relies on it, and nothing may be in
        // an increment whose predecessor could lose its end.
        for file in files.manifest.increments() {
            let path = names.path(&file.name);
            disk.sync(&path)?;
            disk.close(&path);
        }
        let mut size = 0;
        for file in files.manifest.files.iter().filter(|file| file.kind != FileKind::History) {
            size += disk.size(&names.path(&file.name))?.unwrap_or(0);
        }
        let newest = files.manifest.increments().last().map(|file| names.path(&file.name));
        let current = match newest {
            Some(current) => current,
            None => {
                let current = files.add_increment(disk)?;
                files.write_manifest(disk)?;
                current
            }
        };
        let end = disk.size(&current)?.unwrap_or(0);
        Ok((files, Log::new(current, end, size), loader))
    }

    /// Reads the log of a data folder again, while it is being written.
    ///
    /// # Errors
    /// The storage fails, or what is there is no log.
    pub fn load_again(disk: &mut dyn Disk, names: &LogNames) -> Result<Loader, LoadFault> {
        let missing = || LoadFault::Missing { file: names.manifest() };
        let manifest = Self::read(disk, names)?.ok_or_else(missing)?;
        Loader::new(disk, names, &manifest)
    }

    /// The files of a log that is about to begin with a rewrite. What is there of an older one is replaced with it.
    ///
    /// # Errors
    /// The storage fails, or what is there of an older one makes no sense.
    pub fn replace(disk: &mut dyn Disk, names: &LogNames) -> Result<Self, LoadFault> {
        let manifest = match Self::read(disk, names)? {
            Some(manifest) => manifest,
            None => {
                disk.create_folder(&names.folder)?;
                disk.sync_folder("")?;
                Manifest::default()
            }
        };
        Ok(Self { names: names.clone(), manifest })
    }

    pub(super) fn read(disk: &mut dyn Disk, names: &LogNames) -> Result<Option<Manifest>, LoadFault> {
        let path = names.manifest();
        if disk.size(&path)?.is_none() {
            return Ok(None);
        }
        let text = read_small(disk, &path, MANIFEST_MAX)?;
        let manifest = Manifest::parse(&text);
        manifest.map(Some).map_err(|fault| LoadFault::Manifest { file: path, fault })
    }

    /// A manifest for a log that is not there yet: nothing is in it (then it is new), or what was there before logs had
    /// one.
    fn begin(
        disk: &mut dyn Disk,
        names: &LogNames,
        snapshot: &str,
        form: BaseForm,
    ) -> Result<(Manifest, bool), LoadFault> {
        disk.create_folder(&names.folder)?;
        disk.sync_folder("")?;
        let (mut manifest, mut is_new) = (Manifest::default(), false);
        if disk.size(&names.file)?.is_some() {
            // A log of Redis before version 7: one file in the data folder. It becomes the base.
            manifest.files.push(ManifestFile { name: names.file.clone(), sequence: 1, kind: FileKind::Base });
            disk.rename(&names.file, &names.path(&names.file))?;
            disk.sync_folder("")?;
        } else if !snapshot.is_empty() && disk.size(snapshot)?.is_some() {
            // Redis would begin with nothing here, and forget the snapshot.
            let base =
                ManifestFile { name: names.base(1, BaseForm::Snapshot), sequence: 1, kind: FileKind::Base };
            let output = SnapshotOutput::create(disk, &names.folder, &base.name, "temp-")?;
            copy(disk, snapshot, output)?;
            manifest.files.push(base);
        } else {
            // As Redis does, whose users look for one.
            let base = ManifestFile { name: names.base(1, form), sequence: 1, kind: FileKind::Base };
            let mut output = SnapshotOutput::create(disk, &names.folder, &base.name, "temp-")?;
            if form == BaseForm::Snapshot {
                output.append(disk, &empty_base())?;
            }
            output.finish(disk)?;
            manifest.files.push(base);
            is_new = true;
        }
        Ok((manifest, is_new))
    }

    /// Ends the move of a log of Redis before version 7 into the folder: Redis names it in the manifest first.
    fn fetch_old(disk: &mut dyn Disk, names: &LogNames, manifest: &Manifest) -> io::Result<()> {
        let path = names.path(&names.file);
        let is_base = manifest.base().is_some_and(|base| base.name == names.file);
        if is_base && disk.size(&path)?.is_none() && disk.size(&names.file)?.is_some() {
            disk.rename(&names.file, &path)?;
            disk.sync_folder(&names.folder)?;
            disk.sync_folder("")?;
        }
        Ok(())
    }

    /// Creates an empty increment; returns its path.
    pub(super) fn add_increment(&mut self, disk: &mut dyn Disk) -> io::Result<String> {
        let first = self.manifest.last_increment() + 1;
        let (sequence, name) = self.manifest.unused(first, |sequence| self.names.increment(sequence));
        let path = self.names.path(&name);
        let created = Self::create_empty(disk, &path).and_then(|()| disk.sync_folder(&self.names.folder));
        if let Err(error) = created {
            // After a sync that failed the file cannot be trusted; nobody knows of it yet.
            let _ = disk.remove(&path);
            return Err(error);
        }
        self.manifest.files.push(ManifestFile { name, sequence, kind: FileKind::Increment });
        Ok(path)
    }

    fn create_empty(disk: &mut dyn Disk, path: &str) -> io::Result<()> {
        // One may be left over from a rewrite that did not come far. Its sync may have failed, so it is not used.
        if disk.size(path)?.is_some() {
            disk.remove(path)?;
        }
        disk.append(path, b"")?;
        disk.sync(path)?;
        disk.close(path);
        Ok(())
    }

    pub(super) fn write_manifest(&self, disk: &mut dyn Disk) -> io::Result<()> {
        replace_small(disk, &self.names.folder, &self.names.manifest(), self.manifest.to_text().as_bytes())
    }

    /// Removes what was replaced by a newer base.
    ///
    /// # Errors
    /// The storage refuses; the next call tries again.
    pub fn remove_history(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        if self.manifest.files.iter().all(|file| file.kind != FileKind::History) {
            return Ok(());
        }
        for file in self.manifest.files.iter().filter(|file| file.kind == FileKind::History) {
            let path = self.names.path(&file.name);
            if disk.size(&path)?.is_some() {
                disk.remove(&path)?;
            }
        }
        self.manifest.files.retain(|file| file.kind != FileKind::History);
        self.write_manifest(disk)
    }
}

/// Copies a file into a snapshot.
fn copy(disk: &mut dyn Disk, from: &str, mut output: SnapshotOutput) -> io::Result<()> {
    let mut piece = vec![0; CHUNK];
    loop {
        let read = disk.read_at(from, output.bytes(), &mut piece)?;
        if read == 0 {
            return output.finish(disk);
        }
        output.append(disk, &piece[..read])?;
    }
}

impl Log {
    fn new(current: String, end: u64, size: u64) -> Self {
        Self { current, end, size, base_size: size, seals: true, unsealed: Unsealed::default() }
    }

    /// Without seals: for readers that know no annotations.
    pub fn without_seals(self) -> Self {
        Self { seals: false, ..self }
    }

    /// A log that begins with this increment, which is empty.
    pub fn beginning_in(increment: &str) -> Self {
        Self::new(increment.to_owned(), 0, 0)
    }

    /// The path of the increment that is appended to.
    pub fn current(&self) -> &str {
        &self.current
    }

    /// Appends frames, whole units, and their seal, which is added to them.
    ///
    /// # Errors
    /// Not everything could be written, and the frames are as they were. They can be appended again, after
    /// [`Self::cut_torn_end`].
    pub fn append(&mut self, disk: &mut dyn Disk, frames: &mut Vec<u8>) -> io::Result<()> {
        let (plain, mut unsealed) = (frames.len(), self.unsealed);
        if self.seals && plain > 0 {
            unsealed.add(frames);
            frames.extend_from_slice(std::mem::take(&mut unsealed).seal().as_bytes());
        }
        let written = disk.append(&self.current, frames);
        if let Err(error) = written {
            frames.truncate(plain);
            return Err(error);
        }
        self.unsealed = unsealed;
        self.end += frames.len() as u64;
        self.size += frames.len() as u64;
        Ok(())
    }

    /// Removes what an append that failed may have left behind.
    ///
    /// # Errors
    /// It is unknown what is in the file; the log must not be appended to any more.
    pub fn cut_torn_end(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        disk.truncate(&self.current, self.end)
    }

    /// Makes all frames survive a power cut.
    ///
    /// # Errors
    /// It is unknown which do; the log must not be appended to any more.
    pub fn sync(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        disk.sync(&self.current)
    }

    /// Goes on in the next increment. What is in the one before must survive a power cut before anything is in the next
    /// one, so it is synced.
    ///
    /// # Errors
    /// The storage does not promise it; the log must not be appended to any more.
    pub fn go_on_in(&mut self, disk: &mut dyn Disk, increment: String) -> io::Result<()> {
        self.sync(disk)?;
        disk.close(&self.current);
        self.current = increment;
        self.end = 0;
        self.unsealed = Unsealed::default();
        Ok(())
    }

    /// Something that syncs the increment that is appended to, from another thread.
    ///
    /// # Errors
    /// The storage refuses.
    pub fn syncer(&self, disk: &mut dyn Disk) -> io::Result<Box<dyn Syncer>> {
        disk.syncer(&self.current)
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of all files when the log was opened or rewritten.
    pub fn base_size(&self) -> u64 {
        self.base_size
    }

    /// Takes note of what the loader found: what it cut off, and what no seal covers yet.
    pub fn was_loaded(&mut self, report: &LoadReport) {
        let cut = report.cut.as_ref().map_or(0, |cut| cut.bytes);
        if report.cut.as_ref().is_some_and(|cut| cut.file == self.current) {
            self.end -= cut;
        }
        self.size -= cut;
        self.base_size -= cut;
        self.unsealed = report.unsealed;
    }
}
