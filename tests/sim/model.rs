//! What must be true, from what clients asked and were told: jobs, tokens, locks and keys as the replies imply them.
//!
//! Law: the model looks only at requests and replies, never into the engine. Every reply is checked against what is
//! known; at a census everything known is checked against the engine. It is a fold over observations, so that after a
//! crash that lost the end of the log the model of what survived is the fold over what was not lost.

use std::collections::{BTreeMap, BTreeSet};

use pbj_store::resp::value::Value;

use super::observe;

/// A name within a database.
pub type Scoped = (usize, String);

/// When something was seen, and where in the stream its effects lie.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    /// Milliseconds on the clock that nobody can set; it begins with the wall clock when the server starts.
    pub steady_ms: u64,
    /// Wall milliseconds.
    pub wall_ms: u64,
    /// The wall clock was set back before: what had a date may be gone although the date is ahead again.
    pub set_back: bool,
    /// It was, and this is the first that the server hears of it: what was due before happens now.
    pub just_set_back: bool,
    /// Offset before.
    pub start: u64,
    /// Offset behind.
    pub end: u64,
}

/// Something that was seen.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request and its reply.
    Reply {
        /// The database of the client.
        db: usize,
        /// The request.
        words: Vec<String>,
        /// The reply.
        reply: Value,
        /// The client waited, in this turn of its line.
        turn: Option<u64>,
    },
    /// A request that has to wait.
    Waits {
        /// The database of the client.
        db: usize,
        /// The request.
        words: Vec<String>,
        /// Its turn.
        turn: u64,
    },
    /// A client is gone while it waited.
    Left {
        /// Its turn.
        turn: u64,
    },
    /// Something of which a crash left a part, or nothing.
    InPart(Box<Event>),
    /// The server has done what was due.
    Ticked,
    /// The server has started again.
    Started,
    /// Keys and locks in doubt were removed, so that it is known how they are.
    Settled,
}

/// Where a job is, as far as clients can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Ready, or delayed until its time.
    Waits,
    /// Held under its token until its lease ends.
    Leased,
    /// Over.
    Done,
    /// Given up.
    Dead,
    /// Called off.
    Cancelled,
}

/// When a job may be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// At once.
    Now,
    /// At a steady time.
    Steady(u64),
    /// At a wall time.
    Calendar(u64),
}

/// A job.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its queue.
    pub queue: String,
    /// Where it is.
    pub state: JobState,
    /// When it may be fetched, while it waits.
    pub due: Due,
    /// Token of its last delivery.
    pub token: u64,
    /// Its lease ends here, in steady milliseconds.
    pub until_ms: u64,
    /// Length of its leases.
    pub lease_ms: u64,
    /// When its delivery began, in steady milliseconds.
    pub started_ms: u64,
    /// Deliveries so far.
    pub attempt: u64,
    /// Failures it may have.
    pub attempts: u64,
    /// Deliveries that ended with a lost lease.
    pub lost: u64,
    /// Lost leases it may have.
    pub lost_max: u64,
    /// Called off while it was leased.
    pub cancelling: bool,
    /// How long it is kept when it is over, in milliseconds.
    pub keep_ms: Option<u64>,
    /// When it may be gone because it was kept for so long, in wall milliseconds.
    pub gone_ms: Option<u64>,
    /// A crash fell into the middle of what concerned it: it may be in two states.
    pub unsure: bool,
}

/// A lock that is held.
#[derive(Clone, Debug)]
pub struct Lock {
    /// The right to it.
    pub token: u64,
    /// Who holds it.
    pub owner: String,
    /// When it ends at the earliest, in steady milliseconds.
    pub until_ms: u64,
    /// How long it was taken for.
    pub ttl_ms: u64,
}

/// A key with text, or a field of a hash, of a client that is alone with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The value.
    pub value: String,
    /// Its date in wall milliseconds.
    pub date_ms: Option<u64>,
}

/// Everything that clients can know.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Jobs by database and id.
    pub jobs: BTreeMap<Scoped, Job>,
    /// Ids that were ever pushed.
    pub ever: BTreeSet<Scoped>,
    /// Highest tokens by queue.
    pub tokens: BTreeMap<Scoped, u64>,
    /// Highest numbers of jobs by queue, since its database was emptied.
    pub numbers: BTreeMap<Scoped, u64>,
    /// Locks by name.
    pub locks: BTreeMap<Scoped, Lock>,
    /// Highest tokens of locks by database.
    pub lock_tokens: BTreeMap<usize, u64>,
    /// Numbers that only INCR changes.
    pub counters: BTreeMap<Scoped, i64>,
    /// Elements of lists, in order.
    pub lists: BTreeMap<Scoped, Vec<String>>,
    /// Texts.
    pub texts: BTreeMap<Scoped, Text>,
    /// Fields of hashes, members of sets and sorted sets, all as field and value.
    pub fields: BTreeMap<Scoped, BTreeMap<String, String>>,
    /// Fields of hashes that may have dates.
    pub dated: BTreeMap<Scoped, BTreeMap<String, Text>>,
    /// Who waits for what, in arrival order.
    pub lines: BTreeMap<String, Vec<u64>>,
    /// Keys and jobs about which a crash left doubt.
    pub doubtful: BTreeSet<Scoped>,
}

/// Something that must not be.
pub type Verdict = Result<(), String>;

