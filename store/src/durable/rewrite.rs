//! A rewrite: a new base takes the place of everything up to an instant.
//!
//! Law: whenever the power goes, the manifest names files that make up all data. The steps, of which each survives a
//! power cut before the next begins:
//! 1. The next increment is created, empty, and named behind the one that is appended to.
//! 2. The instant: the walk begins, and frames after it go to the next increment. Before the first of them is written,
//!    the increment before is synced ([`super::Log::go_on_in`]).
//! 3. The base is written aside, synced and given its name.
//! 4. The manifest names the base and the increments since the instant; what they replace is history.
//! 5. History is removed.
//!
//! A log that was off begins in the same way, only that nothing is named before step 4: until then what was there
//! before counts. If it stays off, there is a base and no increment.

use std::io;

use super::disk::Disk;
use super::log::LogFiles;
use super::manifest::{FileKind, Manifest, ManifestFile};
use super::seal::Unsealed;
use super::snapshot::SnapshotOutput;
use crate::config::Config;
use crate::rdb::WalkPiece;

/// What the base of a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseForm {
    /// A snapshot.
    Snapshot,
    /// Commands.
    Commands,
    /// Commands, with seals between them.
    SealedCommands,
}

impl BaseForm {
    /// What the directives ask for.
    pub fn of(config: &Config) -> Self {
        match (config.flag("aof-use-rdb-preamble"), config.flag("aof-checksums")) {
            (true, _) => Self::Snapshot,
            (false, true) => Self::SealedCommands,
            (false, false) => Self::Commands,
        }
    }
}

/// A rewrite that is under way.
pub struct Rewrite {
    base: ManifestFile,
    form: BaseForm,
    output: SnapshotOutput,
    /// What was appended since the last seal.
    unsealed: Unsealed,
    /// The number of the first increment behind the base, and its path.
    first: u64,
    increment: Option<String>,
}

/// What a rewrite finds, and leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogState {
    /// A log to which frames are appended.
    Running,
    /// None, or one that is lost; frames come after the instant.
    Beginning,
    /// None, and there will be none: only the base is wanted.
    Off,
}

impl Rewrite {
    /// The path of the increment for frames after the instant, unless the log is to stay off.
    pub fn increment(&self) -> Option<&str> {
        self.increment.as_deref()
    }

    /// What the base is.
    pub fn form(&self) -> BaseForm {
        self.form
    }

    /// Appends a piece of the base.
    ///
    /// # Errors
    /// The storage refuses.
    pub fn append(&mut self, disk: &mut dyn Disk, piece: &WalkPiece) -> io::Result<()> {
        self.output.append(disk, &piece.bytes)?;
        if self.form != BaseForm::SealedCommands {
            return Ok(());
        }
        self.unsealed.add(&piece.bytes);
        if piece.is_whole && self.unsealed.bytes() > 0 {
            let seal = std::mem::take(&mut self.unsealed).seal();
            self.output.append(disk, seal.as_bytes())?;
        }
        Ok(())
    }

    /// Bytes of the base so far.
    pub fn bytes(&self) -> u64 {
        self.output.bytes()
    }
}

impl LogFiles {
    /// Makes everything ready for a rewrite, step 1.
    ///
    /// # Errors
    /// The storage refuses; the log goes on as before.
    pub fn begin_rewrite(
        &mut self,
        disk: &mut dyn Disk,
        state: LogState,
        form: BaseForm,
    ) -> io::Result<Rewrite> {
        let last = self.manifest.base().map_or(0, |base| base.sequence);
        let (sequence, name) = self.manifest.unused(last + 1, |sequence| self.names.base(sequence, form));
        let base = ManifestFile { name, sequence, kind: FileKind::Base };
        let output = SnapshotOutput::create(disk, &self.names.folder, &base.name, "temp-")?;
        if state == LogState::Off {
            let first = self.manifest.last_increment() + 1;
            return Ok(Rewrite { base, form, output, unsealed: Unsealed::default(), first, increment: None });
        }
        let named = self.add_increment(disk).and_then(|path| {
            if state == LogState::Running {
                // If this fails, the increment stays named here: it is empty, and the next one has another name.
                self.write_manifest(disk)?;
            }
            Ok(path)
        });
        match named {
            Ok(increment) => {
                let first = self.manifest.last_increment();
                Ok(Rewrite {
                    base,
                    form,
                    output,
                    unsealed: Unsealed::default(),
                    first,
                    increment: Some(increment),
                })
            }
            Err(error) => {
                output.abandon(disk);
                Err(error)
            }
        }
    }

    /// Gives a rewrite up. The increment for what comes after it stays, and frames may be in it already.
    pub fn abandon_rewrite(&mut self, disk: &mut dyn Disk, rewrite: Rewrite) {
        rewrite.output.abandon(disk);
    }

    /// Puts the base, which is whole now, in the place of what it replaces: steps 3 and 4. Returns how many bytes were
    /// replaced; [`Self::remove_history`] frees them.
    ///
    /// # Errors
    /// The storage refuses. The log is whole with the old files, or with the new ones.
    pub fn finish_rewrite(&mut self, disk: &mut dyn Disk, rewrite: Rewrite) -> io::Result<u64> {
        let Rewrite { base, output, first, .. } = rewrite;
        output.finish(disk)?;
        let mut replaced = 0;
        let before = self.manifest.clone();
        let after = Manifest::with_base(base, first, &before);
        for file in &before.files {
            let stays = after.increments().any(|kept| kept == file);
            if file.kind != FileKind::History && !stays {
                replaced += disk.size(&self.names.path(&file.name))?.unwrap_or(0);
            }
        }
        self.manifest = after;
        if let Err(error) = self.write_manifest(disk) {
            self.manifest = before;
            return Err(error);
        }
        Ok(replaced)
    }
}
