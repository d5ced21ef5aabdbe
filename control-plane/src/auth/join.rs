//! Join tokens: short-lived, counted, and exchanged for an access token by a machine that has none.

use std::time::Duration;

use contracts::{
    Code, ParticipantId, Refusal, limits,
    refusal::FieldViolation,
    text,
    wire::v1::{CreateJoinTokenRequest, CreateJoinTokenResponse, ExchangeJoinTokenResponse},
};
use sqlx::Connection;

use super::{
    Actor,
    grant::{LIFETIME_DEFAULT, LIFETIME_MAX, Mint, parse_lifetime, parse_scopes, to_wire},
    store::{self, NewJoinToken},
    tokens::{Grant, JoinSecret, Scope, Scopes},
};
use crate::{
    audit::{self, Entry},
    failure::{Failure, Fault},
    leadership::Leader,
    wire,
};

const USES_MAX: i32 = 100_000;
const JOIN_LIFETIME_DEFAULT: Duration = Duration::from_secs(60 * 60);
const JOIN_LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A parsed wish for a join token.
#[derive(Clone, Debug)]
pub(super) struct CreateJoinToken {
    participant: ParticipantId,
    scopes: Scopes,
    uses: i32,
    lifetime: Duration,
    token_lifetime: Duration,
    reason: Option<String>,
}

impl CreateJoinToken {
    pub(super) fn parse(request: CreateJoinTokenRequest) -> Result<Self, Refusal> {
        let CreateJoinTokenRequest { participant_id, scopes, uses, lifetime, token_lifetime, reason } =
            request;
        let scopes = parse_scopes(&scopes)?;
        if scopes.contains(Scope::Admin) {
            return Err(FieldViolation::new("scopes", "must not have admin in a join token").into());
        }
        if !(0..=USES_MAX).contains(&uses) {
            return Err(FieldViolation::new("uses", format!("must be between 1 and {USES_MAX}")).into());
        }
        Ok(Self {
            participant: ParticipantId::parse("participant_id", &participant_id)?,
            scopes,
            uses: uses.max(1),
            lifetime: parse_lifetime("lifetime", lifetime, JOIN_LIFETIME_DEFAULT, JOIN_LIFETIME_MAX)?,
            token_lifetime: parse_lifetime("token_lifetime", token_lifetime, LIFETIME_DEFAULT, LIFETIME_MAX)?,
            reason: text::optional("reason", &reason, limits::REASON_CHARS_MAX)?,
        })
    }
}

/// Makes a join token. Its secret is in the answer and nowhere else.
pub(super) async fn create_join_token(
    leader: &Leader,
    actor: Actor,
    create: CreateJoinToken,
) -> Result<CreateJoinTokenResponse, Failure> {
    let CreateJoinToken { participant, scopes, uses, lifetime, token_lifetime, reason } = create;
    let secret = JoinSecret::generate();
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    let join = NewJoinToken { secret: &secret, participant, scopes, uses, lifetime, token_lifetime };
    let expires_at = store::insert_join_token(&mut tx, join).await?;
    let join_token_id = secret.id().to_string();
    let entry = Entry {
        actor: actor.participant,
        action: "token.create_join",
        session_id: None,
        target: &join_token_id,
        reason: reason.as_deref(),
        request_id: None,
    };
    audit::store::record(&mut tx, leader.epoch(), entry).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    Ok(CreateJoinTokenResponse {
        join_token: secret.reveal().to_string(),
        join_token_id,
        expires_at: Some(wire::timestamp(expires_at)),
    })
}

/// Exchanges a join token. One that is unknown, wrong, used up or over is refused alike.
pub(super) async fn exchange_join_token(
    leader: &Leader,
    mint: Mint,
    join_token: &str,
) -> Result<ExchangeJoinTokenResponse, Failure> {
    let refused = || {
        Refusal::new(Code::AuthTokenInvalid, "the join token is not valid, used up, or over. Ask an admin")
    };
    let secret: JoinSecret = join_token.parse().map_err(|_| refused())?;
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    let join = store::use_join_token(&mut tx, &secret).await?.ok_or_else(refused)?;
    let grant = Grant { participant: join.participant, scopes: join.scopes, lifetime: join.token_lifetime };
    let minted = mint.issue(&mut tx, grant).await?;
    let token_id = minted.claims.token_id.to_string();
    let (join_id, epoch) = (secret.id().to_string(), leader.epoch());
    let reason = format!("by join token {join_id}");
    let entry = Entry {
        actor: join.participant,
        action: "token.exchange",
        session_id: None,
        target: &token_id,
        reason: Some(&reason),
        request_id: None,
    };
    audit::store::record(&mut tx, epoch, entry).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    Ok(ExchangeJoinTokenResponse { token: Some(to_wire(&minted)) })
}
