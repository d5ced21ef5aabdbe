//! Where the replicas of a log stand: copies that nothing changes any more.

use contracts::{
    NodeId, RecoveryId, SessionId,
    log::{HistoryId, LogPoint, Seq},
};

use super::{
    Acknowledged, BaseSource, Checkpoint, Engine, Entry, PinKind,
    phase::{Phase, Start},
    registry::Log,
    sender::{Sender, Session},
};

/// Where a log and its replicas stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStatus {
    /// History of the log.
    pub history_id: HistoryId,
    /// Where it ends.
    pub head: LogPoint,
    /// Up to where it is pruned.
    pub tail: LogPoint,
    /// Its last checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// The replicas, ordered by node id.
    pub replicas: Vec<ReplicaStatus>,
}

/// State of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReplicaState {
    /// It has no stream.
    Disconnected,
    /// It has one, and what it needs is not known, or not yet its turn.
    Connecting,
    /// It gets the events that it lacks.
    CatchingUp,
    /// It is built anew.
    Rebuilding,
    /// It is equal to the log but for what is on its way.
    InSync,
    /// It lags.
    Degraded,
    /// It has to be built anew.
    NeedsRebuild,
}

/// How many replicas are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub total: u32,
    /// In sync, those that lag included.
    pub in_sync: u32,
    /// Of those, the ones that lag.
    pub degraded: u32,
    /// Getting the events that they lack.
    pub catching_up: u32,
    /// Being built anew.
    pub rebuilding: u32,
    /// To be built anew.
    pub needs_rebuild: u32,
    /// Without a stream, or just connecting.
    pub disconnected: u32,
}

impl LogStatus {
    /// How many replicas are in each state.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for replica in &self.replicas {
            counts.total += 1;
            match replica.state {
                ReplicaState::Disconnected | ReplicaState::Connecting => counts.disconnected += 1,
                ReplicaState::CatchingUp => counts.catching_up += 1,
                ReplicaState::Rebuilding => counts.rebuilding += 1,
                ReplicaState::InSync => counts.in_sync += 1,
                ReplicaState::Degraded => {
                    counts.in_sync += 1;
                    counts.degraded += 1;
                }
                ReplicaState::NeedsRebuild => counts.needs_rebuild += 1,
            }
        }
        counts
    }
}

/// Where a replica stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// The node that keeps it.
    pub node_id: NodeId,
    /// Its state.
    pub state: ReplicaState,
    /// Why it is so, for people; empty when there is nothing to say.
    pub reason: String,
    /// What it has durably.
    pub acknowledged: Option<Acknowledged>,
    /// Events that the log has and the replica has not acknowledged.
    pub lag: u64,
    /// The recovery under way.
    pub recovery: Option<RecoveryStatus>,
    /// What is held for it, lowest first.
    pub pins: Vec<PinStatus>,
}

/// A recovery under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryStatus {
    /// Its name.
    pub recovery: RecoveryId,
    /// `catch_up` or `rebuild`.
    pub kind: &'static str,
    /// How far it is.
    pub phase: &'static str,
    /// Where it ends.
    pub target: Seq,
    /// How far the replica is; of a base that is being sent, nowhere yet.
    pub recovered_to: Option<Seq>,
    /// What the replica has to cut off first.
    pub truncation: Truncation,
    /// What the base of a rebuild is.
    pub source: Option<BaseSource>,
    /// Events of a base that are sent, and all.
    pub base_sent: Option<(u64, u64)>,
    /// Events that it may still take; none where there is no such bound.
    pub events_left: Option<u64>,
}

/// Whether a replica has events that the log does not have, which it must cut off before it gets any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truncation {
    /// It has none.
    NotRequired,
    /// It is to cut off what comes after this place.
    Required {
        /// The place.
        to: LogPoint,
    },
    /// It said that it did.
    Done {
        /// The place.
        to: LogPoint,
    },
}

/// A place that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinStatus {
    /// What is held.
    pub kind: PinKind,
    /// What comes after this place is kept.
    pub after: Seq,
    /// The recovery that holds it.
    pub owner: RecoveryId,
}

