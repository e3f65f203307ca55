//! Sparse registers: runs of equal ones, one code behind the other.
//! ```text
//! 00llllll            l + 1 registers of 0           (ZERO)
//! 01llllll llllllll   l + 1 registers of 0           (XZERO)
//! 1vvvvvll            l + 1 registers of v + 1       (VAL)
//! ```
//! Which runs are split and joined, and when, is that of Redis: two servers that saw the same have the same bytes.

use super::{Corrupted, HEADER, REGISTERS};
use crate::thin::Thin;

/// The code for all registers being 0.
pub(super) const NOTHING: [u8; 2] = [0x7f, 0xff];

const VALUE_MAX: u8 = 32;
const VALUE_RUN_MAX: usize = 4;
const ZERO_RUN_MAX: usize = 64;
/// Codes that are looked at for joining after a change.
const JOIN_WINDOW: usize = 5;

/// A run of equal registers.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Run {
    len: usize,
    value: u8,
    /// Bytes of its code.
    size: usize,
}

/// The run at the beginning of `codes`; nothing if the second byte of its code is missing.
fn run(codes: &[u8]) -> Option<Run> {
    let &first = codes.first()?;
    let low = usize::from(first & 0x3f);
    Some(match first >> 6 {
        0 => Run { len: low + 1, value: 0, size: 1 },
        1 => Run { len: (low << 8 | usize::from(*codes.get(1)?)) + 1, value: 0, size: 2 },
        _ => Run { len: usize::from(first & 3) + 1, value: (first >> 2 & 0x1f) + 1, size: 1 },
    })
}

/// Visits all runs: first register, length, value.
pub(super) fn runs(codes: &[u8], mut visit: impl FnMut(usize, usize, u8)) -> Result<(), Corrupted> {
    let (mut rest, mut first) = (codes, 0);
    while !rest.is_empty() {
        let Run { len, value, size } = run(rest).ok_or(Corrupted)?;
        if first + len > REGISTERS {
            return Err(Corrupted);
        }
        visit(first, len, value);
        first += len;
        rest = &rest[size..];
    }
    if first == REGISTERS { Ok(()) } else { Err(Corrupted) }
}

/// What came of raising a register.
pub(super) enum Raised {
    /// It was high enough.
    No,
    /// It was raised.
    Yes,
    /// The value or the codes do not fit; nothing is changed.
    NoRoom,
}

/// Codes on their way in: at most two bytes, one and two.
#[derive(Default)]
struct Codes {
    bytes: [u8; 5],
    len: usize,
}

impl Codes {
    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn zeros(&mut self, len: usize) {
        match len {
            0 => {}
            1..=ZERO_RUN_MAX => self.push(len as u8 - 1),
            _ => {
                let [high, low] = (len as u16 - 1).to_be_bytes();
                self.push(0x40 | high);
                self.push(low);
            }
        }
    }

    fn values(&mut self, value: u8, len: usize) {
        if len > 0 {
            self.push(0x80 | (value - 1) << 2 | (len as u8 - 1));
        }
    }
}

/// Raises a register to `count` if it is below.
pub(super) fn raise(
    text: &mut Thin<()>,
    index: usize,
    count: u8,
    sparse_max: usize,
) -> Result<Raised, Corrupted> {
    if count > VALUE_MAX {
        return Ok(Raised::NoRoom);
    }
    let (mut at, mut first, mut before) = (HEADER, 0, HEADER);
    let found = loop {
        let next = run(&text.bytes()[at..]).ok_or(Corrupted)?;
        if index < first + next.len {
            break next;
        }
        before = at;
        first += next.len;
        at += next.size;
    };
    if found.value >= count {
        return Ok(Raised::No);
    }
    let (ahead, behind) = (index - first, first + found.len - 1 - index);
    let mut codes = Codes::default();
    if found.value == 0 {
        codes.zeros(ahead);
        codes.values(count, 1);
        codes.zeros(behind);
    } else {
        codes.values(found.value, ahead);
        codes.values(count, 1);
        codes.values(found.value, behind);
    }
    if codes.len > found.size && text.len() + codes.len - found.size > sparse_max {
        return Ok(Raised::NoRoom);
    }
    text.splice(at, found.size, &[&codes.bytes[..codes.len]]);
    join(text, before);
    Ok(Raised::Yes)
}

/// Joins neighbouring runs of the same value, from `at` on.
fn join(text: &mut Thin<()>, mut at: usize) {
    for _ in 0..JOIN_WINDOW {
        let codes = &text.bytes()[at..];
        let Some(this) = run(codes) else { return };
        let next = run(&codes[this.size..]);
        match next {
            Some(next)
                if this.value > 0 && next.value == this.value && this.len + next.len <= VALUE_RUN_MAX =>
            {
                let mut joined = Codes::default();
                joined.values(this.value, this.len + next.len);
                text.splice(at, 2, &[&joined.bytes[..joined.len]]);
            }
            _ => at += this.size,
        }
    }
}

/// The codes in words, as PFDEBUG DECODE prints them.
pub(crate) fn describe(text: &[u8]) -> String {
    let mut words = Vec::new();
    let mut rest = &text[HEADER..];
    while let Some(Run { len, value, size }) = run(rest) {
        words.push(match (value, size) {
            (0, 1) => format!("z:{len}"),
            (0, _) => format!("Z:{len}"),
            _ => format!("v:{value},{len}"),
        });
        rest = &rest[size..];
    }
    words.join(" ")
}
