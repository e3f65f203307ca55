//! Listpacks: small elements one behind the other, since Redis 7 the compact form of every type.
//!
//! ```text
//! listpack := bytes u32, elements u16 (65535: unknown), element *, 0xFF
//! element  := content, length of the content backwards (1 to 5 bytes)
//! content  := 0nnnnnnn                        an integer of 7 bits
//!           | 10llllll byte *                 up to 63 bytes
//!           | 110nnnnn nnnnnnnn               an integer of 13 bits, with sign
//!           | 1110llll llllllll byte *        up to 4095 bytes
//!           | 11110000 length u32, byte *     more
//!           | 11110001 .. 11110100 integer    one of 16, 24, 32, 64 bits, with sign
//! ```

use super::content::{OUTSIDE, behind_head, integer, text};
use super::fault::Flaw;
use super::rope::{Mark, Rope};
use crate::number::parse_i64;
use crate::types::text::{Scalar, Text};

const HEADER: usize = 6;
const END: u8 = 0xFF;
const COUNT_UNKNOWN: usize = u16::MAX as usize;

/// A listpack that is being written, at the end of other bytes.
pub(super) struct Builder<'a> {
    out: &'a mut Rope,
    start: Mark,
    count: usize,
}

impl<'a> Builder<'a> {
    /// Begins a listpack.
    pub(super) fn new(out: &'a mut Rope) -> Self {
        let start = out.mark();
        out.extend(&[0; HEADER]);
        Self { out, start, count: 0 }
    }

    /// How many bytes it would have if it ended here.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.out.len_since(self.start) + 1
    }

    fn end_element(&mut self, start: Mark) {
        self.count += 1;
        let len = self.out.len_since(start);
        let groups = back_length(len);
        if groups == 1 {
            return self.out.extend(&[len as u8]);
        }
        for group in (0..groups).rev() {
            let more = if group + 1 < groups { 0x80 } else { 0 };
            self.out.extend(&[(len >> (7 * group)) as u8 & 0x7f | more]);
        }
    }

    /// Appends an integer.
    pub(super) fn integer(&mut self, value: i64) {
        let start = self.out.mark();
        let bytes = value.to_le_bytes();
        match value {
            0..=127 => self.out.extend(&bytes[..1]),
            -4096..=4095 => self.out.extend(&[0xC0 | bytes[1] & 0x1f, bytes[0]]),
            _ => {
                let (head, len) = match value {
                    -0x8000..=0x7fff => (0xF1, 2),
                    -0x80_0000..=0x7f_ffff => (0xF2, 3),
                    -0x8000_0000..=0x7fff_ffff => (0xF3, 4),
                    _ => (0xF4, 8),
                };
                self.out.extend(&[head]);
                self.out.extend(&bytes[..len]);
            }
        }
        self.end_element(start);
    }

    /// Appends a text, as an integer if it is one.
    pub(super) fn text(&mut self, text: &Text<'_>) {
        if let Some(value) = parse_i64(text) {
            return self.integer(value);
        }
        let start = self.out.mark();
        match text.len() {
            len @ 0..64 => self.out.extend(&[0x80 | len as u8]),
            len @ 64..4096 => self.out.extend(&(0xE000 | len as u16).to_be_bytes()),
            len => {
                self.out.extend(&[0xF0]);
                self.out.extend(&(len as u32).to_le_bytes());
            }
        }
        self.out.text(text);
        self.end_element(start);
    }

    /// Ends it.
    pub(super) fn finish(self) {
        self.out.extend(&[END]);
        let bytes = (self.out.len_since(self.start) as u32).to_le_bytes();
        let count = (self.count.min(COUNT_UNKNOWN) as u16).to_le_bytes();
        self.out.patch(self.start, &[&bytes[..], &count].concat());
    }
}

/// How many bytes the length of a content takes backwards.
fn back_length(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..=16382 => 2,
        16383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// The elements of a listpack, each checked when it is read. Behind a flaw, nothing more comes.
pub(super) struct Elements<'a> {
    rest: &'a [u8],
    /// How many there are, if that is known.
    announced: Option<usize>,
    read: usize,
}

