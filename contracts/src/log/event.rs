//! Events: what is sent to be appended, and what a log holds.

use std::fmt;

use super::{EventHash, LogPoint, Seq};
use crate::{
    EventEnvelopeVersion, EventId, NodeId, ParticipantId, SessionId, limits, refusal::FieldViolation, text,
    wire::v1,
};

/// Types that begin so are the server's own.
const RESERVED: [&str; 2] = ["runtime_node.", "rollcall."];

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub(super) String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

texts! {
    /// What kind of event it is: lower-case words with dots between them, such as `task.finished`.
    EventType;
    /// What an event is the latest word on. Events with a key are state, those without are history.
    EventKey;
    /// What the payload is, such as `application/json`.
    ContentType;
}

impl EventType {
    /// Parses lower-case words of letters, digits and underscores with dots between them.
    ///
    /// # Errors
    ///
    /// The violation names `field`.
    pub fn parse(field: &'static str, value: &str) -> Result<Self, FieldViolation> {
        let value = text::required(field, value, limits::EVENT_TYPE_CHARS_MAX)?;
        let is_word = |word: &str| {
            word.starts_with(|first: char| first.is_ascii_lowercase())
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        if value.split('.').all(is_word) {
            Ok(Self(value))
        } else {
            Err(FieldViolation::new(
                field,
                "must be lower-case words with dots between them, such as task.finished",
            ))
        }
    }

    /// Whether only the server writes events of this type.
    pub fn is_reserved(&self) -> bool {
        RESERVED.iter().any(|prefix| self.0.starts_with(prefix))
    }
}

impl EventKey {
    /// Parses 1 to 512 characters without control characters, no white space at either end.
    ///
    /// # Errors
    ///
    /// The violation names `field`.
    pub fn parse(field: &'static str, value: &str) -> Result<Self, FieldViolation> {
        text::required(field, value, limits::EVENT_KEY_CHARS_MAX).map(Self)
    }
}

impl ContentType {
    /// Parses 1 to 128 characters without control characters, no white space at either end.
    ///
    /// # Errors
    ///
    /// The violation names `field`.
    pub fn parse(field: &'static str, value: &str) -> Result<Self, FieldViolation> {
        text::required(field, value, limits::CONTENT_TYPE_CHARS_MAX).map(Self)
    }
}

/// Who appended an event. As text `server`, `participant/ID` or `node/ID`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// Rollcall itself.
    Server,
    /// A participant.
    Participant(ParticipantId),
    /// A runtime node.
    Node(NodeId),
}

impl Actor {
    /// Parses the text of an actor.
    ///
    /// # Errors
    ///
    /// The violation names `field`.
    pub fn parse(field: &'static str, value: &str) -> Result<Self, FieldViolation> {
        match value.split_once('/') {
            None if value == "server" => Ok(Self::Server),
            Some(("participant", id)) => ParticipantId::parse(field, id).map(Self::Participant),
            Some(("node", id)) => NodeId::parse(field, id).map(Self::Node),
            None | Some(_) => Err(FieldViolation::new(field, "must be server, participant/ID or node/ID")),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("server"),
            Self::Participant(id) => write!(f, "participant/{id}"),
            Self::Node(id) => write!(f, "node/{id}"),
        }
    }
}

/// An event as it is before it has its place in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDraft {
    /// Its name.
    pub id: EventId,
    /// Version of the envelope and of the payload's schema, as its author wrote it.
    pub envelope_version: EventEnvelopeVersion,
    /// What kind of event it is.
    pub event_type: EventType,
    /// What it is the latest word on.
    pub key: Option<EventKey>,
    /// What the payload is.
    pub content_type: ContentType,
    /// The payload, which nobody between author and reader looks into.
    pub payload: Vec<u8>,
    /// When it happened by its author's clock, in microseconds since 1970; none to take the time of the append.
    pub occurred_at: Option<i64>,
}

/// An event that a client wants to append: a draft that is not of the server's own types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnEvent(EventDraft);

