//! Snapshots as files: written aside, then put in their place as a whole; read piece by piece.
//!
//! Law: a file with the name of a snapshot is a whole one, or was put there by somebody else.

use std::io;

use super::disk::Disk;
use super::load::{LoadFault, Progress};
use super::read::CHUNK;
use crate::engine::Engine;
use crate::rdb::{LoadOptions, LoadedSnapshot, SnapshotLoader};
use crate::time::Now;

/// Bytes after which a file that is being written is synced.
const SYNC_EVERY_BYTES: u64 = 4 << 20;

/// A snapshot that is being written.
pub struct SnapshotOutput {
    folder: String,
    temporary: String,
    target: String,
    bytes: u64,
}

impl SnapshotOutput {
    /// Begins to write what will be `name` in `folder` (`""` is the data folder). Until then it is called otherwise, with
    /// `aside` in front: two who write the same snapshot at the same time must not share a file.
    ///
    /// # Errors
    /// The storage refuses.
    pub fn create(disk: &mut dyn Disk, folder: &str, name: &str, aside: &str) -> io::Result<Self> {
        let within =
            |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        let output = Self {
            folder: folder.to_owned(),
            temporary: within(&format!("{aside}{name}")),
            target: within(name),
            bytes: 0,
        };
        // One that was not finished.
        if disk.size(&output.temporary)?.is_some() {
            disk.remove(&output.temporary)?;
        }
        disk.append(&output.temporary, b"")?;
        Ok(output)
    }

    /// Appends a piece.
    ///
    /// # Errors
    /// The storage refuses.
    pub fn append(&mut self, disk: &mut dyn Disk, piece: &[u8]) -> io::Result<()> {
        disk.append(&self.temporary, piece)?;
        let before = self.bytes / SYNC_EVERY_BYTES;
        self.bytes += piece.len() as u64;
        if self.bytes / SYNC_EVERY_BYTES > before {
            // One sync of everything at the end would hold up those of the log.
            disk.sync(&self.temporary)?;
        }
        Ok(())
    }

    /// Bytes that were written.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts the snapshot, which is whole now, in its place, where it survives a power cut.
    ///
    /// # Errors
    /// The storage refuses; the one before is still there, or this one is.
    pub fn finish(self, disk: &mut dyn Disk) -> io::Result<()> {
        disk.sync(&self.temporary)?;
        disk.close(&self.temporary);
        disk.rename(&self.temporary, &self.target)?;
        disk.sync_folder(&self.folder)
    }

    /// Leaves nothing of the snapshot behind, as far as the storage allows.
    pub fn abandon(self, disk: &mut dyn Disk) {
        disk.close(&self.temporary);
        // What stays is removed before the next one is written.
        let _ = disk.remove(&self.temporary);
    }
}

/// A snapshot that is being read.
pub struct SnapshotInput {
    path: String,
    size: u64,
    at: u64,
    loader: Option<SnapshotLoader>,
}

impl SnapshotInput {
    pub(super) fn new(engine: &Engine, path: &str, size: u64, options: LoadOptions) -> Self {
        let loader = Some(SnapshotLoader::new(engine, options));
        Self { path: path.to_owned(), size, at: 0, loader }
    }

    /// Begins to read a snapshot; nothing if there is none.
    ///
    /// # Errors
    /// The storage refuses.
    pub fn open(
        disk: &mut dyn Disk,
        engine: &Engine,
        path: &str,
        options: LoadOptions,
    ) -> io::Result<Option<Self>> {
        Ok(disk.size(path)?.map(|size| Self::new(engine, path, size, options)))
    }

    pub(super) fn offset(&self) -> u64 {
        self.at
    }

    /// How far the load is.
    pub fn progress(&self) -> Progress {
        Progress { done: self.at.min(self.size), total: self.size }
    }

    /// Loads a piece. At the end of the snapshot returns what it came to, and where in the file it ends.
    ///
    /// # Errors
    /// The storage fails, or this is no whole snapshot.
    pub fn step(
        &mut self,
        disk: &mut dyn Disk,
        engine: &mut Engine,
        now: Now,
    ) -> Result<Option<(LoadedSnapshot, u64)>, LoadFault> {
        let Some(mut loader) = self.loader.take() else { return Ok(None) };
        let mut piece = vec![0; CHUNK];
        let read = disk.read_at(&self.path, self.at, &mut piece)?;
        self.at += read as u64;
        let damaged = |fault| LoadFault::Snapshot { file: self.path.clone(), fault };
        let ended = loader.feed(engine, now, &piece[..read]).map_err(damaged)?;
        if !ended && read > 0 {
            self.loader = Some(loader);
            return Ok(None);
        }
        let (loaded, rest) = loader.finish().map_err(damaged)?;
        Ok(Some((loaded, self.at - rest.len() as u64)))
    }
}

/// Whether a file begins as a snapshot does.
pub(super) fn begins_as_snapshot(disk: &mut dyn Disk, path: &str) -> io::Result<bool> {
    let mut head = [0; 6];
    let read = disk.read_at(path, 0, &mut head)?;
    Ok(head[..read].starts_with(b"REDIS") || head[..read].starts_with(b"VALKEY"))
}
