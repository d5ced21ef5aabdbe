//! Every query on the logs, a file for each of what is asked.

mod base;
mod events;
mod heads;
mod judged;
mod logs;
mod prune;
mod times;
mod write;

pub(super) use base::keys_among;
pub(crate) use base::{
    Base, BaseKind, base_events, checkpoints, checkpoints_due, copy_state, delete_base, delete_full_bases,
    set_digest,
};
pub(super) use events::{Placed, placed};
pub(crate) use events::{Read, read};
pub(super) use heads::{last_events, raise_position};
pub(super) use judged::{Judged, judged};
pub(super) use logs::{LockedLog, lock, lock_free, make};
pub(crate) use prune::{Keeping, LetGo, extent, hashes_at, let_go, prunable_sessions, prune};
pub(super) use write::{Writing, write};
