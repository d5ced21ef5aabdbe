//! The clock of this machine, for the eyes of people only.
//!
//! The server's times are the database's. An age or a time of day that is shown here compares them with this machine's
//! clock: when that is wrong, what is shown is wrong by as much, and nothing else depends on it.

use std::time::SystemTime;

use time::{OffsetDateTime, UtcOffset};

/// The time here and now.
#[expect(
    clippy::disallowed_methods,
    reason = "ages and times of day are shown to people; a skewed clock changes what is shown and decides nothing"
)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// The time of day where the reader sits, such as `14:03:07`; with a `Z` where the time zone is not known.
pub(crate) fn time_of_day(now: SystemTime) -> String {
    let utc = OffsetDateTime::from(now);
    match UtcOffset::local_offset_at(utc) {
        Ok(offset) => hours_minutes_seconds(utc.to_offset(offset)),
        Err(_) => format!("{}Z", hours_minutes_seconds(utc)),
    }
}

fn hours_minutes_seconds(at: OffsetDateTime) -> String {
    let (hour, minute, second) = at.time().as_hms();
    format!("{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_of_day_has_two_digits_each() {
        let at = OffsetDateTime::from(SystemTime::UNIX_EPOCH + Duration::from_secs(3_600 + 120 + 3));
        assert_eq!(hours_minutes_seconds(at), "01:02:03");
    }
}