impl Model {
    /// Takes notice of something, and checks it against what is known.
    ///
    /// # Errors
    /// It cannot be.
    pub fn observe(&mut self, moment: Moment, event: &Event) -> Verdict {
        match event {
            Event::Reply { db, words, reply, turn } => {
                if let Some(turn) = turn {
                    self.served(*turn, reply)?;
                }
                observe::reply(self, moment, *db, words, reply)
            }
            Event::Waits { db, words, turn } => {
                self.lines.entry(line_of(*db, words)).or_default().push(*turn);
                Ok(())
            }
            Event::Left { turn } => {
                self.leave(*turn);
                Ok(())
            }
            Event::InPart(event) => {
                // Both what it ended and what it began are in doubt.
                self.doubt(event);
                self.observe(moment, event).ok();
                self.doubt(event);
                Ok(())
            }
            Event::Ticked => {
                self.ticked(moment);
                Ok(())
            }
            Event::Started => {
                self.started(moment);
                Ok(())
            }
            Event::Settled => {
                for name in std::mem::take(&mut self.doubtful) {
                    self.forget_key(&name);
                }
                Ok(())
            }
        }
    }

    /// Somebody who waited has a reply: with something in it, it must be the first of its line.
    fn served(&mut self, turn: u64, reply: &Value) -> Verdict {
        let line = self.lines.iter().find(|(_, turns)| turns.contains(&turn));
        let first = line.map(|(name, turns)| (name.clone(), turns[0]));
        self.leave(turn);
        match first {
            Some((name, first)) if first != turn && !reply.is_null() && reply.error().is_none() => {
                Err(format!("line {name:?}: turn {turn} was served before turn {first}"))
            }
            _ => Ok(()),
        }
    }

    fn leave(&mut self, turn: u64) {
        for turns in self.lines.values_mut() {
            turns.retain(|&known| known != turn);
        }
        self.lines.retain(|_, turns| !turns.is_empty());
    }

    /// Leases and locks whose time is over have ended.
    fn ticked(&mut self, moment: Moment) {
        for job in self.jobs.values_mut() {
            if job.state == JobState::Leased && job.until_ms <= moment.steady_ms {
                job.lose_lease();
            }
        }
        self.locks.retain(|_, lock| lock.until_ms > moment.steady_ms);
    }

    /// After a start the steady clock goes on from the wall clock, which may have been set. Leases and locks that would
    /// have ended hold a little longer, and none holds longer than it was given.
    fn started(&mut self, moment: Moment) {
        self.lines.clear();
        let now = moment.steady_ms;
        let mend = |until: u64, given: u64| {
            let grace = pbj_queue::limits::RESTART_GRACE_MS.min(given);
            until.clamp(now + grace, now + given)
        };
        for job in self.jobs.values_mut().filter(|job| job.state == JobState::Leased) {
            job.until_ms = mend(job.until_ms, job.until_ms.saturating_sub(job.started_ms).max(job.lease_ms));
        }
        for lock in self.locks.values_mut() {
            lock.until_ms = mend(lock.until_ms, lock.ttl_ms);
        }
    }

    /// Numbers that were given out before a crash are not given out again, although it took back what was said of them.
    pub fn remember_numbers(&mut self, before: &Self) {
        fn raise<K: Clone + Ord>(now: &mut BTreeMap<K, u64>, before: &BTreeMap<K, u64>) {
            for (key, &number) in before {
                let highest = now.entry(key.clone()).or_default();
                *highest = number.max(*highest);
            }
        }
        raise(&mut self.tokens, &before.tokens);
        raise(&mut self.numbers, &before.numbers);
        raise(&mut self.lock_tokens, &before.lock_tokens);
    }

    /// Forgets a key or a lock.
    pub fn forget_key(&mut self, name: &Scoped) {
        self.locks.remove(name);
        self.counters.remove(name);
        self.lists.remove(name);
        self.texts.remove(name);
        self.fields.remove(name);
        self.dated.remove(name);
    }

    /// Notes that an event fell into the middle of a crash: what it was about is in doubt.
    fn doubt(&mut self, event: &Event) {
        let Event::Reply { db, words, .. } = event else {
            let everywhere = matches!(event, Event::Ticked | Event::Started);
            self.jobs.values_mut().for_each(|job| job.unsure |= everywhere);
            if everywhere {
                self.doubtful.extend(self.locks.keys().cloned());
            }
            return;
        };
        if words[0].starts_with("JOB.") || words[0] == "EXEC" {
            // Which jobs it touched stands in the reply; all of the database are taken instead.
            self.jobs.iter_mut().filter(|((known, _), _)| known == db).for_each(|(_, job)| job.unsure = true);
            self.tokens.retain(|(known, _), _| known != db);
            self.numbers.retain(|(known, _), _| known != db);
        }
        if words[0].starts_with("LOCK.") {
            self.lock_tokens.remove(db);
        }
        self.doubtful.extend(words.iter().skip(1).map(|word| (*db, word.clone())));
    }
}

/// The line in which a request waits.
fn line_of(db: usize, words: &[String]) -> String {
    let what = match words[0].as_str() {
        "JOB.FETCH" => words.last(),
        _ => words.get(1),
    };
    format!("{} {db}/{}", words[0], what.map_or("", String::as_str))
}