impl Engine {
    /// Where a log and its replicas stand; none when it is not in care.
    pub fn status(&self, session_id: SessionId) -> Option<LogStatus> {
        let Log { history, senders, .. } = self.logs.get(&session_id)?;
        let head = history.head();
        let replicas = senders.iter().map(|(node_id, sender)| sender.status(node_id, head.seq)).collect();
        let (history_id, tail, checkpoint) = (history.history_id(), history.tail(), history.checkpoint());
        Some(LogStatus { history_id, head, tail, checkpoint, replicas })
    }

    /// The last `count` entries of the journal of a log, the oldest first.
    pub fn recent(&self, session_id: SessionId, count: usize) -> Vec<Entry> {
        self.logs.get(&session_id).map(|log| log.journal.recent(count)).unwrap_or_default()
    }

    /// Recoveries that are under way, and those that wait, in all logs.
    pub fn recoveries(&self) -> (usize, usize) {
        (self.slots().running(), self.slots().waiting())
    }
}

impl Sender {
    fn status(&self, node_id: &NodeId, head: Seq) -> ReplicaStatus {
        let session = self.session.as_ref();
        let work = session.and_then(|session| session.phase.work());
        let pins = work.into_iter().flat_map(|work| &work.pins);
        let mut pins: Vec<_> =
            pins.map(|pin| PinStatus { kind: pin.kind(), after: pin.after(), owner: pin.owner() }).collect();
        pins.sort_by_key(|pin| pin.after);
        ReplicaStatus {
            node_id: node_id.clone(),
            state: self.state(),
            reason: self.declared.map(|reason| reason.to_string()).unwrap_or_default(),
            acknowledged: self.acknowledged,
            lag: head.since(self.acknowledged.map_or(Seq::ORIGIN, |acknowledged| acknowledged.at.seq)),
            recovery: session.and_then(Session::recovery),
            pins,
        }
    }

    fn state(&self) -> ReplicaState {
        let waits = |otherwise| if self.declared.is_some() { ReplicaState::NeedsRebuild } else { otherwise };
        match self.session.as_ref().map(|session| &session.phase) {
            None => waits(ReplicaState::Disconnected),
            Some(Phase::Handshake(_) | Phase::Waiting(_)) => waits(ReplicaState::Connecting),
            Some(Phase::Truncating(_) | Phase::CatchUp(_)) => ReplicaState::CatchingUp,
            Some(Phase::SourceSelect(_) | Phase::Transfer(_) | Phase::TailReplay(_)) => {
                ReplicaState::Rebuilding
            }
            Some(Phase::Live(live)) if live.is_degraded => ReplicaState::Degraded,
            Some(Phase::Live(_)) => ReplicaState::InSync,
        }
    }
}

impl Session {
    fn recovery(&self) -> Option<RecoveryStatus> {
        let work = self.phase.work()?;
        let blank = RecoveryStatus {
            recovery: self.seat.recovery,
            kind: if self.phase.is_rebuild() { "rebuild" } else { "catch_up" },
            phase: self.phase.name(),
            target: Seq::ORIGIN,
            recovered_to: None,
            truncation: Truncation::NotRequired,
            source: None,
            base_sent: None,
            events_left: work.account.entries_left(),
        };
        let status = match &self.phase {
            Phase::Handshake(_) | Phase::Waiting(_) | Phase::Live(_) => return None,
            Phase::Truncating(truncating) => RecoveryStatus {
                target: truncating.target.seq,
                truncation: Truncation::Required { to: truncating.to },
                ..blank
            },
            Phase::CatchUp(replay) | Phase::TailReplay(replay) => {
                let (truncation, source) = match replay.start {
                    Start::AtOnce => (Truncation::NotRequired, None),
                    Start::AfterCut(to) => (Truncation::Done { to }, None),
                    Start::AfterBase(source) => (Truncation::NotRequired, Some(source)),
                };
                RecoveryStatus {
                    target: replay.target.seq,
                    recovered_to: Some(replay.shipment.acknowledged().seq),
                    truncation,
                    source,
                    ..blank
                }
            }
            Phase::SourceSelect(select) => {
                RecoveryStatus { target: select.head.seq, source: Some(select.source), ..blank }
            }
            Phase::Transfer(transfer) => RecoveryStatus {
                target: transfer.target.seq,
                source: Some(transfer.source),
                base_sent: Some((transfer.progress, transfer.base_events)),
                ..blank
            },
        };
        Some(status)
    }
}
