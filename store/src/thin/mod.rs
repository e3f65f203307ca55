//! A header and bytes in one allocation, behind a pointer of eight bytes.
//!
//! Purpose: members, fields, list nodes and packed collections are counted in millions. `Vec<u8>` costs 24 bytes where
//! it stands and `Box<[u8]>` 16; this costs 8, and a reader reaches header and bytes with one cache miss.
//! Layout: `len: u32, cap: u32, head: H, bytes[cap]`, aligned to 8 so that the low bits of the pointer are free.
//! One with room for a megabyte or more can have several owners ([`long`]); a clone of it costs nothing, and is made a
//! copy by whoever changes it first. Not here: what the bytes mean.
#![allow(unsafe_code)] // One allocation of two parts cannot be said in safe Rust. Tested under Miri.

mod long;

use std::alloc::{self, Layout, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::NonNull;

pub(crate) use long::Held;
pub use long::Long;
use long::{ALIGN, FRONT, Front, LONG};

/// An allocation of a header `H` and up to 4 GiB of bytes, owned.
pub(crate) struct Thin<H: Copy> {
    prefix: NonNull<Prefix<H>>,
}

/// A shared view of a [`Thin`] that may outlive the place where its pointer is kept.
pub(crate) struct ThinRef<'a, H: Copy> {
    prefix: NonNull<Prefix<H>>,
    borrowed: PhantomData<&'a Prefix<H>>,
}

#[repr(C, align(8))]
struct Prefix<H> {
    len: u32,
    cap: u32,
    head: H,
}

// SAFETY: what a Thin owns changes only while it owns it alone, and H is plain data (`Copy`, no interior mutability in
// this crate), which other owners only read.
unsafe impl<H: Copy + Send + Sync> Send for Thin<H> {}
// SAFETY: as above; shared access only reads.
unsafe impl<H: Copy + Send + Sync> Sync for Thin<H> {}

/// Rounds a wanted allocation up to what common allocators hand out anyway, so that the slack is used.
pub(crate) fn size_class(bytes: usize) -> usize {
    match bytes {
        0..=128 => bytes.next_multiple_of(16),
        _ => {
            // Four classes between two powers of two.
            bytes.next_multiple_of(bytes.next_power_of_two() / 8)
        }
    }
}

impl<H: Copy> Thin<H> {
    /// Where the bytes begin: right behind the header, in what is padding of the prefix as a type. Every allocation has
    /// room for that padding, and it is written only together with the prefix, before there are bytes.
    const OVERHEAD: usize = std::mem::offset_of!(Prefix<H>, head) + size_of::<H>();

    /// A copy of `bytes` under `head`. Lengths above 4 GiB cannot come in: every command bounds its arguments first.
    pub(crate) fn new(head: H, bytes: &[u8]) -> Self {
        let mut thin = Self::with_capacity(head, bytes.len());
        thin.extend(bytes);
        thin
    }

    /// An empty allocation with room for `capacity` bytes.
    pub(crate) fn with_capacity(head: H, capacity: usize) -> Self {
        let cap = Self::room_for(capacity);
        let layout = Self::layout(cap);
        // SAFETY: the layout is not of size zero, the prefix alone is 8 bytes.
        let raw = unsafe { alloc::alloc(layout) };
        // SAFETY: fresh, with this layout.
        let prefix = unsafe { Self::behind_front(raw, cap) };
        // SAFETY: aligned for a Prefix<H>; large enough, because allocations are multiples of 16, and the size of the
        // type is the overhead rounded up to 8.
        unsafe { prefix.write(Prefix { len: 0, cap: cap as u32, head }) };
        Self { prefix }
    }

    /// Room for so many bytes, in an allocation of a size that is used up.
    fn room_for(capacity: usize) -> usize {
        if capacity >= LONG {
            return size_class(FRONT + Self::OVERHEAD + capacity) - Self::OVERHEAD - FRONT;
        }
        // The room says whether there is a front.
        (size_class(Self::OVERHEAD + capacity) - Self::OVERHEAD).min(LONG - 1)
    }

