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
//! 111vvvvv                    the integer v
//! ```
//! Law: text that is a canonical integer is always stored as one, in its shortest form, so that equal elements have
//! equal bytes. Not here: the listpack of Redis, whose bytes go into files; this form never leaves the process.

use super::text::{Scalar, Text};
use crate::number::parse_i64;
use crate::thin::Thin;

const LONG: u8 = 0xC0;
const FLOAT: u8 = 0xC9;
const SMALL_INTEGER: u8 = 0xE0;
/// Elements a pack can count.
pub(crate) const ELEMENTS_MAX: usize = u16::MAX as usize;
const COUNT_BYTES: usize = 2;
/// Pairs that [`Pack::set_pairs`] takes at once.
pub(crate) const PAIRS_MAX: usize = u64::BITS as usize;

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
        match parse_i64(text) {
            Some(value) => Self::integer(value),
            None => Self::bytes(text),
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
    let len = skip(data);
    let element = match data[0] {
        0..=0x7f => Element::Bytes(&data[1..len]),
        0x80..=0xbf => Element::Bytes(&data[2..len]),
        LONG => Element::Bytes(&data[5..len]),
        FLOAT => Element::Float(f64::from_le_bytes(eight(&data[1..9]))),
        0xc1..=0xc8 => {
            let unused = 64 - 8 * (len as u32 - 1);
            // Shifting up and down again copies the sign into the bytes that were left out.
            Element::Integer(i64::from_le_bytes(eight(&data[1..len])) << unused >> unused)
        }
        head => Element::Integer(i64::from(head & 0x1f)),
    };
    (element, len)
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
    /// the others are appended in their order. No key is named twice. Says how many are new.
    pub(crate) fn set_pairs(&mut self, pairs: &[[Encoded<'_>; 2]]) -> usize {
        debug_assert!(pairs.len() <= PAIRS_MAX);
        let mut open: u64 = if pairs.len() == PAIRS_MAX { u64::MAX } else { (1 << pairs.len()) - 1 };
        let mut at = COUNT_BYTES;
        while at < self.data.len() && open != 0 {
            let data = &self.data.bytes()[at..];
            let key = skip(data);
            let is_here = |[wanted, _]: &[Encoded<'_>; 2]| {
                wanted.len() == key && wanted.head[0] == data[0] && wanted.begins(data)
            };
            let found = ones(open).find(|&number| is_here(&pairs[number]));
            let value = at + key;
            at = value
                + match found {
                    Some(number) => {
                        open &= !(1 << number);
                        self.replace(value, &pairs[number][1]);
                        pairs[number][1].len()
                    }
                    None => skip(&data[key..]),
                };
        }
        let new = || ones(open).flat_map(|number| &pairs[number]);
        self.data.reserve(new().map(Encoded::len).sum());
        new().flat_map(Encoded::pieces).for_each(|piece| self.data.extend(piece));
        let added = open.count_ones() as usize;
        self.set_len(self.len() + 2 * added);
        added
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
        let words: Vec<String> = (0..40).map(|n| "x".repeat(n % 7) + &(n * 37 % 11).to_string()).collect();
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..2000 {
            let (mut once, mut one_by_one) = (Pack::new(), Pack::new());
            for _ in 0..rng.usize(1..4) {
                let count = rng.usize(..12);
                let mut keys: Vec<&String> = rng.choose_multiple(&words, count);
                let mut seen = std::collections::BTreeSet::new();
                keys.retain(|key| seen.insert(key.as_bytes()));
                let pairs: Vec<[&String; 2]> =
                    keys.iter().map(|&key| [key, &words[rng.usize(..words.len())]]).collect();
                let encoded: Vec<[Encoded<'_>; 2]> =
                    pairs.iter().map(|pair| pair.map(|text| Encoded::text(text.as_bytes()))).collect();
                let mut added = 0;
                for [key, value] in &encoded {
                    match one_by_one.find(key, 2) {
                        Some(at) => one_by_one.replace(at + key.len(), value),
                        None => {
                            one_by_one.insert(one_by_one.end(), &[key, value]);
                            added += 1;
                        }
                    }
                }
                assert_eq!(once.set_pairs(&encoded), added);
                assert_eq!(once.data.bytes(), one_by_one.data.bytes());
            }
        }
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
