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

impl<'a> Text<'a> {
    /// The text of an integer.
    pub fn integer(value: i64) -> Self {
        Self::Digits(Digits::of(value))
    }

    /// The value of which this is the text.
    pub(crate) fn scalar(self) -> Scalar<'a> {
        match self {
            Self::Bytes(bytes) => Scalar::Bytes(bytes),
            Self::Digits(digits) => Scalar::Integer(digits.value()),
        }
    }

    /// The integer this text is the canonical decimal form of.
    pub fn as_integer(&self) -> Option<i64> {
        parse_i64(self)
    }
}

/// A value as it is stored: bytes, or a number where the text is the canonical form of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// Bytes in place. They may be digits too, where numbers are stored as text.
    Bytes(&'a [u8]),
    /// An integer.
    Integer(i64),
}

impl<'a> Scalar<'a> {
    /// The integer that the value is, or is the text of.
    pub fn as_integer(self) -> Option<i64> {
        match self {
            Self::Bytes(bytes) => parse_i64(bytes),
            Self::Integer(value) => Some(value),
        }
    }

    /// The value as text.
    pub fn text(self) -> Text<'a> {
        match self {
            Self::Bytes(bytes) => Text::Bytes(bytes),
            Self::Integer(value) => Text::integer(value),
        }
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
