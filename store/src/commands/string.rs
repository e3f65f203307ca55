//! Strings: text, numbers, parts of them.

use super::prelude::*;
use crate::keyspace::Value;
use crate::limits::INLINE_TEXT_MAX;
use crate::number::{LongDouble, parse_i64};
use crate::thin::Thin;
use crate::txn::Expiry;

pub(super) const ROWS: &[Command] = &[
    SET,
    SETNX,
    SETEX,
    PSETEX,
    GET,
    GETEX,
    GETDEL,
    GETSET,
    MGET,
    MSET,
    MSETNX,
    APPEND,
    STRLEN,
    SETRANGE,
    GETRANGE,
    SUBSTR,
    INCR,
    DECR,
    INCRBY,
    DECRBY,
    INCRBYFLOAT,
];

/// The options of SET and GETEX that set an expiry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Ex,
    Px,
    ExAt,
    PxAt,
}

impl Unit {
    pub(super) fn of(word: &[u8]) -> Option<Self> {
        let units = [("EX", Self::Ex), ("PX", Self::Px), ("EXAT", Self::ExAt), ("PXAT", Self::PxAt)];
        units.into_iter().find(|(name, _)| is_word(word, name)).map(|(_, unit)| unit)
    }

    /// The date that `text` means, in Unix milliseconds.
    pub(super) fn date(self, text: &[u8], now_ms: u64, command: &'static str) -> Result<u64, Fault> {
        let value = parse_i64(text).ok_or(Fault::NotInteger)?;
        let invalid = || Fault::InvalidExpire(command.into());
        let scaled = match self {
            Self::Ex | Self::ExAt => value.checked_mul(1000),
            Self::Px | Self::PxAt => Some(value),
        };
        let based = match self {
            Self::Ex | Self::Px => scaled.and_then(|ms| ms.checked_add(now_ms as i64)),
            Self::ExAt | Self::PxAt => scaled,
        };
        based.filter(|_| value > 0).and_then(|date| u64::try_from(date).ok()).ok_or_else(invalid)
    }
}

#[derive(Default)]
struct SetOptions<'a> {
    only_new: bool,
    only_old: bool,
    get: bool,
    keep: bool,
    expiry: Option<(Unit, &'a [u8])>,
    /// The value the key must have.
    equal: Option<&'a [u8]>,
}

impl<'a> SetOptions<'a> {
    fn read(args: &mut Args<'a>) -> Result<Self, Fault> {
        let mut options = Self::default();
        while args.left() > 0 {
            let word = args.bytes()?;
            if is_word(word, "NX") && !options.only_old && options.equal.is_none() {
                options.only_new = true;
            } else if is_word(word, "XX") && !options.only_new && options.equal.is_none() {
                options.only_old = true;
            } else if is_word(word, "IFEQ") && !options.only_new && !options.only_old && args.left() > 0 {
                options.equal = Some(args.bytes()?);
            } else if is_word(word, "GET") {
                options.get = true;
            } else if is_word(word, "KEEPTTL") && options.expiry.is_none() {
                options.keep = true;
            } else if let Some(unit) = Unit::of(word)
                && !options.keep
                && options.expiry.is_none_or(|(other, _)| other == unit)
                && args.left() > 0
            {
                options.expiry = Some((unit, args.bytes()?));
            } else {
                return Err(Fault::Syntax);
            }
        }
        Ok(options)
    }
}

const SET: Command = Command::data("set", Group::String, set)
    .arity(-3)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::UPDATE | Key::VARIABLE)])
    .since("1.0.0")
    .cost("O(1)")
    .summary("Sets a key to a string, whatever was there.")
    .syntax("key:k value:s [condition=(nx/NX|xx/XX|comparison-value:s/IFEQ@8.1.0)@2.6.12] [get/GET@6.2.0] [expiration=(seconds:i/EX@2.6.12|milliseconds:i/PX@2.6.12|unix-time-seconds:t/EXAT@6.2.0|unix-time-milliseconds:t/PXAT@6.2.0|keepttl/KEEPTTL@6.0.0)]");

