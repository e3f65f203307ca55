//! A hash as clients see it: without the fields whose dates have passed.
//!
//! Such fields are hidden from their date on, to the millisecond; when they are removed is another matter. Only
//! [`LiveHash::len`] counts them, as HLEN of Redis and Valkey does, which must not take longer for a larger hash.

use super::{Hash, TextPair};
use crate::types::text::{Scalar, Text};

/// Draws before a random field is chosen in another way, because too many are hidden.
const SAMPLE_TRIES: usize = 16;

/// A look at a hash at a certain time.
#[derive(Clone, Copy)]
pub(crate) struct LiveHash<'a> {
    hash: &'a Hash,
    /// Dates before this one have passed.
    horizon: u64,
}

impl<'a> LiveHash<'a> {
    pub(crate) fn new(hash: &'a Hash, horizon: u64) -> Self {
        Self { hash, horizon }
    }

    fn shows(self, date: Option<u64>) -> bool {
        date.is_none_or(|date| date >= self.horizon)
    }

    /// Whether any field is hidden.
    pub(crate) fn hides_fields(self) -> bool {
        self.hash.next_date().is_some_and(|date| date < self.horizon)
    }

    /// How many fields there are, hidden ones included.
    pub(crate) fn len(self) -> usize {
        self.hash.len()
    }

    /// How many fields a client sees.
    pub(crate) fn visible(self) -> usize {
        if self.hides_fields() { self.iter().count() } else { self.hash.len() }
    }

    /// The value of `field`.
    pub(crate) fn get(self, field: &[u8]) -> Option<Text<'a>> {
        self.find(field).map(|(value, _)| value)
    }

    /// The value of `field`, and its date.
    pub(crate) fn find(self, field: &[u8]) -> Option<(Text<'a>, Option<u64>)> {
        self.hash.find(field).filter(|&(_, date)| self.shows(date))
    }

    /// The fields with their values.
    pub(crate) fn iter(self) -> Box<dyn Iterator<Item = TextPair<'a>> + 'a> {
        if !self.hides_fields() {
            return self.hash.iter();
        }
        let shown = self.hash.iter_dated().filter(move |&(_, _, date)| self.shows(date));
        Box::new(shown.map(|(field, value, _)| (field, value)))
    }

    /// Visits the fields with their values, as they are stored.
    #[inline]
    pub(crate) fn for_each_scalar(self, mut visit: impl FnMut(Scalar<'a>, Scalar<'a>)) {
        match self.hash {
            Hash::Packed(pack) => {
                let mut elements = pack.iter();
                while let (Some(field), Some(value)) = (elements.next(), elements.next()) {
                    visit(field.scalar(), value.scalar());
                }
            }
            Hash::Table(_) | Hash::Dated(_) => {
                self.iter().for_each(|(field, value)| visit(field.scalar(), value.scalar()));
            }
        }
    }

    /// Visits the fields at `position` of a walk; see [`Hash::walk`].
    pub(crate) fn walk(self, position: u64, mut visit: impl FnMut(Text<'a>, Text<'a>)) -> Option<u64> {
        self.hash.walk(position, |(field, value, date)| {
            if self.shows(date) {
                visit(field, value);
            }
        })
    }

    /// A field chosen with equal chances for all.
    pub(crate) fn sample(self, rng: &mut fastrand::Rng) -> Option<TextPair<'a>> {
        if !self.hides_fields() {
            return self.hash.sample(rng);
        }
        let is_shown = |(field, _): &TextPair<'_>| !self.hash.is_due(field, self.horizon);
        let drawn = (0..SAMPLE_TRIES).find_map(|_| self.hash.sample(rng).filter(is_shown));
        drawn.or_else(|| {
            let count = self.iter().count();
            let chosen = rng.usize(..count.max(1));
            self.iter().nth(chosen)
        })
    }
}
