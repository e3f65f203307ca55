//! The checksum of snapshots and dumps: CRC-64 with the polynomial of Jones, reflected, begun with 0.
//!
//! The library multiplies without carries where the processor can: a snapshot must not wait for its checksum.

use crc_fast::{CrcAlgorithm, Digest};

/// A checksum of bytes that come in pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Crc64(u64);

impl Crc64 {
    /// Adds some bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc64Redis, self.0);
        digest.update(bytes);
        self.0 = digest.finalize();
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

    const POLYNOMIAL: u64 = 0x95AC_9329_AC4B_C9B5;

    fn bit_by_bit(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0, |crc, &byte| {
            (0..8).fold(crc ^ u64::from(byte), |crc, _| (crc >> 1) ^ (POLYNOMIAL * (crc & 1)))
        })
    }

    #[test]
    fn the_check_value_is_right() {
        assert_eq!(crc64(b"123456789"), 0xE9C6_D914_C4B8_D9CA);
    }

    #[test]
    fn pieces_of_any_length_give_the_same() {
        let bytes: Vec<u8> = (0..700_u32).map(|n| ((n * n * 37) >> 3) as u8).collect();
        let whole = bit_by_bit(&bytes);
        for first in (0..bytes.len()).step_by(7) {
            assert_eq!(crc64(&bytes[..first]), bit_by_bit(&bytes[..first]));
            for second in (first..bytes.len()).step_by(11) {
                let mut crc = Crc64::default();
                [&bytes[..first], &bytes[first..second], &bytes[second..]]
                    .iter()
                    .for_each(|piece| crc.update(piece));
                assert_eq!(crc.value(), whole);
            }
        }
    }
}
