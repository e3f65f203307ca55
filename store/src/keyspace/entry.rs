//! One key with its value, in one allocation.
//!
//! ```text
//! key_len u32 | text_len u32 | access u32 | kind u8 | flags u8 | slack u16 | key | pad | [expiry u64] | body
//! ```
//! The body of a short text is the text itself: a GET costs one cache miss for the bucket and one for the entry, and a
//! SET of the same size writes in place. Any other body is a pointer or two (see [`Kind`]). Padding and expiry are
//! there only when something aligned follows.
//! Not here: when a key expires and what that means; an entry only carries the date.
#![allow(unsafe_code)] // A variable layout in one allocation cannot be said in safe Rust. Tested under Miri.

use std::alloc::{self, Layout, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::limits::INLINE_TEXT_MAX;
use crate::number::parse_i64;
use crate::table::{Item, Keyed};
use crate::thin::{Thin, size_class};
use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::set::Set;
use crate::types::stream::Stream;
use crate::types::text::Text;
use crate::types::zset::Zset;

/// A value on its own, on its way into or out of an entry.
pub(crate) enum Value {
    /// A short string, to be kept in the entry itself.
    Inline(Box<[u8]>),
    /// A string that is a canonical integer.
    Integer(i64),
    /// A string in an allocation of its own: a long one, or one that was edited.
    Raw(Thin<()>),
    /// A list.
    List(Box<List>),
    /// A set.
    Set(Set),
    /// A hash.
    Hash(Hash),
    /// A sorted set.
    Zset(Zset),
    /// A stream.
    Stream(Box<Stream>),
}

/// A look at a value.
#[derive(Clone, Copy)]
pub(crate) enum View<'a> {
    /// A string in the entry itself.
    Inline(&'a [u8]),
    /// A string that is a canonical integer.
    Integer(i64),
    /// A string in an allocation of its own.
    Raw(&'a Thin<()>),
    /// A list.
    List(&'a List),
    /// A set.
    Set(&'a Set),
    /// A hash.
    Hash(&'a Hash),
    /// A sorted set.
    Zset(&'a Zset),
    /// A stream.
    Stream(&'a Stream),
}

/// A look at a value, to change it in place.
pub(crate) enum ViewMut<'a> {
    /// Any string; see [`Entry::edit_text`] for changing one.
    Text,
    /// A list.
    List(&'a mut List),
    /// A set.
    Set(&'a mut Set),
    /// A hash.
    Hash(&'a mut Hash),
    /// A sorted set.
    Zset(&'a mut Zset),
    /// A stream.
    Stream(&'a mut Stream),
}

/// What the body of an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// The text.
    Inline,
    /// An `i64`.
    Integer,
    /// A `Thin<()>`.
    Raw,
    /// A `Box<List>`.
    List,
    /// A `Set`.
    Set,
    /// A `Hash`.
    Hash,
    /// A `Zset`.
    Zset,
    /// A `Box<Stream>`.
    Stream,
}

const HAS_EXPIRY: u8 = 1;

#[repr(C)]
struct Header {
    key_len: u32,
    text_len: u32,
    access: AtomicU32,
    kind: Kind,
    flags: u8,
    /// Bytes of the allocation behind the body.
    slack: u16,
}

const HEADER: usize = size_of::<Header>();
const ALIGN: usize = 8;

/// An owned entry.
pub(crate) struct Entry(NonNull<Header>);

/// A look at an entry.
#[derive(Clone, Copy)]
pub(crate) struct EntryRef<'a>(NonNull<Header>, PhantomData<&'a Header>);

/// An exclusive look at an entry.
pub(crate) struct EntryMut<'a>(NonNull<Header>, PhantomData<&'a mut Header>);

// SAFETY: an entry owns its allocation and the value in it, and all values are Send.
unsafe impl Send for Entry {}
// SAFETY: as above; shared access reads, except for `access`, which is atomic.
unsafe impl Sync for Entry {}

impl Kind {
    fn body_len(self, text_len: usize) -> usize {
        match self {
            Self::Inline => text_len,
            Self::Integer => size_of::<i64>(),
            Self::Raw => size_of::<Thin<()>>(),
            Self::List => size_of::<Box<List>>(),
            Self::Set => size_of::<Set>(),
            Self::Hash => size_of::<Hash>(),
            Self::Zset => size_of::<Zset>(),
            Self::Stream => size_of::<Box<Stream>>(),
        }
    }
}

/// Where the expiry stands, if there is one, and where the body begins.
fn offsets(kind: Kind, key_len: usize, expiry: bool) -> (usize, usize) {
    let key_end = HEADER + key_len;
    let aligned = key_end.next_multiple_of(ALIGN);
    match (kind, expiry) {
        (Kind::Inline, false) => (aligned, key_end),
        (_, false) => (aligned, aligned),
        (_, true) => (aligned, aligned + size_of::<u64>()),
    }
}

fn layout(size: usize) -> Layout {
    // SAFETY: the alignment is a power of two; a key and an inline text are far below isize::MAX.
    unsafe { Layout::from_size_align_unchecked(size, ALIGN) }
}

impl Entry {
    /// A string entry in the form that suits its text: an integer, inline, or in an allocation of its own.
    pub(crate) fn text(key: &[u8], text: &[u8], expires_at: Option<u64>) -> Self {
        if let Some(value) = parse_i64(text) {
            return Self::new(key, Value::Integer(value), expires_at);
        }
        if text.len() > INLINE_TEXT_MAX {
            return Self::new(key, Value::Raw(Thin::new((), text)), expires_at);
        }
        Self::inline(key, text, expires_at)
    }

    fn inline(key: &[u8], text: &[u8], expires_at: Option<u64>) -> Self {
        let entry = Self::allocate(Kind::Inline, key, text.len(), expires_at);
        // SAFETY: the body has room for text.len() bytes.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), entry.body(), text.len()) };
        entry
    }

    /// An entry of any value.
    pub(crate) fn new(key: &[u8], value: Value, expires_at: Option<u64>) -> Self {
        let kind = match &value {
            Value::Inline(text) => return Self::inline(key, text, expires_at),
            Value::Integer(_) => Kind::Integer,
            Value::Raw(_) => Kind::Raw,
            Value::List(_) => Kind::List,
            Value::Set(_) => Kind::Set,
            Value::Hash(_) => Kind::Hash,
            Value::Zset(_) => Kind::Zset,
            Value::Stream(_) => Kind::Stream,
        };
        let entry = Self::allocate(kind, key, 0, expires_at);
        let body = entry.body();
        // SAFETY: the body of this kind has the size of what is written, and bodies of these kinds are aligned to 8.
        unsafe {
            match value {
                Value::Inline(_) => {}
                Value::Integer(value) => body.cast::<i64>().write(value),
                Value::Raw(text) => body.cast::<Thin<()>>().write(text),
                Value::List(list) => body.cast::<Box<List>>().write(list),
                Value::Set(set) => body.cast::<Set>().write(set),
                Value::Hash(hash) => body.cast::<Hash>().write(hash),
                Value::Zset(zset) => body.cast::<Zset>().write(zset),
                Value::Stream(stream) => body.cast::<Box<Stream>>().write(stream),
            }
        }
        entry
    }

    /// An entry whose body is not written yet.
    fn allocate(kind: Kind, key: &[u8], text_len: usize, expires_at: Option<u64>) -> Self {
        let (expiry_at, body_at) = offsets(kind, key.len(), expires_at.is_some());
        let used = body_at + kind.body_len(text_len);
        // A larger one would be rounded up by more than the header can say.
        let size = if used <= 4096 { size_class(used) } else { used };
        let raw = unsafe_alloc(size);
        let header = Header {
            key_len: key.len() as u32,
            text_len: text_len as u32,
            access: AtomicU32::new(0),
            kind,
            flags: if expires_at.is_some() { HAS_EXPIRY } else { 0 },
            slack: (size - used) as u16,
        };
        // SAFETY: `raw` is fresh and has room for header, key, expiry and body, in this order.
        unsafe {
            raw.cast::<Header>().write(header);
            std::ptr::copy_nonoverlapping(key.as_ptr(), raw.as_ptr().add(HEADER), key.len());
            if let Some(date) = expires_at {
                raw.as_ptr().add(expiry_at).cast::<u64>().write(date);
            }
        }
        Self(raw.cast())
    }

    pub(super) fn look(&self) -> EntryRef<'_> {
        EntryRef(self.0, PhantomData)
    }

    /// A look, to change the value in place.
    pub(super) fn look_mut(&mut self) -> EntryMut<'_> {
        EntryMut(self.0, PhantomData)
    }

    fn header_mut(&mut self) -> &mut Header {
        // SAFETY: the header is initialized, and self is borrowed exclusively.
        unsafe { self.0.as_mut() }
    }

    fn body(&self) -> *mut u8 {
        self.look().body()
    }

    fn size(&self) -> usize {
        self.look().footprint_of_entry()
    }

    /// Sets or clears the date; the entry moves if it had none before or has none afterwards.
    pub(crate) fn set_expiry(&mut self, expires_at: Option<u64>) {
        let had = self.look().expires_at().is_some();
        match expires_at {
            Some(date) if had => {
                let (expiry_at, _) = offsets(self.look().header().kind, self.look().key().len(), true);
                // SAFETY: an entry with the flag has its date there.
                unsafe { self.0.as_ptr().cast::<u8>().add(expiry_at).cast::<u64>().write(date) };
            }
            None if !had => {}
            _ => {
                let access = self.look().access();
                let mut moved = match self.look().view() {
                    View::Inline(text) => Self::inline(self.look().key(), text, expires_at),
                    _ => {
                        let value = self.take_value();
                        Self::new(self.look().key(), value, expires_at)
                    }
                };
                moved.header_mut().access = AtomicU32::new(access);
                *self = moved;
            }
        }
    }

    /// Takes the value out and leaves the integer 0 in its place.
    fn take_value(&mut self) -> Value {
        let body = self.body();
        // SAFETY: the kind says what the body is; it is read once, because the kind changes below.
        let value = unsafe {
            match self.look().header().kind {
                Kind::Inline => Value::Inline(self.look().inline_text().into()),
                Kind::Integer => Value::Integer(body.cast::<i64>().read()),
                Kind::Raw => Value::Raw(body.cast::<Thin<()>>().read()),
                Kind::List => Value::List(body.cast::<Box<List>>().read()),
                Kind::Set => Value::Set(body.cast::<Set>().read()),
                Kind::Hash => Value::Hash(body.cast::<Hash>().read()),
                Kind::Zset => Value::Zset(body.cast::<Zset>().read()),
                Kind::Stream => Value::Stream(body.cast::<Box<Stream>>().read()),
            }
        };
        let key_len = self.look().key().len();
        let expiry = self.look().expires_at();
        let size = self.size();
        // The emptied entry becomes an inline text of no bytes: the body begins at the key's end again.
        let (_, body_at) = offsets(Kind::Inline, key_len, expiry.is_some());
        let header = self.header_mut();
        header.kind = Kind::Inline;
        header.text_len = (size - body_at) as u32;
        header.slack = 0;
        value
    }

    /// Ends the entry and hands its value over.
    pub(crate) fn into_value(mut self) -> Value {
        self.take_value()
    }

    /// Writes a text over an inline text, if it fits in the same allocation without wasting half of it.
    fn overwrite(&mut self, text: &[u8]) -> bool {
        let (old, slack) = (self.header_mut().text_len as usize, self.header_mut().slack as usize);
        let room = old + slack;
        let fits = text.len() <= room && (room <= 64 || text.len() >= room / 2);
        if self.header_mut().kind != Kind::Inline || !fits || room - text.len() > u16::MAX as usize {
            return false;
        }
        // SAFETY: the body has room for text.len() bytes, and `text` belongs to a request or another entry.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), self.body(), text.len()) };
        let header = self.header_mut();
        header.text_len = text.len() as u32;
        header.slack = (room - text.len()) as u16;
        true
    }

    /// Replaces the value by a text, and the date. Returns what was there, if the text was not written over it.
    pub(crate) fn set_text(&mut self, text: &[u8], expires_at: Option<u64>) -> Option<Self> {
        let same_expiry_form = self.look().expires_at().is_some() == expires_at.is_some();
        if same_expiry_form && parse_i64(text).is_none() && self.overwrite(text) {
            self.set_expiry(expires_at);
            return None;
        }
        let new = Self::text(self.look().key(), text, expires_at);
        Some(std::mem::replace(self, new))
    }

    /// Replaces the value, and the date. Returns what was there.
    pub(crate) fn set_value(&mut self, value: Value, expires_at: Option<u64>) -> Self {
        let new = Self::new(self.look().key(), value, expires_at);
        std::mem::replace(self, new)
    }

    /// The text of a string entry in a form that can be edited; `None` if the value is no string.
    pub(crate) fn edit_text(&mut self) -> Option<&mut Thin<()>> {
        let owned = match self.look().view() {
            View::Inline(text) => Some(Thin::new((), text)),
            View::Integer(value) => Some(Thin::new((), &Text::integer(value))),
            View::Raw(_) => None,
            _ => return None,
        };
        if let Some(text) = owned {
            let expires_at = self.look().expires_at();
            self.set_value(Value::Raw(text), expires_at);
        }
        // SAFETY: the kind is Raw now, whose body is a Thin<()>, and self is borrowed exclusively.
        Some(unsafe { &mut *self.body().cast::<Thin<()>>() })
    }
}

fn unsafe_alloc(size: usize) -> NonNull<u8> {
    // SAFETY: the size is never zero, a header is always there.
    let raw = unsafe { alloc::alloc(layout(size)) };
    NonNull::new(raw).unwrap_or_else(|| handle_alloc_error(layout(size)))
}

impl Drop for Entry {
    fn drop(&mut self) {
        let size = self.size();
        let body = self.body();
        // SAFETY: the kind says what the body is; the allocation was made with this layout and is owned.
        unsafe {
            match self.look().header().kind {
                Kind::Inline | Kind::Integer => {}
                Kind::Raw => body.cast::<Thin<()>>().drop_in_place(),
                Kind::List => body.cast::<Box<List>>().drop_in_place(),
                Kind::Set => body.cast::<Set>().drop_in_place(),
                Kind::Hash => body.cast::<Hash>().drop_in_place(),
                Kind::Zset => body.cast::<Zset>().drop_in_place(),
                Kind::Stream => body.cast::<Box<Stream>>().drop_in_place(),
            }
            alloc::dealloc(self.0.as_ptr().cast(), layout(size));
        }
    }
}

impl<'a> EntryRef<'a> {
    #[inline]
    fn header(self) -> &'a Header {
        // SAFETY: the entry lives, and its header is initialized, during 'a.
        unsafe { &*self.0.as_ptr() }
    }

    #[inline]
    fn body(self) -> *mut u8 {
        let header = self.header();
        let (_, body_at) = offsets(header.kind, header.key_len as usize, header.flags & HAS_EXPIRY != 0);
        // SAFETY: the body begins there, within the allocation.
        unsafe { self.0.as_ptr().cast::<u8>().add(body_at) }
    }

    #[inline]
    fn inline_text(self) -> &'a [u8] {
        // SAFETY: an inline body is text_len initialized bytes.
        unsafe { std::slice::from_raw_parts(self.body(), self.header().text_len as usize) }
    }

    /// The date after which the key counts as gone, in Unix milliseconds.
    #[inline]
    pub(crate) fn expires_at(self) -> Option<u64> {
        let header = self.header();
        if header.flags & HAS_EXPIRY == 0 {
            return None;
        }
        let (expiry_at, _) = offsets(header.kind, header.key_len as usize, true);
        // SAFETY: an entry with the flag has its date there, aligned.
        Some(unsafe { self.0.as_ptr().cast::<u8>().add(expiry_at).cast::<u64>().read() })
    }

    /// What the last access left: a clock or a counter, as the eviction policy wants it.
    pub(crate) fn access(self) -> u32 {
        self.header().access.load(Ordering::Relaxed)
    }

    /// Records an access. Written only when it changes something, to leave the cache line clean.
    #[inline]
    pub(crate) fn set_access(self, access: u32) {
        let cell = &self.header().access;
        if cell.load(Ordering::Relaxed) != access {
            cell.store(access, Ordering::Relaxed);
        }
    }

    /// The value.
    #[inline]
    pub(crate) fn view(self) -> View<'a> {
        let body = self.body();
        // SAFETY: the kind says what the body is, and it stays unchanged during 'a.
        unsafe {
            match self.header().kind {
                Kind::Inline => View::Inline(self.inline_text()),
                Kind::Integer => View::Integer(body.cast::<i64>().read()),
                Kind::Raw => View::Raw(&*body.cast()),
                Kind::List => View::List(&*body.cast::<Box<List>>()),
                Kind::Set => View::Set(&*body.cast()),
                Kind::Hash => View::Hash(&*body.cast()),
                Kind::Zset => View::Zset(&*body.cast()),
                Kind::Stream => View::Stream(&*body.cast::<Box<Stream>>()),
            }
        }
    }

    fn footprint_of_entry(self) -> usize {
        let header = self.header();
        let (_, body_at) = offsets(header.kind, header.key_len as usize, header.flags & HAS_EXPIRY != 0);
        body_at + header.kind.body_len(header.text_len as usize) + header.slack as usize
    }

    /// Bytes taken from the allocator; a collection is measured on `samples` elements (0: on all).
    pub(crate) fn footprint(self, samples: usize) -> usize {
        let value = match self.view() {
            View::Inline(_) | View::Integer(_) => 0,
            View::Raw(text) => text.footprint(),
            View::List(list) => list.footprint(samples),
            View::Set(set) => set.footprint(samples),
            View::Hash(hash) => hash.footprint(samples),
            View::Zset(zset) => zset.footprint(samples),
            View::Stream(stream) => stream.footprint(samples),
        };
        self.footprint_of_entry() + value
    }
}

impl<'a> Keyed<'a> for EntryRef<'a> {
    #[inline]
    fn key(self) -> &'a [u8] {
        // SAFETY: the key is key_len initialized bytes right behind the header.
        unsafe {
            let start = self.0.as_ptr().cast::<u8>().add(HEADER);
            std::slice::from_raw_parts(start, self.header().key_len as usize)
        }
    }
}

impl<'a> EntryMut<'a> {
    /// The value, to look at it.
    pub(crate) fn view(&self) -> View<'_> {
        EntryRef(self.0, PhantomData).view()
    }

    /// The value, to change it in place.
    pub(crate) fn into_view(self) -> ViewMut<'a> {
        let look = EntryRef(self.0, PhantomData);
        let body = look.body();
        // SAFETY: the kind says what the body is, and nobody else looks at it during 'a.
        unsafe {
            match look.header().kind {
                Kind::Inline | Kind::Integer | Kind::Raw => ViewMut::Text,
                Kind::List => ViewMut::List(&mut *body.cast::<Box<List>>()),
                Kind::Set => ViewMut::Set(&mut *body.cast()),
                Kind::Hash => ViewMut::Hash(&mut *body.cast()),
                Kind::Zset => ViewMut::Zset(&mut *body.cast()),
                Kind::Stream => ViewMut::Stream(&mut *body.cast::<Box<Stream>>()),
            }
        }
    }
}

