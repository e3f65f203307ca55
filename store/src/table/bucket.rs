//! Buckets of one cache line, slots of one word.
//!
//! A slot is 0 when empty; else its low 48 bits are an address and its high 16 a tag: bits of the hash, always odd, for
//! an item, and 0 for a link to the bucket that goes on where this one is full.
#![allow(unsafe_code)] // Tagged pointers own what the table holds. Tested under Miri.

use std::ptr::NonNull;

/// Slots of one bucket.
pub(super) const SLOTS: usize = 8;
const ADDRESS: u64 = (1 << 48) - 1;

/// What a table can hold: something behind a thin pointer that knows its key.
///
/// # Safety
/// `from_raw(into_raw(item))` is the item again; `view` and `view_mut` only look at what `into_raw` gave; an address
/// has its lowest bit clear.
pub(crate) unsafe trait Item: Sized + 'static {
    /// A shared look at an item.
    type Ref<'a>: Keyed<'a>;
    /// An exclusive look at an item.
    type Mut<'a>;

    /// Gives up ownership.
    fn into_raw(self) -> NonNull<u8>;
    /// Takes ownership back.
    ///
    /// # Safety
    /// `raw` came from `into_raw`, and nobody else owns it.
    unsafe fn from_raw(raw: NonNull<u8>) -> Self;
    /// Looks at an item that was given up.
    ///
    /// # Safety
    /// `raw` came from `into_raw`; the item is not dropped or changed during `'a`.
    unsafe fn view_raw<'a>(raw: NonNull<u8>) -> Self::Ref<'a>;
    /// Looks at an item that was given up, to change it.
    ///
    /// # Safety
    /// As `view_raw`, and nobody else looks at it during `'a`.
    unsafe fn mut_raw<'a>(raw: NonNull<u8>) -> Self::Mut<'a>;
    /// Looks at an item in hand.
    fn view(&self) -> Self::Ref<'_>;
}

/// A look at something that has a key.
pub(crate) trait Keyed<'a>: Copy {
    /// The bytes by which a table finds it.
    fn key(self) -> &'a [u8];
}

/// The tag of a hash: bits that neither directory nor bucket index has used, and odd.
#[inline]
fn tag(hash: u64) -> u64 {
    hash & 0xffff | 1
}

/// An owned item (or link, or nothing) in one word.
pub(super) struct Slot(u64);

impl Slot {
    pub(super) const EMPTY: Self = Self(0);

    pub(super) fn own<T: Item>(item: T, hash: u64) -> Self {
        let address = item.into_raw().as_ptr().expose_provenance() as u64;
        assert!(address & !ADDRESS == 0, "user addresses have 48 bits");
        Self(tag(hash) << 48 | address)
    }

    #[inline]
    fn raw(&self) -> NonNull<u8> {
        debug_assert!(self.is_item());
        let address = (self.0 & ADDRESS) as usize;
        // SAFETY: an occupied slot holds the address of a live allocation, never null.
        unsafe { NonNull::new_unchecked(std::ptr::with_exposed_provenance_mut(address)) }
    }

    #[inline]
    pub(super) fn is_item(&self) -> bool {
        self.0 >> 48 != 0
    }

    #[inline]
    fn is_link(&self) -> bool {
        self.0 != 0 && !self.is_item()
    }

    /// Whether its item may have this hash.
    pub(super) fn has_tag_of(&self, hash: u64) -> bool {
        self.0 >> 48 == tag(hash)
    }

