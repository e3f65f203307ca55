//! HyperLogLog: how many different elements were seen, in 12 KiB at most.
//!
//! The representation is that of Redis, byte for byte, because values travel between servers as plain strings:
//! ```text
//! "HYLL" | encoding u8 (0 dense, 1 sparse) | 3 zeros | cardinality u64, little-endian | registers
//! ```
//! The highest bit of the cardinality says that it is out of date. There are 16384 registers of 6 bits; see [`dense`]
//! and
//! [`sparse`] for how they lie. Algorithm of the estimate: O. Ertl, "New cardinality estimation algorithms for
//! HyperLogLog sketches", arXiv:1702.01284.
//!
//! Law: a string comes from a client and may be anything; whatever reads registers says if they are no registers.

mod dense;
mod murmur;
mod sparse;

pub(crate) use sparse::describe;

use crate::thin::Thin;

const HEADER: usize = 16;
const MAGIC: &[u8; 4] = b"HYLL";
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const ENCODING_AT: usize = 4;
const CARDINALITY: std::ops::Range<usize> = 8..16;
const OUT_OF_DATE: u8 = 0x80;

/// Bits of a hash that choose a register.
const INDEX_BITS: u32 = 14;
/// Bits of a hash in which leading zeros are counted.
const COUNTED_BITS: u32 = 64 - INDEX_BITS;
/// How many registers there are.
pub(crate) const REGISTERS: usize = 1 << INDEX_BITS;
const SEED: u32 = 0xadc8_3b19;

/// The registers are damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corrupted;

/// The largest value of each register over several HyperLogLogs.
pub(crate) type Registers = [u8; REGISTERS];

/// How often each value occurs among the registers.
type Histogram = [u32; 64];

/// An empty HyperLogLog.
pub(crate) fn new() -> Thin<()> {
    let mut text = Thin::with_capacity((), HEADER + 2);
    text.extend(MAGIC);
    text.extend(&[SPARSE]);
    text.resize(HEADER);
    text.extend(&sparse::NOTHING);
    text
}

/// Whether a string looks like a HyperLogLog from outside.
pub(crate) fn is_one(text: &[u8]) -> bool {
    text.len() >= HEADER
        && text.starts_with(MAGIC)
        && (text[ENCODING_AT] == SPARSE || text[ENCODING_AT] == DENSE && text.len() == HEADER + dense::BYTES)
}

/// Whether it is a sparse one.
pub(crate) fn is_sparse(text: &[u8]) -> bool {
    text[ENCODING_AT] == SPARSE
}

/// The register of an element, and the value that the element wants it to have at least.
fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur::hash64(element, SEED);
    let counted = hash >> INDEX_BITS | 1 << COUNTED_BITS;
    ((hash as usize) & (REGISTERS - 1), counted.trailing_zeros() as u8 + 1)
}

/// Adds an element; says whether a register changed. A sparse one that would exceed `sparse_max` bytes becomes dense.
pub(crate) fn add(text: &mut Thin<()>, element: &[u8], sparse_max: usize) -> Result<bool, Corrupted> {
    let (index, count) = place(element);
    raise(text, index, count, sparse_max)
}

/// Raises a register to `count` if it is below; says whether it was.
pub(crate) fn raise(
    text: &mut Thin<()>,
    index: usize,
    count: u8,
    sparse_max: usize,
) -> Result<bool, Corrupted> {
    if is_sparse(text.bytes()) {
        match sparse::raise(text, index, count, sparse_max)? {
            sparse::Raised::No => return Ok(false),
            sparse::Raised::Yes => {
                invalidate(text);
                return Ok(true);
            }
            sparse::Raised::NoRoom => make_dense(text)?,
        }
    }
    Ok(dense::raise(&mut text.bytes_mut()[HEADER..], index, count))
}

/// Turns a sparse one into a dense one.
pub(crate) fn make_dense(text: &mut Thin<()>) -> Result<(), Corrupted> {
    let mut fresh = Thin::with_capacity((), HEADER + dense::BYTES);
    fresh.extend(&text.bytes()[..HEADER]);
    fresh.resize(HEADER + dense::BYTES);
    fresh.bytes_mut()[ENCODING_AT] = DENSE;
    let registers = &mut fresh.bytes_mut()[HEADER..];
    sparse::runs(&text.bytes()[HEADER..], |first, len, value| {
        (first..first + len).filter(|_| value > 0).for_each(|index| dense::set(registers, index, value));
    })?;
    *text = fresh;
    Ok(())
}

/// The value of a register of a dense one.
pub(crate) fn dense_register(text: &[u8], index: usize) -> u8 {
    dense::get(&text[HEADER..], index)
}

