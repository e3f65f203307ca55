//! Bitmaps: strings, bit by bit.

use std::slice;

use super::prelude::*;
use crate::keyspace::Value;
use crate::number::parse_i64;
use crate::thin::Thin;
use crate::txn::{Expiry, Origin, text_of};
use crate::types::bits;

pub(super) const ROWS: &[Command] = &[SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP];

/// The place of a bit; a string cannot be longer than `proto-max-bulk-len`, so there is a last one.
pub(super) fn bit_offset(txn: &Txn<'_>, text: &[u8]) -> Result<u64, Fault> {
    let offset = parse_i64(text).and_then(|offset| checked_offset(txn, offset));
    offset.ok_or_else(|| Fault::other("bit offset is not an integer or out of range"))
}

/// A place within the longest possible string. What a log says was checked when it was written.
pub(super) fn checked_offset(txn: &Txn<'_>, offset: i64) -> Option<u64> {
    let offset = u64::try_from(offset).ok()?;
    let fits = txn.origin() == Origin::Replay || offset / 8 < txn.limits().bulk_max as u64;
    fits.then_some(offset)
}

const SETBIT: Command = Command::data("setbit", Group::Bitmap, setbit)
    .arity(4)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::RW | Key::ACCESS | Key::UPDATE)])
    .verbatim()
    .since("2.2.0")
    .cost("O(1)")
    .summary("Sets or clears a bit of the string at a key, and returns the bit that was there.")
    .syntax("key:k offset:i value:i");

fn setbit(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, offset) = (args.key()?, args.bytes()?);
    let offset = bit_offset(txn, offset)?;
    let value = args.integer_in(0..=1, "bit is not an integer or out of range")? == 1;
    let end = (offset / 8) as usize + 1;
    let (grown, old) = txn.edit_text(key, slice::from_ref(&(end - 1..end)), |text| {
        let grown = text.len() < end;
        if grown {
            text.resize(end);
        }
        let old = bits::get(text.bytes(), offset);
        if old != value {
            bits::set(text.bytes_mut(), offset, value);
        }
        (grown, old)
    })?;
    if grown || old != value {
        txn.changed(key, EventClass::String, "setbit");
    }
    reply.flag(old);
    Ok(Outcome::Done)
}

const GETBIT: Command = Command::data("getbit", Group::Bitmap, getbit)
    .arity(3)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.2.0")
    .cost("O(1)")
    .summary("Returns a bit of the string at a key.")
    .syntax("key:k offset:i");

fn getbit(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, offset) = (args.key()?, args.bytes()?);
    let offset = bit_offset(txn, offset)?;
    let text = txn.text(key)?;
    reply.flag(text.is_some_and(|text| bits::get(&text, offset)));
    Ok(Outcome::Done)
}

/// Whether a range is counted in bits.
fn unit_is_bit(word: &[u8]) -> Result<bool, Fault> {
    match () {
        () if is_word(word, "BIT") => Ok(true),
        () if is_word(word, "BYTE") => Ok(false),
        () => Err(Fault::Syntax),
    }
}

/// The bits from `start` to `end`, both included, given in bits or in bytes and counted from the end if negative.
fn bit_range(len: usize, start: i64, end: i64, in_bits: bool) -> Option<(u64, u64)> {
    let len = (len as i64) * if in_bits { 8 } else { 1 };
    let from_start = |index: i64| if index < 0 { index.saturating_add(len).max(0) } else { index };
    let (start, end) = (from_start(start), from_start(end).min(len - 1));
    if start > end {
        return None;
    }
    let (start, end) = (start as u64, end as u64);
    Some(if in_bits { (start, end) } else { (start * 8, end * 8 + 7) })
}

const BITCOUNT: Command = Command::data("bitcount", Group::Bitmap, bitcount)
    .arity(-2)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.6.0")
    .cost("O(N)")
    .summary("Counts the bits that are set in the string at a key, or in a part of it.")
    .syntax("key:k [index={start:i end:i [index_unit=(byte/BYTE|bit/BIT)@7.0.0]}]");

fn bitcount(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let Some(text) = txn.text(key)? else {
        reply.integer(0);
        return Ok(Outcome::Done);
    };
    let range = match args.left() {
        0 => bit_range(text.len(), 0, -1, false),
        2 | 3 => {
            let (start, end) = (args.integer()?, args.integer()?);
            if start < 0 && end < 0 && start > end {
                None // Even before the unit is looked at.
            } else {
                let in_bits = if args.left() > 0 { unit_is_bit(args.bytes()?)? } else { false };
                bit_range(text.len(), start, end, in_bits)
            }
        }
        _ => return Err(Fault::Syntax),
    };
    let ones = range.map_or(0, |(start, end)| bits::count_ones_between(&text, start, end));
    reply.integer(ones as i64);
    Ok(Outcome::Done)
}