    /// The item of type `T` that `own` put here.
    #[inline]
    pub(super) fn view<T: Item>(&self) -> T::Ref<'_> {
        // SAFETY: the table is generic in T and fills its slots by `own::<T>`; the slot owns the item, so it stays
        // unchanged while the slot is borrowed.
        unsafe { T::view_raw(self.raw()) }
    }

    #[inline]
    pub(super) fn view_mut<T: Item>(&mut self) -> T::Mut<'_> {
        // SAFETY: as in `view`, and the slot is borrowed exclusively.
        unsafe { T::mut_raw(self.raw()) }
    }

    /// Lets `change` work on the item itself; its address may differ afterwards, its tag does not.
    pub(super) fn update<T: Item, R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: as in `view`; ownership is taken here and given back below. If `change` panics the slot still holds
        // the old address, but the engine never goes on after a panic.
        let mut item = unsafe { T::from_raw(self.raw()) };
        let result = change(&mut item);
        let address = item.into_raw().as_ptr().expose_provenance() as u64;
        assert!(address & !ADDRESS == 0, "user addresses have 48 bits");
        self.0 = self.0 & !ADDRESS | address;
        result
    }

    /// Ends the slot and hands its item over.
    pub(super) fn take<T: Item>(self) -> T {
        // SAFETY: as in `view`; the slot is consumed, so the item has one owner.
        unsafe { T::from_raw(self.raw()) }
    }

    pub(super) fn prefetch(&self) {
        prefetch((self.0 & ADDRESS) as usize);
    }
}

#[inline]
fn prefetch(address: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing the program can see and faults on no address; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(address)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Eight slots; the last one may be a link to a further bucket.
#[repr(align(64))]
pub(super) struct Bucket {
    slots: [Slot; SLOTS],
}

impl Bucket {
    pub(super) const EMPTY: Self = Self { slots: [const { Slot::EMPTY }; SLOTS] };

    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch(std::ptr::from_ref(self).addr());
    }

    /// Loads what the first slot with the tag of `hash` points at, two cache lines of it.
    #[inline]
    pub(super) fn prefetch_item(&self, hash: u64) {
        let tag = tag(hash);
        if let Some(slot) = self.slots.iter().find(|slot| slot.0 >> 48 == tag) {
            let address = (slot.0 & ADDRESS) as usize;
            prefetch(address);
            prefetch(address + 64);
        }
    }

    #[inline]
    fn next(&self) -> Option<&Self> {
        let last = &self.slots[SLOTS - 1];
        // SAFETY: a link is the address of a boxed bucket that this bucket owns.
        last.is_link().then(|| unsafe { &*std::ptr::with_exposed_provenance::<Self>(last.0 as usize) })
    }

    #[inline]
    fn next_mut(&mut self) -> Option<&mut Self> {
        let last = &self.slots[SLOTS - 1];
        // SAFETY: as in `next`, and self is borrowed exclusively.
        last.is_link()
            .then(|| unsafe { &mut *std::ptr::with_exposed_provenance_mut::<Self>(last.0 as usize) })
    }

    #[inline]
    pub(super) fn find<T: Item>(&self, hash: u64, key: &[u8]) -> Option<&Slot> {
        let tag = tag(hash);
        let mut bucket = self;
        loop {
            for slot in &bucket.slots {
                if slot.0 >> 48 == tag && slot.view::<T>().key() == key {
                    return Some(slot);
                }
            }
            bucket = bucket.next()?;
        }
    }

    #[inline]
    pub(super) fn find_mut<T: Item>(&mut self, hash: u64, key: &[u8]) -> Option<&mut Slot> {
        let found: *const Slot = self.find::<T>(hash, key)?;
        let mut bucket = self;
        loop {
            if let Some(at) = bucket.slots.iter().position(|slot| std::ptr::eq(slot, found)) {
                return Some(&mut bucket.slots[at]);
            }
            bucket = bucket.next_mut()?;
        }
    }

    /// Adds a slot and returns how many buckets the chain has.
    pub(super) fn push(&mut self, slot: Slot) -> usize {
        let mut bucket = self;
        let mut chain = 1;
        loop {
            if let Some(free) = bucket.slots.iter_mut().find(|slot| slot.0 == 0) {
                *free = slot;
                return chain;
            }
            if !bucket.slots[SLOTS - 1].is_link() {
                let mut more = Box::new(Self::EMPTY);
                std::mem::swap(&mut more.slots[0], &mut bucket.slots[SLOTS - 1]);
                bucket.slots[SLOTS - 1] = Slot(Box::into_raw(more).expose_provenance() as u64);
            }
            chain += 1;
            match bucket.next_mut() {
                Some(next) => bucket = next,
                None => unreachable!("a full bucket has a link"),
            }
        }
    }

    /// Takes the item with this key out. Slots before the first empty one stay without gaps.
    pub(super) fn remove<T: Item>(&mut self, hash: u64, key: &[u8]) -> Option<Slot> {
        // The slot borrowed by find_mut is refilled from the end of the chain; what it held is what leaves.
        self.find::<T>(hash, key)?;
        let last = self.pop()?;
        match self.find_mut::<T>(hash, key) {
            Some(slot) => Some(std::mem::replace(slot, last)),
            None => Some(last), // The last one was the wanted one.
        }
    }

    /// Takes the last item of the chain out.
    fn pop(&mut self) -> Option<Slot> {
        if let Some(next) = self.next_mut() {
            let slot = next.pop();
            if next.slots[0].0 == 0 {
                let link = std::mem::replace(&mut self.slots[SLOTS - 1], Slot::EMPTY);
                // SAFETY: the link owned the boxed bucket, which is empty now.
                drop(unsafe {
                    Box::from_raw(std::ptr::with_exposed_provenance_mut::<Self>(link.0 as usize))
                });
            }
            return slot;
        }
        let at = self.slots.iter().rposition(Slot::is_item)?;
        Some(std::mem::replace(&mut self.slots[at], Slot::EMPTY))
    }

    /// The items of the chain.
    pub(super) fn items(&self) -> impl Iterator<Item = &Slot> {
        std::iter::successors(Some(self), |bucket| bucket.next())
            .flat_map(|bucket| bucket.slots.iter())
            .filter(|slot| slot.is_item())
    }

    /// Moves the items of the chain to `out` and leaves one empty bucket.
    pub(super) fn drain_into(&mut self, out: &mut Vec<Slot>) {
        while let Some(slot) = self.pop() {
            out.push(slot);
        }
    }

    /// Buckets linked behind this one.
    pub(super) fn chained(&self) -> usize {
        std::iter::successors(self.next(), |bucket| bucket.next()).count()
    }
}

