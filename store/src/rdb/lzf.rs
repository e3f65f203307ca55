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
    places: Vec<u32>,
    /// Places up to this one belong to earlier strings; so the table need not be emptied in between.
    origin: u32,
}

/// Where three bytes are noted.
fn place_of(three: &[u8]) -> usize {
    let value = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
    ((value >> 8).wrapping_sub(value.wrapping_mul(5))) as usize & (PLACES - 1)
}

/// How many bytes from `earlier` and `at` on are the same; three are known to be.
fn match_len(input: &[u8], earlier: usize, at: usize) -> usize {
    let longest = (input.len() - at - 2).min(MATCH_MAX);
    let same = |len: usize| input[earlier + len] == input[at + len];
    // liblzf looks at sixteen bytes without asking for the bound when there is room for them.
    let unasked = if longest > 16 { 3..19 } else { 3..3 };
    let end = unasked.end;
    match unasked.into_iter().find(|&len| !same(len)) {
        Some(len) => len,
        None => (end..longest).find(|&len| !same(len)).unwrap_or(longest.max(end)),
    }
}

/// Output with a bound, and the run of literals that goes on.
struct Output<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
    max: usize,
    literals: usize,
}

impl Output<'_> {
    fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Begins a run of literals: its head is written when it ends.
    fn begin_run(&mut self) {
        self.literals = 0;
        self.bytes.push(0);
    }

    fn end_run(&mut self) {
        if self.literals == 0 {
            self.bytes.pop();
        } else {
            let head = self.bytes.len() - self.literals - 1;
            self.bytes[head] = (self.literals - 1) as u8;
        }
    }

    fn literal(&mut self, byte: u8) {
        self.bytes.push(byte);
        self.literals += 1;
        if self.literals == LITERALS_MAX {
            self.end_run();
            self.begin_run();
        }
    }

    fn again(&mut self, len: usize, back: usize) {
        self.end_run();
        let (len, far) = (len - 2, (back >> 8) as u8);
        if len < 7 {
            self.bytes.push(far | (len as u8) << 5);
        } else {
            self.bytes.extend_from_slice(&[far | 7 << 5, (len - 7) as u8]);
        }
        self.bytes.push(back as u8);
        self.begin_run();
    }
}

impl Compressor {
    /// Appends the compressed form of `input`, of at most `max` bytes; if there is none so short, appends nothing and
    /// says so.
    pub(crate) fn compress(&mut self, input: &[u8], max: usize, output: &mut Vec<u8>) -> bool {
        let start = output.len();
        if input.len() < 3 || max == 0 || !self.prepare(input.len()) {
            return false;
        }
        let done = self.run(input, Output { bytes: output, start, max, literals: 0 });
        self.origin += input.len() as u32;
        if !done {
            output.truncate(start);
        }
        done
    }

    /// Notes a place, and returns the one that was noted for the same three bytes.
    fn note(&mut self, input: &[u8], at: usize) -> Option<usize> {
        let noted = &mut self.places[place_of(&input[at..at + 3])];
        let earlier = noted.checked_sub(self.origin);
        *noted = self.origin + at as u32;
        earlier.map(|earlier| earlier as usize)
    }

    /// Makes room for the places of a string; says whether they can be told.
    fn prepare(&mut self, len: usize) -> bool {
        let Ok(len) = u32::try_from(len) else { return false };
        if self.places.is_empty() || self.origin.checked_add(len).is_none() {
            self.places.clear();
            self.places.resize(PLACES, 0);
            self.origin = 0;
        }
        true
    }

    fn run(&mut self, input: &[u8], mut output: Output<'_>) -> bool {
        let last = input.len() - 2;
        let mut at = 0;
        output.begin_run();
        while at < last {
            let noted = self.note(input, at);
            // The first byte of all is never referred to: liblzf cannot tell its place from an empty one.
            let earlier = noted.filter(|&earlier| {
                earlier > 0 && at - earlier <= OFFSET_MAX && input[earlier..earlier + 3] == input[at..at + 3]
            });
            let Some(earlier) = earlier else {
                if output.len() >= output.max {
                    return false;
                }
                output.literal(input[at]);
                at += 1;
                continue;
            };
            if output.len() + 4 - usize::from(output.literals == 0) >= output.max {
                return false;
            }
            let len = match_len(input, earlier, at);
            output.again(len, at - earlier - 1);
            at += len;
            if at >= last {
                break;
            }
            self.note(input, at - 2);
            self.note(input, at - 1);
        }
        if output.len() + 3 > output.max {
            return false;
        }
        input[at..].iter().for_each(|&byte| output.literal(byte));
        output.end_run();
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
            let mut compressor = Compressor { origin: u32::MAX - 5000, places: vec![7; PLACES] };
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
