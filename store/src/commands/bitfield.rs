//! BITFIELD: integers of any width within a string.

use super::bitmap::{bit_offset, checked_offset};
use super::prelude::*;
use crate::number::parse_i64;
use crate::types::bits;

pub(super) const ROWS: &[Command] = &[BITFIELD, BITFIELD_RO];

const BITFIELD: Command = Command::data("bitfield", Group::Bitmap, bitfield)
    .arity(-2)
    .flags(WRITE | DENYOOM)
    .keys(&[Key::at(1, Key::RW | Key::UPDATE | Key::ACCESS | Key::VARIABLE)])
    .verbatim()
    .since("3.2.0")
    .cost("O(1) for each subcommand specified")
    .summary("Reads, sets and increments integers of any width within the string at a key.")
    .syntax("key:k [operation=(encoding_offset={encoding:s offset:i}/GET|write={[wrap_sat_fail=(wrap/WRAP|sat/SAT|fail/FAIL)/OVERFLOW] write_operation=(encoding_offset_value={encoding:s offset:i value:i}/SET|encoding_offset_increment={encoding:s offset:i increment:i}/INCRBY)})...]");

const BITFIELD_RO: Command = Command::data("bitfield_ro", Group::Bitmap, bitfield_ro)
    .arity(-2)
    .flags(READONLY | FAST)
    .keys(&[Key::at(1, Key::RO | Key::ACCESS)])
    .since("6.0.0")
    .cost("O(1) for each subcommand specified")
    .summary("Reads integers of any width within the string at a key.")
    .syntax("key:k [encoding_offset={encoding:s offset:i}/GET*...]");

/// What becomes of a number that does not fit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

/// The type of a field.
#[derive(Clone, Copy)]
struct Encoding {
    signed: bool,
    width: u32,
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    Increment(i64),
}

#[derive(Clone, Copy)]
struct Operation {
    encoding: Encoding,
    offset: u64,
    action: Action,
    overflow: Overflow,
}

impl Encoding {
    fn read(text: &[u8]) -> Result<Self, Fault> {
        let invalid =
            "Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";
        let (signed, digits) = match text {
            [b'i', digits @ ..] => (true, digits),
            [b'u', digits @ ..] => (false, digits),
            _ => return Err(Fault::other(invalid)),
        };
        // As in C, a NUL byte ends the text.
        let digits = digits.split(|&byte| byte == 0).next().unwrap_or_default();
        let widest = if signed { 64 } else { 63 };
        let width = parse_i64(digits).filter(|width| (1..=widest).contains(width));
        width.map(|width| Self { signed, width: width as u32 }).ok_or_else(|| Fault::other(invalid))
    }

    fn min(self) -> i128 {
        if self.signed { -(1 << (self.width - 1)) } else { 0 }
    }

    fn max(self) -> i128 {
        (1 << (self.width - u32::from(self.signed))) - 1
    }

    /// The number that these bits are.
    fn decode(self, bits: u64) -> i64 {
        let unused = 64 - self.width;
        if self.signed { (bits << unused) as i64 >> unused } else { bits as i64 }
    }

    /// A number as it is stored, and whether it had to be changed for that; nothing if it must not be stored.
    fn fit(self, value: i128, overflow: Overflow) -> Option<i64> {
        if (self.min()..=self.max()).contains(&value) {
            return Some(value as i64);
        }
        match overflow {
            Overflow::Fail => None,
            Overflow::Saturate => Some(value.clamp(self.min(), self.max()) as i64),
            Overflow::Wrap => Some(self.decode(value as u64 & (u64::MAX >> (64 - self.width)))),
        }
    }
}

/// The place of a field: a bit, or `#` and the number of fields of this width before it.
fn field_offset(txn: &Txn<'_>, text: &[u8], width: u32) -> Result<u64, Fault> {
    let [b'#', number @ ..] = text else { return bit_offset(txn, text) };
    let bit = parse_i64(number).and_then(|number| number.checked_mul(i64::from(width)));
    let offset = bit.and_then(|bit| checked_offset(txn, bit));
    offset.ok_or_else(|| Fault::other("bit offset is not an integer or out of range"))
}