/// Raises `all` to the registers of this one.
pub(crate) fn merge_into(text: &[u8], all: &mut Registers) -> Result<(), Corrupted> {
    let registers = &text[HEADER..];
    if is_sparse(text) {
        return sparse::runs(registers, |first, len, value| {
            all[first..first + len].iter_mut().for_each(|register| *register = value.max(*register));
        });
    }
    for (index, register) in all.iter_mut().enumerate() {
        *register = dense::get(registers, index).max(*register);
    }
    Ok(())
}

/// The cardinality that was computed last, unless it is out of date.
pub(crate) fn cached(text: &[u8]) -> Option<u64> {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&text[CARDINALITY]);
    (bytes[7] & OUT_OF_DATE == 0).then(|| u64::from_le_bytes(bytes))
}

/// Remembers a cardinality.
pub(crate) fn cache(text: &mut [u8], cardinality: u64) {
    text[CARDINALITY].copy_from_slice(&cardinality.to_le_bytes());
}

/// Says that the cardinality is out of date.
pub(crate) fn invalidate(text: &mut Thin<()>) {
    text.bytes_mut()[CARDINALITY.end - 1] |= OUT_OF_DATE;
}

/// The estimated cardinality, computed from the registers.
pub(crate) fn count(text: &[u8]) -> Result<u64, Corrupted> {
    let mut histogram = [0; 64];
    if is_sparse(text) {
        sparse::runs(&text[HEADER..], |_, len, value| histogram[value as usize] += len as u32)?;
    } else {
        dense::histogram(&text[HEADER..], &mut histogram);
    }
    Ok(estimate(&histogram))
}

/// The estimated cardinality of registers.
pub(crate) fn count_registers(registers: &Registers) -> u64 {
    let mut histogram = [0; 64];
    registers.iter().for_each(|&register| histogram[register as usize] += 1);
    estimate(&histogram)
}

fn estimate(histogram: &Histogram) -> u64 {
    const ALPHA: f64 = 0.721_347_520_444_481_7; // 1 / (2 ln 2)
    let count = REGISTERS as f64;
    let highest = COUNTED_BITS as usize;
    let mut z = count * tau((count - f64::from(histogram[highest + 1])) / count);
    for value in (1..=highest).rev() {
        z += f64::from(histogram[value]);
        z *= 0.5;
    }
    z += count * sigma(f64::from(histogram[0]) / count);
    (ALPHA * count * count / z).round() as u64
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if before == z {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Redis 7.0.15 hashes these elements to these registers: `PFADD k <element>`, then `PFDEBUG DECODE k`.
    #[test]
    fn elements_reach_the_registers_of_redis() {
        for (element, index, count) in VECTORS {
            assert_eq!(place(element), (*index, *count), "{element:?}");
        }
    }

    const VECTORS: &[(&[u8], usize, u8)] = &[
        (b"a", 12711, 2),
        (b"foo", 7348, 5),
        (b"hello", 9216, 1),
        (b"", 5938, 2),
        (b"12345678", 10579, 3),
        (b"a longer element than one word", 7217, 3),
    ];

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 2 } else { 64 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// A sparse one has the registers of a dense one that saw the same elements, up to and over its promotion.
        #[test]
        fn both_forms_count_alike(
            elements in proptest::collection::vec(any::<u32>(), 1..if cfg!(miri) { 20 } else { 4000 }),
            sparse_max in 20..4000_usize,
        ) {
            let (mut small, mut large) = (new(), new());
            make_dense(&mut large).unwrap();
            for element in elements {
                let element = element.to_le_bytes();
                let changed = add(&mut large, &element, 0).unwrap();
                prop_assert_eq!(add(&mut small, &element, sparse_max).unwrap(), changed);
                prop_assert!(is_one(small.bytes()) && (!is_sparse(small.bytes()) || small.len() <= sparse_max.max(18)));
            }
            let (mut a, mut b) = ([0; REGISTERS], [0; REGISTERS]);
            merge_into(small.bytes(), &mut a).unwrap();
            merge_into(large.bytes(), &mut b).unwrap();
            prop_assert!(a == b);
            prop_assert_eq!(count(small.bytes()), count(large.bytes()));
            prop_assert_eq!(count(small.bytes()), Ok(count_registers(&a)));
        }

        /// Whatever a client puts behind the header, reading it ends, and says so if it is no registers.
        #[test]
        fn damage_is_noticed(body in proptest::collection::vec(any::<u8>(), 0..200), element in any::<u64>()) {
            let mut text = new();
            text.resize(HEADER);
            text.extend(&body);
            let valid = count(text.bytes()).is_ok();
            let mut copy = text.clone();
            prop_assert_eq!(make_dense(&mut copy).is_ok(), valid);
            prop_assert_eq!(merge_into(text.bytes(), &mut [0; REGISTERS]).is_ok(), valid);
            let _ = add(&mut text, &element.to_le_bytes(), 3000);
            describe(text.bytes());
        }
    }
}
