//! The steps of one replica's exchange. Each is one input: between two of them anything may happen, and every one is
//! checked against what is true by then. Whatever goes wrong ends the exchange in one place, [`Executor::end`].

use contracts::{RecoveryId, log::LogPoint};

use super::{
    Account, Act, Budget, Closing, Effect, EventName, Evidence, Heard, Need, Outline, Pin, PinRefused,
    RebuildReason, Record, ReplicaId, RetainedHistory, Settings, Standing, Stream, Tick, Violation, classify,
    ending::Before,
    journal::Journal,
    phase::{Handshake, Live, Phase, Read, Replay, Start, Truncating, Waiting, Work},
    sender::{Acknowledged, Seat, Sender, Session},
    shipment::Shipment,
    slots::Slots,
};

/// One replica, at one moment, with all that a step may look at or change.
#[derive(Debug)]
pub(super) struct Executor<'a> {
    pub(super) now: Tick,
    pub(super) settings: &'a Settings,
    pub(super) history: &'a mut RetainedHistory,
    pub(super) journal: &'a mut Journal,
    pub(super) slots: &'a mut Slots,
    pub(super) effects: &'a mut Vec<Effect>,
    pub(super) replica: ReplicaId,
    pub(super) sender: &'a mut Sender,
}

/// How a step ends: in a phase, or with the stream.
pub(super) type Step = Result<Phase, Ending>;

/// Why an exchange ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The engine ends it.
    Closing(Closing),
    /// The stream is gone.
    StreamClosed,
}

impl From<Violation> for Ending {
    fn from(violation: Violation) -> Self {
        Self::Closing(Closing::OutOfStep(violation))
    }
}

impl From<Closing> for Ending {
    fn from(closing: Closing) -> Self {
        Self::Closing(closing)
    }
}

