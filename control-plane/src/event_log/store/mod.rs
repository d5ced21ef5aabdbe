//! Every query on the logs, a file for each of what is asked.

mod base;
mod events;
mod heads;
mod judged;
mod logs;
mod times;
mod write;

pub(super) use base::keys_among;
pub(super) use events::{Placed, Read, placed, read};
pub(super) use heads::{last_events, raise_position};
pub(super) use judged::{Judged, judged};
pub(super) use logs::{LockedLog, lock, lock_free, make};
pub(super) use write::{Writing, write};
