//! LZF, the compression of long strings in snapshots and dumps.
//!
//! ```text
//! 000lllll byte * (l + 1)              bytes as they are
//! lllooooo oooooooo                    l + 2 bytes again (l = 1..6), from o + 1 bytes back
//! 111ooooo llllllll oooooooo           l + 9 bytes again
//! ```
//! Law: the compressor makes the choices of liblzf as Redis builds it (tables of 2^16 places, the last place with the
//! same three bytes wins, two places are noted behind a match), so that a DUMP has the bytes of theirs.

const PLACES: usize = 1 << 16;
const LITERALS_MAX: usize = 1 << 5;
const OFFSET_MAX: usize = 1 << 13;
const MATCH_MAX: usize = (1 << 8) + (1 << 3);
/// Bytes of output that one byte of input can stand for, at most.
const EXPANSION_MAX: usize = MATCH_MAX;

/// Compresses strings, one after the other.
#[derive(Default)]
pub(crate) struct Compressor {
    /// By three bytes: where they were last, counted from `origin` of that time. Made when first needed.
    places: Option<Box<[u32; PLACES]>>,
    /// Places up to this one belong to earlier strings; so the table need not be emptied in between.
    origin: u32,
}

/// Three bytes as a number.
fn three_at(input: &[u8], at: usize) -> u32 {
    let [a, b, c] = [input[at], input[at + 1], input[at + 2]].map(u32::from);
    a << 16 | b << 8 | c
}

/// Where three bytes are noted.
fn place_of(three: u32) -> usize {
    (three >> 8).wrapping_sub(three.wrapping_mul(5)) as usize % PLACES
}

/// How many bytes from `earlier` and `at` on are the same; three are known to be.
fn match_len(input: &[u8], earlier: usize, at: usize) -> usize {
    let longest = (input.len() - at - 2).min(MATCH_MAX);
    // liblzf looks at sixteen bytes without asking for the bound when there is room for them.
    let longest = if longest > 16 { longest.max(19) } else { longest.max(3) };
    let (old, new) = (&input[earlier..earlier + longest], &input[at..at + longest]);
    let (eights, _) = old.as_chunks::<8>();
    for (number, (old, new)) in eights.iter().zip(new.as_chunks::<8>().0).enumerate() {
        let different = u64::from_le_bytes(*old) ^ u64::from_le_bytes(*new);
        if different != 0 {
            return 8 * number + different.trailing_zeros() as usize / 8;
        }
    }
    let rest = 8 * eights.len();
    (rest..longest).find(|&len| old[len] != new[len]).unwrap_or(longest)
}

/// Output with a bound, and the run of literals in the input that goes on.
struct Output<'a> {
    input: &'a [u8],
    bytes: &'a mut Vec<u8>,
    start: usize,
    max: usize,
    /// Where the run begins.
    run: usize,
}

impl Output<'_> {
    /// How many bytes there are if the run ends in front of `at`; an empty one has a head, too.
    fn len(&self, at: usize) -> usize {
        self.bytes.len() - self.start + 1 + at - self.run
    }

    /// Ends the run in front of `at`, where the next one begins.
    fn end_run(&mut self, at: usize) {
        if let Some(rest) = (at - self.run).checked_sub(1) {
            self.bytes.push(rest as u8);
            self.bytes.extend_from_slice(&self.input[self.run..at]);
            self.run = at;
        }
    }

    /// The byte in front of `at` is a literal.
    fn literal(&mut self, at: usize) {
        if at - self.run == LITERALS_MAX {
            self.end_run(at);
        }
    }

    /// From `at` on there are so many bytes again.
    fn again(&mut self, at: usize, len: usize, back: usize) {
        self.end_run(at);
        let (more, far) = (len - 2, (back >> 8) as u8);
        if more < 7 {
            self.bytes.extend_from_slice(&[far | (more as u8) << 5, back as u8]);
        } else {
            self.bytes.extend_from_slice(&[far | 7 << 5, (more - 7) as u8, back as u8]);
        }
        self.run = at + len;
    }
}

impl Compressor {
    /// Appends the compressed form of `input`, of at most `max` bytes; if there is none so short, appends nothing and
    /// says so.
    pub(crate) fn compress(&mut self, input: &[u8], max: usize, output: &mut Vec<u8>) -> bool {
        let start = output.len();
        let Ok(len) = u32::try_from(input.len()) else { return false };
        if len < 3 || max == 0 {
            return false;
        }
        let done = self.run(Output { input, bytes: output, start, max, run: 0 }, len);
        if !done {
            output.truncate(start);
        }
        done
    }

