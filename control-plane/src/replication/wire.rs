//! The exchange with a replica as the wire has it: messages in, messages and refusals out.

use contracts::{
    Code, NodeId, RecoveryId, Refusal, Seq, SessionId,
    log::{HistoryId, LogPoint},
    refusal::FieldViolation,
    wire::v1::{
        self, ReplicateRequest, replicate_request::Message as Request,
        replicate_response::Message as Response,
    },
};

use super::engine::{BaseSource, Closing, Heard, Outline, Standing, Violation};
use crate::wire;

/// Who a replica is, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Introduction {
    pub(super) session_id: SessionId,
    pub(super) node_id: NodeId,
    pub(super) generation: i64,
    pub(super) standing: Standing,
}

impl Introduction {
    /// Parses the first message of a stream.
    pub(super) fn parse(request: ReplicateRequest) -> Result<Self, Refusal> {
        let introduction = match request.message {
            Some(Request::Introduction(introduction)) => introduction,
            Some(
                Request::ProbeAnswer(_)
                | Request::Truncated(_)
                | Request::Acknowledgement(_)
                | Request::BaseReceived(_),
            ) => {
                let message = "a stream begins with the introduction. Open it anew";
                return Err(Refusal::new(Code::ReplicationOutOfStep, message));
            }
            None => {
                return Err(FieldViolation::new("introduction", "is required in the first message").into());
            }
        };
        let v1::Introduction { session_id, node_id, generation, history_id, at, base_seq } = introduction;
        let within = |violation: FieldViolation| Refusal::from(violation.within("introduction"));
        let history_id = match history_id.as_str() {
            "" => None,
            id => Some(HistoryId::parse("history_id", id).map_err(within)?),
        };
        let at = at.map(|at| LogPoint::parse(&at)).transpose().map_err(|error| within(error.within("at")))?;
        let base_seq = Seq::parse("base_seq", base_seq).map_err(within)?;
        Ok(Self {
            session_id: SessionId::parse("session_id", &session_id).map_err(within)?,
            node_id: NodeId::parse("node_id", &node_id).map_err(within)?,
            generation: wire::generation("generation", generation).map_err(within)?,
            standing: Standing::new(history_id, at, base_seq)
                .map_err(|error| within(FieldViolation::new("at", format!("cannot be: {error}"))))?,
        })
    }
}

/// Parses a later message.
pub(super) fn heard(request: ReplicateRequest) -> Result<Heard, Refusal> {
    let Some(message) = request.message else {
        return Err(FieldViolation::new("message", "is required").into());
    };
    let heard = match message {
        Request::Introduction(_) => {
            return Err(
                FieldViolation::new("introduction", "must be the first message, and no later one").into()
            );
        }
        Request::ProbeAnswer(answer) => {
            if answer.points.len() > contracts::limits::EVENTS_PER_MESSAGE_MAX {
                let rule = format!("must have at most {} items", contracts::limits::EVENTS_PER_MESSAGE_MAX);
                return Err(FieldViolation::new("probe_answer.points", rule).into());
            }
            let points = answer.points.iter().map(LogPoint::parse).collect::<Result<_, _>>();
            Heard::ProbeAnswered(points.map_err(|violation| violation.within("probe_answer.points"))?)
        }
        Request::Truncated(v1::Truncated { recovery_id, at }) => Heard::Truncated {
            recovery: RecoveryId::parse("recovery_id", &recovery_id)
                .map_err(|violation| violation.within("truncated"))?,
            at: point(at).map_err(|violation| violation.within("truncated"))?,
        },
        Request::Acknowledgement(v1::Acknowledgement { recovery_id, at }) => Heard::Acknowledged {
            recovery: match recovery_id.as_str() {
                "" => None,
                id => Some(
                    RecoveryId::parse("recovery_id", id)
                        .map_err(|violation| violation.within("acknowledgement"))?,
                ),
            },
            at: point(at).map_err(|violation| violation.within("acknowledgement"))?,
        },
        Request::BaseReceived(v1::BaseReceived { recovery_id, at }) => Heard::BaseReceived {
            recovery: RecoveryId::parse("recovery_id", &recovery_id)
                .map_err(|violation| violation.within("base_received"))?,
            at: point(at).map_err(|violation| violation.within("base_received"))?,
        },
    };
    Ok(heard)
}

fn point(at: Option<v1::LogPoint>) -> Result<LogPoint, FieldViolation> {
    let at = at.ok_or_else(|| FieldViolation::new("at", "is required"))?;
    LogPoint::parse(&at).map_err(|violation| violation.within("at"))
}

/// What a replica is told that it gets.
pub(super) fn plan(recovery: RecoveryId, history_id: HistoryId, plan: Outline) -> Response {
    let outcome = match plan {
        Outline::ZeroGap { at } => v1::plan::Outcome::ZeroGap(v1::ZeroGap { at: Some(at.into()) }),
        Outline::CatchUp { truncate_to, from, target } => v1::plan::Outcome::CatchUp(v1::CatchUp {
            truncate_to: truncate_to.map(v1::LogPoint::from),
            from: Some(from.into()),
            target: target.get(),
        }),
        Outline::Rebuild { source, at, base_events, target, reason } => {
            v1::plan::Outcome::Rebuild(v1::Rebuild {
                source: base_source(source).into(),
                at: Some(at.into()),
                base_events,
                target: target.get(),
                reason: reason.to_string(),
            })
        }
    };
    Response::Plan(v1::Plan {
        recovery_id: recovery.to_string(),
        history_id: history_id.to_string(),
        outcome: Some(outcome),
    })
}

/// What a base is, as the wire has it.
pub(super) fn base_source(source: BaseSource) -> v1::BaseSource {
    match source {
        BaseSource::Checkpoint(_) => v1::BaseSource::Checkpoint,
        BaseSource::Full(_) => v1::BaseSource::Full,
    }
}

/// Why a stream ends, as a refusal.
pub(super) fn closing(closing: Closing) -> Refusal {
    match closing {
        Closing::ForeignHistory { theirs, ours } => {
            let mut refusal = Refusal::new(
                Code::ReplicationForeignHistory,
                format!(
                    "the replica follows the history {theirs}, and this log is of {ours}. It was left as it is: find out \
                     which of the two is right"
                ),
            );
            refusal.facts.push(("history_id", ours.to_string()));
            refusal
        }
        Closing::Superseded => Refusal::new(
            Code::ReplicationStreamSuperseded,
            "a newer stream of this replica took over; a replica has one at a time",
        ),
        Closing::OutOfStep(violation) => out_of_step(violation),
        Closing::HandshakeTimeout => anew("it was not told in time what the replica has"),
        Closing::BudgetSpent(spent) => anew(format!("the recovery did not converge: {spent}")),
        Closing::PinExpired => anew("the recovery went on too slowly, and what it held was let go"),
        Closing::EventMissing(seq) => anew(format!("event {seq} is not in the log any more")),
        Closing::PinFailed => anew("what the recovery needs could not be held"),
        Closing::BaseFailed => anew("no base could be made"),
        Closing::OverRetention => {
            anew("the replica held the log for longer than is kept, and needs a rebuild")
        }
        Closing::Removed => anew("the replica is not known any more"),
        Closing::EpochOver => crate::leadership::ended(),
    }
}

/// A message that breaks a rule of the exchange.
pub(super) fn out_of_step(violation: Violation) -> Refusal {
    anew(violation.to_string())
}

fn anew(why: impl std::fmt::Display) -> Refusal {
    let message = format!("{why}. Open a new stream and introduce the replica as it is");
    Refusal::new(Code::ReplicationOutOfStep, message)
}
