//! Durations and instants, as clients write them.

use std::fmt;
use std::num::IntErrorKind;

use chrono::DateTime;

/// The last instant that RFC 3339 can write, in Unix milliseconds: 9999-12-31T23:59:59.999Z.
const INSTANT_MAX_MS: u64 = 253_402_300_799_999;

/// Why a text is no duration or no instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFault {
    /// Neither a number of milliseconds nor a number with a unit.
    NotDuration,
    /// Neither Unix milliseconds nor RFC 3339.
    NotInstant,
    /// After [`INSTANT_MAX_MS`].
    TooLate,
}

impl fmt::Display for TimeFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NotDuration => "a duration is a number of milliseconds, or a number with ms, s, m, h or d",
            Self::NotInstant => "a time is a number of Unix milliseconds, or RFC 3339 text",
            Self::TooLate => "a time must not lie beyond the year 9999",
        })
    }
}

/// Milliseconds of a duration: `1500`, `1500ms`, `30s`, `5m`, `2h`, `1d`.
///
/// # Errors
/// The text is none.
pub fn parse_ms(text: &[u8]) -> Result<u64, TimeFault> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let unit: u64 = match &text[digits..] {
        b"" | b"ms" => 1,
        b"s" => 1000,
        b"m" => 60_000,
        b"h" => 3_600_000,
        b"d" => 86_400_000,
        _ => return Err(TimeFault::NotDuration),
    };
    let number = std::str::from_utf8(&text[..digits]).ok().and_then(|text| text.parse::<u64>().ok());
    number.and_then(|number| number.checked_mul(unit)).ok_or(TimeFault::NotDuration)
}

/// Unix milliseconds of an instant: `1798761600000`, `2027-01-01T00:00:00Z`.
///
/// # Errors
/// The text is none, or too far ahead.
pub fn parse_instant(text: &[u8]) -> Result<u64, TimeFault> {
    let text = std::str::from_utf8(text).map_err(|_| TimeFault::NotInstant)?;
    let ms = match text.parse::<u64>() {
        Ok(ms) => ms,
        Err(fault) if *fault.kind() == IntErrorKind::PosOverflow => return Err(TimeFault::TooLate),
        Err(_) => {
            let instant = DateTime::parse_from_rfc3339(text).map_err(|_| TimeFault::NotInstant)?;
            u64::try_from(instant.timestamp_millis()).map_err(|_| TimeFault::NotInstant)?
        }
    };
    if ms <= INSTANT_MAX_MS { Ok(ms) } else { Err(TimeFault::TooLate) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, ms) in
            [("0", 0), ("1500", 1500), ("2s", 2000), ("5m", 300_000), ("2h", 7_200_000), ("1d", 86_400_000)]
        {
            assert_eq!(parse_ms(text.as_bytes()), Ok(ms), "{text}");
        }
        for bad in ["", "-1", "s", "1.5s", "1 s", "1w", "99999999999999999999", "99999999999999999d"] {
            assert_eq!(parse_ms(bad.as_bytes()), Err(TimeFault::NotDuration), "{bad}");
        }
    }

    #[test]
    fn instants_are_numbers_or_rfc_3339() {
        assert_eq!(parse_instant(b"1798761600000"), Ok(1_798_761_600_000));
        assert_eq!(parse_instant(b"2027-01-01T00:00:00Z"), Ok(1_798_761_600_000));
        assert_eq!(parse_instant(b"2027-01-01T01:00:00+01:00"), Ok(1_798_761_600_000));
        for bad in ["", "tomorrow", "-5", "2027-01-01", "1960-01-01T00:00:00Z"] {
            assert_eq!(parse_instant(bad.as_bytes()), Err(TimeFault::NotInstant), "{bad}");
        }
        for last in ["253402300799999", "9999-12-31T23:59:59.999Z"] {
            assert_eq!(parse_instant(last.as_bytes()), Ok(INSTANT_MAX_MS), "{last}");
        }
        for late in
            ["253402300800000", "18446744073709551615", "18446744073709551616", "9999-12-31T23:59:59-01:00"]
        {
            assert_eq!(parse_instant(late.as_bytes()), Err(TimeFault::TooLate), "{late}");
        }
    }
}
