//! The log: opening it, and appending to its newest increment.

use std::io;

use super::disk::{Disk, Syncer, read_small, replace_small};
use super::load::{LoadFault, Loader};
use super::manifest::{FileKind, MANIFEST_MAX, Manifest, ManifestFile};

/// How the files of a log are called.
#[derive(Clone, Debug)]
pub struct LogNames {
    /// The folder (`appenddirname`).
    pub folder: String,
    /// The beginning of all names (`appendfilename`).
    pub file: String,
}

impl LogNames {
    fn manifest(&self) -> String {
        format!("{}/{}.manifest", self.folder, self.file)
    }

    fn increment(&self, sequence: u64) -> String {
        format!("{}.{sequence}.incr.aof", self.file)
    }

    /// The path of a file of the log.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }
}

/// A log that is open for appending.
pub struct Log {
    names: LogNames,
    manifest: Manifest,
    /// Path of the increment that is appended to.
    current: String,
    /// Bytes of all files.
    size: u64,
    /// Bytes of all files when the log was opened.
    size_at_start: u64,
}

impl Log {
    /// Finds the log of a data folder, or makes a new one; [`Loader`] reads what is in it.
    ///
    /// # Errors
    /// The storage fails, or what is there cannot be a log.
    pub fn open(disk: &mut dyn Disk, names: &LogNames) -> Result<(Self, Loader), LoadFault> {
        let manifest = Self::find(disk, names)?;
        let loader = Loader::new(disk, names, &manifest)?;
        let mut size = 0;
        for file in &manifest.files {
            size += disk.size(&names.path(&file.name))?.unwrap_or(0);
        }
        let current = match manifest.increments().last() {
            Some(file) => names.path(&file.name),
            None => String::new(),
        };
        let mut log = Self { names: names.clone(), manifest, current, size, size_at_start: size };
        if log.current.is_empty() {
            log.start_increment(disk)?;
        } else {
            // What a process before wrote may not be on disk yet. Whoever reads it now relies on it.
            log.sync(disk)?;
        }
        Ok((log, loader))
    }

    fn find(disk: &mut dyn Disk, names: &LogNames) -> Result<Manifest, LoadFault> {
        let path = names.manifest();
        if disk.size(&path)?.is_some() {
            let text = read_small(disk, &path, MANIFEST_MAX)?;
            return Manifest::parse(&text).map_err(|fault| LoadFault::Manifest { file: path, fault });
        }
        disk.create_folder(&names.folder)?;
        disk.sync_folder("")?;
        let mut manifest = Manifest::default();
        if disk.size(&names.file)?.is_some() {
            // A log of Redis before version 7: one file in the data folder. It becomes the base.
            manifest.files.push(ManifestFile { name: names.file.clone(), sequence: 1, kind: FileKind::Base });
            disk.rename(&names.file, &names.path(&names.file))?;
            disk.sync_folder("")?;
        }
        Ok(manifest)
    }

    /// Begins a new increment and names it in the manifest.
    fn start_increment(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        let sequence = self.manifest.last_increment() + 1;
        let name = self.names.increment(sequence);
        self.current = self.names.path(&name);
        disk.append(&self.current, b"")?;
        disk.sync(&self.current)?;
        self.manifest.files.push(ManifestFile { name, sequence, kind: FileKind::Increment });
        replace_small(disk, &self.names.folder, &self.names.manifest(), self.manifest.to_text().as_bytes())
    }

    /// Appends frames.
    ///
    /// # Errors
    /// Not everything could be written; the log must not be appended to any more.
    pub fn append(&mut self, disk: &mut dyn Disk, frames: &[u8]) -> io::Result<()> {
        disk.append(&self.current, frames)?;
        self.size += frames.len() as u64;
        Ok(())
    }

    /// Makes all frames survive a power cut.
    ///
    /// # Errors
    /// It is unknown which do; the log must not be appended to any more.
    pub fn sync(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        disk.sync(&self.current)
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

    /// Bytes of all files when the log was opened.
    pub fn size_at_start(&self) -> u64 {
        self.size_at_start
    }

    /// Takes note of bytes that the loader cut off.
    pub fn was_cut(&mut self, bytes: u64) {
        self.size -= bytes;
        self.size_at_start -= bytes;
    }
}
