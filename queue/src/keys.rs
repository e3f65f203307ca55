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

use pbj_store::number::{Digits, parse_u64};

use crate::limits::NAME_BYTES_MAX;

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
            return Some(Self::Job(tag, parse_u64(number)?));
        }
        rest.strip_prefix(b":cron:").map(|id| Self::Schedule(tag, id))
    }

    /// Builds the key.
    pub(crate) fn to_key(self) -> Vec<u8> {
        match self {
            Self::Queue(queue) => [PREFIX, b"{", queue, b"}"].concat(),
            Self::Job(queue, number) => {
                // Made for every verb, so at once and without a detour.
                let digits = Digits::of(number as i64);
                let mut key = Vec::with_capacity(PREFIX.len() + queue.len() + 27);
                key.extend_from_slice(PREFIX);
                key.push(b'{');
                key.extend_from_slice(queue);
                key.extend_from_slice(b"}:job:");
                key.extend_from_slice(digits.as_bytes());
                key
            }
            Self::Schedule(queue, id) => [PREFIX, b"{", queue, b"}:cron:", id].concat(),
            Self::Lock(name) => [PREFIX, b"{", LOCK_TAG, b"}:", name].concat(),
            Self::Locks => [PREFIX, b"{", LOCK_TAG, b"}"].concat(),
        }
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

/// Queue and number of such an id.
pub(crate) fn split_job_id(id: &[u8]) -> Option<(&[u8], u64)> {
    let at = id.iter().rposition(|&byte| byte == b':')?;
    Some((&id[..at], parse_u64(&id[at + 1..])?))
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
        for foreign in ["pbj:", "pbj:{mail", "pbj:{mail}:job:x", "pbj:{mail}:other", "other:{mail}"] {
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
        assert_eq!(split_job_id(b"app:mail:7"), Some((&b"app:mail"[..], 7)));
        assert_eq!(split_job_id(b"order-7"), None);
    }
}
