//! Packed elements: a count and then one element behind the other, in one allocation.
//!
//! Purpose: a hash of five short fields costs 80 bytes so, and 300 as a table. Elements are found by walking, which
//! beats hashing as long as everything sits in a few cache lines.
//! Element: one head byte, then what it announces.
//! ```text
//! 0lllllll                    l bytes
//! 10llllll llllllll           l bytes, big-endian length
//! 11000000 u32                that many bytes, little-endian length
//! 1100nnnn (n = 1..8)         an integer of n bytes, little-endian, sign-extended
//! 11001001 f64                a double, little-endian
//! 110wwwww (w = 10..31)       a word that many hashes have, see [`super::word`]
//! 111vvvvv                    the integer v
//! ```
//! Law: text that is a canonical integer is always stored as one, in its shortest form, and a word always as one, so
//! that equal elements have equal bytes. Not here: the listpack of Redis, whose bytes go into files; this form never
//! leaves the process.

use super::text::{Scalar, Text};
use super::word;
use crate::number::parse_i64;
use crate::thin::Thin;

const LONG: u8 = 0xC0;
const FLOAT: u8 = 0xC9;
const SMALL_INTEGER: u8 = 0xE0;
/// Elements a pack can count.
pub(crate) const ELEMENTS_MAX: usize = u16::MAX as usize;
const COUNT_BYTES: usize = 2;
/// Pairs that [`Pack::set_pairs`] takes at once.
pub(crate) const PAIRS_MAX: usize = 16;
/// Room left in a pack whose pairs change: it is edited again, most likely.
const ROOM_TO_EDIT: usize = 16;

/// A name and its value, on their way into a pack.
pub(crate) type NamedScalar<'a> = (&'a [u8], Scalar<'a>);

/// Whether a name is stored as a word, or as one byte of length and its bytes: short, and never taken for a number.
pub(crate) fn is_plain_name(name: &[u8]) -> bool {
    name.len() <= 0x7f && matches!(name, [first, ..] if !matches!(first, b'0'..=b'9' | b'-'))
}

/// A plain name as it is stored.
#[derive(Clone, Copy)]
struct Name<'a> {
    head: u8,
    body: &'a [u8],
}

impl<'a> Name<'a> {
    #[inline]
    fn of(name: &'a [u8]) -> Self {
        match word::byte_of(name) {
            Some(head) => Self { head, body: &[] },
            None => Self { head: name.len() as u8, body: name },
        }
    }

    /// The names of pairs.
    #[inline]
    fn all(pairs: &[NamedScalar<'a>]) -> [Self; PAIRS_MAX] {
        debug_assert!(pairs.len() <= PAIRS_MAX && pairs.iter().all(|(name, _)| is_plain_name(name)));
        let mut names = [Self { head: 0, body: &[] }; PAIRS_MAX];
        names.iter_mut().zip(pairs).for_each(|(name, pair)| *name = Self::of(pair.0));
        names
    }

    /// Whether `data` begins with it.
    #[inline]
    fn begins(self, data: &[u8]) -> bool {
        data[0] == self.head && (self.body.is_empty() || data[1..=self.body.len()] == *self.body)
    }
}

/// How many bytes pairs take.
#[inline]
fn bytes_of<'a>(pairs: impl Iterator<Item = (Name<'a>, Encoded<'a>)>) -> usize {
    pairs.map(|(name, value)| 1 + name.body.len() + value.len()).sum()
}

/// The integer that a text is, which most texts show by their first byte not to be.
#[inline]
fn integer_in(text: &[u8]) -> Option<i64> {
    if matches!(text, [b'0'..=b'9' | b'-', ..]) { parse_i64(text) } else { None }
}

/// The numbers of the bits that are set, from the lowest on.
fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let number = bits.trailing_zeros();
        bits &= bits.wrapping_sub(1);
        (number < u64::BITS).then_some(number as usize)
    })
}

/// One element, decoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Element<'a> {
    /// Text that is no canonical integer.
    Bytes(&'a [u8]),
    /// An integer.
    Integer(i64),
    /// A score that is no integer.
    Float(f64),
}