impl OwnEvent {
    /// Parses what a client sent.
    ///
    /// # Errors
    ///
    /// The violation names the field within the message.
    pub fn parse(wire: v1::NewEvent) -> Result<Self, FieldViolation> {
        let v1::NewEvent { event_id, envelope_version, r#type, key, content_type, payload, occurred_at } =
            wire;
        let event_type = EventType::parse("type", &r#type)?;
        if event_type.is_reserved() {
            return Err(FieldViolation::new(
                "type",
                "must not begin with runtime_node. or rollcall., which are the server's",
            ));
        }
        Ok(Self(EventDraft {
            id: EventId::parse("event_id", &event_id)?,
            envelope_version: version("envelope_version", &envelope_version)?,
            event_type,
            key: key.map(|key| EventKey::parse("key", &key)).transpose()?,
            content_type: ContentType::parse("content_type", &content_type)?,
            payload: bounded_payload(payload)?,
            occurred_at: occurred_at.map(|at| micros("occurred_at", &at)).transpose()?,
        }))
    }

    /// Takes a draft whose author is a client.
    ///
    /// # Errors
    ///
    /// When its type is the server's, or its payload too large. The violation names the field.
    pub fn new(draft: EventDraft) -> Result<Self, FieldViolation> {
        Self::parse(draft.into())
    }

    /// The draft.
    pub fn into_draft(self) -> EventDraft {
        self.0
    }

    /// The draft.
    pub fn draft(&self) -> &EventDraft {
        &self.0
    }
}

/// An event in its place in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The session whose log it is in.
    pub session_id: SessionId,
    /// Its number there.
    pub seq: Seq,
    /// Its name.
    pub id: EventId,
    /// Term of the leader that wrote it.
    pub epoch: u64,
    /// Version of the envelope, as its author wrote it.
    pub envelope_version: EventEnvelopeVersion,
    /// What kind of event it is.
    pub event_type: EventType,
    /// What it is the latest word on.
    pub key: Option<EventKey>,
    /// Who appended it.
    pub actor: Actor,
    /// What the payload is.
    pub content_type: ContentType,
    /// The payload.
    pub payload: Vec<u8>,
    /// When it happened by its author's clock, in microseconds since 1970.
    pub occurred_at: i64,
    /// When it was appended by the database's clock, in microseconds since 1970.
    pub recorded_at: i64,
    /// Hash of the event before it.
    pub prev_hash: EventHash,
    /// Its own hash.
    pub hash: EventHash,
}

/// What the log decides about an event that is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Append {
    /// The session whose log it is.
    pub session_id: SessionId,
    /// Term of the leader that writes it.
    pub epoch: u64,
    /// The time of the database, in microseconds since 1970.
    pub recorded_at: i64,
}

impl Event {
    /// The event that `draft` becomes after `head`; none when the log is as long as one can be.
    pub fn append(head: LogPoint, to: Append, actor: Actor, draft: EventDraft) -> Option<Self> {
        let EventDraft { id, envelope_version, event_type, key, content_type, payload, occurred_at } = draft;
        let mut event = Self {
            session_id: to.session_id,
            seq: head.seq.next()?,
            id,
            epoch: to.epoch,
            envelope_version,
            event_type,
            key,
            actor,
            content_type,
            payload,
            occurred_at: occurred_at.unwrap_or(to.recorded_at),
            recorded_at: to.recorded_at,
            prev_hash: head.hash,
            hash: head.hash,
        };
        event.hash = EventHash::of(&event);
        Some(event)
    }

    /// Whether the hash is that of the content.
    pub fn is_what_its_hash_says(&self) -> bool {
        EventHash::of(self) == self.hash
    }

    /// The place of the event.
    pub fn point(&self) -> LogPoint {
        LogPoint { seq: self.seq, hash: self.hash }
    }

    /// Whether it says what `draft` says, so that the draft is a repeat of it.
    pub fn says(&self, draft: &EventDraft, actor: &Actor) -> bool {
        self.id == draft.id
            && self.envelope_version == draft.envelope_version
            && self.event_type == draft.event_type
            && self.key == draft.key
            && self.content_type == draft.content_type
            && self.payload == draft.payload
            && draft.occurred_at.is_none_or(|at| at == self.occurred_at)
            && self.actor == *actor
    }

