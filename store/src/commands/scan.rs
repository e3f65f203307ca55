//! Walking with a cursor: SCAN, HSCAN, SSCAN, ZSCAN.
//!
//! A cursor is the first 48 bits of the position in the order of hashes, so it stays exact in a JavaScript number. The
//! promise (what stays is returned) is the table's; see [`crate::table`].

use super::prelude::*;
use crate::glob;
use crate::limits::SCAN_EMPTY_FACTOR;

const CURSOR_SHIFT: u32 = 16;

/// Walks bucket by bucket from a cursor until about `count` elements were seen or a bound is reached; `step` visits a
/// position, and returns where it goes on and how many elements it saw. Returns the new cursor, 0 at the end. A cursor
/// that never came from here walks somewhere, but never fails.
pub(crate) fn walk(cursor: u64, count: usize, mut step: impl FnMut(u64) -> (Option<u64>, usize)) -> u64 {
    let mut position = cursor << CURSOR_SHIFT;
    let mut seen = 0;
    for _ in 0..count.saturating_mul(SCAN_EMPTY_FACTOR) {
        let (next, elements) = step(position);
        seen += elements;
        match next {
            None => return 0,
            Some(next) => position = next,
        }
        if seen >= count {
            break;
        }
    }
    position >> CURSOR_SHIFT
}

/// The arguments of a walk.
pub(super) struct Walk<'a> {
    cursor: u64,
    count: usize,
    pattern: Option<&'a [u8]>,
    /// TYPE of SCAN.
    pub(super) kind: Option<&'a [u8]>,
    /// NOVALUES of HSCAN, NOSCORES of ZSCAN.
    pub(super) bare: bool,
}

/// Reads a cursor as `strtoul` does: nothing is 0, and a minus sign counts down from 2^64.
fn cursor(text: &[u8]) -> Option<u64> {
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    let (negative, digits) = match text {
        [] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let number: u64 = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?.parse().ok()?;
    Some(if negative { number.wrapping_neg() } else { number })
}

impl<'a> Walk<'a> {
    /// Reads the cursor; it comes before the key is looked at.
    pub(super) fn cursor(args: &mut Args<'a>) -> Result<Self, Fault> {
        let cursor = cursor(args.bytes()?).ok_or(Fault::InvalidCursor)?;
        Ok(Self { cursor, count: 10, pattern: None, kind: None, bare: false })
    }

    /// Reads the options; `bare` is the word that leaves values out, if the command has one.
    pub(super) fn options(
        &mut self,
        args: &mut Args<'a>,
        typed: bool,
        bare: Option<&str>,
    ) -> Result<(), Fault> {
        while args.left() > 0 {
            let word = args.bytes()?;
            if is_word(word, "COUNT") && args.left() > 0 {
                self.count =
                    args.integer()?.try_into().ok().filter(|&count| count > 0).ok_or(Fault::Syntax)?;
            } else if is_word(word, "MATCH") && args.left() > 0 {
                self.pattern = Some(args.bytes()?).filter(|pattern| *pattern != b"*");
            } else if typed && is_word(word, "TYPE") && args.left() > 0 {
                self.kind = Some(args.bytes()?);
            } else if bare.is_some_and(|bare| is_word(word, bare)) {
                self.bare = true;
            } else {
                return Err(Fault::Syntax);
            }
        }
        Ok(())
    }

    /// Whether an element passes MATCH.
    pub(super) fn accepts(&self, element: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, element))
    }

    /// Walks; see [`walk`].
    pub(super) fn run(&self, step: impl FnMut(u64) -> (Option<u64>, usize)) -> u64 {
        walk(self.cursor, self.count, step)
    }

    /// Replies with a cursor and the elements, which are `pieces` strings each.
    pub(super) fn reply(cursor: u64, elements: &[Vec<u8>], reply: &mut Reply<'_>) {
        reply.array(2);
        reply.bulk(cursor.to_string().as_bytes());
        reply.array(elements.len());
        elements.iter().for_each(|element| reply.bulk(element));
    }

    /// The reply of a walk over nothing.
    pub(super) fn reply_empty(reply: &mut Reply<'_>) {
        Self::reply(0, &[], reply);
    }
}
