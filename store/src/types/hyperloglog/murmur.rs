//! MurmurHash2, the 64-bit version of A. Appleby, reading little-endian words everywhere.

const M: u64 = 0xc6a4_a793_5bd1_e995;
const R: u32 = 47;

/// The hash of `data`.
pub(super) fn hash64(data: &[u8], seed: u32) -> u64 {
    let mut hash = u64::from(seed) ^ (data.len() as u64).wrapping_mul(M);
    let (words, rest) = data.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(M);
        word ^= word >> R;
        hash = (hash ^ word.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        hash = (hash ^ last).wrapping_mul(M);
    }
    hash = (hash ^ hash >> R).wrapping_mul(M);
    hash ^ hash >> R
}