fn set(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, value) = (args.key()?, args.bytes()?);
    if args.left() == 0 {
        txn.entry(key);
        store(txn, key, value, Expiry::Never);
        reply.ok();
        return Ok(Outcome::Done);
    }
    let options = SetOptions::read(&mut args)?;
    let now_ms = txn.now().wall_ms();
    let expiry = match options.expiry {
        Some((unit, text)) => Expiry::At(unit.date(text, now_ms, "set")?),
        None if options.keep => Expiry::Keep,
        None => Expiry::Never,
    };
    if options.get {
        reply_text(txn, key, reply)?;
    }
    let found = txn.exists(key);
    let matches = match options.equal {
        Some(equal) => txn.text_before_write(key)?.is_some_and(|text| *text == *equal),
        None => !(options.only_new && found || options.only_old && !found),
    };
    if !matches {
        if !options.get {
            reply.null();
        }
        return Ok(Outcome::Done);
    }
    store(txn, key, value, expiry);
    if !options.get {
        reply.ok();
    }
    Ok(Outcome::Done)
}

/// Sets a key and states it.
pub(super) fn store(txn: &mut Txn<'_>, key: &[u8], value: &[u8], expiry: Expiry) {
    txn.put_text(key, value, expiry);
    txn.changed(key, EventClass::String, "set");
    match expiry {
        Expiry::Never => txn.effect(&[b"SET", key, value]),
        Expiry::Keep => txn.effect(&[b"SET", key, value, b"KEEPTTL"]),
        Expiry::At(date) => {
            txn.effect(&[b"SET", key, value, b"PXAT", Digits::of(date as i64).as_bytes()]);
            txn.event(key, EventClass::Generic, "expire");
        }
    }
}

fn reply_text(txn: &mut Txn<'_>, key: &[u8], reply: &mut Reply<'_>) -> Result<bool, Fault> {
    let text = txn.text(key)?;
    reply.bulk_or_null(text.as_deref());
    Ok(text.is_some())
}

const SETNX: Command = Command::data("setnx", Group::String, setnx)
    .arity(3)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::OW | Key::INSERT)])
    .verbatim()
    .since("1.0.0")
    .cost("O(1)")
    .summary("Sets a key to a string if it does not exist.")
    .syntax("key:k value:s");

fn setnx(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, value) = (args.key()?, args.bytes()?);
    let new = !txn.exists(key);
    if new {
        txn.put_text(key, value, Expiry::Never);
        txn.changed(key, EventClass::String, "set");
    }
    reply.flag(new);
    Ok(Outcome::Done)
}

const SETEX: Command = Command::data("setex", Group::String, setex)
    .arity(4)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::OW | Key::UPDATE)])
    .since("2.0.0")
    .cost("O(1)")
    .summary("Sets a key to a string that expires after seconds.")
    .syntax("key:k seconds:i value:s");

fn setex(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    set_expiring(txn, args, reply, Unit::Ex, "setex")
}

const PSETEX: Command = Command::data("psetex", Group::String, psetex)
    .arity(4)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::OW | Key::UPDATE)])
    .since("2.6.0")
    .cost("O(1)")
    .summary("Sets a key to a string that expires after milliseconds.")
    .syntax("key:k milliseconds:i value:s");

fn psetex(txn: &mut Txn<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    set_expiring(txn, args, reply, Unit::Px, "psetex")
}

fn set_expiring(
    txn: &mut Txn<'_>,
    mut args: Args<'_>,
    reply: &mut Reply<'_>,
    unit: Unit,
    command: &'static str,
) -> Run {
    let (key, time, value) = (args.key()?, args.bytes()?, args.bytes()?);
    let date = unit.date(time, txn.now().wall_ms(), command)?;
    txn.entry(key);
    store(txn, key, value, Expiry::At(date));
    reply.ok();
    Ok(Outcome::Done)
}

const GET: Command = Command::data("get", Group::String, get)
    .arity(2)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("1.0.0")
    .cost("O(1)")
    .summary("Returns the string at a key.")
    .syntax("key:k");

