//! One of the five fields: its range, its words, and how its text becomes a set of values.
//!
//! Law: a field is understood to its last character or refused; nothing is skipped, rounded or guessed. What cronie
//! accepts is accepted with its meaning, and what cronie refuses is refused.
//!
//! A further form of item (a last day, a nearest weekday, a hash) would be one more arm in [`Reader::item`].

use std::ops::RangeInclusive;

use super::chance::Chance;
use super::fault::ExpressionFault;

/// One of the five fields of an expression, in the order in which they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// 0-59.
    Minute,
    /// 0-23.
    Hour,
    /// 1-31.
    DayOfMonth,
    /// 1-12 or `jan`-`dec`.
    Month,
    /// 0-7 or `sun`-`sat`; 0 and 7 are both Sunday.
    DayOfWeek,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Field {
    /// All fields, in the order in which they are written.
    pub const ALL: [Self; 5] = [Self::Minute, Self::Hour, Self::DayOfMonth, Self::Month, Self::DayOfWeek];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
        }
    }

    /// Where it stands among the five, counted from 0.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The numbers that may be written.
    pub fn range(self) -> RangeInclusive<u32> {
        match self {
            Self::Minute => 0..=59,
            Self::Hour => 0..=23,
            Self::DayOfMonth => 1..=31,
            Self::Month => 1..=12,
            Self::DayOfWeek => 0..=7,
        }
    }

    /// The words that may stand for numbers; the first one is the lowest number.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Self::Month => &MONTHS,
            Self::DayOfWeek => &WEEKDAYS,
            _ => &[],
        }
    }

    /// The number that `text` writes or names.
    fn value(self, text: &str) -> Option<u32> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok().filter(|value| self.range().contains(value));
        }
        let at = self.words().iter().position(|word| word.eq_ignore_ascii_case(text))?;
        Some(self.range().start() + at as u32)
    }
}

/// A set of numbers below 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Set(u64);

impl Set {
    pub(super) fn of(values: impl IntoIterator<Item = u32>) -> Self {
        Self(values.into_iter().fold(0, |bits, value| bits | 1 << value))
    }

    /// Every value of a field. Sunday counts once.
    pub(super) fn all(field: Field) -> Self {
        Self::of(field.range()).with_one_sunday(field)
    }

    fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Sunday may be written 0 or 7; it is kept as 0.
    fn with_one_sunday(self, field: Field) -> Self {
        match field {
            Field::DayOfWeek => Self((self.0 | self.0 >> 7) & 0x7f),
            _ => self,
        }
    }

    /// The values, from the lowest on.
    pub(super) fn iter(self) -> impl Iterator<Item = u32> {
        (0..64).filter(move |value| self.0 >> value & 1 == 1)
    }
}

/// What a field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) values: Set,
    /// Whether the text begins with `*`. That, and not whether all values are named, is what cron's rules ask:
    /// `*/2` has a star and `0-59` has none.
    pub(super) star: bool,
}

/// Reads the text of a field.
pub(super) fn read(field: Field, text: &str, chance: &mut Chance) -> Result<Reading, ExpressionFault> {
    let mut reader = Reader { field, text, chance };
    let mut values = Set::default();
    for item in text.split(',') {
        values = values.union(reader.item(item)?);
    }
    Ok(Reading { values: values.with_one_sunday(field), star: text.starts_with('*') })
}

struct Reader<'a> {
    field: Field,
    text: &'a str,
    chance: &'a mut Chance,
}

