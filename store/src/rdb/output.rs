//! Writing: lengths, integers, strings, doubles.

use super::listpack::Builder;
use super::lzf::Compressor;
use super::rope::Rope;
use crate::limits::HUGE_TEXT;
use crate::number::{Digits, parse_i64};
use crate::types::text::Text;

/// Up to how many bytes a text may be to be looked at as an integer.
const INTEGER_TEXT_MAX: usize = 11;
/// Up to how many bytes a text is not compressed.
const PLAIN_MAX: usize = 20;
/// Bytes that compression has to save.
const SAVING_MIN: usize = 4;

/// Bytes that are being written, and what is needed to write them.
#[derive(Default)]
pub(crate) struct Output {
    pub(super) rope: Rope,
    /// Long strings are compressed, but those for which everybody would wait ([`HUGE_TEXT`]).
    pub(crate) compress: bool,
    compressor: Compressor,
    /// Room for a string while it is compressed.
    compressed: Vec<u8>,
    /// Room for a compact form while it is put together.
    pub(super) blob: Vec<u8>,
}

impl Output {
    /// Takes what was written.
    pub(crate) fn take(&mut self) -> Rope {
        std::mem::take(&mut self.rope)
    }

    /// Appends bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.rope.extend(bytes);
    }

    /// A length or another number that is not negative, in 1, 2, 5 or 9 bytes.
    pub(crate) fn length(&mut self, length: u64) {
        match length {
            0..64 => self.raw(&[length as u8]),
            64..16384 => self.raw(&(length as u16 | 0x4000).to_be_bytes()),
            _ => match u32::try_from(length) {
                Ok(length) => {
                    self.raw(&[0x80]);
                    self.raw(&length.to_be_bytes());
                }
                Err(_) => {
                    self.raw(&[0x81]);
                    self.raw(&length.to_be_bytes());
                }
            },
        }
    }

    /// A count of something in memory.
    pub(super) fn count(&mut self, count: usize) {
        self.length(count as u64);
    }

    /// A time in milliseconds.
    pub(super) fn time(&mut self, ms: u64) {
        self.raw(&ms.to_le_bytes());
    }

    /// A string that is an integer.
    pub(super) fn integer(&mut self, value: i64) {
        let bytes = value.to_le_bytes();
        if i8::try_from(value).is_ok() {
            self.raw(&[0xC0, bytes[0]]);
        } else if i16::try_from(value).is_ok() {
            self.raw(&[0xC1, bytes[0], bytes[1]]);
        } else if i32::try_from(value).is_ok() {
            self.raw(&[0xC2, bytes[0], bytes[1], bytes[2], bytes[3]]);
        } else {
            let digits = Digits::of(value);
            self.count(digits.as_bytes().len());
            self.raw(digits.as_bytes());
        }
    }

    /// A string: as an integer, compressed, or as it is.
    pub(crate) fn string(&mut self, text: &[u8]) {
        if text.len() <= INTEGER_TEXT_MAX
            && let Some(value) = parse_i64(text).filter(|&value| i32::try_from(value).is_ok())
        {
            return self.integer(value);
        }
        if self.compress && (PLAIN_MAX + 1..=HUGE_TEXT).contains(&text.len()) && self.compressed(text) {
            return;
        }
        self.count(text.len());
        self.raw(text);
    }

    /// A string that may be a long text, which is not copied now.
    pub(super) fn text(&mut self, text: &Text<'_>) {
        match text {
            Text::Long(long) => {
                self.count(long.bytes().len());
                self.rope.text(text);
            }
            Text::Bytes(_) | Text::Digits(_) => self.string(text),
        }
    }

    /// Writes a string compressed; says whether that is shorter.
    fn compressed(&mut self, text: &[u8]) -> bool {
        let mut compressed = std::mem::take(&mut self.compressed);
        compressed.clear();
        let shorter = self.compressor.compress(text, text.len() - SAVING_MIN, &mut compressed);
        if shorter {
            self.raw(&[0xC3]);
            self.count(compressed.len());
            self.count(text.len());
            self.raw(&compressed);
        }
        self.compressed = compressed;
        shorter
    }

    /// Writes the compact form that was put together in `blob`, as a string.
    pub(super) fn finish_blob(&mut self) {
        let mut blob = std::mem::take(&mut self.blob);
        self.string(&blob);
        blob.clear();
        // A huge one must not leave its room behind.
        if blob.capacity() <= HUGE_TEXT {
            self.blob = blob;
        }
    }

    /// Writes a listpack of elements with about so many bytes. A long one, which is not compressed, is put together in
    /// its place.
    pub(super) fn listpack(&mut self, content_len: usize, fill: impl FnOnce(&mut Builder<'_>)) {
        if content_len <= HUGE_TEXT {
            let mut rope = Rope::default();
            std::mem::swap(rope.end_mut(), &mut self.blob);
            write_listpack(&mut rope, fill);
            self.blob = rope.into_bytes();
            return self.finish_blob();
        }
        self.raw(&[0x80]);
        let mark = self.rope.mark();
        self.raw(&[0; 4]);
        write_listpack(&mut self.rope, fill);
        let len = self.rope.len_since(mark) - 4;
        self.rope.patch(mark, &(len as u32).to_be_bytes());
    }
}

fn write_listpack(out: &mut Rope, fill: impl FnOnce(&mut Builder<'_>)) {
    let mut listpack = Builder::new(out);
    fill(&mut listpack);
    listpack.finish();
}