    fn run(&mut self, mut output: Output<'_>, len: u32) -> bool {
        if self.origin.checked_add(len).is_none() {
            *self = Self::default();
        }
        let places = self.places.get_or_insert_with(|| Box::new([0; PLACES]));
        let origin = self.origin;
        self.origin += len;
        let (input, last) = (output.input, output.input.len() - 2);
        let mut at = 0;
        while at < last {
            let three = three_at(input, at);
            let here = origin + at as u32;
            let noted = std::mem::replace(&mut places[place_of(three)], here);
            // Farther back than the string goes is in an earlier one. And its first byte is never referred to: liblzf
            // cannot tell its place from an empty one.
            let distance = (here - noted) as usize;
            if distance >= at || distance > OFFSET_MAX || three_at(input, at - distance) != three {
                if output.len(at) >= output.max {
                    return false;
                }
                at += 1;
                output.literal(at);
                continue;
            }
            if output.len(at) + 4 - usize::from(output.run == at) >= output.max {
                return false;
            }
            let len = match_len(input, at - distance, at);
            output.again(at, len, distance - 1);
            at += len;
            if at >= last {
                break;
            }
            for at in [at - 2, at - 1] {
                places[place_of(three_at(input, at))] = origin + at as u32;
            }
        }
        if output.len(at) + 3 > output.max {
            return false;
        }
        for at in at + 1..=input.len() {
            output.literal(at);
        }
        output.end_run(input.len());
        true
    }
}

/// Decompresses to exactly `len` bytes; nothing if the input is no LZF or has another length.
pub(crate) fn decompress(mut input: &[u8], len: usize) -> Option<Vec<u8>> {
    if len > input.len().checked_mul(EXPANSION_MAX)? {
        return None;
    }
    let mut output = Vec::with_capacity(len);
    while let Some((&control, rest)) = input.split_first() {
        input = rest;
        if control < 32 {
            let (literal, rest) = input.split_at_checked(usize::from(control) + 1)?;
            output.extend_from_slice(literal);
            input = rest;
        } else {
            let mut run = usize::from(control >> 5);
            if run == 7 {
                let (&more, rest) = input.split_first()?;
                run += usize::from(more);
                input = rest;
            }
            let (&low, rest) = input.split_first()?;
            input = rest;
            let back = (usize::from(control & 31) << 8 | usize::from(low)) + 1;
            let start = output.len().checked_sub(back)?;
            repeat(&mut output, start, run + 2);
        }
        if output.len() > len {
            return None;
        }
    }
    (output.len() == len).then_some(output)
}

/// Appends `len` bytes from `start` on again; they may reach into themselves.
fn repeat(output: &mut Vec<u8>, start: usize, len: usize) {
    if start + len <= output.len() {
        output.extend_from_within(start..start + len);
    } else {
        for at in start..start + len {
            output.push(output[at]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn literals_and_runs() {
        assert_eq!(decompress(&[2, b'a', b'b', b'c'], 3).unwrap(), b"abc");
        assert_eq!(decompress(&[0, b'a', 0xe0, 1, 0], 11).unwrap(), b"aaaaaaaaaaa");
        assert_eq!(decompress(&[0, b'a', 0x20, 5], 4), None);
        assert_eq!(decompress(&[2, b'a'], 3), None);
        assert_eq!(decompress(&[2, b'a', b'b', b'c'], 1), None);
        assert_eq!(decompress(&[2, b'a', b'b', b'c'], 1 << 40), None);
    }

    /// What redis-server 7.0.15 made of this text in FUNCTION DUMP.
    #[test]
    fn the_choices_are_those_of_redis() {
        let code =
            b"#!lua name=lib\nredis.register_function('answer', function(keys, args) return {42, args[1], \
                     args[1], args[1], args[1]} end)";
        let theirs =
            b"\x1f#!lua name=lib\nredis.register_fu\x10nction('answer', \xe0\x00\x12\x15keys, args) return \
                       {42\x80\x11\x02[1]\xe0\x12\x08\x05} end)\n";
        let mut compressed = Vec::new();
        assert!(Compressor::default().compress(code, code.len() - 4, &mut compressed));
        assert_eq!(compressed, theirs[..compressed.len()]);
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            4 => proptest::collection::vec(97..101_u8, 1..12),
            2 => proptest::collection::vec(any::<u8>(), 1..40),
            1 => (any::<u8>(), 1..700_usize).prop_map(|(byte, count)| vec![byte; count]),
        ];
        proptest::collection::vec(word, 0..60).prop_map(|words| words.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever is compressed comes back, also behind other strings, and never exceeds its bound.
        #[test]
        fn what_is_compressed_comes_back(texts in proptest::collection::vec(text(), 1..4), spare in 0..8_usize) {
            let mut compressor =
                Compressor { origin: u32::MAX - 5000, places: Some(Box::new([7; PLACES])) };
            for text in texts {
                let (mut compressed, mut again) = (b"before".to_vec(), Vec::new());
                let max = text.len().saturating_sub(spare);
                if compressor.compress(&text, max, &mut compressed) {
                    prop_assert!(compressed.len() - 6 <= max);
                    prop_assert_eq!(decompress(&compressed[6..], text.len()), Some(text.clone()));
                    prop_assert!(Compressor::default().compress(&text, max, &mut again));
                    prop_assert_eq!(&compressed[6..], &again[..], "earlier strings change nothing");
                } else {
                    prop_assert_eq!(&compressed[..], b"before");
                    prop_assert!(!Compressor::default().compress(&text, max, &mut again));
                }
            }
        }
    }
}
