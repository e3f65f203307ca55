//! A job as a hash: which fields there are, and how they are read and written.
//!
//! Fields that hold their default are left out: a fresh job is `type`, `payload` and `pushed`. Times are Unix
//! milliseconds. A job without `state` is ready, or delayed if `due` lies ahead; the passing of that time is not
//! recorded.

use pbj_store::Scalar;
use pbj_store::command::Fault;
use pbj_store::number::parse_u64;
use pbj_store::txn::Txn;

use crate::limits::{ATTEMPTS_DEFAULT, LEASE_DEFAULT_MS, LOST_DEFAULT};
use crate::model::{Backoff, State, Token};

/// A number as it may stand in a key or a hash of ours. One that no reply can hold, and no sum with another, is none.
pub(crate) fn parse_number(text: &[u8]) -> Option<u64> {
    parse_u64(text).filter(|&number| i64::try_from(number).is_ok())
}

/// Names of the fields.
pub(crate) mod field {
    /// What to do.
    pub(crate) const TYPE: &[u8] = b"type";
    /// What to do it with.
    pub(crate) const PAYLOAD: &[u8] = b"payload";
    /// When it was pushed.
    pub(crate) const PUSHED: &[u8] = b"pushed";
    /// The id that the client chose.
    pub(crate) const ID: &[u8] = b"id";
    /// Where it is, unless the times say it.
    pub(crate) const STATE: &[u8] = b"state";
    /// Lower is more urgent.
    pub(crate) const PRIO: &[u8] = b"prio";
    /// Not before this time.
    pub(crate) const DUE: &[u8] = b"due";
    /// `due` follows the calendar, not the time that passes.
    pub(crate) const CALENDAR: &[u8] = b"calendar";
    /// Deliveries so far.
    pub(crate) const ATTEMPT: &[u8] = b"attempt";
    /// Deliveries that ended with a lost lease.
    pub(crate) const LOST: &[u8] = b"lost";
    /// Failures it may have.
    pub(crate) const ATTEMPTS: &[u8] = b"attempts";
    /// Lost leases it may have.
    pub(crate) const LOST_MAX: &[u8] = b"lost-max";
    /// How long it waits after a failure.
    pub(crate) const BACKOFF: &[u8] = b"backoff";
    /// Length of its leases in milliseconds.
    pub(crate) const LEASE: &[u8] = b"lease";
    /// How long it is kept when it is over, in milliseconds.
    pub(crate) const KEEP: &[u8] = b"keep";
    /// The right to settle the delivery.
    pub(crate) const TOKEN: &[u8] = b"token";
    /// Who holds it.
    pub(crate) const WORKER: &[u8] = b"worker";
    /// When the delivery began.
    pub(crate) const STARTED: &[u8] = b"started";
    /// When the lease ends.
    pub(crate) const UNTIL: &[u8] = b"until";
    /// Somebody wants it called off; the reason.
    pub(crate) const CANCEL: &[u8] = b"cancel";
    /// When it was over.
    pub(crate) const ENDED: &[u8] = b"ended";
    /// What came out.
    pub(crate) const RESULT: &[u8] = b"result";
    /// What went wrong last.
    pub(crate) const ERROR: &[u8] = b"error";
    /// The class of what went wrong last.
    pub(crate) const ERROR_KIND: &[u8] = b"error-kind";
    /// The schedule that pushed it.
    pub(crate) const SCHEDULE: &[u8] = b"schedule";
}

/// The numbers of a job: everything that decides its moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Head {
    /// `state` as recorded; `None` if the times say it.
    pub(crate) recorded: Option<State>,
    /// Lower is more urgent.
    pub(crate) prio: i16,
    /// When it was pushed.
    pub(crate) pushed: u64,
    /// Not before this time.
    pub(crate) due: Option<u64>,
    /// `due` follows the calendar.
    pub(crate) calendar: bool,
    /// Deliveries so far.
    pub(crate) attempt: u32,
    /// Deliveries that ended with a lost lease.
    pub(crate) lost: u32,
    /// Failures it may have.
    pub(crate) attempts: u32,
    /// Lost leases it may have.
    pub(crate) lost_max: u32,
    /// Length of its leases in milliseconds.
    pub(crate) lease_ms: u64,
    /// How long it is kept when it is over.
    pub(crate) keep_ms: Option<u64>,
    /// The right to settle the delivery.
    pub(crate) token: Token,
    /// When the delivery began.
    pub(crate) started: u64,
    /// When the lease ends.
    pub(crate) until: u64,
    /// When it was over.
    pub(crate) ended: u64,
    /// Somebody wants it called off.
    pub(crate) cancelling: bool,
    /// It has an id that its client chose, and no other.
    pub(crate) named: bool,
}

impl Head {
    /// A job without any field.
    pub(crate) const FRESH: Self = Self {
        recorded: None,
        prio: 0,
        pushed: 0,
        due: None,
        calendar: false,
        attempt: 0,
        lost: 0,
        attempts: ATTEMPTS_DEFAULT,
        lost_max: LOST_DEFAULT,
        lease_ms: LEASE_DEFAULT_MS,
        keep_ms: None,
        token: Token(0),
        started: 0,
        until: 0,
        ended: 0,
        cancelling: false,
        named: false,
    };

