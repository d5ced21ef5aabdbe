//! Messages of a replication stream, parsed once. Whatever comes out of here is well-formed; whether it fits is for
//! the machine to say.

use std::fmt;

use contracts::{
    HistoryId, LogPoint, NodeId, RecoveryId, Seq, SessionId,
    limits::EVENTS_PER_MESSAGE_MAX,
    log::{BaseDigest, Event},
    refusal::FieldViolation,
    wire::v1::{self, plan, replicate_request as request, replicate_response as response},
};

/// A message of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Probe(Vec<Seq>),
    Plan(Plan),
    BaseChunk { recovery: RecoveryId, ordinal: u64, events: Vec<Event> },
    BaseEnd { recovery: RecoveryId, at: LogPoint, base_events: u64, digest: BaseDigest },
    Events { recovery: Option<RecoveryId>, events: Vec<Event>, head: Seq },
    Completed { recovery: RecoveryId, at: LogPoint },
    Bookmark { head: LogPoint },
}

/// What the replica needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) recovery: RecoveryId,
    pub(crate) history: HistoryId,
    pub(crate) need: Need,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Nothing { at: LogPoint },
    Events { truncate_to: Option<LogPoint>, from: LogPoint, target: Seq },
    Base { source: Source, at: LogPoint, events: u64, target: Seq, reason: String },
}

/// What a base is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A stored state of the session, which was verified.
    Checkpoint,
    /// The state of the session as it is.
    Full,
}

/// A message of the replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    ProbeAnswer(Vec<LogPoint>),
    Truncated { recovery: RecoveryId, at: LogPoint },
    Acknowledgement { recovery: Option<RecoveryId>, at: LogPoint },
    BaseReceived { recovery: RecoveryId, at: LogPoint },
}

/// Characters of a reason that are kept.
const REASON_CHARS_MAX: usize = 512;

impl Message {
    /// Parses a message about the log of `session_id`.
    ///
    /// # Errors
    ///
    /// The violation names the field within the message.
    pub(crate) fn parse(session_id: SessionId, wire: v1::ReplicateResponse) -> Result<Self, FieldViolation> {
        match wire.message.ok_or_else(|| required("message"))? {
            response::Message::Probe(v1::Probe { seqs }) => probe(seqs),
            response::Message::Plan(wire) => Plan::parse(wire).map(Self::Plan),
            response::Message::BaseChunk(v1::BaseChunk { recovery_id, ordinal, events }) => {
                let recovery = RecoveryId::parse("recovery_id", &recovery_id)?;
                Ok(Self::BaseChunk { recovery, ordinal, events: parse_events(session_id, events)? })
            }
            response::Message::BaseEnd(v1::BaseEnd { recovery_id, at, base_events, digest }) => {
                Ok(Self::BaseEnd {
                    recovery: RecoveryId::parse("recovery_id", &recovery_id)?,
                    at: point("at", at)?,
                    base_events,
                    digest: BaseDigest::parse("digest", &digest)?,
                })
            }
            response::Message::Events(v1::EventBatch { recovery_id, events, head }) => {
                let is_live = recovery_id.is_empty();
                let recovery =
                    (!is_live).then(|| RecoveryId::parse("recovery_id", &recovery_id)).transpose()?;
                let events = parse_events(session_id, events)?;
                Ok(Self::Events { recovery, events, head: Seq::parse("head", head)? })
            }
            response::Message::Completed(v1::Completed { recovery_id, at }) => Ok(Self::Completed {
                recovery: RecoveryId::parse("recovery_id", &recovery_id)?,
                at: point("at", at)?,
            }),
            response::Message::Bookmark(v1::Bookmark { head }) => {
                Ok(Self::Bookmark { head: point("head", head)? })
            }
        }
    }
}

