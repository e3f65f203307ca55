//! The dates of the fields of a large hash, the next one first.
//!
//! One word for each date and each stretch of the table that has fields with it: 44 bits of the date, and the first 20
//! bits of the hash under which such fields stand in the table. A million fields with the same date take a word for
//! each stretch, and a field with a date of its own takes one word.
//! Law: a word is here if and only if some field of the table has this date and stands in this stretch.

use std::collections::BTreeSet;

use super::field::{Field, FieldRef};
use crate::table::{Keyed, Table};

const STRETCH_BITS: u32 = 20;
/// The first date that is too late to wait for, in the year 2527: such fields are there until somebody removes them.
const NEVER: u64 = (1 << (64 - STRETCH_BITS)) - 1;

/// The dates of the fields of one table.
#[derive(Default)]
pub(super) struct Dates(BTreeSet<u64>);

fn word(date: u64, hash: u64) -> u64 {
    date.min(NEVER) << STRETCH_BITS | hash >> (u64::BITS - STRETCH_BITS)
}

fn date_of(word: u64) -> u64 {
    word >> STRETCH_BITS
}

/// Visits the fields of the table that belong to a word, until `visit` says that this is enough.
fn visit_fields<'a>(table: &'a Table<Field>, wanted: u64, mut visit: impl FnMut(FieldRef<'a>) -> bool) {
    let first = wanted << (u64::BITS - STRETCH_BITS);
    let last = first | u64::MAX >> STRETCH_BITS;
    let (mut position, mut enough) = (Some(first), false);
    while let Some(at) = position.filter(|&at| at <= last && !enough) {
        position = table.walk(at, |field: FieldRef<'a>| {
            let belongs = |date| word(date, table.hash(field.key())) == wanted;
            if !enough && field.date().is_some_and(belongs) {
                enough = !visit(field);
            }
        });
    }
}

impl Dates {
    /// Notes that a field has a date.
    pub(super) fn add(&mut self, date: u64, hash: u64) {
        self.0.insert(word(date, hash));
    }

    /// Notes that a field does not have this date any more; the table knows that already.
    pub(super) fn remove(&mut self, date: u64, hash: u64, table: &Table<Field>) {
        let word = word(date, hash);
        let mut shared = false;
        visit_fields(table, word, |_| {
            shared = true;
            false
        });
        if !shared {
            self.0.remove(&word);
        }
    }

    /// The next date on which a field is gone.
    pub(super) fn next(&self) -> Option<u64> {
        self.0.first().map(|&word| date_of(word)).filter(|&date| date < NEVER)
    }

    /// Up to `limit` fields whose dates lie before `horizon`, the earliest first.
    pub(super) fn due(&self, table: &Table<Field>, horizon: u64, limit: usize) -> Vec<Box<[u8]>> {
        let mut due = Vec::new();
        for &word in self.0.iter().take_while(|&&word| date_of(word) < horizon.min(NEVER)) {
            visit_fields(table, word, |field| {
                due.push(field.key().into());
                due.len() < limit
            });
            if due.len() >= limit {
                break;
            }
        }
        due
    }

    /// Bytes taken from the allocator.
    pub(super) fn footprint(&self) -> usize {
        // A B-tree of the standard library is about three quarters full.
        self.0.len() * size_of::<u64>() * 4 / 3
    }
}
