//! The dates of fields of hashes: setting, reading, removing.
//!
//! The commands came with Redis 7.4; replies, errors and events are those of Valkey 9.1, where the two differ.
//! Not here: what a date hides, and who removes it ([`crate::txn`]); reading and writing values along with dates
//! ([`super::hash_ex`]).

use super::expire::{Conditions, Form};
use super::prelude::*;
use crate::number::parse_i64;
use crate::txn::Origin;

pub(super) const ROWS: &[Command] =
    &[HEXPIRE, HEXPIREAT, HPEXPIRE, HPEXPIREAT, HTTL, HPTTL, HEXPIRETIME, HPEXPIRETIME, HPERSIST];

/// What a command did to the date of a field, as it is on the wire.
const ABSENT: i64 = -2;
const UNDATED: i64 = -1;
const REFUSED: i64 = 0;
const DONE: i64 = 1;
const DELETED: i64 = 2;

pub(super) fn fields_mismatch() -> Fault {
    Fault::other("numfields should be greater than 0 and match the provided number of fields")
}

/// The words before FIELDS, and the arguments behind the number that follows it: `each` for every field. What is wrong
/// with the words before, `check` says, and it says so first.
pub(super) fn split_fields<'a, T>(
    args: &mut Args<'a>,
    each: usize,
    check: impl FnOnce(&'a [&'a [u8]]) -> Result<T, Fault>,
) -> Result<(T, &'a [&'a [u8]]), Fault> {
    let all = args.rest();
    let found = all.iter().take(all.len().saturating_sub(1)).position(|word| is_word(word, "FIELDS"));
    let at = found.ok_or_else(fields_mismatch)?;
    let checked = check(&all[..at])?;
    let count = parse_i64(all[at + 1]).ok_or(Fault::NotInteger)?;
    let fields = &all[at + 2..];
    let wanted = usize::try_from(count).ok().and_then(|count| count.checked_mul(each));
    if count == 0 || wanted != Some(fields.len()) {
        return Err(fields_mismatch());
    }
    Ok((checked, fields))
}

/// The fields of a command that has nothing but them: FIELDS comes first, or it is a syntax error.
pub(super) fn fields_only<'a>(args: &mut Args<'a>, mismatch: Fault) -> Result<&'a [&'a [u8]], Fault> {
    if !args.word("FIELDS") {
        return Err(Fault::Syntax);
    }
    let count = args.integer()?;
    let fields = args.rest();
    if count == 0 || usize::try_from(count) != Ok(fields.len()) {
        return Err(mismatch);
    }
    Ok(fields)
}

/// A time that the client gave, as a date in Unix milliseconds, and whether that is in the past, so that what gets it
/// is gone at once. On a replay nothing is.
pub(super) fn date_of(txn: &Txn<'_>, time: &[u8], form: Form) -> Result<(u64, bool), Fault> {
    let time = parse_i64(time).ok_or(Fault::NotInteger)?;
    if time < 0 {
        return Err(Fault::InvalidExpire(form.command.into()));
    }
    let date = u64::try_from(form.date(time, txn.now().wall_ms())?).unwrap_or(0);
    Ok((date, date <= txn.now().wall_ms() && txn.origin() == Origin::Client))
}

fn set_dates(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>, form: Form) -> Run {
    let (key, time) = (args.key()?, args.bytes()?);
    let (conditions, fields) = split_fields(&mut args, 1, Conditions::read)?;
    let (date, is_past) = date_of(txn, time, form)?;
    let (horizon, hash_key) = (txn.horizon(), txn.hash_setup(key).1);
    let Some(hash) = txn.hash_mut(key)? else {
        reply.array(fields.len());
        fields.iter().for_each(|_| reply.integer(ABSENT));
        return Ok(Outcome::Done);
    };
    let mut changed: Vec<&[u8]> = Vec::new();
    reply.array(fields.len());
    for &field in fields {
        let old = hash.find(field).map(|(_, old)| old).filter(|old| old.is_none_or(|old| old >= horizon));
        reply.integer(match old {
            None => ABSENT,
            Some(old) if !conditions.allow(old, date as i64) => REFUSED,
            Some(_) => {
                changed.push(field);
                if is_past {
                    hash.remove(field);
                    DELETED
                } else {
                    hash.set_date(field, Some(date), hash_key);
                    DONE
                }
            }
        });
    }
    if is_past {
        txn.fields_dropped(key, &changed);
    } else {
        txn.fields_dated(key, date, &changed);
    }
    Ok(Outcome::Done)
}

const HEXPIRE: Command = Command::data("hexpire", Group::Hash, hexpire)
    .arity(-6)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .since("7.4.0")
    .cost("O(N) where N is the number of specified fields")
    .summary("Lets fields of a hash expire after seconds.")
    .syntax("key:k seconds:i [condition=(nx/NX|xx/XX|gt/GT|lt/LT)] fields={numfields:i field:s...}/FIELDS");

fn hexpire(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    set_dates(txn, args, reply, Form { command: "hexpire", seconds: true, relative: true })
}

const HEXPIREAT: Command = Command::data("hexpireat", Group::Hash, hexpireat)
    .arity(-6)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .since("7.4.0")
    .cost("O(N) where N is the number of specified fields")
    .summary("Lets fields of a hash expire at a Unix time in seconds.")
    .syntax("key:k unix-time-seconds:t [condition=(nx/NX|xx/XX|gt/GT|lt/LT)] fields={numfields:i field:s...}/FIELDS");

