//! Whether an append is new, a repeat, or neither. No I/O, no clock.

use contracts::{
    EventId, LogPoint, Refusal, Seq, SessionId,
    log::{Actor, Event, EventDraft},
};

use super::{refusals, store::Placed};

/// What an append is to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Novelty {
    /// None of its events is there.
    New,
    /// It was appended before, and answered with these.
    Repeat {
        /// Number of its first event.
        first: Seq,
        /// Its last event.
        last: LogPoint,
    },
}

/// Judges an append by where its events stand already.
///
/// # Errors
///
/// Some are there and some not, or one says something else, or they do not follow each other as here.
pub(super) fn novelty(
    session_id: SessionId,
    actor: &Actor,
    drafts: &[EventDraft],
    placed: impl Fn(EventId) -> Option<Placed>,
) -> Result<Novelty, Refusal> {
    let found: Vec<_> = drafts.iter().map(|draft| (draft, placed(draft.id))).collect();
    let Some((known, at)) = found.iter().find_map(|(draft, placed)| Some((draft.id, (*placed)?.at))) else {
        return Ok(Novelty::New);
    };
    let mut first = None;
    let mut last: Option<LogPoint> = None;
    for (draft, placed) in &found {
        let Some(placed) = placed else { return Err(refusals::id_conflict(known, at.seq)) };
        let follows = last.is_none_or(|last| last.seq.next() == Some(placed.at.seq));
        if !follows || !says(session_id, actor, draft, placed) {
            return Err(refusals::id_conflict(draft.id, placed.at.seq));
        }
        first = first.or(Some(placed.at.seq));
        last = Some(placed.at);
    }
    match (first, last) {
        (Some(first), Some(last)) => Ok(Novelty::Repeat { first, last }),
        _ => Ok(Novelty::New),
    }
}

/// Whether the draft is what became the event there: then it has that hash. A draft without a time repeats any.
fn says(session_id: SessionId, actor: &Actor, draft: &EventDraft, placed: &Placed) -> bool {
    let EventDraft { id, envelope_version, event_type, key, content_type, payload, occurred_at } =
        draft.clone();
    Event {
        session_id,
        seq: placed.at.seq,
        id,
        epoch: placed.epoch,
        envelope_version,
        event_type,
        key,
        actor: actor.clone(),
        content_type,
        payload,
        occurred_at: occurred_at.unwrap_or(placed.occurred_at),
        recorded_at: placed.recorded_at,
        prev_hash: placed.prev_hash,
        hash: placed.at.hash,
    }
    .is_what_its_hash_says()
}

impl From<&Event> for Placed {
    fn from(event: &Event) -> Self {
        Self {
            at: event.point(),
            prev_hash: event.prev_hash,
            epoch: event.epoch,
            occurred_at: event.occurred_at,
            recorded_at: event.recorded_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use contracts::{
        EventEnvelopeVersion, ParticipantId,
        log::{Append, ContentType, EventType},
    };
    use uuid::Uuid;

    use super::*;

    const SESSION: SessionId = SessionId(Uuid::from_u128(1));
    const APPEND: Append = Append { session_id: SESSION, epoch: 3, recorded_at: 7 };

    fn draft(id: u128) -> EventDraft {
        EventDraft {
            id: EventId(Uuid::from_u128(id)),
            envelope_version: EventEnvelopeVersion::current(),
            event_type: EventType::parse("type", "task.finished").unwrap(),
            key: None,
            content_type: ContentType::json(),
            payload: b"{}".to_vec(),
            occurred_at: None,
        }
    }

    /// A log of the events 1, 2 and 3 by the server.
    fn log() -> HashMap<EventId, Placed> {
        let mut head = LogPoint::origin(SESSION);
        let mut placed = HashMap::new();
        for id in 1..=3 {
            let event = Event::append(head, APPEND, Actor::Server, draft(id)).unwrap();
            head = event.point();
            placed.insert(event.id, Placed::from(&event));
        }
        placed
    }

    fn judged(actor: &Actor, drafts: &[EventDraft]) -> Result<Novelty, String> {
        let log = log();
        let judged = novelty(SESSION, actor, drafts, |id| log.get(&id).copied());
        judged.map_err(|refusal| refusal.facts[0].1.clone())
    }

    #[track_caller]
    fn check(ids: &[u128], expected: Result<Option<(u64, u64)>, u128>) {
        let drafts: Vec<_> = ids.iter().map(|id| draft(*id)).collect();
        let seen = judged(&Actor::Server, &drafts).map(|novelty| match novelty {
            Novelty::New => None,
            Novelty::Repeat { first, last } => Some((first.get(), last.seq.get())),
        });
        assert_eq!(seen, expected.map_err(|id| Uuid::from_u128(id).to_string()), "{ids:?}");
    }

    #[test]
    fn a_repeat_is_of_the_whole_append_in_its_order() {
        check(&[4, 5], Ok(None));
        check(&[1, 2, 3], Ok(Some((1, 3))));
        check(&[2], Ok(Some((2, 2))));
        check(&[2, 3], Ok(Some((2, 3))));
        check(&[3, 4], Err(3));
        check(&[4, 3], Err(3));
        check(&[1, 3], Err(3));
        check(&[2, 1], Err(1));
    }

    #[test]
    fn whoever_says_something_else_under_a_known_id_is_in_conflict() {
        let conflict = Err(Uuid::from_u128(1).to_string());
        let other = |touch: fn(&mut EventDraft)| {
            let mut draft = draft(1);
            touch(&mut draft);
            draft
        };
        for draft in [
            other(|draft| draft.payload.push(b' ')),
            other(|draft| draft.key = Some(contracts::log::EventKey::parse("key", "k").unwrap())),
            other(|draft| draft.envelope_version = "1.1".parse().unwrap()),
            other(|draft| draft.occurred_at = Some(8)),
        ] {
            assert_eq!(judged(&Actor::Server, &[draft]), conflict);
        }
        let somebody = Actor::Participant(ParticipantId(Uuid::from_u128(5)));
        assert_eq!(judged(&somebody, &[draft(1)]), conflict);
        // The time that it was given then is its time.
        assert!(judged(&Actor::Server, &[other(|draft| draft.occurred_at = Some(7))]).is_ok());
    }
}