impl Plan {
    fn parse(wire: v1::Plan) -> Result<Self, FieldViolation> {
        let need = match wire.outcome.ok_or_else(|| required("outcome"))? {
            plan::Outcome::ZeroGap(v1::ZeroGap { at }) => Need::Nothing { at: point("at", at)? },
            plan::Outcome::CatchUp(v1::CatchUp { truncate_to, from, target }) => Need::Events {
                truncate_to: truncate_to.map(|to| point("truncate_to", Some(to))).transpose()?,
                from: point("from", from)?,
                target: Seq::parse("target", target)?,
            },
            plan::Outcome::Rebuild(wire) => {
                let source = match wire.source() {
                    v1::BaseSource::Checkpoint => Source::Checkpoint,
                    v1::BaseSource::Full => Source::Full,
                    v1::BaseSource::Unspecified => return Err(required("source")),
                };
                let v1::Rebuild { source: _, at, base_events, target, reason } = wire;
                Need::Base {
                    source,
                    at: point("at", at)?,
                    events: base_events,
                    target: Seq::parse("target", target)?,
                    reason: reason.chars().take(REASON_CHARS_MAX).collect(),
                }
            }
        };
        Ok(Self {
            recovery: RecoveryId::parse("recovery_id", &wire.recovery_id)?,
            history: HistoryId::parse("history_id", &wire.history_id)?,
            need,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checkpoint => "checkpoint",
            Self::Full => "full state",
        })
    }
}

impl From<Reply> for v1::ReplicateRequest {
    fn from(reply: Reply) -> Self {
        let message = match reply {
            Reply::ProbeAnswer(points) => {
                let points = points.into_iter().map(v1::LogPoint::from).collect();
                request::Message::ProbeAnswer(v1::ProbeAnswer { points })
            }
            Reply::Truncated { recovery, at } => request::Message::Truncated(v1::Truncated {
                recovery_id: recovery.to_string(),
                at: Some(at.into()),
            }),
            Reply::Acknowledgement { recovery, at } => {
                let recovery_id = recovery.map(|recovery| recovery.to_string()).unwrap_or_default();
                request::Message::Acknowledgement(v1::Acknowledgement { recovery_id, at: Some(at.into()) })
            }
            Reply::BaseReceived { recovery, at } => request::Message::BaseReceived(v1::BaseReceived {
                recovery_id: recovery.to_string(),
                at: Some(at.into()),
            }),
        };
        Self { message: Some(message) }
    }
}

/// Who a replica is: what its introduction says beside where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) session_id: SessionId,
    pub(crate) node_id: NodeId,
    pub(crate) generation: u64,
}

/// The first message of a stream.
pub(crate) fn introduction(
    identity: &Identity,
    history: Option<HistoryId>,
    base: Seq,
    end: LogPoint,
) -> v1::ReplicateRequest {
    let introduction = v1::Introduction {
        session_id: identity.session_id.to_string(),
        node_id: identity.node_id.to_string(),
        generation: identity.generation,
        history_id: history.map(|history| history.to_string()).unwrap_or_default(),
        at: (end.seq > Seq::ORIGIN).then(|| end.into()),
        base_seq: base.get(),
    };
    v1::ReplicateRequest { message: Some(request::Message::Introduction(introduction)) }
}

fn required(field: &'static str) -> FieldViolation {
    FieldViolation::new(field, "is required")
}

fn point(field: &'static str, wire: Option<v1::LogPoint>) -> Result<LogPoint, FieldViolation> {
    let wire = wire.ok_or_else(|| required(field))?;
    LogPoint::parse(&wire).map_err(|violation| violation.within(field))
}

fn probe(seqs: Vec<u64>) -> Result<Message, FieldViolation> {
    bounded("seqs", seqs.len())?;
    let seqs = seqs.into_iter().map(|seq| Seq::parse("seqs", seq)).collect::<Result<Vec<_>, _>>()?;
    if !seqs.is_sorted_by(|one, next| one < next) {
        return Err(FieldViolation::new("seqs", "must rise"));
    }
    Ok(Message::Probe(seqs))
}

fn parse_events(session_id: SessionId, events: Vec<v1::Event>) -> Result<Vec<Event>, FieldViolation> {
    bounded("events", events.len())?;
    let parse = |event| Event::parse(session_id, event).map_err(|violation| violation.within("events"));
    events.into_iter().map(parse).collect()
}

/// None is as wrong as too many: it would be a message that says nothing.
fn bounded(field: &'static str, count: usize) -> Result<(), FieldViolation> {
    if (1..=EVENTS_PER_MESSAGE_MAX).contains(&count) {
        return Ok(());
    }
    Err(FieldViolation::new(field, format!("must have 1 to {EVENTS_PER_MESSAGE_MAX} entries, not {count}")))
}
