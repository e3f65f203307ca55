//! A header and bytes in one allocation, behind a pointer of eight bytes.
//!
//! Purpose: members, fields, list nodes and packed collections are counted in millions. `Vec<u8>` costs 24 bytes where
//! it stands and `Box<[u8]>` 16; this costs 8, and a reader reaches header and bytes with one cache miss.
//! Layout: `len: u32, cap: u32, head: H, bytes[cap]`, aligned to 8 so that the low bits of the pointer are free.
//! Not here: what the bytes mean.
#![allow(unsafe_code)] // One allocation of two parts cannot be said in safe Rust. Tested under Miri.

use std::alloc::{self, Layout, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// An owned allocation of a header `H` and up to 4 GiB of bytes.
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

// SAFETY: a Thin owns its allocation exclusively, and H is plain data (`Copy`, no interior mutability in this crate).
unsafe impl<H: Copy + Send> Send for Thin<H> {}
// SAFETY: as above; shared access only reads.
unsafe impl<H: Copy + Sync> Sync for Thin<H> {}

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
        let cap = size_class(Self::OVERHEAD + capacity) - Self::OVERHEAD;
        let layout = Self::layout(cap);
        // SAFETY: the layout is not of size zero, the prefix alone is 8 bytes.
        let raw = unsafe { alloc::alloc(layout) }.cast::<Prefix<H>>();
        let Some(prefix) = NonNull::new(raw) else { handle_alloc_error(layout) };
        // SAFETY: fresh and aligned for a Prefix<H>; large enough, because allocations are multiples of 16, and the
        // size of the type is the overhead rounded up to 8.
        unsafe { prefix.write(Prefix { len: 0, cap: cap as u32, head }) };
        Self { prefix }
    }

    fn layout(cap: usize) -> Layout {
        assert!(cap <= u32::MAX as usize, "a thin allocation holds at most 4 GiB");
        // SAFETY: alignment is a power of two and the size, below 2^32 + 64, does not overflow isize.
        unsafe { Layout::from_size_align_unchecked(Self::OVERHEAD + cap, align_of::<Prefix<H>>()) }
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
        // SAFETY: as in `head`, and self is borrowed exclusively.
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
        Self::OVERHEAD + self.capacity()
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the first `len` bytes are initialized, and self is borrowed.
        unsafe { std::slice::from_raw_parts(self.data(), self.len()) }
    }

    /// The bytes, to be changed in place.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and self is borrowed exclusively.
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
        }
    }

    /// Gives back room that is not used, if that is worth an allocation.
    pub(crate) fn shrink(&mut self) {
        if size_class(Self::OVERHEAD + self.len()) < Self::OVERHEAD + self.capacity() {
            self.reallocate(self.len());
        }
    }

    #[cold]
    fn reallocate(&mut self, capacity: usize) {
        let old = Self::layout(self.capacity());
        let cap = size_class(Self::OVERHEAD + capacity) - Self::OVERHEAD;
        let new = Self::layout(cap);
        // SAFETY: allocated by this type with layout `old`; the new size is not zero and was checked by `layout`.
        let raw = unsafe { alloc::realloc(self.prefix.as_ptr().cast(), old, new.size()) }.cast::<Prefix<H>>();
        let Some(prefix) = NonNull::new(raw) else { handle_alloc_error(new) };
        self.prefix = prefix;
        // SAFETY: realloc kept the prefix and the bytes.
        unsafe { (*self.prefix.as_ptr()).cap = cap as u32 };
    }

    /// Replaces the `removed` bytes from `at` on by the `inserted` pieces.
    pub(crate) fn splice(&mut self, at: usize, removed: usize, inserted: &[&[u8]]) {
        let len = self.len();
        let added: usize = inserted.iter().map(|piece| piece.len()).sum();
        assert!(at + removed <= len, "splice inside the bytes");
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
        if len > old {
            self.reserve(len - old);
            // SAFETY: reserve made room up to `len`.
            unsafe { std::ptr::write_bytes(self.data().add(old), 0, len - old) };
        }
        // SAFETY: the first `len` bytes are initialized now.
        unsafe { (*self.prefix.as_ptr()).len = len as u32 };
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
        let layout = Self::layout(self.capacity());
        // SAFETY: allocated by this type with this layout, and owned.
        unsafe { alloc::dealloc(self.prefix.as_ptr().cast(), layout) };
    }
}

impl<H: Copy> Clone for Thin<H> {
    fn clone(&self) -> Self {
        Self::new(self.head(), self.bytes())
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
        // SAFETY: as in `head`.
        Thin::<H>::OVERHEAD + unsafe { (*self.prefix.as_ptr()).cap as usize }
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
    fn size_classes_are_reached_exactly() {
        for (wanted, given) in
            [(1, 16), (88, 96), (129, 160), (160, 160), (161, 192), (300, 320), (1000, 1024)]
        {
            assert_eq!(size_class(wanted), given, "{wanted}");
        }
    }
}
