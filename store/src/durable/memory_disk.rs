//! Storage in memory: for tests, and for engines that keep nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::{Disk, Syncer};

/// Files in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl MemoryDisk {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        // A poisoned lock only says that another test failed.
        self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The content of a file.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        self.files().get(name).cloned()
    }

    /// Puts a file there.
    pub fn put(&self, name: &str, content: &[u8]) {
        self.files().insert(name.to_owned(), content.to_vec());
    }
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{name}: no such file"))
}

impl Disk for MemoryDisk {
    fn size(&mut self, name: &str) -> io::Result<Option<u64>> {
        Ok(self.files().get(name).map(|content| content.len() as u64))
    }

    fn read_at(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let files = self.files();
        let content = files.get(name).ok_or_else(|| missing(name))?;
        let rest = content.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.files().entry(name.to_owned()).or_default().extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn syncer(&mut self, _name: &str) -> io::Result<Box<dyn Syncer>> {
        Ok(Box::new(NothingToSync))
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.files().get_mut(name).ok_or_else(|| missing(name))?.truncate(len as usize);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let content = self.files().remove(from).ok_or_else(|| missing(from))?;
        self.files().insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.files().remove(name).map(|_| ()).ok_or_else(|| missing(name))
    }

    fn create_folder(&mut self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&mut self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn list(&mut self, folder: &str) -> io::Result<Vec<String>> {
        let prefix = format!("{folder}/");
        Ok(self.files().keys().filter_map(|name| name.strip_prefix(&prefix).map(str::to_owned)).collect())
    }
}

struct NothingToSync;

impl Syncer for NothingToSync {
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
