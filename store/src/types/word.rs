//! Words that take one byte in a pack: names of fields and of states that records have over and over.
//!
//! Purpose: a hash of a few short fields consists of names for the most part. The hash of a waiting job with a payload
//! of 100 bytes takes 126 bytes so instead of 143, and names are compared by one byte.
//! Law: a pack stores a word as one always. The list may change at will: nothing in memory outlives the process.

/// The byte of the first word.
pub(super) const FIRST: u8 = 0xCA;
/// The byte of the last word.
pub(super) const LAST: u8 = FIRST + WORDS.len() as u8 - 1;

#[rustfmt::skip]
const WORDS: [&[u8]; 22] = [
    b"type", b"payload", b"pushed", b"state", b"token", b"worker", b"started", b"until", b"attempt", b"ended",
    b"leased", b"ready", b"delayed", b"done", b"due", b"id", b"name", b"value", b"time", b"lost", b"error", b"result",
];

/// Sends every word to a slot of its own: found by trial.
const MULTIPLIER: u64 = 0x68fa_e935_50f6_c8af;
const SLOT_BITS: u32 = 5;
/// The word in each slot, if there is one: key, length, byte.
static SLOTS: [(u64, usize, u8); 1 << SLOT_BITS] = slots();

const fn slots() -> [(u64, usize, u8); 1 << SLOT_BITS] {
    let mut slots = [(0, 0, 0); 1 << SLOT_BITS];
    let mut number = 0;
    while number < WORDS.len() {
        let word = WORDS[number];
        let (mut key, mut at) = (0, word.len());
        while at > 0 {
            at -= 1;
            key = key << 8 | word[at] as u64;
        }
        assert!(slots[slot_of(key)].0 == 0, "two words in one slot");
        slots[slot_of(key)] = (key, word.len(), FIRST + number as u8);
        number += 1;
    }
    slots
}

const fn slot_of(key: u64) -> usize {
    (key.wrapping_mul(MULTIPLIER) >> (u64::BITS - SLOT_BITS)) as usize
}

/// The bytes of a text of two to seven bytes as one number, the first one lowest.
#[inline]
fn key_of(text: &[u8]) -> Option<u64> {
    // Two loads that overlap, in which the same bytes come to lie over each other.
    match text.len() {
        len @ 4..=7 => {
            let (low, high) =
                (u32::from_le_bytes(*text.first_chunk()?), u32::from_le_bytes(*text.last_chunk()?));
            Some(u64::from(low) | u64::from(high) << (8 * (len - 4)))
        }
        len @ 2..=3 => {
            let (low, high) =
                (u16::from_le_bytes(*text.first_chunk()?), u16::from_le_bytes(*text.last_chunk()?));
            Some(u64::from(low) | u64::from(high) << (8 * (len - 2)))
        }
        _ => None,
    }
}

/// The byte that stands for a text, if it is a word.
#[inline]
pub(super) fn byte_of(text: &[u8]) -> Option<u8> {
    let key = key_of(text)?;
    let (known, len, byte) = SLOTS[slot_of(key)];
    // A text that ends in zeros has the key of a shorter one, and a slot without a word that of zeros.
    (known == key && len == text.len()).then_some(byte)
}

/// The word that a byte between [`FIRST`] and [`LAST`] stands for.
#[inline]
pub(super) fn of_byte(byte: u8) -> &'static [u8] {
    WORDS[usize::from(byte - FIRST)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::pack::{Encoded, is_plain_name, read};

    #[test]
    fn every_word_takes_one_byte_and_nothing_else_is_a_word() {
        for word in WORDS {
            let encoded = Encoded::text(word).pieces().concat();
            assert_eq!((encoded.len(), encoded[0]), (1, byte_of(word).unwrap()));
            assert_eq!(&*read(&encoded).0.text(), word);
            assert!(is_plain_name(word));
            let mut other = word.to_vec();
            other[word.len() - 1] ^= 1;
            assert_eq!(byte_of(&other), None);
            assert_eq!(byte_of(&[word, b"\0"].concat()), None);
            assert_eq!(byte_of(&word[1..]), None);
        }
        for none in ["", "\0", "\0\0", "\0\0\0\0\0", "x", "payloads", "Type"] {
            assert_eq!(byte_of(none.as_bytes()), None, "{none:?}");
        }
        // Behind it begin the small integers.
        assert_eq!(LAST, 0xDF);
    }
}
