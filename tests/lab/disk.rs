//! A disk that fails as real ones do.
//!
//! What it can do to whoever uses it:
//! - lose in a power cut what was not synced: bytes behind the last sync (any number of them, with zeros or a torn part
//!   at the end), names of files whose folder was not synced;
//! - refuse to write because it is full, after writing a part;
//! - refuse to sync, once, and then pretend that all is well, as Linux does: what was not synced then never will be;
//! - lose its power in the middle of anything, so that every later call fails until it is repaired.
//!
//! What it does not do: change or lose bytes that were synced.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;
use pbj_store::durable::{Disk, Syncer};

/// Number of a file: names come and go, content stays with it.
type FileNumber = usize;

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// Bytes that survive a power cut.
    synced: usize,
    /// A sync has failed: the kernel has forgotten which bytes are not on disk.
    forgotten: bool,
}

#[derive(Debug, Default)]
struct State {
    contents: Vec<Content>,
    names: BTreeMap<String, FileNumber>,
    durable_names: BTreeMap<String, FileNumber>,
    folders: BTreeSet<String>,
    durable_folders: BTreeSet<String>,
    /// Bytes that still fit.
    room: Option<usize>,
    /// The next syncs fail.
    failing_syncs: u32,
    /// Calls that change something until the power goes.
    calls_left: Option<u32>,
    dark: bool,
    /// Length of the file that is being synced, when the sync began.
    sync_began_at: Option<usize>,
}

/// Files in memory, with faults. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{name}: no such file"))
}

fn no_power() -> io::Error {
    io::Error::other("the power is gone")
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl State {
    /// A call that changes something: may be the one at which the power goes.
    fn act(&mut self) -> io::Result<()> {
        if let Some(left) = &mut self.calls_left {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => self.dark = true,
            }
        }
        if self.dark { Err(no_power()) } else { Ok(()) }
    }

    fn content(&mut self, name: &str) -> io::Result<&mut Content> {
        let number = *self.names.get(name).ok_or_else(|| missing(name))?;
        Ok(&mut self.contents[number])
    }

    fn sync(&mut self, name: &str, len: Option<usize>) -> io::Result<()> {
        self.act()?;
        let fails = self.failing_syncs > 0;
        self.failing_syncs = self.failing_syncs.saturating_sub(1);
        let content = self.content(name)?;
        if fails {
            content.forgotten = true;
            return Err(io::Error::other("input/output error"));
        }
        if !content.forgotten {
            content.synced = content.synced.max(len.unwrap_or(content.bytes.len()).min(content.bytes.len()));
        }
        Ok(())
    }
}

impl FaultyDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the power and restores it: what was not synced is lost, all of it or from any byte on.
    pub fn cut_power(&self, rng: &mut Rng) {
        let mut state = self.state();
        state.names = state.durable_names.clone();
        state.folders = state.durable_folders.clone();
        for content in &mut state.contents {
            let unsynced = content.bytes.len() - content.synced;
            // A third of the cuts loses all, a third nothing: these are the interesting ones.
            let kept = match rng.u8(..3) {
                0 => 0,
                1 => unsynced,
                _ => rng.usize(..=unsynced),
            };
            let end = content.synced + kept;
            let lost = content.bytes.len() - end;
            content.bytes.truncate(end);
            // The length of a file may reach the disk before its content.
            if lost > 0 && rng.u8(..4) == 0 {
                content.bytes.resize(end + rng.usize(1..=lost), 0);
            }
            content.synced = content.bytes.len();
            content.forgotten = false;
        }
        state.dark = false;
        state.calls_left = None;
        state.failing_syncs = 0;
        state.sync_began_at = None;
    }

    /// The process ends; the kernel keeps what it was given. It also writes what it had forgotten after a failed sync:
    /// real kernels may not, which nobody but a rewrite of the whole file could mend.
    pub fn end_process(&self) {
        let mut state = self.state();
        state.contents.iter_mut().for_each(|content| content.forgotten = false);
        state.dark = false;
        state.calls_left = None;
        state.sync_began_at = None;
    }

    /// From now on so many bytes fit; `None` for any number.
    pub fn set_room(&self, room: Option<usize>) {
        self.state().room = room;
    }

    /// The next sync fails.
    pub fn fail_next_sync(&self) {
        self.state().failing_syncs = 1;
    }

    /// The power goes after so many calls that change something.
    pub fn lose_power_after(&self, calls: u32) {
        self.state().calls_left = Some(calls);
    }

    /// Whether the power is gone.
    pub fn is_dark(&self) -> bool {
        self.state().dark
    }

    /// A sync of a file begins: what is written later is not part of it.
    pub fn sync_begins(&self, name: &str) {
        let mut state = self.state();
        state.sync_began_at = state.content(name).ok().map(|content| content.bytes.len());
    }

    /// The content of a file.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        self.state().content(name).ok().map(|content| content.bytes.clone())
    }

    /// Puts a file there that survives everything.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let number = state.contents.len();
        state.contents.push(Content { bytes: bytes.to_vec(), synced: bytes.len(), forgotten: false });
        state.names.insert(name.to_owned(), number);
        state.durable_names.insert(name.to_owned(), number);
        state.folders.insert(folder_of(name).to_owned());
        state.durable_folders.insert(folder_of(name).to_owned());
    }
}

