//! The live tail of a replica in sync: events as they are committed, and whether it keeps up.

use super::{
    Act, EventName,
    executor::Executor,
    phase::{Live, Phase},
    sender::Seat,
};

impl Executor<'_> {
    /// Sends what is committed, as far as there is room for it, and looks whether the replica keeps up.
    pub(super) fn go_on_living(&mut self, seat: &Seat, mut live: Live) -> Phase {
        let head = self.history.head();
        if let Some((after, to)) = live.shipment.next(head.seq, self.settings.window) {
            self.act(seat, Act::SendEvents { recovery: None, after, to });
        }
        let lag = head.seq.since(live.shipment.acknowledged().seq);
        if lag == 0 {
            live.silent_since = None;
        } else if live.silent_since.is_none() {
            live.silent_since = Some(self.now);
        }
        self.judge(&mut live, lag);
        Phase::Live(live)
    }

    fn judge(&mut self, live: &mut Live, lag: u64) {
        let silent_for = live.silent_since.map(|since| self.now.since(since));
        let silent_for = silent_for.filter(|silent_for| *silent_for > self.settings.silence_max);
        let is_degraded = lag > self.settings.lag_max || silent_for.is_some();
        if is_degraded != live.is_degraded {
            let name = if is_degraded { EventName::Degraded } else { EventName::Recovered };
            let detail = match silent_for {
                Some(silent_for) => format!("{lag} events behind, silent for {silent_for:?}"),
                None => format!("{lag} events behind"),
            };
            self.note(name, detail);
        }
        live.is_degraded = is_degraded;
    }

    /// Tells a replica that has all where the log ends, when it was told nothing for a while.
    pub(super) fn bookmark(&mut self, seat: &Seat, mut live: Live) -> Live {
        let head = self.history.head();
        if live.shipment.sent().seq == head.seq
            && self.now.since(live.spoke) >= self.settings.bookmark_interval
        {
            live.spoke = self.now;
            self.act(seat, Act::SendBookmark(head));
        }
        live
    }
}
