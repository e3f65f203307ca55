//! Calendars: which minutes of a wall clock an expression names. The `cron` crate counts the days.
//!
//! Law: the crate is given explicit lists and wall time only. Its ranges, steps, names, numbers of weekdays and its
//! day rule differ from cron(5), so it never sees ours; and it walks backwards where clocks are set back, so it never
//! sees a zone: local time is dressed as UTC, where no clock is ever set.
//!
//! Not here: zones and the rules for the days when clocks are set ([`super::next`]).

use std::fmt::Write;
use std::str::FromStr;

use chrono::DateTime;
use cron::Schedule;

use super::fault::ExpressionFault;
use super::field::{Field, Reading, Set};

/// The minutes of a wall clock at which something is to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Merged: one that matches is enough. There are two if the day may match in either of two ways.
    schedules: Box<[Schedule]>,
    wildcard: bool,
}

impl Calendar {
    /// A calendar of the five fields, in the order of [`Field::ALL`].
    pub(super) fn new(readings: &[Reading; 5]) -> Result<Self, ExpressionFault> {
        let [minute, hour, day, month, weekday] = readings;
        let schedule = |days, weekdays| schedule([minute.values, hour.values, days, month.values, weekdays]);
        let schedules = if day.star || weekday.star {
            vec![schedule(day.values, weekday.values)?]
        } else {
            vec![
                schedule(day.values, Set::all(Field::DayOfWeek))?,
                schedule(Set::all(Field::DayOfMonth), weekday.values)?,
            ]
        };
        Ok(Self { schedules: schedules.into_boxed_slice(), wildcard: minute.star || hour.star })
    }

    /// Whether it follows the passing of time rather than the clock on the wall: its minute or hour begins with `*`.
    /// On days when clocks are set, such a calendar neither makes up for skipped times nor leaves out repeated ones.
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The first matching minute at or after a wall time, both in seconds since 1970 as if the wall were in UTC.
    /// `None` if there is none until the end of the crate's time, the year 2100.
    pub(super) fn first_from(&self, local_s: i64) -> Option<i64> {
        // The crate looks strictly after an instant, to the second.
        let before = DateTime::from_timestamp(local_s.checked_sub(1)?, 0)?;
        self.schedules
            .iter()
            .filter_map(|schedule| schedule.after(&before).next())
            .map(|at| at.timestamp())
            .min()
    }
}

/// Writes five sets in the language of the crate: seconds first, Sunday is 1, a year at the end.
fn schedule(sets: [Set; 5]) -> Result<Schedule, ExpressionFault> {
    let mut text = "0 ".to_owned();
    for (field, set) in Field::ALL.into_iter().zip(sets) {
        push_list(field, set, &mut text);
    }
    text.push('*');
    Schedule::from_str(&text)
        .map_err(|fault| ExpressionFault::Calendar { text: format!("'{text}': {fault}") })
}

fn push_list(field: Field, set: Set, text: &mut String) {
    if set == Set::all(field) {
        text.push('*');
    } else {
        let shift = u32::from(field == Field::DayOfWeek);
        for (at, value) in set.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}{}", value + shift);
        }
    }
    text.push(' ');
}

#[cfg(test)]
mod tests {
    use super::super::expression::Expression;
    use super::*;

    fn calendar(text: &str) -> Calendar {
        Expression::parse(text, 0).unwrap().calendar().unwrap().clone()
    }

    #[test]
    fn the_crate_sees_lists_only() {
        let sources = |text: &str| -> Vec<String> {
            calendar(text).schedules.iter().map(|schedule| schedule.source().to_owned()).collect()
        };
        assert_eq!(sources("*/20 0-23 * jan-feb 0,6-7"), ["0 0,20,40 * * 1,2 1,7 *"]);
        assert_eq!(sources("0 0 */2 * mon"), ["0 0 0 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31 * 2 *"]);
        assert_eq!(sources("0 0 13 * fri"), ["0 0 0 13 * * *", "0 0 0 * * 6 *"]);
    }

    #[test]
    fn the_end_of_the_calendar_is_an_end() {
        let daily = calendar("0 0 * * *");
        let last_day_s = 4_133_894_400;
        assert_eq!(daily.first_from(last_day_s), Some(last_day_s), "2100-12-31T00:00");
        assert_eq!(daily.first_from(last_day_s + 1), None);
        assert_eq!(calendar("0 0 30 2 *").first_from(0), None);
        assert_eq!((daily.first_from(i64::MAX), daily.first_from(i64::MIN)), (None, None));
    }
}