    fn layout(cap: usize) -> Layout {
        const { assert!(align_of::<Prefix<H>>() == ALIGN) };
        assert!(cap <= u32::MAX as usize, "a thin allocation holds at most 4 GiB");
        let front = if cap >= LONG { FRONT } else { 0 };
        // SAFETY: alignment is a power of two and the size, below 2^32 + 64, does not overflow isize.
        unsafe { Layout::from_size_align_unchecked(front + Self::OVERHEAD + cap, ALIGN) }
    }

    /// Where the prefix stands in an allocation with this room, in front of which a long one has one owner.
    ///
    /// # Safety
    /// The allocation, if there is one, has the layout of this room, and nobody else owns it.
    unsafe fn behind_front(raw: *mut u8, cap: usize) -> NonNull<Prefix<H>> {
        let layout = Self::layout(cap);
        let Some(raw) = NonNull::new(raw) else { handle_alloc_error(layout) };
        if cap < LONG {
            return raw.cast();
        }
        // SAFETY: such a layout has room for a front, and is aligned for it.
        unsafe {
            raw.cast::<Front>().write(Front::new(layout.size()));
            raw.add(FRONT).cast()
        }
    }

    fn data(&self) -> *mut u8 {
        // SAFETY: the bytes begin right behind the prefix, in the same allocation.
        unsafe { self.prefix.as_ptr().cast::<u8>().add(Self::OVERHEAD) }
    }

    /// The header.
    pub(crate) fn head(&self) -> H {
        // SAFETY: the prefix is initialized for as long as self lives.
        unsafe { (*self.prefix.as_ptr()).head }
    }

    /// Replaces the header.
    pub(crate) fn set_head(&mut self, head: H) {
        self.own();
        // SAFETY: as in `head`; self is borrowed exclusively, and the only owner.
        unsafe { (*self.prefix.as_ptr()).head = head };
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: as in `head`.
        unsafe { (*self.prefix.as_ptr()).len as usize }
    }

    /// How many bytes there can be without another allocation.
    pub(crate) fn capacity(&self) -> usize {
        // SAFETY: as in `head`.
        unsafe { (*self.prefix.as_ptr()).cap as usize }
    }

    /// Bytes taken from the allocator.
    pub(crate) fn footprint(&self) -> usize {
        Self::layout(self.capacity()).size()
    }

    /// Whether others own it, too.
    #[inline]
    fn is_shared(&self) -> bool {
        // SAFETY: with so much room there is a front, which lives as long as self.
        self.capacity() >= LONG && unsafe { !self.look().front().as_ref().has_one_owner() }
    }

    /// Makes self the only owner, before it is changed.
    #[inline]
    fn own(&mut self) {
        if self.is_shared() {
            *self = Self::new(self.head(), self.bytes());
        }
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the first `len` bytes are initialized, and self is borrowed.
        unsafe { std::slice::from_raw_parts(self.data(), self.len()) }
    }