// SAFETY: an entry is one allocation aligned to 8, whose address is the raw pointer.
unsafe impl Item for Entry {
    type Ref<'a> = EntryRef<'a>;
    type Mut<'a> = EntryMut<'a>;

    fn into_raw(self) -> NonNull<u8> {
        std::mem::ManuallyDrop::new(self).0.cast()
    }
    unsafe fn from_raw(raw: NonNull<u8>) -> Self {
        Self(raw.cast())
    }
    #[inline]
    unsafe fn view_raw<'a>(raw: NonNull<u8>) -> EntryRef<'a> {
        EntryRef(raw.cast(), PhantomData)
    }
    unsafe fn mut_raw<'a>(raw: NonNull<u8>) -> EntryMut<'a> {
        EntryMut(raw.cast(), PhantomData)
    }
    fn view(&self) -> EntryRef<'_> {
        self.look()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::HashKey;
    use crate::types::Thresholds;

    fn text_of(entry: &Entry) -> Vec<u8> {
        match entry.look().view() {
            View::Inline(text) => text.to_vec(),
            View::Integer(value) => Text::integer(value).to_vec(),
            View::Raw(text) => text.bytes().to_vec(),
            _ => panic!("no string"),
        }
    }

    #[test]
    fn texts_of_every_form_come_and_go() {
        let long = vec![b'x'; 5000];
        let texts: [&[u8]; 6] = [b"", b"value", b"-12", &long, b"another value, somewhat longer", b"9"];
        for key in [&b"k"[..], b"a-key-of-16-byte", &[7; 300]] {
            let mut entry = Entry::text(key, b"first", None);
            for (round, text) in texts.iter().cycle().take(24).enumerate() {
                let date = (round % 3 == 0).then_some(round as u64);
                entry.set_text(text, date);
                assert_eq!((entry.look().key(), &*text_of(&entry)), (key, *text));
                assert_eq!(entry.look().expires_at(), date);
                entry.set_expiry(Some(77));
                entry.set_expiry(None);
                assert_eq!(text_of(&entry), *text);
            }
            entry.edit_text().unwrap().extend(b"+more");
            assert_eq!(text_of(&entry), b"9+more");
        }
    }

    #[test]
    fn collections_survive_a_change_of_date() {
        let mut hash = Hash::new();
        for n in 0..600 {
            hash.set(format!("f{n}").as_bytes(), b"v", &Thresholds::default(), HashKey::default());
        }
        let mut entry = Entry::new(b"key", Value::Hash(hash), None);
        entry.set_expiry(Some(5));
        entry.set_expiry(Some(6));
        assert_eq!(entry.look().expires_at(), Some(6));
        entry.set_expiry(None);
        let Value::Hash(hash) = entry.into_value() else { panic!("a hash went in") };
        assert_eq!(hash.len(), 600);
    }
}
