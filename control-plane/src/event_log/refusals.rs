//! What appends and reads are refused with, in words that tell the caller what to do.

use std::time::Duration;

use contracts::{Code, EventId, LogPoint, Refusal, Seq, limits};

/// How long an append that found the queue full should wait.
const FULL_RETRY_DELAY: Duration = Duration::from_secs(1);

pub(super) fn session_not_active(state: &str) -> Refusal {
    Refusal::new(
        Code::SessionNotActive,
        format!(
            "the session is {state}, and its log ends here. Append to an active one; this one can be read"
        ),
    )
    .with_fact("state", state)
}

pub(super) fn id_conflict(id: EventId, at: Seq) -> Refusal {
    Refusal::new(
        Code::LogEventIdConflict,
        format!(
            "event {id} is in the log, at {at}, and this is not a repeat of the whole append that brought it. Give \
             each event an id of its own, and repeat an append as it was"
        ),
    )
    .with_fact("event_id", id.to_string())
    .with_fact("seq", at.to_string())
}

pub(super) fn head_mismatch(expected: Seq, head: LogPoint) -> Refusal {
    Refusal::new(
        Code::LogHeadMismatch,
        format!("the log ends at {}, not at {expected}. Read what came, and decide anew", head.seq),
    )
    .with_fact("head", head.seq.to_string())
    .with_fact("head_hash", head.hash.to_string())
}

pub(super) fn events_pruned(after: Seq, tail: LogPoint) -> Refusal {
    Refusal::new(
        Code::LogEventsPruned,
        format!(
            "events after {after} were pruned: there are those after {}. Read from 0 to begin there",
            tail.seq
        ),
    )
    .with_fact("tail", tail.seq.to_string())
}

pub(super) fn state_full(current: u64) -> Refusal {
    let hint = "Append under keys that there are, or without a key";
    Refusal::limit_exceeded("state_keys_per_session", limits::STATE_KEYS_PER_SESSION_MAX, current, hint)
}

pub(super) fn log_full() -> Refusal {
    let hint = "No number is left. Append to another session";
    Refusal::limit_exceeded("events_per_session", Seq::MAX.get(), Seq::MAX.get(), hint)
}

pub(super) fn queue_full(resource: &'static str, limit: u64, current: u64) -> Refusal {
    let hint = "The database is slower than the appends. Append again after the delay";
    Refusal::limit_exceeded(resource, limit, current, hint).with_retry_delay(FULL_RETRY_DELAY)
}