/// Makes a tuple struct around a `Thin` an [`Item`], and a tuple struct around a `ThinRef` its look. An exclusive look
/// is the same: such items are changed as a whole.
macro_rules! thin_item {
    ($owner:ident(Thin<$head:ty>), $view:ident) => {
        // SAFETY: forwards to Thin's own raw pair; its allocations are aligned to 8.
        #[allow(unsafe_code)]
        unsafe impl $crate::table::Item for $owner {
            type Ref<'a> = $view<'a>;
            type Mut<'a> = $view<'a>;

            fn into_raw(self) -> std::ptr::NonNull<u8> {
                self.0.into_raw()
            }
            unsafe fn from_raw(raw: std::ptr::NonNull<u8>) -> Self {
                // SAFETY: the caller's promise is the same.
                Self(unsafe { $crate::thin::Thin::from_raw(raw) })
            }
            unsafe fn view_raw<'a>(raw: std::ptr::NonNull<u8>) -> $view<'a> {
                // SAFETY: the caller's promise is the same.
                $view(unsafe { $crate::thin::ThinRef::from_raw(raw) })
            }
            unsafe fn mut_raw<'a>(raw: std::ptr::NonNull<u8>) -> $view<'a> {
                // SAFETY: the caller's promise is stronger.
                $view(unsafe { $crate::thin::ThinRef::from_raw(raw) })
            }
            fn view(&self) -> $view<'_> {
                // SAFETY: self is borrowed for as long as the view lives.
                $view(unsafe { self.0.share() })
            }
        }

        impl $view<'_> {
            /// Bytes taken from the allocator.
            #[allow(dead_code)] // Not every kind of item is measured.
            pub(crate) fn footprint(self) -> usize {
                self.0.footprint()
            }
        }
    };
}
pub(crate) use thin_item;
