//! The names of all keys of the queue: nobody else builds or takes one apart.
//!
//! Everything of one queue lies under one hash tag, its name, so that a cluster would keep it in one slot:
//! ```text
//! pbj:{mail}            hash: how far the counters of the queue were given out
//! pbj:{mail}:job:42     hash: a job
//! pbj:{mail}:cron:daily hash: a schedule that pushes to the queue
//! pbj:{lock}:NAME       hash: a lock that is held
//! pbj:{lock}            hash: how far the tokens of locks were given out
//! ```
//! The queue name `lock` is reserved for this reason.

use std::ops::Deref;

use pbj_store::number::Digits;
use pbj_store::resp::reply::Reply;

use crate::limits::NAME_BYTES_MAX;
use crate::record::parse_number;

/// What all keys begin with.
pub(crate) const PREFIX: &[u8] = b"pbj:";
/// The tag of all locks.
const LOCK_TAG: &[u8] = b"lock";

/// What a key of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyName<'a> {
    /// A queue.
    Queue(&'a [u8]),
    /// A job of a queue.
    Job(&'a [u8], u64),
    /// A schedule of a queue.
    Schedule(&'a [u8], &'a [u8]),
    /// A lock that is held.
    Lock(&'a [u8]),
    /// The counters of locks.
    Locks,
}

impl<'a> KeyName<'a> {
    /// Takes a key apart; `None` if it is not ours.
    pub(crate) fn parse(key: &'a [u8]) -> Option<Self> {
        let rest = key.strip_prefix(PREFIX)?.strip_prefix(b"{")?;
        let end = rest.iter().position(|&byte| byte == b'}')?;
        let (tag, rest) = (&rest[..end], &rest[end + 1..]);
        if tag.len() > NAME_BYTES_MAX {
            return None;
        }
        if tag == LOCK_TAG {
            return match rest {
                [] => Some(Self::Locks),
                _ => rest.strip_prefix(b":").map(Self::Lock),
            };
        }
        if rest.is_empty() {
            return Some(Self::Queue(tag));
        }
        if let Some(number) = rest.strip_prefix(b":job:") {
            return Some(Self::Job(tag, parse_number(number)?));
        }
        rest.strip_prefix(b":cron:").map(|id| Self::Schedule(tag, id))
    }

    /// Builds the key.
    pub(crate) fn to_key(self) -> Vec<u8> {
        match self {
            Self::Queue(queue) => [PREFIX, b"{", queue, b"}"].concat(),
            Self::Job(queue, number) => JobKey::prefix(queue).with_number(number).to_vec(),
            Self::Schedule(queue, id) => [PREFIX, b"{", queue, b"}:cron:", id].concat(),
            Self::Lock(name) => [PREFIX, b"{", LOCK_TAG, b"}:", name].concat(),
            Self::Locks => [PREFIX, b"{", LOCK_TAG, b"}"].concat(),
        }
    }
}

/// Longest key of a job, in bytes: its number has up to 20 digits.
const JOB_KEY_BYTES_MAX: usize = PREFIX.len() + 1 + NAME_BYTES_MAX + JOB_INFIX.len() + 20;
/// What stands between the name of a queue and the number of a job in its key.
const JOB_INFIX: &[u8] = b"}:job:";

/// The key of a job, or the part of it that all jobs of a queue share; held in place, because every verb makes one.
#[derive(Clone, Debug)]
pub(crate) struct JobKey {
    bytes: [u8; JOB_KEY_BYTES_MAX],
    len: usize,
}

impl JobKey {
    /// What the keys of all jobs of a queue begin with.
    pub(crate) fn prefix(queue: &[u8]) -> Self {
        let mut key = Self { bytes: [0; JOB_KEY_BYTES_MAX], len: 0 };
        [PREFIX, b"{", queue, JOB_INFIX].into_iter().for_each(|piece| key.push(piece));
        key
    }

    /// The key of a job, made of what it begins with.
    pub(crate) fn with_number(&self, number: u64) -> Self {
        let mut key = self.clone();
        key.push(Digits::of(number as i64).as_bytes());
        key
    }

    fn push(&mut self, piece: &[u8]) {
        self.bytes[self.len..self.len + piece.len()].copy_from_slice(piece);
        self.len += piece.len();
    }
}

impl Deref for JobKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Whether this can be the name of a worker, a lock or a schedule, or a job id: no space, no control character, and not
/// too long.
pub(crate) fn is_name(name: &[u8]) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
}

/// Whether this can be the name of a queue: also no brace (it stands in braces in keys), not `lock`, and not ending in
/// a colon and a number (such a text names a job, or a weight).
pub(crate) fn is_queue_name(name: &[u8]) -> bool {
    is_name(name)
        && !name.iter().any(|byte| matches!(byte, b'{' | b'}'))
        && name != LOCK_TAG
        && split_job_id(name).is_none()
}

/// The id of a job that the queue itself numbered: `mail:42`.
pub(crate) fn job_id(queue: &[u8], number: u64) -> Vec<u8> {
    [queue, b":", Digits::of(number as i64).as_bytes()].concat()
}

/// Replies with such an id.
pub(crate) fn write_job_id(queue: &[u8], number: u64, reply: &mut Reply<'_>) {
    reply.bulk_of([queue, b":", Digits::of(number as i64).as_bytes()]);
}

/// Queue and number of such an id.
pub(crate) fn split_job_id(id: &[u8]) -> Option<(&[u8], u64)> {
    let at = id.iter().rposition(|&byte| byte == b':')?;
    Some((&id[..at], parse_number(&id[at + 1..])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_apart_as_they_were_built() {
        for name in [
            KeyName::Queue(b"mail"),
            KeyName::Job(b"app:mail", 42),
            KeyName::Schedule(b"mail", b"nightly:1"),
            KeyName::Lock(b"a{b}c"),
            KeyName::Locks,
        ] {
            assert_eq!(KeyName::parse(&name.to_key()), Some(name));
        }
        let long = ["pbj:{", &"x".repeat(NAME_BYTES_MAX + 1), "}:job:1"].concat();
        for foreign in [&*long, "pbj:", "pbj:{mail", "pbj:{mail}:job:x", "pbj:{mail}:other", "other:{mail}"] {
            assert_eq!(KeyName::parse(foreign.as_bytes()), None, "{foreign}");
        }
    }

    #[test]
    fn queue_names_leave_room_for_ids() {
        assert!(
            is_queue_name(b"mail") && is_queue_name(b"app:mail") && is_queue_name("briefe-öffnen".as_bytes())
        );
        for bad in ["", "with space", "a{b", "lock", "mail:3", "line\n", &"x".repeat(129)] {
            assert!(!is_queue_name(bad.as_bytes()), "{bad}");
        }
        let longest = JobKey::prefix(&[b'x'; NAME_BYTES_MAX]).with_number(i64::MIN.unsigned_abs());
        assert_eq!(longest.len, JOB_KEY_BYTES_MAX);
        assert_eq!(split_job_id(b"app:mail:7"), Some((&b"app:mail"[..], 7)));
        assert_eq!(split_job_id(b"order-7"), None);
    }
}
