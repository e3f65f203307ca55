//! Ranges of indices, scores and members, as clients write them.

use crate::command::Fault;
use crate::number::parse_range_end;
use crate::types::zset::{LexBound, ScoreBound};

/// The indices from `start` to `stop`, both included, of `len` elements; negative ones count from the end.
pub(super) fn index_range(start: i64, stop: i64, len: usize) -> std::ops::Range<usize> {
    let len = len as i64;
    let from_end = |index: i64| if index < 0 { index.saturating_add(len) } else { index };
    let (start, stop) = (from_end(start).max(0), from_end(stop).min(len - 1));
    if start > stop || start >= len { 0..0 } else { start as usize..stop as usize + 1 }
}

/// An end of a range of scores: a number, `(` before it to leave it out, or an infinity.
pub(super) fn score_bound(text: &[u8]) -> Result<ScoreBound, Fault> {
    let (exclusive, number) = match text {
        [b'(', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let score = parse_range_end(number).ok_or(Fault::RangeNotFloat)?;
    Ok(ScoreBound { score, exclusive })
}

/// An end of a range of members: `[` or `(` and a member, `-` or `+`.
pub(super) fn lex_bound(text: &[u8]) -> Result<LexBound<'_>, Fault> {
    match text {
        [b'-'] => Ok(LexBound::Min),
        [b'+'] => Ok(LexBound::Max),
        [b'[', member @ ..] => Ok(LexBound::Inclusive(member)),
        [b'(', member @ ..] => Ok(LexBound::Exclusive(member)),
        _ => Err(Fault::RangeNotLex),
    }
}
