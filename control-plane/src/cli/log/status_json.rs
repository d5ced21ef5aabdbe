//! The JSON of `rollcall log status --json`. A field is never renamed or removed; new ones may come.

use contracts::wire::v1;
use serde::Serialize;

use super::json::Point;
use crate::cli::{age::rfc3339, wire_word::word};

/// The answer of status.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) history_id: String,
    pub(super) head: Point,
    pub(super) tail: Point,
    /// Events that are there.
    pub(super) retained_events: u64,
    /// Null when there is none.
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) counts: Counts,
    /// Ordered by node id.
    pub(super) replicas: Vec<Replica>,
    /// What happened last, the oldest first; as many as were asked for.
    pub(super) recent: Vec<Happened>,
}

/// A stored state of the session.
#[derive(Debug, Serialize)]
pub(super) struct Checkpoint {
    /// The place that it is the state at.
    seq: u64,
    events: u64,
    trusted: bool,
    created_at: Option<String>,
}

/// How many replicas are in each state.
#[derive(Debug, Serialize)]
pub(super) struct Counts {
    total: u32,
    in_sync: u32,
    catching_up: u32,
    rebuilding: u32,
    needs_rebuild: u32,
    disconnected: u32,
}

/// A replica.
#[derive(Debug, Serialize)]
pub(super) struct Replica {
    node_id: String,
    /// `disconnected`, `connecting`, `catching_up`, `rebuilding`, `in_sync`, `degraded` or `needs_rebuild`.
    state: String,
    /// Null when there is nothing to say.
    reason: Option<String>,
    /// Null before its first acknowledgement.
    acknowledged_seq: Option<u64>,
    acknowledged_at: Option<String>,
    lag: u64,
    /// Null when there is none under way.
    recovery: Option<Recovery>,
    /// Lowest first.
    pins: Vec<Pin>,
}

/// A recovery under way.
#[derive(Debug, Serialize)]
pub(super) struct Recovery {
    recovery_id: String,
    kind: String,
    phase: String,
    target: u64,
    recovered_to: u64,
    /// Null when nothing is to be cut.
    truncate_to: Option<u64>,
    /// Whether the replica has cut.
    truncated: bool,
    /// What the base of a rebuild is: `checkpoint` or `full`; null where there is none.
    source: Option<String>,
    /// Null when there is no such budget.
    events_left: Option<u64>,
    /// Events of the base that were sent, while it is.
    base_events_sent: u64,
    base_events: u64,
}

/// A place that is held.
#[derive(Debug, Serialize)]
pub(super) struct Pin {
    kind: String,
    /// What comes after this place is kept.
    after: u64,
}

/// An entry of the recovery log.
#[derive(Debug, Serialize)]
pub(super) struct Happened {
    at: Option<String>,
    node_id: String,
    name: String,
    detail: String,
}

impl From<v1::CheckpointStatus> for Checkpoint {
    fn from(checkpoint: v1::CheckpointStatus) -> Self {
        Self {
            seq: checkpoint.at.map_or(0, |at| at.seq),
            events: checkpoint.events,
            trusted: checkpoint.trusted,
            created_at: rfc3339(checkpoint.created_at.as_ref()),
        }
    }
}

impl From<v1::ReplicaCounts> for Counts {
    fn from(counts: v1::ReplicaCounts) -> Self {
        let v1::ReplicaCounts { total, in_sync, catching_up, rebuilding, needs_rebuild, disconnected } =
            counts;
        Self { total, in_sync, catching_up, rebuilding, needs_rebuild, disconnected }
    }
}

impl From<v1::ReplicaStatus> for Replica {
    fn from(replica: v1::ReplicaStatus) -> Self {
        Self {
            state: word::<v1::ReplicaState>(replica.state),
            node_id: replica.node_id,
            reason: Some(replica.reason).filter(|reason| !reason.is_empty()),
            acknowledged_seq: replica.acknowledged.map(|at| at.seq),
            acknowledged_at: rfc3339(replica.acknowledged_at.as_ref()),
            lag: replica.lag,
            recovery: replica.recovery.map(Recovery::from),
            pins: replica.pins.into_iter().map(|pin| Pin { kind: pin.kind, after: pin.after }).collect(),
        }
    }
}

impl From<v1::RecoveryStatus> for Recovery {
    fn from(recovery: v1::RecoveryStatus) -> Self {
        let has_source = recovery.source != i32::from(v1::BaseSource::Unspecified);
        Self {
            recovery_id: recovery.recovery_id,
            kind: recovery.kind,
            phase: recovery.phase,
            target: recovery.target,
            recovered_to: recovery.recovered_to,
            truncate_to: recovery.truncate_to.map(|to| to.seq),
            truncated: recovery.truncated,
            source: has_source.then(|| word::<v1::BaseSource>(recovery.source)),
            events_left: recovery.events_left,
            base_events_sent: recovery.base_events_sent,
            base_events: recovery.base_events,
        }
    }
}

impl From<v1::RecoveryEvent> for Happened {
    fn from(event: v1::RecoveryEvent) -> Self {
        let v1::RecoveryEvent { at, node_id, name, detail } = event;
        Self { at: rfc3339(at.as_ref()), node_id, name, detail }
    }
}
