//! Join tokens: short-lived, counted, and exchanged for an access token by a machine that has none.

use std::time::Duration;

use contracts::{
    Code, ParticipantId, Refusal, limits,
    refusal::FieldViolation,
    text,
    wire::v1::{
        CreateJoinTokenRequest, CreateJoinTokenResponse, ExchangeJoinTokenRequest, ExchangeJoinTokenResponse,
    },
};
use sqlx::Connection;

use super::{
    Actor,
    grant::{LIFETIME_DEFAULT, LIFETIME_MAX, Mint, parse_lifetime, parse_scopes, to_wire},
    store::{self, NewJoinToken},
    tokens::{Grant, JoinId, JoinSecret, KeyRing, Kid, Scope, Scopes},
};
use crate::{
    audit::{
        self, Entry,
        repeat::{Repeatable, Seen},
    },
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
    validate_only: bool,
    repeatable: Repeatable,
}

impl CreateJoinToken {
    /// Parses the request.
    pub(super) fn parse(request: CreateJoinTokenRequest) -> Result<Self, Refusal> {
        let repeatable = Repeatable::parse("CreateJoinToken", &request.request_id, &request)?;
        let CreateJoinTokenRequest {
            participant_id,
            scopes,
            uses,
            lifetime,
            token_lifetime,
            reason,
            validate_only,
            request_id: _,
        } = request;
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
            validate_only,
            repeatable,
        })
    }
}

/// What is stored of a join token's answer: by the key its secret can be derived again.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct JoinRecord {
    #[prost(string, tag = "1")]
    kid: String,
    #[prost(message, optional, tag = "2")]
    answer: Option<CreateJoinTokenResponse>,
}

impl JoinRecord {
    /// The answer with its secret, while its key is in the ring.
    fn reveal(self, ring: &KeyRing) -> Result<CreateJoinTokenResponse, Failure> {
        let unreadable =
            || Fault::Unreadable { table: "request_answers", column: "answer", value: self.kid.clone() };
        let answer = self.answer.as_ref().ok_or_else(unreadable)?;
        let id: JoinId = answer.join_token_id.parse().map_err(|_| unreadable())?;
        let kid: Kid = self.kid.parse().map_err(|_| unreadable())?;
        let key = ring.key(kid).ok_or_else(|| {
            let rule = format!(
                "made join token {id}, which cannot be shown again: the key that it was made with was retired. Make \
                 another one under a new request_id"
            );
            Refusal::from(FieldViolation::new("request_id", rule))
        })?;
        Ok(CreateJoinTokenResponse {
            join_token: JoinSecret::derive(key, id).reveal().to_string(),
            ..answer.clone()
        })
    }
}

/// Makes a join token. Its secret is in the answer and nowhere else.
pub(super) async fn create_join_token(
    leader: &Leader,
    mint: &Mint,
    actor: Actor,
    create: CreateJoinToken,
) -> Result<CreateJoinTokenResponse, Failure> {
    let CreateJoinToken {
        participant,
        scopes,
        uses,
        lifetime,
        token_lifetime,
        reason,
        validate_only,
        repeatable,
    } = create;
    let ring = mint.ring();
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    if let Seen::Answered(record) = repeatable.take::<JoinRecord>(&mut tx, actor.participant).await? {
        return record.reveal(&ring);
    }
    let secret = JoinSecret::derive(ring.signing(), JoinId::generate());
    let join = NewJoinToken { secret: &secret, participant, scopes, uses, lifetime, token_lifetime };
    let expires_at = Some(wire::timestamp(store::insert_join_token(&mut tx, join).await?));
    if validate_only {
        tx.rollback().await?;
        return Ok(CreateJoinTokenResponse { expires_at, ..CreateJoinTokenResponse::default() });
    }
    let join_token_id = secret.id().to_string();
    let entry = Entry {
        actor: actor.participant,
        action: "token.create_join",
        session_id: None,
        target: &join_token_id,
        reason: reason.as_deref(),
        request_id: repeatable.request_id(),
    };
    let answer = CreateJoinTokenResponse {
        join_token: String::new(),
        join_token_id: join_token_id.clone(),
        expires_at,
    };
    let record = JoinRecord { kid: ring.signing().kid().to_string(), answer: Some(answer) };
    audit::finish(leader, &mut tx, actor.participant, Some(entry), &repeatable, &record).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    record.reveal(&ring)
}

/// A parsed exchange.
#[derive(Clone, Debug)]
pub(super) struct ExchangeJoinToken {
    secret: JoinSecret,
    repeatable: Repeatable,
}

impl ExchangeJoinToken {
    /// Parses the request. Whatever is sent for a join token is refused alike.
    pub(super) fn parse(request: ExchangeJoinTokenRequest) -> Result<Self, Refusal> {
        let repeatable = Repeatable::parse("ExchangeJoinToken", &request.request_id, &request)?;
        let secret = request.join_token.parse().map_err(|_| no_join_token())?;
        Ok(Self { secret, repeatable })
    }
}

fn no_join_token() -> Refusal {
    Refusal::new(Code::AuthTokenInvalid, "the join token is not valid, used up, or over. Ask an admin")
}

/// Exchanges a join token. One that is unknown, wrong, used up or over is refused alike. While it is valid, a repeat gets
/// the same token again, though the last use be taken.
pub(super) async fn exchange_join_token(
    leader: &Leader,
    mint: &Mint,
    exchange: ExchangeJoinToken,
) -> Result<ExchangeJoinTokenResponse, Failure> {
    let ExchangeJoinToken { secret, repeatable } = exchange;
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    let join = store::lock_join_token(&mut tx, &secret).await?.ok_or_else(no_join_token)?;
    if let Seen::Answered(record) = repeatable.take(&mut tx, join.participant).await? {
        return Ok(ExchangeJoinTokenResponse { token: Some(to_wire(&mint.again(record)?)) });
    }
    if !store::use_join_token(&mut tx, secret.id()).await? {
        return Err(no_join_token().into());
    }
    let grant = Grant { participant: join.participant, scopes: join.scopes, lifetime: join.token_lifetime };
    let minted = mint.issue(&mut tx, grant, None).await?;
    let token_id = minted.claims.token_id.to_string();
    let reason = format!("by join token {}", secret.id());
    let entry = Entry {
        actor: join.participant,
        action: "token.exchange",
        session_id: None,
        target: &token_id,
        reason: Some(&reason),
        request_id: repeatable.request_id(),
    };
    audit::finish(leader, &mut tx, join.participant, Some(entry), &repeatable, &minted.record).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    Ok(ExchangeJoinTokenResponse { token: Some(to_wire(&minted)) })
}
