//! RevokeToken.

use contracts::{
    Code, Refusal, limits,
    refusal::FieldViolation,
    text,
    wire::v1::{RevokeTokenRequest, RevokeTokenResponse},
};
use sqlx::Connection;

use super::{Actor, Revocations, store, tokens::TokenId};
use crate::{
    audit::{
        self, Entry,
        repeat::{Repeatable, Seen},
    },
    failure::{Failure, Fault},
    leadership::Leader,
};

/// A parsed revocation.
#[derive(Clone, Debug)]
pub(super) struct RevokeToken {
    token_id: TokenId,
    reason: Option<String>,
    validate_only: bool,
    repeatable: Repeatable,
}

impl RevokeToken {
    /// Parses the request.
    pub(super) fn parse(request: RevokeTokenRequest) -> Result<Self, Refusal> {
        let repeatable = Repeatable::parse("RevokeToken", &request.request_id, &request)?;
        let RevokeTokenRequest { token_id, reason, validate_only, request_id: _ } = request;
        Ok(Self {
            token_id: TokenId::parse(&token_id)
                .ok_or_else(|| FieldViolation::new("token_id", "must be the id of a token"))?,
            reason: text::optional("reason", &reason, limits::REASON_CHARS_MAX)?,
            validate_only,
            repeatable,
        })
    }
}

/// Ends a token and its family, here at once and on the other servers with their next look: whoever stole one of them
/// may have renewed it, and whoever renewed a stolen one has the thief's. A repeat changes nothing.
pub(super) async fn revoke_token(
    leader: &Leader,
    revocations: &Revocations,
    actor: Actor,
    revoke: RevokeToken,
) -> Result<RevokeTokenResponse, Failure> {
    let RevokeToken { token_id, reason, validate_only, repeatable } = revoke;
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    if let Seen::Answered(answer) = repeatable.take(&mut tx, actor.participant).await? {
        return Ok(answer);
    }
    let owner = store::owner(&mut *tx, token_id).await?;
    owner.filter(|owner| actor.is_admin || *owner == actor.participant).ok_or_else(|| {
        Refusal::new(
            Code::AuthTokenNotFound,
            "no token of that id was made here, or it is not yours to revoke",
        )
    })?;
    let ended = store::revoke_family(&mut tx, token_id).await?;
    let token_ids = ended.iter().map(|(token_id, _)| token_id.to_string()).collect();
    let answer = RevokeTokenResponse { token_ids };
    if validate_only {
        tx.rollback().await?;
        return Ok(answer);
    }
    let target = token_id.to_string();
    let entry = Entry {
        actor: actor.participant,
        action: "token.revoke",
        session_id: None,
        target: &target,
        reason: reason.as_deref(),
        request_id: repeatable.request_id(),
    };
    let done = (!ended.is_empty()).then_some(entry);
    audit::finish(leader, &mut tx, actor.participant, done, &repeatable, &answer).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    revocations.note(ended);
    Ok(answer)
}
