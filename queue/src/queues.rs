//! All queues: the jobs' index beside the keys, and the door through which every move of a job goes.
//!
//! Law: a job's hash and its place in the index change together, here: [`Queues::create`], [`Queues::move_job`] and
//! [`Queues::forget_job`]. After a load [`Queues::rebuild`] makes the index again; that it comes out the same is
//! checked in the simulator.

use std::collections::BTreeMap;

use pbj_store::command::Fault;
use pbj_store::time::Now;
use pbj_store::txn::Txn;

use crate::change::Change;
use crate::index::{Counts, Dated, Due, Place, QueueIndex, QueueNumber, Timeline, Totals};
use crate::keys::{JobKey, KeyName, job_id, split_job_id};
use crate::limits::{COUNTER_BLOCK, DEAD_KEPT, FINISHED_KEPT, RESTART_GRACE_MS};
use crate::lock::Locks;
use crate::model::{State, Token};
use crate::record::{Fields, Head, field, parse_number};
use crate::schedule::Schedules;
use crate::steady::Steady;

/// A name within a database.
pub(crate) type Scoped = (usize, Box<[u8]>);

/// One queue.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) db: usize,
    pub(crate) name: Box<[u8]>,
    /// The key of its counters; who waits for jobs waits for it.
    pub(crate) key: Box<[u8]>,
    /// What the keys of its jobs begin with.
    job_keys: JobKey,
    pub(crate) index: QueueIndex,
    pub(crate) totals: Totals,
    pub(crate) jobs: Counter,
    pub(crate) tokens: Counter,
}

impl Queue {
    /// How far its numbers of jobs and its tokens are reserved.
    pub(crate) fn reserved(&self) -> (u64, u64) {
        (self.jobs.reserved, self.tokens.reserved)
    }
}

/// Numbers that are given out once. A block of them is reserved in the keyspace before the first one is used, so that
/// none is given out twice, whatever crashes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counter {
    last: u64,
    reserved: u64,
}

impl Counter {
    /// Begins behind everything that was reserved before.
    pub(crate) fn starting(reserved: u64) -> Self {
        Self { last: reserved, reserved }
    }

    /// How far numbers are reserved.
    pub(crate) fn reserved(self) -> u64 {
        self.reserved
    }

    /// Gives out only larger numbers from now on.
    pub(crate) fn raise(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    /// The last number that was given out.
    pub(crate) fn last(self) -> u64 {
        self.last
    }

    /// The next number.
    pub(crate) fn next(&mut self, txn: &mut Txn<'_>, key: &[u8], name: &[u8]) -> Result<u64, Fault> {
        if self.last >= self.reserved {
            let reserved = self.last + COUNTER_BLOCK;
            Fields::default().number(name, reserved).write(txn, key)?;
            self.reserved = reserved;
        }
        self.last += 1;
        Ok(self.last)
    }
}

/// Field of the counter of jobs.
const JOBS: &[u8] = b"jobs";
/// Field of the counter of tokens.
const TOKENS: &[u8] = b"tokens";

/// A job found by its id.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) queue: QueueNumber,
    pub(crate) number: u64,
    pub(crate) key: JobKey,
    pub(crate) head: Head,
}

/// All queues, schedules and locks: the extension of the engine.
#[derive(Debug, Default)]
pub struct Queues {
    pub(crate) all: Vec<Queue>,
    /// By database and name.
    by_name: BTreeMap<usize, BTreeMap<Box<[u8]>, QueueNumber>>,
    /// Jobs by the ids that clients chose.
    pub(crate) aliases: BTreeMap<Scoped, (QueueNumber, u64)>,
    /// What becomes due after a time has passed.
    pub(crate) steady_due: Timeline,
    /// What becomes due at a date.
    pub(crate) calendar_due: Timeline,
    pub(crate) steady: Steady,
    pub(crate) schedules: Schedules,
    pub(crate) locks: Locks,
    /// By database: no queue gives out tokens up to this one. Queues that were emptied away may come back, and a worker
    /// of the time before must not hold a token that is good again.
    token_floors: BTreeMap<usize, u64>,
    /// When this process, or one that it followed, took over from another, in microseconds: no queue gives out numbers
    /// up to it. Zero if none ever did.
    pub(crate) epoch: u64,
}

impl Queues {
    /// No queues. `boot` names the boot of the machine: when it differs from the one before, `@reboot` fires.
    pub fn new(boot: &str) -> Self {
        let mut queues = Self::default();
        queues.schedules.boot = boot.as_bytes().into();
        queues
    }