impl<'a> Element<'a> {
    /// The element as text.
    pub(crate) fn text(self) -> Text<'a> {
        match self {
            Self::Bytes(bytes) => Text::Bytes(bytes),
            Self::Integer(value) => Text::integer(value),
            Self::Float(_) => Text::Bytes(b""), // Scores are asked for as such.
        }
    }

    /// The element as a value.
    pub(crate) fn scalar(self) -> Scalar<'a> {
        match self {
            Self::Bytes(bytes) => Scalar::Bytes(bytes),
            Self::Integer(value) => Scalar::Integer(value),
            Self::Float(_) => Scalar::Bytes(b""), // Scores are asked for as such.
        }
    }

    /// The element as a score.
    pub(crate) fn score(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Float(value) => value,
            Self::Bytes(_) => 0.0, // Members are asked for as text.
        }
    }
}

/// One element, encoded: a head and the bytes behind it.
pub(crate) struct Encoded<'a> {
    head: [u8; 9],
    head_len: usize,
    body: &'a [u8],
}

impl<'a> Encoded<'a> {
    /// Encodes text, as an integer if it is one.
    pub(crate) fn text(text: &'a [u8]) -> Self {
        match integer_in(text) {
            Some(value) => Self::integer(value),
            None => match word::byte_of(text) {
                Some(head) => Self { head: [head, 0, 0, 0, 0, 0, 0, 0, 0], head_len: 1, body: &[] },
                None => Self::bytes(text),
            },
        }
    }

    /// Encodes a score, as an integer if it is a moderate one. Minus zero becomes zero, as in a Redis listpack.
    pub(crate) fn score(score: f64) -> Self {
        let exact = score == score.trunc() && score.abs() < 9_007_199_254_740_992.0;
        if exact {
            return Self::integer(score as i64);
        }
        let mut head = [0; 9];
        head[0] = FLOAT;
        head[1..].copy_from_slice(&score.to_le_bytes());
        Self { head, head_len: 9, body: &[] }
    }

    /// Encodes a value as it is stored.
    pub(crate) fn scalar(value: Scalar<'a>) -> Self {
        match value {
            Scalar::Bytes(bytes) => Self::text(bytes),
            Scalar::Integer(value) => Self::integer(value),
        }
    }

    /// Encodes an integer.
    #[inline]
    pub(crate) fn integer(value: i64) -> Self {
        let mut head = [0; 9];
        if (0..32).contains(&value) {
            head[0] = SMALL_INTEGER | value as u8;
            return Self { head, head_len: 1, body: &[] };
        }
        let magnitude_bits = 65 - if value < 0 { value.leading_ones() } else { value.leading_zeros() };
        let bytes = magnitude_bits.div_ceil(8) as usize;
        head[0] = LONG | bytes as u8;
        head[1..].copy_from_slice(&value.to_le_bytes());
        Self { head, head_len: 1 + bytes, body: &[] }
    }

    #[inline]
    fn bytes(body: &'a [u8]) -> Self {
        let mut head = [0; 9];
        let head_len = match body.len() {
            len @ 0..=0x7f => {
                head[0] = len as u8;
                1
            }
            len @ 0x80..=0x3fff => {
                head[..2].copy_from_slice(&(0x8000 | len as u16).to_be_bytes());
                2
            }
            len => {
                head[0] = LONG;
                head[1..5].copy_from_slice(&(len as u32).to_le_bytes());
                5
            }
        };
        Self { head, head_len, body }
    }

    /// How many bytes it takes.
    pub(crate) fn len(&self) -> usize {
        self.head_len + self.body.len()
    }

    /// Head and body.
    pub(crate) fn pieces(&self) -> [&[u8]; 2] {
        [&self.head[..self.head_len], self.body]
    }

    /// Whether `data` begins with this element.
    #[inline]
    pub(crate) fn begins(&self, data: &[u8]) -> bool {
        data.len() >= self.len()
            && data[..self.head_len] == self.head[..self.head_len]
            && data[self.head_len..self.len()] == *self.body
    }
}

