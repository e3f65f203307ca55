//! Reading: lengths, integers, strings, doubles, out of bytes that may end anywhere.
//!
//! Law: what is not there yet is [`RdbFault::Truncated`], and nothing is taken then; whoever has more bytes can try
//! again. Memory is taken for bytes that are there, or for what they decompress to.

use super::fault::RdbFault;
use super::lzf;
use crate::limits::RDB_STRING_MAX;
use crate::number::parse_f64;
use crate::types::text::Text;

/// A place in bytes that are read.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A string as it was written.
pub(crate) enum Written<'a> {
    /// As it is.
    Plain(&'a [u8]),
    /// It was compressed.
    Unpacked(Vec<u8>),
    /// An integer.
    Integer(i64),
}

impl Written<'_> {
    /// The string as text.
    pub(super) fn text(&self) -> Text<'_> {
        match self {
            Self::Plain(bytes) => Text::Bytes(bytes),
            Self::Unpacked(bytes) => Text::Bytes(bytes),
            Self::Integer(value) => Text::integer(*value),
        }
    }

    /// The string in an allocation of its own.
    pub(crate) fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Unpacked(bytes) => bytes,
            other => other.text().to_vec(),
        }
    }
}

/// What a length announces.
enum Length {
    Of(u64),
    /// A string in a form of its own.
    Special(u8),
}

impl<'a> Cursor<'a> {
    /// The beginning of some bytes.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Whether all bytes were read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Reads something whole, or nothing.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) fn whole<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, RdbFault>,
    ) -> Result<T, RdbFault> {
        let start = self.at;
        read(self).inspect_err(|_| self.at = start)
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], RdbFault> {
        let end = self.at.checked_add(count).ok_or(RdbFault::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(RdbFault::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], RdbFault> {
        self.take(N)?.try_into().map_err(|_| RdbFault::Truncated)
    }

    /// The next byte.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn byte(&mut self) -> Result<u8, RdbFault> {
        self.array().map(|[byte]| byte)
    }

    fn any_length(&mut self) -> Result<Length, RdbFault> {
        let first = self.byte()?;
        let low = first & 0x3f;
        Ok(match (first >> 6, first) {
            (0, _) => Length::Of(u64::from(low)),
            (1, _) => Length::Of(u64::from(low) << 8 | u64::from(self.byte()?)),
            (2, 0x80) => Length::Of(u64::from(u32::from_be_bytes(self.array()?))),
            (2, 0x81) => Length::Of(u64::from_be_bytes(self.array()?)),
            (2, _) => return Err(RdbFault::Damaged("unknown length encoding")),
            _ => Length::Special(low),
        })
    }

    /// A length or another number that is not negative. As in Redis, the number of a special form of strings counts as
    /// one, too.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn length(&mut self) -> Result<u64, RdbFault> {
        self.whole(|cursor| match cursor.any_length()? {
            Length::Of(length) => Ok(length),
            Length::Special(form) => Ok(u64::from(form)),
        })
    }

    /// A length of a string.
    fn size(&mut self) -> Result<usize, RdbFault> {
        bounded(self.length()?)
    }

    /// A time in milliseconds; one before 1970 counts as 1970.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn time(&mut self) -> Result<u64, RdbFault> {
        Ok(u64::try_from(self.signed_time()?).unwrap_or(0))
    }

    /// A time in milliseconds, or a number that means something else.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn signed_time(&mut self) -> Result<i64, RdbFault> {
        self.array().map(i64::from_le_bytes)
    }

    /// A string.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn string(&mut self) -> Result<Written<'a>, RdbFault> {
        self.whole(|cursor| {
            let form = match cursor.any_length()? {
                Length::Of(length) => return cursor.take(bounded(length)?).map(Written::Plain),
                Length::Special(form) => form,
            };
            Ok(match form {
                0 => Written::Integer(i64::from(i8::from_le_bytes(cursor.array()?))),
                1 => Written::Integer(i64::from(i16::from_le_bytes(cursor.array()?))),
                2 => Written::Integer(i64::from(i32::from_le_bytes(cursor.array()?))),
                3 => {
                    let (compressed, len) = (cursor.size()?, cursor.size()?);
                    let unpacked = lzf::decompress(cursor.take(compressed)?, len);
                    Written::Unpacked(unpacked.ok_or(RdbFault::Damaged("invalid LZF compressed string"))?)
                }
                _ => return Err(RdbFault::Damaged("unknown string encoding")),
            })
        })
    }

    /// A score, eight bytes of it.
    ///
    /// # Errors
    /// There is none, or it is no number.
    pub(super) fn binary_score(&mut self) -> Result<f64, RdbFault> {
        no_nan(f64::from_le_bytes(self.array()?))
    }

    /// A score as text behind its length.
    ///
    /// # Errors
    /// There is none, or it is no number.
    pub(super) fn text_score(&mut self) -> Result<f64, RdbFault> {
        match self.byte()? {
            255 => Ok(f64::NEG_INFINITY),
            254 => Ok(f64::INFINITY),
            253 => no_nan(f64::NAN),
            len => parse_f64(self.take(usize::from(len))?).ok_or(RdbFault::Damaged("a score is no number")),
        }
    }
}

fn bounded(length: u64) -> Result<usize, RdbFault> {
    let length = usize::try_from(length).ok().filter(|&length| length <= RDB_STRING_MAX);
    length.ok_or(RdbFault::Damaged("a string is longer than any can be"))
}

fn no_nan(score: f64) -> Result<f64, RdbFault> {
    if score.is_nan() { Err(RdbFault::Damaged("a score is not a number")) } else { Ok(score) }
}
