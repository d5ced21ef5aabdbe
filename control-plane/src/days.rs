//! Long durations as people say them: in days, for months and years are of no one length.

use std::time::Duration;

use humantime::format_duration;

const DAY: u64 = 24 * 60 * 60;

/// A duration with its whole days first: `400 days`, `1 day 1h`, `1m`.
pub(crate) fn in_days(duration: Duration) -> String {
    let (days, rest) = (duration.as_secs() / DAY, Duration::from_secs(duration.as_secs() % DAY));
    let days = match days {
        0 => return format_duration(rest).to_string(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    if rest.is_zero() { days } else { format!("{days} {}", format_duration(rest)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_however_many_there_are() {
        for (seconds, expected) in [
            (0, "0s"),
            (60, "1m"),
            (86_400, "1 day"),
            (7 * 86_400, "7 days"),
            (86_400 + 3_600, "1 day 1h"),
            (40 * 86_400 + 90, "40 days 1m 30s"),
            (400 * 86_400, "400 days"),
        ] {
            assert_eq!(in_days(Duration::from_secs(seconds)), expected);
        }
    }
}
