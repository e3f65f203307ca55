//! A byte string as it is read: bytes in place, or the digits of an integer kept as a number.

use std::ops::Deref;

use crate::number::{Digits, parse_i64};

/// Bytes borrowed from where they are, or digits made on the way out.
pub enum Text<'a> {
    /// Bytes in place.
    Bytes(&'a [u8]),
    /// Digits of an integer.
    Digits(Digits),
}

impl Text<'_> {
    /// The text of an integer.
    pub fn integer(value: i64) -> Self {
        Self::Digits(Digits::of(value))
    }

    /// The integer this text is the canonical decimal form of.
    pub fn as_integer(&self) -> Option<i64> {
        parse_i64(self)
    }
}

impl Deref for Text<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Digits(digits) => digits.as_bytes(),
        }
    }
}
