//! The phases of a replica's stream, from its introduction to the live tail. Pure.
//!
//! Each phase is a type of its own that holds what is true in it, and a step consumes it: a phase that is over cannot be
//! gone on with, and one that was not reached cannot be left. A recovery that is under way owns its pins; the phases
//! hand them on and the end drops them.
//!
//! ```text
//! Handshake -> (Waiting) -> Truncating -> Replay (catch-up) ------------------> Live
//!                        -> SourceSelect -> Transfer -> (Replay (tail)) ------> Live
//! ```

use contracts::log::{LogPoint, Seq};

use super::{
    Account, BaseSource, Compared, Evidence, Pin, RebuildReason, Standing, Tick, Violation,
    shipment::Shipment,
};

/// Where the exchange on a stream stands.
#[derive(Debug)]
pub(super) enum Phase {
    /// It is being found out what the replica needs.
    Handshake(Handshake),
    /// That is known, and others are recovered first.
    Waiting(Waiting),
    /// The replica has to cut its log.
    Truncating(Truncating),
    /// It gets the events that it lacks.
    CatchUp(Replay),
    /// A base is made ready.
    SourceSelect(SourceSelect),
    /// It is sent.
    Transfer(Transfer),
    /// The events after it are.
    TailReplay(Replay),
    /// The replica is in sync and gets each event as it is committed.
    Live(Live),
}

impl Phase {
    /// Its name in status and refusals.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Handshake(_) => "handshake",
            Self::Waiting(_) => "waiting",
            Self::Truncating(_) => "truncating",
            Self::CatchUp(_) => "catch_up",
            Self::SourceSelect(_) => "source_select",
            Self::Transfer(_) => "transfer",
            Self::TailReplay(_) => "tail_replay",
            Self::Live(_) => "live",
        }
    }

    /// The recovery that is under way in it.
    pub(super) fn work(&self) -> Option<&Work> {
        match self {
            Self::Handshake(_) | Self::Waiting(_) | Self::Live(_) => None,
            Self::Truncating(truncating) => Some(&truncating.work),
            Self::CatchUp(replay) | Self::TailReplay(replay) => Some(&replay.work),
            Self::SourceSelect(select) => Some(&select.work),
            Self::Transfer(transfer) => Some(&transfer.work),
        }
    }

    /// Whether a rebuild is under way.
    pub(super) fn is_rebuild(&self) -> bool {
        match self {
            Self::SourceSelect(_) | Self::Transfer(_) | Self::TailReplay(_) => true,
            Self::Handshake(_)
            | Self::Waiting(_)
            | Self::Truncating(_)
            | Self::CatchUp(_)
            | Self::Live(_) => false,
        }
    }
}

/// What a recovery under way has taken and holds.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) account: Account,
    pub(super) pins: Vec<Pin>,
}

/// The search for what the replica needs.
#[derive(Debug)]
pub(super) struct Handshake {
    pub(super) standing: Standing,
    pub(super) evidence: Evidence,
    pub(super) asked: Asked,
    pub(super) since: Tick,
}

/// Whose answer is awaited.
#[derive(Debug)]
pub(super) enum Asked {
    /// That of the log, at these places.
    Log(Vec<Seq>),
    /// That of the replica; of the log it is known.
    Replica(Vec<Compared>),
}

/// What follows from what the log has.
#[derive(Debug)]
pub(super) enum Read {
    /// Something is known that was not.
    Decides(Standing, Evidence, Tick),
    /// The replica is to be asked at these places.
    Asks(Handshake, Vec<Seq>),
}

impl Handshake {
    /// Begins, with nothing compared yet.
    pub(super) fn begin(standing: Standing, evidence: Evidence, places: Vec<Seq>, since: Tick) -> Self {
        Self { standing, evidence, asked: Asked::Log(places), since }
    }

    /// Takes what the log has; the events up to `floor` may have been pruned since it was asked. At the replica's end that
    /// decides, for the replica said by itself what it has there.
    pub(super) fn hashes_read(
        self,
        points: &[LogPoint],
        end: LogPoint,
        floor: Seq,
    ) -> Result<Read, Violation> {
        let Self { standing, mut evidence, asked, since } = self;
        let Asked::Log(places) = asked else {
            return Err(Violation::Unexpected { heard: "hashes that were read", phase: "probe" });
        };
        let of_log = |seq: Seq| points.iter().find(|point| point.seq == seq).map(|point| point.hash);
        let of_replica = |seq: Seq| (seq == end.seq).then_some(end.hash);
        let compared = |seq: &Seq| Compared { seq: *seq, log: of_log(*seq), replica: of_replica(*seq) };
        let compared = places.iter().map(compared);
        // What was pruned meanwhile differs in nothing; it is in question no more.
        let compared: Vec<_> = compared.filter(|place| place.log.is_some() || place.seq >= floor).collect();
        let is_told = compared.iter().all(|place| place.seq == end.seq);
        if is_told {
            evidence.compare(&compared);
            return Ok(Read::Decides(standing, evidence, since));
        }
        evidence.asked();
        let places = compared.iter().map(|place| place.seq).collect();
        Ok(Read::Asks(Self { standing, evidence, asked: Asked::Replica(compared), since }, places))
    }

    /// Takes what the replica has, in the order of the places that it was asked for.
    pub(super) fn probe_answered(self, points: &[LogPoint]) -> Result<(Standing, Evidence, Tick), Violation> {
        let Self { standing, mut evidence, asked, since } = self;
        let Asked::Replica(mut asked) = asked else {
            return Err(Violation::Unexpected { heard: "an answer to a probe", phase: "handshake" });
        };
        let mut places = asked.iter_mut();
        for point in points {
            let place = places.find(|place| place.seq == point.seq);
            place.ok_or(Violation::NotAsked(point.seq))?.replica = Some(point.hash);
        }
        evidence.compare(&asked);
        Ok((standing, evidence, since))
    }
}