    /// Steady milliseconds now.
    pub(crate) fn steady_ms(&self, txn: &Txn<'_>) -> u64 {
        self.steady.ms(txn.now())
    }

    /// The queue with this name, if it was ever used.
    pub(crate) fn find_queue(&self, db: usize, name: &[u8]) -> Option<QueueNumber> {
        self.by_name.get(&db)?.get(name).copied()
    }

    /// The queue with this name; a new one is known from now on.
    pub(crate) fn queue_named(&mut self, db: usize, name: &[u8]) -> QueueNumber {
        if let Some(number) = self.find_queue(db, name) {
            return number;
        }
        let number = self.all.len() as QueueNumber;
        let (mut jobs, mut tokens) = (Counter::default(), Counter::default());
        jobs.raise(self.epoch);
        tokens.raise(self.token_floors.get(&db).copied().unwrap_or(0).max(self.epoch));
        self.all.push(Queue {
            db,
            name: name.into(),
            key: KeyName::Queue(name).to_key().into(),
            job_keys: JobKey::prefix(name),
            index: QueueIndex::default(),
            totals: Totals::default(),
            jobs,
            tokens,
        });
        self.by_name.entry(db).or_default().insert(name.into(), number);
        number
    }

    pub(crate) fn queue(&self, number: QueueNumber) -> &Queue {
        &self.all[number as usize]
    }

    pub(crate) fn queue_mut(&mut self, number: QueueNumber) -> &mut Queue {
        &mut self.all[number as usize]
    }

    /// The key of a job.
    pub(crate) fn job_key(&self, queue: QueueNumber, number: u64) -> JobKey {
        self.queue(queue).job_keys.with_number(number)
    }

    /// The number of a new job of a queue: one whose id no client has chosen for another job.
    pub(crate) fn next_job(&mut self, txn: &mut Txn<'_>, number: QueueNumber) -> Result<u64, Fault> {
        loop {
            let queue = self.queue_mut(number);
            let next = queue.jobs.next(txn, &queue.key, JOBS)?;
            if self.aliases.is_empty()
                || self.alias(txn.db(), &job_id(&self.queue(number).name, next)).is_none()
            {
                return Ok(next);
            }
        }
    }

    /// The token of a new delivery of a queue.
    pub(crate) fn next_token(&mut self, txn: &mut Txn<'_>, queue: QueueNumber) -> Result<Token, Fault> {
        let queue = self.queue_mut(queue);
        queue.tokens.next(txn, &queue.key, TOKENS).map(Token)
    }

    /// The id of a job: the one its client chose, or `queue:number`.
    pub(crate) fn id_of(&self, txn: &mut Txn<'_>, queue: QueueNumber, number: u64) -> Result<Vec<u8>, Fault> {
        let key = self.job_key(queue, number);
        let chosen = txn.hash_field(&key, field::ID)?.map(|id| id.to_vec());
        Ok(chosen.unwrap_or_else(|| job_id(&self.queue(queue).name, number)))
    }

    /// The job with this id.
    pub(crate) fn find_job(&self, txn: &mut Txn<'_>, id: &[u8]) -> Result<Option<Found>, Fault> {
        let alias = self.alias(txn.db(), id);
        let numbered = || {
            let (name, number) = split_job_id(id)?;
            Some((self.find_queue(txn.db(), name)?, number))
        };
        let Some((queue, number)) = alias.or_else(numbered) else { return Ok(None) };
        let key = self.job_key(queue, number);
        txn.focus(&key);
        // After a crash a number may be given out again, to a job with another name: whoever held it must not get at
        // that one.
        let head = Head::read(txn, &key)?.filter(|head| head.named == alias.is_some());
        Ok(head.map(|head| Found { queue, number, key, head }))
    }

    /// The job whose client chose this id.
    fn alias(&self, db: usize, id: &[u8]) -> Option<(QueueNumber, u64)> {
        // Most jobs have no such id, and most daemons no such job.
        if self.aliases.is_empty() { None } else { self.aliases.get(&(db, Box::from(id))).copied() }
    }

    /// Whether an id of a client's choice is taken.
    pub(crate) fn is_taken(&self, txn: &mut Txn<'_>, id: &[u8]) -> Result<bool, Fault> {
        Ok(self.find_job(txn, id)?.is_some())
    }

    /// Writes a new job and puts it in its place.
    pub(crate) fn create(
        &mut self,
        txn: &mut Txn<'_>,
        queue: QueueNumber,
        number: u64,
        change: &Change<'_>,
        id: Option<&[u8]>,
    ) -> Result<(), Fault> {
        let key = self.job_key(queue, number);
        txn.focus(&key);
        change.write(txn, &key)?;
        if let Some(id) = id {
            self.aliases.insert((txn.db(), id.into()), (queue, number));
        }
        self.place(txn, (queue, number), &key, change.head(), false)?;
        Ok(())
    }

