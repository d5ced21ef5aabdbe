//! A node's slot in a session, and its state machine. No I/O, no clock.
//!
//! ```text
//! (none) ──attach──▶ registering ──declare, healthy──▶ online ◀──▶ degraded
//!   registering, online, degraded ──attach by a new instance──▶ registering
//!   registering, online, degraded ──detach──▶ offline ──attach──▶ registering
//!   any ──revoke──▶ revoked
//! ```

use std::sync::Arc;

use contracts::{
    EventEnvelopeVersion, NodeId, ParticipantId, SessionId,
    capabilities::{Declaration, Unsupported, UnsupportedKind},
    ids::AttachmentId,
    wire::v1,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    failure::Fault,
    postgres::stored,
    presence::health::{Presence, Report},
    sessions::floor::Floor,
    wire,
};

/// Where a slot stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// Attached, nothing declared since.
    Registering,
    /// Attached, declared in full, healthy by its own word.
    Online,
    /// Attached, but unsupported in part or unwell by its own word.
    Degraded(Reasons),
    /// Detached.
    Offline,
    /// Revoked for ever.
    Revoked,
}

/// Why a slot is degraded: at least one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reasons(Vec<StateReason>);

/// One reason why a slot is degraded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateReason {
    /// The node said so, perhaps with a word why.
    SelfReported(Option<String>),
    /// The declaration names something that this build does not know.
    Unsupported(Unsupported),
}

/// A daemon's own health, with its reason if it gave one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfReport {
    /// The health.
    pub health: Report,
    /// Why, when it is not well.
    pub reason: Option<String>,
}

/// Online was reported, and nothing is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undeclared;

impl SlotState {
    /// Whether the slot is the node's one active slot.
    pub fn is_active(&self) -> bool {
        match self {
            Self::Registering | Self::Online | Self::Degraded(_) => true,
            Self::Offline | Self::Revoked => false,
        }
    }

    /// The state of an active slot with this declaration and health: online takes a declaration that this build
    /// supports in full.
    pub fn declared(declaration: &Declaration, report: &SelfReport) -> Self {
        let mut reasons: Vec<_> =
            declaration.unsupported().into_iter().map(StateReason::Unsupported).collect();
        if report.health == Report::Degraded {
            reasons.push(StateReason::SelfReported(report.reason.clone()));
        }
        if !reasons.is_empty() {
            return Self::Degraded(Reasons(reasons));
        }
        if declaration.is_empty() { Self::Registering } else { Self::Online }
    }

    /// The state after an update that reports `health` in so many words, or leaves it as it was.
    ///
    /// # Errors
    ///
    /// Online was asked for, and nothing is declared.
    pub fn updated(
        declaration: &Declaration,
        report: &SelfReport,
        explicit: bool,
    ) -> Result<Self, Undeclared> {
        if explicit && report.health == Report::Online && declaration.is_empty() {
            return Err(Undeclared);
        }
        Ok(Self::declared(declaration, report))
    }

    /// The word in the database.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Registering => "registering",
            Self::Online => "online",
            Self::Degraded(_) => "degraded",
            Self::Offline => "offline",
            Self::Revoked => "revoked",
        }
    }

    /// Why the slot is degraded; empty when it is not.
    pub fn reasons(&self) -> &[StateReason] {
        match self {
            Self::Degraded(reasons) => &reasons.0,
            Self::Registering | Self::Online | Self::Offline | Self::Revoked => &[],
        }
    }

    /// Reads state and reasons from the database.
    ///
    /// # Errors
    ///
    /// What the check constraints should have kept out.
    pub fn from_stored(state: &str, reasons: Vec<StateReason>) -> Result<Self, Fault> {
        match (state, reasons.is_empty()) {
            ("registering", true) => Ok(Self::Registering),
            ("online", true) => Ok(Self::Online),
            ("degraded", false) => Ok(Self::Degraded(Reasons(reasons))),
            ("offline", true) => Ok(Self::Offline),
            ("revoked", true) => Ok(Self::Revoked),
            (other, _) => Err(stored::unreadable("runtime_node_attachments", "state", other)),
        }
    }

    /// The state as the wire shows it.
    pub fn to_wire(&self) -> v1::SlotState {
        match self {
            Self::Registering => v1::SlotState::Registering,
            Self::Online => v1::SlotState::Online,
            Self::Degraded(_) => v1::SlotState::Degraded,
            Self::Offline => v1::SlotState::Offline,
            Self::Revoked => v1::SlotState::Revoked,
        }
    }

    /// The reasons as the wire shows them.
    pub fn reasons_to_wire(&self) -> Vec<v1::StateReason> {
        self.reasons().iter().map(StateReason::to_wire).collect()
    }
}

