//! Ids, one type a noun, so that one cannot stand where another belongs.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{limits, refusal::FieldViolation, text};

/// Name of a runtime node: chosen by its operator, opaque, stable across restarts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(String);

impl NodeId {
    /// Parses 1 to 256 characters, none of them a control character, no white space at either end.
    ///
    /// # Errors
    ///
    /// The violation names `field`.
    pub fn parse(field: &'static str, value: &str) -> Result<Self, FieldViolation> {
        text::required(field, value, limits::NODE_ID_CHARS_MAX).map(Self)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NodeId {
    type Err = FieldViolation;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Self::parse("node_id", value)
    }
}

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident($field:literal);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Parses a hyphenated UUID of either case.
            ///
            /// # Errors
            ///
            /// The violation names `field`.
            pub fn parse(field: &'static str, value: &str) -> Result<Self, FieldViolation> {
                parse_uuid(field, value).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = FieldViolation;

            fn from_str(value: &str) -> Result<Self, Self::Err> {
                Self::parse($field, value)
            }
        }
    )*};
}

uuid_ids! {
    /// A session.
    SessionId("session_id");
    /// An account that owns nodes.
    ParticipantId("participant_id");
    /// A node's slot in a session.
    AttachmentId("attachment_id");
    /// One run of a daemon.
    InstanceId("instance_id");
    /// Name of an event, chosen by whoever appends it: a repeat under one name is one event.
    EventId("event_id");
    /// Which course of events a database holds. A restore from a snapshot begins a new one: what was appended after the
    /// snapshot is not part of it, and its numbers are given out again.
    HistoryId("history_id");
    /// A recovery of a replica. The server makes them, at random: they differ across restarts.
    RecoveryId("recovery_id");
}

impl SessionId {
    /// Parses an id that a client brings for a session it creates: a UUIDv7, so that ids sort by creation.
    ///
    /// # Errors
    ///
    /// The violation names `field`.
    pub fn parse_new(field: &'static str, value: &str) -> Result<Self, FieldViolation> {
        let id = parse_uuid(field, value)?;
        // The version has its meaning only within the variant of RFC 9562.
        if id.get_version() != Some(uuid::Version::SortRand) || id.get_variant() != uuid::Variant::RFC4122 {
            return Err(FieldViolation::new(field, "must be a UUID of version 7"));
        }
        Ok(Self(id))
    }
}

fn parse_uuid(field: &'static str, value: &str) -> Result<Uuid, FieldViolation> {
    if value.is_empty() {
        return Err(FieldViolation::new(field, "is required"));
    }
    // `Uuid::parse_str` also takes braces, URNs and the bare digits; one form on the wire is enough.
    if value.len() != uuid::fmt::Hyphenated::LENGTH {
        return Err(FieldViolation::new(field, "must be a hyphenated UUID"));
    }
    let id = Uuid::parse_str(value).map_err(|_| FieldViolation::new(field, "must be a hyphenated UUID"))?;
    if id.is_nil() {
        return Err(FieldViolation::new(field, "must not be the nil UUID"));
    }
    Ok(id)
}