    /// Reads the head of the job at a key; `None` if there is no job.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn read(txn: &mut Txn<'_>, key: &[u8]) -> Result<Option<Self>, Fault> {
        let mut head = Self::FRESH;
        let found = txn.hash_scalars(key, |field, value| {
            // None of our fields has a number for a name.
            if let Scalar::Bytes(name) = field {
                head.take(name, value);
            }
        })?;
        Ok(found.then_some(head))
    }

    /// Takes over one field. A value that makes no sense counts as left out.
    fn take(&mut self, name: &[u8], value: Scalar<'_>) {
        let number = || value.as_integer().and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
        let small = || u32::try_from(number()).unwrap_or(u32::MAX);
        match name {
            // Names are compared one after the other: most jobs have this one, which says nothing of the head.
            field::WORKER => {}
            field::STATE => self.recorded = State::named(&value.text()),
            field::PRIO => {
                self.prio = value.as_integer().and_then(|prio| i16::try_from(prio).ok()).unwrap_or(0);
            }
            field::PUSHED => self.pushed = number(),
            field::DUE => self.due = Some(number()),
            field::CALENDAR => self.calendar = true,
            field::ATTEMPT => self.attempt = small(),
            field::LOST => self.lost = small(),
            field::ATTEMPTS => self.attempts = small(),
            field::LOST_MAX => self.lost_max = small(),
            field::LEASE => self.lease_ms = number(),
            field::KEEP => self.keep_ms = Some(number()),
            field::TOKEN => self.token = Token(number()),
            field::STARTED => self.started = number(),
            field::UNTIL => self.until = number(),
            field::ENDED => self.ended = number(),
            field::CANCEL => self.cancelling = true,
            field::ID => self.named = true,
            _ => {}
        }
    }

    /// Where the job is, at a time on the clock that its `due` follows. Once recorded as ready it is, whatever time it
    /// was due at and however somebody set the clock since.
    pub(crate) fn state(&self, now_ms: u64) -> State {
        match self.recorded {
            Some(State::Delayed) | None => {
                if self.due.is_some_and(|due| due > now_ms) {
                    State::Delayed
                } else {
                    State::Ready
                }
            }
            Some(state) => state,
        }
    }

    /// Since when it could be fetched: its place in line among those of its priority.
    pub(crate) fn ready_since(&self) -> u64 {
        self.due.unwrap_or(self.pushed)
    }

    /// Failures so far, if the delivery that is going on fails.
    pub(crate) fn failures_with_this(&self) -> u32 {
        self.attempt.saturating_sub(self.lost)
    }
}

/// A job as a worker is told of it: its head, and texts where they lie.
pub(crate) struct Record<'a> {
    pub(crate) head: Head,
    /// The id that the client chose.
    pub(crate) id: Option<Scalar<'a>>,
    /// What to do.
    pub(crate) kind: Option<Scalar<'a>>,
    /// What to do it with.
    pub(crate) payload: Option<Scalar<'a>>,
    /// A schedule pushed it.
    pub(crate) scheduled: bool,
}

impl<'a> Record<'a> {
    /// Reads the job at a key, in one walk; `None` if there is no job.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn read(txn: &'a mut Txn<'_>, key: &[u8]) -> Result<Option<Self>, Fault> {
        let mut record = Self { head: Head::FRESH, id: None, kind: None, payload: None, scheduled: false };
        let found = txn.hash_scalars(key, |field, value| {
            let Scalar::Bytes(name) = field else { return };
            match name {
                field::ID => {
                    record.id = Some(value);
                    record.head.named = true;
                }
                field::TYPE => record.kind = Some(value),
                field::PAYLOAD => record.payload = Some(value),
                field::SCHEDULE => record.scheduled = true,
                _ => record.head.take(name, value),
            }
        })?;
        Ok(found.then_some(record))
    }
}

/// The backoff of the job at a key.
pub(crate) fn backoff(txn: &mut Txn<'_>, key: &[u8]) -> Result<Backoff, Fault> {
    let text = txn.hash_field(key, field::BACKOFF)?;
    Ok(text.and_then(|text| Backoff::parse(&text).ok()).unwrap_or_default())
}

/// Most fields of one write: a push with all its options has thirteen.
const FIELDS_MAX: usize = 16;

/// A list of fields to write, held in place: every change of a job makes one.
pub(crate) struct Fields<'a> {
    pairs: [(&'a [u8], Scalar<'a>); FIELDS_MAX],
    count: usize,
    removed: Vec<&'a [u8]>,
}

impl Default for Fields<'_> {
    fn default() -> Self {
        Self { pairs: [(b"", Scalar::Integer(0)); FIELDS_MAX], count: 0, removed: Vec::new() }
    }
}

impl<'a> Fields<'a> {
    fn pairs(&self) -> &[(&'a [u8], Scalar<'a>)] {
        &self.pairs[..self.count]
    }

    fn add(&mut self, name: &'a [u8], value: Scalar<'a>) -> &mut Self {
        self.pairs[self.count] = (name, value);
        self.count += 1;
        self
    }

    /// Adds a text.
    pub(crate) fn text(&mut self, name: &'a [u8], value: &'a [u8]) -> &mut Self {
        self.add(name, Scalar::Bytes(value))
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, name: &'a [u8], value: u64) -> &mut Self {
        self.integer(name, value as i64)
    }

    /// Adds a number that may be negative.
    pub(crate) fn integer(&mut self, name: &'a [u8], value: i64) -> &mut Self {
        self.add(name, Scalar::Integer(value))
    }

    /// Adds a number unless it is the default.
    pub(crate) fn unless_default(&mut self, name: &'a [u8], value: u64, default: u64) -> &mut Self {
        if value == default { self } else { self.number(name, value) }
    }

    /// Removes a field, if it is there.
    pub(crate) fn without(&mut self, name: &'a [u8]) -> &mut Self {
        self.removed.push(name);
        self
    }

    /// Writes them, and states it.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn write(&self, txn: &mut Txn<'_>, key: &[u8]) -> Result<(), Fault> {
        if !self.removed.is_empty() {
            txn.hash_remove(key, &self.removed)?;
        }
        txn.hash_put(key, self.pairs())
    }
}
