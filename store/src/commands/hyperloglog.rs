//! HyperLogLog: how many different elements were added, roughly and in little memory.
//!
//! A HyperLogLog is a string; see [`crate::types::hyperloglog`] for what is in it.

use std::ops::Range;
use std::slice;

use super::prelude::*;
use crate::keyspace::{Value, View};
use crate::txn::{Expiry, Origin};
use crate::types::hyperloglog::{self as hll, Corrupted, REGISTERS, Registers};

pub(super) const ROWS: &[Command] = &[PFADD, PFCOUNT, PFMERGE, PFDEBUG, PFSELFTEST];

/// Any byte may change: these strings are small.
const ALL: &[Range<usize>] = slice::from_ref(&(0..usize::MAX));

impl From<Corrupted> for Fault {
    fn from(_: Corrupted) -> Self {
        Self::coded("INVALIDOBJ Corrupted HLL object detected")
    }
}

/// The HyperLogLog that a value is.
fn hll_of(view: View<'_>) -> Result<&[u8], Fault> {
    let text = match view {
        View::Inline(text) => text,
        View::Raw(text) => text.bytes(),
        View::Integer(_) => b"",
        _ => return Err(Fault::WrongType),
    };
    if hll::is_one(text) {
        Ok(text)
    } else {
        Err(Fault::coded("WRONGTYPE Key is not a valid HyperLogLog string value."))
    }
}

/// Up to how many bytes a HyperLogLog stays sparse. In a log every change of form is stated, so that the bytes of the
/// value do not depend on how the server is configured that reads the log.
fn sparse_max(txn: &Txn<'_>) -> usize {
    match txn.origin() {
        Origin::Client => txn.limits().thresholds.hll_sparse_bytes,
        Origin::Replay => usize::MAX,
    }
}

/// States a request, and the change of form that came with it.
fn state(txn: &mut Txn<'_>, request: &[&[u8]], key: &[u8], was_sparse: bool) {
    txn.effect(request);
    let is_sparse =
        txn.raw_entry(key).and_then(|entry| hll_of(entry.view()).ok()).is_some_and(hll::is_sparse);
    if was_sparse && !is_sparse {
        txn.effect(&[b"PFDEBUG", b"TODENSE", key]);
    }
}

const PFADD: Command = Command::data("pfadd", Group::Hyperloglog, pfadd)
    .arity(-2)
    .flags(WRITE | DENYOOM | FAST)
    .keys(&[Key::at(1, Key::RW | Key::INSERT)])
    .since("2.8.9")
    .cost("O(1) to add every element.")
    .summary("Adds elements to a HyperLogLog; says whether its estimate may have changed.")
    .syntax("key:k [element:s...]");

fn pfadd(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, elements) = (args.key()?, args.rest());
    let sparse_max = sparse_max(txn);
    let (is_new, was_sparse) = match txn.entry(key) {
        Some(entry) => (false, hll::is_sparse(hll_of(entry.view())?)),
        None => (true, true),
    };
    if is_new {
        txn.put_value(key, Value::Raw(hll::new()), Expiry::Never);
    }
    let (changes, end) = txn.edit_text(key, ALL, |text| {
        let mut changes = usize::from(is_new);
        for element in elements {
            match hll::add(text, element, sparse_max) {
                Ok(changed) => changes += usize::from(changed),
                Err(fault) => return (changes, Err((fault, text.bytes().to_vec()))),
            }
        }
        if changes > 0 {
            hll::invalidate(text);
        }
        (changes, Ok(()))
    })?;
    if changes > 0 {
        txn.changed(key, EventClass::String, "pfadd");
        txn.changed_more(changes - 1);
    }
    if let Err((fault, bytes)) = end {
        if changes > 0 {
            // The command fails, and is not logged; what it did before it failed is.
            txn.effect(&[b"SET", key, &bytes, b"KEEPTTL"]);
        }
        return Err(fault.into());
    }
    if changes > 0 {
        state(txn, args.all(), key, was_sparse);
    }
    reply.flag(changes > 0);
    Ok(Outcome::Done)
}

const PFCOUNT: Command = Command::data("pfcount", Group::Hyperloglog, pfcount)
    .arity(-2)
    .flags(READONLY | MAY_REPLICATE)
    .keys(&[Key::range(1, -1, 1, Key::RW | Key::ACCESS)])
    .verbatim()
    .since("2.8.9")
    .cost("O(1) with a very small average constant time when called with a single key. O(N) with N being the number of keys, and much bigger constant times, when called with multiple keys.")
    .summary("Estimates how many different elements one or several HyperLogLogs have seen.")
    .syntax("key:k...");

fn pfcount(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let keys = args.rest();
    if let [key] = keys {
        return count_one(txn, key, reply);
    }
    let mut all = [0; REGISTERS];
    for key in keys {
        if let Some(entry) = txn.entry_for_reading(key) {
            hll::merge_into(hll_of(entry.view())?, &mut all)?;
        }
    }
    reply.integer(hll::count_registers(&all) as i64);
    Ok(Outcome::Done)
}

/// Counts one, and remembers the result in the value: that is a change, and reaches the log.
fn count_one(txn: &mut Txn<'_>, key: &[u8], reply: &mut Reply<'_>) -> Run {
    let Some(entry) = txn.entry_for_reading(key) else {
        reply.integer(0);
        return Ok(Outcome::Done);
    };
    let text = hll_of(entry.view())?;
    if let Some(count) = hll::cached(text) {
        reply.integer(count as i64);
        return Ok(Outcome::Done);
    }
    let count = hll::count(text)?;
    txn.edit_text(key, ALL, |text| hll::cache(text.bytes_mut(), count))?;
    txn.signal(key);
    txn.changed_more(1);
    reply.integer(count as i64);
    Ok(Outcome::Done)
}

