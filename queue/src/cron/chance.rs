//! The numbers behind `~`.
//!
//! Law: the numbers follow from the seed alone, by the recurrence below (splitmix64) and never by another one, so
//! that a replica, a restart and a later release choose the same minute as the first reading did.

/// A sequence of numbers that follows from a seed.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number in `low..=high`.
    pub(super) fn within(&mut self, low: u32, high: u32) -> u32 {
        let span = u128::from(high.saturating_sub(low)) + 1;
        // The high half of the product: no modulo, so no end of the range is favoured in a way that shows.
        let above_low = (u128::from(self.next()) * span) >> 64;
        low + above_low as u32
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs of the published splitmix64 for the seed 1234567.
    #[test]
    fn is_the_published_sequence() {
        let mut chance = Chance::new(1_234_567);
        assert_eq!(
            [chance.next(), chance.next(), chance.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn reaches_both_ends_and_nothing_else() {
        let mut chance = Chance::new(7);
        let drawn: std::collections::BTreeSet<u32> = (0..200).map(|_| chance.within(5, 9)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
        assert_eq!(chance.within(3, 3), 3);
    }
}
