//! The instants at which an expression fires in a zone.
//!
//! Law: instants are strictly increasing, and what happens when clocks are set is what cronie does with the clock of
//! its machine, for every zone:
//! - A *fixed* expression whose time is skipped (clocks are set forward by at most [`SET_MAX_S`]) fires once, at the
//!   first instant behind the gap, however many of its times were skipped; and it never fires twice for one time on
//!   the wall.
//! - A *wildcard* expression ([`Calendar::is_wildcard`]) follows real time: what is skipped is not made up for, what
//!   is shown twice fires twice.
//! - A clock that is set farther than that starts anew: nothing is made up for and nothing left out.
//!
//! Fires are looked for from 1970 to the end of 2100, where the calendar ends.
//!
//! Not here: fires that were missed because nobody was running (the queue's catch-up).

use std::iter::FusedIterator;

use super::calendar::Calendar;
use super::expression::{Expression, Kind};
use super::zone::{Shown, Stretch, Zone};

/// Clocks that are set by more than this, in either direction, are taken to be different clocks.
const SET_MAX_S: i64 = 180 * 60;

/// Longer than clocks were ever set by, and longer than a setting of at most [`SET_MAX_S`] has an effect.
const DAY_S: i64 = 86_400;

/// More than any clock is ahead of UTC.
const AHEAD_MAX_S: i64 = 16 * 3_600;

/// 2101-01-02: wherever on earth, the calendar has ended.
const END_EPOCH_S: i64 = 4_134_067_200;

/// One instant at which an expression fires, with what is to be told about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fire {
    /// The instant.
    pub at_epoch_s: i64,
    /// How far the clocks on the wall are ahead of UTC at that instant.
    pub offset_s: i64,
    /// Whether the clocks being set has to do with it.
    pub occasion: Occasion,
}

/// What the setting of clocks has to do with a fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Nothing: the wall shows this time once.
    Plain,
    /// The wall skipped one or more times of this expression; this one fire makes up for them.
    MakesUp {
        /// The first time that was skipped, in seconds since 1970 as if the wall were in UTC.
        skipped_local_s: i64,
    },
    /// The wall shows this time twice, and this is the first time. A fixed expression fires only now.
    FirstOfTwo,
    /// The wall shows this time twice, and this is the second time.
    SecondOfTwo,
}

/// The first instant after `after_epoch_s` at which a calendar fires. `None` if there is none until the end of 2100,
/// and for what no calendar drives: `@reboot` is an event, and `@every` needs an anchor ([`due_after_ms`]).
pub fn next_after(expression: &Expression, zone: Zone, after_epoch_s: i64) -> Option<i64> {
    first_fire(expression.calendar()?, zone, after_epoch_s).map(|found| found.at_epoch_s)
}

/// The first instant after `after_ms` at which an expression of any kind is due, in milliseconds since 1970.
/// `anchor_ms` is where `@every` counts from: the creation of the schedule.
pub fn due_after_ms(expression: &Expression, zone: Zone, anchor_ms: i64, after_ms: i64) -> Option<i64> {
    match expression.kind() {
        Kind::Calendar(_) => next_after(expression, zone, after_ms.div_euclid(1_000))?.checked_mul(1_000),
        Kind::Every(interval) => interval.next_after_ms(anchor_ms, after_ms),
        Kind::Reboot => None,
    }
}

/// The instants after `after_epoch_s` at which a calendar fires, with what is to be told about each. Empty where
/// [`next_after`] is `None`.
pub fn fires(expression: &Expression, zone: Zone, after_epoch_s: i64) -> Fires<'_> {
    Fires { calendar: expression.calendar(), zone, after_epoch_s }
}

/// See [`fires`].
#[derive(Clone, Debug)]
pub struct Fires<'a> {
    /// `None` when there are no more.
    calendar: Option<&'a Calendar>,
    zone: Zone,
    after_epoch_s: i64,
}

