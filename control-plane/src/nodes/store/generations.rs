//! What is known of generations that callers offer.

use contracts::ParticipantId;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::{
    failure::Fault,
    nodes::standing::{Known, OfferedSlot},
    postgres::stored,
};

struct KnownRow {
    place: i64,
    node_revoked: bool,
    newer_exists: bool,
    active: Option<i64>,
    offered: Option<String>,
}

impl TryFrom<KnownRow> for Known {
    type Error = Fault;

    fn try_from(row: KnownRow) -> Result<Self, Fault> {
        let offered_slot = match row.offered.as_deref() {
            None => None,
            Some("registering" | "online" | "degraded") => Some(OfferedSlot::Active),
            Some("offline") => Some(OfferedSlot::Detached),
            Some("revoked") => Some(OfferedSlot::Revoked),
            Some(other) => return Err(stored::unreadable("runtime_node_attachments", "state", other)),
        };
        let KnownRow { node_revoked, newer_exists, active, .. } = row;
        Ok(Self { node_revoked, active, offered_slot, newer_exists })
    }
}

/// Selects what is known of offers as [`KnownRow`]; the literal makes the offers: rows of place, node and generation.
macro_rules! select_known {
    ($offers:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            KnownRow,
            "with offer (place, node_key, generation) as (" + $offers + r#")
             select
               offer.place as "place!",
               node.revoked_at is not null as "node_revoked!",
               node.generation > offer.generation as "newer_exists!",
               (select attachment.generation from runtime_node_attachments attachment
                where attachment.node_key = node.node_key
                  and attachment.state in ('registering', 'online', 'degraded')) as active,
               (select attachment.state
                from attachment_spans span
                join runtime_node_attachments attachment on attachment.id = span.attachment_id
                where span.node_key = node.node_key and span.generation = offer.generation
                  and (attachment.generation = offer.generation or attachment.state = 'revoked')) as offered
             from offer join runtime_nodes node using (node_key)"#
            $(, $argument)*
        )
    };
}

/// What is known of an offered generation of a node. Under the node's lock the answer stays true.
pub(in crate::nodes) async fn known(
    db: impl PgExecutor<'_>,
    node_key: i64,
    generation: i64,
) -> Result<Known, Fault> {
    select_known!("values (1::bigint, $1::bigint, $2::bigint)", node_key, generation)
        .fetch_one(db)
        .await?
        .try_into()
}

/// What is known of generations that a participant offers for nodes by name, in their order; none of a node that it does
/// not own, or may not run in the session of the slot that the node attached last.
pub(in crate::nodes) async fn known_of_own(
    db: impl PgExecutor<'_>,
    participant: ParticipantId,
    names: &[String],
    generations: &[i64],
) -> Result<Vec<Option<Known>>, Fault> {
    let rows = select_known!(
        "select asked.place, node.node_key, asked.generation
         from unnest($2::text[], $3::bigint[]) with ordinality as asked (node_id, generation, place)
         join runtime_nodes node on node.node_id = asked.node_id and node.participant_id = $1
         where exists (
             select from session_memberships membership
             where membership.participant_id = $1 and membership.state = 'active'
               and membership.role in ('owner', 'collaborator', 'runtime_contributor')
               and membership.session_id = (
                   select attachment.session_id from runtime_node_attachments attachment
                   where attachment.node_key = node.node_key
                   order by attachment.generation desc limit 1))",
        participant.0,
        names,
        generations
    );
    in_place(rows.fetch_all(db).await?, names.len())
}

/// What is known of generations that are offered for nodes by name, each by a participant, in their order; none of a node
/// that its participant does not own.
pub(crate) async fn known_of_owners(
    db: impl PgExecutor<'_>,
    participants: &[Uuid],
    names: &[String],
    generations: &[i64],
) -> Result<Vec<Option<Known>>, Fault> {
    let rows = select_known!(
        "select asked.place, node.node_key, asked.generation
         from unnest($1::uuid[], $2::text[], $3::bigint[]) with ordinality
              as asked (participant_id, node_id, generation, place)
         join runtime_nodes node on node.node_id = asked.node_id and node.participant_id = asked.participant_id",
        participants,
        names,
        generations
    );
    in_place(rows.fetch_all(db).await?, names.len())
}

fn in_place(rows: Vec<KnownRow>, asked: usize) -> Result<Vec<Option<Known>>, Fault> {
    let mut known: Vec<Option<Known>> = vec![None; asked];
    for row in rows {
        // Counted from 1.
        let place = usize::try_from(row.place - 1).ok().and_then(|place| known.get_mut(place));
        if let Some(place) = place {
            *place = Some(row.try_into()?);
        }
    }
    Ok(known)
}
