//! Reading and writing fields of hashes along with their dates, and reading fields that are removed.
//!
//! HGETEX, HSETEX and HGETDEL came with Redis 8.0; options, replies, errors and events are those of Valkey 9.1.

use super::expire::Form;
use super::hash_expiry::{date_of, fields_mismatch, fields_only, split_fields};
use super::prelude::*;

pub(super) const ROWS: &[Command] = &[HGETEX, HSETEX, HGETDEL];

/// What becomes of the dates of the fields.
#[derive(Clone, Copy)]
enum Dates<'a> {
    /// Nothing was said of them.
    Unsaid,
    Kept,
    Removed,
    Set(&'a [u8], Form),
}

/// The options before FIELDS.
struct Options<'a> {
    dates: Dates<'a>,
    /// Only if the key is there (`true`), or not.
    key_exists: Option<bool>,
    /// Only if each field is there (`true`), or none.
    fields_exist: Option<bool>,
}

impl<'a> Options<'a> {
    /// Reads the options; those of HSETEX if it `writes`, or those of HGETEX.
    fn read(words: &'a [&'a [u8]], writes: bool) -> Result<Self, Fault> {
        let mut options = Self { dates: Dates::Unsaid, key_exists: None, fields_exist: None };
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            let form = |seconds, relative| Form {
                command: if writes { "hsetex" } else { "hgetex" },
                seconds,
                relative,
            };
            let timed = match () {
                () if is_word(word, "EX") => Some(form(true, true)),
                () if is_word(word, "PX") => Some(form(false, true)),
                () if is_word(word, "EXAT") => Some(form(true, false)),
                () if is_word(word, "PXAT") => Some(form(false, false)),
                () => None,
            };
            let said = match () {
                () if timed.is_some() => false,
                () if writes && is_word(word, "NX") => options.require_key(false)?,
                () if writes && is_word(word, "XX") => options.require_key(true)?,
                () if writes && is_word(word, "FNX") => options.require_fields(false)?,
                () if writes && is_word(word, "FXX") => options.require_fields(true)?,
                () => false,
            };
            if said {
                continue;
            }
            let dates = match timed {
                Some(form) => Dates::Set(words.next().ok_or(Fault::Syntax)?, form),
                None if writes && is_word(word, "KEEPTTL") => Dates::Kept,
                None if !writes && is_word(word, "PERSIST") => Dates::Removed,
                None => return Err(Fault::Syntax),
            };
            options.say(dates)?;
        }
        Ok(options)
    }

    fn require_key(&mut self, exists: bool) -> Result<bool, Fault> {
        if self.key_exists.replace(exists) == Some(!exists) { Err(Fault::Syntax) } else { Ok(true) }
    }

    fn require_fields(&mut self, exist: bool) -> Result<bool, Fault> {
        if self.fields_exist.replace(exist) == Some(!exist) { Err(Fault::Syntax) } else { Ok(true) }
    }

    /// Notes what becomes of the dates. The same word may come again, and its last time counts.
    fn say(&mut self, dates: Dates<'a>) -> Result<(), Fault> {
        let agree = match (self.dates, dates) {
            (Dates::Unsaid, _) | (Dates::Kept, Dates::Kept) | (Dates::Removed, Dates::Removed) => true,
            (Dates::Set(_, a), Dates::Set(_, b)) => (a.seconds, a.relative) == (b.seconds, b.relative),
            _ => false,
        };
        self.dates = dates;
        if agree { Ok(()) } else { Err(Fault::Syntax) }
    }
}

const HGETEX: Command = Command::data("hgetex", Group::Hash, hgetex)
    .arity(-5)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::UPDATE)])
    .since("8.0.0")
    .cost("O(N) where N is the number of specified fields")
    .summary("Returns the values of fields of a hash, and sets or removes their expiry.")
    .syntax("key:k [expiration=(seconds:i/EX|milliseconds:i/PX|unix-time-seconds:t/EXAT|unix-time-milliseconds:t/PXAT|persist/PERSIST)] fields={numfields:i field:s...}/FIELDS");

