//! Hashes: fields and values.

use super::prelude::*;
use super::scan::Walk;
use crate::number::{LongDouble, parse_i64};
use crate::types::hash::LiveHash;

pub(super) const ROWS: &[Command] = &[
    HSET,
    HMSET,
    HSETNX,
    HGET,
    HMGET,
    HDEL,
    HEXISTS,
    HLEN,
    HSTRLEN,
    HGETALL,
    HKEYS,
    HVALS,
    HINCRBY,
    HINCRBYFLOAT,
    HSCAN,
    HRANDFIELD,
];

/// Sets the fields of HSET and HMSET; returns how many are new.
fn set_fields(txn: &mut Txn<'_>, args: &mut Args<'_>, command: &'static str) -> Result<usize, Fault> {
    let key = args.key()?;
    let pairs = args.rest();
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(Fault::Arity(command.into()));
    }
    let (limits, hash_key) = txn.hash_setup(key);
    let horizon = txn.horizon();
    let hash = txn.hash_or_new(key)?;
    let (mut new, mut expired) = (0, 0);
    for pair in pairs.chunks_exact(2) {
        let was_due = hash.is_due(pair[0], horizon);
        expired += usize::from(was_due);
        new += usize::from(hash.set(pair[0], pair[1], &limits, hash_key) || was_due);
    }
    txn.fields_revived(key, expired);
    txn.changed(key, EventClass::Hash, "hset");
    txn.changed_more(pairs.len() / 2 - 1);
    Ok(new)
}

/// A field that is about to be changed. One past its date is as good as absent.
struct Before<T> {
    value: Option<T>,
    date: Option<u64>,
    was_due: bool,
}

impl<T> Before<T> {
    /// Reads a field; `parse` says what its text means.
    fn read(
        txn: &mut Txn<'_>,
        key: &[u8],
        field: &[u8],
        parse: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Self, Fault> {
        let horizon = txn.horizon();
        match txn.hash_mut(key)?.and_then(|hash| hash.find(field)) {
            None => Ok(Self { value: None, date: None, was_due: false }),
            Some((_, Some(date))) if date < horizon => Ok(Self { value: None, date: None, was_due: true }),
            Some((text, date)) => Ok(Self { value: Some(parse(&text)?), date, was_due: false }),
        }
    }

    /// Gives the field a value; its date stays. Where the command as it came could mean something else on a replay, the
    /// result is stated in its place.
    fn replace(
        &self,
        txn: &mut Txn<'_>,
        key: &[u8],
        field: &[u8],
        text: &[u8],
        event: &'static str,
    ) -> Result<(), Fault> {
        let (limits, hash_key) = txn.hash_setup(key);
        let hash = txn.hash_or_new(key)?;
        match self.date {
            Some(_) => hash.set_keeping(field, text, &limits, hash_key),
            None => hash.set(field, text, &limits, hash_key),
        };
        txn.fields_revived(key, usize::from(self.was_due));
        txn.changed(key, EventClass::Hash, event);
        if let Some(date) = self.date {
            let date = Digits::of(i64::try_from(date).unwrap_or(i64::MAX));
            txn.effect_instead(&[b"HSETEX", key, b"PXAT", date.as_bytes(), b"FIELDS", b"1", field, text]);
        } else if self.was_due {
            txn.effect_instead(&[b"HSET", key, field, text]);
        }
        Ok(())
    }
}

const HSET: Command = Command::data("hset", Group::Hash, hset)
    .arity(-4)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .verbatim()
    .since("2.0.0")
    .cost("O(1) for each field/value pair added")
    .summary("Sets fields of a hash, and creates it if need be.")
    .syntax("key:k field_value={field:s value:s}...");

fn hset(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let new = set_fields(txn, &mut args, "hset")?;
    reply.count(new);
    Ok(Outcome::Done)
}

const HMSET: Command = Command::data("hmset", Group::Hash, hmset)
    .arity(-4)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE)])
    .verbatim()
    .since("2.0.0")
    .cost("O(N) where N is the number of fields being set.")
    .summary("Sets several fields of a hash.")
    .syntax("key:k field_value={field:s value:s}...");

