//! A change of a job: what becomes of its head and the fields that record it, said at once.
//!
//! Law: whoever sets a part of the head here writes its field too, so that the hash and what is derived from it agree.
//! Debug builds read the hash again after every change and compare ([`crate::queues`]).

use pbj_store::command::Fault;
use pbj_store::txn::Txn;

use crate::model::{State, Token};
use crate::record::{Fields, Head, field};

/// What changes in a job.
pub(crate) struct Change<'a> {
    head: Head,
    fields: Fields<'a>,
}

impl<'a> Change<'a> {
    /// A change of a job with this head; nothing changes yet.
    pub(crate) fn of(head: &Head) -> Self {
        Self { head: *head, fields: Fields::default() }
    }

    /// The head afterwards.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// Writes what changes to the job's hash.
    ///
    /// # Errors
    /// The key holds another type.
    pub(crate) fn write(&self, txn: &mut Txn<'_>, key: &[u8]) -> Result<(), Fault> {
        self.fields.write(txn, key)
    }

    /// A text that decides no move.
    pub(crate) fn text(&mut self, name: &'a [u8], value: &'a [u8]) -> &mut Self {
        self.fields.text(name, value);
        self
    }

    /// The id that the client chose.
    pub(crate) fn named(&mut self, id: &'a [u8]) -> &mut Self {
        self.head.named = true;
        self.text(field::ID, id)
    }

    pub(crate) fn state(&mut self, state: State) -> &mut Self {
        self.head.recorded = Some(state);
        self.text(field::STATE, state.name().as_bytes())
    }

    pub(crate) fn prio(&mut self, prio: i16) -> &mut Self {
        self.head.prio = prio;
        self.fields.integer(field::PRIO, prio.into());
        self
    }

    pub(crate) fn pushed(&mut self, at_ms: u64) -> &mut Self {
        self.head.pushed = at_ms;
        self.number(field::PUSHED, at_ms)
    }

    pub(crate) fn due(&mut self, at_ms: u64) -> &mut Self {
        self.head.due = Some(at_ms);
        self.number(field::DUE, at_ms)
    }

    /// Its due time follows the calendar from now on, or time that passes.
    pub(crate) fn calendar(&mut self, calendar: bool) -> &mut Self {
        self.head.calendar = calendar;
        if calendar {
            self.fields.text(field::CALENDAR, b"1");
        } else {
            self.fields.without(field::CALENDAR);
        }
        self
    }

    pub(crate) fn attempt(&mut self, attempt: u32) -> &mut Self {
        self.head.attempt = attempt;
        self.number(field::ATTEMPT, attempt.into())
    }

    pub(crate) fn attempts(&mut self, attempts: u32) -> &mut Self {
        self.head.attempts = attempts;
        self.number(field::ATTEMPTS, attempts.into())
    }

    pub(crate) fn lost(&mut self, lost: u32) -> &mut Self {
        self.head.lost = lost;
        self.number(field::LOST, lost.into())
    }

    pub(crate) fn lost_max(&mut self, lost_max: u32) -> &mut Self {
        self.head.lost_max = lost_max;
        self.number(field::LOST_MAX, lost_max.into())
    }

    pub(crate) fn lease_ms(&mut self, lease_ms: u64) -> &mut Self {
        self.head.lease_ms = lease_ms;
        self.number(field::LEASE, lease_ms)
    }

    pub(crate) fn keep_ms(&mut self, keep_ms: u64) -> &mut Self {
        self.head.keep_ms = Some(keep_ms);
        self.number(field::KEEP, keep_ms)
    }

    pub(crate) fn token(&mut self, token: Token) -> &mut Self {
        self.head.token = token;
        self.number(field::TOKEN, token.0)
    }

    pub(crate) fn started(&mut self, at_ms: u64) -> &mut Self {
        self.head.started = at_ms;
        self.number(field::STARTED, at_ms)
    }

    pub(crate) fn until(&mut self, at_ms: u64) -> &mut Self {
        self.head.until = at_ms;
        self.number(field::UNTIL, at_ms)
    }

    pub(crate) fn ended(&mut self, at_ms: u64) -> &mut Self {
        self.head.ended = at_ms;
        self.number(field::ENDED, at_ms)
    }

    /// Somebody wants it called off, for a reason.
    pub(crate) fn cancelling(&mut self, reason: &'a [u8]) -> &mut Self {
        self.head.cancelling = true;
        self.text(field::CANCEL, reason)
    }

    fn number(&mut self, name: &'a [u8], value: u64) -> &mut Self {
        self.fields.number(name, value);
        self
    }
}
