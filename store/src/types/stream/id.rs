//! IDs of entries: milliseconds and a sequence number.

use crate::number::parse_u64;

/// The ID of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamId {
    /// Unix milliseconds, usually.
    pub(crate) ms: u64,
    /// Number within the millisecond.
    pub(crate) seq: u64,
}

impl StreamId {
    /// 0-0, before every entry.
    pub(crate) const MIN: Self = Self { ms: 0, seq: 0 };
    /// The last possible one.
    pub(crate) const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    /// Reads `ms-seq`, or `ms` alone with `seq` given by the caller.
    pub(crate) fn parse(text: &[u8], missing_seq: u64) -> Option<Self> {
        // As in C, a NUL byte ends the text.
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        match text.iter().position(|&byte| byte == b'-') {
            Some(dash) => Some(Self { ms: part(&text[..dash])?, seq: part(&text[dash + 1..])? }),
            None => Some(Self { ms: part(text)?, seq: missing_seq }),
        }
    }

    /// The ID behind this one.
    pub(crate) fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => Some(Self { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// The ID before this one.
    pub(crate) fn previous(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => Some(Self { ms: self.ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }

    /// `ms-seq`.
    pub(crate) fn text(self) -> IdText {
        let mut text = IdText { bytes: [0; 41], len: 0 };
        let mut buffer = itoa::Buffer::new();
        text.push(buffer.format(self.ms).as_bytes());
        text.push(b"-");
        text.push(buffer.format(self.seq).as_bytes());
        text
    }

    /// Sixteen bytes that sort as IDs do.
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.ms) << 64 | u128::from(self.seq)).to_be_bytes()
    }

    /// The ID that these bytes are.
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self { ms: (both >> 64) as u64, seq: both as u64 }
    }
}

/// A part of an ID. Redis reads it as C does: zeros, spaces and a sign may stand in front.
fn part(text: &[u8]) -> Option<u64> {
    parse_u64(text).or_else(|| {
        let text = std::str::from_utf8(text.trim_ascii_start()).ok()?;
        text.parse().ok()
    })
}

/// The text of an ID, held in place.
pub(crate) struct IdText {
    bytes: [u8; 41],
    len: usize,
}

impl IdText {
    fn push(&mut self, part: &[u8]) {
        self.bytes[self.len..self.len + part.len()].copy_from_slice(part);
        self.len += part.len();
    }

    /// The text.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_and_go_as_text() {
        for text in ["0-0", "1526919030474-55", "18446744073709551615-18446744073709551615"] {
            let id = StreamId::parse(text.as_bytes(), 7).unwrap();
            assert_eq!(id.text().as_bytes(), text.as_bytes());
            assert_eq!(StreamId::from_bytes(id.to_bytes()), id);
        }
        assert_eq!(StreamId::parse(b"5", 7), Some(StreamId { ms: 5, seq: 7 }));
        assert_eq!(StreamId::parse(b" +05-007", 0), Some(StreamId { ms: 5, seq: 7 }));
        for bad in ["", "-", "5-", "-5", "5-*", "1-2-3", "+", "1 -1", "18446744073709551616-0"] {
            assert_eq!(StreamId::parse(bad.as_bytes(), 0), None, "{bad}");
        }
    }

    #[test]
    fn neighbours_cross_milliseconds() {
        let last = StreamId { ms: 4, seq: u64::MAX };
        assert_eq!(last.next(), Some(StreamId { ms: 5, seq: 0 }));
        assert_eq!(last.next().and_then(StreamId::previous), Some(last));
        assert_eq!((StreamId::MAX.next(), StreamId::MIN.previous()), (None, None));
    }
}
