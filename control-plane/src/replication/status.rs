//! GetReplicationStatus: where a log and its replicas stand.
//!
//! The active server tells of the exchanges that are under way. A standby tells what the database has: which replicas
//! there are and what they acknowledged.

use contracts::{
    Refusal, SessionId, limits,
    refusal::FieldViolation,
    wire::v1::{
        self, GetReplicationStatusRequest, GetReplicationStatusResponse, PinStatus, RecoveryEvent,
        RecoveryStatus, ReplicaCounts, ReplicaState, ReplicaStatus,
    },
};
use sqlx::PgPool;
use time::OffsetDateTime;

use super::{
    engine::{self, Tick, Truncation},
    store::{self, Stored},
    wire,
};
use crate::{event_log::store as log_store, failure::Fault, leadership::Leader, wire::timestamp};

/// A parsed question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    /// The session whose log it is about.
    pub(crate) session_id: SessionId,
    recent_max: usize,
}

impl Question {
    /// Parses the request.
    pub(crate) fn parse(request: &GetReplicationStatusRequest) -> Result<Self, Refusal> {
        let recent_max = match usize::try_from(request.recent_max) {
            Ok(0) => limits::PAGE_SIZE_DEFAULT,
            Ok(max) => max.min(limits::PAGE_SIZE_MAX),
            Err(_) => return Err(FieldViolation::new("recent_max", "must not be negative").into()),
        };
        Ok(Self { session_id: SessionId::parse("session_id", &request.session_id)?, recent_max })
    }
}

/// Answers, with what the leader knows when this server is active.
pub(crate) async fn status(
    db: &PgPool,
    leader: Option<&Leader>,
    question: Question,
) -> Result<GetReplicationStatusResponse, Fault> {
    let Question { session_id, recent_max } = question;
    let extent = log_store::extent(db, session_id).await?;
    let checkpoint = log_store::checkpoints(db, session_id).await?.into_iter().next();
    let stored = store::replicas(db, session_id).await?;
    let in_care = leader.and_then(|leader| leader.replication().status(session_id));
    let replicas = match &in_care {
        Some(status) => status.replicas.iter().map(|replica| replica_status(replica, &stored)).collect(),
        None => stored.iter().map(|stored| stored_status(stored, extent.head)).collect::<Vec<_>>(),
    };
    let recent = leader.filter(|_| in_care.is_some()).map(|leader| {
        let (entries, now) = leader.replication().recent(session_id, recent_max);
        entries.into_iter().map(|entry| recovery_event(entry, now, extent.read_at)).collect()
    });
    Ok(GetReplicationStatusResponse {
        history_id: extent.history_id.to_string(),
        head: Some(extent.head.into()),
        tail: Some(extent.tail.into()),
        checkpoint: checkpoint.map(|base| v1::CheckpointStatus {
            at: Some(base.at.into()),
            events: base.events,
            trusted: base.digest.is_some(),
            created_at: Some(timestamp(base.created_at)),
        }),
        counts: Some(counts(&replicas)),
        replicas,
        recent: recent.unwrap_or_default(),
    })
}

fn stored_status(stored: &Stored, head: contracts::LogPoint) -> ReplicaStatus {
    let state = match stored.needs_rebuild {
        Some(_) => ReplicaState::NeedsRebuild,
        None => ReplicaState::Disconnected,
    };
    let acknowledged = stored.acknowledged.map_or(0, |at| at.seq.get());
    ReplicaStatus {
        node_id: stored.node_id.to_string(),
        state: state.into(),
        reason: stored.needs_rebuild.clone().unwrap_or_default(),
        acknowledged: stored.acknowledged.map(Into::into),
        acknowledged_at: stored.acknowledged_at.map(timestamp),
        lag: head.seq.get().saturating_sub(acknowledged),
        recovery: None,
        pins: Vec::new(),
    }
}

fn replica_status(replica: &engine::ReplicaStatus, stored: &[Stored]) -> ReplicaStatus {
    let row = stored.iter().find(|stored| stored.node_id == replica.node_id);
    ReplicaStatus {
        node_id: replica.node_id.to_string(),
        state: state(replica.state).into(),
        reason: replica.reason.clone(),
        acknowledged: replica.acknowledged.map(|acknowledged| acknowledged.at.into()),
        acknowledged_at: row.and_then(|row| row.acknowledged_at).map(timestamp),
        lag: replica.lag,
        recovery: replica.recovery.as_ref().map(recovery_status),
        pins: replica
            .pins
            .iter()
            .map(|pin| PinStatus { kind: pin.kind.to_string(), after: pin.after.get() })
            .collect(),
    }
}

fn state(state: engine::ReplicaState) -> ReplicaState {
    match state {
        engine::ReplicaState::Disconnected => ReplicaState::Disconnected,
        engine::ReplicaState::Connecting => ReplicaState::Connecting,
        engine::ReplicaState::CatchingUp => ReplicaState::CatchingUp,
        engine::ReplicaState::Rebuilding => ReplicaState::Rebuilding,
        engine::ReplicaState::InSync => ReplicaState::InSync,
        engine::ReplicaState::Degraded => ReplicaState::Degraded,
        engine::ReplicaState::NeedsRebuild => ReplicaState::NeedsRebuild,
    }
}

fn recovery_status(recovery: &engine::RecoveryStatus) -> RecoveryStatus {
    let (truncate_to, truncated) = match recovery.truncation {
        Truncation::NotRequired => (None, false),
        Truncation::Required { to } => (Some(to), false),
        Truncation::Done { to } => (Some(to), true),
    };
    let (base_events_sent, base_events) = recovery.base_sent.unwrap_or_default();
    RecoveryStatus {
        recovery_id: recovery.recovery.to_string(),
        kind: recovery.kind.to_owned(),
        phase: recovery.phase.to_owned(),
        target: recovery.target.get(),
        recovered_to: recovery.recovered_to.map_or(0, |seq| seq.get()),
        truncate_to: truncate_to.map(Into::into),
        truncated,
        source: recovery.source.map_or(v1::BaseSource::Unspecified, wire::base_source).into(),
        events_left: recovery.events_left,
        base_events_sent,
        base_events,
    }
}

fn counts(replicas: &[ReplicaStatus]) -> ReplicaCounts {
    let count = |states: &[ReplicaState]| {
        let of = replicas.iter().filter(|replica| states.contains(&replica.state()));
        u32::try_from(of.count()).unwrap_or(u32::MAX)
    };
    ReplicaCounts {
        total: u32::try_from(replicas.len()).unwrap_or(u32::MAX),
        in_sync: count(&[ReplicaState::InSync, ReplicaState::Degraded]),
        catching_up: count(&[ReplicaState::CatchingUp]),
        rebuilding: count(&[ReplicaState::Rebuilding]),
        needs_rebuild: count(&[ReplicaState::NeedsRebuild]),
        disconnected: count(&[ReplicaState::Disconnected, ReplicaState::Connecting]),
    }
}

fn recovery_event(entry: engine::Entry, now: Tick, read_at: OffsetDateTime) -> RecoveryEvent {
    // Ticks are of the monotonic clock.
    let at = read_at - now.since(entry.at);
    RecoveryEvent {
        at: Some(timestamp(at)),
        node_id: entry.node_id.to_string(),
        name: entry.name.as_str().to_owned(),
        detail: entry.detail,
    }
}
