//! Writing values of very many elements, a part at a time.
//!
//! Law: as long as a value does not change, the parts make up what was there when the first one was written. The
//! forms are those of which only the number of elements has to be known before: lists element by element, texts as they
//! are, without compression.
//! Not here: what happens when the value changes in between (`keyspace/walk.rs`).

use super::{Output, types};
use crate::keyspace::View;
use crate::limits::{HUGE_ELEMENTS, HUGE_TEXT};
use crate::types::hash::Hash;
use crate::types::set::Set;
use crate::types::zset::Zset;

/// How far a value is written, without its type and its key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Progress {
    /// Bytes of a text.
    Text(usize),
    /// Elements of a list.
    List(usize),
    /// The position of a walk over a set.
    Set(u64),
    /// The position of a walk over a hash, and the smallest date of its fields.
    Hash(u64, Option<u64>),
    /// Members of a sorted set that are left, the greatest of them next.
    Zset(usize),
}

/// Whether a value is to be written a part at a time.
pub(crate) fn is_huge(view: View<'_>) -> bool {
    match view {
        View::Raw(text) => text.len() > HUGE_TEXT,
        View::List(list) => list.len() > HUGE_ELEMENTS,
        View::Set(Set::Table(members)) => members.len() > HUGE_ELEMENTS,
        View::Hash(hash @ (Hash::Table(_) | Hash::Dated(_))) => hash.len() > HUGE_ELEMENTS,
        View::Zset(zset @ Zset::Large(_)) => zset.len() > HUGE_ELEMENTS,
        _ => false,
    }
}

/// What the byte before a huge value says.
pub(super) fn type_of(view: View<'_>) -> u8 {
    match view {
        View::List(_) => types::LIST,
        other => super::encode::type_of(other),
    }
}

/// Writes what stands before the elements of a huge value.
pub(super) fn begin(view: View<'_>, out: &mut Output) -> Option<Progress> {
    let (count, progress) = match view {
        View::Raw(text) => (text.len(), Progress::Text(0)),
        View::List(list) => (list.len(), Progress::List(0)),
        View::Set(set) => (set.len(), Progress::Set(0)),
        View::Hash(hash) => {
            let smallest = hash.next_date();
            if let Some(smallest) = smallest {
                out.time(smallest);
            }
            (hash.len(), Progress::Hash(0, smallest))
        }
        View::Zset(zset) => (zset.len(), Progress::Zset(zset.len())),
        View::Inline(_) | View::Integer(_) | View::Stream(_) => return None,
    };
    out.count(count);
    Some(progress)
}

/// Writes about so many elements, or a part of a text; nothing is left if nothing is returned.
pub(super) fn go_on(
    view: View<'_>,
    progress: Progress,
    elements: usize,
    out: &mut Output,
) -> Option<Progress> {
    match (view, progress) {
        (View::Raw(text), Progress::Text(at)) => {
            let end = at.saturating_add(elements.saturating_mul(TEXT_PER_ELEMENT)).min(text.len());
            out.raw(&text.bytes()[at..end]);
            (end < text.len()).then_some(Progress::Text(end))
        }
        (View::List(list), Progress::List(at)) => {
            list.iter_from(at).take(elements).for_each(|element| out.string(&element));
            let end = at.saturating_add(elements);
            (end < list.len()).then_some(Progress::List(end))
        }
        (View::Set(set), Progress::Set(position)) => walk(position, elements, |position, seen| {
            set.walk(position, |member| {
                out.string(&member);
                *seen += 1;
            })
        })
        .map(Progress::Set),
        (View::Hash(hash), Progress::Hash(position, smallest)) => {
            walk(position, elements, |position, seen| {
                hash.walk(position, |(field, value, date)| {
                    if let Some(smallest) = smallest {
                        out.length(date.map_or(0, |date| date.saturating_sub(smallest) + 1));
                    }
                    out.string(&field);
                    out.string(&value);
                    *seen += 1;
                })
            })
            .map(|position| Progress::Hash(position, smallest))
        }
        (View::Zset(zset), Progress::Zset(left)) => {
            let last = left.checked_sub(1)?;
            for (member, score) in zset.iter_back_from(last).take(elements) {
                out.string(&member);
                out.raw(&score.to_le_bytes());
            }
            let left = left.saturating_sub(elements);
            (left > 0).then_some(Progress::Zset(left))
        }
        // A value has one type as long as nobody changes it.
        _ => None,
    }
}

/// How many bytes of a text count as one element.
const TEXT_PER_ELEMENT: usize = 512;

/// Takes steps of a walk over a table until enough was seen; returns where it goes on.
pub(super) fn walk(
    position: u64,
    elements: usize,
    mut step: impl FnMut(u64, &mut usize) -> Option<u64>,
) -> Option<u64> {
    let (mut position, mut seen) = (position, 0);
    while seen < elements {
        position = step(position, &mut seen)?;
        // A bucket with nothing in it costs time, too.
        seen += 1;
    }
    Some(position)
}
