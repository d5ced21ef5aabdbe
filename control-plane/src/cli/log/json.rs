//! The JSON of `rollcall log ... --json`. A field is never renamed or removed; new ones may come.

use contracts::{LogPoint, log, wire::v1};
use serde::Serialize;

use super::payload;
use crate::cli::age::rfc3339;

/// A place in a log.
#[derive(Debug, Serialize)]
pub(crate) struct Point {
    seq: u64,
    /// 64 hexadecimal digits.
    hash: String,
}

/// An event.
#[derive(Debug, Serialize)]
pub(crate) struct Event {
    seq: u64,
    event_id: String,
    epoch: u64,
    envelope_version: String,
    #[serde(rename = "type")]
    event_type: String,
    /// Null for history.
    key: Option<String>,
    actor: String,
    content_type: String,
    /// The payload as text; null when it is none.
    payload: Option<String>,
    /// The payload in hexadecimal digits, when it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hex: Option<String>,
    occurred_at: Option<String>,
    recorded_at: Option<String>,
    prev_hash: String,
    hash: String,
}

/// The answer of read.
#[derive(Debug, Serialize)]
pub(crate) struct Events {
    /// In their order.
    pub(crate) events: Vec<Event>,
    /// Where the log ends.
    pub(crate) head: Point,
    /// Up to where it was pruned.
    pub(crate) tail: Point,
    /// Whether there are later ones, beyond the limit.
    pub(crate) has_more: bool,
}

/// The answer of append.
#[derive(Debug, Serialize)]
pub(crate) struct Appended {
    pub(crate) event_id: String,
    /// The place of the event.
    #[serde(flatten)]
    pub(crate) at: Point,
    /// It had been appended before.
    pub(crate) repeated: bool,
}

/// The answer of verify.
#[derive(Debug, Serialize)]
pub(crate) struct Verified {
    /// How many events.
    pub(crate) verified_events: u64,
    /// The place before the first of them.
    pub(crate) from: Point,
    /// The last of them.
    pub(crate) to: Point,
}

impl From<LogPoint> for Point {
    fn from(point: LogPoint) -> Self {
        Self { seq: point.seq.get(), hash: point.hash.to_string() }
    }
}

impl From<log::Event> for Event {
    fn from(event: log::Event) -> Self {
        let (hash, prev_hash) = (event.hash.to_string(), event.prev_hash.to_string());
        let event = v1::Event::from(event);
        let text = payload::text(&event.payload).map(str::to_owned);
        Self {
            seq: event.seq,
            payload_hex: text.is_none().then(|| payload::hex(&event.payload)),
            payload: text,
            event_id: event.event_id,
            epoch: event.epoch,
            envelope_version: event.envelope_version,
            event_type: event.r#type,
            key: event.key,
            actor: event.actor,
            content_type: event.content_type,
            occurred_at: rfc3339(event.occurred_at.as_ref()),
            recorded_at: rfc3339(event.recorded_at.as_ref()),
            prev_hash,
            hash,
        }
    }
}