impl Iterator for Fires<'_> {
    type Item = Fire;

    fn next(&mut self) -> Option<Fire> {
        let Some(found) = first_fire(self.calendar?, self.zone, self.after_epoch_s) else {
            self.calendar = None;
            return None;
        };
        self.after_epoch_s = found.at_epoch_s;
        let occasion = match found.skipped_local_s {
            Some(skipped_local_s) => Occasion::MakesUp { skipped_local_s },
            None => match self.zone.shown(found.at_epoch_s) {
                Shown::Once => Occasion::Plain,
                Shown::FirstOfTwo => Occasion::FirstOfTwo,
                Shown::SecondOfTwo => Occasion::SecondOfTwo,
            },
        };
        Some(Fire { at_epoch_s: found.at_epoch_s, offset_s: found.offset_s, occasion })
    }
}

impl FusedIterator for Fires<'_> {}

struct Found {
    at_epoch_s: i64,
    offset_s: i64,
    /// The first skipped time that this fire makes up for.
    skipped_local_s: Option<i64>,
}

/// Walks the stretches of a zone, from a day before `after_epoch_s` on, since clocks that were set shortly before it
/// decide which times have been shown already.
fn first_fire(calendar: &Calendar, zone: Zone, after_epoch_s: i64) -> Option<Found> {
    if after_epoch_s >= END_EPOCH_S {
        return None;
    }
    let after_epoch_s = after_epoch_s.max(-1);
    let mut walk = Walk::from(calendar, zone, after_epoch_s - DAY_S, after_epoch_s);
    while walk.stretch.from_epoch_s < END_EPOCH_S {
        if let Some(found) = walk.made_up().or_else(|| walk.matching()) {
            debug_assert!(found.at_epoch_s > after_epoch_s, "fires strictly increase");
            return Some(found);
        }
        walk.advance()?;
    }
    None
}

struct Walk<'a> {
    calendar: &'a Calendar,
    zone: Zone,
    after_epoch_s: i64,
    /// Where the walk is.
    stretch: Stretch,
    /// The wall time up to which everything has been shown before this stretch.
    shown_until_s: i64,
}

impl<'a> Walk<'a> {
    fn from(calendar: &'a Calendar, zone: Zone, from_epoch_s: i64, after_epoch_s: i64) -> Self {
        let stretch = zone.stretch_from(from_epoch_s);
        Self { calendar, zone, after_epoch_s, stretch, shown_until_s: stretch.begin_local_s() }
    }

    /// The fire that makes up, as the stretch begins, for times that were skipped.
    fn made_up(&self) -> Option<Found> {
        let (at_epoch_s, gap_end_s) = (self.stretch.from_epoch_s, self.stretch.begin_local_s());
        if self.calendar.is_wildcard() || at_epoch_s <= self.after_epoch_s || gap_end_s <= self.shown_until_s
        {
            return None;
        }
        let skipped_local_s = self.calendar.first_from(self.shown_until_s).filter(|&at_s| at_s < gap_end_s);
        skipped_local_s.map(|_| Found { at_epoch_s, offset_s: self.stretch.offset_s, skipped_local_s })
    }

    /// The first time in the stretch that matches and counts.
    fn matching(&self) -> Option<Found> {
        let offset_s = self.stretch.offset_s;
        let mut from_local_s = self.stretch.begin_local_s().max(self.after_epoch_s + 1 + offset_s);
        if !self.calendar.is_wildcard() {
            from_local_s = from_local_s.max(self.shown_until_s);
        }
        if from_local_s >= self.stretch.end_local_s() {
            return None;
        }
        let at_s =
            self.calendar.first_from(from_local_s).filter(|&at_s| at_s < self.stretch.end_local_s())?;
        Some(Found { at_epoch_s: at_s - offset_s, offset_s, skipped_local_s: None })
    }

