//! Mutations of inputs, from a seed: bytes, words that mean something, pieces of other inputs.

use super::Target;

/// Longest input.
const INPUT_MAX: usize = 4096;
/// What words are apart by, in some target.
const SEPARATORS: &[u8] = b" \n\r\0\"";

/// Makes inputs for a target.
pub struct Mutator {
    rng: fastrand::Rng,
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
}

impl Mutator {
    /// From a seed, everything follows.
    pub fn new(target: &Target, seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), seeds: (target.seeds)(), words: target.words }
    }

    /// The next input.
    pub fn input(&mut self) -> Vec<u8> {
        let mut input = self.seed();
        for _ in 0..self.rng.usize(1..6) {
            self.mutate(&mut input);
        }
        input.truncate(INPUT_MAX);
        input
    }

    fn seed(&mut self) -> Vec<u8> {
        let nth = self.rng.usize(..self.seeds.len());
        self.seeds[nth].clone()
    }

    fn range(&mut self, input: &[u8], most: usize) -> std::ops::Range<usize> {
        let start = self.rng.usize(..=input.len());
        start..self.rng.usize(start..=input.len().min(start + most))
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        match self.rng.u8(..8) {
            0 => {
                if let Some(byte) = self.rng.choice(input.iter_mut()) {
                    *byte = self.rng.u8(..);
                }
            }
            1 => {
                if let Some(byte) = self.rng.choice(input.iter_mut()) {
                    *byte ^= 1 << self.rng.u8(..8);
                }
            }
            2 => {
                let range = self.range(input, 16);
                input.drain(range);
            }
            3 => {
                let range = self.range(input, 64);
                let (piece, at) = (input[range].to_vec(), self.rng.usize(..=input.len()));
                input.splice(at..at, piece);
            }
            4 => {
                let other = self.seed();
                let range = self.range(&other, 256);
                let at = self.rng.usize(..=input.len());
                input.splice(at..at, other[range].iter().copied());
            }
            5 => {
                let other = self.seed();
                input.extend_from_slice(&other);
            }
            _ => self.put_word(input),
        }
    }

    /// Puts a word in the place of another one, or between two.
    fn put_word(&mut self, input: &mut Vec<u8>) {
        let Some(word) = self.rng.choice(self.words) else { return };
        let at = self.rng.usize(..=input.len());
        let is_separator = |byte: &u8| SEPARATORS.contains(byte);
        let start = input[..at].iter().rposition(is_separator).map_or(0, |before| before + 1);
        let end = input[at..].iter().position(is_separator).map_or(input.len(), |after| at + after);
        let place = if self.rng.bool() { start..end } else { at..at };
        input.splice(place, word.bytes());
    }
}