    /// Writes a change that moves a job, and its place with it.
    pub(crate) fn move_job(
        &mut self,
        txn: &mut Txn<'_>,
        job: &Found,
        change: &Change<'_>,
    ) -> Result<(), Fault> {
        let before = self.unplace(txn, job);
        change.write(txn, &job.key)?;
        let next = self.place(txn, (job.queue, job.number), &job.key, change.head(), false)?;
        debug_assert!(before.may_become(next), "{before:?} to {next:?}: {:?}", job.head);
        Ok(())
    }

    /// Moves a job to a state in which it is over. With a date (Unix milliseconds) it is kept until then, without one
    /// for as long as it is among the newest.
    pub(crate) fn end_job(
        &mut self,
        txn: &mut Txn<'_>,
        job: &Found,
        change: &Change<'_>,
        date: Option<u64>,
    ) -> Result<(), Fault> {
        self.unplace(txn, job);
        change.write(txn, &job.key)?;
        if let Some(date) = date {
            txn.expire_at(&job.key, date);
        }
        let state = self.place(txn, (job.queue, job.number), &job.key, change.head(), date.is_some())?;
        debug_assert!(state.is_terminal());
        self.forget_surplus(txn, job.queue, state)
    }

    /// Lets a job that is over begin again.
    pub(crate) fn begin_again(
        &mut self,
        txn: &mut Txn<'_>,
        job: &Found,
        change: &Change<'_>,
    ) -> Result<(), Fault> {
        self.unplace(txn, job);
        txn.persist(&job.key);
        txn.hash_remove(&job.key, &[field::CANCEL, field::CALENDAR, field::ENDED, field::RESULT])?;
        change.write(txn, &job.key)?;
        self.place_again(txn, job.queue, job.number, &job.key)
    }

    /// Removes a job and every trace of it.
    pub(crate) fn forget_job(&mut self, txn: &mut Txn<'_>, job: &Found) -> Result<(), Fault> {
        self.unplace(txn, job);
        self.forget_alias(txn, &job.key)?;
        txn.remove(&job.key);
        Ok(())
    }

    /// Forgets the id that the client of a job chose.
    fn forget_alias(&mut self, txn: &mut Txn<'_>, key: &[u8]) -> Result<(), Fault> {
        if !self.aliases.is_empty()
            && let Some(id) = txn.hash_field(key, field::ID)?.map(|id| Box::from(&*id))
        {
            self.aliases.remove(&(txn.db(), id));
        }
        Ok(())
    }

    /// Puts a job where its hash says it belongs.
    fn place_again(
        &mut self,
        txn: &mut Txn<'_>,
        queue: QueueNumber,
        number: u64,
        key: &[u8],
    ) -> Result<(), Fault> {
        let head = Head::read(txn, key)?.ok_or(Fault::NoSuchKey)?;
        let dated = txn.expires_at(key).flatten().is_some();
        self.place(txn, (queue, number), key, &head, dated).map(|_| ())
    }

    /// Puts a job where its head says it belongs, and whether it has a date; returns its state.
    fn place(
        &mut self,
        txn: &mut Txn<'_>,
        (queue, number): (QueueNumber, u64),
        key: &[u8],
        head: &Head,
        dated: bool,
    ) -> Result<State, Fault> {
        debug_assert_eq!(Head::read(txn, key)?.as_ref(), Some(head), "what was written");
        debug_assert_eq!(txn.expires_at(key).flatten().is_some(), dated, "the date that was set");
        let place = Place::of(head, self.steady_ms(txn), txn.now().wall_ms(), dated);
        self.queue_mut(queue).index.counts.add(place.state());
        match place {
            Place::Ready { prio, since_ms } => {
                let queue = self.queue_mut(queue);
                queue.index.ready.insert(prio, since_ms, number);
                txn.signal(&queue.key);
            }
            Place::Delayed { at_ms, calendar } => {
                let timeline = if calendar { &mut self.calendar_due } else { &mut self.steady_due };
                timeline.add(at_ms, Due::Job(queue, number));
            }
            Place::Leased { until_ms } => {
                self.steady_due.add(until_ms, Due::Job(queue, number));
            }
            Place::Over { state, dated: true, .. } => {
                let alias = txn.hash_field(key, field::ID)?.map(|id| (*id).into());
                self.queue_mut(queue).index.dated.insert(number, Dated { state, alias });
            }
            Place::Over { state, ended_ms, dated: false } => {
                self.queue_mut(queue).index.line_of(state).insert((ended_ms, number));
            }
        }
        Ok(place.state())
    }