/// How many bytes the element at the beginning of `data` takes.
#[inline]
pub(crate) fn skip(data: &[u8]) -> usize {
    match data[0] {
        head @ 0..=0x7f => 1 + head as usize,
        head @ 0x80..=0xbf => 2 + (((head & 0x3f) as usize) << 8 | data[1] as usize),
        LONG => 5 + u32::from_le_bytes([data[1], data[2], data[3], data[4]]) as usize,
        FLOAT => 9,
        head @ 0xc1..=0xc8 => 1 + (head & 0x0f) as usize,
        _ => 1,
    }
}

/// The element at the beginning of `data` and how many bytes it takes.
#[inline]
pub(crate) fn read(data: &[u8]) -> (Element<'_>, usize) {
    match data[0] {
        // Short texts and integers are nearly all there is.
        len @ 0..=0x7f => (Element::Bytes(&data[1..=usize::from(len)]), 1 + usize::from(len)),
        head @ word::FIRST..=word::LAST => (Element::Bytes(word::of_byte(head)), 1),
        head @ SMALL_INTEGER.. => (Element::Integer(i64::from(head & 0x1f)), 1),
        head @ 0xc1..=0xc8 => {
            (Element::Integer(integer_of(&data[1..], head & 0x0f)), 1 + usize::from(head & 0x0f))
        }
        head => {
            let len = skip(data);
            let element = match head {
                LONG => Element::Bytes(&data[5..len]),
                FLOAT => Element::Float(f64::from_le_bytes(eight(&data[1..len]))),
                _ => Element::Bytes(&data[2..len]),
            };
            (element, len)
        }
    }
}

/// The integer in the first `len` bytes.
#[inline]
fn integer_of(data: &[u8], len: u8) -> i64 {
    // Eight bytes at once where there are so many, whatever the others are: they are shifted out.
    let bytes = data.first_chunk().copied().unwrap_or_else(|| eight(&data[..usize::from(len)]));
    let unused = 64 - 8 * u32::from(len);
    // Shifting up and down again copies the sign into the bytes that were left out.
    i64::from_le_bytes(bytes) << unused >> unused
}

fn eight(bytes: &[u8]) -> [u8; 8] {
    let mut out = [0; 8];
    out[..bytes.len()].copy_from_slice(bytes);
    out
}

/// A counted sequence of packed elements.
#[derive(Clone)]
pub(crate) struct Pack {
    data: Thin<()>,
}

impl Pack {
    /// An empty pack.
    pub(crate) fn new() -> Self {
        Self { data: Thin::new((), &[0; COUNT_BYTES]) }
    }

    /// A pack of pairs; see [`Self::set_pairs`].
    pub(crate) fn of_pairs(pairs: &[NamedScalar<'_>]) -> Self {
        let names = Name::all(pairs);
        let elements = || (0..pairs.len()).map(|number| (names[number], Encoded::scalar(pairs[number].1)));
        let mut pack = Self { data: Thin::with_capacity((), COUNT_BYTES + bytes_of(elements())) };
        pack.data.extend(&[0; COUNT_BYTES]);
        pack.push_pairs(elements());
        pack
    }

    /// How many elements there are.
    pub(crate) fn len(&self) -> usize {
        let bytes = self.data.bytes();
        u16::from_le_bytes([bytes[0], bytes[1]]) as usize
    }

    fn set_len(&mut self, len: usize) {
        debug_assert!(len <= ELEMENTS_MAX);
        self.data.bytes_mut()[..COUNT_BYTES].copy_from_slice(&(len as u16).to_le_bytes());
    }

    /// Bytes taken from the allocator.
    pub(crate) fn footprint(&self) -> usize {
        self.data.footprint()
    }

    /// A text that is one of its elements.
    pub(crate) fn text<'a>(&'a self, element: &'a [u8]) -> Text<'a> {
        Text::within(self.data.look(), element)
    }

    /// The encoded bytes from `at` on.
    pub(crate) fn from(&self, at: usize) -> &[u8] {
        &self.data.bytes()[at..]
    }

    /// Gives back room that is not used, if that is worth an allocation.
    pub(crate) fn shrink(&mut self) {
        self.data.shrink();
    }

    /// Where the first element begins.
    pub(crate) fn start(&self) -> usize {
        COUNT_BYTES
    }

    /// Where the elements end.
    pub(crate) fn end(&self) -> usize {
        self.data.len()
    }

    /// All elements.
    pub(crate) fn iter(&self) -> Elements<'_> {
        Elements { rest: self.from(COUNT_BYTES) }
    }

