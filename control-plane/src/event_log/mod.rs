//! The logs of the sessions: appends of clients, events of the control plane's own, and reads.
//!
//! Tables owned: `control_plane`, `log_position`, `session_logs`, `session_events`, `session_state`, and the copies of
//! the state, `session_bases` and `session_base_events`.
//!
//! Invariants:
//! - **log-is-gapless**: the events of a log are numbered 1, 2, 3 and so on, and each carries the hash of the one before
//!   it, whoever appends at once and whatever is killed;
//! - **position-is-commit-order**: over all sessions, positions are gapless and in the order of commits: whoever has read
//!   up to one has missed nothing;
//! - **append-repeats-alike**: an append that is repeated is one append, answered alike, for as long as its events are
//!   retained; part of one, or another event under a known id, is refused;
//! - **appends-are-alone**: a refused append disturbs none of those that are committed with it;
//! - **judged-under-the-lock**: what an append is judged by does not change between its judgment and its commit;
//! - **state-is-the-latest**: the state of a session is the latest event of each key, after each commit;
//! - **told-with-its-effect**: what became of a node's slot is in the log of its session by the same transaction; a beat,
//!   a sweep and a repeat tell nothing.
//!
//! An append of a client waits in a bounded queue ([`queue`]). A writer takes what waits, for however many sessions, and
//! writes it in one transaction ([`group`]): the logs are locked, in that order and without waiting; then it is read,
//! under the locks, what the appends are judged by ([`author`]) and which of their events are there ([`repeat`]); then
//! all is written in one statement. Appends to a log that somebody else holds are put off to a second writer, which
//! waits, for one session at a time: a session that is stuck holds up no other. The events of the control plane's own
//! are written at the end of the transaction that they tell of (`record.rs`).
//!
//! The lock of the log stands for all that appends are judged by: who archives or closes a session, raises its floor,
//! changes its members or gives a node away takes that lock before it commits ([`hold`]), and attach, detach and revoke
//! do by telling of it. So an append locks nothing else.
//!
//! Deliberately absent: a foreign key for each event, an order between appends of one session that are under way at once,
//! and idempotency beyond retention.

mod append;
mod author;
mod group;
mod heads;
mod queue;
mod read;
mod record;
mod recovery;
mod refusals;
mod repeat;
pub mod rpc;
pub(crate) mod store;

pub use heads::Recorded;
pub use queue::{Log, WriterTasks};
pub(crate) use record::{Happening, hold, record};
pub(crate) use recovery::settle_heads;
