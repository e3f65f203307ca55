//! What the log asks of storage: files in one folder, by name.
//!
//! Three kinds exist: the real one (in the daemon), one in memory, and one that fails on purpose (in the simulator).
//! Names are relative to the data folder and may have one folder in front.

use std::io;

/// Storage of one data folder.
pub trait Disk: Send {
    /// The size of a file in bytes; `None` if there is none.
    ///
    /// # Errors
    /// The storage cannot say.
    fn size(&mut self, name: &str) -> io::Result<Option<u64>>;

    /// Reads from a place in a file; fewer bytes than asked for mean its end.
    ///
    /// # Errors
    /// The file is not there or cannot be read.
    fn read_at(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Appends to a file, which is created if need be. All bytes, or an error after which any part may be there.
    ///
    /// # Errors
    /// Not everything could be written.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything appended to a file survive a power cut. After an error it is unknown what does.
    ///
    /// # Errors
    /// The storage does not promise it.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Something that can sync a file while others go on appending to it.
    ///
    /// # Errors
    /// The file cannot be opened.
    fn syncer(&mut self, name: &str) -> io::Result<Box<dyn Syncer>>;

    /// Cuts a file to a length, and syncs it.
    ///
    /// # Errors
    /// The file cannot be cut.
    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()>;

    /// Nobody appends to a file any more, for now: what was held open for that may be given back.
    fn close(&mut self, _name: &str) {}

    /// Puts a file in the place of another; survives a power cut once the folder is synced.
    ///
    /// # Errors
    /// The file is not there, or the storage refuses.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The file is not there, or the storage refuses.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Creates a folder, unless it is there.
    ///
    /// # Errors
    /// The storage refuses.
    fn create_folder(&mut self, name: &str) -> io::Result<()>;

    /// Makes creations, renames and removals in a folder (`""` is the data folder) survive a power cut.
    ///
    /// # Errors
    /// The storage does not promise it.
    fn sync_folder(&mut self, name: &str) -> io::Result<()>;

    /// The names of the files in a folder.
    ///
    /// # Errors
    /// The folder is not there.
    fn list(&mut self, folder: &str) -> io::Result<Vec<String>>;
}

/// Syncs one file from another thread.
pub trait Syncer: Send {
    /// Makes everything appended so far survive a power cut.
    ///
    /// # Errors
    /// The storage does not promise it.
    fn sync(&self) -> io::Result<()>;
}

/// Reads a whole file that is known to be small.
///
/// # Errors
/// The file is not there, cannot be read, or has more than `limit` bytes.
pub(super) fn read_small(disk: &mut dyn Disk, name: &str, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; limit + 1];
    let mut len = 0;
    while len <= limit {
        let read = disk.read_at(name, len as u64, &mut bytes[len..])?;
        if read == 0 {
            bytes.truncate(len);
            return Ok(bytes);
        }
        len += read;
    }
    Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{name} has more than {limit} bytes")))
}

/// Replaces a small file as a whole: afterwards the old or the new content is there, never a part.
///
/// # Errors
/// The storage refuses any step.
pub(super) fn replace_small(disk: &mut dyn Disk, folder: &str, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = format!("{folder}/temp-{}", name.rsplit('/').next().unwrap_or(name));
    if disk.size(&temporary)?.is_some() {
        disk.remove(&temporary)?;
    }
    disk.append(&temporary, content)?;
    disk.sync(&temporary)?;
    disk.rename(&temporary, name)?;
    disk.sync_folder(folder)
}