impl Executor<'_> {
    /// A stream was opened, and the replica introduced itself.
    pub(super) fn introduced(&mut self, stream: Stream, standing: Standing, recovery: RecoveryId) {
        self.end(Ending::Closing(Closing::Superseded));
        self.sender.endpoint = Some(stream.endpoint);
        self.sender.recovery = Some(recovery);
        self.note(EventName::SessionCreated, format!("recovery {recovery}"));
        self.note(EventName::Connected, stream.endpoint.to_string());
        let seat = Seat { stream, recovery };
        let step = self.decide(&seat, standing, Evidence::default(), self.now);
        self.settle(seat, step);
    }

    /// The replica's turn to be recovered has come. What it needs may have changed since it was last looked at.
    pub(super) fn admitted(&mut self) {
        self.advance(|executor, seat, phase| match phase {
            Phase::Waiting(Waiting { standing, evidence }) => {
                executor.decide(seat, standing, evidence, executor.now)
            }
            Phase::Handshake(_)
            | Phase::Truncating(_)
            | Phase::CatchUp(_)
            | Phase::SourceSelect(_)
            | Phase::Transfer(_)
            | Phase::TailReplay(_)
            | Phase::Live(_) => Ok(phase),
        });
    }

    /// Something was heard on the stream.
    pub(super) fn hear(&mut self, heard: Heard) {
        self.advance(|executor, seat, phase| executor.step(seat, phase, heard));
    }

    /// The log grew.
    pub(super) fn appended(&mut self) {
        self.advance(|executor, seat, phase| match phase {
            Phase::Live(live) => Ok(executor.go_on_living(seat, live)),
            // Their targets are fixed.
            Phase::Handshake(_)
            | Phase::Waiting(_)
            | Phase::Truncating(_)
            | Phase::CatchUp(_)
            | Phase::SourceSelect(_)
            | Phase::Transfer(_)
            | Phase::TailReplay(_) => Ok(phase),
        });
    }

    /// Time went on.
    pub(super) fn ticked(&mut self) {
        self.advance(|executor, seat, phase| executor.tick(seat, phase));
    }

    /// Lets the exchange take a step, if there is one under way.
    fn advance(&mut self, step: impl FnOnce(&mut Self, &Seat, Phase) -> Step) {
        let Some(Session { seat, phase }) = self.sender.session.take() else { return };
        let before = Before::of(&phase);
        match step(self, &seat, phase) {
            Ok(phase) => {
                self.went_on(before, &phase);
                self.sender.session = Some(Session { seat, phase });
            }
            Err(ending) => self.ended(&seat, before, ending),
        }
    }

    fn settle(&mut self, seat: Seat, step: Step) {
        match step {
            Ok(phase) => self.sender.session = Some(Session { seat, phase }),
            Err(ending) => self.ended(&seat, Before::INTRODUCTION, ending),
        }
    }

    /// Ends the exchange that is under way, if any.
    pub(super) fn end(&mut self, ending: Ending) {
        self.advance(|_, _, _| Err(ending));
    }

    fn step(&mut self, seat: &Seat, phase: Phase, heard: Heard) -> Step {
        let unexpected = Violation::Unexpected { heard: heard.name(), phase: phase.name() };
        match heard {
            Heard::HashesRead(points) => {
                let Phase::Handshake(handshake) = phase else { return Err(unexpected.into()) };
                self.hashes_read(seat, handshake, &points)
            }
            Heard::ProbeAnswered(points) => {
                let Phase::Handshake(handshake) = phase else { return Err(unexpected.into()) };
                let (standing, evidence, since) = handshake.probe_answered(&points)?;
                self.decide(seat, standing, evidence, since)
            }
            Heard::Truncated { recovery, at } => {
                let Phase::Truncating(truncating) = phase else { return Err(unexpected.into()) };
                seat.is_about(recovery)?;
                self.truncated(seat, truncating, at)
            }
            Heard::Acknowledged { recovery, at } => self.acknowledged(seat, phase, recovery, at, unexpected),
            Heard::BaseOpened { at, events } => {
                let Phase::SourceSelect(select) = phase else { return Err(unexpected.into()) };
                self.base_opened(seat, select, at, events)
            }
            Heard::BaseFailed => match phase {
                Phase::SourceSelect(select) => self.base_failed(seat, select),
                Phase::Transfer(_) => Err(Closing::BaseFailed.into()),
                Phase::Handshake(_)
                | Phase::Waiting(_)
                | Phase::Truncating(_)
                | Phase::CatchUp(_)
                | Phase::TailReplay(_)
                | Phase::Live(_) => Err(unexpected.into()),
            },
            Heard::BaseProgress(sent) => {
                let Phase::Transfer(transfer) = phase else { return Err(unexpected.into()) };
                let transfer = transfer.progressed(sent, self.now)?;
                self.within_budget(&transfer.work)?;
                Ok(Phase::Transfer(transfer))
            }
            Heard::BaseSent => {
                let Phase::Transfer(transfer) = phase else { return Err(unexpected.into()) };
                Ok(Phase::Transfer(transfer.sent()?))
            }
            Heard::BaseReceived { recovery, at } => {
                let Phase::Transfer(transfer) = phase else { return Err(unexpected.into()) };
                seat.is_about(recovery)?;
                self.base_received(seat, transfer, at)
            }
            Heard::EventsSent(points) => self.events_sent(seat, phase, &points, unexpected),
            Heard::EventMissing(seq) => {
                self.history.lacks(seq);
                Err(Closing::EventMissing(seq).into())
            }
        }
    }

    fn hashes_read(&mut self, seat: &Seat, handshake: Handshake, points: &[LogPoint]) -> Step {
        let end = handshake.standing.end(self.history.origin());
        match handshake.hashes_read(points, end, self.history.floor())? {
            Read::Decides(standing, evidence, since) => self.decide(seat, standing, evidence, since),
            Read::Asks(handshake, places) => {
                self.act(seat, Act::SendProbe(places));
                Ok(Phase::Handshake(handshake))
            }
        }
    }

    /// Does what follows from what is known.
    fn decide(&mut self, seat: &Seat, standing: Standing, evidence: Evidence, since: Tick) -> Step {
        let need = classify(self.history, &standing, self.sender.declared, &evidence);
        if !need.takes_a_slot() {
            self.slots.leave(&self.replica);
        }
        match need {
            // It has that durably, and proved it.
            Need::CatchUp { from: common, .. } | Need::TruncateOnly { to: common } => {
                self.sender.declared = None;
                self.acknowledge(common);
            }
            Need::Rebuild(reason) => self.declare(reason),
            Need::ZeroGap { .. } | Need::ForeignHistory { .. } | Need::Compare(_) => {}
        }
        match need {
            Need::Compare(places) => {
                self.act(seat, Act::ReadHashes(places.clone()));
                Ok(Phase::Handshake(Handshake::begin(standing, evidence, places, since)))
            }
            Need::ForeignHistory { theirs, ours } => Err(Closing::ForeignHistory { theirs, ours }.into()),
            Need::ZeroGap { at } => {
                self.note(EventName::Handshake, format!("zero_gap: at {at}"));
                self.plan(seat, Outline::ZeroGap { at });
                Ok(self.complete(seat, Shipment::new(at)))
            }
            Need::TruncateOnly { to } => {
                let detail = format!("replica_ahead_needs_truncation: to {to}");
                self.note(EventName::Handshake, detail.clone());
                self.note(EventName::PlanTruncateOnly, detail);
                Ok(self.begin_truncation(seat, self.work(self.settings.catch_up, Vec::new()), to, to))
            }
            Need::CatchUp { .. } | Need::Rebuild(_) if !self.slots.enter(&self.replica) => {
                self.note(EventName::RecoveryQueued, format!("{} are under way", self.slots.running()));
                Ok(Phase::Waiting(Waiting { standing, evidence }))
            }
            Need::CatchUp { from, truncate, target } => self.begin_catch_up(seat, from, truncate, target),
            Need::Rebuild(reason) => self.begin_rebuild(seat, reason),
        }
    }

    fn begin_catch_up(&mut self, seat: &Seat, from: LogPoint, truncate: bool, target: LogPoint) -> Step {
        let detail = format!("gap_within_retention: from {from} to {target}, cut first: {truncate}");
        self.note(EventName::Handshake, detail.clone());
        let pin =
            Pin::events(self.history, from.seq, seat.recovery).map_err(|refused| self.unpinned(refused))?;
        self.note(EventName::PlanCatchUp, detail);
        let work = self.work(self.settings.catch_up, vec![pin]);
        if truncate {
            return Ok(self.begin_truncation(seat, work, from, target));
        }
        self.plan(seat, Outline::CatchUp { truncate_to: None, from, target: target.seq });
        self.note(EventName::ExecCatchUpStarted, format!("after {}", from.seq));
        let replay = Replay { work, shipment: Shipment::new(from), target, start: Start::AtOnce };
        Ok(Phase::CatchUp(self.ship_replay(seat, replay)))
    }

    fn begin_truncation(&mut self, seat: &Seat, work: Work, to: LogPoint, target: LogPoint) -> Phase {
        self.plan(seat, Outline::CatchUp { truncate_to: Some(to), from: to, target: target.seq });
        self.note(EventName::ExecTruncation, format!("to {to}"));
        Phase::Truncating(Truncating { work, to, target })
    }

    fn truncated(&mut self, seat: &Seat, truncating: Truncating, at: LogPoint) -> Step {
        let replay = truncating.truncated(at, self.now)?;
        self.note(EventName::TruncationRecorded, format!("at {at}"));
        self.acknowledge(at);
        if replay.target.seq > at.seq {
            self.note(EventName::ExecCatchUpStarted, format!("after {}", at.seq));
        }
        self.go_on_catching_up(seat, replay.settle())
    }

    fn acknowledged(
        &mut self,
        seat: &Seat,
        phase: Phase,
        recovery: Option<RecoveryId>,
        at: LogPoint,
        unexpected: Violation,
    ) -> Step {
        match phase {
            Phase::CatchUp(replay) => {
                seat.is_about(recovery)?;
                let replayed = replay.acknowledged(at, self.now)?;
                self.acknowledge(at);
                self.go_on_catching_up(seat, replayed)
            }
            Phase::TailReplay(replay) => {
                seat.is_about(recovery)?;
                // Not recorded before the end: until then the replica shows its old state.
                let replayed = replay.acknowledged(at, self.now)?;
                self.go_on_rebuilding(seat, replayed)
            }
            Phase::Live(mut live) => {
                if recovery.is_some() {
                    // It was on its way when the recovery ended.
                    seat.is_about(recovery)?;
                }
                if live.shipment.acknowledge(at)? > 0 {
                    live.silent_since = None;
                    self.acknowledge(at);
                }
                Ok(self.go_on_living(seat, live))
            }
            Phase::Handshake(_)
            | Phase::Waiting(_)
            | Phase::Truncating(_)
            | Phase::SourceSelect(_)
            | Phase::Transfer(_) => Err(unexpected.into()),
        }
    }

    fn events_sent(&mut self, seat: &Seat, phase: Phase, points: &[LogPoint], unexpected: Violation) -> Step {
        match phase {
            Phase::CatchUp(mut replay) => {
                replay.send(points)?;
                Ok(Phase::CatchUp(self.ship_replay(seat, replay)))
            }
            Phase::TailReplay(mut replay) => {
                replay.send(points)?;
                Ok(Phase::TailReplay(self.ship_replay(seat, replay)))
            }
            Phase::Live(mut live) => {
                live.shipment.send(points)?;
                live.spoke = self.now;
                Ok(self.go_on_living(seat, live))
            }
            Phase::Handshake(_)
            | Phase::Waiting(_)
            | Phase::Truncating(_)
            | Phase::SourceSelect(_)
            | Phase::Transfer(_) => Err(unexpected.into()),
        }
    }

    /// The recovery is done, and what it held is dropped with it. From here on the replica gets what is committed.
    pub(super) fn complete(&mut self, seat: &Seat, shipment: Shipment) -> Phase {
        let at = shipment.acknowledged();
        self.slots.leave(&self.replica);
        self.sender.declared = None;
        self.acknowledge(at);
        self.note(EventName::ExecCompleted, format!("at {at}"));
        self.act(seat, Act::SendCompleted { recovery: seat.recovery, at });
        self.go_on_living(seat, Live::begin(shipment, self.now))
    }

    fn tick(&mut self, seat: &Seat, phase: Phase) -> Step {
        if let Some(work) = phase.work() {
            self.within_budget(work)?;
            if !work.pins.is_empty() && self.now.since(work.account.progressed()) > self.settings.pin_lease {
                return Err(Closing::PinExpired.into());
            }
        }
        match phase {
            Phase::Handshake(handshake) if self.now.since(handshake.since) > self.settings.handshake_max => {
                Err(Closing::HandshakeTimeout.into())
            }
            Phase::Live(live) => {
                let live = self.bookmark(seat, live);
                Ok(self.go_on_living(seat, live))
            }
            Phase::Handshake(_)
            | Phase::Waiting(_)
            | Phase::Truncating(_)
            | Phase::CatchUp(_)
            | Phase::SourceSelect(_)
            | Phase::Transfer(_)
            | Phase::TailReplay(_) => Ok(phase),
        }
    }

    /// # Errors
    ///
    /// The recovery does not converge.
    pub(super) fn within_budget(&self, work: &Work) -> Result<(), Ending> {
        work.account.check(self.now).map_err(|spent| Closing::BudgetSpent(spent).into())
    }

    pub(super) fn work(&self, budget: Budget, pins: Vec<Pin>) -> Work {
        Work { account: Account::open(budget, self.now), pins }
    }

    pub(super) fn unpinned(&mut self, refused: PinRefused) -> Ending {
        let name = match refused {
            PinRefused::Events(_) => EventName::WalPinFailed,
            PinRefused::Checkpoint(_) => EventName::SnapshotPinFailed,
        };
        self.note(name, refused.to_string());
        Closing::PinFailed.into()
    }

    /// The replica needs a rebuild from now on, until it got one.
    pub(super) fn declare(&mut self, reason: RebuildReason) {
        if self.sender.declared != Some(reason) {
            self.sender.declared = Some(reason);
            self.note(EventName::Escalated, reason.to_string());
            self.record(Record::NeedsRebuild(reason));
        }
    }

    fn acknowledge(&mut self, at: LogPoint) {
        self.sender.acknowledged = Some(Acknowledged { at, when: Some(self.now) });
        self.record(Record::Acknowledged(at));
    }

    fn record(&mut self, record: Record) {
        if self.sender.recorded != Some(record) {
            self.sender.recorded = Some(record);
            self.effects.push(Effect::Record { replica: self.replica.clone(), record });
        }
    }

    pub(super) fn plan(&mut self, seat: &Seat, plan: Outline) {
        let history_id = self.history.history_id();
        self.act(seat, Act::SendPlan { recovery: seat.recovery, history_id, plan });
    }

    pub(super) fn act(&mut self, seat: &Seat, act: Act) {
        self.effects.push(Effect::OnStream { stream: seat.stream.clone(), act });
    }

    pub(super) fn note(&mut self, name: EventName, detail: String) {
        self.journal.note(self.now, &self.replica.node_id, name, detail);
    }
}

impl Seat {
    /// # Errors
    ///
    /// `recovery` is another one than the one that is spoken about.
    pub(super) fn is_about(&self, recovery: impl Into<Option<RecoveryId>>) -> Result<(), Violation> {
        let is_it = recovery.into() == Some(self.recovery);
        if is_it { Ok(()) } else { Err(Violation::OtherRecovery) }
    }
}