    /// The bytes, to be changed in place.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.own();
        // SAFETY: as in `bytes`; self is borrowed exclusively, and the only owner.
        unsafe { std::slice::from_raw_parts_mut(self.data(), self.len()) }
    }

    /// Appends `bytes`, growing by a quarter at least so that appending stays linear.
    #[inline]
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        let len = self.len();
        self.reserve(bytes.len());
        // SAFETY: reserve made room for len + bytes.len(); the two ranges belong to different allocations, because
        // `bytes` is a live shared borrow while self is borrowed exclusively.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.data().add(len), bytes.len());
            (*self.prefix.as_ptr()).len = (len + bytes.len()) as u32;
        }
    }

    /// Appends pieces, one behind the other.
    pub(crate) fn append(&mut self, pieces: &[&[u8]]) {
        let len = self.len();
        let added: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.reserve(added);
        // SAFETY: reserve made room for all pieces; they belong to other allocations, because they are live shared
        // borrows while self is borrowed exclusively.
        unsafe {
            let mut end = self.data().add(len);
            for piece in pieces {
                std::ptr::copy_nonoverlapping(piece.as_ptr(), end, piece.len());
                end = end.add(piece.len());
            }
            (*self.prefix.as_ptr()).len = (len + added) as u32;
        }
    }

    /// Makes room for `more` further bytes.
    #[inline]
    pub(crate) fn reserve(&mut self, more: usize) {
        self.make_room(more, 0);
    }

    /// Makes room for `more` further bytes, and if that takes an allocation, for `spare` bytes behind them.
    #[inline]
    pub(crate) fn make_room(&mut self, more: usize, spare: usize) {
        let needed = self.len() + more;
        if needed > self.capacity() {
            self.reallocate((needed + spare).max(self.len() + self.len() / 4));
        } else {
            self.own();
        }
    }

    /// Gives back room that is not used, if that is worth an allocation.
    pub(crate) fn shrink(&mut self) {
        if Self::room_for(self.len()) < self.capacity() && !self.is_shared() {
            self.reallocate(self.len());
        }
    }

    /// Changes the room; self is the only owner then.
    #[cold]
    fn reallocate(&mut self, capacity: usize) {
        let (old, new) = (self.capacity(), Self::room_for(capacity));
        if self.is_shared() || (old >= LONG) != (new >= LONG) {
            let mut other = Self::with_capacity(self.head(), capacity);
            other.extend(self.bytes());
            *self = other;
            return;
        }
        let base = if old >= LONG { self.look().front().cast() } else { self.prefix.cast::<u8>() };
        // SAFETY: the allocation begins there, has the old layout, and self is the only owner; the new size is not zero
        // and was checked by `layout`, and whether there is a front stays as it is.
        self.prefix = unsafe {
            let raw = alloc::realloc(base.as_ptr(), Self::layout(old), Self::layout(new).size());
            Self::behind_front(raw, new)
        };
        // SAFETY: realloc kept the prefix and the bytes.
        unsafe { (*self.prefix.as_ptr()).cap = new as u32 };
    }

    /// Replaces the `removed` bytes from `at` on by the `inserted` pieces.
    pub(crate) fn splice(&mut self, at: usize, removed: usize, inserted: &[&[u8]]) {
        let len = self.len();
        let added: usize = inserted.iter().map(|piece| piece.len()).sum();
        assert!(at + removed <= len, "splice inside the bytes");
        if self.is_shared() {
            // What is removed is not copied before.
            let mut other = Self::with_capacity(self.head(), len - removed + added);
            other.extend(&self.bytes()[..at]);
            other.append(inserted);
            other.extend(&self.bytes()[at + removed..]);
            *self = other;
            return;
        }
        self.reserve(added.saturating_sub(removed));
        let tail = len - at - removed;
        // SAFETY: both the old and the new end lie within the capacity; the pieces belong to other allocations,
        // because they are live shared borrows while self is borrowed exclusively.
        unsafe {
            let mut hole = self.data().add(at);
            std::ptr::copy(hole.add(removed), hole.add(added), tail);
            for piece in inserted {
                std::ptr::copy_nonoverlapping(piece.as_ptr(), hole, piece.len());
                hole = hole.add(piece.len());
            }
            (*self.prefix.as_ptr()).len = (len - removed + added) as u32;
        }
    }

    /// Cuts or zero-fills the bytes to `len`.
    pub(crate) fn resize(&mut self, len: usize) {
        let old = self.len();
        if len <= old {
            return self.splice(len, old - len, &[]);
        }
        self.reserve(len - old);
        // SAFETY: reserve made room up to `len`, and self the only owner; all of it is initialized then.
        unsafe {
            std::ptr::write_bytes(self.data().add(old), 0, len - old);
            (*self.prefix.as_ptr()).len = len as u32;
        }
    }

    /// A view.
    pub(crate) fn look(&self) -> ThinRef<'_, H> {
        ThinRef { prefix: self.prefix, borrowed: PhantomData }
    }

    /// A view that may outlive the borrow of this handle.
    ///
    /// # Safety
    /// The allocation must neither be dropped nor changed during `'a`.
    pub(crate) unsafe fn share<'a>(&self) -> ThinRef<'a, H> {
        ThinRef { prefix: self.prefix, borrowed: PhantomData }
    }

    /// Gives up ownership.
    pub(crate) fn into_raw(self) -> NonNull<u8> {
        std::mem::ManuallyDrop::new(self).prefix.cast()
    }

    /// Takes ownership back.
    ///
    /// # Safety
    /// `raw` came from `into_raw` of the same type, and nobody else owns it.
    pub(crate) unsafe fn from_raw(raw: NonNull<u8>) -> Self {
        Self { prefix: raw.cast() }
    }
}