impl Disk for FaultyDisk {
    fn size(&mut self, name: &str) -> io::Result<Option<u64>> {
        Ok(self.state().content(name).ok().map(|content| content.bytes.len() as u64))
    }

    fn read_at(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        let content = state.content(name)?;
        let rest = content.bytes.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.act()?;
        let folder = folder_of(name);
        if !folder.is_empty() && !state.folders.contains(folder) {
            return Err(missing(folder));
        }
        if !state.names.contains_key(name) {
            let number = state.contents.len();
            state.contents.push(Content::default());
            state.names.insert(name.to_owned(), number);
        }
        let fits = state.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        if let Some(room) = &mut state.room {
            *room -= fits;
        }
        state.content(name)?.bytes.extend_from_slice(&bytes[..fits]);
        if fits == bytes.len() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::StorageFull)) }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.state().sync(name, None)
    }

    fn syncer(&mut self, name: &str) -> io::Result<Box<dyn Syncer>> {
        Ok(Box::new(FaultySyncer { disk: self.clone(), name: name.to_owned() }))
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.act()?;
        let content = state.content(name)?;
        content.bytes.truncate(len as usize);
        content.synced = content.bytes.len();
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.act()?;
        let number = state.names.remove(from).ok_or_else(|| missing(from))?;
        state.names.insert(to.to_owned(), number);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.act()?;
        state.names.remove(name).map(|_| ()).ok_or_else(|| missing(name))
    }

    fn create_folder(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.act()?;
        state.folders.insert(name.to_owned());
        Ok(())
    }

    fn sync_folder(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.act()?;
        let State { names, durable_names, folders, durable_folders, .. } = &mut *state;
        durable_names.retain(|known, _| folder_of(known) != name);
        let inside = names.iter().filter(|(known, _)| folder_of(known) == name);
        durable_names.extend(inside.map(|(known, number)| (known.clone(), *number)));
        if name.is_empty() {
            durable_folders.clone_from(folders);
        }
        Ok(())
    }

    fn list(&mut self, folder: &str) -> io::Result<Vec<String>> {
        let state = self.state();
        let inside = state.names.keys().filter(|name| folder_of(name) == folder);
        Ok(inside.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).collect())
    }
}

struct FaultySyncer {
    disk: FaultyDisk,
    name: String,
}

impl Syncer for FaultySyncer {
    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let len = state.sync_began_at.take();
        state.sync(&self.name, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "folder/file";

    fn disk() -> FaultyDisk {
        let mut disk = FaultyDisk::default();
        disk.create_folder("folder").unwrap();
        disk.sync_folder("").unwrap();
        disk
    }

    #[test]
    fn a_power_cut_takes_what_was_not_synced_and_nothing_else() {
        let mut lost_some = false;
        for seed in 0..100 {
            let mut disk = disk();
            disk.append(NAME, b"kept").unwrap();
            disk.sync(NAME).unwrap();
            disk.sync_folder("folder").unwrap();
            disk.append(NAME, b"perhaps").unwrap();
            disk.cut_power(&mut Rng::with_seed(seed));
            let content = disk.content(NAME).unwrap();
            assert!(content.starts_with(b"kept") && content.len() <= 11);
            let tail = &content[4..];
            let whole = tail.iter().take_while(|&&byte| byte != 0).count();
            assert!(b"perhaps".starts_with(&tail[..whole]) && tail[whole..].iter().all(|&byte| byte == 0));
            lost_some |= content.len() < 11;
        }
        assert!(lost_some);
    }

    #[test]
    fn names_live_in_folders() {
        let mut disk = disk();
        disk.append(NAME, b"x").unwrap();
        disk.sync(NAME).unwrap();
        disk.cut_power(&mut Rng::with_seed(1));
        assert_eq!(disk.content(NAME), None, "the folder was not synced");
    }

    #[test]
    fn a_failed_sync_is_never_made_up_for() {
        let mut disk = disk();
        disk.append(NAME, b"x").unwrap();
        disk.sync_folder("folder").unwrap();
        disk.fail_next_sync();
        assert!(disk.sync(NAME).is_err());
        assert!(disk.sync(NAME).is_ok(), "the kernel says that all is well");
        let lost = (0..20).any(|seed| {
            let (contents, durable_names) = {
                let state = disk.state();
                (state.contents.clone(), state.durable_names.clone())
            };
            let copy = FaultyDisk::default();
            *copy.state() = State { contents, durable_names, ..State::default() };
            copy.cut_power(&mut Rng::with_seed(seed));
            copy.content(NAME) != Some(b"x".to_vec())
        });
        assert!(lost);
    }

    #[test]
    fn a_full_disk_takes_a_part_and_a_dark_one_nothing() {
        let mut disk = disk();
        disk.set_room(Some(3));
        assert_eq!(disk.append(NAME, b"abcdef").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.content(NAME), Some(b"abc".to_vec()));
        disk.set_room(None);
        disk.lose_power_after(1);
        disk.append(NAME, b"d").unwrap();
        assert!(disk.append(NAME, b"e").is_err() && disk.is_dark());
    }
}
