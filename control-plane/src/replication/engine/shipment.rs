//! Events on their way to a replica: what was sent, what it acknowledged, and what may be sent next. Pure.
//!
//! The hashes of what was sent and not acknowledged are kept, at most a window of them, so that each acknowledgement is
//! compared with the log wherever in a message it lies.

use std::collections::VecDeque;

use contracts::{
    limits,
    log::{LogPoint, Seq},
};

use super::Violation;

/// Events on their way to one replica.
#[derive(Debug)]
pub(super) struct Shipment {
    acknowledged: LogPoint,
    unacknowledged: VecDeque<LogPoint>,
    /// The driver was told to send up to here, and has not said what it sent.
    reading_to: Option<Seq>,
}

impl Shipment {
    /// Nothing is on its way to a replica that has the log up to `from`.
    pub(super) fn new(from: LogPoint) -> Self {
        Self { acknowledged: from, unacknowledged: VecDeque::new(), reading_to: None }
    }

    pub(super) fn acknowledged(&self) -> LogPoint {
        self.acknowledged
    }

    pub(super) fn sent(&self) -> LogPoint {
        self.unacknowledged.back().copied().unwrap_or(self.acknowledged)
    }

    /// What is to be sent next of the events up to `limit`, with at most `window` on their way; none when nothing is, or
    /// when the driver is still at the last.
    pub(super) fn next(&mut self, limit: Seq, window: usize) -> Option<(LogPoint, Seq)> {
        let after = self.sent();
        let room = window.saturating_sub(self.unacknowledged.len()).min(limits::EVENTS_PER_MESSAGE_MAX);
        let to = after.seq.plus(room as u64).map_or(limit, |to| to.min(limit));
        if self.reading_to.is_some() || to <= after.seq {
            return None;
        }
        self.reading_to = Some(to);
        Some((after, to))
    }

    /// Takes note of what is being sent.
    ///
    /// # Errors
    ///
    /// It is not what comes next, or nothing.
    pub(super) fn send(&mut self, points: &[LogPoint]) -> Result<(), Violation> {
        let sent = self.sent().seq;
        let not_next = Violation::NotNext(sent);
        let to = self.reading_to.take().ok_or(not_next)?;
        let follows = (1..).zip(points).all(|(offset, point)| sent.plus(offset) == Some(point.seq));
        if !follows || points.last().is_none_or(|last| last.seq > to) {
            return Err(not_next);
        }
        self.unacknowledged.extend(points);
        Ok(())
    }

    /// Takes note of what the replica has durably, and says how many events that is more than before. One that says the
    /// same again says nothing.
    ///
    /// # Errors
    ///
    /// It takes back what was acknowledged, is of what was not sent, or has a hash that the log has not.
    pub(super) fn acknowledge(&mut self, at: LogPoint) -> Result<u64, Violation> {
        let acknowledged = self.acknowledged;
        let Some(events) = at.seq.get().checked_sub(acknowledged.seq.get()) else {
            return Err(Violation::Backwards { acknowledged: acknowledged.seq, found: at.seq });
        };
        let place = match usize::try_from(events) {
            Ok(0) => Some(acknowledged),
            Ok(events) => self.unacknowledged.get(events - 1).copied(),
            Err(_) => None,
        };
        let place = place.ok_or(Violation::BeyondSent { sent: self.sent().seq, found: at.seq })?;
        if place.hash != at.hash {
            return Err(Violation::WrongHash(at.seq));
        }
        self.acknowledged = at;
        self.unacknowledged.drain(..usize::try_from(events).unwrap_or(0));
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::*, *};

    fn points(range: std::ops::RangeInclusive<u64>) -> Vec<LogPoint> {
        range.map(point).collect()
    }

    /// Sent are the events up to 15, acknowledged those up to 10.
    fn shipment() -> Shipment {
        let mut shipment = Shipment::new(point(10));
        assert_eq!(shipment.next(seq(15), 100), Some((point(10), seq(15))));
        shipment.send(&points(11..=15)).unwrap();
        shipment
    }

    #[test]
    fn an_acknowledgement_is_of_what_was_sent_and_of_the_log() {
        let check = |at: LogPoint, expected| assert_eq!(shipment().acknowledge(at), expected, "{at}");
        check(point(9), Err(Violation::Backwards { acknowledged: seq(10), found: seq(9) }));
        check(point(10), Ok(0));
        check(point(11), Ok(1));
        check(point(13), Ok(3));
        check(point(15), Ok(5));
        check(point(16), Err(Violation::BeyondSent { sent: seq(15), found: seq(16) }));
        check(
            LogPoint { seq: Seq::MAX, ..point(1) },
            Err(Violation::BeyondSent { sent: seq(15), found: Seq::MAX }),
        );
        for wrong in [10, 11, 15] {
            check(other(wrong), Err(Violation::WrongHash(seq(wrong))));
        }
    }

    #[test]
    fn acknowledgements_rise_and_repeat_and_never_fall() {
        let mut shipment = shipment();
        assert_eq!(shipment.acknowledge(point(12)), Ok(2));
        assert_eq!(shipment.acknowledge(point(12)), Ok(0));
        let back = Violation::Backwards { acknowledged: seq(12), found: seq(11) };
        assert_eq!(shipment.acknowledge(point(11)), Err(back));
        assert_eq!(shipment.acknowledge(point(15)), Ok(3));
        assert_eq!(shipment.acknowledged(), point(15));
    }

    #[test]
    fn no_more_is_on_its_way_than_the_window_and_one_message() {
        let mut shipment = Shipment::new(point(0));
        assert_eq!(shipment.next(seq(0), 3), None);
        assert_eq!(shipment.next(seq(9), 3), Some((point(0), seq(3))));
        assert_eq!(shipment.next(seq(9), 3), None, "the driver is at it");
        shipment.send(&points(1..=2)).unwrap();
        assert_eq!(shipment.next(seq(9), 3), Some((point(2), seq(3))));
        shipment.send(&points(3..=3)).unwrap();
        assert_eq!(shipment.next(seq(9), 3), None, "the window is full");
        shipment.acknowledge(point(1)).unwrap();
        assert_eq!(shipment.next(seq(9), 3), Some((point(3), seq(4))));
        let one_message = Shipment::new(point(0)).next(seq(9_999), 9_999);
        assert_eq!(one_message, Some((point(0), seq(limits::EVENTS_PER_MESSAGE_MAX as u64))));
        let last = LogPoint { seq: Seq::MAX, ..point(1) };
        assert_eq!(Shipment::new(last).next(Seq::MAX, 3), None);
    }

    #[test]
    fn only_the_next_events_are_sent() {
        for wrong in [vec![], points(11..=16), points(12..=13), vec![point(11), point(13)], points(10..=11)] {
            let mut shipment = Shipment::new(point(10));
            shipment.next(seq(15), 100).unwrap();
            assert_eq!(shipment.send(&wrong), Err(Violation::NotNext(seq(10))), "{wrong:?}");
        }
        let unasked = Shipment::new(point(10)).send(&points(11..=11));
        assert_eq!(unasked, Err(Violation::NotNext(seq(10))));
    }
}
