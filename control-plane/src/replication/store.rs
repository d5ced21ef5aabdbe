//! Every query on replicas.

use contracts::{EventHash, LogPoint, NodeId, Seq, SessionId};
use sqlx::PgExecutor;
use time::OffsetDateTime;

use super::engine::{Record, ReplicaId};
use crate::{failure::Fault, postgres::stored};

/// A replica as its row has it.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) node_id: NodeId,
    /// Generation of the node.
    pub(super) generation: u64,
    pub(super) acknowledged: Option<LogPoint>,
    pub(super) acknowledged_at: Option<OffsetDateTime>,
    pub(super) needs_rebuild: Option<String>,
}

/// The replicas of a session, by the ids of their nodes.
pub(super) async fn replicas(db: impl PgExecutor<'_>, session_id: SessionId) -> Result<Vec<Stored>, Fault> {
    let rows = sqlx::query!(
        r#"select node.node_id, node.generation, acknowledged_seq, acknowledged_hash, acknowledged_at, needs_rebuild
           from replicas join runtime_nodes node using (node_key)
           where session_id = $1 order by node.node_id collate "C""#,
        session_id.0
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let unreadable = || stored::unreadable("replicas", "node_id", &row.node_id);
            let seq = row.acknowledged_seq.map(|seq| u64::try_from(seq).ok().and_then(Seq::new));
            let hash =
                row.acknowledged_hash.as_deref().map(|hash| EventHash::parse("acknowledged_hash", hash));
            Ok(Stored {
                node_id: NodeId::parse("node_id", &row.node_id).map_err(|_| unreadable())?,
                generation: row.generation.unsigned_abs(),
                acknowledged: match (seq, hash) {
                    (Some(Some(seq)), Some(Ok(hash))) => Some(LogPoint { seq, hash }),
                    (None, None) => None,
                    (Some(_), _) | (_, Some(_)) => return Err(unreadable()),
                },
                acknowledged_at: row.acknowledged_at,
                needs_rebuild: row.needs_rebuild,
            })
        })
        .collect()
}

/// Writes down what is known of replicas. One whose node was forgotten meanwhile is left out.
pub(super) async fn record(db: impl PgExecutor<'_>, records: &[(ReplicaId, Record)]) -> Result<(), Fault> {
    let sessions: Vec<_> = records.iter().map(|(replica, _)| replica.session_id.0).collect();
    let nodes: Vec<_> = records.iter().map(|(replica, _)| replica.node_id.as_str().to_owned()).collect();
    let (mut seqs, mut hashes, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    for (_, record) in records {
        let (at, reason) = match record {
            Record::Acknowledged(at) => (Some(*at), None),
            Record::NeedsRebuild(reason) => (None, Some(reason.to_string())),
        };
        seqs.push(at.map(|at| i64::try_from(at.seq.get()).unwrap_or(i64::MAX)));
        hashes.push(at.map(|at| at.hash.as_bytes().to_vec()));
        reasons.push(reason);
    }
    sqlx::query!(
        "insert into replicas as replica
           (session_id, node_key, acknowledged_seq, acknowledged_hash, acknowledged_at, needs_rebuild)
         select known.session_id, node.node_key, known.seq, known.hash,
                case when known.seq is not null then clock_timestamp() end, known.reason
         from unnest($1::uuid[], $2::text[], $3::bigint[], $4::bytea[], $5::text[])
                as known (session_id, node_id, seq, hash, reason)
              join runtime_nodes node on node.node_id = known.node_id
         order by known.session_id, node.node_key
         on conflict (session_id, node_key) do update set
           acknowledged_seq = coalesce(excluded.acknowledged_seq, replica.acknowledged_seq),
           acknowledged_hash = coalesce(excluded.acknowledged_hash, replica.acknowledged_hash),
           acknowledged_at = coalesce(excluded.acknowledged_at, replica.acknowledged_at),
           needs_rebuild = excluded.needs_rebuild",
        &sessions,
        &nodes,
        &seqs as &[Option<i64>],
        &hashes as &[Option<Vec<u8>>],
        &reasons as &[Option<String>]
    )
    .execute(db)
    .await?;
    Ok(())
}
