//! Schedules: what pushes jobs at times.
//!
//! Law: a fire is one record: the schedule moves to its next time and the job is pushed in the same frame. The id of
//! the job is made of the schedule and the time it was due, so that no time fires twice, whatever crashes in between.
//!
//! A time counts as missed if it passed a minute ago or more. What becomes of missed times after the daemon was down is
//! the schedule's choice ([`CatchUp`]). While the daemon runs, times can only be missed because somebody set the clock
//! or the machine slept; then the last of them fires, once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pbj_store::command::{Args, Fault};
use pbj_store::resp::request::split_words;
use pbj_store::txn::Txn;

use crate::cron::{self, Expression, Zone};
use crate::duration::parse_instant;
use crate::index::Due;
use crate::keys::KeyName;
use crate::limits::{CATCH_UP_MAX, FIRE_GRACE_MS, SCHEDULES_MAX};
use crate::push::{PushOptions, push};
use crate::queues::{Queues, Scoped};
use crate::record::{Fields, parse_number};

/// Names of the fields.
pub(crate) mod field {
    pub(crate) const SPEC: &[u8] = b"spec";
    pub(crate) const ZONE: &[u8] = b"zone";
    pub(crate) const SEED: &[u8] = b"seed";
    pub(crate) const CREATED: &[u8] = b"created";
    pub(crate) const TYPE: &[u8] = b"type";
    pub(crate) const PAYLOAD: &[u8] = b"payload";
    pub(crate) const OPTIONS: &[u8] = b"options";
    pub(crate) const CATCH_UP: &[u8] = b"catch-up";
    pub(crate) const OVERLAP: &[u8] = b"overlap";
    pub(crate) const SOURCE: &[u8] = b"source";
    pub(crate) const BOOT: &[u8] = b"boot";
    pub(crate) const NEXT: &[u8] = b"next";
    pub(crate) const PREVIOUS: &[u8] = b"previous";
    pub(crate) const LAST_JOB: &[u8] = b"last-job";
    pub(crate) const RUNS: &[u8] = b"runs";
    pub(crate) const MISSED: &[u8] = b"missed";
    pub(crate) const SKIPPED: &[u8] = b"skipped";
}

/// When a schedule pushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spec {
    /// By an expression of cron, or at an interval.
    Cron(Expression),
    /// Once, at a Unix time in milliseconds.
    At(u64),
}

/// What becomes of times that passed while the daemon was down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CatchUp {
    /// Nothing.
    None,
    /// The last one fires.
    #[default]
    Last,
    /// Each one fires.
    All,
}

/// What happens if the job of the fire before is not over yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Overlap {
    /// This fire is left out, and counted.
    #[default]
    Skip,
    /// Another job is pushed.
    Allow,
}

macro_rules! words {
    ($type:ident { $($variant:ident => $word:literal),* }) => {
        impl $type {
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            pub(crate) fn named(word: &[u8]) -> Option<Self> {
                [$(Self::$variant),*].into_iter().find(|known| word.eq_ignore_ascii_case(known.name().as_bytes()))
            }
        }
    };
}
words!(CatchUp { None => "none", Last => "last", All => "all" });
words!(Overlap { Skip => "skip", Allow => "allow" });

/// Everything that makes a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) spec: Spec,
    pub(crate) zone: Zone,
    /// Chooses the values of `~`.
    pub(crate) seed: u64,
    pub(crate) queue: Box<[u8]>,
    pub(crate) kind: Box<[u8]>,
    pub(crate) payload: Box<[u8]>,
    /// Options of the push, as words.
    pub(crate) options: Vec<Vec<u8>>,
    pub(crate) catch_up: CatchUp,
    pub(crate) overlap: Overlap,
    /// The crontab it came from.
    pub(crate) source: Option<Box<[u8]>>,
}

/// A schedule.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) db: usize,
    pub(crate) id: Box<[u8]>,
    pub(crate) key: Box<[u8]>,
    pub(crate) definition: Definition,
    /// Where `@every` counts from, in Unix milliseconds.
    pub(crate) created: u64,
    /// The boot that `@reboot` has fired for.
    boot: Box<[u8]>,
    pub(crate) next: Option<u64>,
    pub(crate) previous: Option<u64>,
    pub(crate) last_job: Box<[u8]>,
    pub(crate) runs: u64,
    pub(crate) missed: u64,
    pub(crate) skipped: u64,
}