impl StateReason {
    fn to_wire(&self) -> v1::StateReason {
        match self {
            Self::SelfReported(reason) => v1::StateReason {
                kind: v1::StateReasonKind::SelfReported.into(),
                capability_key: String::new(),
                detail: reason.clone().unwrap_or_default(),
            },
            Self::Unsupported(Unsupported { kind, capability_key, value }) => v1::StateReason {
                kind: match kind {
                    UnsupportedKind::ContractVersion => v1::StateReasonKind::UnsupportedContractVersion,
                    UnsupportedKind::Feature => v1::StateReasonKind::UnsupportedFeature,
                    UnsupportedKind::IdempotencyClass => v1::StateReasonKind::UnsupportedIdempotencyClass,
                }
                .into(),
                capability_key: capability_key.clone(),
                detail: value.clone(),
            },
        }
    }
}

/// A node's slot in a session, as stored, with the presence that belongs to it.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The slot.
    pub attachment_id: AttachmentId,
    /// Its session.
    pub session_id: SessionId,
    /// Its node.
    pub node_id: NodeId,
    /// The node's key in the database.
    pub node_key: i64,
    /// Owner of the node.
    pub participant_id: ParticipantId,
    /// Generation of the attach that activated the slot last.
    pub generation: i64,
    /// Rises with every change of the slot.
    pub revision: i64,
    /// Version that the daemon stated.
    pub client_version: EventEnvelopeVersion,
    /// What it declared.
    pub declaration: Arc<Declaration>,
    /// Where the slot stands.
    pub state: SlotState,
    /// When it was first attached.
    pub attached_at: OffsetDateTime,
    /// Whether the node is heard; none when its presence belongs to another slot by now.
    pub presence: Option<Presence>,
}

impl Slot {
    /// The slot as a roster of a session with this floor shows it.
    pub fn to_wire(&self, floor: &Floor) -> v1::RuntimeNode {
        v1::RuntimeNode {
            node_id: self.node_id.to_string(),
            session_id: self.session_id.to_string(),
            participant_id: self.participant_id.to_string(),
            attachment_id: self.attachment_id.to_string(),
            generation: wire::generation_out(self.generation),
            slot_state: self.state.to_wire().into(),
            presence: self.presence.map(Presence::to_wire),
            read_only: floor.is_above(&self.client_version),
            client_version: self.client_version.to_string(),
            declaration: Some(self.declaration.to_wire()),
            state_reasons: self.state.reasons_to_wire(),
            attached_at: Some(wire::timestamp(self.attached_at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::wire::v1::{Capability, Declaration as WireDeclaration};

    use super::*;

    fn declaration(features: &[&str]) -> Declaration {
        let capability = Capability {
            key: "codex".to_owned(),
            contract_version: "1.0".to_owned(),
            features: features.iter().map(|feature| (*feature).to_owned()).collect(),
            ..Capability::default()
        };
        Declaration::parse(WireDeclaration { capabilities: vec![capability] }).unwrap()
    }

    fn report(health: Report) -> SelfReport {
        SelfReport { health, reason: None }
    }

    #[test]
    fn online_takes_a_supported_declaration_and_health() {
        let (none, good, newer) =
            (Declaration::default(), declaration(&["mcp"]), declaration(&["telepathy"]));
        let (well, unwell) = (report(Report::Online), report(Report::Degraded));
        let check = |declaration: &Declaration, report: &SelfReport, word: &str, reasons: usize| {
            let state = SlotState::declared(declaration, report);
            assert_eq!((state.as_str(), state.reasons().len()), (word, reasons));
            assert!(state.is_active());
        };
        check(&none, &well, "registering", 0);
        check(&none, &unwell, "degraded", 1);
        check(&good, &well, "online", 0);
        check(&good, &unwell, "degraded", 1);
        check(&newer, &well, "degraded", 1);
        check(&newer, &unwell, "degraded", 2);
    }

    #[test]
    fn online_in_so_many_words_without_a_declaration_is_refused() {
        let none = Declaration::default();
        let (well, unwell) = (report(Report::Online), report(Report::Degraded));
        assert_eq!(SlotState::updated(&none, &well, true), Err(Undeclared));
        assert_eq!(SlotState::updated(&none, &well, false), Ok(SlotState::Registering));
        assert_eq!(SlotState::updated(&none, &unwell, true).map(|state| state.as_str()), Ok("degraded"));
        assert_eq!(SlotState::updated(&declaration(&[]), &well, true), Ok(SlotState::Online));
    }

    #[test]
    fn a_state_reads_back_as_it_was_stored_and_nothing_else_reads() {
        let reasons = vec![StateReason::SelfReported(Some("disk is full".to_owned()))];
        for (word, stored) in [
            ("registering", vec![]),
            ("online", vec![]),
            ("degraded", reasons.clone()),
            ("offline", vec![]),
            ("revoked", vec![]),
        ] {
            let state = SlotState::from_stored(word, stored.clone()).unwrap();
            assert_eq!((state.as_str(), state.reasons()), (word, stored.as_slice()));
        }
        assert!(SlotState::from_stored("online", reasons).is_err());
        assert!(SlotState::from_stored("degraded", vec![]).is_err());
        assert!(SlotState::from_stored("gone", vec![]).is_err());
    }
}
