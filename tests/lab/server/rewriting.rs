//! Rewrites of the log, step by step: also those that heal one that was lost.
//!
//! It follows `daemon/src/saver.rs`.

use pbj_store::durable::{BaseForm, Health, Log, LogFiles, LogState, Rewrite};
use pbj_store::rdb::{SnapshotHead, WalkId};

use super::{LogCut, Server};

/// A rewrite of the log on its way.
pub(super) enum Rewriting {
    /// It was asked for.
    Asked(u64),
    /// The base is being written.
    Written(u64, WalkId, Rewrite),
    /// The base is whole.
    Whole(u64, Rewrite),
}

impl Server {
    /// Takes one step of a rewrite; says whether one was finished.
    ///
    /// # Errors
    /// The disk refuses; the log goes on as it was.
    pub fn rewrite_on(&mut self, visits: usize) -> Result<bool, std::io::Error> {
        let (number, end) = match self.rewriting.take() {
            None => return Ok(false),
            Some(Rewriting::Asked(number)) if self.health == Health::Stalled || self.cut.is_some() => {
                (number, Ok(false))
            }
            Some(Rewriting::Asked(number)) => match self.begin_rewrite() {
                Ok(rewrite) => match self.instant(number, rewrite) {
                    Ok(()) => return Ok(false),
                    Err(error) => (number, Err(error)),
                },
                Err(error) => (number, Err(error)),
            },
            Some(Rewriting::Written(number, walk, mut rewrite)) => {
                let Some(piece) = self.engine.walk_on(walk, visits) else {
                    panic!("nobody gives this walk up");
                };
                match rewrite.append(&mut self.disk, &piece) {
                    Ok(()) => {
                        self.rewriting = Some(if piece.is_last {
                            Rewriting::Whole(number, rewrite)
                        } else {
                            Rewriting::Written(number, walk, rewrite)
                        });
                        return Ok(false);
                    }
                    Err(error) => {
                        self.engine.end_walk(walk);
                        self.files.abandon_rewrite(&mut self.disk, rewrite);
                        (number, Err(error))
                    }
                }
            }
            Some(Rewriting::Whole(number, rewrite)) if self.health == Health::Lost => {
                self.files.abandon_rewrite(&mut self.disk, rewrite);
                (number, Ok(false))
            }
            // Nobody knows when the next increment begins.
            Some(Rewriting::Whole(number, rewrite))
                if self.health == Health::Stalled && self.cut.is_some() =>
            {
                self.files.abandon_rewrite(&mut self.disk, rewrite);
                (number, Ok(false))
            }
            // The base must not be named before everything behind it has its place.
            Some(whole @ Rewriting::Whole(..)) if self.cut.is_some() => {
                self.rewriting = Some(whole);
                return Ok(false);
            }
            Some(Rewriting::Whole(number, rewrite)) => {
                let finished = self.files.finish_rewrite(&mut self.disk, rewrite);
                if finished.is_ok() && self.health == Health::Proving {
                    self.recover();
                }
                (number, finished.and_then(|_| self.files.remove_history(&mut self.disk)).map(|()| true))
            }
        };
        if self.health == Health::Proving {
            // Without a base, what is in the log by now is worth nothing.
            self.forget_file();
        }
        self.engine.run_ended(self.engine.now(), number, matches!(end, Ok(true)));
        end
    }

    /// Makes the files of a rewrite ready.
    fn begin_rewrite(&mut self) -> Result<Rewrite, std::io::Error> {
        if self.health == Health::Lost {
            let replaced = LogFiles::replace(&mut self.disk, &self.names);
            self.files = replaced.map_err(|fault| std::io::Error::other(fault.to_string()))?;
        }
        let lost = self.health == Health::Lost;
        let state = if lost { LogState::Beginning } else { LogState::Running };
        self.files.begin_rewrite(&mut self.disk, state, BaseForm::of(self.engine.config()))
    }

    /// The instant of a rewrite: what comes after it goes to the next increment.
    fn instant(&mut self, number: u64, rewrite: Rewrite) -> Result<(), std::io::Error> {
        assert!(self.engine.run_begins(number), "nobody gives a rewrite up");
        let as_commands = rewrite.form() != BaseForm::Snapshot;
        let place = self.engine.place();
        let head = SnapshotHead { as_commands, is_log_base: true, place, ..SnapshotHead::default() };
        let walk = self.engine.begin_walk(&head).expect("nobody else walks");
        self.submit();
        let increment = rewrite.increment().expect("the log is on").to_owned();
        if self.health == Health::Lost {
            let log = Log::beginning_in(&increment);
            match log.syncer(&mut self.disk) {
                Ok(syncer) => self.syncer = syncer,
                Err(error) => {
                    self.engine.end_walk(walk);
                    self.files.abandon_rewrite(&mut self.disk, rewrite);
                    return Err(error);
                }
            }
            self.log = log;
            self.pace = self.pace.beginning_anew(self.engine.offset());
            self.health = Health::Proving;
        } else {
            self.cut = Some(LogCut { increment, after: Vec::new(), end: self.pace.submitted() });
        }
        self.engine.set_feed_wanted(true);
        self.rewriting = Some(Rewriting::Written(number, walk, rewrite));
        Ok(())
    }
}