impl Reader<'_> {
    /// Reads what stands between two commas.
    fn item(&mut self, item: &str) -> Result<Set, ExpressionFault> {
        if item.is_empty() {
            return Err(ExpressionFault::EmptyItem { field: self.field, text: self.text.to_owned() });
        }
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let (low, high) = if range == "*" {
            self.field.range().into_inner()
        } else if let Some((low, high)) = range.split_once('~') {
            let low = self.value_or(low, *self.field.range().start())?;
            let high = self.value_or(high, *self.field.range().end())?;
            if step.is_some() {
                return Err(ExpressionFault::StepAfterRandom { field: self.field, text: item.to_owned() });
            }
            return self.random(range, low, high);
        } else if let Some((low, high)) = range.split_once('-') {
            self.range(range, low, high)?
        } else {
            let value = self.value(range)?;
            if step.is_some() {
                return Err(ExpressionFault::StepWithoutRange { field: self.field, text: item.to_owned() });
            }
            (value, value)
        };
        let step = step.map_or(Ok(1), |step| self.step(step))?;
        Ok(Set::of((low..=high).step_by(step)))
    }

    fn value(&self, text: &str) -> Result<u32, ExpressionFault> {
        let fault = || ExpressionFault::Value { field: self.field, text: text.to_owned() };
        self.field.value(text).ok_or_else(fault)
    }

    fn value_or(&self, text: &str, default: u32) -> Result<u32, ExpressionFault> {
        if text.is_empty() { Ok(default) } else { self.value(text) }
    }

    fn range(&self, text: &str, low: &str, high: &str) -> Result<(u32, u32), ExpressionFault> {
        let (low, mut high) = (self.value(low)?, self.value(high)?);
        // `fri-sun` and `5-0`: as an end, Sunday is the seventh day.
        if self.field == Field::DayOfWeek && high == 0 && low > 0 {
            high = 7;
        }
        self.ascending(text, low, high)
    }

    fn ascending(&self, text: &str, low: u32, high: u32) -> Result<(u32, u32), ExpressionFault> {
        if low > high {
            return Err(ExpressionFault::Backwards { field: self.field, text: text.to_owned() });
        }
        Ok((low, high))
    }

    /// Any size is allowed; one that is larger than the range leaves the first value.
    fn step(&self, text: &str) -> Result<usize, ExpressionFault> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let step = if digits { text.parse().unwrap_or(usize::MAX) } else { 0 };
        if step == 0 {
            return Err(ExpressionFault::Step { field: self.field, text: text.to_owned() });
        }
        Ok(step)
    }

    fn random(&mut self, text: &str, low: u32, high: u32) -> Result<Set, ExpressionFault> {
        let (low, mut high) = self.ascending(text, low, high)?;
        if self.field == Field::DayOfWeek && (low, high) == (0, 7) {
            // Otherwise Sunday would be drawn twice as often as the other days.
            high = 6;
        }
        Ok(Set::of([self.chance.within(low, high)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(field: Field, text: &str) -> Vec<u32> {
        let reading =
            read(field, text, &mut Chance::new(1)).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        reading.values.iter().collect()
    }

    fn fault(field: Field, text: &str) -> ExpressionFault {
        read(field, text, &mut Chance::new(1)).map(|reading| panic!("{text} is {reading:?}")).unwrap_err()
    }

    #[test]
    fn reads_every_form_of_item() {
        for (field, text, expected) in [
            (Field::Minute, "5", &[5][..]),
            (Field::Minute, "007", &[7]),
            (Field::Minute, "0,30,15", &[0, 15, 30]),
            (Field::Minute, "10-12,11-14", &[10, 11, 12, 13, 14]),
            (Field::Minute, "10-40/15", &[10, 25, 40]),
            (Field::Minute, "*/20", &[0, 20, 40]),
            (Field::Minute, "*/60", &[0]),
            (Field::Minute, "*/99999999999999999999999", &[0]),
            (Field::Minute, "59-59", &[59]),
            (Field::Hour, "*/23", &[0, 23]),
            (Field::DayOfMonth, "*/10", &[1, 11, 21, 31]),
            (Field::Month, "JAN-mar,Dec", &[1, 2, 3, 12]),
            (Field::Month, "feb-11/3", &[2, 5, 8, 11]),
        ] {
            assert_eq!(values(field, text), expected, "{text}");
        }
        assert_eq!(values(Field::Hour, "*"), (0..24).collect::<Vec<_>>());
    }

    /// 0 and 7 are the same day, also at the end of a range.
    #[test]
    fn sunday_has_two_numbers() {
        for (text, expected) in [
            ("0", &[0][..]),
            ("7", &[0]),
            ("5-7", &[0, 5, 6]),
            ("5-0", &[0, 5, 6]),
            ("fri-sun", &[0, 5, 6]),
            ("sun-tue", &[0, 1, 2]),
            ("0-6/2", &[0, 2, 4, 6]),
            ("1-7/2", &[0, 1, 3, 5]),
            ("*/2", &[0, 2, 4, 6]),
            ("*/7", &[0]),
            ("0-7", &[0, 1, 2, 3, 4, 5, 6]),
        ] {
            assert_eq!(values(Field::DayOfWeek, text), expected, "{text}");
        }
        assert_eq!(
            read(Field::DayOfWeek, "0-7", &mut Chance::new(1)).map(|r| r.values),
            Ok(Set::all(Field::DayOfWeek))
        );
    }

    /// The star of cron's rules is the first character of the text and nothing else.
    #[test]
    fn a_star_is_a_first_character() {
        for (text, expected) in [("*", true), ("*/2", true), ("*,5", true), ("0-59", false), ("5,*", false)] {
            let reading = read(Field::Minute, text, &mut Chance::new(1)).map(|reading| reading.star);
            assert_eq!(reading, Ok(expected), "{text}");
        }
    }

    #[test]
    fn random_values_stay_within_their_range_and_follow_the_seed() {
        let draw = |field, text, seed| {
            let reading = read(field, text, &mut Chance::new(seed));
            reading.map(|reading| reading.values.iter().collect::<Vec<_>>()).unwrap()
        };
        for seed in 0..300 {
            let within = |field, text, range: RangeInclusive<u32>| {
                let drawn = draw(field, text, seed);
                assert_eq!(drawn, draw(field, text, seed), "the seed decides");
                assert!(drawn.len() == 1 && range.contains(&drawn[0]), "{text} gave {drawn:?}");
            };
            within(Field::Minute, "~", 0..=59);
            within(Field::Minute, "10~12", 10..=12);
            within(Field::Hour, "~6", 0..=6);
            within(Field::DayOfMonth, "28~", 28..=31);
            within(Field::Month, "jun~aug", 6..=8);
            within(Field::DayOfWeek, "~", 0..=6);
        }
        let all: std::collections::BTreeSet<u32> =
            (0..500).map(|seed| draw(Field::DayOfWeek, "5~", seed)[0]).collect();
        assert_eq!(all.into_iter().collect::<Vec<_>>(), [0, 5, 6], "7 is Sunday here too");
        assert_eq!(draw(Field::Minute, "~,~,~", 3), draw(Field::Minute, "~,~,~", 3));
    }

    #[test]
    fn refuses_everything_else() {
        let value = |field, text: &str| ExpressionFault::Value { field, text: text.to_owned() };
        for (field, text, wrong) in [
            (Field::Minute, "60", "60"),
            (Field::Minute, "5x", "5x"),
            (Field::Minute, "+5", "+5"),
            (Field::Minute, "**", "**"),
            (Field::Minute, "*5", "*5"),
            (Field::Minute, "1-", ""),
            (Field::Minute, "-1", ""),
            (Field::Minute, "1-2-3", "2-3"),
            (Field::Minute, "1~2~3", "2~3"),
            (Field::Minute, "99999999999999999999", "99999999999999999999"),
            (Field::Minute, "mon", "mon"),
            (Field::Hour, "24", "24"),
            (Field::DayOfMonth, "0", "0"),
            (Field::DayOfMonth, "L", "L"),
            (Field::DayOfMonth, "15W", "15W"),
            (Field::DayOfMonth, "?", "?"),
            (Field::Month, "13", "13"),
            (Field::Month, "january", "january"),
            (Field::DayOfWeek, "8", "8"),
            (Field::DayOfWeek, "1#2", "1#2"),
            (Field::DayOfWeek, "٣", "٣"),
        ] {
            assert_eq!(fault(field, text), value(field, wrong), "{text}");
        }
        let (field, owned) = (Field::DayOfWeek, |text: &str| text.to_owned());
        for text in ["1,", ",1", "1,,2", ""] {
            assert_eq!(fault(field, text), ExpressionFault::EmptyItem { field, text: owned(text) });
        }
        for text in ["6-1", "fri-mon", "6~1"] {
            assert_eq!(fault(field, text), ExpressionFault::Backwards { field, text: owned(text) });
        }
        for step in ["", "0", "x", "-1", "2/2", "+2"] {
            assert_eq!(
                fault(field, &format!("*/{step}")),
                ExpressionFault::Step { field, text: owned(step) }
            );
        }
        assert_eq!(fault(field, "2/2"), ExpressionFault::StepWithoutRange { field, text: owned("2/2") });
        assert_eq!(fault(field, "~/2"), ExpressionFault::StepAfterRandom { field, text: owned("~/2") });
    }
}
