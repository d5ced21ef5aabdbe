//! Times, exact to the microsecond on both sides.

use time::OffsetDateTime;

use crate::{failure::Fault, postgres::stored};

const NANOS_PER_MICRO: i128 = 1_000;

/// A time of the database in microseconds since 1970.
pub(super) fn micros(at: OffsetDateTime) -> i64 {
    // The years 1 to 9999 are far from the ends of the number.
    i64::try_from(at.unix_timestamp_nanos().div_euclid(NANOS_PER_MICRO)).unwrap_or(i64::MAX)
}

/// Microseconds since 1970 as a time of the database.
pub(super) fn time(micros: i64) -> Result<OffsetDateTime, Fault> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * NANOS_PER_MICRO)
        .map_err(|_| stored::unreadable("session_events", "occurred_at", micros.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_same_to_the_microsecond_before_and_after_1970() {
        for at in [
            0,
            1,
            -1,
            999_999,
            -999_999,
            1_700_000_000_123_456,
            -62_135_596_800_000_000,
            253_402_300_799_999_999,
        ] {
            assert_eq!(micros(time(at).unwrap()), at);
        }
        assert!(time(i64::MAX).is_err());
    }
}