fn hmset(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    set_fields(txn, &mut args, "hmset")?;
    reply.ok();
    Ok(Outcome::Done)
}

const HSETNX: Command = Command::data("hsetnx", Group::Hash, hsetnx)
    .arity(4)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::INSERT)])
    .verbatim()
    .since("2.0.0")
    .cost("O(1)")
    .summary("Sets a field of a hash if it does not exist.")
    .syntax("key:k field:s value:s");

fn hsetnx(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, field, value) = (args.key()?, args.bytes()?, args.bytes()?);
    let before = Before::read(txn, key, field, |_| Ok(()))?;
    let new = before.value.is_none();
    if new {
        before.replace(txn, key, field, value, "hset")?;
    }
    reply.flag(new);
    Ok(Outcome::Done)
}

const HGET: Command = Command::data("hget", Group::Hash, hget)
    .arity(3)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.0.0")
    .cost("O(1)")
    .summary("Returns the value of a field of a hash.")
    .syntax("key:k field:s");

fn hget(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, field) = (args.key()?, args.bytes()?);
    let value = txn.hash(key)?.and_then(|hash| hash.get(field));
    reply.bulk_or_null(value.as_deref());
    Ok(Outcome::Done)
}

const HMGET: Command = Command::data("hmget", Group::Hash, hmget)
    .arity(-3)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.0.0")
    .cost("O(N) where N is the number of fields being requested.")
    .summary("Returns the values of several fields of a hash.")
    .syntax("key:k field:s...");

fn hmget(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let hash = txn.hash(key)?;
    let fields = args.rest();
    reply.array(fields.len());
    for field in fields {
        let value = hash.and_then(|hash| hash.get(field));
        reply.bulk_or_null(value.as_deref());
    }
    Ok(Outcome::Done)
}

const HDEL: Command = Command::data("hdel", Group::Hash, hdel)
    .arity(-3)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::DELETE)])
    .verbatim()
    .since("2.0.0")
    .cost("O(N) where N is the number of fields to be removed.")
    .summary("Removes fields of a hash.")
    .syntax("key:k field:s...");

fn hdel(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let horizon = txn.horizon();
    let Some(hash) = txn.hash_mut(key)? else {
        reply.integer(0);
        return Ok(Outcome::Done);
    };
    let fields = args.rest();
    // Fields past their dates are not there; the clock will come for them.
    let alive: Vec<&[u8]>;
    let hides_some = fields.iter().any(|field| hash.is_due(field, horizon));
    let named = if hides_some {
        alive = fields.iter().copied().filter(|field| !hash.is_due(field, horizon)).collect();
        &alive
    } else {
        fields
    };
    let removed = named.iter().filter(|field| hash.remove(field)).count();
    if removed > 0 {
        txn.changed(key, EventClass::Hash, "hdel");
        txn.changed_more(removed - 1);
        if hides_some {
            txn.effect_instead(&[&[b"HDEL", key], named].concat());
        }
        txn.drop_if_empty(key);
    }
    reply.count(removed);
    Ok(Outcome::Done)
}

const HEXISTS: Command = Command::data("hexists", Group::Hash, hexists)
    .arity(3)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO)])
    .since("2.0.0")
    .cost("O(1)")
    .summary("Says whether a hash has a field.")
    .syntax("key:k field:s");

fn hexists(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, field) = (args.key()?, args.bytes()?);
    reply.flag(txn.hash(key)?.is_some_and(|hash| hash.get(field).is_some()));
    Ok(Outcome::Done)
}

const HLEN: Command = Command::data("hlen", Group::Hash, hlen)
    .arity(2)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO)])
    .since("2.0.0")
    .cost("O(1)")
    .summary("Returns the number of fields of a hash.")
    .syntax("key:k");

