//! Ends and beginnings: what a crash may take, what it must not, and how the next life starts.

use pbj_store::durable::{LoadFault, Manifest, SYNC_EVERY_MS, SYNC_PATIENCE_MS, SyncPolicy};

use super::{Acknowledged, World};
use crate::lab::replica::whole_units;
use crate::lab::server::LOG_FOLDER;
use crate::lab::{Replica, Server};
use crate::sim::model::{Event, Model, Moment};

/// What a start says of numbers, in the log: the field of the queue's epoch.
const EPOCH: &[u8] = b"\r\nepoch\r\n";

impl World {
    /// The process ends in order.
    pub fn restart(&mut self) {
        self.note("restart");
        let now = self.clock.now();
        if self.server.stop().is_ok() && self.failed_at.is_none() {
            // Everything there is has survived, whatever the policy.
            let offset = self.history.len() as u64;
            self.acknowledged.push(Acknowledged { mono_ms: now.mono_ms, offset, policy: SyncPolicy::Always });
        }
        self.begin_again(false);
    }

    /// The process ends at any point, or the power goes.
    pub fn crash(&mut self, power: bool) {
        self.note(if power { "power cut" } else { "kill -9" });
        self.begin_again(power);
    }

    pub(super) fn begin_again(&mut self, mut power: bool) {
        if self.failed_at.is_none() && !power {
            // The kernel has what was written.
            let offset = self.base + self.server.pace().written();
            let mono_ms = self.mono_ms();
            self.acknowledged.push(Acknowledged { mono_ms, offset, policy: SyncPolicy::Never });
        }
        loop {
            if power {
                self.disk.cut_power(&mut self.rng);
            } else {
                self.disk.end_process();
            }
            self.account_for_losses(power);
            if self.rng.u32(..1000) < self.weather.cuts_within * 20 {
                self.disk.lose_power_after(self.rng.u32(..6));
            }
            // Neither a process nor a machine is back in no time: the numbers it gives out then begin behind its clock.
            let down_ms = [5, 10, 900, 30_000][self.rng.usize(..4)] + if power { 2000 } else { 0 };
            self.clock.pass_ms(down_ms);
            self.options.seed = self.rng.u64(..);
            // It costs as much as everything else together.
            self.options.check_effects = self.rng.u8(..4) == 0;
            let started = Server::start(&self.disk, self.clock.now(), &self.options);
            match started {
                Ok(server) => {
                    self.server = server;
                    break;
                }
                Err(LoadFault::Io(_)) if self.disk.is_dark() => {
                    self.note("power cut while starting");
                    power = true;
                }
                // Whoever supervises it starts it again.
                Err(LoadFault::Io(error)) => {
                    self.note(&format!("the start fails: {error}"));
                    self.disk.set_room(None);
                }
                Err(fault) => panic!("the server does not start: {fault}"),
            }
        }
        self.after_start();
    }

    pub(super) fn after_start(&mut self) {
        self.tally.starts += 1;
        let now = self.clock.now();
        self.replica = Replica::new(now, &self.options);
        self.replica.feed(now, &self.history);
        self.fed = self.history.len();
        let (loaded, cut) = &self.server.loaded;
        assert_eq!(*loaded, self.replica.digest(), "what was loaded is not what the log says (cut: {cut:?})");
        self.base = self.history.len() as u64;
        // One that was made ready and that the manifest does not name was never there: its name comes again.
        let named = self.manifest().unwrap_or_default();
        self.increments
            .retain(|(known, _)| named.increments().any(|file| in_log_folder(&file.name) == *known));
        // An empty increment may have been made ready for another instant than this one.
        let newest = self.server.increment().to_owned();
        if self.disk.content(&newest).is_some_and(|content| content.is_empty()) {
            self.increments.retain(|(name, _)| *name != newest);
            self.increments.push((newest, self.base));
        }
        self.written.clear();
        self.write_at = None;
        self.sync_ends_at = None;
        self.failed_at = None;
        self.increment_lost = false;
        self.ticked_at = now.mono_ms;
        self.dates_blurred = false;
        let stream = self.server.take_stream();
        self.wall_set_ms = 0;
        self.began = now;
        let moment = self.moment(0, stream.len() as u64);
        self.observe(moment, Event::Started);
        self.note_fires(&stream);
        self.history.extend_from_slice(&stream);
        // Where no queue was used before, nothing is said.
        let tells = stream.windows(EPOCH.len()).any(|field| field == EPOCH);
        self.start_told = tells.then_some(self.history.len() as u64);
        self.note(&format!("started with {} bytes of log, cut {:?}", self.base, self.server.loaded.1));
        self.schedule_write();
        self.settle_doubts();
        self.connect_all();
    }