/// All schedules.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    by_id: BTreeMap<Scoped, u32>,
    slots: Vec<Option<Schedule>>,
    free: Vec<u32>,
    /// Names the boot of the machine.
    pub(crate) boot: Box<[u8]>,
    /// How late fires were.
    pub(crate) lateness: Lateness,
}

/// How late fires were since the start of the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lateness {
    /// Fires by lateness, see [`LATENESS_MS`]; the last one counts the later ones.
    pub buckets: [u64; LATENESS_MS.len() + 1],
    /// Lateness of all fires in milliseconds.
    pub total_ms: u64,
    /// Fires that were missed and not made up for.
    pub missed: u64,
    /// Fires left out because the job before was not over.
    pub skipped: u64,
}

/// Upper ends of the buckets of [`Lateness`], in milliseconds.
pub const LATENESS_MS: [u64; 8] = [1, 2, 5, 10, 100, 1000, 10_000, 60_000];

impl Schedules {
    pub(crate) fn find(&self, db: usize, id: &[u8]) -> Option<u32> {
        self.by_id.get(&(db, Box::from(id))).copied()
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Schedule> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// The schedules of a database, by id.
    pub(crate) fn of_db(&self, db: usize) -> impl Iterator<Item = &Schedule> {
        self.by_id.iter().filter(move |((of, _), _)| *of == db).filter_map(|(_, &slot)| self.get(slot))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// What is left when all schedules are forgotten.
    pub(crate) fn emptied(&self) -> Self {
        Self { boot: self.boot.clone(), lateness: self.lateness, ..Self::default() }
    }

    /// Database and id of the schedule in a slot.
    pub(crate) fn name_of(&self, slot: u32) -> Option<(usize, String)> {
        let schedule = self.get(slot)?;
        Some((schedule.db, schedule.id.escape_ascii().to_string()))
    }

    /// Adds everything to an outline.
    pub(crate) fn outline(&self, lines: &mut BTreeSet<String>) {
        for schedule in self.slots.iter().flatten() {
            lines.insert(format!("schedule {schedule:?}"));
        }
    }

    fn put(&mut self, schedule: Schedule) -> u32 {
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        self.by_id.insert((schedule.db, schedule.id.clone()), slot);
        match self.slots.get_mut(slot as usize) {
            Some(place) => *place = Some(schedule),
            None => self.slots.push(Some(schedule)),
        }
        slot
    }

    fn take(&mut self, slot: u32) -> Option<Schedule> {
        let schedule = self.slots.get_mut(slot as usize)?.take()?;
        self.by_id.remove(&(schedule.db, schedule.id.clone()));
        self.free.push(slot);
        Some(schedule)
    }
}

impl Definition {
    /// The words after the id of CRON.SET that say when: `CRON * * * * *`, `EVERY 5m`, `AT 2027-…`.
    pub(crate) fn spec_text(&self) -> String {
        match &self.spec {
            Spec::Cron(expression) => format!("CRON {}", expression.source()),
            Spec::At(ms) => format!("AT {ms}"),
        }
    }

    /// The first time after a time, in Unix milliseconds.
    pub(crate) fn next_after(&self, created: u64, after_ms: u64) -> Option<u64> {
        match &self.spec {
            Spec::Cron(expression) => {
                let next = cron::due_after_ms(expression, self.zone, created as i64, after_ms as i64)?;
                u64::try_from(next).ok()
            }
            Spec::At(ms) => Some(*ms).filter(|&ms| ms > after_ms),
        }
    }

    /// Whether it fires when the machine has started.
    fn is_reboot(&self) -> bool {
        matches!(&self.spec, Spec::Cron(expression) if matches!(expression.kind(), cron::Kind::Reboot))
    }

    /// Whether it has no time at all: no day is as its expression wants it. A time that has passed is another matter:
    /// whoever sets the same schedules at every start means that it has fired.
    pub(crate) fn never_fires(&self, now_ms: u64) -> bool {
        matches!(self.spec, Spec::Cron(_)) && !self.is_reboot() && self.next_after(now_ms, now_ms).is_none()
    }

    /// Options as a push would be given them, from the words of [`Self::options`].
    fn push_options<'a>(&'a self, words: &'a [&'a [u8]]) -> Result<PushOptions<'a>, Fault> {
        let mut options = PushOptions::new(&self.queue, &self.kind)?;
        let mut args = Args::new(words, 0);
        while args.left() > 0 {
            options.take(&mut args)?;
        }
        Ok(options)
    }

    /// The fields that record it.
    fn fields<'a>(&'a self, texts: &'a DefinitionTexts) -> Fields<'a> {
        let mut fields = Fields::default();
        fields
            .text(field::SPEC, texts.spec.as_bytes())
            .text(field::ZONE, self.zone.name().as_bytes())
            .text(field::TYPE, &self.kind)
            .text(field::PAYLOAD, &self.payload)
            .text(field::OPTIONS, &texts.options)
            .text(field::CATCH_UP, self.catch_up.name().as_bytes())
            .text(field::OVERLAP, self.overlap.name().as_bytes())
            .number(field::SEED, self.seed);
        if let Some(source) = &self.source {
            fields.text(field::SOURCE, source);
        }
        fields
    }

    fn texts(&self) -> DefinitionTexts {
        DefinitionTexts { spec: self.spec_text(), options: self.options.join(&b' ') }
    }
}

