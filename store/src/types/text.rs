//! A byte string as it is read: bytes in place, or the digits of an integer kept as a number.

use std::ops::Deref;

use crate::number::{Digits, parse_i64};
use crate::thin::{Held, Long, ThinRef};

/// Bytes borrowed from where they are, or digits made on the way out.
pub enum Text<'a> {
    /// Bytes in place.
    Bytes(&'a [u8]),
    /// Digits of an integer.
    Digits(Digits),
    /// So many bytes in place that who keeps them had better not copy them.
    Long(Long<'a>),
}

/// A text that is kept.
pub(crate) enum KeptText {
    /// A copy.
    Bytes(Box<[u8]>),
    /// Many bytes, held where they are.
    Long(Held),
}

impl<'a> Text<'a> {
    /// Bytes that are a part of an allocation.
    #[inline]
    pub(crate) fn within<H: Copy>(thin: ThinRef<'a, H>, bytes: &'a [u8]) -> Self {
        thin.long(bytes).map_or(Self::Bytes(bytes), Self::Long)
    }

    /// The same text, whose bytes, if it has any in place, are a part of an allocation.
    #[inline]
    pub(crate) fn of<H: Copy>(self, thin: ThinRef<'a, H>) -> Self {
        if let Self::Bytes(bytes) = self { Self::within(thin, bytes) } else { self }
    }

    /// The same text, for as long as it is wanted.
    pub(crate) fn keep(&self) -> KeptText {
        match self {
            Self::Long(long) => KeptText::Long(long.hold()),
            Self::Bytes(_) | Self::Digits(_) => KeptText::Bytes((**self).into()),
        }
    }

    /// The text of an integer.
    pub fn integer(value: i64) -> Self {
        Self::Digits(Digits::of(value))
    }

    /// The value of which this is the text.
    pub(crate) fn scalar(self) -> Scalar<'a> {
        match self {
            Self::Bytes(bytes) => Scalar::Bytes(bytes),
            Self::Digits(digits) => Scalar::Integer(digits.value()),
            Self::Long(long) => Scalar::Bytes(long.bytes()),
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
            Self::Long(long) => long.bytes(),
        }
    }
}

impl KeptText {
    /// The text.
    pub(crate) fn text(&self) -> Text<'_> {
        match self {
            Self::Bytes(bytes) => Text::Bytes(bytes),
            Self::Long(held) => Text::Long(held.lend()),
        }
    }
}

impl Deref for KeptText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Long(held) => held,
        }
    }
}
