//! The dataset of a master, in a file until it is whole.
//!
//! Law: the file is worth nothing to another process, so it is not synced, and removed as soon as it was read or is
//! not wanted any more. One that a crash left behind is removed by the next one.

use std::io;
use std::path::Path;

use pbj_store::durable::Disk;
use pbj_store::engine::LinkFault;

use crate::disk::RealDisk;

/// Its name in the data folder. Tools that copy such folders leave out what begins so.
const NAME: &str = "temp-from-master.rdb";

/// The file.
pub struct KeptDataset {
    disk: RealDisk,
    is_there: bool,
    /// Bytes that were read.
    read: u64,
}

impl KeptDataset {
    /// Nothing yet.
    pub fn new(folder: &Path) -> Self {
        Self { disk: RealDisk::new(folder), is_there: false, read: 0 }
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), LinkFault> {
        self.try_append(bytes).map_err(not_kept)
    }

    fn try_append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.is_there {
            if self.disk.size(NAME)?.is_some() {
                self.disk.remove(NAME)?;
            }
            self.is_there = true;
        }
        self.disk.append(NAME, bytes)
    }

    /// Reads the next bytes; returns how many, 0 at the end.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn read(&mut self, piece: &mut [u8]) -> Result<usize, LinkFault> {
        let read = self.disk.read_at(NAME, self.read, piece).map_err(not_kept)?;
        self.read += read as u64;
        Ok(read)
    }

    /// Removes it.
    pub fn remove(&mut self) {
        if std::mem::take(&mut self.is_there)
            && let Err(error) = self.disk.remove(NAME)
        {
            tracing::warn!(%error, "the dataset of a master cannot be removed");
        }
        self.read = 0;
    }
}

impl Drop for KeptDataset {
    fn drop(&mut self) {
        self.remove();
    }
}

fn not_kept(error: io::Error) -> LinkFault {
    LinkFault::NotKept(error.to_string())
}