struct DefinitionTexts {
    spec: String,
    options: Vec<u8>,
}

/// Reads the text that [`Definition::spec_text`] makes.
fn parse_spec(text: &str, seed: u64) -> Option<Spec> {
    let (word, rest) = text.split_once(' ')?;
    match word {
        "AT" => parse_instant(rest.as_bytes()).ok().map(Spec::At),
        _ => Expression::parse(rest, seed).ok().map(Spec::Cron),
    }
}

impl Queues {
    /// Makes a schedule, or replaces the one with this id.
    pub(crate) fn set_schedule(
        &mut self,
        txn: &mut Txn<'_>,
        id: &[u8],
        definition: Definition,
    ) -> Result<(), Fault> {
        let now_ms = txn.now().wall_ms();
        let old = self.schedules.find(txn.db(), id).and_then(|slot| self.schedules.get(slot)).cloned();
        if old.is_none() && self.schedules.len() >= SCHEDULES_MAX {
            return Err(Fault::other("there are too many schedules"));
        }
        // A schedule that is set again to the same goes on where it was.
        if let Some(old) = &old {
            if old.definition == definition {
                return Ok(());
            }
            self.delete_schedule(txn, id);
        }
        let key: Box<[u8]> = KeyName::Schedule(&definition.queue, id).to_key().into();
        let next = definition.next_after(now_ms, now_ms);
        let texts = definition.texts();
        let mut fields = definition.fields(&texts);
        fields.number(field::CREATED, now_ms).text(field::BOOT, &self.schedules.boot);
        if let Some(next) = next {
            fields.number(field::NEXT, next);
        }
        fields.write(txn, &key)?;
        self.file_schedule(Schedule {
            db: txn.db(),
            id: id.into(),
            key,
            definition,
            created: now_ms,
            boot: self.schedules.boot.clone(),
            next,
            previous: None,
            last_job: Box::default(),
            runs: 0,
            missed: 0,
            skipped: 0,
        });
        Ok(())
    }

    fn file_schedule(&mut self, schedule: Schedule) {
        let next = schedule.next;
        let slot = self.schedules.put(schedule);
        if let Some(next) = next {
            self.calendar_due.add(next, Due::Schedule(slot));
        }
    }

    /// Deletes a schedule; says whether there was one.
    pub(crate) fn delete_schedule(&mut self, txn: &mut Txn<'_>, id: &[u8]) -> bool {
        let found = self.schedules.find(txn.db(), id);
        let Some((slot, schedule)) = found.and_then(|slot| Some((slot, self.schedules.take(slot)?))) else {
            return false;
        };
        if let Some(next) = schedule.next {
            self.calendar_due.remove(next, Due::Schedule(slot));
        }
        txn.remove(&schedule.key);
        true
    }