impl<H: Copy> Drop for Thin<H> {
    fn drop(&mut self) {
        let cap = self.capacity();
        if cap >= LONG {
            // SAFETY: self is an owner, and goes; the size is that of the layout.
            unsafe { long::release(self.look().front()) };
        } else {
            // SAFETY: allocated by this type with this layout, and owned.
            unsafe { alloc::dealloc(self.prefix.as_ptr().cast(), Self::layout(cap)) };
        }
    }
}

impl<H: Copy> Clone for Thin<H> {
    fn clone(&self) -> Self {
        self.look().to_owned()
    }
}

impl<'a, H: Copy> ThinRef<'a, H> {
    /// Looks at an allocation given up with [`Thin::into_raw`].
    ///
    /// # Safety
    /// `raw` came from `into_raw` of `Thin<H>`, and is neither dropped nor changed during `'a`.
    pub(crate) unsafe fn from_raw(raw: NonNull<u8>) -> Self {
        Self { prefix: raw.cast(), borrowed: PhantomData }
    }

    /// The header.
    pub(crate) fn head(self) -> H {
        // SAFETY: the allocation lives and stays unchanged during 'a.
        unsafe { (*self.prefix.as_ptr()).head }
    }

    /// Bytes taken from the allocator.
    pub(crate) fn footprint(self) -> usize {
        Thin::<H>::layout(self.capacity()).size()
    }

    fn capacity(self) -> usize {
        // SAFETY: as in `head`.
        unsafe { (*self.prefix.as_ptr()).cap as usize }
    }

    /// The front of a long allocation.
    fn front(self) -> NonNull<Front> {
        assert!(self.capacity() >= LONG, "only long allocations have a front");
        // SAFETY: it stands in front of the prefix, in the same allocation.
        unsafe { self.prefix.cast::<u8>().sub(FRONT).cast() }
    }

    /// The same header and bytes under another owner. Those of a long allocation are not copied.
    pub(crate) fn to_owned(self) -> Thin<H> {
        if self.capacity() < LONG {
            return Thin::new(self.head(), self.bytes());
        }
        // SAFETY: the allocation lives, and so does its front.
        unsafe { self.front().as_ref() }.adopt();
        Thin { prefix: self.prefix }
    }

    /// Some of the bytes, to be held where they are; nothing if they are few, so that a copy is as good.
    pub(crate) fn long(self, part: &'a [u8]) -> Option<Long<'a>> {
        if part.len() < LONG {
            return None;
        }
        let (all, part_at) = (self.bytes().as_ptr_range(), part.as_ptr_range());
        assert!(all.start <= part_at.start && part_at.end <= all.end, "a part of this allocation");
        // SAFETY: the part lies in it, and it has room for so many bytes.
        Some(unsafe { Long::new(self.front(), part) })
    }

    /// The bytes.
    pub(crate) fn bytes(self) -> &'a [u8] {
        // SAFETY: as in `head`; the bytes begin right behind the prefix.
        unsafe {
            let data = self.prefix.as_ptr().cast::<u8>().add(Thin::<H>::OVERHEAD);
            std::slice::from_raw_parts(data, (*self.prefix.as_ptr()).len as usize)
        }
    }
}

