//! Bits of a byte string, the first one being the highest of the first byte.
//!
//! Counting, searching and combining work on eight bytes at a time or leave it to the compiler to find wider steps.

/// How many bits are set.
pub(crate) fn count_ones(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let whole: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    whole + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// How many of the bits from `start` to `end`, both included, are set.
pub(crate) fn count_ones_between(bytes: &[u8], start: u64, end: u64) -> u64 {
    let (first, last) = ((start / 8) as usize, (end / 8) as usize);
    let before = bytes[first] & !(0xff >> (start % 8));
    let behind = bytes[last] & (0x7f >> (end % 8));
    count_ones(&bytes[first..=last]) - u64::from(before.count_ones() + behind.count_ones())
}

/// The first bit from `start` to `end`, both included, that is as wanted.
pub(crate) fn find_between(bytes: &[u8], wanted: bool, start: u64, end: u64) -> Option<u64> {
    let (first, last) = ((start / 8) as usize, (end / 8) as usize);
    // Bits become ones where they are as wanted; those before the start count as unwanted.
    let flip = if wanted { 0 } else { 0xff };
    let head = (bytes[first] ^ flip) & (0xff >> (start % 8));
    let found = if head != 0 {
        Some((first, head))
    } else {
        let at = first + 1;
        let unwanted_word = u64::from_ne_bytes([flip; 8]);
        let (words, _) = bytes[at..=last.max(first)].as_chunks::<8>();
        let skipped = words.iter().take_while(|word| u64::from_ne_bytes(**word) == unwanted_word).count();
        let from = at + 8 * skipped;
        (from..=last).map(|at| (at, bytes[at] ^ flip)).find(|&(_, byte)| byte != 0)
    };
    found.map(|(at, byte)| at as u64 * 8 + u64::from(byte.leading_zeros())).filter(|&bit| bit <= end)
}

/// A bit; bits behind the end are not set.
pub(crate) fn get(bytes: &[u8], bit: u64) -> bool {
    usize::try_from(bit / 8)
        .ok()
        .and_then(|at| bytes.get(at))
        .is_some_and(|byte| byte << (bit % 8) & 0x80 != 0)
}

/// Sets a bit within the bytes.
pub(crate) fn set(bytes: &mut [u8], bit: u64, value: bool) {
    let mask = 0x80 >> (bit % 8);
    let byte = &mut bytes[(bit / 8) as usize];
    *byte = if value { *byte | mask } else { *byte & !mask };
}

/// The number in `width` bits (1 to 64) from `offset` on; bits behind the end are not set.
pub(crate) fn get_field(bytes: &[u8], offset: u64, width: u32) -> u64 {
    let mut window = [0; 16];
    let first = usize::try_from(offset / 8).unwrap_or(usize::MAX).min(bytes.len());
    let there = &bytes[first..bytes.len().min(first.saturating_add(9))];
    window[..there.len()].copy_from_slice(there);
    let shifted = u128::from_be_bytes(window) << (offset % 8);
    (shifted >> (128 - width)) as u64
}

/// Writes the low `width` bits (1 to 64) of a number from `offset` on, within the bytes.
pub(crate) fn set_field(bytes: &mut [u8], offset: u64, width: u32, value: u64) {
    let first = (offset / 8) as usize;
    let end = bytes.len().min(first + 9);
    let mut window = [0; 16];
    window[..end - first].copy_from_slice(&bytes[first..end]);
    let shift = 128 - width - (offset % 8) as u32;
    let mask = (u128::from(u64::MAX >> (64 - width))) << shift;
    let new = u128::from_be_bytes(window) & !mask | (u128::from(value) << shift) & mask;
    bytes[first..end].copy_from_slice(&new.to_be_bytes()[..end - first]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 8 } else { 512 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Counting and searching agree with looking at one bit after the other.
        #[test]
        fn ranges_agree_with_single_bits(
            bytes in proptest::collection::vec(
                prop_oneof![3 => Just(0_u8), 3 => Just(0xff_u8), 2 => any::<u8>()],
                1..80,
            ),
            a in any::<u64>(),
            b in any::<u64>(),
            wanted in any::<bool>(),
        ) {
            let len = bytes.len() as u64 * 8;
            let (start, end) = ((a % len).min(b % len), (a % len).max(b % len));
            let ones = (start..=end).filter(|&bit| get(&bytes, bit)).count() as u64;
            prop_assert_eq!(count_ones_between(&bytes, start, end), ones);
            let first = (start..=end).find(|&bit| get(&bytes, bit) == wanted);
            prop_assert_eq!(find_between(&bytes, wanted, start, end), first);
        }

        /// A field is its bits, and writing one leaves all other bits alone.
        #[test]
        fn fields_agree_with_single_bits(
            bytes in proptest::collection::vec(any::<u8>(), 9..30),
            offset in 0..100_u64,
            width in 1..=64_u32,
            value in any::<u64>(),
        ) {
            let read = (0..u64::from(width)).fold(0, |sum, n| sum << 1 | u64::from(get(&bytes, offset + n)));
            prop_assert_eq!(get_field(&bytes, offset, width), read);
            let mut written = bytes.clone();
            written.resize(bytes.len().max(((offset + u64::from(width)) as usize).div_ceil(8)), 0);
            let before = written.clone();
            set_field(&mut written, offset, width, value);
            prop_assert_eq!(get_field(&written, offset, width), value & (u64::MAX >> (64 - width)));
            for bit in (0..written.len() as u64 * 8).filter(|bit| !(offset..offset + u64::from(width)).contains(bit)) {
                prop_assert_eq!(get(&written, bit), get(&before, bit));
            }
        }
    }
}