fn hgetex(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let (options, fields) = split_fields(&mut args, 1, |words| Options::read(words, false))?;
    let hash = txn.hash(key)?;
    reply.array(fields.len());
    let change = match options.dates {
        Dates::Set(time, form) => Some(date_of(txn, time, form)?),
        Dates::Removed => None,
        Dates::Unsaid | Dates::Kept => {
            for field in fields {
                reply.bulk_or_null(hash.and_then(|hash| hash.get(field)).as_deref());
            }
            return Ok(Outcome::Done);
        }
    };
    let (horizon, hash_key) = (txn.horizon(), txn.hash_setup(key).1);
    let Some(hash) = txn.hash_mut(key)? else {
        fields.iter().for_each(|_| reply.null());
        return Ok(Outcome::Done);
    };
    let mut changed: Vec<&[u8]> = Vec::new();
    for &field in fields {
        let found = hash.find(field).filter(|(_, date)| date.is_none_or(|date| date >= horizon));
        reply.bulk_or_null(found.as_ref().map(|(value, _)| &**value));
        let Some((_, old)) = found else { continue };
        let did = match change {
            Some((_, true)) => hash.remove(field),
            Some((date, false)) => hash.set_date(field, Some(date), hash_key),
            None => old.is_some() && hash.set_date(field, None, hash_key),
        };
        if did {
            changed.push(field);
        }
    }
    match change {
        Some((_, true)) => txn.fields_dropped(key, &changed),
        Some((date, false)) => txn.fields_dated(key, date, &changed),
        None => txn.fields_persisted(key, &changed),
    }
    Ok(Outcome::Done)
}

const HSETEX: Command = Command::data("hsetex", Group::Hash, hsetex)
    .arity(-6)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::INSERT)])
    .since("8.0.0")
    .cost("O(N) where N is the number of fields being set.")
    .summary("Sets fields of a hash, and their expiry.")
    .syntax("key:k [key-condition=(nx/NX|xx/XX)] [fields-condition=(fnx/FNX|fxx/FXX)] [expiration=(seconds:i/EX|milliseconds:i/PX|unix-time-seconds:t/EXAT|unix-time-milliseconds:t/PXAT|keepttl/KEEPTTL)] fields={numfields:i data={field:s value:s}...}/FIELDS");

fn hsetex(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let (options, pairs) = split_fields(&mut args, 2, |words| Options::read(words, true))?;
    let horizon = txn.horizon();
    let hash = txn.hash_mut(key)?;
    let refused = options.key_exists.is_some_and(|wanted| wanted != hash.is_some());
    // The time is looked at before the fields, so that a wrong one is an error even if nothing would be set.
    let is_refused_by_fields = options.fields_exist.is_some_and(|wanted| {
        let is_there = |field: &[u8]| {
            hash.as_ref().is_some_and(|hash| hash.get(field).is_some() && !hash.is_due(field, horizon))
        };
        pairs.chunks_exact(2).any(|pair| is_there(pair[0]) != wanted)
    });
    if refused {
        reply.integer(0);
        return Ok(Outcome::Done);
    }
    let date = match options.dates {
        Dates::Set(time, form) => Some(date_of(txn, time, form)?),
        Dates::Unsaid | Dates::Kept | Dates::Removed => None,
    };
    if is_refused_by_fields {
        reply.integer(0);
        return Ok(Outcome::Done);
    }
    match date {
        Some((_, true)) => set_in_the_past(txn, key, pairs)?,
        Some((date, false)) => set_fields(txn, key, pairs, Some(date), false)?,
        None => set_fields(txn, key, pairs, None, matches!(options.dates, Dates::Kept))?,
    }
    reply.integer(1);
    Ok(Outcome::Done)
}

