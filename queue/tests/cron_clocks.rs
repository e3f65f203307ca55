//! Days when clocks are set: our fires against a model of what cronie does, which lives minute by minute.
//!
//! The model knows nothing of intervals of constant offset, of the `cron` crate or of our parser. It has cronie's one
//! virtual clock, looks at the wall once a minute, and judges how far the two are apart. It is asked around every
//! change of the clocks of every zone from 2024 to 2030.
#![allow(clippy::expect_used, clippy::panic)] // A test may end in a panic; the lint knows test functions only.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chrono::{DateTime, Datelike, Offset, TimeZone, Timelike};
use chrono_tz::{TZ_VARIANTS, Tz};
use pbj_queue::cron::{Expression, Fire, Occasion, Zone, due_after_ms, fires, next_after};
use proptest::prelude::*;

const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 3_600;
const YEARS_S: std::ops::Range<i64> = 1_704_067_200..1_924_992_000; // 2024 to 2030.

fn offset_s(zone: Tz, at_epoch_s: i64) -> i64 {
    let date = DateTime::from_timestamp(at_epoch_s, 0).expect("a date").naive_utc();
    i64::from(zone.offset_from_utc_datetime(&date).fix().local_minus_utc())
}

/// A zone and an instant at which its clocks are set.
#[derive(Clone, Copy, Debug)]
struct Change {
    zone: Tz,
    at_epoch_s: i64,
}

/// Every change of any zone; of zones that agree about one, only the first.
static CHANGES: LazyLock<Vec<Change>> = LazyLock::new(|| {
    let mut found = BTreeMap::new();
    for &zone in &TZ_VARIANTS {
        for day_s in YEARS_S.step_by(2 * 86_400) {
            let (mut low, mut high) = (day_s, day_s + 2 * 86_400);
            let (before, after) = (offset_s(zone, low), offset_s(zone, high));
            if before == after {
                continue;
            }
            while high - low > 1 {
                let middle = i64::midpoint(low, high);
                if offset_s(zone, middle) == before { low = middle } else { high = middle }
            }
            found.entry((high, before, after)).or_insert(Change { zone, at_epoch_s: high });
        }
    }
    found.into_values().collect()
});

/// A field as the model understands it: its text, and whether it matches a value.
#[derive(Clone, Debug)]
enum Column {
    Star,
    Every(u32),
    Range(u32, u32, u32),
    List(Vec<u32>),
}

impl Column {
    fn text(&self) -> String {
        match self {
            Self::Star => "*".to_owned(),
            Self::Every(step) => format!("*/{step}"),
            Self::Range(low, high, step) => format!("{low}-{high}/{step}"),
            Self::List(values) => values.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
        }
    }

    fn star(&self) -> bool {
        matches!(self, Self::Star | Self::Every(_))
    }

    fn matches(&self, value: u32, lowest: u32) -> bool {
        match self {
            Self::Star => true,
            Self::Every(step) => (value - lowest).is_multiple_of(*step),
            Self::Range(low, high, step) => {
                (*low..=*high).contains(&value) && (value - low).is_multiple_of(*step)
            }
            Self::List(values) => values.contains(&value),
        }
    }
}

/// An expression as the model understands it.
#[derive(Clone, Debug)]
struct Job([Column; 5]);

impl Job {
    fn text(&self) -> String {
        self.0.each_ref().map(Column::text).join(" ")
    }

    fn wildcard(&self) -> bool {
        self.0[0].star() || self.0[1].star()
    }

    fn matches(&self, local_minute: i64) -> bool {
        let date = DateTime::from_timestamp(local_minute * MINUTE_S, 0).expect("a date");
        let [minute, hour, day, month, weekday] = &self.0;
        let sunday_first = date.weekday().num_days_from_sunday();
        let day_matches = day.matches(date.day(), 1);
        let weekday_matches =
            weekday.matches(sunday_first, 0) || (sunday_first == 0 && weekday.matches(7, 0));
        minute.matches(date.minute(), 0)
            && hour.matches(date.hour(), 0)
            && month.matches(date.month(), 1)
            && if day.star() || weekday.star() {
                day_matches && weekday_matches
            } else {
                day_matches || weekday_matches
            }
    }
}

