//! One segment of a table: up to 128 buckets for the hashes with one prefix.

use super::bucket::{Bucket, Item, Keyed, Slot};
use crate::hash::HashKey;

/// Bucket index bits of a full-grown segment: 128 buckets, 8 KiB.
const BITS_MAX: u32 = 7;
/// A segment splits at 5.5 items a bucket: about one bucket in ten then has a second one.
const LOAD_MAX_HALVES: usize = 11;

/// All items whose hashes begin with the `depth` bits of `prefix`.
#[derive(Default)]
pub(super) struct Segment {
    buckets: Box<[Bucket]>,
    prefix: u64,
    depth: u32,
    bits: u32,
    len: usize,
}

/// The first `bits` bits of `hash` as a number.
#[inline]
pub(super) fn top_bits(hash: u64, bits: u32) -> usize {
    // In two steps, because shifting by all 64 bits at once is not defined.
    (hash >> 1 >> (63 - bits)) as usize
}

impl Segment {
    pub(super) fn new(prefix: u64, depth: u32, bits: u32) -> Self {
        let buckets = (0..1_usize << bits).map(|_| Bucket::EMPTY).collect();
        Self { buckets, prefix, depth, bits, len: 0 }
    }

    pub(super) fn prefix(&self) -> u64 {
        self.prefix
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    #[inline]
    fn bucket_of(&self, hash: u64) -> usize {
        top_bits(hash << self.depth, self.bits)
    }

    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        self.buckets[self.bucket_of(hash)].prefetch();
    }

    #[inline]
    pub(super) fn prefetch_item(&self, hash: u64) {
        self.buckets[self.bucket_of(hash)].prefetch_item(hash);
    }

    #[inline]
    pub(super) fn find<T: Item>(&self, hash: u64, key: &[u8]) -> Option<&Slot> {
        self.buckets[self.bucket_of(hash)].find::<T>(hash, key)
    }

    #[inline]
    pub(super) fn find_mut<T: Item>(&mut self, hash: u64, key: &[u8]) -> Option<&mut Slot> {
        self.buckets[self.bucket_of(hash)].find_mut::<T>(hash, key)
    }

    /// Adds a slot and returns how long its chain of buckets is.
    pub(super) fn push(&mut self, hash: u64, slot: Slot) -> usize {
        self.len += 1;
        self.buckets[self.bucket_of(hash)].push(slot)
    }

    pub(super) fn remove<T: Item>(&mut self, hash: u64, key: &[u8]) -> Option<Slot> {
        let slot = self.buckets[self.bucket_of(hash)].remove::<T>(hash, key)?;
        self.len -= 1;
        Some(slot)
    }

    fn capacity(&self) -> usize {
        self.buckets.len() * LOAD_MAX_HALVES / 2
    }

    pub(super) fn is_full(&self) -> bool {
        self.len >= self.capacity()
    }

    pub(super) fn can_widen(&self) -> bool {
        self.bits < BITS_MAX
    }

    /// Whether it is worth asking for fewer buckets; asked for at every sixteenth removal only.
    pub(super) fn is_sparse(&self) -> bool {
        self.len < self.capacity() / 4 && (self.len.is_multiple_of(16) || self.bits < BITS_MAX)
    }

    /// Whether both together leave half of one segment free.
    pub(super) fn may_merge(&self, other: &Self) -> bool {
        self.bits == BITS_MAX && other.bits == BITS_MAX && self.len + other.len <= self.capacity() / 2
    }

    pub(super) fn for_bucket<'a>(&'a self, position: u64, visit: impl FnMut(&'a Slot)) {
        self.buckets[self.bucket_of(position)].items().for_each(visit);
    }

    /// Visits the items that have exactly this hash under this key of hashes.
    pub(super) fn for_hash<'a, T: Item>(
        &'a self,
        key: HashKey,
        hash: u64,
        mut visit: impl FnMut(T::Ref<'a>),
    ) {
        self.for_bucket(hash, |slot| {
            if slot.has_tag_of(hash) && key.hash(slot.view::<T>().key()) == hash {
                visit(slot.view::<T>());
            }
        });
    }

    /// Where the bucket after that of `position` begins; `None` behind the last one of all.
    pub(super) fn position_after(&self, position: u64) -> Option<u64> {
        let free_bits = 64 - self.depth - self.bits;
        if free_bits == 64 {
            return None;
        }
        let start = position >> free_bits << free_bits;
        start.checked_add(1 << free_bits)
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.buckets.iter().flat_map(Bucket::items)
    }

    /// The `nth` item of the bucket that `random` selects.
    pub(super) fn nth_of_random_bucket(&self, random: u64, nth: usize) -> Option<&Slot> {
        self.buckets[top_bits(random, self.bits)].items().nth(nth)
    }

    pub(super) fn into_slots(mut self) -> Vec<Slot> {
        let mut slots = Vec::with_capacity(self.len);
        for bucket in &mut self.buckets {
            bucket.drain_into(&mut slots);
        }
        slots
    }

    pub(super) fn footprint(&self) -> usize {
        (self.buckets.len() + self.buckets.iter().map(Bucket::chained).sum::<usize>()) * size_of::<Bucket>()
    }
}