    /// Goes on to the next stretch, or over all those in which the wall cannot show a matching time. `None` if the
    /// calendar has no more.
    fn advance(&mut self) -> Option<()> {
        let end_local_s = self.stretch.end_local_s();
        // A day back, since that is how far the clocks may be set back after this stretch.
        let ahead_s = self.calendar.first_from(end_local_s - DAY_S)?;
        let soonest_epoch_s = ahead_s - AHEAD_MAX_S - DAY_S;
        if soonest_epoch_s > self.stretch.until_epoch_s {
            *self = Self::from(self.calendar, self.zone, soonest_epoch_s, self.after_epoch_s);
            return Some(());
        }
        self.shown_until_s = self.shown_until_s.max(end_local_s);
        self.stretch = self.zone.stretch_from(self.stretch.until_epoch_s);
        let set_by_s = self.stretch.begin_local_s() - self.shown_until_s;
        if set_by_s.abs() > SET_MAX_S {
            self.shown_until_s = self.stretch.begin_local_s();
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_BEFORE_GAP_S: i64 = 1_804_957_200;
    const DAY_BEFORE_OVERLAP_S: i64 = 1_825_516_800;

    fn parse(text: &str) -> Expression {
        Expression::parse(text, 0).unwrap_or_else(|fault| panic!("{text}: {fault}"))
    }

    fn new_york() -> Zone {
        Zone::parse("America/New_York").unwrap()
    }

    /// The first fires as (seconds of the wall clock since its midnight, occasion).
    fn told(text: &str, zone: Zone, after_epoch_s: i64, count: usize) -> Vec<(i64, Occasion)> {
        fires(&parse(text), zone, after_epoch_s)
            .take(count)
            .map(|fire| ((fire.at_epoch_s + fire.offset_s).rem_euclid(DAY_S), fire.occasion))
            .collect()
    }

    fn clock(hour: i64, minute: i64) -> i64 {
        hour * 3_600 + minute * 60
    }

    #[test]
    fn a_made_up_fire_says_what_it_makes_up_for() {
        let midnight_s = 1_804_982_400; // 2027-03-14T00:00 on the wall.
        let makes_up = |hour, minute| Occasion::MakesUp { skipped_local_s: midnight_s + clock(hour, minute) };
        for (text, expected) in [
            ("30 2 * * *", vec![(clock(3, 0), makes_up(2, 30)), (clock(2, 30), Occasion::Plain)]),
            ("0,30 2-3 * * *", vec![(clock(3, 0), makes_up(2, 0)), (clock(3, 30), Occasion::Plain)]),
            ("0 3 * * *", vec![(clock(3, 0), Occasion::Plain), (clock(3, 0), Occasion::Plain)]),
            ("*/30 2,3 * * *", vec![(clock(3, 0), Occasion::Plain), (clock(3, 30), Occasion::Plain)]),
        ] {
            assert_eq!(told(text, new_york(), DAY_BEFORE_GAP_S, 2), expected, "{text}");
        }
    }

    #[test]
    fn a_repeated_time_says_which_of_the_two_it_is() {
        use Occasion::{FirstOfTwo, Plain, SecondOfTwo};
        for (text, expected) in [
            ("30 1 * * *", vec![(clock(1, 30), FirstOfTwo), (clock(1, 30), Plain)]),
            (
                "*/45 1 * * *",
                vec![(clock(1, 0), FirstOfTwo), (clock(1, 45), FirstOfTwo), (clock(1, 0), SecondOfTwo)],
            ),
            ("0 2 * * *", vec![(clock(2, 0), Plain), (clock(2, 0), Plain)]),
        ] {
            assert_eq!(told(text, new_york(), DAY_BEFORE_OVERLAP_S, expected.len()), expected, "{text}");
        }
    }

    /// Asked within the second showing, a fixed expression stays silent and a wildcard one speaks.
    #[test]
    fn knows_what_was_shown_before_it_was_asked() {
        let change_s = 1_825_567_200; // 2027-11-07T01:00 on the wall, for the second time.
        let after = |text: &str| next_after(&parse(text), new_york(), change_s).map(|at| at - change_s);
        assert_eq!(after("30 1 * * *"), Some(DAY_S + clock(0, 30)));
        assert_eq!(after("*/30 1 * * *"), Some(clock(0, 30)));
        assert_eq!(after("0 0-3 * * *"), Some(clock(1, 0)));
        // A rare wildcard expression must not step over the second showing of its only day.
        let rare = parse("*/30 1 7 11 *");
        assert_eq!(next_after(&rare, new_york(), change_s - 1), Some(change_s));
    }

    /// Samoa had no 30 December 2011: a whole day is not made up for.
    #[test]
    fn a_clock_set_far_starts_anew() {
        let apia = Zone::parse("Pacific/Apia").unwrap();
        let change_s = 1_325_239_200;
        assert_eq!(next_after(&parse("30 2 30 12 *"), apia, change_s - 2 * DAY_S), Some(1_356_784_200));
        assert_eq!(next_after(&parse("0 0 * * *"), apia, change_s - 1), Some(change_s));
        // Vostok station set its clocks back by seven hours: what has been shown counts once more.
        let vostok = Zone::parse("Antarctica/Vostok").unwrap();
        let change_s = 760_035_600; // 1994-02-01T00:00 to 1994-01-31T17:00.
        let evening = parse("30 22 * * *");
        let found: Vec<_> = fires(&evening, vostok, change_s - clock(3, 0)).take(2).collect();
        assert_eq!(found[0].at_epoch_s, change_s - clock(1, 30));
        assert_eq!(found[1].at_epoch_s, change_s + clock(5, 30));
    }

    /// Three hours are the most that is made up for; Casey station sets its clocks by just that.
    #[test]
    fn three_hours_are_made_up_for() {
        let casey = Zone::parse("Antarctica/Casey").unwrap();
        let change_s = 1_570_129_200; // 2019-10-04T03:00 to 06:00.
        assert_eq!(next_after(&parse("30 4 * * *"), casey, change_s - 3_600), Some(change_s));
    }

    #[test]
    fn every_kind_has_its_due_time() {
        let (anchor_ms, after_ms) = (1_000, 1_798_761_600_999);
        let due = |text: &str| due_after_ms(&parse(text), Zone::UTC, anchor_ms, after_ms);
        assert_eq!(due("* * * * *"), Some(1_798_761_660_000));
        assert_eq!(due("@every 1500ms"), Some(1_798_761_601_000));
        assert_eq!(due("@reboot"), None);
        assert_eq!(due_after_ms(&parse("* * * * *"), Zone::UTC, 0, -1), Some(0));
        assert_eq!(next_after(&parse("@every 5m"), Zone::UTC, 0), None);
        assert_eq!(fires(&parse("@reboot"), Zone::UTC, 0).count(), 0);
    }

    #[test]
    fn time_ends_with_the_calendar() {
        let yearly = parse("@yearly");
        let last_s = 4_102_444_800; // 2100-01-01.
        assert_eq!(
            fires(&yearly, Zone::UTC, last_s - 1).map(|fire| fire.at_epoch_s).collect::<Vec<_>>(),
            [last_s]
        );
        for zone in Zone::all() {
            assert_eq!(next_after(&yearly, zone, i64::MAX), None);
            assert!(next_after(&yearly, zone, i64::MIN).is_some_and(|at| (0..40_000_000).contains(&at)));
        }
        let last_minute = parse("59 23 31 12 *");
        for (name, behind_s) in
            [("UTC", 0), ("Etc/GMT+12", clock(12, 0)), ("Pacific/Kiritimati", -clock(14, 0))]
        {
            let zone = Zone::parse(name).unwrap();
            let expected = last_s + 365 * DAY_S - 60 + behind_s;
            assert_eq!(
                fires(&last_minute, zone, last_s + DAY_S).map(|f| f.at_epoch_s).collect::<Vec<_>>(),
                [expected]
            );
        }
        assert_eq!(next_after(&parse("0 0 30 2 *"), new_york(), 0), None);
    }
}