    /// Where the first of every `stride` elements that equals `wanted` begins.
    #[inline]
    pub(crate) fn find(&self, wanted: &Encoded<'_>, stride: usize) -> Option<usize> {
        let data = self.data.bytes();
        let mut at = COUNT_BYTES;
        while at < data.len() {
            if wanted.begins(&data[at..]) {
                return Some(at);
            }
            for _ in 0..stride {
                at += skip(&data[at..]);
            }
        }
        None
    }

    /// Where the element number `index` begins; it must exist.
    pub(crate) fn offset_of(&self, index: usize) -> usize {
        let data = self.data.bytes();
        (0..index).fold(COUNT_BYTES, |at, _| at + skip(&data[at..]))
    }

    /// The `N` elements from `at` on.
    pub(crate) fn read_at<const N: usize>(&self, at: usize) -> [Element<'_>; N] {
        let mut elements = Elements { rest: self.from(at) };
        std::array::from_fn(|_| elements.next().unwrap_or(Element::Bytes(b"")))
    }

    /// Inserts elements before the one at `at`.
    pub(crate) fn insert(&mut self, at: usize, elements: &[&Encoded<'_>]) {
        let count = self.len() + elements.len();
        let mut place = at;
        for element in elements {
            self.data.splice(place, 0, &element.pieces());
            place += element.len();
        }
        self.set_len(count);
    }

    /// Replaces the element at `at`.
    pub(crate) fn replace(&mut self, at: usize, element: &Encoded<'_>) {
        let removed = skip(self.from(at));
        self.data.splice(at, removed, &element.pieces());
    }

    /// Sets the values of keys in a pack of keys and values, in one walk: values of keys that are there are replaced,
    /// the others are appended in their order. There are at most [`PAIRS_MAX`], no key is named twice, and each is a
    /// plain name. Says how many are new.
    pub(crate) fn set_pairs(&mut self, pairs: &[NamedScalar<'_>]) -> usize {
        let names = Name::all(pairs);
        let mut open: u64 = (1 << pairs.len()) - 1;
        let mut at = COUNT_BYTES;
        while at < self.data.len() && open != 0 {
            let data = &self.data.bytes()[at..];
            let found = ones(open).find(|&number| names[number].begins(data));
            let value = at + skip(data);
            at = match found {
                Some(number) => {
                    open &= !(1 << number);
                    let element = Encoded::scalar(pairs[number].1);
                    self.replace(value, &element);
                    value + element.len()
                }
                None => value + skip(self.from(value)),
            };
        }
        let new = || ones(open).map(|number| (names[number], Encoded::scalar(pairs[number].1)));
        if open != 0 {
            self.data.make_room(bytes_of(new()), ROOM_TO_EDIT);
            self.push_pairs(new());
        }
        open.count_ones() as usize
    }

    /// Appends pairs.
    fn push_pairs<'a>(&mut self, pairs: impl Iterator<Item = (Name<'a>, Encoded<'a>)>) {
        let mut len = self.len();
        for (name, value) in pairs {
            let [head, body] = value.pieces();
            self.data.append(&[&[name.head], name.body, head, body]);
            len += 2;
        }
        self.set_len(len);
    }

    /// Removes the `count` elements from `at` on.
    pub(crate) fn remove(&mut self, at: usize, count: usize) {
        let mut end = at;
        for _ in 0..count {
            end += skip(self.from(end));
        }
        let left = self.len() - count;
        self.data.splice(at, end - at, &[]);
        self.set_len(left);
        if self.data.capacity() > 128 && self.data.len() < self.data.capacity() / 2 {
            self.data.shrink();
        }
    }
}

/// Elements of a pack, one after the other.
#[derive(Clone)]
pub(crate) struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (element, len) = read(self.rest);
        self.rest = &self.rest[len..];
        Some(element)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(element: Element<'_>) -> Vec<u8> {
        element.text().to_vec()
    }