fn get(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    reply_text(txn, key, reply)?;
    Ok(Outcome::Done)
}

const GETEX: Command = Command::data("getex", Group::String, getex)
    .arity(-2)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::UPDATE)])
    .since("6.2.0")
    .cost("O(1)")
    .summary("Returns the string at a key and changes its expiry.")
    .syntax("key:k [expiration=(seconds:i/EX|milliseconds:i/PX|unix-time-seconds:t/EXAT|unix-time-milliseconds:t/PXAT|persist/PERSIST)]");

fn getex(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let (mut persist, mut expiry) = (false, None);
    while args.left() > 0 {
        let word = args.bytes()?;
        if is_word(word, "PERSIST") && expiry.is_none() {
            persist = true;
        } else if let Some(unit) = Unit::of(word)
            && !persist
            && expiry.is_none_or(|(other, _)| other == unit)
            && args.left() > 0
        {
            expiry = Some((unit, args.bytes()?));
        } else {
            return Err(Fault::Syntax);
        }
    }
    if !reply_text(txn, key, reply)? {
        return Ok(Outcome::Done);
    }
    if let Some((unit, text)) = expiry {
        let date = unit.date(text, txn.now().wall_ms(), "getex")?;
        if date <= txn.now().wall_ms() {
            txn.remove(key);
        } else {
            txn.expire_at(key, date);
        }
    } else if persist {
        txn.persist(key);
    }
    Ok(Outcome::Done)
}

const GETDEL: Command = Command::data("getdel", Group::String, getdel)
    .arity(2)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::DELETE)])
    .since("6.2.0")
    .cost("O(1)")
    .summary("Returns the string at a key and deletes the key.")
    .syntax("key:k");

fn getdel(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    if reply_text(txn, key, reply)? {
        txn.remove(key);
    }
    Ok(Outcome::Done)
}

const GETSET: Command = Command::data("getset", Group::String, getset)
    .arity(3)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::UPDATE)])
    .since("1.0.0")
    .cost("O(1)")
    .summary("Sets a key to a string and returns the one that was there.")
    .syntax("key:k value:s");

fn getset(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, value) = (args.key()?, args.bytes()?);
    reply_text(txn, key, reply)?;
    store(txn, key, value, Expiry::Never);
    Ok(Outcome::Done)
}

const MGET: Command = Command::data("mget", Group::String, mget)
    .arity(-2)
    .flags(READONLY | FAST)
    .keys(&[Key::range(1, -1, 1, Key::RO | Key::ACCESS)])
    .since("1.0.0")
    .cost("O(N) where N is the number of keys to retrieve.")
    .summary("Returns the strings at several keys.")
    .syntax("key:k...")
    .tips(&["request_policy:multi_shard"]);

fn mget(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let keys = args.rest();
    reply.array(keys.len());
    for key in keys {
        // Whatever is no string counts as absent here.
        let text = txn.text(key).unwrap_or(None);
        reply.bulk_or_null(text.as_deref());
    }
    Ok(Outcome::Done)
}

const MSET: Command = Command::data("mset", Group::String, mset)
    .arity(-3)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::range(1, -1, 2, Key::OW | Key::UPDATE)])
    .verbatim()
    .since("1.0.1")
    .cost("O(N) where N is the number of keys to set.")
    .summary("Sets several keys to strings.")
    .syntax("key_value={key:k value:s}...")
    .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"]);

fn mset(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let pairs = args.rest();
    if !pairs.len().is_multiple_of(2) {
        return Err(Fault::Arity("mset".into()));
    }
    set_pairs(txn, pairs);
    reply.ok();
    Ok(Outcome::Done)
}

fn set_pairs(txn: &mut Txn<'_>, pairs: &[&[u8]]) {
    for pair in pairs.chunks_exact(2) {
        txn.entry(pair[0]);
        txn.put_text(pair[0], pair[1], Expiry::Never);
        txn.changed(pair[0], EventClass::String, "set");
    }
}

