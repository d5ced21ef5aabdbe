//! Whether a node is heard: the states, and who may set which. No I/O, no clock.

use contracts::{refusal::FieldViolation, wire::v1};
use time::OffsetDateTime;

use crate::{failure::Fault, postgres::stored};

/// Health that a daemon may report of itself. Offline is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// All is well.
    Online,
    /// At work, but not at its best.
    Degraded,
}

impl Report {
    /// Parses the wire's value.
    ///
    /// # Errors
    ///
    /// Unspecified and unknown values are violations of `field`.
    pub fn parse(field: &'static str, value: i32) -> Result<Self, FieldViolation> {
        match v1::ReportedHealth::try_from(value) {
            Ok(v1::ReportedHealth::Online) => Ok(Self::Online),
            Ok(v1::ReportedHealth::Degraded) => Ok(Self::Degraded),
            Ok(v1::ReportedHealth::Unspecified) => Err(FieldViolation::new(field, "is required")),
            Err(_) => Err(FieldViolation::new(field, "must be online or degraded")),
        }
    }

    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Degraded => "degraded",
        }
    }

    /// Reads the word of `runtime_node_attachments.reported_health`.
    ///
    /// # Errors
    ///
    /// A word that the check constraint should have kept out.
    pub fn from_stored(word: &str) -> Result<Self, Fault> {
        match word {
            "online" => Ok(Self::Online),
            "degraded" => Ok(Self::Degraded),
            other => Err(stored::unreadable("runtime_node_attachments", "reported_health", other)),
        }
    }
}

/// Liveness of a node, with its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// Heard in time, and healthy by its own word.
    Online,
    /// Heard or nearly so, and not well.
    Degraded(DegradedBecause),
    /// Not there.
    Offline(OfflineBecause),
}

/// Why a node's presence is degraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DegradedBecause {
    /// It said so.
    SelfReported,
    /// It was silent past the degraded threshold.
    Silence,
}

/// Why a node's presence is offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OfflineBecause {
    /// It was silent past the offline threshold.
    Silence,
    /// Its slot was detached.
    Detached,
    /// Its slot, or the node, was revoked.
    Revoked,
}

impl Health {
    /// Every health there is.
    pub const ALL: [Self; 6] = [
        Self::Online,
        Self::Degraded(DegradedBecause::SelfReported),
        Self::Degraded(DegradedBecause::Silence),
        Self::Offline(OfflineBecause::Silence),
        Self::Offline(OfflineBecause::Detached),
        Self::Offline(OfflineBecause::Revoked),
    ];

    /// The words of `health_state` and `health_cause` in the database.
    pub fn as_stored(self) -> (&'static str, &'static str) {
        match self {
            Self::Online => ("online", "self_reported"),
            Self::Degraded(DegradedBecause::SelfReported) => ("degraded", "self_reported"),
            Self::Degraded(DegradedBecause::Silence) => ("degraded", "silence"),
            Self::Offline(OfflineBecause::Silence) => ("offline", "silence"),
            Self::Offline(OfflineBecause::Detached) => ("offline", "detached"),
            Self::Offline(OfflineBecause::Revoked) => ("offline", "revoked"),
        }
    }

    /// Reads the words from the database.
    ///
    /// # Errors
    ///
    /// A pair that the check constraint should have kept out.
    pub fn from_stored(state: &str, cause: &str) -> Result<Self, Fault> {
        Self::ALL.into_iter().find(|health| health.as_stored() == (state, cause)).ok_or_else(|| {
            stored::unreadable(
                "runtime_node_presence",
                "health_state, health_cause",
                format!("{state}, {cause}"),
            )
        })
    }
}

impl From<Report> for Health {
    fn from(report: Report) -> Self {
        match report {
            Report::Online => Self::Online,
            Report::Degraded => Self::Degraded(DegradedBecause::SelfReported),
        }
    }
}

/// A node's health and when it was last heard, by the database's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// The health.
    pub health: Health,
    /// When the last beat or attach was recorded.
    pub last_heartbeat_at: OffsetDateTime,
}

impl Presence {
    /// The presence as a roster shows it.
    pub fn to_wire(self) -> v1::Presence {
        let (health, cause) = match self.health {
            Health::Online => (v1::PresenceHealth::Online, v1::PresenceCause::SelfReported),
            Health::Degraded(DegradedBecause::SelfReported) => {
                (v1::PresenceHealth::Degraded, v1::PresenceCause::SelfReported)
            }
            Health::Degraded(DegradedBecause::Silence) => {
                (v1::PresenceHealth::Degraded, v1::PresenceCause::Silence)
            }
            Health::Offline(OfflineBecause::Silence) => {
                (v1::PresenceHealth::Offline, v1::PresenceCause::Silence)
            }
            Health::Offline(OfflineBecause::Detached) => {
                (v1::PresenceHealth::Offline, v1::PresenceCause::Detached)
            }
            Health::Offline(OfflineBecause::Revoked) => {
                (v1::PresenceHealth::Offline, v1::PresenceCause::Revoked)
            }
        };
        v1::Presence {
            health: health.into(),
            cause: cause.into(),
            last_heartbeat_at: Some(crate::wire::timestamp(self.last_heartbeat_at)),
        }
    }
}