/// Sets fields whose date has passed already: they are gone.
fn set_in_the_past(txn: &mut Txn<'_>, key: &[u8], pairs: &[&[u8]]) -> Result<(), Fault> {
    let named = pairs.chunks_exact(2).map(|pair| pair[0]);
    let gone: Vec<&[u8]> = match txn.hash_mut(key)? {
        Some(hash) => named.filter(|field| hash.remove(field)).collect(),
        None => Vec::new(),
    };
    txn.event(key, EventClass::Hash, "hset");
    txn.event(key, EventClass::Hash, "hexpire");
    // Each counts as expired, also one that was not there before.
    txn.count_expired_fields(pairs.len() / 2 - gone.len());
    if gone.is_empty() {
        txn.event(key, EventClass::Hash, "hexpired");
        if !txn.exists(key) {
            txn.event(key, EventClass::Generic, "del");
        }
    }
    txn.fields_dropped(key, &gone);
    Ok(())
}

/// Sets fields; they have the `date` afterwards, or none, or the one they had if those are `kept`.
fn set_fields(
    txn: &mut Txn<'_>,
    key: &[u8],
    pairs: &[&[u8]],
    date: Option<u64>,
    kept: bool,
) -> Result<(), Fault> {
    let (limits, hash_key) = txn.hash_setup(key);
    let horizon = txn.horizon();
    let hash = txn.hash_or_new(key)?;
    // What is overwritten after its date has no date that could be kept.
    let mut revived: Vec<&[u8]> = Vec::new();
    for pair in pairs.chunks_exact(2) {
        let was_due = hash.is_due(pair[0], horizon);
        if was_due {
            revived.extend_from_slice(pair);
        }
        if kept && !was_due {
            hash.set_keeping(pair[0], pair[1], &limits, hash_key);
        } else {
            hash.set(pair[0], pair[1], &limits, hash_key);
        }
        if date.is_some() {
            hash.set_date(pair[0], date, hash_key);
        }
    }
    txn.refile(key);
    txn.fields_revived(key, revived.len() / 2);
    txn.changed(key, EventClass::Hash, "hset");
    txn.changed_more(pairs.len() / 2 - 1);
    if date.is_some() {
        txn.event(key, EventClass::Hash, "hexpire");
    }
    if !txn.effects_wanted() {
        return Ok(());
    }
    if date.is_none() && !kept {
        txn.effect(&[&[b"HSET", key], pairs].concat());
        return Ok(());
    }
    if kept && !revived.is_empty() {
        txn.effect(&[&[b"HSET", key], &*revived].concat());
    }
    let (digits, count) = (date.map(|date| Digits::of(date as i64)), Digits::of(pairs.len() as i64 / 2));
    let mut effect: Vec<&[u8]> = vec![b"HSETEX", key];
    match &digits {
        Some(date) => effect.extend([b"PXAT", date.as_bytes()]),
        None => effect.push(b"KEEPTTL"),
    }
    effect.extend([b"FIELDS", count.as_bytes()]);
    effect.extend_from_slice(pairs);
    txn.effect(&effect);
    Ok(())
}

const HGETDEL: Command = Command::data("hgetdel", Group::Hash, hgetdel)
    .arity(-5)
    .flags(WRITE | FAST)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::DELETE)])
    .since("8.0.0")
    .cost("O(N) where N is the number of specified fields")
    .summary("Returns the values of fields of a hash, and removes the fields.")
    .syntax("key:k fields={numfields:i field:s...}/FIELDS");

fn hgetdel(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let fields = fields_only(&mut args, fields_mismatch())?;
    let horizon = txn.horizon();
    let Some(hash) = txn.hash_mut(key)? else {
        reply.array(fields.len());
        fields.iter().for_each(|_| reply.null());
        return Ok(Outcome::Done);
    };
    let mut gone: Vec<&[u8]> = Vec::new();
    reply.array(fields.len());
    for &field in fields {
        let found = hash.find(field).filter(|(_, date)| date.is_none_or(|date| date >= horizon));
        reply.bulk_or_null(found.as_ref().map(|(value, _)| &**value));
        if found.is_some() {
            gone.push(field);
            hash.remove(field);
        }
    }
    if !gone.is_empty() {
        txn.changed(key, EventClass::Hash, "hdel");
        txn.changed_more(gone.len() - 1);
        txn.effect(&[&[b"HDEL", key], &*gone].concat());
        txn.drop_if_empty(key);
    }
    Ok(Outcome::Done)
}
