//! SetMaintenance: begins or ends it, once no write is under way.

use contracts::{
    Refusal, limits, text,
    wire::v1::{SetMaintenanceRequest, SetMaintenanceResponse},
};
use sqlx::Connection;

use super::{store, to_wire};
use crate::{
    audit::{
        Entry, finish,
        repeat::{Repeatable, Seen},
    },
    auth::Actor,
    failure::{Failure, Fault},
    leadership::Leader,
};

/// A parsed wish to begin or end it.
#[derive(Clone, Debug)]
pub(super) struct SetMaintenance {
    wish: Wish,
    validate_only: bool,
    repeatable: Repeatable,
}

#[derive(Clone, Debug)]
enum Wish {
    Begin { reason: String },
    End { reason: Option<String> },
}

impl SetMaintenance {
    /// Parses the request.
    pub(super) fn parse(request: SetMaintenanceRequest) -> Result<Self, Refusal> {
        let repeatable = Repeatable::parse("SetMaintenance", &request.request_id, &request)?;
        let SetMaintenanceRequest { on, reason, validate_only, request_id: _ } = request;
        let wish = if on {
            Wish::Begin { reason: text::required("reason", &reason, limits::REASON_CHARS_MAX)? }
        } else {
            Wish::End { reason: text::optional("reason", &reason, limits::REASON_CHARS_MAX)? }
        };
        Ok(Self { wish, validate_only, repeatable })
    }
}

/// Begins or ends maintenance. What is so already stays so, without an audit row.
pub(super) async fn set_maintenance(
    leader: &Leader,
    actor: Actor,
    set: SetMaintenance,
) -> Result<SetMaintenanceResponse, Failure> {
    let SetMaintenance { wish, validate_only, repeatable } = set;
    let mut held = leader.maintenance().hold().await;
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    if let Seen::Answered(answer) = repeatable.take(&mut tx, actor.participant).await? {
        return Ok(answer);
    }
    let done = match &wish {
        Wish::Begin { reason } if held.as_ref().is_some_and(|held| held.reason == *reason) => None,
        Wish::End { .. } if held.is_none() => None,
        Wish::Begin { reason } => Some(("maintenance.on", Some(reason.as_str()))),
        Wish::End { reason } => Some(("maintenance.off", reason.as_deref())),
    };
    let after = match (&wish, done) {
        (Wish::Begin { .. } | Wish::End { .. }, None) => held.clone(),
        (Wish::Begin { reason }, Some(_)) => Some(store::begin(&mut tx, reason).await?),
        (Wish::End { .. }, Some(_)) => {
            store::end(&mut tx).await?;
            None
        }
    };
    let answer = SetMaintenanceResponse { maintenance: Some(to_wire(after.as_ref())) };
    if validate_only {
        tx.rollback().await?;
        return Ok(answer);
    }
    let entry = done.map(|(action, reason)| Entry {
        actor: actor.participant,
        action,
        session_id: None,
        target: "maintenance",
        reason,
        request_id: repeatable.request_id(),
    });
    finish(leader, &mut tx, actor.participant, entry, &repeatable, &answer).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    if let Some((action, reason)) = done {
        tracing::warn!(action, reason, "maintenance was turned");
    }
    *held = after;
    Ok(answer)
}
