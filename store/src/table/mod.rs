//! The hash table under the keyspace and under every large hash, set and sorted set.
//!
//! Extendible hashing (Fagin et al., 1979) over buckets of one cache line:
//! - The directory maps the first bits of a hash to a segment, a segment its next bits to a bucket of eight tagged
//!   pointers. A look-up costs two cache misses: the bucket and the item.
//! - A full segment splits alone. There is no moment when the whole table moves, and memory grows in steps of 8 KiB.
//! - Items are ordered by their hash, whatever splits or merges happen. A position in a walk is a plain number; what
//!   stays in the table during a walk is visited by it (SCAN's promise), and a walk can say of any key whether it has
//!   been there already (what a snapshot asks).
//!
//! Not here: what an item is ([`Item`]), and memory layout and pointers ([`bucket`]).

mod bucket;
mod kept;
mod segment;

use std::marker::PhantomData;

use bucket::Slot;
pub(crate) use bucket::{Item, Keyed, thin_item};
use kept::Kept;
use segment::{Segment, top_bits};

use crate::hash::HashKey;
use crate::limits::TABLE_DEPTH_MAX;

/// Segments that are looked at to say how large a table is, at most.
const FOOTPRINT_SAMPLE: usize = 64;

/// A set of items with distinct keys.
pub(crate) struct Table<T: Item> {
    key: HashKey,
    /// Index of the segment for each value of the first `depth` bits of a hash.
    directory: Vec<u32>,
    depth: u32,
    segments: Vec<Segment>,
    len: usize,
    /// Longest chain of buckets there ever was: what makes sampling exact.
    chain_max: usize,
    /// What it was at the instant of a snapshot that is being written, if it changed since.
    kept: Option<Box<Kept<T>>>,
    owns: PhantomData<T>,
}

/// An item in its place, to be changed or replaced there.
pub(crate) struct Occupied<'a, T: Item> {
    slot: &'a mut Slot,
    item: PhantomData<T>,
}

