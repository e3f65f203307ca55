//! Sets of integers as Redis keeps them: width u32 (2, 4 or 8), count u32, integers in ascending order.

use super::content::sign_extended;
use super::fault::Flaw;
use crate::types::intset::IntSet;

const HEADER: usize = 8;

/// Appends the form of a set.
pub(super) fn write(set: &IntSet, out: &mut Vec<u8>) {
    let (width, integers) = set.raw();
    out.extend_from_slice(&width.to_le_bytes());
    out.extend_from_slice(&(set.len() as u32).to_le_bytes());
    out.extend_from_slice(integers);
}

/// The integers of a set in this form.
pub(super) fn read(bytes: &[u8]) -> Result<impl ExactSizeIterator<Item = i64>, Flaw> {
    let (header, integers) = bytes.split_at_checked(HEADER).ok_or("it has no header")?;
    let word =
        |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize;
    let (width, count) = (word(0), word(4));
    if ![2, 4, 8].contains(&width) {
        return Err("an unknown width");
    }
    if count == 0 {
        return Err("it is empty");
    }
    if count.checked_mul(width) != Some(integers.len()) {
        return Err("it is not as long as it says");
    }
    let all = || integers.chunks_exact(width).map(sign_extended);
    if all().zip(all().skip(1)).any(|(one, next)| one >= next) {
        return Err("its integers do not ascend");
    }
    Ok(all())
}
