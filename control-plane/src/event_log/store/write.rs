//! The one statement that writes to logs.

use std::collections::BTreeMap;

use contracts::{LogPoint, SessionId, log::Event};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{events::place, times::time};
use crate::failure::Fault;

/// Events that go into locked logs, as columns.
#[derive(Debug, Default)]
pub(in crate::event_log) struct Writing {
    sessions: Vec<Uuid>,
    seqs: Vec<i64>,
    ids: Vec<Uuid>,
    epochs: Vec<i64>,
    versions: Vec<String>,
    types: Vec<String>,
    keys: Vec<Option<String>>,
    actors: Vec<String>,
    content_types: Vec<String>,
    payloads: Vec<Vec<u8>>,
    occurred: Vec<OffsetDateTime>,
    recorded: Vec<OffsetDateTime>,
    prev_hashes: Vec<Vec<u8>>,
    hashes: Vec<Vec<u8>>,
    /// Whether it is the last one here of its key.
    is_latest: Vec<bool>,
    latest: BTreeMap<(Uuid, String), usize>,
    heads: BTreeMap<Uuid, (LogPoint, i64)>,
}

impl Writing {
    /// Adds an event: of each session in the order of its numbers.
    pub(in crate::event_log) fn add(&mut self, event: Event) -> Result<(), Fault> {
        let session = event.session_id.0;
        let point = event.point();
        let bytes = i64::try_from(event.payload.len()).unwrap_or(i64::MAX);
        let (_, sum) = self.heads.get(&session).copied().unwrap_or((point, 0));
        self.heads.insert(session, (point, sum + bytes));
        if let Some(key) = &event.key {
            let former = self.latest.insert((session, key.as_str().to_owned()), self.is_latest.len());
            if let Some(former) = former.and_then(|former| self.is_latest.get_mut(former)) {
                *former = false;
            }
        }
        self.occurred.push(time(event.occurred_at)?);
        self.recorded.push(time(event.recorded_at)?);
        self.sessions.push(session);
        self.seqs.push(place(event.seq));
        self.ids.push(event.id.0);
        self.epochs.push(i64::try_from(event.epoch).unwrap_or(i64::MAX));
        self.versions.push(event.envelope_version.as_str().to_owned());
        self.types.push(event.event_type.as_str().to_owned());
        self.is_latest.push(event.key.is_some());
        self.keys.push(event.key.map(|key| key.as_str().to_owned()));
        self.actors.push(event.actor.to_string());
        self.content_types.push(event.content_type.as_str().to_owned());
        self.payloads.push(event.payload);
        self.prev_hashes.push(event.prev_hash.as_bytes().to_vec());
        self.hashes.push(event.hash.as_bytes().to_vec());
        Ok(())
    }

    /// How many events.
    pub(in crate::event_log) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Where each log ends with them.
    pub(in crate::event_log) fn heads(&self) -> impl Iterator<Item = (SessionId, LogPoint)> {
        self.heads.iter().map(|(session, (head, _))| (SessionId(*session), *head))
    }
}

/// Writes events into logs that this transaction holds: events, state, heads and positions in one statement, the last
/// before the commit. Only the position is waited for: all else here is written by nobody but the holder of the logs.
///
/// Each key is looked up by itself (`limit 1`): a plan that was made when the table was small would scan it for ever.
pub(in crate::event_log) async fn write(db: &mut PgConnection, writing: &Writing) -> Result<(), Fault> {
    let logs: Vec<_> = writing.heads.keys().copied().collect();
    let heads: Vec<_> = writing.heads.values().map(|(head, _)| place(head.seq)).collect();
    let head_hashes: Vec<_> = writing.heads.values().map(|(head, _)| head.hash.as_bytes().to_vec()).collect();
    let bytes: Vec<_> = writing.heads.values().map(|(_, bytes)| *bytes).collect();
    sqlx::query!(
        "with entry as materialized (
           select * from unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[],
                                $8::text[], $9::text[], $10::bytea[], $11::timestamptz[], $12::timestamptz[],
                                $13::bytea[], $14::bytea[], $15::boolean[]) with ordinality
             as entry (session_id, seq, event_id, epoch, envelope_version, type, key, actor, content_type, payload,
                       occurred_at, recorded_at, prev_hash, hash, is_latest, ordinal)
         ), fresh as (
           select entry.session_id, count(*) as keys
           from entry left join lateral (
             select true as known from session_state state
             where state.session_id = entry.session_id and state.key = entry.key limit 1) state on true
           where entry.is_latest and state.known is null
           group by entry.session_id
         ), log as (
           update session_logs log
           set head = ended.head, head_hash = ended.head_hash,
               retained_bytes = log.retained_bytes + ended.bytes,
               state_keys = log.state_keys + coalesce(fresh.keys, 0)
           from unnest($16::uuid[], $17::bigint[], $18::bytea[], $19::bigint[])
                  as ended (session_id, head, head_hash, bytes)
                left join fresh on fresh.session_id = ended.session_id
           where log.session_id = ended.session_id
         ), state as (
           insert into session_state
             (session_id, key, seq, event_id, epoch, envelope_version, type, actor, content_type, payload,
              occurred_at, recorded_at, prev_hash, hash)
           select session_id, key, seq, event_id, epoch, envelope_version, type, actor, content_type, payload,
                  occurred_at, recorded_at, prev_hash, hash
           from entry where is_latest
           on conflict (session_id, key) do update set
             seq = excluded.seq, event_id = excluded.event_id, epoch = excluded.epoch,
             envelope_version = excluded.envelope_version, type = excluded.type, actor = excluded.actor,
             content_type = excluded.content_type, payload = excluded.payload, occurred_at = excluded.occurred_at,
             recorded_at = excluded.recorded_at, prev_hash = excluded.prev_hash, hash = excluded.hash
         ), given as (
           update log_position set last = last + $20 returning last - $20 as before
         )
         insert into session_events
           (session_id, seq, position, event_id, epoch, envelope_version, type, key, actor, content_type, payload,
            occurred_at, recorded_at, prev_hash, hash)
         select session_id, seq, given.before + ordinal, event_id, epoch, envelope_version, type, key, actor,
                content_type, payload, occurred_at, recorded_at, prev_hash, hash
         from entry, given",
        &writing.sessions,
        &writing.seqs,
        &writing.ids,
        &writing.epochs,
        &writing.versions,
        &writing.types,
        &writing.keys as &[Option<String>],
        &writing.actors,
        &writing.content_types,
        &writing.payloads,
        &writing.occurred,
        &writing.recorded,
        &writing.prev_hashes,
        &writing.hashes,
        &writing.is_latest,
        &logs,
        &heads,
        &head_hashes,
        &bytes,
        i64::try_from(writing.len()).unwrap_or(i64::MAX)
    )
    .execute(db)
    .await?;
    Ok(())
}