const MSETNX: Command = Command::data("msetnx", Group::String, msetnx)
    .arity(-3)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::range(1, -1, 2, Key::OW | Key::INSERT)])
    .verbatim()
    .since("1.0.1")
    .cost("O(N) where N is the number of keys to set.")
    .summary("Sets several keys to strings if none of them exists.")
    .syntax("key_value={key:k value:s}...")
    .tips(&["request_policy:multi_shard", "response_policy:agg_min"]);

fn msetnx(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let pairs = args.rest();
    if !pairs.len().is_multiple_of(2) {
        return Err(Fault::Arity("msetnx".into()));
    }
    let none_exists = !pairs.iter().step_by(2).any(|key| txn.exists(key));
    if none_exists {
        set_pairs(txn, pairs);
    }
    reply.flag(none_exists);
    Ok(Outcome::Done)
}

const APPEND: Command = Command::data("append", Group::String, append)
    .arity(3)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::INSERT)])
    .since("2.0.0")
    .cost("O(1)")
    .summary("Appends to the string at a key, or creates it.")
    .syntax("key:k value:s");

fn append(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, tail) = (args.key()?, args.bytes()?);
    let old = txn.text_before_write(key)?.map(|text| text.len());
    let len = match old {
        None => {
            txn.put_text(key, tail, Expiry::Never);
            tail.len()
        }
        Some(old) => {
            check_length(txn, old, tail.len())?;
            txn.edit_text(key, &[], |text| {
                text.extend(tail);
                text.len()
            })?
        }
    };
    txn.changed(key, EventClass::String, "append");
    txn.effect(&[b"APPEND", key, tail]);
    reply.count(len);
    Ok(Outcome::Done)
}

/// Refuses a string longer than allowed.
fn check_length(txn: &Txn<'_>, base: usize, more: usize) -> Result<(), Fault> {
    let len = base.checked_add(more).filter(|&len| len <= txn.limits().bulk_max);
    len.map(|_| ()).ok_or(Fault::StringTooLong)
}

const STRLEN: Command = Command::data("strlen", Group::String, strlen)
    .arity(2)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO)])
    .since("2.2.0")
    .cost("O(1)")
    .summary("Returns the length of the string at a key.")
    .syntax("key:k");

fn strlen(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    reply.count(txn.text(key)?.map_or(0, |text| text.len()));
    Ok(Outcome::Done)
}

const SETRANGE: Command = Command::data("setrange", Group::String, setrange)
    .arity(4)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .verbatim()
    .since("2.2.0")
    .cost("O(1)")
    .summary("Overwrites a part of the string at a key, from an offset on.")
    .syntax("key:k offset:i value:s");

fn setrange(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, offset, part) = (args.key()?, args.integer()?, args.bytes()?);
    let offset = usize::try_from(offset).map_err(|_| Fault::other("offset is out of range"))?;
    let old = txn.text_before_write(key)?.map_or(0, |text| text.len());
    if part.is_empty() {
        reply.count(old);
        return Ok(Outcome::Done);
    }
    check_length(txn, offset, part.len())?;
    let len = txn.edit_text(key, std::slice::from_ref(&(offset..offset + part.len())), |text| {
        text.resize(text.len().max(offset + part.len()));
        text.bytes_mut()[offset..offset + part.len()].copy_from_slice(part);
        text.len()
    })?;
    txn.changed(key, EventClass::String, "setrange");
    reply.count(len);
    Ok(Outcome::Done)
}

const GETRANGE: Command = Command::data("getrange", Group::String, getrange)
    .arity(4)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.4.0")
    .cost("O(N)")
    .summary("Returns a part of the string at a key.")
    .syntax("key:k start:i end:i");

fn getrange(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, start, end) = (args.key()?, args.integer()?, args.integer()?);
    let text = txn.text(key)?;
    let text: &[u8] = text.as_deref().unwrap_or_default();
    let both_behind = start < 0 && end < 0 && start > end;
    let part = if both_behind { 0..0 } else { part_of(text.len(), start, end) };
    reply.bulk(&text[part]);
    Ok(Outcome::Done)
}

