//! IssueToken and RenewToken.

use std::time::Duration;

use contracts::{
    Refusal, limits, text,
    wire::v1::{AccessToken, IssueTokenRequest, IssueTokenResponse, RenewTokenRequest, RenewTokenResponse},
};
use sqlx::Connection;

use super::{
    Actor,
    grant::{LIFETIME_DEFAULT, LIFETIME_MAX, Mint, parse_lifetime, parse_participant, parse_scopes, to_wire},
    refusals, store,
    tokens::{Claims, Grant},
};
use crate::{
    audit::{
        self, Entry,
        repeat::{Repeatable, Seen},
    },
    failure::{Failure, Fault},
    leadership::Leader,
};

/// A parsed wish for a token.
#[derive(Clone, Debug)]
pub(super) struct IssueToken {
    grant: Grant,
    /// Whether the participant is made for it.
    is_participant_new: bool,
    reason: Option<String>,
    validate_only: bool,
    repeatable: Repeatable,
}

impl IssueToken {
    /// Parses the request.
    pub(super) fn parse(request: IssueTokenRequest) -> Result<Self, Refusal> {
        let repeatable = Repeatable::parse("IssueToken", &request.request_id, &request)?;
        let IssueTokenRequest { participant_id, scopes, lifetime, reason, validate_only, request_id: _ } =
            request;
        Ok(Self {
            grant: Grant {
                participant: parse_participant(&participant_id)?,
                scopes: parse_scopes(&scopes)?,
                lifetime: parse_lifetime("lifetime", lifetime, LIFETIME_DEFAULT, LIFETIME_MAX)?,
            },
            is_participant_new: participant_id.is_empty(),
            reason: text::optional("reason", &reason, limits::REASON_CHARS_MAX)?,
            validate_only,
            repeatable,
        })
    }
}

/// Makes a token. What is stored for a repeat is what the token says, and never the token.
pub(super) async fn issue_token(
    leader: &Leader,
    mint: &Mint,
    actor: Actor,
    issue: IssueToken,
) -> Result<IssueTokenResponse, Failure> {
    let IssueToken { grant, is_participant_new, reason, validate_only, repeatable } = issue;
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    if let Seen::Answered(record) = repeatable.take(&mut tx, actor.participant).await? {
        return Ok(IssueTokenResponse { token: Some(to_wire(&mint.again(record)?)) });
    }
    let minted = mint.issue(&mut tx, grant, None).await?;
    if validate_only {
        tx.rollback().await?;
        let would_be = AccessToken { token: String::new(), token_id: String::new(), ..to_wire(&minted) };
        let participant_id = if is_participant_new { String::new() } else { would_be.participant_id };
        return Ok(IssueTokenResponse { token: Some(AccessToken { participant_id, ..would_be }) });
    }
    let token_id = minted.claims.token_id.to_string();
    let entry = Entry {
        actor: actor.participant,
        action: "token.issue",
        session_id: None,
        target: &token_id,
        reason: reason.as_deref(),
        request_id: repeatable.request_id(),
    };
    audit::finish(leader, &mut tx, actor.participant, Some(entry), &repeatable, &minted.record).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    Ok(IssueTokenResponse { token: Some(to_wire(&minted)) })
}

/// Makes a token like the one that is presented, of its family, for at most as long.
pub(super) async fn renew_token(
    leader: &Leader,
    mint: &Mint,
    presented: Claims,
    request: RenewTokenRequest,
) -> Result<RenewTokenResponse, Failure> {
    let full: Duration = (presented.expires_at - presented.issued_at).try_into().unwrap_or_default();
    let lifetime = parse_lifetime("lifetime", request.lifetime, full, full).map_err(Refusal::from)?;
    let grant = Grant { participant: presented.participant, scopes: presented.scopes, lifetime };
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    // A revocation of the family waits for this, or this for it, and then sees it.
    let family = store::share_family(&mut tx, presented.token_id).await?;
    if store::is_revoked(&mut *tx, presented.token_id).await? {
        return Err(refusals::revoked().into());
    }
    let minted = mint.issue(&mut tx, grant, Some(family)).await?;
    let token_id = minted.claims.token_id.to_string();
    let entry = Entry {
        actor: presented.participant,
        action: "token.renew",
        session_id: None,
        target: &token_id,
        reason: None,
        request_id: None,
    };
    audit::store::record(&mut tx, leader.epoch(), entry).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    Ok(RenewTokenResponse { token: Some(to_wire(&minted)) })
}