fn operations(txn: &Txn<'_>, args: &mut Args<'_>) -> Result<Vec<Operation>, Fault> {
    let mut operations = Vec::new();
    let mut overflow = Overflow::Wrap;
    while args.left() > 0 {
        let word = args.bytes()?;
        if is_word(word, "OVERFLOW") && args.left() >= 1 {
            let word = args.bytes()?;
            let known = [("WRAP", Overflow::Wrap), ("SAT", Overflow::Saturate), ("FAIL", Overflow::Fail)];
            let found = known.into_iter().find(|(name, _)| is_word(word, name));
            overflow = found.ok_or_else(|| Fault::other("Invalid OVERFLOW type specified"))?.1;
            continue;
        }
        let action: fn(i64) -> Action = match () {
            () if is_word(word, "GET") && args.left() >= 2 => |_| Action::Get,
            () if is_word(word, "SET") && args.left() >= 3 => Action::Set,
            () if is_word(word, "INCRBY") && args.left() >= 3 => Action::Increment,
            () => return Err(Fault::Syntax),
        };
        let encoding = Encoding::read(args.bytes()?)?;
        let offset = field_offset(txn, args.bytes()?, encoding.width)?;
        let operand = if matches!(action(0), Action::Get) { 0 } else { args.integer()? };
        operations.push(Operation { encoding, offset, action: action(operand), overflow });
    }
    Ok(operations)
}

/// Does an operation on bytes that are long enough; says whether it changed them.
fn apply(operation: &Operation, bytes: &mut [u8], reply: &mut Reply<'_>) -> bool {
    let Operation { encoding, offset, action, overflow } = *operation;
    let old = encoding.decode(bits::get_field(bytes, offset, encoding.width));
    let (wanted, returned) = match action {
        Action::Get => {
            reply.integer(old);
            return false;
        }
        // An unsigned field takes the bits of a negative number, which is then too large for it.
        Action::Set(value) if !encoding.signed => (i128::from(value as u64), Some(old)),
        Action::Set(value) => (i128::from(value), Some(old)),
        Action::Increment(by) => (i128::from(old) + i128::from(by), None),
    };
    let Some(new) = encoding.fit(wanted, overflow) else {
        reply.null();
        return false;
    };
    bits::set_field(bytes, offset, encoding.width, new as u64);
    reply.integer(returned.unwrap_or(new));
    old != new
}

fn read_all(txn: &mut Txn<'_>, key: &[u8], operations: &[Operation], reply: &mut Reply<'_>) -> Run {
    let text = txn.text(key)?;
    let bytes: &[u8] = text.as_deref().unwrap_or_default();
    reply.array(operations.len());
    for Operation { encoding, offset, .. } in operations {
        reply.integer(encoding.decode(bits::get_field(bytes, *offset, encoding.width)));
    }
    Ok(Outcome::Done)
}

fn bitfield(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let operations = operations(txn, &mut args)?;
    let writes = operations.iter().filter(|operation| !matches!(operation.action, Action::Get));
    let bytes = writes.map(|operation| {
        let last_bit = operation.offset + u64::from(operation.encoding.width) - 1;
        (operation.offset / 8) as usize..(last_bit / 8) as usize + 1
    });
    let written: Vec<_> = bytes.collect();
    let Some(end) = written.iter().map(|range| range.end).max() else {
        return read_all(txn, key, &operations, reply);
    };
    let (grown, changes) = txn.edit_text(key, &written, |text| {
        let grown = text.len() < end;
        if grown {
            text.resize(end);
        }
        reply.array(operations.len());
        (grown, operations.iter().filter(|operation| apply(operation, text.bytes_mut(), reply)).count())
    })?;
    if grown || changes > 0 {
        // Growth alone counts, too: Redis forgets it when every write fails, and its replicas then lack the key.
        txn.changed(key, EventClass::String, "setbit");
        txn.changed_more(changes.saturating_sub(1));
    }
    Ok(Outcome::Done)
}

fn bitfield_ro(txn: &mut Txn<'_>, mut args: Args<'_>, reply: &mut Reply<'_>) -> Run {
    let key = args.key()?;
    let operations = operations(txn, &mut args)?;
    if operations.iter().all(|operation| matches!(operation.action, Action::Get)) {
        return read_all(txn, key, &operations, reply);
    }
    Err(Fault::other("BITFIELD_RO only supports the GET subcommand"))
}