    /// Takes a job out of its place; returns the state that it was in there.
    fn unplace(&mut self, txn: &Txn<'_>, job: &Found) -> State {
        let (queue, number) = (job.queue, job.number);
        let place = Place::of(&job.head, self.steady_ms(txn), txn.now().wall_ms(), false);
        let due = Due::Job(queue, number);
        let timeline = if job.head.calendar { &mut self.calendar_due } else { &mut self.steady_due };
        // Its time may have come without anybody having moved it.
        let waits = job.head.due.is_some_and(|at| {
            matches!(place, Place::Ready { .. } | Place::Delayed { .. }) && timeline.remove(at, due)
        });
        if let Place::Leased { until_ms } = place {
            self.steady_due.remove(until_ms, due);
        }
        let index = &mut self.queue_mut(queue).index;
        let state = match place {
            Place::Ready { .. } | Place::Delayed { .. } if waits => State::Delayed,
            // Nothing waits for its time: it is ready, also if the wall clock was set back behind that time since.
            Place::Ready { .. } | Place::Delayed { .. } => {
                index.ready.remove(job.head.prio, job.head.ready_since(), number);
                State::Ready
            }
            Place::Leased { .. } => State::Leased,
            Place::Over { state, ended_ms, .. } => {
                index.line_of(state).remove((ended_ms, number));
                index.dated.remove(&number);
                state
            }
        };
        index.counts.remove(state);
        state
    }

    /// A delayed job whose time has come: nothing is recorded, only its place changes.
    pub(crate) fn become_ready(
        &mut self,
        txn: &mut Txn<'_>,
        queue: QueueNumber,
        number: u64,
    ) -> Result<(), Fault> {
        let key = self.job_key(queue, number);
        self.queue_mut(queue).index.counts.remove(State::Delayed);
        self.place_again(txn, queue, number, &key)
    }

    /// Forgets the oldest jobs of a state that are over, beyond what a queue keeps.
    fn forget_surplus(&mut self, txn: &mut Txn<'_>, queue: QueueNumber, state: State) -> Result<(), Fault> {
        let kept = if state == State::Dead { DEAD_KEPT } else { FINISHED_KEPT };
        while self.queue_mut(queue).index.line_of(state).len() > kept {
            let index = &mut self.queue_mut(queue).index;
            let Some((_, number)) = index.line_of(state).pop_first() else { break };
            // That is all there is to its place: see `place`.
            index.counts.remove(state);
            let key = self.job_key(queue, number);
            self.forget_alias(txn, &key)?;
            txn.remove(&key);
        }
        Ok(())
    }

    /// A key of ours is gone because of its date: a job that was over.
    pub(crate) fn expired(&mut self, db: usize, key: &[u8]) {
        let Some(KeyName::Job(name, number)) = KeyName::parse(key) else { return };
        let Some(queue) = self.find_queue(db, name) else { return };
        let index = &mut self.queue_mut(queue).index;
        if let Some(Dated { state, alias }) = index.dated.remove(&number) {
            index.counts.remove(state);
            if let Some(id) = alias {
                self.aliases.remove(&(db, id));
            }
        }
    }

    /// Derives everything again from the keys of all databases.
    ///
    /// # Errors
    /// A key of ours holds another type.
    pub(crate) fn rebuild(&mut self, txn: &mut Txn<'_>) -> Result<(), Fault> {
        let old = std::mem::take(self);
        *self = Self {
            steady: old.steady,
            schedules: old.schedules.emptied(),
            locks: old.locks.emptied(),
            token_floors: old.token_floors,
            epoch: old.epoch,
            ..Self::default()
        };
        self.read_epoch(txn)?;
        for db in 0..txn.db_count() {
            let mut keys = Vec::new();
            let mut txn = txn.in_db(db);
            txn.keys_with_prefix(crate::keys::PREFIX, |key| keys.push(key.to_vec()));
            for key in &keys {
                self.adopt(&mut txn, key)?;
            }
        }
        for old in &old.all {
            let last = old.tokens.last();
            match self.find_queue(old.db, &old.name) {
                Some(number) => {
                    let queue = self.queue_mut(number);
                    queue.totals = old.totals;
                    queue.tokens.raise(last);
                }
                None => {
                    let floor = self.token_floors.entry(old.db).or_default();
                    *floor = last.max(*floor);
                }
            }
        }
        Ok(())
    }

