//! Cron expressions against a table of cases that other programs computed, row by row.
#![allow(clippy::expect_used)] // A test may end in a panic; the lint knows test functions only.

use chrono::DateTime;
use pbj_queue::cron::{Expression, Zone, fires, next_after};

const VECTORS: &str = include_str!("data/cron-vectors.tsv");

/// `2027-03-14T03:00-04`, `...+0530` or `...Z` as seconds since 1970.
fn epoch_s(text: &str) -> i64 {
    let (wall, offset) = text.split_at("2027-03-14T03:00".len());
    let offset = match offset.len() {
        1 => "+0000".to_owned(),
        3 => format!("{offset}00"),
        _ => offset.to_owned(),
    };
    DateTime::parse_from_str(&format!("{wall}{offset}"), "%Y-%m-%dT%H:%M%z").expect("a date").timestamp()
}

#[test]
fn every_row_holds() {
    let rows: Vec<&str> = VECTORS.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(rows.len(), 69);
    for row in rows {
        let columns: Vec<&str> = row.split('\t').collect();
        let [expression, zone, start, expected @ ..] = &columns[..] else {
            panic!("columns are missing: {row}")
        };
        let expression = Expression::parse(expression, 0).expect("an expression");
        let (zone, start_s) = (Zone::parse(zone).expect("a zone"), start.parse().expect("a number"));
        let found: Vec<i64> = fires(&expression, zone, start_s).take(3).map(|fire| fire.at_epoch_s).collect();
        let expected: Vec<i64> =
            expected.iter().filter(|text| **text != "never").map(|text| epoch_s(text)).collect();
        assert_eq!(found, expected, "{row}");
        for (before, at) in std::iter::once(&start_s).chain(&expected).zip(&expected) {
            assert_eq!(next_after(&expression, zone, *before), Some(*at), "one at a time: {row}");
        }
    }
}

/// What other dialects add is refused, never read as something else: `5/15` is four minutes to some and an error to
/// cronie, a sixth field is seconds to some and a year to others, and a day of week of `6-1` may wrap or not.
#[test]
fn other_dialects_are_refused() {
    for text in [
        "0 0 L * *",
        "0 0 LW * *",
        "0 0 L-3 * *",
        "0 0 15W * *",
        "0 0 1W * *",
        "0 0 * * 1#2",
        "0 0 * * 5L",
        "0 0 * * L5",
        "0 0 Z1 * *",
        "0 0 1 * +1",
        "0 0 ? * 1",
        "H H * * *",
        "H(0-7) * * * *",
        "*/10 * * * * *",
        "0 0 1 1 * 2030",
        "0 0 * * 1 * 2030",
        "5/15 * * * *",
        "0/30 * * * *",
        "0 0 * * 6-1",
        "55-5 * * * *",
        "0 0 * * 1,",
        "0 0 * * monday",
        "0 0 * * tues",
        "1 , 2 * * * *",
        "@fortnightly",
        "TZ=UTC 0 0 * * *",
    ] {
        assert!(Expression::parse(text, 0).is_err(), "{text}");
    }
}