impl<T: Item> Table<T> {
    /// An empty table whose hashes are keyed by `key`.
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            key,
            directory: vec![0],
            depth: 0,
            segments: vec![Segment::new(0, 0, 0)],
            len: 0,
            chain_max: 1,
            kept: None,
            owns: PhantomData,
        }
    }

    /// How many items there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The hash under which the other methods want `key`.
    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.key.hash(key)
    }

    #[inline]
    fn segment_of(&self, hash: u64) -> usize {
        self.directory[top_bits(hash, self.depth)] as usize
    }

    /// Asks the processor to load the bucket of `hash` while other work goes on.
    #[inline]
    pub(crate) fn prefetch_bucket(&self, hash: u64) {
        self.segments[self.segment_of(hash)].prefetch(hash);
    }

    /// Asks the processor to load the item that `hash` most likely means; its bucket should be loaded already.
    #[inline]
    pub(crate) fn prefetch_item(&self, hash: u64) {
        self.segments[self.segment_of(hash)].prefetch_item(hash);
    }

    /// The item with this key.
    #[inline]
    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<T::Ref<'_>> {
        let slot = self.segments[self.segment_of(hash)].find::<T>(hash, key)?;
        Some(slot.view::<T>())
    }

    /// Items at a hash, which is in this segment, are about to change.
    #[inline]
    fn before_change(&mut self, segment: usize, hash: u64) {
        if let Some(kept) = &mut self.kept {
            kept.before_change(&self.segments[segment], self.key, hash);
        }
    }

    /// The item with this key, to be changed.
    #[inline]
    pub(crate) fn find_mut(&mut self, hash: u64, key: &[u8]) -> Option<Occupied<'_, T>> {
        let at = self.segment_of(hash);
        self.before_change(at, hash);
        let slot = self.segments[at].find_mut::<T>(hash, key)?;
        Some(Occupied { slot, item: PhantomData })
    }

    /// Adds an item whose key, hashed as `hash`, is known to be absent.
    pub(crate) fn insert_new(&mut self, hash: u64, item: T) {
        debug_assert_eq!(hash, self.hash(item.view().key()));
        let mut at = self.segment_of(hash);
        self.before_change(at, hash);
        if self.segments[at].is_full() {
            self.grow(at);
            at = self.segment_of(hash);
        }
        let chain = self.segments[at].push(hash, Slot::own(item, hash));
        self.chain_max = self.chain_max.max(chain);
        self.len += 1;
    }

    /// Takes the item with this key out.
    pub(crate) fn remove(&mut self, hash: u64, key: &[u8]) -> Option<T> {
        let at = self.segment_of(hash);
        self.before_change(at, hash);
        let slot = self.segments[at].remove::<T>(hash, key)?;
        self.len -= 1;
        if self.segments[at].is_sparse() {
            self.shrink(at);
        }
        // SAFETY-free: the slot left the table just now, so this is the only owner.
        Some(slot.take())
    }

    /// Visits the items of the bucket at `position` and returns the position after it, `None` behind the last one.
    /// A walk begins at 0. Whatever changes in between, an item that stays is visited.
    pub(crate) fn walk<'a>(&'a self, position: u64, mut visit: impl FnMut(T::Ref<'a>)) -> Option<u64> {
        let segment = &self.segments[self.segment_of(position)];
        segment.for_bucket(position, |slot| visit(slot.view::<T>()));
        segment.position_after(position)
    }

    /// Visits the items that have exactly this hash: one, or none, unless hashes collide.
    pub(crate) fn with_hash<'a>(&'a self, hash: u64, visit: impl FnMut(T::Ref<'a>)) {
        self.segments[self.segment_of(hash)].for_hash::<T>(self.key, hash, visit);
    }

    /// All items, ordered by the first bits of their hashes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = T::Ref<'_>> {
        self.segments_in_order().flat_map(|segment| segment.slots()).map(|slot| slot.view::<T>())
    }

    fn segments_in_order(&self) -> impl Iterator<Item = &Segment> {
        let mut last = None;
        self.directory
            .iter()
            .filter(move |&&at| last.replace(at) != Some(at))
            .map(|&at| &self.segments[at as usize])
    }

    /// An item chosen with equal chances for all.
    pub(crate) fn sample(&self, rng: &mut fastrand::Rng) -> Option<T::Ref<'_>> {
        if self.is_empty() {
            return None;
        }
        // Rejection keeps it fair: a place is drawn among all places, and an empty one is drawn again.
        loop {
            let segment = &self.segments[rng.usize(..self.segments.len())];
            let place = rng.usize(..self.chain_max * bucket::SLOTS);
            if let Some(slot) = segment.nth_of_random_bucket(rng.u64(..), place) {
                return Some(slot.view::<T>());
            }
        }
    }

    /// Bytes taken from the allocator for the table itself, without its items. Of a large table a sample of its
    /// segments says how many buckets they have: INFO asks, and everybody waits meanwhile.
    pub(crate) fn footprint(&self) -> usize {
        let sample = self.segments.iter().step_by(self.segments.len().div_ceil(FOOTPRINT_SAMPLE));
        let (count, bytes) =
            sample.fold((0, 0), |(count, bytes), segment| (count + 1, bytes + segment.footprint()));
        size_of::<Self>()
            + self.directory.capacity() * size_of::<u32>()
            + self.segments.capacity() * size_of::<Segment>()
            + bytes * self.segments.len() / count.max(1)
    }

    fn grow(&mut self, at: usize) {
        let segment = &self.segments[at];
        if segment.can_widen() {
            let wider = Segment::new(segment.prefix(), segment.depth(), segment.bits() + 1);
            self.refill(at, vec![wider]);
            return;
        }
        let depth = segment.depth();
        if depth == TABLE_DEPTH_MAX {
            return; // Chains grow instead; forty equal bits do not come from a keyed hash.
        }
        if depth == self.depth {
            self.directory = self.directory.iter().flat_map(|&at| [at, at]).collect();
            self.depth += 1;
        }
        let left = Segment::new(segment.prefix() << 1, depth + 1, segment.bits());
        let right = Segment::new(segment.prefix() << 1 | 1, depth + 1, segment.bits());
        self.refill(at, vec![left, right]);
    }

    fn shrink(&mut self, at: usize) {
        let segment = &self.segments[at];
        if segment.depth() == 0 {
            if segment.bits() > 0 {
                let narrower = Segment::new(0, 0, segment.bits() - 1);
                self.refill(at, vec![narrower]);
            }
            return;
        }
        let (prefix, depth, bits) = (segment.prefix(), segment.depth(), segment.bits());
        let buddy = self.segment_of((prefix ^ 1) << (64 - depth));
        if self.segments[buddy].depth() != depth || !segment.may_merge(&self.segments[buddy]) {
            return;
        }
        let orphans = std::mem::take(&mut self.segments[buddy]);
        self.refill(at, vec![Segment::new(prefix >> 1, depth - 1, bits)]);
        self.adopt(orphans);
        self.release(buddy);
        if self.segments.len() == 1 {
            self.directory = vec![0];
            self.depth = 0;
        }
    }

    /// Replaces segment `at` by one or two others, and moves its items there.
    fn refill(&mut self, at: usize, new: Vec<Segment>) {
        let old = std::mem::take(&mut self.segments[at]);
        for (nth, segment) in new.into_iter().enumerate() {
            let place = if nth == 0 { at } else { self.segments.len() };
            if place == at {
                self.segments[at] = segment;
            } else {
                self.segments.push(segment);
            }
            self.point_directory_at(place);
        }
        self.adopt(old);
    }

    fn adopt(&mut self, old: Segment) {
        let slots = old.into_slots();
        slots.iter().for_each(Slot::prefetch);
        for slot in slots {
            let hash = self.hash(slot.view::<T>().key());
            let at = self.segment_of(hash);
            let chain = self.segments[at].push(hash, slot);
            self.chain_max = self.chain_max.max(chain);
        }
    }

    /// Frees the place of an emptied segment by moving the last one there.
    fn release(&mut self, at: usize) {
        self.segments.swap_remove(at);
        if at < self.segments.len() {
            self.point_directory_at(at);
        }
    }

    fn point_directory_at(&mut self, at: usize) {
        let segment = &self.segments[at];
        let spread = self.depth - segment.depth();
        let first = (segment.prefix() as usize) << spread;
        self.directory[first..first + (1 << spread)].fill(at as u32);
    }
}