impl<'a> Elements<'a> {
    /// Checks what stands before and behind the elements.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let (header, rest) = bytes.split_at_checked(HEADER).ok_or("it has no header")?;
        let (size, count) = header.split_at(4);
        if size != (bytes.len() as u32).to_le_bytes() {
            return Err("it is not as long as it says");
        }
        let Some((&END, rest)) = rest.split_last() else { return Err("it has no end") };
        let count = usize::from(u16::from_le_bytes([count[0], count[1]]));
        Ok(Self { rest, announced: Some(count).filter(|&count| count != COUNT_UNKNOWN), read: 0 })
    }

    fn element(&mut self) -> Result<Scalar<'a>, Flaw> {
        let (scalar, len) = content(self.rest)?;
        let behind = back_length(len);
        let (element, rest) = self.rest.split_at_checked(len + behind).ok_or(OUTSIDE)?;
        let mut back = 0;
        for (index, &byte) in element[len..].iter().enumerate() {
            // All bytes but the first say that there are more before them.
            if (byte & 0x80 != 0) != (index > 0) {
                return Err("the length behind an element has no beginning");
            }
            back = back << 7 | usize::from(byte & 0x7f);
        }
        if back != len {
            return Err("the length behind an element is not its length");
        }
        self.rest = rest;
        self.read += 1;
        Ok(scalar)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Scalar<'a>, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = if !self.rest.is_empty() {
            self.element()
        } else if self.announced.is_some_and(|announced| announced != self.read) {
            self.announced = None;
            Err("it has not as many elements as it says")
        } else {
            return None;
        };
        if next.is_err() {
            self.rest = &[];
            self.announced = None;
        }
        Some(next)
    }
}

/// The content at the beginning of some bytes, and its length.
fn content(bytes: &[u8]) -> Result<(Scalar<'_>, usize), Flaw> {
    match *bytes.first().ok_or(OUTSIDE)? {
        head @ 0..=0x7f => Ok((Scalar::Integer(i64::from(head)), 1)),
        head @ 0x80..=0xbf => text(bytes, 1, usize::from(head & 0x3f)),
        head @ 0xc0..=0xdf => {
            let value = i64::from(head & 0x1f) << 8 | i64::from(behind_head(bytes, 1)?[0]);
            Ok((Scalar::Integer(if value >= 1 << 12 { value - (1 << 13) } else { value }), 2))
        }
        head @ 0xe0..=0xef => {
            text(bytes, 2, usize::from(head & 0x0f) << 8 | usize::from(behind_head(bytes, 1)?[0]))
        }
        0xf0 => {
            let len = behind_head(bytes, 4)?;
            text(bytes, 5, u32::from_le_bytes([len[0], len[1], len[2], len[3]]) as usize)
        }
        0xf1 => integer(bytes, 2),
        0xf2 => integer(bytes, 3),
        0xf3 => integer(bytes, 4),
        0xf4 => integer(bytes, 8),
        _ => Err("an element of an unknown form"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::stream::weight;

    fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Flaw> {
        Elements::new(bytes)?.map(|element| Ok(element?.text().to_vec())).collect()
    }

    #[test]
    fn every_form_comes_back_and_weighs_what_streams_believe() {
        let mut texts: Vec<Vec<u8>> = [0, 1, 62, 63, 64, 126, 127, 4094, 4095, 4096, 16380, 16390, 2_100_000]
            .iter()
            .map(|&len| vec![b'x'; len])
            .collect();
        for bits in [0, 7, 8, 12, 13, 15, 16, 23, 24, 31, 32, 63] {
            for value in [(1_i128 << bits) - 1, 1 << bits, -(1 << bits), -(1 << bits) - 1, -(1 << bits) + 1] {
                texts.push(value.to_string().into_bytes());
            }
        }
        let (mut rope, mut expected) = (Rope::default(), weight::EMPTY);
        let mut builder = Builder::new(&mut rope);
        for text in &texts {
            builder.text(&Text::Bytes(text));
            expected += weight::text(text);
            assert_eq!(builder.len(), expected);
        }
        builder.finish();
        let bytes = rope.into_bytes();
        assert_eq!(bytes.len(), expected);
        assert_eq!(read(&bytes).unwrap(), texts);
        for cut in [1, 7, bytes.len() - 1] {
            assert!(read(&bytes[..cut]).is_err());
        }
    }

    /// As redis-server 7.0.15 writes the pairs of HSET h a 1 long -70000.
    #[test]
    fn the_bytes_are_those_of_redis() {
        let mut rope = Rope::default();
        let mut builder = Builder::new(&mut rope);
        [&b"a"[..], b"1", b"long", b"-70000"].iter().for_each(|text| builder.text(&Text::Bytes(text)));
        builder.finish();
        assert_eq!(
            rope.into_bytes(),
            b"\x17\0\0\0\x04\0\x81a\x02\x01\x01\x84long\x05\xf2\x90\xee\xfe\x04\xff"
        );
    }

    #[test]
    fn no_flaw_is_overlooked() {
        let mut rope = Rope::default();
        let mut builder = Builder::new(&mut rope);
        builder.text(&Text::Bytes(b"abc"));
        builder.integer(300);
        builder.finish();
        let bytes = rope.into_bytes();
        for at in 0..bytes.len() {
            for value in 0..=255 {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                let Ok(texts) = read(&damaged) else { continue };
                // What is still readable has other bytes or another number in it, or leaves their count open.
                let same_count = texts.len() == 2;
                assert!(same_count && (damaged == bytes || at >= HEADER || &damaged[4..6] == b"\xff\xff"));
            }
        }
    }
}
