//! The steps of a rebuild. What it is made of is fixed when it is planned: later checkpoints, appends and prunes do not
//! change it, and the steps take none of it from anywhere else.

use contracts::log::LogPoint;

use super::{
    Act, BaseSource, Closing, EventName, Outline, Pin, PinRefused, RebuildReason, WhyFull,
    executor::{Executor, Step},
    phase::{Phase, Replay, Replayed, SourceSelect, Transfer},
    sender::Seat,
};

impl Executor<'_> {
    pub(super) fn begin_rebuild(&mut self, seat: &Seat, reason: RebuildReason) -> Step {
        self.note(EventName::Handshake, reason.to_string());
        let source = self.history.base_source();
        let pins = self.hold_base(seat, source).map_err(|refused| self.unpinned(refused))?;
        let work = self.work(self.settings.rebuild, pins);
        Ok(self.select(seat, SourceSelect { work, source, head: self.history.head(), reason }))
    }

    /// A pin that is taken and not needed is dropped on the way out.
    fn hold_base(&self, seat: &Seat, source: BaseSource) -> Result<Vec<Pin>, PinRefused> {
        match source {
            BaseSource::Checkpoint(at) => Ok(vec![
                Pin::checkpoint(self.history, at, seat.recovery)?,
                Pin::events(self.history, at.seq, seat.recovery)?,
            ]),
            BaseSource::Full(_) => Ok(vec![Pin::full_base(self.history, seat.recovery)]),
        }
    }

    fn select(&mut self, seat: &Seat, select: SourceSelect) -> Phase {
        let (plan, detail) = match select.source {
            BaseSource::Checkpoint(at) => (
                EventName::PlanRebuildSnapshotTail,
                format!("checkpoint at {at}, events up to {}", select.head.seq),
            ),
            BaseSource::Full(why) => (EventName::PlanRebuildFullBase, why.to_string()),
        };
        self.note(EventName::RebuildSourceSelected, detail.clone());
        self.note(plan, detail);
        self.act(seat, Act::OpenBase(select.source));
        Phase::SourceSelect(select)
    }

    /// A checkpoint that is not what it should be is trusted no longer, and the rebuild goes on with the state as it is
    /// now. When that cannot be read either, there is nothing left to try on this stream.
    pub(super) fn base_failed(&mut self, seat: &Seat, select: SourceSelect) -> Step {
        let BaseSource::Checkpoint(at) = select.source else { return Err(Closing::BaseFailed.into()) };
        self.note(
            EventName::SnapshotPinFailed,
            format!("the checkpoint at {at} is not what its digest says"),
        );
        self.history.distrust(at.seq);
        let (source, head) = (BaseSource::Full(WhyFull::UntrustedCheckpoint(at.seq)), self.history.head());
        let mut work = select.work;
        work.pins = vec![Pin::full_base(self.history, seat.recovery)];
        Ok(self.select(seat, SourceSelect { work, source, head, reason: select.reason }))
    }

    pub(super) fn base_opened(
        &mut self,
        seat: &Seat,
        select: SourceSelect,
        at: LogPoint,
        events: u64,
    ) -> Step {
        let reason = select.reason;
        let transfer = select.opened(at, events, self.now)?;
        // Nobody may be told to cut off what this replica is about to get.
        self.history.appended(at);
        let Transfer { source, target, .. } = transfer;
        self.plan(seat, Outline::Rebuild { source, at, base_events: events, target: target.seq, reason });
        self.note(EventName::ExecRebuildStarted, format!("{events} events of the state at {at}"));
        self.act(seat, Act::SendBase(seat.recovery));
        Ok(Phase::Transfer(transfer))
    }

    pub(super) fn base_received(&mut self, seat: &Seat, transfer: Transfer, at: LogPoint) -> Step {
        let replay = transfer.received(at, self.now)?;
        self.note(EventName::RebuildBaseReceived, format!("at {at}"));
        self.go_on_rebuilding(seat, replay.settle())
    }

    pub(super) fn go_on_rebuilding(&mut self, seat: &Seat, replayed: Replayed) -> Step {
        match replayed {
            Replayed::Converged(shipment) => {
                self.note(EventName::ExecRebuildCompleted, format!("at {}", shipment.acknowledged()));
                Ok(self.complete(seat, shipment))
            }
            Replayed::Short(replay) => {
                self.within_budget(&replay.work)?;
                Ok(Phase::TailReplay(self.ship_replay(seat, replay)))
            }
        }
    }

    pub(super) fn go_on_catching_up(&mut self, seat: &Seat, replayed: Replayed) -> Step {
        match replayed {
            Replayed::Converged(shipment) => Ok(self.complete(seat, shipment)),
            Replayed::Short(replay) => {
                self.within_budget(&replay.work)?;
                Ok(Phase::CatchUp(self.ship_replay(seat, replay)))
            }
        }
    }

    /// Sends what comes next, as far as there is room for it.
    pub(super) fn ship_replay(&mut self, seat: &Seat, mut replay: Replay) -> Replay {
        if let Some((after, to)) = replay.shipment.next(replay.target.seq, self.settings.window) {
            self.act(seat, Act::SendEvents { recovery: Some(seat.recovery), after, to });
        }
        replay
    }
}