    /// Parses an event of the log of `session_id`. Whether it is what its hash says is another question.
    ///
    /// # Errors
    ///
    /// The violation names the field within the message.
    pub fn parse(session_id: SessionId, wire: v1::Event) -> Result<Self, FieldViolation> {
        let v1::Event {
            seq,
            event_id,
            epoch,
            envelope_version,
            r#type,
            key,
            actor,
            content_type,
            payload,
            occurred_at,
            recorded_at,
            prev_hash,
            hash,
        } = wire;
        let seq = Seq::parse("seq", seq)?;
        if seq == Seq::ORIGIN {
            return Err(FieldViolation::new("seq", "must be at least 1"));
        }
        Ok(Self {
            session_id,
            seq,
            id: EventId::parse("event_id", &event_id)?,
            epoch,
            envelope_version: version("envelope_version", &envelope_version)?,
            event_type: EventType::parse("type", &r#type)?,
            key: key.map(|key| EventKey::parse("key", &key)).transpose()?,
            actor: Actor::parse("actor", &actor)?,
            content_type: ContentType::parse("content_type", &content_type)?,
            payload: bounded_payload(payload)?,
            occurred_at: required_micros("occurred_at", occurred_at)?,
            recorded_at: required_micros("recorded_at", recorded_at)?,
            prev_hash: EventHash::parse("prev_hash", &prev_hash)?,
            hash: EventHash::parse("hash", &hash)?,
        })
    }
}

impl From<EventDraft> for v1::NewEvent {
    fn from(draft: EventDraft) -> Self {
        Self {
            event_id: draft.id.to_string(),
            envelope_version: draft.envelope_version.as_str().to_owned(),
            r#type: draft.event_type.0,
            key: draft.key.map(|key| key.0),
            content_type: draft.content_type.0,
            payload: draft.payload,
            occurred_at: draft.occurred_at.map(timestamp),
        }
    }
}

impl From<OwnEvent> for v1::NewEvent {
    fn from(event: OwnEvent) -> Self {
        event.0.into()
    }
}

impl From<Event> for v1::Event {
    fn from(event: Event) -> Self {
        Self {
            seq: event.seq.get(),
            event_id: event.id.to_string(),
            epoch: event.epoch,
            envelope_version: event.envelope_version.as_str().to_owned(),
            r#type: event.event_type.0,
            key: event.key.map(|key| key.0),
            actor: event.actor.to_string(),
            content_type: event.content_type.0,
            payload: event.payload,
            occurred_at: Some(timestamp(event.occurred_at)),
            recorded_at: Some(timestamp(event.recorded_at)),
            prev_hash: event.prev_hash.as_bytes().to_vec(),
            hash: event.hash.as_bytes().to_vec(),
        }
    }
}

fn version(field: &'static str, value: &str) -> Result<EventEnvelopeVersion, FieldViolation> {
    value.parse().map_err(|error| FieldViolation::new(field, format!("{error}")))
}

fn bounded_payload(payload: Vec<u8>) -> Result<Vec<u8>, FieldViolation> {
    if payload.len() > limits::EVENT_PAYLOAD_BYTES_MAX {
        let rule = format!("must have at most {} bytes", limits::EVENT_PAYLOAD_BYTES_MAX);
        return Err(FieldViolation::new("payload", rule));
    }
    Ok(payload)
}

const MICROS: i64 = 1_000_000;
/// The years 0001 to 9999, as `Timestamp` has them, in seconds since 1970.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

fn required_micros(field: &'static str, at: Option<prost_types::Timestamp>) -> Result<i64, FieldViolation> {
    micros(field, &at.ok_or_else(|| FieldViolation::new(field, "is required"))?)
}

/// Microseconds since 1970; what is finer is cut off.
fn micros(field: &'static str, at: &prost_types::Timestamp) -> Result<i64, FieldViolation> {
    if !SECONDS.contains(&at.seconds) || !(0..1_000_000_000).contains(&at.nanos) {
        return Err(FieldViolation::new(field, "must be a time of the years 0001 to 9999"));
    }
    Ok(at.seconds * MICROS + i64::from(at.nanos) / 1_000)
}

fn timestamp(micros: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(micros.rem_euclid(MICROS) * 1_000).unwrap_or(0);
    prost_types::Timestamp { seconds: micros.div_euclid(MICROS), nanos }
}
