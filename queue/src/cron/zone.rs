//! Time zones: what the clocks of a place show.
//!
//! Law: a zone is a name of the IANA database, exactly. Nothing is looked up in files or taken from the environment:
//! the rules are the ones compiled in, and [`TZDB_VERSION`] says which they are.
//!
//! Not here: what a schedule does when clocks are set ([`super::next`]).

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use chrono::{DateTime, MappedLocalTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use pbj_store::spelling::distance;

use super::fault::Quoted;

/// The version of the time zone database that is compiled in.
pub const TZDB_VERSION: &str = chrono_tz::IANA_TZDB_VERSION;

/// Longest name that is looked up; the longest one there is has 32 bytes.
const NAME_MAX_BYTES: usize = 64;

/// How far ahead a change of the clocks is looked for. Two changes must not hide in it: from 1970 to 2100 the
/// shortest time between two changes of one zone is 6.96 days, in Gaza in 2040 and in Brazil in 2000.
const LOOK_AHEAD_S: i64 = 4 * 86_400;

/// A place whose clocks are set alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Zone(Tz);

/// A piece of time in which the clocks of a zone are not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The instant at which it begins.
    pub from_epoch_s: i64,
    /// The instant at which it ends, itself outside.
    pub until_epoch_s: i64,
    /// How far the clocks on the wall are ahead of UTC.
    pub offset_s: i64,
}

/// How often clocks show a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Once,
    /// This was the first time, a second one comes.
    FirstOfTwo,
    SecondOfTwo,
}

/// Why a name is no zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZoneFault {
    /// There is no name.
    Empty,
    /// The name is longer than any name of a zone.
    TooLong {
        /// Its length.
        length_bytes: usize,
    },
    /// The database has no such name.
    Unknown {
        /// As it was written.
        name: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
}

impl Display for ZoneFault {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => out.write_str("no time zone given; write a name as 'UTC' or 'Europe/Berlin'"),
            Self::TooLong { length_bytes } => {
                write!(out, "a time zone of {length_bytes} bytes; no name has more than {NAME_MAX_BYTES}")
            }
            Self::Unknown { name, nearest } => {
                write!(out, "{} is no time zone", Quoted(name))?;
                match nearest {
                    Some(nearest) => write!(out, ", did you mean '{nearest}'?"),
                    None => out.write_str("; write a name as 'UTC' or 'Europe/Berlin'"),
                }
            }
        }
    }
}

impl std::error::Error for ZoneFault {}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl Display for Zone {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name())
    }
}

impl Zone {
    /// Universal time; what a schedule uses that names no zone.
    pub const UTC: Self = Self(Tz::UTC);

    /// Reads the name of a zone, in its own case.
    ///
    /// # Errors
    /// There is no zone of that name.
    pub fn parse(name: &str) -> Result<Self, ZoneFault> {
        if name.is_empty() {
            return Err(ZoneFault::Empty);
        }
        if name.len() > NAME_MAX_BYTES {
            return Err(ZoneFault::TooLong { length_bytes: name.len() });
        }
        Tz::from_str(name)
            .map(Self)
            .map_err(|_| ZoneFault::Unknown { name: name.to_owned(), nearest: nearest(name) })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// All zones, in the order of their names.
    pub fn all() -> impl Iterator<Item = Self> {
        TZ_VARIANTS.iter().copied().map(Self)
    }

    /// How far the clocks on the wall are ahead of UTC.
    pub fn offset_s(self, at_epoch_s: i64) -> i64 {
        let date = DateTime::from_timestamp(at_epoch_s, 0).unwrap_or(match at_epoch_s {
            ..0 => DateTime::<chrono::Utc>::MIN_UTC,
            _ => DateTime::<chrono::Utc>::MAX_UTC,
        });
        i64::from(self.0.offset_from_utc_datetime(&date.naive_utc()).fix().local_minus_utc())
    }

    /// The stretch that begins at an instant. It ends when the clocks are set next; but after a few days it ends
    /// without reason, so that an endless one costs no more than another.
    pub fn stretch_from(self, from_epoch_s: i64) -> Stretch {
        let offset_s = self.offset_s(from_epoch_s);
        let (mut same, mut until_epoch_s) = (from_epoch_s, from_epoch_s.saturating_add(LOOK_AHEAD_S));
        if self.offset_s(until_epoch_s) != offset_s {
            while until_epoch_s - same > 1 {
                let middle = same + (until_epoch_s - same) / 2;
                if self.offset_s(middle) == offset_s { same = middle } else { until_epoch_s = middle }
            }
        }
        Stretch { from_epoch_s, until_epoch_s, offset_s }
    }

    /// Whether clocks show the time that they show at `at_epoch_s` at another instant too.
    pub(super) fn shown(self, at_epoch_s: i64) -> Shown {
        let offset_s = self.offset_s(at_epoch_s);
        let Some(local) = DateTime::from_timestamp(at_epoch_s.saturating_add(offset_s), 0) else {
            return Shown::Once;
        };
        match self.0.offset_from_local_datetime(&local.naive_utc()) {
            MappedLocalTime::Ambiguous(first, _) if i64::from(first.fix().local_minus_utc()) == offset_s => {
                Shown::FirstOfTwo
            }
            MappedLocalTime::Ambiguous(..) => Shown::SecondOfTwo,
            MappedLocalTime::Single(_) | MappedLocalTime::None => Shown::Once,
        }
    }
}

impl Stretch {
    /// What the wall clock shows when the stretch begins.
    pub(super) fn begin_local_s(self) -> i64 {
        self.from_epoch_s + self.offset_s
    }