impl<H: Copy> Clone for ThinRef<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H: Copy> Copy for ThinRef<'_, H> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_header_and_bytes_through_growth() {
        let mut thin = Thin::new(1.5_f64, b"member");
        for round in 0..100 {
            thin.extend(b"0123456789");
            assert_eq!(thin.len(), 16 + round * 10);
        }
        thin.splice(0, 6, &[b"m"]);
        thin.append(&[b"ab", b"", b"c"]);
        assert!(thin.bytes().ends_with(b"9abc"));
        assert_eq!(&thin.bytes()[..3], b"m01");
        thin.resize(3);
        thin.shrink();
        assert_eq!((thin.head(), thin.bytes()), (1.5, &b"m01"[..]));
        thin.resize(5);
        assert_eq!(thin.bytes(), b"m01\0\0");
    }

    /// A set of five integers: 8 bytes of lengths, 4 of the header, 20 of the integers.
    #[test]
    fn bytes_begin_right_behind_a_small_header() {
        let mut thin = Thin::new(4_u32, &[7; 20]);
        assert_eq!(thin.footprint(), 32);
        thin.set_head(u32::MAX);
        assert_eq!((thin.head(), thin.bytes()), (u32::MAX, &[7; 20][..]));
    }

    #[test]
    fn survives_a_trip_as_a_raw_pointer() {
        let raw = Thin::new((), b"abc").into_raw();
        // SAFETY: given up just above and taken back once.
        unsafe {
            assert_eq!(ThinRef::<()>::from_raw(raw).bytes(), b"abc");
            drop(Thin::<()>::from_raw(raw));
        }
    }

    #[test]
    fn a_long_one_has_several_owners_until_it_changes() {
        let text = [b"01234", &vec![b'x'; LONG][..], b"56"].concat();
        let original = Thin::new(7_u32, &text);
        assert_eq!(original.look().long(&original.bytes()[..9]).map(|part| part.bytes().len()), None);
        let part = original.look().long(&original.bytes()[3..LONG + 3]).unwrap();
        let (mut held, mut clone) = (part.hold(), original.clone());
        assert_eq!(clone.bytes().as_ptr(), original.bytes().as_ptr());
        let changes: [fn(&mut Thin<u32>); 6] = [
            |thin| thin.set_head(8),
            |thin| thin.bytes_mut()[0] = 9,
            |thin| thin.extend(b"more"),
            |thin| thin.splice(1, LONG, &[b"less"]),
            |thin| thin.resize(5),
            |thin| thin.reserve(2 * LONG),
        ];
        for change in changes {
            let (mut shared, mut alone) = (original.clone(), Thin::new(7, &text));
            change(&mut shared);
            change(&mut alone);
            assert_eq!((shared.head(), shared.bytes()), (alone.head(), alone.bytes()));
            assert_ne!(shared.bytes().as_ptr(), original.bytes().as_ptr());
            assert_eq!((original.head(), original.bytes()), (7, &text[..]));
        }
        clone.shrink();
        drop(original);
        held.advance(1);
        assert_eq!((&*held, held.lend().bytes()), (&text[4..LONG + 3], &text[4..LONG + 3]));
        let again = held.lend().hold();
        drop((held, clone));
        assert_eq!(&*again, &text[4..LONG + 3]);
    }

    #[test]
    fn an_only_owner_changes_a_long_one_in_place() {
        let mut thin = Thin::new((), &vec![1; 3 * LONG]);
        drop(thin.clone());
        let place = thin.bytes().as_ptr();
        thin.bytes_mut()[0] = 2;
        thin.splice(1, 1, &[b"3"]);
        assert_eq!((thin.bytes().as_ptr(), &thin.bytes()[..3]), (place, &[2, b'3', 1][..]));
        thin.extend(&vec![4; LONG]);
        thin.resize(2 * LONG);
        thin.shrink();
        assert_eq!((thin.len(), thin.bytes()[2 * LONG - 1]), (2 * LONG, 1));
        // It becomes a short one, and a long one again.
        thin.resize(100);
        thin.shrink();
        assert!(thin.footprint() < 200 && thin.look().to_owned().bytes() == thin.bytes());
        thin.resize(LONG);
        assert_eq!((&thin.bytes()[..3], thin.bytes()[LONG - 1]), (&[2, b'3', 1][..], 0));
    }

    #[test]
    fn room_says_whether_there_is_a_front() {
        for capacity in [LONG - 20, LONG - 9, LONG - 1, LONG, LONG + 1, LONG + 100] {
            let thin = Thin::with_capacity((), capacity);
            assert!(thin.capacity() >= capacity);
            assert_eq!(thin.capacity() >= LONG, capacity >= LONG);
        }
    }

    #[test]
    fn size_classes_are_reached_exactly() {
        for (wanted, given) in
            [(1, 16), (88, 96), (129, 160), (160, 160), (161, 192), (300, 320), (1000, 1024)]
        {
            assert_eq!(size_class(wanted), given, "{wanted}");
        }
    }
}
