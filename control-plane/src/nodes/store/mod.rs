//! Every query on nodes, slots and spans, a file for each of what is asked.

mod attach;
mod end;
mod generations;
mod nodes;
mod slots;
mod spans;
mod update;

pub(super) use attach::{Activation, AttachFacts, activate, attach_facts, claim_node};
pub(super) use end::{delete_nodes, end_slots, lock_unheard, revoke_everywhere, revoke_slots};
pub(crate) use end::{end_slots_of_closed_session, forget_spans, lock_active_slots};
pub(crate) use generations::known_of_owners;
pub(super) use generations::{known, known_of_own};
pub(super) use nodes::{
    NodeFacts, NodeRow, active_session, active_slot_of, give_node, last_session, lock_node, node_facts,
};
pub use slots::{ShownSlot, each_slot};
pub(super) use slots::{active_slots, last_slots, slot, slots_of_node, slots_of_session};
pub(crate) use spans::SpanEnd;
pub(super) use spans::{Span, latest_spans};
pub(super) use update::{lock_slot, update_slot};