const PFMERGE: Command = Command::data("pfmerge", Group::Hyperloglog, pfmerge)
    .arity(-2)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::INSERT), Key::range(2, -1, 1, Key::RO | Key::ACCESS)])
    .verbatim()
    .since("2.8.9")
    .cost("O(N) to merge N HyperLogLogs, but with high constant times.")
    .summary("Adds everything that several HyperLogLogs have seen to one.")
    .syntax("destkey:k sourcekey:k...#1");

fn pfmerge(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let keys = args.rest();
    let mut all: Registers = [0; REGISTERS];
    let mut dense = false;
    for key in keys {
        if let Some(entry) = txn.entry_for_reading(key) {
            let text = hll_of(entry.view())?;
            dense |= !hll::is_sparse(text);
            hll::merge_into(text, &mut all)?;
        }
    }
    let target = keys[0];
    let sparse_max = sparse_max(txn);
    if !txn.exists(target) {
        txn.put_value(target, Value::Raw(hll::new()), Expiry::Never);
    }
    let was_sparse = txn.edit_text(target, ALL, |text| hll::is_sparse(text.bytes()))?;
    txn.edit_text(target, ALL, |text| {
        if dense && hll::is_sparse(text.bytes()) {
            hll::make_dense(text)?;
        }
        for (index, &count) in all.iter().enumerate().filter(|(_, count)| **count > 0) {
            hll::raise(text, index, count, sparse_max)?;
        }
        hll::invalidate(text);
        Ok::<(), Corrupted>(())
    })??;
    txn.changed(target, EventClass::String, "pfadd");
    state(txn, args.all(), target, was_sparse);
    reply.ok();
    Ok(Outcome::Done)
}

const PFDEBUG: Command = Command::data("pfdebug", Group::Hyperloglog, pfdebug)
    .arity(3)
    .flags(WRITE | DENYOOM | ADMIN)
    .keys(&[Key::at(2, Key::RW | Key::ACCESS)])
    .verbatim()
    .since("2.8.9")
    .cost("N/A")
    .summary("Shows what is inside of a HyperLogLog.")
    .syntax("subcommand:s key:k");

fn pfdebug(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (word, key) = (args.bytes()?, args.key()?);
    let entry = txn.entry(key).ok_or_else(|| Fault::other("The specified key does not exist"))?;
    let text = hll_of(entry.view())?;
    let sparse = hll::is_sparse(text);
    match () {
        () if is_word(word, "GETREG") => {
            to_dense(txn, key, sparse)?;
            reply.array(REGISTERS);
            txn.edit_text(key, ALL, |text| {
                (0..REGISTERS)
                    .for_each(|index| reply.integer(i64::from(hll::dense_register(text.bytes(), index))));
            })?;
        }
        () if is_word(word, "DECODE") && !sparse => return Err(Fault::other("HLL encoding is not sparse")),
        () if is_word(word, "DECODE") => reply.bulk(hll::describe(text).as_bytes()),
        () if is_word(word, "ENCODING") => reply.status(if sparse { "sparse" } else { "dense" }),
        () if is_word(word, "TODENSE") => {
            to_dense(txn, key, sparse)?;
            reply.flag(sparse);
        }
        () => {
            return Err(Fault::Raw([b"Unknown PFDEBUG subcommand '", word, b"'"].concat()));
        }
    }
    Ok(Outcome::Done)
}

fn to_dense(txn: &mut Txn<'_>, key: &[u8], sparse: bool) -> Result<(), Fault> {
    if sparse {
        txn.edit_text(key, ALL, hll::make_dense)??;
        txn.signal(key);
        txn.changed_more(1);
    }
    Ok(())
}

const PFSELFTEST: Command = Command::data("pfselftest", Group::Hyperloglog, pfselftest)
    .arity(1)
    .flags(ADMIN)
    .since("2.8.9")
    .cost("N/A")
    .summary("Tests whether HyperLogLogs count as they should.");

/// Elements that the self-test adds: enough to see the error of the estimate, little enough to keep clients waiting for
/// a moment only.
const SELF_TEST_ELEMENTS: u64 = 100_000;

fn pfselftest(txn: &mut Txn<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let sparse_max = txn.limits().thresholds.hll_sparse_bytes;
    let seed = txn.rng().u64(..);
    let (mut dense, mut either) = (hll::new(), hll::new());
    hll::make_dense(&mut dense)?;
    let error = 1.04 / (REGISTERS as f64).sqrt();
    let mut checkpoint = 1;
    for number in 1..=SELF_TEST_ELEMENTS {
        let element = (number ^ seed).to_le_bytes();
        hll::add(&mut dense, &element, sparse_max)?;
        hll::add(&mut either, &element, sparse_max)?;
        if number != checkpoint {
            continue;
        }
        if number < sparse_max as u64 / 2 && !hll::is_sparse(either.bytes()) {
            return Err(Fault::other("TESTFAILED sparse encoding not used"));
        }
        let count = hll::count(dense.bytes())?;
        if hll::count(either.bytes())? != count {
            return Err(Fault::other("TESTFAILED dense/sparse disagree"));
        }
        let allowed = if number == 10 { 1 } else { (error * 6.0 * number as f64).ceil() as u64 };
        let off = count.abs_diff(number);
        if off > allowed {
            return Err(Fault::other(format!("TESTFAILED Too big error. card:{number} abserr:{off}")));
        }
        checkpoint *= 10;
    }
    reply.ok();
    Ok(Outcome::Done)
}