    /// Derives everything from the keys after a load: from now on the steady clock goes on from the wall clock.
    pub(crate) fn load(&mut self, txn: &mut Txn<'_>) -> Result<(), Fault> {
        self.steady = Steady::starting(txn.now());
        self.rebuild(txn)
    }

    fn adopt(&mut self, txn: &mut Txn<'_>, key: &[u8]) -> Result<(), Fault> {
        match KeyName::parse(key) {
            Some(KeyName::Queue(name)) => {
                let number = self.queue_named(txn.db(), name);
                let reserved = |txn: &mut Txn<'_>, name| {
                    Ok::<_, Fault>(
                        txn.hash_field(key, name)?.and_then(|text| parse_number(&text)).unwrap_or(0),
                    )
                };
                let (jobs, tokens) = (reserved(txn, JOBS)?, reserved(txn, TOKENS)?);
                let queue = self.queue_mut(number);
                let floors = (queue.jobs.last(), queue.tokens.last());
                (queue.jobs, queue.tokens) = (Counter::starting(jobs), Counter::starting(tokens));
                queue.jobs.raise(floors.0);
                queue.tokens.raise(floors.1);
            }
            // Its date may have come while nobody was there: it has disappeared just now.
            Some(KeyName::Job(..)) if !txn.exists(key) => {}
            Some(KeyName::Job(name, number)) => {
                let queue = self.queue_named(txn.db(), name);
                let chosen = txn.hash_field(key, field::ID)?.map(|id| (*id).into());
                if let Some(id) = chosen {
                    self.aliases.insert((txn.db(), id), (queue, number));
                }
                self.place_again(txn, queue, number, key)?;
            }
            Some(KeyName::Schedule(queue, id)) => self.adopt_schedule(txn, key, queue, id)?,
            Some(KeyName::Lock(name)) => self.adopt_lock(txn, key, name)?,
            Some(KeyName::Locks) => self.adopt_lock_counter(txn, key)?,
            None => {}
        }
        Ok(())
    }

    /// Lets leases that ended while the daemon was down, or would last longer than they were given, end at a sensible
    /// time: the workers had nobody to extend them with.
    pub(crate) fn mend_leases(&mut self, txn: &mut Txn<'_>) -> Result<(), Fault> {
        let waiting: Vec<Due> = self.steady_due.iter().map(|&(_, due)| due).collect();
        for due in waiting {
            let Due::Job(queue, number) = due else { continue };
            let mut txn = txn.in_db(self.queue(queue).db);
            let key = self.job_key(queue, number);
            let head = Head::read(&mut txn, &key)?;
            let Some(head) = head.filter(|head| head.recorded == Some(State::Leased)) else { continue };
            let now = self.steady_ms(&txn);
            let given = head.until.saturating_sub(head.started).max(head.lease_ms);
            let until = head.until.clamp(now + RESTART_GRACE_MS.min(given), now + given);
            if until != head.until {
                let job = Found { queue, number, key, head };
                self.move_job(&mut txn, &job, Change::of(&head).until(until))?;
            }
        }
        Ok(())
    }

    /// When the next thing is due, in monotonic milliseconds.
    pub(crate) fn next_due(&self, now: Now) -> Option<u64> {
        let steady = self.steady_due.next_ms().map(|at| self.steady.to_mono(at));
        let calendar = self.calendar_due.next_ms().map(|at| now.mono_ms + at.saturating_sub(now.wall_ms()));
        steady.into_iter().chain(calendar).min()
    }

    /// Every queue with its name, its jobs by state, what happened to them, and since when its oldest ready job waits
    /// (Unix milliseconds).
    pub fn overview(&self) -> impl Iterator<Item = QueueOverview<'_>> {
        self.all.iter().map(|queue| QueueOverview {
            db: queue.db,
            name: &queue.name,
            counts: queue.index.counts,
            totals: queue.totals,
            oldest_ready_ms: queue.index.ready.oldest_ms(),
        })
    }

    /// Delayed jobs, leases, schedules and locks that wait for their time.
    pub fn pending_timers(&self) -> usize {
        self.steady_due.len() + self.calendar_due.len()
    }
}

/// A queue, for metrics and dashboards.
#[derive(Clone, Copy, Debug)]
pub struct QueueOverview<'a> {
    /// Number of its database.
    pub db: usize,
    /// Its name.
    pub name: &'a [u8],
    /// Jobs by state.
    pub counts: Counts,
    /// What happened since the start.
    pub totals: Totals,
    /// Since when the oldest ready job waits, in Unix milliseconds.
    pub oldest_ready_ms: Option<u64>,
}
