//! Ziplists: the compact form of lists, hashes and sorted sets up to Redis 6.2. They are only read.
//!
//! ```text
//! ziplist := bytes u32, place of the last entry u32, entries u16 (65535: unknown), entry *, 0xFF
//! entry   := length of the entry before (one byte, or 0xFE and u32), content
//! content := 00llllll byte *                      up to 63 bytes
//!          | 01llllll llllllll byte *             up to 16383 bytes
//!          | 10...... length u32 big-endian, byte *
//!          | 11000000 i16 | 11010000 i32 | 11100000 i64 | 11110000 i24 | 11111110 i8
//!          | 1111nnnn (n = 1..13)                 the integer n - 1
//! ```

use super::content::{OUTSIDE, behind_head, integer, text};
use super::fault::Flaw;
use crate::types::text::Scalar;

const HEADER: usize = 10;
const END: u8 = 0xFF;
const COUNT_UNKNOWN: usize = u16::MAX as usize;

/// The elements of a ziplist, each checked when it is read. Behind a flaw, nothing more comes.
pub(super) struct Elements<'a> {
    /// Everything but the end.
    bytes: &'a [u8],
    at: usize,
    /// Where the last entry stands, as the header says.
    tail: usize,
    /// How many there are, if that is known.
    announced: Option<usize>,
    read: usize,
    /// Where the entry before stands.
    before: Option<usize>,
    over: bool,
}

impl<'a> Elements<'a> {
    /// Checks what stands before and behind the elements.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let word = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let (Some(size), Some(tail), Some(count)) = (word(0), word(4), bytes.get(8..HEADER)) else {
            return Err("it has no header");
        };
        if size as usize != bytes.len() {
            return Err("it is not as long as it says");
        }
        let Some((&END, entries)) = bytes.split_last().filter(|(_, rest)| rest.len() >= HEADER) else {
            return Err("it has no end");
        };
        let count = usize::from(u16::from_le_bytes([count[0], count[1]]));
        Ok(Self {
            bytes: entries,
            at: HEADER,
            tail: tail as usize,
            announced: Some(count).filter(|&count| count != COUNT_UNKNOWN),
            read: 0,
            before: None,
            over: false,
        })
    }

    fn element(&mut self) -> Result<Scalar<'a>, Flaw> {
        let entry = &self.bytes[self.at..];
        let (before, head) = match *entry.first().ok_or(OUTSIDE)? {
            0xFE => {
                let len = entry.get(1..5).ok_or(OUTSIDE)?;
                (u32::from_le_bytes([len[0], len[1], len[2], len[3]]) as usize, 5)
            }
            END => return Err("it ends too early"),
            len => (usize::from(len), 1),
        };
        if before != self.before.map_or(0, |before| self.at - before) {
            return Err("the length of the entry before is not its length");
        }
        let (scalar, len) = content(&entry[head..])?;
        self.before = Some(self.at);
        self.at += head + len;
        self.read += 1;
        Ok(scalar)
    }

    fn check_end(&self) -> Result<(), Flaw> {
        if self.before.is_some_and(|last| last != self.tail) {
            return Err("the last entry is not where it should be");
        }
        if self.announced.is_some_and(|announced| announced != self.read) {
            return Err("it has not as many entries as it says");
        }
        Ok(())
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Scalar<'a>, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        if self.at < self.bytes.len() {
            let element = self.element();
            self.over = element.is_err();
            return Some(element);
        }
        self.over = true;
        self.check_end().err().map(Err)
    }
}

/// The content at the beginning of some bytes, and its length.
fn content(bytes: &[u8]) -> Result<(Scalar<'_>, usize), Flaw> {
    match *bytes.first().ok_or(OUTSIDE)? {
        head @ 0..=0x3f => text(bytes, 1, usize::from(head)),
        head @ 0x40..=0x7f => {
            text(bytes, 2, usize::from(head & 0x3f) << 8 | usize::from(behind_head(bytes, 1)?[0]))
        }
        0x80..=0xbf => {
            let len = behind_head(bytes, 4)?;
            text(bytes, 5, u32::from_be_bytes([len[0], len[1], len[2], len[3]]) as usize)
        }
        0xc0 => integer(bytes, 2),
        0xd0 => integer(bytes, 4),
        0xe0 => integer(bytes, 8),
        0xf0 => integer(bytes, 3),
        0xfe => integer(bytes, 1),
        head @ 0xf1..=0xfd => Ok((Scalar::Integer(i64::from(head & 0x0f) - 1), 1)),
        _ => Err("an entry of an unknown form"),
    }
}