    #[test]
    fn every_form_comes_back() {
        let long = vec![b'x'; 200];
        let huge = vec![b'y'; 70_000];
        let texts: Vec<&[u8]> = vec![
            b"",
            b"a",
            &long,
            &huge,
            b"0",
            b"31",
            b"32",
            b"-1",
            b"127",
            b"128",
            b"-128",
            b"-129",
            b"65536",
            b"9223372036854775807",
            b"-9223372036854775808",
            b"007",
            b"1e3",
            b"state",
            b"stats",
        ];
        let mut pack = Pack::new();
        for text in &texts {
            let end = pack.end();
            pack.insert(end, &[&Encoded::text(text)]);
        }
        assert_eq!(pack.len(), texts.len());
        assert_eq!(pack.iter().map(text_of).collect::<Vec<_>>(), texts);
        for text in &texts {
            assert!(pack.find(&Encoded::text(text), 1).is_some());
        }
        assert!(pack.find(&Encoded::text(b"absent"), 1).is_none());
    }

    #[test]
    fn scores_come_back() {
        for score in [0.0, 1.0, -3.0, 0.1, 1e300, f64::INFINITY, f64::NEG_INFINITY, 9_007_199_254_740_994.0] {
            let encoded = Encoded::score(score);
            let bytes = encoded.pieces().concat();
            assert_eq!(read(&bytes).0.score(), score);
        }
    }

    #[test]
    fn pairs_are_set_in_one_walk_as_one_by_one() {
        let mut words: Vec<String> =
            (0..40).map(|n| "x".repeat(1 + n % 7) + &(n * 37 % 11).to_string()).collect();
        words.extend(["state", "until", "due"].map(str::to_owned));
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..2000 {
            let (mut once, mut one_by_one) = (Pack::new(), Pack::new());
            for _ in 0..rng.usize(1..4) {
                let count = rng.usize(..12);
                let mut keys: Vec<&String> = rng.choose_multiple(&words, count);
                let mut seen = std::collections::BTreeSet::new();
                keys.retain(|key| seen.insert(key.as_bytes()));
                let pairs: Vec<NamedScalar<'_>> = keys
                    .iter()
                    .map(|key| match rng.usize(..words.len() + 5) {
                        number if number < words.len() => {
                            (key.as_bytes(), Scalar::Bytes(&words[number].as_bytes()[rng.usize(..2)..]))
                        }
                        _ => (key.as_bytes(), Scalar::Integer(rng.i64(..) >> rng.u32(..64))),
                    })
                    .collect();
                let mut added = 0;
                for &(key, value) in &pairs {
                    let (key, value) = (Encoded::text(key), Encoded::scalar(value));
                    match one_by_one.find(&key, 2) {
                        Some(at) => one_by_one.replace(at + key.len(), &value),
                        None => {
                            one_by_one.insert(one_by_one.end(), &[&key, &value]);
                            added += 1;
                        }
                    }
                }
                if once.len() == 0 {
                    assert_eq!(Pack::of_pairs(&pairs).data.bytes(), one_by_one.data.bytes());
                }
                assert_eq!(once.set_pairs(&pairs), added);
                assert_eq!(once.data.bytes(), one_by_one.data.bytes());
            }
        }
    }

    #[test]
    fn plain_names_are_those_that_are_stored_as_they_are() {
        for (name, plain) in [("state", true), ("lost-max", true), ("", false), ("7", false), ("-1", false)] {
            assert_eq!(is_plain_name(name.as_bytes()), plain, "{name}");
        }
        assert!(is_plain_name(&[b'x'; 127]) && !is_plain_name(&[b'x'; 128]));
    }

    #[test]
    fn removal_and_replacement_keep_the_rest() {
        let mut pack = Pack::new();
        for n in 0..50 {
            let text = format!("element-{n}");
            let end = pack.end();
            pack.insert(end, &[&Encoded::text(text.as_bytes())]);
        }
        let at = pack.offset_of(10);
        pack.remove(at, 30);
        let at = pack.offset_of(10);
        pack.replace(at, &Encoded::text(b"7"));
        let left: Vec<_> = pack.iter().map(text_of).collect();
        assert_eq!(left.len(), 20);
        assert_eq!(
            (&left[9][..], &left[10][..], &left[11][..]),
            (&b"element-9"[..], &b"7"[..], &b"element-41"[..])
        );
    }
}