    /// Takes over a schedule from its hash.
    pub(crate) fn adopt_schedule(
        &mut self,
        txn: &mut Txn<'_>,
        key: &[u8],
        queue: &[u8],
        id: &[u8],
    ) -> Result<(), Fault> {
        let mut fields: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        txn.hash_fields(key, |name, value| {
            fields.insert(name.to_vec(), value.to_vec());
        })?;
        let text = |name: &[u8]| fields.get(name).map_or(&[][..], |value| &**value);
        let number = |name: &[u8]| fields.get(name).and_then(|value| parse_number(value));
        let seed = number(field::SEED).unwrap_or(0);
        let Some(spec) = parse_spec(&String::from_utf8_lossy(text(field::SPEC)), seed) else {
            // Written by a version that knew more: it stays as it is and does not fire.
            return Ok(());
        };
        let definition = Definition {
            spec,
            zone: Zone::parse(&String::from_utf8_lossy(text(field::ZONE))).unwrap_or_default(),
            seed,
            queue: queue.into(),
            kind: text(field::TYPE).into(),
            payload: text(field::PAYLOAD).into(),
            options: split_words(text(field::OPTIONS)).unwrap_or_default(),
            catch_up: CatchUp::named(text(field::CATCH_UP)).unwrap_or_default(),
            overlap: Overlap::named(text(field::OVERLAP)).unwrap_or_default(),
            source: fields.get(field::SOURCE).map(|source| (&**source).into()),
        };
        self.file_schedule(Schedule {
            db: txn.db(),
            id: id.into(),
            key: key.into(),
            definition,
            created: number(field::CREATED).unwrap_or(0),
            boot: text(field::BOOT).into(),
            next: number(field::NEXT),
            previous: number(field::PREVIOUS),
            last_job: text(field::LAST_JOB).into(),
            runs: number(field::RUNS).unwrap_or(0),
            missed: number(field::MISSED).unwrap_or(0),
            skipped: number(field::SKIPPED).unwrap_or(0),
        });
        Ok(())
    }

