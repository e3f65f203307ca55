//! How values are kept in memory: OBJECT and MEMORY USAGE.

use super::prelude::*;
use crate::keyspace::View;
use crate::txn::AccessMode;

pub(super) const ROWS: &[Command] = &[OBJECT];

const OBJECT: Command = Command::container(
    "object",
    Group::Generic,
    &[OBJECT_ENCODING, OBJECT_REFCOUNT, OBJECT_IDLETIME, OBJECT_FREQ],
)
.since("2.2.3")
.summary("A container for commands about the representation of values.");

/// Longest string that Redis keeps in one allocation with its object, in bytes.
const EMBEDDED_MAX: usize = 44;
/// Integers below this are shared objects in Redis, and have no honest count of references.
const SHARED_INTEGERS: i64 = 10_000;

/// The name of the representation, by the rules of Redis 7.0.
pub(super) fn encoding(view: View<'_>) -> &'static str {
    match view {
        View::Integer(_) => "int",
        View::Inline(text) if text.len() <= EMBEDDED_MAX => "embstr",
        View::Inline(_) | View::Raw(_) => "raw",
        View::List(list) => list.encoding(),
        View::Set(set) => set.encoding(),
        View::Hash(hash) => hash.encoding(),
        View::Zset(zset) => zset.encoding(),
        View::Stream(_) => "stream",
    }
}

const OBJECT_ENCODING: Command = Command::data("encoding", Group::Generic, object_encoding)
    .arity(3)
    .flags(READONLY)
    .keys(&[Key::at(2, Key::RO)])
    .since("2.2.3")
    .cost("O(1)")
    .summary("Returns how the value of a key is kept in memory.")
    .syntax("key:k")
    .tips(&["nondeterministic_output"]);

fn object_encoding(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    match txn.entry(key) {
        Some(entry) => reply.bulk(encoding(entry.view()).as_bytes()),
        None => reply.null(),
    }
    Ok(Outcome::Done)
}

const OBJECT_REFCOUNT: Command = Command::data("refcount", Group::Generic, object_refcount)
    .arity(3)
    .flags(READONLY)
    .keys(&[Key::at(2, Key::RO)])
    .since("2.2.3")
    .cost("O(1)")
    .summary("Returns how many references to the value of a key there are.")
    .syntax("key:k")
    .tips(&["nondeterministic_output"]);

fn object_refcount(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    // With a policy that looks at the times or counts of keys, Redis shares nothing.
    let shares = txn.data.access.mode == AccessMode::Time { shares_integers: true };
    match txn.entry(key).map(|entry| entry.view()) {
        Some(View::Integer(value)) if shares && (0..SHARED_INTEGERS).contains(&value) => {
            reply.integer(i64::from(i32::MAX));
        }
        Some(_) => reply.integer(1),
        None => reply.null(),
    }
    Ok(Outcome::Done)
}

const OBJECT_IDLETIME: Command = Command::data("idletime", Group::Generic, object_idletime)
    .arity(3)
    .flags(READONLY)
    .keys(&[Key::at(2, Key::RO)])
    .since("2.2.3")
    .cost("O(1)")
    .summary("Returns for how many seconds a key was not used.")
    .syntax("key:k")
    .tips(&["nondeterministic_output"]);

fn object_idletime(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let access = txn.data.access;
    let Some(mark) = txn.entry(key).map(|entry| entry.access()) else {
        reply.null();
        return Ok(Outcome::Done);
    };
    if access.mode == AccessMode::Frequency {
        return Err(Fault::other(
            "An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between \
             policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    reply.integer(i64::from(access.idle_seconds(mark)));
    Ok(Outcome::Done)
}

const OBJECT_FREQ: Command = Command::data("freq", Group::Generic, object_freq)
    .arity(3)
    .flags(READONLY)
    .keys(&[Key::at(2, Key::RO)])
    .since("4.0.0")
    .cost("O(1)")
    .summary("Returns how often a key was used lately, as the eviction policy counts it.")
    .syntax("key:k")
    .tips(&["nondeterministic_output"]);

fn object_freq(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let access = txn.data.access;
    let Some(mark) = txn.entry(key).map(|entry| entry.access()) else {
        reply.null();
        return Ok(Outcome::Done);
    };
    if access.mode == AccessMode::Frequency {
        reply.integer(i64::from(access.frequency(mark)));
        return Ok(Outcome::Done);
    }
    Err(Fault::other(
        "An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
         between policies at runtime LRU and LFU data will take some time to adjust.",
    ))
}

/// Elements measured by MEMORY USAGE unless told otherwise.
const SAMPLES: usize = 5;

const MEMORY_USAGE: Command = Command::data("usage", Group::Server, memory_usage)
    .arity(-3)
    .flags(READONLY)
    .keys(&[Key::at(2, Key::RO)])
    .since("4.0.0")
    .cost("O(N) where N is the number of samples.")
    .summary("Estimates the bytes a key takes.")
    .syntax("key:k [count:i/SAMPLES]");

/// The row, for the container of MEMORY.
pub(super) const USAGE: Command = MEMORY_USAGE;

fn memory_usage(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let mut samples = SAMPLES;
    while args.left() > 0 {
        if !args.word("SAMPLES") || args.left() == 0 {
            return Err(Fault::Syntax);
        }
        let given = args.integer()?;
        samples = usize::try_from(given).map_err(|_| Fault::Syntax)?;
    }
    // A slot of the table belongs to each key.
    let slot = size_of::<u64>() * 2;
    match txn.entry(key) {
        Some(entry) => reply.count(entry.footprint(samples) + slot),
        None => reply.null(),
    }
    Ok(Outcome::Done)
}
