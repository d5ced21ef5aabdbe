//! Runtime nodes and their slots in sessions: attach, declare, detach; and revoke, transfer and forget.
//!
//! Tables owned: `runtime_nodes`, `runtime_node_attachments`, `attachment_spans`. The presence row of a node is
//! written here too where it changes hands (attach and detach), in the same transaction.
//!
//! Invariants:
//! - **one-active-slot**: a node has at most one active slot, whatever the session; the index
//!   `runtime_node_attachments_one_active` decides races;
//! - **generations-fence**: a generation rises with every attach that activates a slot, and what carries an older one
//!   changes nothing;
//! - **superseded-for-ever**: an instance that was superseded once never gets the slot again;
//! - **online-is-declared**: a slot is online only with a declaration that is supported in full;
//! - **below-floor-stays-joined**: a daemon below the floor is attached and beats like any other; only its declarations
//!   are refused;
//! - **attach-writes-no-session**: no verb here writes a session or a membership.
//!
//! Lock order: session, membership, node, slot, presence, log. Beats lock presences alone.

pub mod admin_rpc;
mod attach;
mod detach;
mod explain;
mod forget;
pub(crate) mod life_events;
pub(crate) mod refusals;
mod remove;
pub mod rpc;
pub mod slot;
pub mod standing;
pub mod store;
mod transfer;
mod update_capabilities;

use contracts::{NodeId, ParticipantId, Refusal, SessionId};
pub(crate) use forget::forget_unheard;
use standing::{Known, Standing};

use crate::{
    failure::{Failure, Fault},
    leadership::Leader,
};

/// Why beats of these nodes under these generations were not taken, as the database has it, in their order.
pub async fn why_not(leader: &Leader, participant: ParticipantId, beats: &[(&NodeId, i64)]) -> Vec<Refusal> {
    let judged = async {
        let (names, generations): (Vec<_>, Vec<_>) =
            beats.iter().map(|(node_id, generation)| (node_id.as_str().to_owned(), *generation)).unzip();
        let known = store::known_of_own(leader.db(), participant, &names, &generations).await?;
        Ok::<_, Fault>(beats.iter().zip(known).map(|((node_id, _), known)| why(node_id, known)).collect())
    };
    judged.await.unwrap_or_else(|fault| {
        let refusal = Refusal::from(Failure::from(fault));
        vec![refusal; beats.len()]
    })
}

/// Whether a node holds its slot in a session under this generation, run by a participant who may.
///
/// # Errors
///
/// Why it does not.
pub(crate) async fn check_holds(
    leader: &Leader,
    participant: ParticipantId,
    node_id: &NodeId,
    generation: i64,
    session_id: SessionId,
) -> Result<(), Refusal> {
    match leader.fleet().holds(participant, node_id, generation) {
        Some(held) if held == session_id => Ok(()),
        Some(_) => Err(refusals::not_attached(node_id)),
        None => {
            let why = why_not(leader, participant, &[(node_id, generation)]).await;
            Err(why.into_iter().next().unwrap_or_else(Refusal::permission_denied))
        }
    }
}

/// Why a beat was not taken of a node of which this is known; nothing is of one that its caller may not run.
fn why(node_id: &NodeId, known: Option<Known>) -> Refusal {
    let Some(known) = known else { return Refusal::permission_denied() };
    match standing::judge(known) {
        Standing::Revoked => refusals::revoked(node_id),
        Standing::Superseded => refusals::superseded(node_id),
        Standing::Detached | Standing::NotAttached => refusals::not_attached(node_id),
        // It was attached a moment ago; the next beat gets in.
        Standing::Holds => crate::leadership::busy(),
    }
}
