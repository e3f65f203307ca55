//! `@every`: a fixed distance between fires, whatever calendars and zones say.
//!
//! Law: fires are `anchor + n * interval`, n from 1 on. They are computed from the anchor, never from the last fire,
//! so a late fire does not move the ones behind it.

/// The distance between two fires of `@every`; at least one millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    length_ms: i64,
}

/// A hundred years of 365 days: longer than anybody means, short enough that no sum with a date overflows.
const LENGTH_MAX_MS: i64 = 100 * 365 * 86_400_000;

const UNITS_MS: [(&str, i64); 6] =
    [("", 1), ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Interval {
    /// Reads `250`, `250ms`, `30s`, `5m`, `2h` or `1d`; a bare number counts milliseconds.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits);
        let (_, unit_ms) = UNITS_MS.iter().find(|(name, _)| *name == suffix)?;
        let length_ms = number.parse::<i64>().ok()?.checked_mul(*unit_ms)?;
        (1..=LENGTH_MAX_MS).contains(&length_ms).then_some(Self { length_ms })
    }

    /// The distance in milliseconds.
    pub fn length_ms(self) -> i64 {
        self.length_ms
    }

    /// The first fire after `after_ms`, for an interval anchored at `anchor_ms`. `None` past the end of 64-bit time.
    pub fn next_after_ms(self, anchor_ms: i64, after_ms: i64) -> Option<i64> {
        let passed = i128::from(after_ms.max(anchor_ms)) - i128::from(anchor_ms);
        let length_ms = i128::from(self.length_ms);
        let next = i128::from(anchor_ms) + (passed / length_ms + 1) * length_ms;
        i64::try_from(next).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit_and_nothing_vague() {
        for (text, expected_ms) in [
            ("1", 1),
            ("1500", 1_500),
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("007m", 420_000),
            ("36500d", LENGTH_MAX_MS),
        ] {
            assert_eq!(Interval::parse(text).map(Interval::length_ms), Some(expected_ms), "{text}");
        }
        for bad in ["", "0", "0s", "-5m", "+5m", "5 m", "1.5h", "5M", "5min", "m", "1h30m", "36501d"] {
            assert_eq!(Interval::parse(bad), None, "{bad}");
        }
        assert_eq!(Interval::parse("99999999999999999999"), None);
        assert_eq!(Interval::parse("9223372036854775807d"), None);
    }

    /// A fire that is handled late must not push the rest back.
    #[test]
    fn does_not_drift() {
        let every = Interval::parse("5m").unwrap();
        let anchor_ms = 1_000_123;
        assert_eq!(every.next_after_ms(anchor_ms, anchor_ms), Some(anchor_ms + 300_000));
        assert_eq!(every.next_after_ms(anchor_ms, anchor_ms + 300_000), Some(anchor_ms + 600_000));
        assert_eq!(every.next_after_ms(anchor_ms, anchor_ms + 300_001), Some(anchor_ms + 600_000));
        assert_eq!(every.next_after_ms(anchor_ms, anchor_ms + 299_999), Some(anchor_ms + 300_000));
        assert_eq!(every.next_after_ms(anchor_ms, i64::MIN), Some(anchor_ms + 300_000));
        assert_eq!(every.next_after_ms(anchor_ms, i64::MAX), None);
        assert_eq!(every.next_after_ms(i64::MIN, i64::MIN), Some(i64::MIN + 300_000));
    }
}
