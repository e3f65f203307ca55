//! Writing: lengths, integers, strings, doubles.

use super::listpack::Builder;
use super::lzf::Compressor;
use crate::limits::HUGE_TEXT;
use crate::number::{Digits, parse_i64};

/// Up to how many bytes a text may be to be looked at as an integer.
const INTEGER_TEXT_MAX: usize = 11;
/// Up to how many bytes a text is not compressed.
const PLAIN_MAX: usize = 20;
/// Bytes that compression has to save.
const SAVING_MIN: usize = 4;
/// Room behind a long text. Without it the next byte would move it all.
const SLACK: usize = 4096;

/// Bytes that are being written, and what is needed to write them.
#[derive(Default)]
pub(crate) struct Output {
    pub(super) bytes: Vec<u8>,
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
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Appends bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        append(&mut self.bytes, bytes);
    }

    /// A length or another number that is not negative, in 1, 2, 5 or 9 bytes.
    pub(crate) fn length(&mut self, length: u64) {
        match length {
            0..64 => self.bytes.push(length as u8),
            64..16384 => self.raw(&(length as u16 | 0x4000).to_be_bytes()),
            _ => match u32::try_from(length) {
                Ok(length) => {
                    self.bytes.push(0x80);
                    self.raw(&length.to_be_bytes());
                }
                Err(_) => {
                    self.bytes.push(0x81);
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

    /// Writes a string compressed; says whether that is shorter.
    fn compressed(&mut self, text: &[u8]) -> bool {
        let mut compressed = std::mem::take(&mut self.compressed);
        compressed.clear();
        let shorter = self.compressor.compress(text, text.len() - SAVING_MIN, &mut compressed);
        if shorter {
            self.bytes.push(0xC3);
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
    /// its place and moved once.
    pub(super) fn listpack(&mut self, content_len: usize, fill: impl FnOnce(&mut Builder<'_>)) {
        if content_len <= HUGE_TEXT {
            write_listpack(&mut self.blob, fill);
            return self.finish_blob();
        }
        self.raw(&[0x80, 0, 0, 0, 0]);
        let start = self.bytes.len();
        write_listpack(&mut self.bytes, fill);
        let len = (self.bytes.len() - start) as u32;
        self.bytes[start - 4..start].copy_from_slice(&len.to_be_bytes());
    }
}

fn write_listpack(out: &mut Vec<u8>, fill: impl FnOnce(&mut Builder<'_>)) {
    let mut listpack = Builder::new(out);
    fill(&mut listpack);
    listpack.finish();
}

/// Appends bytes, with room behind those that are many.
pub(super) fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() > HUGE_TEXT {
        out.reserve(bytes.len() + SLACK);
    }
    out.extend_from_slice(bytes);
}
