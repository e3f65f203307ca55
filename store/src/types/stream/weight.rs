//! What elements weigh in a listpack of Redis, in bytes: decides when a node is full.

use super::id::StreamId;
use crate::number::parse_i64;

/// Header and end of a listpack.
pub(crate) const EMPTY: usize = 7;

/// An element of `len` bytes with the length behind it that lets Redis walk backwards.
fn with_back_length(len: usize) -> usize {
    len + match len {
        0..=127 => 1,
        128..=16382 => 2,
        16383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// An integer.
pub(super) fn integer(value: i64) -> usize {
    with_back_length(match value {
        0..=127 => 1,
        -4096..=4095 => 2,
        -32_768..=32_767 => 3,
        -8_388_608..=8_388_607 => 4,
        -2_147_483_648..=2_147_483_647 => 5,
        _ => 9,
    })
}

/// A text, kept as an integer if it is one.
pub(crate) fn text(text: &[u8]) -> usize {
    match parse_i64(text) {
        Some(value) => integer(value),
        None => with_back_length(match text.len() {
            len @ 0..=63 => 1 + len,
            len @ 64..=4095 => 2 + len,
            len => 5 + len,
        }),
    }
}

/// An entry without its names and values: flags, ID, number of fields, number of elements.
pub(super) fn entry(master: StreamId, id: StreamId, fields: usize, same_names: bool) -> usize {
    let ms = integer(id.ms.wrapping_sub(master.ms) as i64);
    let seq = integer(id.seq.wrapping_sub(master.seq) as i64);
    let fields = fields as i64;
    let rest = if same_names { integer(fields + 3) } else { integer(fields) + integer(2 * fields + 4) };
    integer(0) + ms + seq + rest
}
