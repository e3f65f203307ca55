//! What a table was at one instant, kept while it changes, and read in steps.
//!
//! Law: the same as that of a walk over the keyspace (`keyspace/walk.rs`), once more within one value. Before the first
//! change at a hash that the walk has not reached, the items there are copied, and the hash is noted, so that the walk
//! passes over it. So each item of the instant is visited exactly once, and nothing else is.
//! Not here: what becomes of the items (the visitor's).

use std::collections::BTreeSet;

use super::segment::Segment;
use super::{Item, Keyed, Table};
use crate::hash::HashKey;
use crate::waiting::{Leftover, Waiting};

/// How far the items of an instant were visited, and those that changed before.
pub(super) struct Kept<T: Item> {
    /// The first hash that was not reached; nothing at the end.
    position: Option<u64>,
    /// Hashes ahead that the walk passes over. Ordered, because a table would stall the daemon when it grows.
    noted: BTreeSet<u64>,
    /// Items as they were.
    copies: Vec<T>,
    copy: fn(T::Ref<'_>) -> T,
    size: fn(T::Ref<'_>) -> usize,
    waiting: Waiting,
}

impl<T: Item> Kept<T> {
    /// Copies what is at a hash, unless the walk was there.
    pub(super) fn before_change(&mut self, segment: &Segment, key: HashKey, hash: u64) {
        if self.position.is_none_or(|position| hash < position) || !self.noted.insert(hash) {
            return;
        }
        segment.for_hash::<T>(key, hash, |item| {
            self.waiting.add((self.size)(item));
            self.copies.push((self.copy)(item));
        });
    }
}

impl<T: Item> Table<T> {
    /// From now on the items are kept as they are, from a position of a walk on, until [`Self::walk_kept`] has visited
    /// all of them.
    pub(crate) fn keep_from(
        &mut self,
        position: u64,
        copy: fn(T::Ref<'_>) -> T,
        size: fn(T::Ref<'_>) -> usize,
        waiting: &Waiting,
    ) {
        self.kept = Some(Box::new(Kept {
            position: Some(position),
            noted: BTreeSet::new(),
            copies: Vec::new(),
            copy,
            size,
            waiting: waiting.another(),
        }));
    }

    /// Visits about so many of the items that are kept, buckets counted likewise. Says whether any may be left.
    pub(crate) fn walk_kept(&mut self, count: usize, mut visit: impl FnMut(T::Ref<'_>)) -> bool {
        let Some(mut kept) = self.kept.take() else { return false };
        let mut seen = 0;
        while seen < count {
            seen += 1;
            if let Some(item) = kept.copies.pop() {
                kept.waiting.subtract((kept.size)(item.view()));
                visit(item.view());
                continue;
            }
            let Some(position) = kept.position else { return false };
            let noted = &mut kept.noted;
            kept.position = self.walk(position, |item| {
                seen += 1;
                // A bucket that was merged since may begin before the position.
                let hash = self.hash(item.key());
                if hash >= position && !noted.contains(&hash) {
                    visit(item);
                }
            });
            let is_behind = |hash: &u64| kept.position.is_none_or(|position| *hash < position);
            while noted.first().is_some_and(is_behind) {
                noted.pop_first();
            }
        }
        self.kept = Some(kept);
        true
    }

    /// Keeps nothing any longer; what it kept is returned.
    pub(crate) fn let_go(&mut self) -> Option<Leftover>
    where
        T: Send + Sync,
    {
        self.kept.take().map(|kept| kept as Leftover)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::table::thin_item;
    use crate::thin::{Thin, ThinRef};

    /// A name with a number that changes.
    struct Item(Thin<u32>);
    #[derive(Clone, Copy)]
    struct ItemRef<'a>(ThinRef<'a, u32>);
    impl<'a> Keyed<'a> for ItemRef<'a> {
        fn key(self) -> &'a [u8] {
            self.0.bytes()
        }
    }
    thin_item!(Item(Thin<u32>), ItemRef);

    fn set(table: &mut Table<Item>, name: &str, number: u32) {
        let (name, hash) = (name.as_bytes(), table.hash(name.as_bytes()));
        match table.find_mut(hash, name) {
            Some(mut found) => found.update(|item| item.0.set_head(number)),
            None => table.insert_new(hash, Item(Thin::new(number, name))),
        }
    }

    fn content(table: &Table<Item>) -> BTreeMap<Vec<u8>, u32> {
        table.iter().map(|item| (item.key().to_vec(), item.0.head())).collect()
    }

    /// Items change, come and go, so that the table grows and shrinks, while the one of the instant is read.
    #[test]
    fn keeps_what_it_was() {
        let count = if cfg!(miri) { 100 } else { 3000 };
        for seed in 0..if cfg!(miri) { 2 } else { 40 } {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut table = Table::new(HashKey::new(1, seed));
            (0..count).for_each(|n| set(&mut table, &format!("name:{n}"), n));
            let (mut wanted, waiting, mut read) = (content(&table), Waiting::default(), BTreeMap::new());
            // A part of it was read before.
            let mut position = 0;
            for _ in 0..rng.u32(..8) {
                let next = table.walk(position, |item| {
                    wanted.remove(item.key());
                });
                position = next.unwrap();
            }
            table.keep_from(
                position,
                |item| Item(Thin::new(item.0.head(), item.key())),
                |item| item.footprint(),
                &waiting,
            );
            let mut is_left = true;
            while is_left {
                for _ in 0..rng.u32(..100) {
                    let name = format!("name:{}", rng.u32(..2 * count));
                    match rng.u8(..3) {
                        0 => drop(table.remove(table.hash(name.as_bytes()), name.as_bytes())),
                        _ => set(&mut table, &name, rng.u32(..)),
                    }
                }
                is_left = table.walk_kept(rng.usize(1..60), |item| {
                    let twice = read.insert(item.key().to_vec(), item.0.head());
                    assert_eq!(twice, None, "each is read once");
                });
            }
            assert_eq!(read, wanted, "seed {seed}");
            assert_eq!((table.kept.is_none(), waiting.sum()), (true, 0));
        }
    }
}
