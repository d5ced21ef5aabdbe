//! StepDown: a handover that an operator asks for.

use contracts::{
    Code, Refusal, limits, text,
    wire::v1::{StepDownRequest, StepDownResponse},
};
use sqlx::Connection;

use super::{Leader, store};
use crate::{
    audit::{
        self, Entry,
        repeat::{Repeatable, Seen},
    },
    auth::Actor,
    failure::{Failure, Fault},
};

/// A parsed request.
#[derive(Clone, Debug)]
pub(super) struct StepDown {
    reason: Option<String>,
    without_standby: bool,
    validate_only: bool,
    repeatable: Repeatable,
}

impl StepDown {
    /// Parses the request.
    pub(super) fn parse(request: StepDownRequest) -> Result<Self, Refusal> {
        let repeatable = Repeatable::parse("StepDown", &request.request_id, &request)?;
        let StepDownRequest { reason, without_standby, validate_only, request_id: _ } = request;
        Ok(Self {
            reason: text::optional("reason", &reason, limits::REASON_CHARS_MAX)?,
            without_standby,
            validate_only,
            repeatable,
        })
    }
}

/// What became of it.
pub(super) enum SteppedDown {
    /// The leader is about to end.
    Now(StepDownResponse),
    /// Nothing changes: it was a check, or a repeat.
    NotNow(StepDownResponse),
}

/// Audits the handover and sets it going. Refused while nobody waits to take over, unless asked for all the same.
pub(super) async fn step_down(
    leader: &Leader,
    actor: Actor,
    request: StepDown,
) -> Result<SteppedDown, Failure> {
    let StepDown { reason, without_standby, validate_only, repeatable } = request;
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    if let Seen::Answered(answer) = repeatable.take(&mut tx, actor.participant).await? {
        return Ok(SteppedDown::NotNow(answer));
    }
    if !without_standby && store::count_standbys(&mut *tx, leader.lock_namespace).await? == 0 {
        return Err(Refusal::new(
            Code::ControllerNoStandby,
            "no standby waits to take over. Start one, or step down without one",
        )
        .into());
    }
    let answer = StepDownResponse { epoch: leader.epoch() };
    if validate_only {
        tx.rollback().await?;
        return Ok(SteppedDown::NotNow(answer));
    }
    let entry = Entry {
        actor: actor.participant,
        action: "leader.step_down",
        session_id: None,
        target: &leader.epoch().to_string(),
        reason: reason.as_deref(),
        request_id: repeatable.request_id(),
    };
    audit::store::record(&mut tx, leader.epoch(), entry).await?;
    repeatable.answer(&mut tx, actor.participant, &answer).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    leader.ends.step_down.cancel();
    Ok(SteppedDown::Now(answer))
}