    /// What the wall clock would show when the stretch ends, if it were not set then.
    pub(super) fn end_local_s(self) -> i64 {
        self.until_epoch_s + self.offset_s
    }
}

/// The zone that was probably meant: the same letters, the same city, or a name with few letters changed.
fn nearest(name: &str) -> Option<&'static str> {
    let wanted = name.trim().replace(' ', "_").to_ascii_lowercase();
    let known = || Zone::all().map(|zone| (zone.name(), zone.name().to_ascii_lowercase()));
    let city = |lower: &str| lower.rsplit('/').next() == Some(wanted.as_str());
    let alike =
        known().find(|(_, lower)| *lower == wanted).or_else(|| known().find(|(_, lower)| city(lower)));
    if let Some((alike, _)) = alike {
        return Some(alike);
    }
    let (changes, best) = known().map(|(known, lower)| (distance(&wanted, &lower), known)).min()?;
    (changes <= 1 + wanted.len() / 6).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::parse(name).unwrap_or_else(|fault| panic!("{fault}"))
    }

    #[test]
    fn names_are_exact() {
        assert_eq!(zone("Europe/Berlin").to_string(), "Europe/Berlin");
        assert_eq!((Zone::default(), zone("UTC").name()), (Zone::UTC, "UTC"));
        for known in Zone::all() {
            assert_eq!(Zone::parse(known.name()), Ok(known));
            assert!(known.name().len() <= 32);
        }
        for bad in ["", "europe/berlin", "Berlin", "../etc/passwd", "Europe/../UTC", " UTC", "UTC\n", "Ünix"]
        {
            assert!(Zone::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Zone::parse(&"x".repeat(65)), Err(ZoneFault::TooLong { length_bytes: 65 }));
        assert!(TZDB_VERSION.starts_with("20"));
    }

    #[test]
    fn faults_name_what_was_meant() {
        let fault = |name: &str| Zone::parse(name).unwrap_err().to_string();
        assert_eq!(fault("europe/berlin"), "'europe/berlin' is no time zone, did you mean 'Europe/Berlin'?");
        assert_eq!(fault("New York"), "'New York' is no time zone, did you mean 'America/New_York'?");
        assert_eq!(fault("Europe/Berln"), "'Europe/Berln' is no time zone, did you mean 'Europe/Berlin'?");
        assert_eq!(fault("utc"), "'utc' is no time zone, did you mean 'UTC'?");
        let plain = "is no time zone; write a name as 'UTC' or 'Europe/Berlin'";
        assert_eq!(fault("../../etc/passwd"), format!("'../../etc/passwd' {plain}"));
        assert_eq!(fault("Mars/Olympus_Mons"), format!("'Mars/Olympus_Mons' {plain}"));
        assert_eq!(fault(""), "no time zone given; write a name as 'UTC' or 'Europe/Berlin'");
    }

    /// New York, 14 March 2027: at 07:00 UTC the clocks go from 02:00 to 03:00.
    #[test]
    fn a_stretch_ends_when_clocks_are_set() {
        let (new_york, change_s) = (zone("America/New_York"), 1_805_007_600);
        let before = new_york.stretch_from(change_s - 3_600);
        assert_eq!((before.until_epoch_s, before.offset_s), (change_s, -18_000));
        let after = new_york.stretch_from(change_s);
        assert_eq!((after.until_epoch_s, after.offset_s), (change_s + LOOK_AHEAD_S, -14_400));
        assert_eq!(after.begin_local_s() - before.end_local_s(), 3_600);
    }

    /// New York, 7 November 2027: at 06:00 UTC the clocks go from 02:00 back to 01:00.
    #[test]
    fn a_time_may_be_shown_twice() {
        let (new_york, change_s) = (zone("America/New_York"), 1_825_567_200);
        for (at_epoch_s, expected) in [
            (change_s - 3_601, Shown::Once),
            (change_s - 3_600, Shown::FirstOfTwo),
            (change_s - 1, Shown::FirstOfTwo),
            (change_s, Shown::SecondOfTwo),
            (change_s + 3_599, Shown::SecondOfTwo),
            (change_s + 3_600, Shown::Once),
        ] {
            assert_eq!(new_york.shown(at_epoch_s), expected, "{}", at_epoch_s - change_s);
        }
        assert_eq!(Zone::UTC.shown(0), Shown::Once);
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        for zone in [Zone::UTC, zone("America/New_York")] {
            for at_epoch_s in [i64::MIN, -1 << 40, 0, 1 << 40, i64::MAX] {
                let stretch = zone.stretch_from(at_epoch_s);
                assert!(stretch.from_epoch_s <= stretch.until_epoch_s);
                assert_eq!(zone.shown(at_epoch_s), Shown::Once);
            }
        }
    }
}