    /// After a load: times that passed meanwhile are treated as each schedule chose, and `@reboot` fires after a boot.
    pub(crate) fn catch_up(&mut self, txn: &mut Txn<'_>) -> Result<(), Fault> {
        let now_ms = txn.now().wall_ms();
        for slot in 0..self.schedules.slots.len() as u32 {
            let Some(schedule) = self.schedules.get(slot).cloned() else { continue };
            let mut txn = txn.in_db(schedule.db);
            if schedule.definition.is_reboot() && schedule.boot != self.schedules.boot {
                self.fire(&mut txn, slot, now_ms, None)?;
                let boot = self.schedules.boot.clone();
                Fields::default().text(field::BOOT, &boot).write(&mut txn, &schedule.key)?;
                if let Some(Some(known)) = self.schedules.slots.get_mut(slot as usize) {
                    known.boot = boot;
                }
                continue;
            }
            let Some(next) = schedule.next.filter(|&next| next.saturating_add(FIRE_GRACE_MS) <= now_ms)
            else {
                continue;
            };
            let times = missed_times(&schedule, next, now_ms);
            match schedule.definition.catch_up {
                CatchUp::None => self.move_on(&mut txn, slot, times.last, times.count)?,
                CatchUp::Last => self.fire_late(&mut txn, slot, times.last, times.count - 1)?,
                CatchUp::All => {
                    let mut missed = times.count - times.newest.len() as u64;
                    for &at in &times.newest {
                        self.fire_late(&mut txn, slot, at, std::mem::take(&mut missed))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A schedule is due, at the time `at_ms`.
    pub(crate) fn schedule_is_due(&mut self, txn: &mut Txn<'_>, slot: u32, at_ms: u64) -> Result<(), Fault> {
        let Some(schedule) = self.schedules.get(slot).cloned() else { return Ok(()) };
        let mut txn = txn.in_db(schedule.db);
        let now_ms = txn.now().wall_ms();
        let late = now_ms.saturating_sub(at_ms);
        if late < FIRE_GRACE_MS || schedule.definition.catch_up == CatchUp::All {
            return self.fire_late(&mut txn, slot, at_ms, 0);
        }
        let times = missed_times(&schedule, at_ms, now_ms);
        self.fire_late(&mut txn, slot, times.last, times.count - 1)
    }

    /// Fires for a time that has passed, and counts those before it that did not.
    fn fire_late(&mut self, txn: &mut Txn<'_>, slot: u32, at_ms: u64, missed: u64) -> Result<(), Fault> {
        let late = txn.now().wall_ms().saturating_sub(at_ms);
        let lateness = &mut self.schedules.lateness;
        let bucket = LATENESS_MS.iter().position(|&end| late <= end).unwrap_or(LATENESS_MS.len());
        lateness.buckets[bucket] += 1;
        lateness.total_ms += late;
        self.fire(txn, slot, at_ms, Some(missed))
    }

    /// Pushes the job of a time, and moves the schedule on (`None`: it has no times).
    fn fire(&mut self, txn: &mut Txn<'_>, slot: u32, at_ms: u64, missed: Option<u64>) -> Result<(), Fault> {
        let Some(schedule) = self.schedules.get(slot).cloned() else { return Ok(()) };
        let id = job_id(&schedule.id, at_ms);
        let busy = schedule.definition.overlap == Overlap::Skip
            && self
                .find_job(txn, &schedule.last_job)?
                .is_some_and(|job| !job.head.recorded.is_some_and(crate::model::State::is_terminal));
        if busy {
            self.schedules.lateness.skipped += 1;
        } else if !self.is_taken(txn, &id)? {
            let words: Vec<&[u8]> = schedule.definition.options.iter().map(Vec::as_slice).collect();
            let mut options = schedule.definition.push_options(&words)?;
            options.id = Some(&id);
            options.schedule = Some(&schedule.id);
            push(self, txn, &options, &schedule.definition.payload)?;
        }
        if let Some(Some(known)) = self.schedules.slots.get_mut(slot as usize) {
            if busy {
                known.skipped += 1;
            } else {
                known.runs += 1;
                known.last_job = id.into();
            }
            known.previous = Some(at_ms);
        }
        match missed {
            Some(missed) => self.move_on(txn, slot, at_ms, missed),
            None => self.record_schedule(txn, slot),
        }
    }

    /// Moves a schedule to its first time after `at_ms`.
    fn move_on(&mut self, txn: &mut Txn<'_>, slot: u32, at_ms: u64, missed: u64) -> Result<(), Fault> {
        let Some(Some(schedule)) = self.schedules.slots.get_mut(slot as usize) else { return Ok(()) };
        let old = schedule.next;
        schedule.missed += missed;
        schedule.next = schedule.definition.next_after(schedule.created, at_ms);
        let next = schedule.next;
        self.schedules.lateness.missed += missed;
        if let Some(old) = old {
            self.calendar_due.remove(old, Due::Schedule(slot));
        }
        if let Some(next) = next {
            self.calendar_due.add(next, Due::Schedule(slot));
        }
        self.record_schedule(txn, slot)
    }

    fn record_schedule(&self, txn: &mut Txn<'_>, slot: u32) -> Result<(), Fault> {
        let Some(schedule) = self.schedules.get(slot) else { return Ok(()) };
        let mut fields = Fields::default();
        fields
            .number(field::RUNS, schedule.runs)
            .number(field::MISSED, schedule.missed)
            .number(field::SKIPPED, schedule.skipped)
            .text(field::LAST_JOB, &schedule.last_job);
        if let Some(previous) = schedule.previous {
            fields.number(field::PREVIOUS, previous);
        }
        match schedule.next {
            Some(next) => fields.number(field::NEXT, next),
            None => fields.without(field::NEXT),
        };
        fields.write(txn, &schedule.key)
    }

    /// How late fires were, and how many did not happen.
    pub fn lateness(&self) -> Lateness {
        self.schedules.lateness
    }

    /// Number of schedules.
    pub fn schedule_count(&self) -> usize {
        self.schedules.len()
    }
}

/// The id of the job that a schedule pushes for a time.
fn job_id(schedule: &[u8], at_ms: u64) -> Vec<u8> {
    [b"cron:", schedule, format!("@{at_ms}").as_bytes()].concat()
}

/// The time in the id of a job that a schedule pushed.
pub(crate) fn nominal_ms(id: &[u8]) -> Option<u64> {
    let at = id.iter().rposition(|&byte| byte == b'@')?;
    parse_number(&id[at + 1..])
}

/// Times of a schedule that have passed.
struct Missed {
    last: u64,
    count: u64,
    /// The newest of them, oldest first.
    newest: VecDeque<u64>,
}

/// The times from `first`, which has passed, up to now.
fn missed_times(schedule: &Schedule, first: u64, now_ms: u64) -> Missed {
    let mut missed = Missed { last: first, count: 1, newest: VecDeque::from([first]) };
    // A minute of wall time is the shortest distance of cron; intervals may be shorter, and are counted instead.
    while let Some(next) = schedule.definition.next_after(schedule.created, missed.last) {
        if next > now_ms || missed.count >= 100 * CATCH_UP_MAX as u64 {
            break;
        }
        missed.last = next;
        missed.count += 1;
        missed.newest.push_back(next);
        if missed.newest.len() > CATCH_UP_MAX {
            missed.newest.pop_front();
        }
    }
    missed
}
