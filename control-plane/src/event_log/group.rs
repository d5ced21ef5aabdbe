//! One transaction of many appends.

use std::collections::{BTreeSet, HashMap, HashSet};

use contracts::{
    EventId, LogPoint, Refusal, Seq, SessionId, limits,
    log::{self, Event, EventDraft},
};
use sqlx::{Connection, PgConnection};

use super::{
    append::{Append, Appended},
    heads::Recorded,
    refusals,
    repeat::{Novelty, novelty},
    store::{self, Judged, LockedLog, Placed, Writing},
};
use crate::{
    failure::{Failure, Fault},
    leadership::Leader,
};

/// What a writer does about a log that somebody else holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Puts its appends off.
    None,
    /// Waits for it. Makes a log that is not there, too; it goes again with a transaction that writes nothing.
    Waits,
}

/// What became of an append.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is committed, was before, or is refused.
    Decided(Result<Appended, Refusal>),
    /// Somebody else holds its log, or there is none yet.
    PutOff,
}

/// What a transaction came to.
#[derive(Debug)]
pub(super) struct Group {
    /// One for each append, in their order.
    pub(super) fates: Vec<Fate>,
    pub(super) recorded: Recorded,
    /// Events that were written.
    pub(super) events: usize,
}

/// Decides appends and writes them, in one transaction.
pub(super) async fn write_group(
    leader: &Leader,
    appends: &[&Append],
    patience: Patience,
) -> Result<Group, Fault> {
    let ids: BTreeSet<_> = appends.iter().map(|append| append.session_id.0).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    let mut connection = leader.log_db().acquire().await?;
    let mut tx = connection.begin().await?;
    let locked = match patience {
        Patience::None => store::lock_free(&mut tx, &ids).await?,
        Patience::Waits => super::record::lock(&mut tx, &ids).await?,
    };
    // Only now, so that it is read as it stands under the locks.
    let judged = judge(&mut tx, appends).await?;
    let mut deciding = Deciding::new(leader, &mut tx, locked, appends).await?;
    let mut fates = Vec::with_capacity(appends.len());
    for (append, judged) in appends.iter().zip(&judged) {
        fates.push(deciding.decide(append, judged)?);
    }
    let writing = deciding.writing;
    if writing.len() == 0 {
        tx.rollback().await?;
    } else {
        store::write(&mut tx, &writing).await?;
        tx.commit().await.map_err(Fault::Commit)?;
    }
    Ok(Group { fates, recorded: Recorded(writing.heads().collect()), events: writing.len() })
}

async fn judge(tx: &mut PgConnection, appends: &[&Append]) -> Result<Vec<Judged>, Fault> {
    let sessions: Vec<_> = appends.iter().map(|append| append.session_id.0).collect();
    let authors: Vec<_> = appends.iter().map(|append| &append.author).collect();
    store::judged(tx, &sessions, &authors).await
}

/// The logs that are held, and what is going to be in them.
struct Deciding<'a> {
    leader: &'a Leader,
    recorded_at: i64,
    logs: HashMap<SessionId, OpenLog>,
    placed: HashMap<(SessionId, EventId), Placed>,
    writing: Writing,
}

/// A log that is held.
struct OpenLog {
    head: LogPoint,
    keys: Keys,
}

/// Room for further keys in the state of a session.
enum Keys {
    /// More than all that is offered could take.
    Ample,
    /// So much less than that, that they are counted.
    Counted {
        /// Those of the offered ones that are there.
        known: HashSet<String>,
        /// All that are there.
        count: u64,
    },
}

impl<'a> Deciding<'a> {
    async fn new(
        leader: &'a Leader,
        tx: &mut PgConnection,
        locked: Vec<LockedLog>,
        appends: &[&Append],
    ) -> Result<Self, Fault> {
        let recorded_at = locked.iter().map(|log| log.locked_at).max().unwrap_or_default();
        let mut logs = HashMap::with_capacity(locked.len());
        for log in locked {
            let of_log = appends.iter().filter(|append| append.session_id == log.session_id);
            let keys = Keys::of(tx, &log, of_log.flat_map(|append| &append.drafts)).await?;
            logs.insert(log.session_id, OpenLog { head: log.head, keys });
        }
        let held = appends.iter().filter(|append| logs.contains_key(&append.session_id));
        let (sessions, ids): (Vec<_>, Vec<_>) = held
            .flat_map(|append| append.drafts.iter().map(|draft| (append.session_id.0, draft.id.0)))
            .unzip();
        let placed = store::placed(tx, &sessions, &ids).await?.into_iter().collect();
        Ok(Self { leader, recorded_at, logs, placed, writing: Writing::default() })
    }