/// The fires of a job within a piece of time, as cronie's loop makes them.
fn model(job: &Job, zone: Tz, from_epoch_s: i64, until_epoch_s: i64) -> Vec<i64> {
    let local_minute = |at_epoch_s: i64| (at_epoch_s + offset_s(zone, at_epoch_s)).div_euclid(MINUTE_S);
    let first = (from_epoch_s + MINUTE_S - 1).div_euclid(MINUTE_S) * MINUTE_S;
    let mut virtual_minute = local_minute(first - MINUTE_S);
    let mut fired = Vec::new();
    for at_epoch_s in (first..until_epoch_s).step_by(MINUTE_S as usize) {
        let running = local_minute(at_epoch_s);
        let missed = virtual_minute + 1..=running;
        let fires = match running - virtual_minute {
            // On time, or a little late.
            1..=5 => missed.clone().any(|minute| job.matches(minute)),
            6..=180 if job.wildcard() => job.matches(running),
            6..=180 => missed.clone().any(|minute| job.matches(minute)),
            // The fixed jobs have run; the virtual clock waits until the wall has caught up.
            -180..=0 => job.wildcard() && job.matches(running),
            _ => job.matches(running),
        };
        if !(-180..=0).contains(&(running - virtual_minute)) {
            virtual_minute = running;
        }
        if fires {
            fired.push(at_epoch_s);
        }
    }
    fired
}

/// Checks one job around one change, asked from `ask_s` after the change on.
fn check(job: &Job, change: Change, ask_s: i64, until_s: i64) {
    let zone = Zone::parse(change.zone.name()).expect("a zone");
    let expression = Expression::parse(&job.text(), 0).expect("an expression");
    let (ask_s, until_s) = (change.at_epoch_s + ask_s, change.at_epoch_s + until_s);
    let mut expected = model(job, change.zone, change.at_epoch_s - 12 * HOUR_S, until_s);
    expected.retain(|&at_epoch_s| at_epoch_s > ask_s);
    let found: Vec<i64> = fires(&expression, zone, ask_s)
        .map(|fire| fire.at_epoch_s)
        .take_while(|&at_epoch_s| at_epoch_s < until_s)
        .collect();
    assert!(found.is_sorted_by(|a, b| a < b), "'{}' in {zone} from {ask_s} on", job.text());
    assert_eq!(found, expected, "'{}' in {zone} from {ask_s} on", job.text());
}

/// The shapes that matter, at every change.
#[test]
fn every_change_is_survived() {
    use Column::{Every, List, Range, Star};
    let daily = |minute, hour| Job([minute, hour, Star, Star, Star]);
    let mut jobs = vec![
        daily(Every(15), Star),
        daily(List(vec![30]), Star),
        daily(List(vec![0]), Every(2)),
        daily(List(vec![15]), Range(0, 5, 1)),
        daily(List(vec![0, 30]), List(vec![1, 2, 3])),
        daily(Every(20), List(vec![2])),
        Job([List(vec![30]), List(vec![2]), Star, Star, List(vec![7])]),
        Job([List(vec![30]), List(vec![0]), Range(1, 31, 2), Star, List(vec![0])]),
    ];
    jobs.extend([0, 1, 2, 3, 23].map(|hour| daily(List(vec![30]), List(vec![hour]))));
    jobs.extend([0, 1, 2, 3].map(|hour| daily(List(vec![0]), List(vec![hour]))));
    assert!(CHANGES.len() > 300, "{} changes", CHANGES.len());
    for &change in CHANGES.iter() {
        for job in &jobs {
            check(job, change, -4 * HOUR_S, 5 * HOUR_S);
        }
    }
}

