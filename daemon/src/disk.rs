//! The real disk: files of one data folder.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use pbj_store::durable::{Disk, Syncer};

/// How often, and after what pauses, the lock of a folder is tried that somebody has: three seconds.
const LOCK_LOOKS: u32 = 60;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Files of a folder, kept open for appending.
pub struct RealDisk {
    folder: PathBuf,
    open: HashMap<String, File>,
}

/// The right to use a data folder; given back when dropped, and by the kernel when the process ends.
pub struct FolderLock {
    _file: Flock<File>,
}

impl FolderLock {
    /// Takes the right to use a folder, as [`Self::take`] does. Somebody who has it, and is about to end, is waited
    /// for.
    ///
    /// # Errors
    /// Those of [`Self::take`].
    pub fn take_soon(folder: &Path) -> io::Result<Self> {
        for look in 0..LOCK_LOOKS {
            match Self::take(folder) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if look == 0 {
                        tracing::info!("waiting for the data folder: {error}");
                    }
                    std::thread::sleep(LOCK_PAUSE);
                }
                taken => return taken,
            }
        }
        Self::take(folder)
    }

    /// Takes the right to use a folder, which is made if it is not there.
    ///
    /// # Errors
    /// Somebody else has it, or the folder cannot be made or written to; the text names it.
    pub fn take(folder: &Path) -> io::Result<Self> {
        let path = folder.join("pbjd.lock");
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
        fs::create_dir_all(folder).map_err(named)?;
        let open =
            OpenOptions::new().create(true).truncate(false).write(true).read(true).mode(0o600).open(&path);
        let file = open.map_err(named)?;
        let mut file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(file, errno)| {
            let holder = io::read_to_string(&file).unwrap_or_default();
            let who = holder.trim();
            let who = if who.is_empty() { "another process".to_owned() } else { format!("process {who}") };
            io::Error::new(
                io::Error::from(errno).kind(),
                format!("{} is in use by {who}; only one daemon may open a data folder", folder.display()),
            )
        })?;
        file.set_len(0)?;
        write!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }
}

impl RealDisk {
    /// The disk of a folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), open: HashMap::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.folder.clone() } else { self.folder.join(name) }
    }

    fn named(&self, name: &str, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path(name).display()))
    }

    fn appender(&mut self, name: &str) -> io::Result<&mut File> {
        if !self.open.contains_key(name) {
            let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(self.path(name));
            let file = opened.map_err(|error| self.named(name, &error))?;
            self.open.insert(name.to_owned(), file);
        }
        self.open.get_mut(name).ok_or_else(|| io::Error::other("just opened"))
    }
}

impl Disk for RealDisk {
    fn size(&mut self, name: &str) -> io::Result<Option<u64>> {
        match fs::metadata(self.path(name)) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.named(name, &error)),
        }
    }

    fn read_at(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let read = File::open(self.path(name)).and_then(|file| file.read_at(buffer, offset));
        read.map_err(|error| self.named(name, &error))
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let written = self.appender(name)?.write_all(bytes);
        written.map_err(|error| self.named(name, &error))
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let synced = self.appender(name)?.sync_data();
        synced.map_err(|error| self.named(name, &error))
    }

    fn syncer(&mut self, name: &str) -> io::Result<Box<dyn Syncer>> {
        Ok(Box::new(FileSyncer(self.appender(name)?.try_clone()?)))
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        let path = self.path(name);
        let cut = OpenOptions::new().write(true).open(path).and_then(|file| {
            file.set_len(len)?;
            file.sync_all()
        });
        cut.map_err(|error| self.named(name, &error))
    }

    fn close(&mut self, name: &str) {
        self.open.remove(name);
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.open.remove(from);
        self.open.remove(to);
        fs::rename(self.path(from), self.path(to)).map_err(|error| self.named(from, &error))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.open.remove(name);
        fs::remove_file(self.path(name)).map_err(|error| self.named(name, &error))
    }

    fn create_folder(&mut self, name: &str) -> io::Result<()> {
        fs::create_dir_all(self.path(name)).map_err(|error| self.named(name, &error))
    }

    fn sync_folder(&mut self, name: &str) -> io::Result<()> {
        File::open(self.path(name))
            .and_then(|folder| folder.sync_all())
            .map_err(|error| self.named(name, &error))
    }

    fn list(&mut self, folder: &str) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.path(folder)).map_err(|error| self.named(folder, &error))?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }
}

struct FileSyncer(File);

impl Syncer for FileSyncer {
    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
