//! What appends are judged by, as it stands under the locks of their logs.

use contracts::EventEnvelopeVersion;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    event_log::author::Author,
    failure::Fault,
    nodes::{self, standing::Known},
    postgres::stored,
    sessions::{
        floor::Floor,
        session::{Role, SessionState},
    },
};

/// What is known of a session and of who appends to it.
#[derive(Clone, Debug)]
pub(in crate::event_log) struct Judged {
    /// Where the session stands; none when there is none.
    pub(in crate::event_log) session: Option<SessionState>,
    pub(in crate::event_log) floor: Floor,
    /// The role of the author's participant, if it is an active member.
    pub(in crate::event_log) role: Option<Role>,
    /// The node that appends, if its owner calls; none for a participant.
    pub(in crate::event_log) node: Option<JudgedNode>,
}

/// What is known of a node that appends, and of its slot in the session.
#[derive(Clone, Debug)]
pub(in crate::event_log) struct JudgedNode {
    pub(in crate::event_log) known: Known,
    pub(in crate::event_log) is_revoked_here: bool,
    /// The version of the generation that is offered, if that one holds the slot in this session.
    pub(in crate::event_log) holds_with: Option<EventEnvelopeVersion>,
}

/// Reads what appends by these authors to these sessions are judged by, in their order.
pub(in crate::event_log) async fn judged(
    db: &mut PgConnection,
    sessions: &[Uuid],
    authors: &[&Author],
) -> Result<Vec<Judged>, Fault> {
    let participants: Vec<_> = authors.iter().map(|author| author.participant().0).collect();
    // No node has an empty name, nor the generation 0.
    let names: Vec<_> = authors.iter().map(|author| author.node_name().to_owned()).collect();
    let generations: Vec<_> = authors.iter().map(|author| author.generation()).collect();
    let rows = sqlx::query!(
        r#"select session.state as "state?", session.min_client_version as "floor?", membership.role as "role?",
                  slot.state as "slot_state?", slot.client_version as "client_version?",
                  coalesce(slot.generation = asked.generation, false) as "is_generation!"
           from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[]) with ordinality
                as asked (session_id, participant_id, node_id, generation, place)
           left join sessions session on session.id = asked.session_id
           left join session_memberships membership
             on membership.session_id = asked.session_id and membership.participant_id = asked.participant_id
             and membership.state = 'active'
           left join runtime_nodes node on node.node_id = asked.node_id
           left join runtime_node_attachments slot
             on slot.node_key = node.node_key and slot.session_id = asked.session_id
           order by asked.place"#,
        sessions,
        &participants,
        &names,
        &generations
    )
    .fetch_all(&mut *db)
    .await?;
    let mut known = known_nodes(db, authors, &participants, &names, &generations).await?.into_iter();
    rows.into_iter()
        .map(|row| {
            let known = known.next().flatten();
            let is_active = row.slot_state.as_deref().is_some_and(is_active);
            let version = row.client_version.filter(|_| is_active && row.is_generation);
            let node = known
                .map(|known| {
                    Ok::<_, Fault>(JudgedNode {
                        known,
                        is_revoked_here: row.slot_state.as_deref() == Some("revoked"),
                        holds_with: version.map(|version| client_version(&version)).transpose()?,
                    })
                })
                .transpose()?;
            Ok(Judged {
                session: row.state.map(|state| SessionState::from_stored(&state)).transpose()?,
                floor: Floor::from_stored(row.floor.as_deref()),
                role: row.role.map(|role| Role::from_stored(&role)).transpose()?,
                node,
            })
        })
        .collect()
}

async fn known_nodes(
    db: &mut PgConnection,
    authors: &[&Author],
    participants: &[Uuid],
    names: &[String],
    generations: &[i64],
) -> Result<Vec<Option<Known>>, Fault> {
    if authors.iter().all(|author| author.node_name().is_empty()) {
        return Ok(vec![None; authors.len()]);
    }
    nodes::store::known_of_owners(db, participants, names, generations).await
}

fn is_active(state: &str) -> bool {
    matches!(state, "registering" | "online" | "degraded")
}

fn client_version(stored: &str) -> Result<EventEnvelopeVersion, Fault> {
    stored.parse().map_err(|_| stored::unreadable("runtime_node_attachments", "client_version", stored))
}
