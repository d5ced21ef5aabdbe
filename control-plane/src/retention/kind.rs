//! The kinds of things that are forgotten, and what each takes.

use std::time::Duration;

use super::CLOCK_LEEWAY;
use crate::{
    audit, auth,
    failure::Fault,
    leadership::Leader,
    nodes,
    presence::{self, service_time::instant_before},
    settings::{Keep, Retention},
};

/// How long the answer to a request is kept for a repeat of it. A client that repeats does so within seconds.
const ANSWERS_KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// One kind of things that are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nodes that were not heard for long, with their slots and spans.
    OfflineNodes,
    /// Spans that ended long ago.
    Spans,
    /// Rows of the audit.
    AuditEntries,
    /// Revocations of tokens that would be over by now.
    RevokedTokens,
    /// Tokens that are over.
    IssuedTokens,
    /// Join tokens that are over.
    JoinTokens,
    /// Answers to requests.
    RequestAnswers,
}

impl Kind {
    /// Every kind, in the order in which a pass takes them.
    pub(super) const ALL: [Self; 7] = [
        Self::OfflineNodes,
        Self::Spans,
        Self::AuditEntries,
        Self::RevokedTokens,
        Self::IssuedTokens,
        Self::JoinTokens,
        Self::RequestAnswers,
    ];

    /// The word in logs and metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::OfflineNodes => "offline_nodes",
            Self::Spans => "spans",
            Self::AuditEntries => "audit_entries",
            Self::RevokedTokens => "revoked_tokens",
            Self::IssuedTokens => "issued_tokens",
            Self::JoinTokens => "join_tokens",
            Self::RequestAnswers => "request_answers",
        }
    }

    /// Deletes what is no longer kept, at most `limit` rows; gives how many.
    pub(super) async fn forget(
        self,
        leader: &Leader,
        retention: &Retention,
        limit: i64,
    ) -> Result<u64, Fault> {
        let db = leader.db();
        match self {
            Self::OfflineNodes => match retention.offline_nodes {
                Keep::Forever => Ok(0),
                Keep::For(kept_for) => forget_nodes(leader, kept_for, limit).await,
            },
            Self::Spans => match retention.spans {
                Keep::Forever => Ok(0),
                Keep::For(kept_for) => nodes::store::forget_spans(db, kept_for, limit).await,
            },
            Self::AuditEntries => match retention.audit {
                Keep::Forever => Ok(0),
                Keep::For(kept_for) => audit::store::forget_entries(db, kept_for, limit).await,
            },
            Self::RevokedTokens => auth::store::forget_revoked(db, CLOCK_LEEWAY, limit).await,
            Self::IssuedTokens => auth::store::forget_issued(db, CLOCK_LEEWAY, limit).await,
            Self::JoinTokens => auth::store::forget_join_tokens(db, CLOCK_LEEWAY, limit).await,
            Self::RequestAnswers => audit::store::forget_answers(db, ANSWERS_KEPT_FOR, limit).await,
        }
    }
}

/// Forgets nodes that were not heard for this long, in service time: an outage of ours, however long, ages nobody, and
/// whoever comes back after it has as much time left as before.
async fn forget_nodes(leader: &Leader, kept_for: Duration, limit: i64) -> Result<u64, Fault> {
    let (mut windows, _) = presence::store::windows(leader.db()).await?;
    windows.extend(presence::store::past_service(leader.db()).await?);
    // There was not that much service yet.
    let Some(heard_before) = instant_before(&windows, kept_for) else { return Ok(0) };
    presence::store::forget_past_service(leader.db(), heard_before).await?;
    let forgotten = nodes::forget_unheard(leader, heard_before, kept_for, limit).await?;
    Ok(forgotten as u64)
}
