//! Times and durations for people.

use chrono::DateTime;

use crate::clock::Clock;

/// Unix milliseconds now.
pub(crate) fn now_ms() -> u64 {
    Clock.now().wall_us / 1000
}

/// A duration, in the two largest units that say something.
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..10 => format!("{}.{}s", seconds, ms % 1000 / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A time, seen from now.
pub(crate) fn relative(ms: u64, now_ms: u64) -> String {
    match ms.abs_diff(now_ms) {
        0..1000 => "now".to_owned(),
        distance if ms > now_ms => format!("in {}", duration(distance)),
        distance => format!("{} ago", duration(distance)),
    }
}

/// A time in UTC, to the second.
pub(crate) fn stamp(ms: u64) -> String {
    DateTime::from_timestamp_millis(ms as i64)
        .map_or_else(|| ms.to_string(), |time| time.format("%Y-%m-%d %H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_say_two_units() {
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1250, "1.2s"),
            (59_999, "59s"),
            (61_000, "1m 01s"),
            (3_660_000, "1h 01m"),
            (90_000_000, "1d 01h"),
        ] {
            assert_eq!(duration(ms), text);
        }
        assert_eq!(relative(5000, 2000), "in 3.0s");
        assert_eq!(relative(2000, 62_000), "1m 00s ago");
        assert_eq!(relative(2000, 2500), "now");
        assert_eq!(stamp(1_798_761_600_000), "2027-01-01 00:00:00Z");
    }
}
