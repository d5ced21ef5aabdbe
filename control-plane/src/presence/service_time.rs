//! Service time: how long a node could have been heard and was not. Pure.
//!
//! Windows of service are logged while beats commit. Of a window only the part counts that lies one cadence after its
//! opening: by then every living node had its turn. A pass walks back until enough service has accumulated; who was
//! last heard before that instant has been silent for so long, in service time. Hence no outage of ours, however long,
//! makes the living look dead, and no rhythm of outages keeps the dead alive, as a plain reset at each gap would.

use std::time::Duration;

use time::OffsetDateTime;

/// A stretch of time in which beats were committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From here on it counts: one cadence after it opened.
    pub counts_from: OffsetDateTime,
    /// Up to here beats are known to have been committed.
    pub proven_until: OffsetDateTime,
}

impl Window {
    fn counted(&self) -> Duration {
        positive(self.proven_until - self.counts_from)
    }
}

/// The instant after which `service` of service time has accumulated; none when there was not that much.
///
/// `windows` are newest first and do not overlap.
pub fn instant_before(windows: &[Window], service: Duration) -> Option<OffsetDateTime> {
    let mut missing = service;
    for window in windows {
        let counted = window.counted();
        if counted >= missing {
            return Some(window.proven_until - missing);
        }
        missing -= counted;
    }
    None
}

/// The instant at which `service` of service time had accumulated since `instant`; none when it has not yet, or when the
/// windows do not reach back that far: each began to count one `cadence` after it opened.
///
/// `windows` are newest first and do not overlap.
pub fn instant_after(
    windows: &[Window],
    cadence: Duration,
    instant: OffsetDateTime,
    service: Duration,
) -> Option<OffsetDateTime> {
    let reach_back = windows.last().is_some_and(|oldest| oldest.counts_from - cadence <= instant);
    let mut missing = Some(service).filter(|_| reach_back)?;
    for window in windows.iter().rev() {
        let from = window.counts_from.max(instant);
        let counted = positive(window.proven_until - from);
        if counted >= missing {
            return Some(from + missing);
        }
        missing -= counted;
    }
    None
}

/// How much service time has accumulated since `instant`.
pub fn service_since(windows: &[Window], instant: OffsetDateTime) -> Duration {
    windows.iter().map(|window| positive(window.proven_until - window.counts_from.max(instant))).sum()
}

fn positive(duration: time::Duration) -> Duration {
    duration.try_into().unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_000_000) + time::Duration::seconds(seconds)
    }

    /// A window that opened at `opened` with a cadence of 15 s.
    fn window(opened: i64, proven_until: i64) -> Window {
        Window { counts_from: at(opened + 15), proven_until: at(proven_until) }
    }

    fn check(windows: &[Window], service: u64, expected: Option<i64>) {
        let service = Duration::from_secs(service);
        let instant = instant_before(windows, service);
        assert_eq!(instant, expected.map(at), "{windows:?}");
        if let Some(instant) = instant {
            assert_eq!(service_since(windows, instant), service);
        }
    }

    #[test]
    fn one_long_window_is_plain_time() {
        let windows = [window(0, 1_000)];
        check(&windows, 30, Some(970));
        check(&windows, 985, Some(15));
        check(&windows, 986, None);
    }

    #[test]
    fn the_instant_at_which_a_silence_grew_too_long_is_found_across_outages() {
        const CADENCE: Duration = Duration::from_secs(15);
        // Counts from 15 to 100, and from 205 on.
        let windows = [window(190, 300), window(0, 100)];
        let check = |heard, service, expected: Option<i64>| {
            let found = instant_after(&windows, CADENCE, at(heard), Duration::from_secs(service));
            assert_eq!(found, expected.map(at), "heard at {heard}, {service} s");
        };
        check(20, 30, Some(50));
        check(90, 10, Some(100));
        check(90, 30, Some(225));
        check(150, 30, Some(235));
        check(250, 50, Some(300));
        check(250, 51, None);
        check(0, 30, Some(45));
        check(-1, 30, None);
        assert_eq!(instant_after(&[], CADENCE, at(0), Duration::ZERO), None);
    }

    #[test]
    fn no_window_finds_nobody() {
        check(&[], 30, None);
        check(&[window(0, 0)], 30, None);
        check(&[window(0, 15)], 30, None);
    }

    #[test]
    fn an_outage_does_not_count_and_neither_does_the_first_cadence_after_it() {
        // Up 0 to 100, down 90 s, up again from 190.
        let windows = |now| [window(190, now), window(0, 100)];
        check(&windows(200), 30, Some(70));
        check(&windows(205), 30, Some(70));
        check(&windows(215), 30, Some(80));
        check(&windows(235), 30, Some(205));
        // A node that beat at 100 and is back by 205 is younger than any of these instants but for its new beats.
        for now in 190..400 {
            let last_beat = if now < 205 { 100 } else { now - 15 };
            assert!(
                instant_before(&windows(now), Duration::from_secs(30)).unwrap() < at(last_beat).max(at(101))
            );
        }
    }

    #[test]
    fn a_rhythm_of_short_outages_still_finds_the_dead() {
        // Up 58 s, down 12 s, for ever; the node beat last at 50.
        let mut found = None;
        for now in 50..400 {
            let mut windows: Vec<_> =
                (0..=now / 70).map(|cycle| window(cycle * 70, now.min(cycle * 70 + 58))).collect();
            windows.reverse();
            if instant_before(&windows, Duration::from_secs(60)).is_some_and(|instant| instant > at(50)) {
                found = Some(now);
                break;
            }
        }
        // 8 s are left of the first window, 43 s count of each further one.
        assert_eq!(found, Some(70 + 140 + 15 + 10 - 70));
    }

    #[test]
    fn windows_shorter_than_a_cadence_count_for_nothing() {
        let windows: Vec<_> = (0..100).rev().map(|cycle| window(cycle * 20, cycle * 20 + 14)).collect();
        check(&windows, 1, None);
    }
}