    /// Looks at what is left of the log: a beginning of the history, long enough; the model follows.
    pub(super) fn account_for_losses(&mut self, power: bool) {
        let log = self.surviving_log();
        let end = log.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        // A torn end may be there from the crash before, if the power went before it was cut off.
        let same = end.min(self.history.len());
        assert!(self.history[..same] == log[..same], "the log is not what was written to it");
        let kept = whole_units(&log[..end]) as u64;
        assert!(kept <= self.history.len() as u64, "the log has more than was written to it");
        self.check_promises(kept, power);
        if kept == self.history.len() as u64 {
            return;
        }
        self.tally.losses += 1;
        self.note(&format!("{} of {} bytes survive", kept, self.history.len()));
        self.history.truncate(kept as usize);
        self.acknowledged.retain(|reply| reply.offset <= kept);
        self.fires.retain(|_, offset| *offset < kept);
        // A clock that is behind is no help where what the start said of numbers is lost, too.
        let numbers_rise = self.start_told.is_some_and(|told| kept >= told) || !self.was_set_back;
        let before = std::mem::take(&mut self.model);
        self.fold_again(kept);
        if numbers_rise {
            self.model.remember_numbers(&before);
        } else {
            self.forget_tokens();
        }
    }

    /// Which files the log has, as far as the disk knows.
    fn manifest(&self) -> Option<Manifest> {
        let content = self.disk.content(&in_log_folder("appendonly.aof.manifest"))?;
        Some(Manifest::parse(&content).expect("a manifest is replaced as a whole"))
    }

    /// What the files come to that the manifest names: what the base stands for, and the increments behind it.
    fn surviving_log(&self) -> Vec<u8> {
        let Some(manifest) = self.manifest() else { return Vec::new() };
        let mut log: Option<Vec<u8>> = None;
        for file in manifest.increments() {
            let name = in_log_folder(&file.name);
            let content = self.disk.content(&name).expect("what the manifest names is there");
            let known = self.increments.iter().rev().find(|(known, _)| *known == name);
            let Some((_, begins)) = known else {
                assert!(content.is_empty(), "{name} was made ready and not used");
                continue;
            };
            let log = log.get_or_insert_with(|| self.history[..*begins as usize].to_vec());
            if !content.is_empty() {
                assert_eq!(log.len() as u64, *begins, "{name} goes on where the files before it end");
            }
            log.extend_from_slice(&without_seals(&content));
        }
        log.unwrap_or_default()
    }

    /// Guests forget tokens that may be given out again.
    fn forget_tokens(&mut self) {
        let Self { guests, model, .. } = self;
        for guest in guests.iter_mut() {
            let db = guest.db;
            guest.actor.forget_tokens(
                |id, token| model.jobs.get(&(db, id.to_owned())).is_some_and(|job| job.token >= token),
                |token| model.lock_tokens.get(&db).is_some_and(|&highest| highest >= token),
            );
        }
    }

    /// What was acknowledged survives: under `always` all of it; under `everysec` all but what was written in two
    /// seconds, and with a fast disk all but the last one; under `no` there is no promise for a power cut. What the
    /// kernel has survives the end of the process.
    pub(super) fn check_promises(&self, kept: u64, power: bool) {
        let crashed_ms = self.failed_at.unwrap_or(self.mono_ms()).min(self.mono_ms());
        let lost = || self.acknowledged.iter().filter(|reply| reply.offset > kept);
        for reply in lost() {
            assert!(
                power && reply.policy != SyncPolicy::Always,
                "an acknowledged write is lost: {reply:?}, {kept} survive"
            );
        }
        let every_second =
            || lost().filter(|reply| reply.policy == SyncPolicy::EverySecond).map(|reply| reply.mono_ms);
        let (Some(first), Some(last)) = (every_second().min(), every_second().max()) else { return };
        assert!(last - first <= SYNC_PATIENCE_MS, "writes acknowledged from {first} to {last} are lost");
        let slack = SYNC_EVERY_MS + 2 * self.weather.sync_max_ms + self.late_ms;
        let changed = self.weather.policy_changes > 0;
        assert!(
            changed || first + slack >= crashed_ms,
            "a write acknowledged at {first} is lost in a crash at {crashed_ms}"
        );
    }

    pub(super) fn fold_again(&mut self, kept: u64) {
        let observed = std::mem::take(&mut self.observed);
        self.model = Model::default();
        for (moment, event) in observed {
            if moment.end <= kept {
                let verdict = self.model.observe(moment, &event);
                self.must(verdict);
                self.observed.push((moment, event));
            } else if moment.start < kept {
                // It may have happened in part: what is left of it is looked up in the next census.
                let (moment, event) = (Moment { end: kept, ..moment }, Event::InPart(Box::new(event)));
                self.model.observe(moment, &event).ok();
                self.observed.push((moment, event));
            }
        }
    }
}

/// The path of a file of the log.
fn in_log_folder(name: &str) -> String {
    format!("{LOG_FOLDER}/{name}")
}

/// What is left of a file of the log without its seals; the last one may be torn.
fn without_seals(content: &[u8]) -> Vec<u8> {
    let is_seal = |line: &[u8]| {
        let torn = &line[..line.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)];
        line.starts_with(b"#SUM:")
            || (!torn.is_empty() && !line.ends_with(b"\n") && b"#SUM:".starts_with(torn))
    };
    content.split_inclusive(|&byte| byte == b'\n').filter(|line| !is_seal(line)).flatten().copied().collect()
}
