//! A line: things in order, for what comes at the end and leaves at the front.
//!
//! Ready jobs, deadlines and finished jobs come about in the order of time, nearly always. Blocks of sorted things make
//! that a write behind the last one, and cost half the memory of a tree. Anything else is a search, and a move within
//! one block.

use std::collections::VecDeque;
use std::fmt;

/// Things of one block.
const BLOCK_MAX: usize = 128;

/// Things in order, none of them twice.
#[derive(Clone)]
pub(crate) struct Line<T> {
    /// None is empty or holds more than [`BLOCK_MAX`], and what is in one comes before what is in the next.
    blocks: VecDeque<VecDeque<T>>,
    len: usize,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { blocks: VecDeque::new(), len: 0 }
    }
}

impl<T: Copy + Ord> Line<T> {
    /// How many things there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first thing.
    pub(crate) fn first(&self) -> Option<T> {
        self.blocks.front()?.front().copied()
    }

    /// All things.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flatten()
    }

    /// Puts a thing in its place, unless it is there.
    pub(crate) fn insert(&mut self, thing: T) {
        let last = self.blocks.back_mut();
        match last {
            Some(last) if last.back() >= Some(&thing) => self.insert_inside(thing),
            Some(last) if last.len() < BLOCK_MAX => {
                last.push_back(thing);
                self.len += 1;
            }
            _ => {
                self.blocks.push_back(VecDeque::from([thing]));
                self.len += 1;
            }
        }
    }

    /// Puts a thing in its place, which is not the end.
    fn insert_inside(&mut self, thing: T) {
        let mut number = self.block_of(thing);
        let Err(mut at) = self.blocks[number].binary_search(&thing) else { return };
        if self.blocks[number].len() == BLOCK_MAX {
            let second = self.blocks[number].split_off(BLOCK_MAX / 2);
            self.blocks.insert(number + 1, second);
            if at > BLOCK_MAX / 2 {
                (number, at) = (number + 1, at - BLOCK_MAX / 2);
            }
        }
        self.blocks[number].insert(at, thing);
        self.len += 1;
    }

    /// The number of the block where a thing is, or would be if it is not the last one of all.
    fn block_of(&self, thing: T) -> usize {
        self.blocks.partition_point(|block| block.back() < Some(&thing))
    }

    /// Takes the first thing.
    pub(crate) fn pop_first(&mut self) -> Option<T> {
        let block = self.blocks.front_mut()?;
        let first = block.pop_front();
        if block.is_empty() {
            self.blocks.pop_front();
        }
        self.len -= 1;
        first
    }

    /// Takes a thing out; says whether it was there.
    pub(crate) fn remove(&mut self, thing: T) -> bool {
        if self.first() == Some(thing) {
            self.pop_first();
            return true;
        }
        let number = self.block_of(thing);
        let Some(block) = self.blocks.get_mut(number) else { return false };
        let Ok(at) = block.binary_search(&thing) else { return false };
        block.remove(at);
        self.len -= 1;
        self.merge(number);
        true
    }

    /// Joins a block of which little is left with the next one, so that a line with holes does not stay as large as it
    /// was.
    fn merge(&mut self, number: usize) {
        if self.blocks[number].is_empty() {
            self.blocks.remove(number);
            return;
        }
        let next = self.blocks.get(number + 1).map_or(BLOCK_MAX, VecDeque::len);
        if self.blocks[number].len() + next <= BLOCK_MAX / 2
            && let Some(mut next) = self.blocks.remove(number + 1)
        {
            self.blocks[number].append(&mut next);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Line<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.blocks.iter().flatten()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Random moves at the front, at the end and in between, side by side with a tree.
    #[test]
    fn a_line_is_an_ordered_set() {
        let mut rng = fastrand::Rng::with_seed(3);
        for span in [10, 1000, 100_000_u64] {
            let (mut line, mut tree, mut newest) = (Line::default(), BTreeSet::new(), span);
            for step in 0..20_000 {
                // Now it grows, now it shrinks.
                let grows = step / 4000 % 2 == 0;
                match rng.u32(..10) {
                    0..4 if grows => {
                        newest += rng.u64(..3);
                        line.insert(newest);
                        tree.insert(newest);
                    }
                    0..2 => assert_eq!(line.pop_first(), tree.pop_first()),
                    2..6 => {
                        let thing = newest - rng.u64(..span);
                        assert_eq!(line.remove(thing), tree.remove(&thing));
                    }
                    _ if grows => {
                        let thing = newest - rng.u64(..span);
                        line.insert(thing);
                        tree.insert(thing);
                    }
                    _ => {
                        let thing = tree.range(newest - rng.u64(..span)..).next().copied().unwrap_or(0);
                        assert_eq!(line.remove(thing), tree.remove(&thing));
                    }
                }
                assert_eq!((line.len(), line.first()), (tree.len(), tree.first().copied()));
            }
            assert!(line.iter().eq(&tree));
            assert!(line.blocks.iter().all(|block| (1..=BLOCK_MAX).contains(&block.len())));
            while let Some(first) = tree.pop_first() {
                assert!(line.remove(first));
            }
            assert!(line.is_empty() && line.blocks.is_empty());
        }
    }
}