fn hlen(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    reply.count(txn.hash(key)?.map_or(0, LiveHash::len));
    Ok(Outcome::Done)
}

const HSTRLEN: Command = Command::data("hstrlen", Group::Hash, hstrlen)
    .arity(3)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO)])
    .since("3.2.0")
    .cost("O(1)")
    .summary("Returns the length of the value of a field of a hash.")
    .syntax("key:k field:s");

fn hstrlen(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, field) = (args.key()?, args.bytes()?);
    let value = txn.hash(key)?.and_then(|hash| hash.get(field));
    reply.count(value.map_or(0, |value| value.len()));
    Ok(Outcome::Done)
}

const HGETALL: Command = Command::data("hgetall", Group::Hash, hgetall)
    .arity(2)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.0.0")
    .cost("O(N) where N is the size of the hash.")
    .summary("Returns all fields of a hash with their values.")
    .syntax("key:k")
    .tips(&["nondeterministic_output_order"]);

fn hgetall(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let Some(hash) = txn.hash(key)? else {
        reply.map(0);
        return Ok(Outcome::Done);
    };
    reply.map(hash.visible());
    hash.iter().for_each(|(field, value)| {
        reply.bulk(&field);
        reply.bulk(&value);
    });
    Ok(Outcome::Done)
}

const HKEYS: Command = Command::data("hkeys", Group::Hash, hkeys)
    .arity(2)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.0.0")
    .cost("O(N) where N is the size of the hash.")
    .summary("Returns all fields of a hash.")
    .syntax("key:k")
    .tips(&["nondeterministic_output_order"]);

fn hkeys(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let hash = txn.hash(key)?;
    reply.array(hash.map_or(0, LiveHash::visible));
    hash.into_iter().flat_map(LiveHash::iter).for_each(|(field, _)| reply.bulk(&field));
    Ok(Outcome::Done)
}

const HVALS: Command = Command::data("hvals", Group::Hash, hvals)
    .arity(2)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.0.0")
    .cost("O(N) where N is the size of the hash.")
    .summary("Returns all values of a hash.")
    .syntax("key:k")
    .tips(&["nondeterministic_output_order"]);

fn hvals(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let hash = txn.hash(key)?;
    reply.array(hash.map_or(0, LiveHash::visible));
    hash.into_iter().flat_map(LiveHash::iter).for_each(|(_, value)| reply.bulk(&value));
    Ok(Outcome::Done)
}

const HINCRBY: Command = Command::data("hincrby", Group::Hash, hincrby)
    .arity(4)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::UPDATE)])
    .verbatim()
    .since("2.0.0")
    .cost("O(1)")
    .summary("Increments the integer in a field of a hash; an absent field counts as 0.")
    .syntax("key:k field:s increment:i");

fn hincrby(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, field, by) = (args.key()?, args.bytes()?, args.integer()?);
    let before = Before::read(txn, key, field, |text| parse_i64(text).ok_or(Fault::HashNotInteger))?;
    let new = before.value.unwrap_or(0).checked_add(by).ok_or(Fault::IncrementOverflow)?;
    before.replace(txn, key, field, Digits::of(new).as_bytes(), "hincrby")?;
    reply.integer(new);
    Ok(Outcome::Done)
}

const HINCRBYFLOAT: Command = Command::data("hincrbyfloat", Group::Hash, hincrbyfloat)
    .arity(4)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::UPDATE)])
    .since("2.6.0")
    .cost("O(1)")
    .summary("Increments the number in a field of a hash by a float; an absent field counts as 0.")
    .syntax("key:k field:s increment:d");