impl<T: Item> Drop for Table<T> {
    fn drop(&mut self) {
        for segment in self.segments.drain(..) {
            for slot in segment.into_slots() {
                drop(slot.take::<T>());
            }
        }
    }
}

impl<'a, T: Item> Occupied<'a, T> {
    /// The item.
    pub(crate) fn view(&self) -> T::Ref<'_> {
        self.slot.view::<T>()
    }

    /// Changes the item; it may move to another address, but must keep its key.
    pub(crate) fn update<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        self.slot.update(change)
    }

    /// Exclusive access to the item, for as long as the table stays borrowed.
    pub(crate) fn into_mut(self) -> T::Mut<'a> {
        self.slot.view_mut::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thin::{Thin, ThinRef};

    struct Name(Thin<()>);
    #[derive(Clone, Copy)]
    struct NameRef<'a>(ThinRef<'a, ()>);
    impl<'a> Keyed<'a> for NameRef<'a> {
        fn key(self) -> &'a [u8] {
            self.0.bytes()
        }
    }
    thin_item!(Name(Thin<()>), NameRef);

    type Names = Table<Name>;

    fn name(text: &str) -> Name {
        Name(Thin::new((), text.as_bytes()))
    }

    fn names(count: usize) -> Names {
        let mut table = Names::new(HashKey::new(1, 2));
        for n in 0..count {
            let text = format!("name:{n}");
            let hash = table.hash(text.as_bytes());
            assert!(table.find(hash, text.as_bytes()).is_none());
            table.insert_new(hash, name(&text));
        }
        table
    }

    fn remove(table: &mut Names, name: &str) -> bool {
        let hash = table.hash(name.as_bytes());
        table.remove(hash, name.as_bytes()).is_some()
    }

    #[test]
    fn finds_everything_while_growing_and_shrinking() {
        let count = if cfg!(miri) { 1500 } else { 50_000 };
        let mut table = names(count);
        assert_eq!(table.len(), count);
        assert_eq!(table.iter().count(), count);
        for n in (0..count).rev() {
            assert!(remove(&mut table, &format!("name:{n}")));
            assert!(!remove(&mut table, &format!("name:{n}")));
            if n % 977 == 0 {
                assert_eq!(table.iter().count(), n);
            }
        }
        assert_eq!(table.segments.len(), 1, "an emptied table gives its segments back");
    }

    /// SCAN's promise, with the table growing and shrinking under the walk.
    #[test]
    fn a_walk_meets_all_that_stays() {
        let count = if cfg!(miri) { 300 } else { 3000 };
        let mut table = names(count);
        let mut seen = std::collections::BTreeSet::new();
        let (mut position, mut step) = (0, 0);
        loop {
            let next = table.walk(position, |name: NameRef<'_>| {
                seen.insert(name.key().to_vec());
            });
            for n in 0..40 {
                let text = format!("extra:{step}:{n}");
                let hash = table.hash(text.as_bytes());
                if step % 100 < 50 {
                    table.insert_new(hash, name(&text));
                } else {
                    remove(&mut table, &format!("extra:{}:{n}", step - 50));
                }
            }
            step += 1;
            match next {
                Some(next) => position = next,
                None => break,
            }
        }
        for n in 0..count {
            assert!(seen.contains(format!("name:{n}").as_bytes()), "name:{n} was never visited");
        }
    }

    /// INFO looked at every bucket, for milliseconds in which nobody was served, and a monitor asks for it again and again.
    #[test]
    fn a_sample_says_how_large_a_table_is() {
        let count = if cfg!(miri) { 1500 } else { 200_000 };
        let mut table = names(count);
        for n in (0..count).filter(|n| n % 3 == 0) {
            remove(&mut table, &format!("name:{n}"));
        }
        let buckets: usize = table.segments.iter().map(Segment::footprint).sum();
        let (exact, said) = (buckets as f64, table.footprint() as f64);
        assert!(said > exact && said < 1.1 * exact, "{said} with {exact} of buckets");
    }

    /// Pearson's chi-square over 100 items; 200 is far beyond the 99.99 % quantile (about 160) for 99 degrees.
    #[test]
    fn sampling_is_fair() {
        let table = names(100);
        let mut rng = fastrand::Rng::with_seed(7);
        let draws = if cfg!(miri) { 2_000 } else { 100_000 };
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..draws {
            *counts.entry(table.sample(&mut rng).unwrap().key().to_vec()).or_insert(0_u32) += 1;
        }
        let expected = f64::from(draws) / 100.0;
        let chi: f64 = counts.values().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum();
        assert_eq!(counts.len(), 100);
        assert!(chi < 200.0, "chi-square {chi}");
    }
}