const BITPOS: Command = Command::data("bitpos", Group::Bitmap, bitpos)
    .arity(-3)
    .flags(READONLY)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("2.8.7")
    .cost("O(N)")
    .summary("Finds the first bit that is set, or that is clear, in the string at a key.")
    .syntax("key:k bit:i [index={start:i [end_index={end:i [index_unit=(byte/BYTE|bit/BIT)@7.0.0]}]}]");

fn bitpos(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let (key, bit) = (args.key()?, args.integer()?);
    if !(0..=1).contains(&bit) {
        return Err(Fault::other("The bit argument must be 1 or 0."));
    }
    let wanted = bit == 1;
    let Some(text) = txn.text(key)? else {
        // An absent key is an endless row of clear bits.
        reply.integer(if wanted { -1 } else { 0 });
        return Ok(Outcome::Done);
    };
    if args.left() > 3 {
        return Err(Fault::Syntax);
    }
    let start = if args.left() > 0 { args.integer()? } else { 0 };
    let end = args.peek();
    let in_bits = match args.left() {
        2 => {
            // The unit is checked before the end that stands in front of it.
            let mut behind = args;
            behind.bytes()?;
            unit_is_bit(behind.bytes()?)?
        }
        _ => false,
    };
    let last = end.map_or(Some(-1), parse_i64).ok_or(Fault::NotInteger)?;
    let found = bit_range(text.len(), start, last, in_bits).map_or(-1, |(from, to)| {
        match bits::find_between(&text, wanted, from, to) {
            Some(at) => at as i64,
            // Behind the string there are clear bits, unless the range says where to stop.
            None if !wanted && end.is_none() => text.len() as i64 * 8,
            None => -1,
        }
    });
    reply.integer(found);
    Ok(Outcome::Done)
}

const BITOP: Command = Command::data("bitop", Group::Bitmap, bitop)
    .arity(-4)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(2, Key::OW | Key::UPDATE), Key::range(3, -1, 1, Key::RO | Key::ACCESS)])
    .verbatim()
    .since("2.6.0")
    .cost("O(N)")
    .summary("Combines strings bit by bit and stores the result.")
    .syntax("operation:s destkey:k key:k...#1");

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

impl Operation {
    fn of(word: &[u8]) -> Result<Self, Fault> {
        let all = [("AND", Self::And), ("OR", Self::Or), ("XOR", Self::Xor), ("NOT", Self::Not)];
        let found = all.into_iter().find(|(name, _)| is_word(word, name));
        found.map(|(_, operation)| operation).ok_or(Fault::Syntax)
    }

    /// Combines `target` with a source, which counts as zeros behind its end.
    fn apply(self, target: &mut [u8], source: &[u8]) {
        let (both, behind) = target.split_at_mut(source.len());
        let pairs = both.iter_mut().zip(source);
        match self {
            Self::And => {
                pairs.for_each(|(a, b)| *a &= b);
                behind.fill(0);
            }
            Self::Or => pairs.for_each(|(a, b)| *a |= b),
            Self::Xor => pairs.for_each(|(a, b)| *a ^= b),
            Self::Not => pairs.for_each(|(a, b)| *a = !b),
        }
    }
}

fn bitop(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let operation = Operation::of(args.bytes()?)?;
    let (target, sources) = (args.key()?, args.rest());
    if operation == Operation::Not && sources.len() != 1 {
        return Err(Fault::other("BITOP NOT must be called with a single source key."));
    }
    for source in sources {
        txn.text(source)?;
    }
    let texts = sources.iter().filter_map(|source| txn.raw_entry(source));
    let texts = texts.map(|entry| text_of(entry.view())).collect::<Result<Vec<_>, _>>()?;
    let len = texts.iter().map(|text| text.len()).max().unwrap_or(0);
    if len == 0 {
        drop(texts);
        if txn.exists(target) {
            txn.discard(target);
            txn.changed(target, EventClass::Generic, "del");
        }
        reply.integer(0);
        return Ok(Outcome::Done);
    }
    let mut result = Thin::with_capacity((), len);
    result.resize(len);
    let out = result.bytes_mut();
    let mut texts = texts.iter();
    match (operation, texts.next()) {
        // An absent key counts as zeros.
        (Operation::And, _) if texts.len() + 1 < sources.len() => texts = [].iter(),
        (Operation::Not, Some(first)) => operation.apply(out, first),
        (_, Some(first)) => out[..first.len()].copy_from_slice(first),
        (_, None) => {}
    }
    texts.for_each(|text| operation.apply(out, text));
    txn.entry(target);
    txn.put_value(target, Value::Raw(result), Expiry::Never);
    txn.changed(target, EventClass::String, "set");
    reply.count(len);
    Ok(Outcome::Done)
}
