//! Values as bytes: DUMP and RESTORE.

use super::prelude::*;
use crate::number::parse_i64;
use crate::rdb::{DumpFault, Setup, VERSION, open_dump, read_dump};
use crate::txn::{Expiry, Origin};

pub(super) const ROWS: &[Command] = &[DUMP, RESTORE, RESTORE_ASKING];

const DUMP: Command = Command::data("dump", Group::Generic, dump)
    .arity(2)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.6.0")
    .cost(
        "O(1) to access the key and additional O(N*M) to serialize it, where N is the number of Redis objects \
         composing the value and M their average size. For small string values the time complexity is thus \
         O(1)+O(1*M) where M is small, so simply O(1).",
    )
    .summary("Returns the value of a key as bytes for RESTORE.")
    .syntax("key:k")
    .tips(&["nondeterministic_output"]);

fn dump(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    txn.entry_for_reading(key);
    reply.bulk_or_null(txn.dump(key).as_deref());
    Ok(Outcome::Done)
}

const RESTORE: Command = Command::data("restore", Group::Generic, restore)
    .arity(-4)
    .flags(WRITE | DENYOOM)
    .categories(DANGEROUS)
    .keys(&[Key::at(1, Key::OW | Key::UPDATE)])
    .since("2.6.0")
    .cost(RESTORE_COST)
    .summary("Makes a key of what DUMP returned.")
    .syntax(RESTORE_SYNTAX);

const RESTORE_COST: &str = "O(1) to create the new key and additional O(N*M) to reconstruct the serialized value, \
                            where N is the number of Redis objects composing the value and M their average size. For small \
                            string values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1). \
                            However for sorted set values the complexity is O(N*M*log(N)) because inserting values \
                            into sorted sets is O(log(N)).";
const RESTORE_SYNTAX: &str = "key:k ttl:i serialized-value:s [replace/REPLACE@3.0.0] [absttl/ABSTTL@5.0.0] \
                              [seconds:i/IDLETIME@5.0.0] [frequency:i/FREQ@5.0.0]";

const RESTORE_ASKING: Command = Command::data("restore-asking", Group::Server, restore)
    .arity(-4)
    .flags(WRITE | DENYOOM | ASKING)
    .categories(KEYSPACE | DANGEROUS)
    .keys(&[Key::at(1, Key::OW | Key::UPDATE)])
    .since("3.0.0")
    .cost(RESTORE_COST)
    .summary("Makes a key of what DUMP returned, while a cluster moves it here.")
    .syntax(RESTORE_SYNTAX);

/// The words behind the payload.
#[derive(Default)]
struct Options {
    replace: bool,
    /// The time is a date; the word that says so, as it came.
    absolute: Option<[u8; 6]>,
    idle_seconds: Option<i64>,
    frequency: Option<i64>,
}

impl Options {
    fn read(args: &mut Args<'_>) -> Result<Self, Fault> {
        let mut options = Self::default();
        while args.left() > 0 {
            let word = args.bytes()?;
            match () {
                () if is_word(word, "REPLACE") => options.replace = true,
                () if is_word(word, "ABSTTL") => options.absolute = word.try_into().ok(),
                () if is_word(word, "IDLETIME") && args.left() > 0 && options.frequency.is_none() => {
                    let seconds = args.integer()?;
                    if seconds < 0 {
                        return Err(Fault::other("Invalid IDLETIME value, must be >= 0"));
                    }
                    options.idle_seconds = Some(seconds);
                }
                () if is_word(word, "FREQ") && args.left() > 0 && options.idle_seconds.is_none() => {
                    let frequency = args.integer()?;
                    if !(0..=255).contains(&frequency) {
                        return Err(Fault::other("Invalid FREQ value, must be >= 0 and <= 255"));
                    }
                    options.frequency = Some(frequency);
                }
                () => return Err(Fault::Syntax),
            }
        }
        Ok(options)
    }
}

/// The date that a time to live comes to; none for 0.
fn date_of(txn: &Txn<'_>, ttl: &[u8], options: &Options) -> Result<Option<u64>, Fault> {
    let ttl = parse_i64(ttl).ok_or(Fault::NotInteger)?;
    let invalid = || Fault::other("Invalid TTL value, must be >= 0");
    let ttl = u64::try_from(ttl).map_err(|_| invalid())?;
    let now = if options.absolute.is_some() || ttl == 0 { 0 } else { txn.now().wall_ms() };
    // Redis takes a date that its clock cannot reach for one in the past, and drops the value with an OK.
    let date = ttl.checked_add(now).filter(|&date| i64::try_from(date).is_ok()).ok_or_else(invalid)?;
    Ok(Some(date).filter(|&date| date != 0))
}

fn restore(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, ttl, payload) = (args.key()?, args.bytes()?, args.bytes()?);
    let options = Options::read(&mut args)?;
    if !options.replace && txn.exists(key) {
        return Err(Fault::coded("BUSYKEY Target key name already exists."));
    }
    let date = date_of(txn, ttl, &options)?;
    txn.data.counters.payloads += 1;
    let trusted = txn.data.trusts_dumps;
    let (thresholds, hash_key) = txn.hash_setup(key);
    let opened = open_dump(payload, trusted).and_then(|(body, version)| {
        Ok((read_dump(body, version, &Setup { thresholds, hash_key })?, version))
    });
    let (value, version) = opened.map_err(|fault| match fault {
        DumpFault::Footer => Fault::other("DUMP payload version or checksum are wrong"),
        DumpFault::Value(fault) => {
            txn.note(format!("RESTORE refuses a payload: {fault}"));
            Fault::other("Bad data format")
        }
    })?;
    let replaced = options.replace && txn.discard(key);
    if date.is_some_and(|date| date <= txn.now().wall_ms()) && txn.origin() == Origin::Client {
        if replaced {
            txn.changed(key, EventClass::Generic, "del");
            txn.effect(&[b"DEL", key]);
        }
        reply.ok();
        return Ok(Outcome::Done);
    }
    txn.put_value(key, value, date.map_or(Expiry::Never, Expiry::At));
    txn.mark_as_used(key, options.idle_seconds, options.frequency);
    txn.changed(key, EventClass::Generic, "restore");
    if txn.effects_wanted() {
        // A reader of the log may be older than the server this payload came from.
        let again = if version > VERSION || trusted { txn.dump(key) } else { None };
        state(txn, key, date, again.as_deref().unwrap_or(payload), &options);
    }
    reply.ok();
    Ok(Outcome::Done)
}

/// States what was restored, with a date instead of a time to live.
fn state(txn: &mut Txn<'_>, key: &[u8], date: Option<u64>, payload: &[u8], options: &Options) {
    let date_text = Digits::of(date.unwrap_or(0) as i64);
    let mut effect: Vec<&[u8]> = vec![b"RESTORE", key, date_text.as_bytes(), payload];
    if options.replace {
        effect.push(b"REPLACE");
    }
    let absolute = options.absolute.unwrap_or(*b"ABSTTL");
    if date.is_some() || options.absolute.is_some() {
        effect.push(&absolute);
    }
    let number = Digits::of(options.idle_seconds.or(options.frequency).unwrap_or(0));
    if options.idle_seconds.is_some() {
        effect.extend([&b"IDLETIME"[..], number.as_bytes()]);
    } else if options.frequency.is_some() {
        effect.extend([&b"FREQ"[..], number.as_bytes()]);
    }
    txn.effect(&effect);
}