fn column(range: std::ops::RangeInclusive<u32>) -> impl Strategy<Value = Column> {
    let (low, high) = range.into_inner();
    prop_oneof![
        2 => Just(Column::Star),
        1 => (1..=high + 2).prop_map(Column::Every),
        2 => (low..=high, low..=high, 1..8_u32).prop_map(|(a, b, step)| Column::Range(a.min(b), a.max(b), step)),
        3 => proptest::collection::vec(low..=high, 1..6).prop_map(Column::List),
    ]
}

fn job() -> impl Strategy<Value = Job> {
    let hours = prop_oneof![column(0..=23), column(0..=4)];
    let days = prop_oneof![Just(Column::Star), column(1..=31)];
    let months = prop_oneof![3 => Just(Column::Star), 1 => column(1..=12)];
    let weekdays = prop_oneof![Just(Column::Star), column(0..=7)];
    (column(0..=59), hours, days, months, weekdays).prop_map(|(a, b, c, d, e)| Job([a, b, c, d, e]))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_job_fires_as_in_the_model(
        job in job(),
        change in any::<prop::sample::Index>(),
        ask_s in -6 * HOUR_S..6 * HOUR_S,
    ) {
        check(&job, *change.get(&CHANGES), ask_s, 9 * HOUR_S);
    }

    /// However far away the next fire is, every question asked before it has the same answer.
    #[test]
    fn nothing_lies_before_the_next_fire(
        job in job(),
        zone in any::<prop::sample::Index>(),
        ask_s in 0..4_000_000_000_i64,
        between in any::<prop::sample::Index>(),
    ) {
        let zone = Zone::parse(zone.get(&TZ_VARIANTS).name()).expect("a zone");
        let expression = Expression::parse(&job.text(), 0).expect("an expression");
        let Some(next_s) = next_after(&expression, zone, ask_s) else { return Ok(()) };
        prop_assert!(next_s > ask_s);
        let between_s = ask_s + between.index((next_s - ask_s) as usize) as i64;
        prop_assert_eq!(next_after(&expression, zone, between_s), Some(next_s));
        prop_assert_eq!(next_after(&expression, zone, next_s - 1), Some(next_s));
        prop_assert_eq!(due_after_ms(&expression, zone, 0, ask_s * 1_000 + 999), Some(next_s * 1_000));
    }

    /// What is told about a fire agrees with the wall: a plain one matches, one that makes up matches what was
    /// skipped.
    #[test]
    fn what_is_told_is_true(job in job(), change in any::<prop::sample::Index>()) {
        let change = *change.get(&CHANGES);
        let zone = Zone::parse(change.zone.name()).expect("a zone");
        let expression = Expression::parse(&job.text(), 0).expect("an expression");
        for fire in fires(&expression, zone, change.at_epoch_s - 3 * HOUR_S).take(20) {
            let Fire { at_epoch_s, offset_s: told_s, occasion } = fire;
            prop_assert_eq!(told_s, offset_s(change.zone, at_epoch_s));
            let local_s = at_epoch_s + told_s;
            let other = [-HOUR_S / 2, -HOUR_S, -2 * HOUR_S, HOUR_S / 2, HOUR_S, 2 * HOUR_S];
            let same_wall = other.map(|by| at_epoch_s + by + offset_s(change.zone, at_epoch_s + by) == local_s);
            match occasion {
                Occasion::Plain => prop_assert!(same_wall == [false; 6]),
                Occasion::SecondOfTwo => prop_assert!(same_wall[..3].contains(&true) && job.wildcard()),
                Occasion::FirstOfTwo => prop_assert!(same_wall[3..].contains(&true)),
                Occasion::MakesUp { skipped_local_s } => {
                    prop_assert!(job.matches(skipped_local_s.div_euclid(MINUTE_S)) && !job.wildcard());
                    let before_s = offset_s(change.zone, at_epoch_s - 1);
                    prop_assert!((at_epoch_s + before_s..local_s).contains(&skipped_local_s));
                    continue;
                }
            }
            prop_assert!(job.matches(local_s.div_euclid(MINUTE_S)));
        }
    }
}
