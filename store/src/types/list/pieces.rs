//! What a list was at one instant, kept while it changes, and read from the left in steps.
//!
//! The list is described as a row of pieces, in the order of the instant: elements that are there still, elements that
//! were taken out since, and between them those that are none of its business, because they are new or were read.
//! Whatever is done to the list, at its ends or in its middle, is a change of few pieces.
//! Law: an element is taken into a piece before it leaves the list.

use std::collections::VecDeque;

use super::Place;
use crate::types::text::{KeptText, Text};
use crate::waiting::Waiting;

/// The pieces of a list.
pub(super) struct Pieces {
    row: VecDeque<Piece>,
    /// In front of what is read next.
    pub(super) place: Place,
    waiting: Waiting,
}

enum Piece {
    /// So many elements of the list are of no interest.
    Other(usize),
    /// So many elements of the list are of the instant.
    There(usize),
    /// Elements of the instant that have left the list.
    Taken(VecDeque<KeptText>),
}

/// What is read next.
pub(super) enum Next {
    /// An element that has left the list.
    Taken(KeptText),
    /// Elements of the list: the first one, and how many there are at most.
    There(usize, usize),
}

impl Piece {
    /// How many elements of the list it describes.
    fn len(&self) -> usize {
        match self {
            Self::Other(count) | Self::There(count) => *count,
            Self::Taken(_) => 0,
        }
    }

    /// Makes one piece of two neighbours that are of one kind.
    fn join(self, next: Self) -> Result<Self, (Self, Self)> {
        match (self, next) {
            (Self::Other(a), Self::Other(b)) => Ok(Self::Other(a + b)),
            (Self::There(a), Self::There(b)) => Ok(Self::There(a + b)),
            (Self::Taken(a), Self::Taken(b)) => Ok(Self::Taken(joined(a, b))),
            different => Err(different),
        }
    }
}

/// One behind the other; the shorter one is moved, so that many small steps stay cheap.
fn joined(mut a: VecDeque<KeptText>, mut b: VecDeque<KeptText>) -> VecDeque<KeptText> {
    if a.len() < b.len() {
        a.into_iter().rev().for_each(|element| b.push_front(element));
        b
    } else {
        a.append(&mut b);
        a
    }
}

impl Pieces {
    /// All elements from `read` on are of interest.
    pub(super) fn new(read: usize, len: usize, waiting: &Waiting) -> Self {
        let read = read.min(len);
        let row = VecDeque::from([Piece::Other(read), Piece::There(len - read)]);
        Self { row, place: Place::default(), waiting: waiting.another() }
    }

    /// Where in the row the element `index` of the list begins, which has `len` of them; a piece is divided there.
    fn boundary(&mut self, index: usize, len: usize) -> usize {
        let (mut at, mut start) = (0, 0);
        if index > len / 2 {
            (at, start) = (self.row.len(), len);
            while start > index {
                at -= 1;
                start -= self.row[at].len();
            }
        } else {
            while at < self.row.len() && start + self.row[at].len() <= index && start < index {
                start += self.row[at].len();
                at += 1;
            }
        }
        if start == index {
            return at;
        }
        let (first, second) = match self.row[at] {
            Piece::Other(count) => (Piece::Other(index - start), Piece::Other(count + start - index)),
            Piece::There(count) => (Piece::There(index - start), Piece::There(count + start - index)),
            Piece::Taken(_) => return at,
        };
        self.row[at] = first;
        self.row.insert(at + 1, second);
        at + 1
    }

    /// Joins the pieces on both sides of a boundary if they are of one kind.
    fn mend(&mut self, at: usize) {
        if at == 0 || at >= self.row.len() {
            return;
        }
        let (Some(second), Some(first)) = (self.row.remove(at), self.row.remove(at - 1)) else { return };
        match first.join(second) {
            Ok(both) => self.row.insert(at - 1, both),
            Err((first, second)) => {
                self.row.insert(at - 1, second);
                self.row.insert(at - 1, first);
            }
        }
    }

    /// New elements came into the list, which had `len` before, in front of `index`.
    pub(super) fn inserted(&mut self, index: usize, len: usize) {
        let at = self.boundary(index, len);
        self.row.insert(at, Piece::Other(1));
        self.mend(at + 1);
        self.mend(at);
    }

    /// Elements from `index` on are about to leave the list, which has `len` now.
    pub(super) fn before_removal<'a>(
        &mut self,
        index: usize,
        count: usize,
        len: usize,
        mut elements: impl Iterator<Item = Text<'a>>,
    ) {
        let from = self.boundary(index, len);
        let to = self.boundary(index + count, len);
        let mut taken = VecDeque::new();
        for piece in self.row.drain(from..to) {
            let more: VecDeque<_> = match piece {
                Piece::Taken(more) => more,
                Piece::There(count) => {
                    let more = elements.by_ref().take(count).map(|element| element.keep());
                    more.inspect(|element| self.waiting.add(element.len())).collect()
                }
                Piece::Other(count) => {
                    elements.by_ref().take(count).for_each(drop);
                    continue;
                }
            };
            taken = joined(taken, more);
        }
        if taken.is_empty() {
            self.mend(from);
        } else {
            self.row.insert(from, Piece::Taken(taken));
            self.mend(from + 1);
            self.mend(from);
        }
    }

    /// What is read next; of elements of the list, `limit` at most, which count as read then.
    pub(super) fn next(&mut self, limit: usize) -> Option<Next> {
        if !matches!(self.row.front(), Some(Piece::Other(_))) {
            self.row.push_front(Piece::Other(0));
        }
        let read = self.row[0].len();
        match self.row.get_mut(1)? {
            // It is the neighbour of such a piece.
            Piece::Other(_) => {
                self.mend(1);
                self.next(limit)
            }
            Piece::There(0) => {
                self.row.remove(1);
                self.next(limit)
            }
            Piece::There(left) => {
                let count = limit.min(*left);
                *left -= count;
                self.row[0] = Piece::Other(read + count);
                Some(Next::There(read, count))
            }
            Piece::Taken(taken) => match taken.pop_front() {
                Some(element) => {
                    self.waiting.subtract(element.len());
                    Some(Next::Taken(element))
                }
                None => {
                    self.row.remove(1);
                    self.next(limit)
                }
            },
        }
    }
}
