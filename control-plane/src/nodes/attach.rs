//! Attach: takes the node's one active slot in a session.

use contracts::{
    Code, EventEnvelopeVersion, InstanceId, NodeId, ParticipantId, Refusal, SessionId,
    capabilities::Declaration,
    ids::AttachmentId,
    log::Actor,
    wire::v1::{AttachRequest, DeclarationOutcome},
};
use sqlx::Connection;
use uuid::Uuid;

use super::{
    life_events::{Change, told},
    refusals,
    slot::{SelfReport, Slot, SlotState},
    store::{self, Activation, AttachFacts, NodeRow},
};
use crate::{
    event_log,
    failure::{Failure, Fault},
    leadership::Leader,
    presence::health::Report,
    sessions::{self, floor::Floor, session::SessionState},
};

/// Index that decides between attaches of one node that race.
const ONE_ACTIVE_SLOT: &str = "runtime_node_attachments_one_active";

/// A parsed attach.
#[derive(Clone, Debug)]
pub(super) struct Attach {
    session_id: SessionId,
    node_id: NodeId,
    instance_id: InstanceId,
    client_version: EventEnvelopeVersion,
    report: Report,
    declaration: Option<Declaration>,
}

impl Attach {
    /// Parses the request of a participant.
    pub(super) fn parse(request: AttachRequest, participant: ParticipantId) -> Result<Self, Refusal> {
        let AttachRequest {
            session_id,
            node_id,
            instance_id,
            client_version,
            health,
            declaration,
            participant_id,
        } = request;
        let attach = Self {
            session_id: SessionId::parse("session_id", &session_id)?,
            node_id: NodeId::parse("node_id", &node_id)?,
            instance_id: InstanceId::parse("instance_id", &instance_id)?,
            client_version: client_version.parse().map_err(|error| {
                contracts::refusal::FieldViolation::new("client_version", format!("{error}"))
            })?,
            report: Report::parse("health", health)?,
            declaration: declaration.map(Declaration::parse).transpose()?,
        };
        if !participant_id.is_empty()
            && ParticipantId::parse("participant_id", &participant_id)? != participant
        {
            return Err(Refusal::new(
                Code::AuthPrincipalMismatch,
                "participant_id is not the participant of the token. Leave it empty, or use that one's token",
            ));
        }
        Ok(attach)
    }
}

/// What an attach came to.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) slot: Slot,
    pub(super) floor: Floor,
    pub(super) outcome: DeclarationOutcome,
}

/// What an attach that is not refused does.
#[derive(Debug, PartialEq)]
enum Decision {
    /// The instance holds the slot already.
    Repeat(AttachmentId),
    /// The slot is taken under the next generation.
    Activate {
        reuse: Option<AttachmentId>,
        declaration: Declaration,
        state: SlotState,
        outcome: DeclarationOutcome,
    },
}

/// Attaches.
pub(super) async fn attach(
    leader: &Leader,
    participant: ParticipantId,
    attach: Attach,
) -> Result<Attached, Failure> {
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;

    let session = sessions::store::lock_for_attach(&mut tx, attach.session_id, participant).await?;
    let session = session.filter(|session| session.may_run_nodes()).ok_or_else(Refusal::permission_denied)?;
    let node = store::claim_node(&mut tx, &attach.node_id, participant).await?;
    if node.participant_id != participant {
        return Err(Refusal::permission_denied().into());
    }
    let facts = store::attach_facts(&mut tx, node.node_key, attach.session_id, attach.instance_id).await?;
    let limit = leader.bounds().active_nodes_per_session;

    let (attachment_id, outcome) = match decide(&attach, &session.state, &session.floor, node, facts, limit)?
    {
        Decision::Repeat(id) => (id, DeclarationOutcome::Repeated),
        Decision::Activate { reuse, declaration, state, outcome } => {
            let attachment_id = reuse.unwrap_or_else(|| AttachmentId(Uuid::now_v7()));
            let activation = Activation {
                node,
                attachment_id,
                session_id: attach.session_id,
                instance_id: attach.instance_id,
                client_version: attach.client_version.as_str(),
                declaration: &declaration,
                state: &state,
                report: attach.report,
            };
            store::activate(&mut tx, activation).await.map_err(|error| lost_race(error, &attach.node_id))?;
            (attachment_id, outcome)
        }
    };
    let shown = store::slot(&mut *tx, attachment_id).await?;
    let happened = match outcome {
        DeclarationOutcome::Repeated => Vec::new(),
        DeclarationOutcome::Absent
        | DeclarationOutcome::Cleared
        | DeclarationOutcome::KeptBelowFloor
        | DeclarationOutcome::Stored
        | DeclarationOutcome::Unspecified => {
            let node = Actor::Node(attach.node_id.clone());
            vec![told(node, &shown.slot, Change::Attached(attach.instance_id))]
        }
    };
    let recorded = event_log::record(leader, &mut tx, happened).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    leader.fleet().put(shown.slot.clone());
    leader.log().committed(recorded);
    Ok(Attached { slot: shown.slot, floor: shown.floor, outcome })
}

