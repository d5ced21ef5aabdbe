//! AppendEvents: what a client sends, parsed.

use std::collections::HashSet;

use contracts::{
    LogPoint, NodeId, ParticipantId, Refusal, Seq, SessionId, limits,
    log::{EventDraft, OwnEvent},
    refusal::FieldViolation,
    wire::v1::{AppendEventsRequest, AppendEventsResponse},
};

use super::author::Author;
use crate::wire;

/// A parsed append.
#[derive(Clone, Debug)]
pub(super) struct Append {
    pub(super) session_id: SessionId,
    pub(super) author: Author,
    /// At least one.
    pub(super) drafts: Vec<EventDraft>,
    /// Where the log must end.
    pub(super) expected_head: Option<Seq>,
}

/// What an append came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Appended {
    pub(super) first: Seq,
    pub(super) last: LogPoint,
    /// It had been appended before.
    pub(super) repeated: bool,
}

impl Append {
    /// Parses the request of a participant.
    pub(super) fn parse(request: AppendEventsRequest, participant: ParticipantId) -> Result<Self, Refusal> {
        let AppendEventsRequest { session_id, events, expected_head, node_id, generation } = request;
        let session_id = SessionId::parse("session_id", &session_id)?;
        let author = match node_id.as_str() {
            "" if generation != 0 => {
                return Err(FieldViolation::new("generation", "goes with a node_id").into());
            }
            "" => Author::Participant(participant),
            node_id => Author::Node {
                node_id: NodeId::parse("node_id", node_id)?,
                generation: wire::generation("generation", generation)?,
                owner: participant,
            },
        };
        if events.is_empty() || events.len() > limits::EVENTS_PER_APPEND_MAX {
            let rule = format!("must have 1 to {} entries", limits::EVENTS_PER_APPEND_MAX);
            return Err(FieldViolation::new("events", rule).into());
        }
        let mut ids = HashSet::with_capacity(events.len());
        let mut drafts = Vec::with_capacity(events.len());
        for (index, event) in events.into_iter().enumerate() {
            let path = format!("events[{index}]");
            let event = OwnEvent::parse(event).map_err(|violation| violation.within(&path))?;
            let draft = event.into_draft();
            if !ids.insert(draft.id) {
                let rule = "must be unique in the append";
                return Err(FieldViolation::new(format!("{path}.event_id"), rule).into());
            }
            drafts.push(draft);
        }
        let expected_head = expected_head.map(|head| Seq::parse("expected_head", head)).transpose()?;
        Ok(Self { session_id, author, drafts, expected_head })
    }

    /// Bytes of its payloads.
    pub(super) fn bytes(&self) -> usize {
        self.drafts.iter().map(|draft| draft.payload.len()).sum()
    }
}

impl From<Appended> for AppendEventsResponse {
    fn from(appended: Appended) -> Self {
        Self {
            first_seq: appended.first.get(),
            last: Some(appended.last.into()),
            repeated: appended.repeated,
        }
    }
}