/// What is known of a replica that waits for its turn.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) standing: Standing,
    pub(super) evidence: Evidence,
}

/// A cut that is awaited.
#[derive(Debug)]
pub(super) struct Truncating {
    pub(super) work: Work,
    /// The place to cut to, which is where events begin.
    pub(super) to: LogPoint,
    /// Where the log ended when the plan was made.
    pub(super) target: LogPoint,
}

impl Truncating {
    /// Takes the cut, which must be exactly where it was demanded.
    pub(super) fn truncated(mut self, at: LogPoint, now: Tick) -> Result<Replay, Violation> {
        if at != self.to {
            return Err(Violation::WrongCut { expected: self.to.seq, found: at.seq });
        }
        self.work.account.step(now);
        let shipment = Shipment::new(self.to);
        Ok(Replay { work: self.work, shipment, target: self.target, start: Start::AfterCut(self.to) })
    }
}

/// Events that are sent up to a target that was fixed when the plan was made.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) work: Work,
    pub(super) shipment: Shipment,
    pub(super) target: LogPoint,
    pub(super) start: Start,
}

/// What came before a replay.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// Nothing: the replica had a part of the log, and nothing else.
    AtOnce,
    /// The replica cut off what the log does not have.
    AfterCut(LogPoint),
    /// The replica got a base.
    AfterBase(BaseSource),
}

/// Whether a replay is at its end.
#[derive(Debug)]
pub(super) enum Replayed {
    /// The replica has everything up to the target. What the recovery held is dropped here.
    Converged(Shipment),
    /// Not yet.
    Short(Replay),
}

impl Replay {
    /// Takes note of events that are being sent.
    pub(super) fn send(&mut self, points: &[LogPoint]) -> Result<(), Violation> {
        let not_the_plans =
            |point: &&LogPoint| point.seq == self.target.seq && point.hash != self.target.hash;
        if let Some(other) = points.iter().find(not_the_plans) {
            return Err(Violation::WrongHash(other.seq));
        }
        self.shipment.send(points)
    }

    /// Takes an acknowledgement. What was not sent cannot be acknowledged, and nothing is sent beyond the target.
    pub(super) fn acknowledged(mut self, at: LogPoint, now: Tick) -> Result<Replayed, Violation> {
        let events = self.shipment.acknowledge(at)?;
        self.work.account.progress(events, now);
        Ok(self.settle())
    }

    /// Whether it is at its end.
    pub(super) fn settle(self) -> Replayed {
        if self.shipment.acknowledged().seq >= self.target.seq {
            Replayed::Converged(self.shipment)
        } else {
            Replayed::Short(self)
        }
    }
}

/// A base that is being made ready.
#[derive(Debug)]
pub(super) struct SourceSelect {
    pub(super) work: Work,
    pub(super) source: BaseSource,
    /// Where the log ended when the plan was made. A full base ends wherever it is read.
    pub(super) head: LogPoint,
    pub(super) reason: RebuildReason,
}

impl SourceSelect {
    /// Takes the base, which must be the one of the plan.
    pub(super) fn opened(mut self, at: LogPoint, base_events: u64, now: Tick) -> Result<Transfer, Violation> {
        let target = match self.source {
            BaseSource::Checkpoint(checkpoint) if at == checkpoint => self.head,
            // It is read after the place was held.
            BaseSource::Full(_) if at == self.head || at.seq > self.head.seq => at,
            BaseSource::Checkpoint(_) | BaseSource::Full(_) => return Err(Violation::OtherBase),
        };
        self.work.account.step(now);
        let (work, source) = (self.work, self.source);
        Ok(Transfer { work, source, at, base_events, target, progress: 0, is_sent: false })
    }
}

/// A base that is being sent.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) work: Work,
    pub(super) source: BaseSource,
    pub(super) at: LogPoint,
    pub(super) base_events: u64,
    pub(super) target: LogPoint,
    pub(super) progress: u64,
    is_sent: bool,
}

impl Transfer {
    /// Takes note of how much is sent, which must rise.
    pub(super) fn progressed(mut self, sent: u64, now: Tick) -> Result<Self, Violation> {
        if self.is_sent || sent <= self.progress || sent > self.base_events {
            return Err(self.wrong(sent));
        }
        self.work.account.progress(sent - self.progress, now);
        self.progress = sent;
        Ok(self)
    }

    /// Takes note that all is sent.
    pub(super) fn sent(mut self) -> Result<Self, Violation> {
        if self.is_sent || self.progress != self.base_events {
            return Err(self.wrong(self.progress));
        }
        self.is_sent = true;
        Ok(self)
    }

    fn wrong(&self, found: u64) -> Violation {
        Violation::BaseProgress { before: self.progress, found, all: self.base_events }
    }

    /// Takes the receipt, which is of the whole base.
    pub(super) fn received(mut self, at: LogPoint, now: Tick) -> Result<Replay, Violation> {
        if !self.is_sent || at != self.at {
            return Err(Violation::OtherBase);
        }
        self.work.account.step(now);
        let (shipment, start) = (Shipment::new(self.at), Start::AfterBase(self.source));
        Ok(Replay { work: self.work, shipment, target: self.target, start })
    }
}

/// The live tail.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) shipment: Shipment,
    /// Since when it has lacked something and acknowledged nothing.
    pub(super) silent_since: Option<Tick>,
    pub(super) is_degraded: bool,
    /// When something was last sent.
    pub(super) spoke: Tick,
}

impl Live {
    pub(super) fn begin(shipment: Shipment, now: Tick) -> Self {
        Self { shipment, silent_since: None, is_degraded: false, spoke: now }
    }
}