/// The bytes between two indices, the last one included; negative ones count from the end.
fn part_of(len: usize, start: i64, end: i64) -> std::ops::Range<usize> {
    let len = len as i64;
    let from = if start < 0 { (len + start.max(-len)).max(0) } else { start };
    let to = if end < 0 { (len + end.max(-len)).max(0) } else { end.min(len - 1) };
    if from > to || len == 0 { 0..0 } else { from as usize..to as usize + 1 }
}

const SUBSTR: Command = Command::data("substr", Group::String, getrange)
    .arity(4)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("1.0.0")
    .cost("O(N)")
    .summary("Returns a part of the string at a key (old name of GETRANGE).")
    .syntax("key:k start:i end:i");

const INCR: Command = Command::data("incr", Group::String, incr)
    .arity(2)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::UPDATE)])
    .verbatim()
    .since("1.0.0")
    .cost("O(1)")
    .summary("Increments the integer at a key by one; an absent key counts as 0.")
    .syntax("key:k");

fn incr(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    increment(txn, key, 1, reply)
}

const DECR: Command = Command::data("decr", Group::String, decr)
    .arity(2)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::UPDATE)])
    .verbatim()
    .since("1.0.0")
    .cost("O(1)")
    .summary("Decrements the integer at a key by one; an absent key counts as 0.")
    .syntax("key:k");

fn decr(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    increment(txn, key, -1, reply)
}

const INCRBY: Command = Command::data("incrby", Group::String, incrby)
    .arity(3)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::UPDATE)])
    .verbatim()
    .since("1.0.0")
    .cost("O(1)")
    .summary("Increments the integer at a key by a number; an absent key counts as 0.")
    .syntax("key:k increment:i");

fn incrby(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, by) = (args.key()?, args.integer()?);
    increment(txn, key, by, reply)
}

const DECRBY: Command = Command::data("decrby", Group::String, decrby)
    .arity(3)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::UPDATE)])
    .verbatim()
    .since("1.0.0")
    .cost("O(1)")
    .summary("Decrements the integer at a key by a number; an absent key counts as 0.")
    .syntax("key:k decrement:i");

fn decrby(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, by) = (args.key()?, args.integer()?);
    let by = by.checked_neg().ok_or_else(|| Fault::other("decrement would overflow"))?;
    increment(txn, key, by, reply)
}

fn increment(txn: &mut Txn<'_>, key: &[u8], by: i64, reply: &mut Reply<'_>) -> Run {
    let old = match txn.text_before_write(key)? {
        Some(text) => parse_i64(&text).ok_or(Fault::NotInteger)?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(Fault::IncrementOverflow)?;
    txn.put_text(key, Digits::of(new).as_bytes(), Expiry::Keep);
    txn.changed(key, EventClass::String, "incrby");
    reply.integer(new);
    Ok(Outcome::Done)
}

const INCRBYFLOAT: Command = Command::data("incrbyfloat", Group::String, incrbyfloat)
    .arity(3)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::UPDATE)])
    .since("2.6.0")
    .cost("O(1)")
    .summary("Increments the number at a key by a float; an absent key counts as 0.")
    .syntax("key:k increment:d");

fn incrbyfloat(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, by) = (args.key()?, args.bytes()?);
    let old = txn.text_before_write(key)?;
    let old = LongDouble::parse(old.as_deref().unwrap_or(b"0")).ok_or(Fault::NotFloat)?;
    let by = LongDouble::parse(by).ok_or(Fault::NotFloat)?;
    let new = old.checked_add(by).filter(|sum| sum.is_finite()).ok_or(Fault::IncrementNotFinite)?;
    let mut text = Vec::new();
    new.format(&mut text);
    // What a float added up to stays a text, even if it could be an integer.
    let value = if text.len() <= INLINE_TEXT_MAX {
        Value::Inline(text.as_slice().into())
    } else {
        Value::Raw(Thin::new((), &text))
    };
    txn.put_value(key, value, Expiry::Keep);
    txn.changed(key, EventClass::String, "incrbyfloat");
    txn.effect(&[b"SET", key, &text, b"KEEPTTL"]);
    reply.bulk(&text);
    Ok(Outcome::Done)
}
