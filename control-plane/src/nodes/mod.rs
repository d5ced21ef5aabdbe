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
//! Lock order: session, membership, node, slot, presence. Beats lock presences alone.

pub mod admin_rpc;
mod attach;
mod detach;
mod explain;
mod forget;
mod refusals;
mod remove;
pub mod rpc;
pub mod slot;
pub mod standing;
pub mod store;
mod transfer;
mod update_capabilities;

use contracts::{NodeId, ParticipantId, Refusal};
pub(crate) use forget::forget_unheard;
use standing::Standing;

use crate::{
    failure::{Failure, Fault},
    leadership::Leader,
};

/// Why a beat of this node under this generation was not taken, as the database has it.
pub async fn why_not(
    leader: &Leader,
    participant: ParticipantId,
    node_id: &NodeId,
    generation: i64,
) -> Refusal {
    let judged = async {
        let Some(node_key) = store::run_node_key(leader.db(), node_id, participant).await? else {
            return Ok(Refusal::permission_denied());
        };
        let standing = standing::judge(store::known(leader.db(), node_key, generation).await?);
        Ok::<_, Fault>(match standing {
            Standing::Revoked => refusals::revoked(node_id),
            Standing::Superseded => refusals::superseded(node_id),
            Standing::Detached | Standing::NotAttached => refusals::not_attached(node_id),
            // It was attached a moment ago; the next beat gets in.
            Standing::Holds => crate::leadership::busy(),
        })
    };
    judged.await.unwrap_or_else(|fault| Failure::from(fault).into())
}