    /// Decides an append: whoever may append is told of a repeat first, and then of what is against something new.
    fn decide(&mut self, append: &Append, judged: &Judged) -> Result<Fate, Fault> {
        if let Err(refusal) = append.author.check_standing(judged) {
            return Ok(Fate::Decided(Err(refusal)));
        }
        let Some(log) = self.logs.get_mut(&append.session_id) else { return Ok(Fate::PutOff) };
        let placed = |id| self.placed.get(&(append.session_id, id)).copied();
        let actor = append.author.actor();
        let novelty = novelty(append.session_id, &actor, &append.drafts, placed);
        if let Ok(Novelty::Repeat { first, last }) = novelty {
            return Ok(Fate::Decided(Ok(Appended { first, last, repeated: true })));
        }
        if let Err(failure) = check(self.leader, append, judged, log.head, novelty) {
            return Ok(Fate::Decided(Err(failure.into())));
        }
        let Some(first) = place_after(log.head.seq, append.drafts.len()) else {
            return Ok(Fate::Decided(Err(refusals::log_full())));
        };
        if let Err(refusal) = log.keys.take(&append.drafts) {
            return Ok(Fate::Decided(Err(refusal)));
        }
        let to = log::Append {
            session_id: append.session_id,
            epoch: self.leader.epoch().unsigned_abs(),
            recorded_at: self.recorded_at,
        };
        for draft in append.drafts.iter().cloned() {
            // There is a place for each.
            let Some(event) = Event::append(log.head, to, actor.clone(), draft) else { break };
            log.head = event.point();
            self.placed.insert((append.session_id, event.id), Placed::from(&event));
            self.writing.add(event)?;
        }
        Ok(Fate::Decided(Ok(Appended { first, last: log.head, repeated: false })))
    }
}

/// What is against something new: the session, the floor, conflict, the head.
fn check(
    leader: &Leader,
    append: &Append,
    judged: &Judged,
    head: LogPoint,
    novelty: Result<Novelty, Refusal>,
) -> Result<(), Failure> {
    append.author.check_session(judged)?;
    novelty?;
    if let Some(expected) = append.expected_head.filter(|expected| *expected != head.seq) {
        return Err(refusals::head_mismatch(expected, head).into());
    }
    leader.log().check_whole(append.session_id)?;
    Ok(())
}

/// Number of the first of so many events after this one; none when there are not so many numbers left.
fn place_after(head: Seq, events: usize) -> Option<Seq> {
    head.plus(u64::try_from(events).ok()?)?;
    head.next()
}

impl Keys {
    async fn of(
        tx: &mut PgConnection,
        log: &LockedLog,
        drafts: impl Iterator<Item = &EventDraft>,
    ) -> Result<Self, Fault> {
        let offered: HashSet<_> = keys_of(drafts).collect();
        if log.state_keys + offered.len() as u64 <= limits::STATE_KEYS_PER_SESSION_MAX {
            return Ok(Self::Ample);
        }
        let offered: Vec<_> = offered.into_iter().map(str::to_owned).collect();
        let known = store::keys_among(tx, log.session_id, &offered).await?.into_iter().collect();
        Ok(Self::Counted { known, count: log.state_keys })
    }

    /// Takes what these events need, or nothing.
    fn take<'b>(&mut self, drafts: impl IntoIterator<Item = &'b EventDraft>) -> Result<(), Refusal> {
        let Self::Counted { known, count } = self else { return Ok(()) };
        let fresh: HashSet<_> =
            keys_of(drafts).filter(|key| !known.contains(*key)).map(str::to_owned).collect();
        let wanted = *count + fresh.len() as u64;
        // Where it is full, or overfull by what the control plane tells, known keys still get in.
        if !fresh.is_empty() && wanted > limits::STATE_KEYS_PER_SESSION_MAX {
            return Err(refusals::state_full(*count));
        }
        *count = wanted;
        known.extend(fresh);
        Ok(())
    }
}

fn keys_of<'b>(drafts: impl IntoIterator<Item = &'b EventDraft>) -> impl Iterator<Item = &'b str> {
    drafts.into_iter().filter_map(|draft| Some(draft.key.as_ref()?.as_str()))
}

#[cfg(test)]
mod tests {
    use contracts::{
        EventEnvelopeVersion,
        log::{ContentType, EventKey, EventType},
    };
    use uuid::Uuid;

    use super::*;

    fn draft(key: &str) -> EventDraft {
        EventDraft {
            id: EventId(Uuid::now_v7()),
            envelope_version: EventEnvelopeVersion::current(),
            event_type: EventType::parse("type", "a.b").unwrap(),
            key: EventKey::parse("key", key).ok(),
            content_type: ContentType::json(),
            payload: Vec::new(),
            occurred_at: None,
        }
    }

    #[test]
    fn keys_are_counted_to_the_last_and_a_refused_append_takes_none() {
        let max = limits::STATE_KEYS_PER_SESSION_MAX;
        let mut keys = Keys::Counted { known: HashSet::from(["old".to_owned()]), count: max - 1 };
        let refused = keys.take(&[draft("new"), draft("newer")]).unwrap_err();
        let facts: Vec<_> = refused.facts.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(facts, ["state_keys_per_session", "100000", "99999"]);
        keys.take(&[draft("new"), draft("new"), draft("old"), draft("")]).unwrap();
        assert!(keys.take(&[draft("newest")]).is_err());
        keys.take(&[draft("new"), draft("old"), draft("")]).unwrap();
        let mut overfull = Keys::Counted { known: HashSet::from(["old".to_owned()]), count: max + 7 };
        overfull.take(&[draft("old")]).unwrap();
        assert!(overfull.take(&[draft("new")]).is_err());
    }

    #[test]
    fn an_append_fits_as_a_whole_or_not_at_all() {
        let near = Seq::new(Seq::MAX.get() - 2).unwrap();
        assert_eq!(place_after(near, 2), near.next());
        assert_eq!(place_after(near, 3), None);
        assert_eq!(place_after(Seq::ORIGIN, 1), Seq::new(1));
    }
}
