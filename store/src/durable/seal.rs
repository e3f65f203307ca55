//! Seals: checksums between the commands of a log, so that a bit that changed on the disk is noticed, and where.
//!
//! Law: a seal is a line `#SUM:<checksum>:<bytes>`, an annotation that Redis 7 and its tools pass over. It covers the
//! bytes before it, back to the seal before or to the first command of the file; `checksum` is their CRC-32 (ISO-HDLC,
//! as in zip and PNG) in eight hexadecimal digits, `bytes` how many they are. Between seals there are whole units.
//! Bytes behind the last seal are those of a write that was torn, or of a log that somebody else wrote; the next seal
//! covers them too.
//! Not here: bases that are snapshots, which carry a checksum of their own.

use crc32fast::Hasher;

/// How a seal begins.
const BEGIN: &[u8] = b"#SUM:";

/// The bytes since the last seal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsealed {
    crc: u32,
    bytes: u64,
}

/// What a line of a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// An annotation of another kind.
    NoSeal,
    /// The seal of the bytes before it.
    Whole,
    /// A seal, but not of the bytes before it.
    Broken,
}

impl Unsealed {
    /// Takes note of bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let mut hasher = Hasher::new_with_initial_len(self.crc, self.bytes);
        hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.crc = hasher.finalize();
    }

    /// How many bytes there are.
    pub(super) fn bytes(self) -> u64 {
        self.bytes
    }

    /// The seal of the bytes, as a line.
    pub(super) fn seal(self) -> String {
        format!("#SUM:{:08x}:{}\r\n", self.crc, self.bytes)
    }

    /// Looks at a line, with its end.
    pub(super) fn check(self, line: &[u8]) -> Checked {
        match line.starts_with(BEGIN) {
            false => Checked::NoSeal,
            // All of the line is compared, so a seal that was damaged itself is broken.
            true if self.seal().as_bytes() == line => Checked::Whole,
            true => Checked::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Unsealed {
        let mut unsealed = Unsealed::default();
        unsealed.add(bytes);
        unsealed
    }

    /// The check value of CRC-32/ISO-HDLC, and the form that docs/formats.md gives.
    #[test]
    fn a_seal_is_a_line() {
        assert_eq!(of(b"123456789").seal(), "#SUM:cbf43926:9\r\n");
    }

    #[test]
    fn bytes_may_come_in_pieces() {
        let mut pieces = of(b"1234");
        pieces.add(b"56789");
        assert_eq!(pieces, of(b"123456789"));
    }

    #[test]
    fn a_changed_bit_breaks_the_seal() {
        let bytes = *b"*1\r\n$4\r\nPING\r\n";
        let seal = of(&bytes).seal();
        let line = seal.as_bytes();
        assert_eq!(of(&bytes).check(line), Checked::Whole);
        for at in 0..bytes.len() * 8 {
            let mut changed = bytes;
            changed[at / 8] ^= 1 << (at % 8);
            assert_eq!(of(&changed).check(line), Checked::Broken, "bit {at}");
        }
    }

    #[test]
    fn other_annotations_are_none() {
        assert_eq!(of(b"x").check(b"#TS:1628217470\r\n"), Checked::NoSeal);
    }
}