fn lost_race(error: sqlx::Error, node_id: &NodeId) -> Failure {
    match error.as_database_error().and_then(|error| error.constraint()) {
        Some(ONE_ACTIVE_SLOT) => refusals::active_elsewhere(node_id).into(),
        _ => error.into(),
    }
}

/// The order of refusal: revoked, session, superseded, ceiling, conflict, limit. No I/O.
fn decide(
    attach: &Attach,
    session_state: &SessionState,
    floor: &Floor,
    node: NodeRow,
    facts: AttachFacts,
    limit: u32,
) -> Result<Decision, Failure> {
    let node_id = &attach.node_id;
    let here = facts.here.as_ref();
    if node.revoked || here.is_some_and(|here| here.state == SlotState::Revoked.as_str()) {
        return Err(refusals::revoked(node_id).into());
    }
    let holds_last = node.instance_id == Some(attach.instance_id);
    if facts.instance_seen && !holds_last {
        return Err(refusals::superseded(node_id).into());
    }
    let is_active_here = here.is_some_and(|here| here.state != SlotState::Offline.as_str());
    if let Some(here) = here.filter(|_| is_active_here && holds_last) {
        return Ok(Decision::Repeat(here.id));
    }
    // A daemon that restarts in an archived session takes over a slot that is active there, and adds none.
    if !session_state.takes_nodes() && !is_active_here {
        return Err(refusals::session_not_active(session_state.as_str()).into());
    }
    // Fails closed, and first: a floor that cannot be read admits nobody.
    let floor_version = floor.version()?;
    let server = EventEnvelopeVersion::current();
    if attach.client_version.is_major_above(&server) {
        return Err(refusals::above_ceiling(&attach.client_version, &server).into());
    }
    if facts.active_elsewhere {
        return Err(refusals::active_elsewhere(node_id).into());
    }
    if !is_active_here && facts.active_in_session >= i64::from(limit) {
        let current = facts.active_in_session.unsigned_abs();
        let hint = "Detach nodes that are not needed, use another session, or raise --session-nodes-max";
        return Err(Refusal::limit_exceeded("active_nodes_per_session", limit.into(), current, hint).into());
    }

    let stored = here.map(|here| here.declaration.clone()).unwrap_or_default();
    let below_floor = floor_version.is_some_and(|floor| attach.client_version < *floor);
    let report = SelfReport { health: attach.report, reason: None };
    let (declaration, outcome) = match attach.declaration.clone() {
        None => (stored, DeclarationOutcome::Absent),
        Some(_) if below_floor && !stored.is_empty() => (stored, DeclarationOutcome::KeptBelowFloor),
        Some(declaration) if declaration.is_empty() => (declaration, DeclarationOutcome::Cleared),
        Some(declaration) => (declaration, DeclarationOutcome::Stored),
    };
    let state = match outcome {
        // A declaration was made, and the slot stands where it leads.
        DeclarationOutcome::Stored | DeclarationOutcome::KeptBelowFloor => {
            SlotState::declared(&declaration, &report)
        }
        // Nothing was declared in this generation.
        DeclarationOutcome::Absent
        | DeclarationOutcome::Cleared
        | DeclarationOutcome::Repeated
        | DeclarationOutcome::Unspecified => SlotState::Registering,
    };
    Ok(Decision::Activate { reuse: here.map(|here| here.id), declaration, state, outcome })
}