fn hexpireat(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    set_dates(txn, args, reply, Form { command: "hexpireat", seconds: true, relative: false })
}

const HPEXPIRE: Command = Command::data("hpexpire", Group::Hash, hpexpire)
    .arity(-6)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .since("7.4.0")
    .cost("O(N) where N is the number of specified fields")
    .summary("Lets fields of a hash expire after milliseconds.")
    .syntax(
        "key:k milliseconds:i [condition=(nx/NX|xx/XX|gt/GT|lt/LT)] fields={numfields:i field:s...}/FIELDS",
    );

fn hpexpire(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    set_dates(txn, args, reply, Form { command: "hpexpire", seconds: false, relative: true })
}

const HPEXPIREAT: Command = Command::data("hpexpireat", Group::Hash, hpexpireat)
    .arity(-6)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .since("7.4.0")
    .cost("O(N) where N is the number of specified fields")
    .summary("Lets fields of a hash expire at a Unix time in milliseconds.")
    .syntax("key:k unix-time-milliseconds:t [condition=(nx/NX|xx/XX|gt/GT|lt/LT)] fields={numfields:i field:s...}/FIELDS");

fn hpexpireat(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    set_dates(txn, args, reply, Form { command: "hpexpireat", seconds: false, relative: false })
}

/// Replies with the dates of fields, made into what the client asked for.
fn reply_dates(
    txn: &mut Txn<'_>,
    mut args: Args<'_>,
    reply: &mut Reply<'_>,
    made: impl Fn(u64, u64) -> u64,
) -> Run {
    let key = args.key()?;
    let fields = fields_only(&mut args, Fault::Syntax)?;
    let now_ms = txn.now().wall_ms();
    let hash = txn.hash(key)?;
    reply.array(fields.len());
    for field in fields {
        reply.integer(match hash.and_then(|hash| hash.find(field)) {
            None => ABSENT,
            Some((_, None)) => UNDATED,
            Some((_, Some(date))) => i64::try_from(made(date, now_ms)).unwrap_or(i64::MAX),
        });
    }
    Ok(Outcome::Done)
}

/// Milliseconds as seconds, rounded.
fn seconds(ms: u64) -> u64 {
    ms.saturating_add(500) / 1000
}

const HTTL: Command = Command::data("httl", Group::Hash, httl)
    .arity(-5)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("7.4.0")
    .cost("O(N) where N is the number of specified fields")
    .summary("Returns for how many seconds fields of a hash will live.")
    .syntax("key:k fields={numfields:i field:s...}/FIELDS")
    .tips(&["nondeterministic_output"]);

fn httl(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_dates(txn, args, reply, |date, now| seconds(date.saturating_sub(now)))
}

const HPTTL: Command = Command::data("hpttl", Group::Hash, hpttl)
    .arity(-5)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("7.4.0")
    .cost("O(N) where N is the number of specified fields")
    .summary("Returns for how many milliseconds fields of a hash will live.")
    .syntax("key:k fields={numfields:i field:s...}/FIELDS")
    .tips(&["nondeterministic_output"]);

fn hpttl(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_dates(txn, args, reply, |date, now| date.saturating_sub(now))
}

const HEXPIRETIME: Command = Command::data("hexpiretime", Group::Hash, hexpiretime)
    .arity(-5)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("7.4.0")
    .cost("O(N) where N is the number of specified fields")
    .summary("Returns the Unix times in seconds at which fields of a hash expire.")
    .syntax("key:k fields={numfields:i field:s...}/FIELDS");

fn hexpiretime(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_dates(txn, args, reply, |date, _| seconds(date))
}

const HPEXPIRETIME: Command = Command::data("hpexpiretime", Group::Hash, hpexpiretime)
    .arity(-5)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("7.4.0")
    .cost("O(N) where N is the number of specified fields")
    .summary("Returns the Unix times in milliseconds at which fields of a hash expire.")
    .syntax("key:k fields={numfields:i field:s...}/FIELDS");

fn hpexpiretime(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    reply_dates(txn, args, reply, |date, _| date)
}

const HPERSIST: Command = Command::data("hpersist", Group::Hash, hpersist)
    .arity(-5)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .since("7.4.0")
    .cost("O(N) where N is the number of specified fields")
    .summary("Removes the expiry of fields of a hash.")
    .syntax("key:k fields={numfields:i field:s...}/FIELDS");

fn hpersist(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let fields = fields_only(&mut args, fields_mismatch())?;
    let (horizon, hash_key) = (txn.horizon(), txn.hash_setup(key).1);
    let mut hash = txn.hash_mut(key)?;
    let mut changed: Vec<&[u8]> = Vec::new();
    reply.array(fields.len());
    for &field in fields {
        let date = hash.as_ref().and_then(|hash| hash.find(field)).map(|(_, date)| date);
        reply.integer(match (date, &mut hash) {
            (Some(None), _) => UNDATED,
            (Some(Some(date)), Some(hash)) if date >= horizon => {
                hash.set_date(field, None, hash_key);
                changed.push(field);
                DONE
            }
            _ => ABSENT,
        });
    }
    txn.fields_persisted(key, &changed);
    Ok(Outcome::Done)
}
