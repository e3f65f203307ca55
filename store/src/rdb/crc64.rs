//! The checksum of snapshots and dumps: CRC-64 with the polynomial of Jones, reflected, begun with 0.
//!
//! Eight bytes at a time, each through a table of its own: a snapshot must not wait for its checksum.

const POLYNOMIAL: u64 = 0x95AC_9329_AC4B_C9B5;

/// `TABLES[n][b]` is what byte `b` does to the checksum when `n` bytes follow it.
const TABLES: [[u64; 256]; 8] = tables();

const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut behind = 1;
    while behind < 8 {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[behind - 1][byte];
            tables[behind][byte] = tables[0][(crc & 0xff) as usize] ^ crc >> 8;
            byte += 1;
        }
        behind += 1;
    }
    tables
}

/// A checksum of bytes that come in pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Crc64(u64);

impl Crc64 {
    /// Adds some bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let (eights, rest) = bytes.as_chunks::<8>();
        let mut crc = self.0;
        for eight in eights {
            let mixed = (crc ^ u64::from_le_bytes(*eight)).to_le_bytes();
            crc = mixed
                .iter()
                .zip(TABLES.iter().rev())
                .fold(0, |crc, (&byte, table)| crc ^ table[usize::from(byte)]);
        }
        self.0 = rest.iter().fold(crc, |crc, &byte| TABLES[0][usize::from(crc as u8 ^ byte)] ^ crc >> 8);
    }

    /// The checksum of all bytes so far.
    pub(crate) fn value(self) -> u64 {
        self.0
    }
}

/// The checksum of some bytes.
pub(crate) fn crc64(bytes: &[u8]) -> u64 {
    let mut crc = Crc64::default();
    crc.update(bytes);
    crc.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_is_right() {
        assert_eq!(crc64(b"123456789"), 0xE9C6_D914_C4B8_D9CA);
    }

    #[test]
    fn pieces_of_any_length_give_the_same() {
        let bytes: Vec<u8> = (0..100_u8).map(|n| n.wrapping_mul(37)).collect();
        let slowly = bytes.iter().fold(0, |crc, &byte| TABLES[0][usize::from(crc as u8 ^ byte)] ^ crc >> 8);
        for first in 0..bytes.len() {
            for second in first..bytes.len() {
                let mut crc = Crc64::default();
                [&bytes[..first], &bytes[first..second], &bytes[second..]]
                    .iter()
                    .for_each(|piece| crc.update(piece));
                assert_eq!(crc.value(), slowly);
            }
        }
    }
}