fn hincrbyfloat(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, field, by) = (args.key()?, args.bytes()?, args.bytes()?);
    let by = LongDouble::parse(by).ok_or(Fault::NotFloat)?;
    if !by.is_finite() {
        return Err(Fault::other("value is NaN or Infinity"));
    }
    let before = Before::read(txn, key, field, |text| LongDouble::parse(text).ok_or(Fault::HashNotFloat))?;
    let old = before.value.unwrap_or(LongDouble::from_f64(0.0));
    let new = old.checked_add(by).filter(|sum| sum.is_finite()).ok_or(Fault::IncrementNotFinite)?;
    let mut text = Vec::new();
    new.format(&mut text);
    before.replace(txn, key, field, &text, "hincrbyfloat")?;
    if before.date.is_none() && !before.was_due {
        txn.effect(&[b"HSET", key, field, &text]);
    }
    reply.bulk(&text);
    Ok(Outcome::Done)
}

const HSCAN: Command = Command::data("hscan", Group::Hash, hscan)
    .arity(-3)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.8.0")
    .cost("O(1) for every call")
    .summary("Walks over the fields of a hash.")
    .syntax("key:k cursor:i [pattern:p/MATCH] [count:i/COUNT]")
    .tips(&["nondeterministic_output"]);

fn hscan(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let mut walk = Walk::cursor(&mut args)?;
    let Some(hash) = txn.hash(key)? else {
        Walk::reply_empty(reply);
        return Ok(Outcome::Done);
    };
    walk.options(&mut args, false, Some("NOVALUES"))?;
    let mut found = Vec::new();
    let cursor = walk.run(|position| {
        let mut seen = 0;
        let next = hash.walk(position, |field, value| {
            seen += 1;
            if walk.accepts(&field) {
                found.push(field.to_vec());
                if !walk.bare {
                    found.push(value.to_vec());
                }
            }
        });
        (next, seen)
    });
    Walk::reply(cursor, &found, reply);
    Ok(Outcome::Done)
}

const HRANDFIELD: Command = Command::data("hrandfield", Group::Hash, hrandfield)
    .arity(-2)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("6.2.0")
    .cost("O(N) where N is the number of fields returned")
    .summary("Returns random fields of a hash.")
    .syntax("key:k [options={count:i [withvalues/WITHVALUES]}]")
    .tips(&["nondeterministic_output"]);

fn hrandfield(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let Some((count, with_values)) = super::random_args(&mut args, "WITHVALUES")? else {
        let mut rng = txn.rng().fork();
        let field = txn.hash(key)?.and_then(|hash| hash.sample(&mut rng)).map(|(field, _)| field);
        reply.bulk_or_null(field.as_deref());
        return Ok(Outcome::Done);
    };
    let mut rng = txn.rng().fork();
    let Some(hash) = txn.hash(key)? else {
        reply.array(0);
        return Ok(Outcome::Done);
    };
    let wanted = count.unsigned_abs() as usize;
    let write = |reply: &mut Reply<'_>, field: &[u8], value: &[u8]| {
        if with_values && reply.protocol() == Protocol::V3 {
            reply.array(2);
        }
        reply.bulk(field);
        if with_values {
            reply.bulk(value);
        }
    };
    let elements = if with_values && reply.protocol() == Protocol::V2 { 2 } else { 1 };
    let visible = hash.visible();
    if count < 0 && visible > 0 {
        let open = |reply: &mut Reply<'_>| reply.array(wanted * elements);
        if hash.hides_fields() {
            // Looking for one that is not hidden may take long; it is done once.
            let shown: Vec<_> = hash.iter().collect();
            super::repeat(reply, wanted, open, |reply| {
                let (field, value) = &shown[rng.usize(..shown.len())];
                write(reply, field, value);
            })?;
            return Ok(Outcome::Done);
        }
        super::repeat(reply, wanted, open, |reply| {
            if let Some((field, value)) = hash.sample(&mut rng) {
                write(reply, &field, &value);
            }
        })?;
        return Ok(Outcome::Done);
    }
    let chosen = super::choose_indices(wanted, visible, &mut rng);
    reply.array(chosen.len() * elements);
    for (index, (field, value)) in hash.iter().enumerate() {
        if chosen.contains(&index) {
            write(reply, &field, &value);
        }
    }
    Ok(Outcome::Done)
}
