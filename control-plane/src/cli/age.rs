//! The server's times, as age for people and as RFC 3339 for programs.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// How long ago `then` was, such as `3s ago`; `now` when that is less than a second or, with a skewed clock, ahead;
/// `-` when there is no time.
pub(crate) fn ago(then: Option<&Timestamp>, now: SystemTime) -> String {
    let Some(then) = then.and_then(date_time) else {
        return "-".to_owned();
    };
    let age = now.duration_since(then.into()).unwrap_or(Duration::ZERO);
    let seconds = age.as_secs();
    // Whole units, rounded down: "59s", then "1m". Nobody reads more from an age.
    match seconds {
        0 => "now".to_owned(),
        1..60 => format!("{seconds}s ago"),
        60..3_600 => format!("{}m ago", seconds / 60),
        3_600..86_400 => format!("{}h ago", seconds / 3_600),
        86_400.. => format!("{}d ago", seconds / 86_400),
    }
}

/// `then` as RFC 3339 in UTC, and its age: for where there is room for both.
pub(crate) fn at_and_ago(then: Option<&Timestamp>, now: SystemTime) -> String {
    match rfc3339(then) {
        Some(at) => format!("{at} ({})", ago(then, now)),
        None => "-".to_owned(),
    }
}

/// `then` as RFC 3339 in UTC; `None` when there is no time, or none that a calendar has.
pub(crate) fn rfc3339(then: Option<&Timestamp>) -> Option<String> {
    then.and_then(date_time)?.format(&Rfc3339).ok()
}

fn date_time(timestamp: &Timestamp) -> Option<OffsetDateTime> {
    let nanos = u32::try_from(timestamp.nanos).ok()?;
    OffsetDateTime::from_unix_timestamp(timestamp.seconds).ok()?.replace_nanosecond(nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, nanos: i32) -> Timestamp {
        Timestamp { seconds, nanos }
    }

    #[test]
    fn an_age_is_in_whole_units_and_never_negative() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (seconds_ago, expected) in [
            (0, "now"),
            (1, "1s ago"),
            (59, "59s ago"),
            (60, "1m ago"),
            (3_599, "59m ago"),
            (3_600, "1h ago"),
            (86_399, "23h ago"),
            (86_400, "1d ago"),
            (864_000, "10d ago"),
            (-1, "now"),
            (-7_200, "now"),
        ] {
            assert_eq!(ago(Some(&at(1_000_000 - seconds_ago, 0)), now), expected);
        }
        assert_eq!(ago(Some(&at(999_999, 500_000_000)), now), "now");
        assert_eq!(ago(None, now), "-");
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(rfc3339(Some(&at(0, 0))).unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(Some(&at(1_700_000_000, 123_456_000))).unwrap(), "2023-11-14T22:13:20.123456Z");
        assert_eq!(
            at_and_ago(Some(&at(0, 0)), SystemTime::UNIX_EPOCH + Duration::from_secs(3)),
            "1970-01-01T00:00:00Z (3s ago)"
        );
    }

    #[test]
    fn a_time_outside_the_calendar_is_none() {
        assert_eq!(rfc3339(Some(&at(i64::MAX, 0))), None);
        assert_eq!(rfc3339(Some(&at(0, -1))), None);
        assert_eq!(rfc3339(None), None);
    }
}
