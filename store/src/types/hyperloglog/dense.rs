//! Dense registers: 6 bits each, the first in the low bits of the first byte.

use super::{Histogram, REGISTERS};

const WIDTH: usize = 6;
const MAX: u16 = (1 << WIDTH) - 1;

/// What all registers take.
pub(super) const BYTES: usize = REGISTERS * WIDTH / 8;

/// The two bytes a register lies in, and where it begins in them; the last register lies in one.
fn window(registers: &[u8], index: usize) -> (u16, usize, usize) {
    let (at, shift) = (index * WIDTH / 8, index * WIDTH % 8);
    let next = registers.get(at + 1).copied().unwrap_or(0);
    (u16::from_le_bytes([registers[at], next]), at, shift)
}

/// The value of a register.
pub(super) fn get(registers: &[u8], index: usize) -> u8 {
    let (pair, _, shift) = window(registers, index);
    (pair >> shift & MAX) as u8
}

/// Sets a register.
pub(super) fn set(registers: &mut [u8], index: usize, value: u8) {
    let (pair, at, shift) = window(registers, index);
    let pair = pair & !(MAX << shift) | u16::from(value) << shift;
    let [low, high] = pair.to_le_bytes();
    registers[at] = low;
    if let Some(next) = registers.get_mut(at + 1) {
        *next = high;
    }
}

/// Raises a register to `count` if it is below; says whether it was.
pub(super) fn raise(registers: &mut [u8], index: usize, count: u8) -> bool {
    let below = get(registers, index) < count;
    if below {
        set(registers, index, count);
    }
    below
}

/// Counts the values of all registers.
pub(super) fn histogram(registers: &[u8], histogram: &mut Histogram) {
    // Four registers fill three bytes.
    let (groups, _) = registers.as_chunks::<3>();
    for [a, b, c] in groups {
        let four = u32::from_le_bytes([*a, *b, *c, 0]);
        for shift in [0, 6, 12, 18] {
            histogram[(four >> shift & u32::from(MAX)) as usize] += 1;
        }
    }
}
