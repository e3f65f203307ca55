//! The dates of keys: setting, reading, removing.

use super::prelude::*;
use crate::number::parse_i64;
use crate::txn::Origin;

pub(super) const ROWS: &[Command] =
    &[EXPIRE, EXPIREAT, PEXPIRE, PEXPIREAT, TTL, PTTL, EXPIRETIME, PEXPIRETIME, PERSIST];

/// How a command writes a time.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) command: &'static str,
    pub(super) seconds: bool,
    pub(super) relative: bool,
}

impl Form {
    /// The date that a time means, in Unix milliseconds.
    pub(super) fn date(self, time: i64, now_ms: u64) -> Result<i64, Fault> {
        let scaled = if self.seconds { time.checked_mul(1000) } else { Some(time) };
        let based = if self.relative { scaled.and_then(|ms| ms.checked_add(now_ms as i64)) } else { scaled };
        based.ok_or_else(|| Fault::InvalidExpire(self.command.into()))
    }
}

/// Conditions on the date there is.
#[derive(Clone, Copy, Default)]
pub(super) struct Conditions {
    only_undated: bool,
    only_dated: bool,
    only_later: bool,
    only_earlier: bool,
}

impl Conditions {
    pub(super) fn read(words: &[&[u8]]) -> Result<Self, Fault> {
        let mut conditions = Self::default();
        for &word in words {
            match () {
                () if is_word(word, "NX") => conditions.only_undated = true,
                () if is_word(word, "XX") => conditions.only_dated = true,
                () if is_word(word, "GT") => conditions.only_later = true,
                () if is_word(word, "LT") => conditions.only_earlier = true,
                () => {
                    let text = [b"Unsupported option ", word].concat();
                    return Err(Fault::Raw(text));
                }
            }
        }
        let Self { only_undated, only_dated, only_later, only_earlier } = conditions;
        if only_undated && (only_dated || only_later || only_earlier) {
            return Err(Fault::other("NX and XX, GT or LT options at the same time are not compatible"));
        }
        if only_later && only_earlier {
            return Err(Fault::other("GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    /// Whether what has the date `old` may get the date `new`; no date counts as for ever.
    pub(super) fn allow(self, old: Option<u64>, new: i64) -> bool {
        let later = |old: u64| new > old as i64;
        let earlier = |old: u64| new < old as i64;
        !(self.only_undated && old.is_some()
            || self.only_dated && old.is_none()
            || self.only_later && !old.is_some_and(later)
            || self.only_earlier && !old.is_none_or(earlier))
    }
}

fn set_date(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>, form: Form) -> Run {
    let (key, time) = (args.key()?, args.bytes()?);
    let conditions = Conditions::read(args.rest())?;
    let time = parse_i64(time).ok_or(Fault::NotInteger)?;
    let now_ms = txn.now().wall_ms();
    let date = form.date(time, now_ms)?;
    let Some(old) = txn.expires_at(key) else {
        reply.integer(0);
        return Ok(Outcome::Done);
    };
    if !conditions.allow(old, date) {
        reply.integer(0);
        return Ok(Outcome::Done);
    }
    let is_past = date <= now_ms as i64 && txn.origin() == Origin::Client;
    if is_past {
        txn.remove(key);
    } else {
        txn.expire_at(key, u64::try_from(date).unwrap_or(0));
    }
    reply.integer(1);
    Ok(Outcome::Done)
}

const EXPIRE: Command = Command::data("expire", Group::Generic, expire)
    .arity(-3)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .since("1.0.0")
    .cost("O(1)")
    .summary("Lets a key expire after seconds.")
    .syntax("key:k seconds:i [condition=(nx/NX|xx/XX|gt/GT|lt/LT)@7.0.0]");

fn expire(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    set_date(txn, args, reply, Form { command: "expire", seconds: true, relative: true })
}

const EXPIREAT: Command = Command::data("expireat", Group::Generic, expireat)
    .arity(-3)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .since("1.2.0")
    .cost("O(1)")
    .summary("Lets a key expire at a Unix time in seconds.")
    .syntax("key:k unix-time-seconds:t [condition=(nx/NX|xx/XX|gt/GT|lt/LT)@7.0.0]");

fn expireat(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    set_date(txn, args, reply, Form { command: "expireat", seconds: true, relative: false })
}

const PEXPIRE: Command = Command::data("pexpire", Group::Generic, pexpire)
    .arity(-3)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .since("2.6.0")
    .cost("O(1)")
    .summary("Lets a key expire after milliseconds.")
    .syntax("key:k milliseconds:i [condition=(nx/NX|xx/XX|gt/GT|lt/LT)@7.0.0]");

fn pexpire(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    set_date(txn, args, reply, Form { command: "pexpire", seconds: false, relative: true })
}

const PEXPIREAT: Command = Command::data("pexpireat", Group::Generic, pexpireat)
    .arity(-3)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .since("2.6.0")
    .cost("O(1)")
    .summary("Lets a key expire at a Unix time in milliseconds.")
    .syntax("key:k unix-time-milliseconds:t [condition=(nx/NX|xx/XX|gt/GT|lt/LT)@7.0.0]");

fn pexpireat(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    set_date(txn, args, reply, Form { command: "pexpireat", seconds: false, relative: false })
}

/// Replies with the date of a key, made into what the client asked for; -1 without a date, -2 without a key.
fn reply_date(
    txn: &mut Txn<'_>,
    mut args: Args<'_>,
    reply: &mut Reply<'_>,
    made: impl Fn(u64, u64) -> u64,
) -> Run {
    let key = args.key()?;
    let now_ms = txn.now().wall_ms();
    let date = txn.entry_for_looking(key).map(|entry| entry.expires_at());
    reply.integer(match date {
        None => -2,
        Some(None) => -1,
        Some(Some(date)) => i64::try_from(made(date, now_ms)).unwrap_or(i64::MAX),
    });
    Ok(Outcome::Done)
}

const TTL: Command = Command::data("ttl", Group::Generic, ttl)
    .arity(2)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("1.0.0")
    .cost("O(1)")
    .summary("Returns for how many seconds a key will live.")
    .syntax("key:k")
    .tips(&["nondeterministic_output"]);

fn ttl(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_date(txn, args, reply, |date, now| (date.saturating_sub(now).saturating_add(500)) / 1000)
}

const PTTL: Command = Command::data("pttl", Group::Generic, pttl)
    .arity(2)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.6.0")
    .cost("O(1)")
    .summary("Returns for how many milliseconds a key will live.")
    .syntax("key:k")
    .tips(&["nondeterministic_output"]);

fn pttl(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_date(txn, args, reply, |date, now| date.saturating_sub(now))
}

const EXPIRETIME: Command = Command::data("expiretime", Group::Generic, expiretime)
    .arity(2)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("7.0.0")
    .cost("O(1)")
    .summary("Returns the Unix time in seconds at which a key expires.")
    .syntax("key:k");

fn expiretime(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_date(txn, args, reply, |date, _| (date.saturating_add(500)) / 1000)
}

const PEXPIRETIME: Command = Command::data("pexpiretime", Group::Generic, pexpiretime)
    .arity(2)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("7.0.0")
    .cost("O(1)")
    .summary("Returns the Unix time in milliseconds at which a key expires.")
    .syntax("key:k");

fn pexpiretime(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_date(txn, args, reply, |date, _| date)
}

const PERSIST: Command = Command::data("persist", Group::Generic, persist)
    .arity(2)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .verbatim()
    .since("2.2.0")
    .cost("O(1)")
    .summary("Removes the expiry of a key.")
    .syntax("key:k");

fn persist(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let dated = txn.expires_at(key).flatten().is_some();
    if dated {
        txn.put_date(key, None);
        txn.changed(key, EventClass::Generic, "persist");
    }
    reply.flag(dated);
    Ok(Outcome::Done)
}
