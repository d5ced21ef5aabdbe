//! Replication: each attached node may hold a replica of its session's log, and the server keeps it equal by proof.
//!
//! Tables owned: `replicas`.
//!
//! `engine/` decides, and does nothing. Round it is the driver, which does, and decides nothing:
//!
//! - [`Hub`] holds the engine of a term and hands its effects out, in their order;
//! - [`stream`] is one stream of one replica: it tells the engine what it hears, and does what it is told;
//! - [`checkpoints`] and [`prune`] are duties, which make bases for rebuilds and delete what is no longer kept;
//! - `record.rs` writes down what is durably known of replicas.
//!
//! The exchange with a replica is `proto/rollcall/v1/event_log_service.proto`; `docs/replication.md` says what it means.
//!
//! Invariants:
//! - **one-function-decides**: what a replica needs is said by one pure function, and nothing else decides it again;
//! - **equal-by-hash**: a replica is continued only from a place where its hash was compared with the log's;
//! - **held-while-needed**: from the plan on, nothing that a recovery needs is pruned; and what it holds is free as soon
//!   as it ends, by whatever way;
//! - **stale-leaves-no-trace**: an input of another term, stream or recovery changes nothing;
//! - **every-replica-settles**: once nothing goes wrong any more, every replica becomes equal to the log, or stands still
//!   with a reason that is true.
//!
//! What is in memory is of one term: its end ends every exchange, and the next leader begins with the rows of `replicas`.
//!
//! Deliberately absent: replicas of standbys, which read the database, and any decision outside of the engine.
//!
//! # What the driver owes the engine
//!
//! One engine for a leader's term, behind one lock; an input takes microseconds. The lock is never held over I/O.
//!
//! - **Logs.** Before the first introduction of a session it subscribes to the notices of its appends, then reads what is
//!   retained, then gives it to [`engine::Engine::open_log`], and says by [`engine::Engine::assign`] which replicas the
//!   database knows. Each notice after that is an [`engine::Engine::appended`]; only the latest matters. An intent is read
//!   after every introduction that was fed before it.
//! - **Streams.** It numbers them upwards, so that a later one is greater. It parses, and looks whether the node is attached
//!   under that generation, before [`engine::Engine::introduced`]; the name of the recovery is a fresh random UUID. Every
//!   message and every report goes to [`engine::Engine::hear`] with the stream that it came by. Whatever it cannot do, and
//!   whatever ends a stream, is an [`engine::Engine::stream_closed`]. A [`engine::Stale`] ends the driver's part of the
//!   stream, and nothing else.
//! - **Effects** of one stream are carried out in their order; those of one call may go to several streams. A read may take
//!   its time; its answer is fed when it is there. After [`engine::Act::Close`] nothing of that stream is carried out or fed.
//! - **Report, then send.** [`engine::Heard::EventsSent`], [`engine::Heard::BaseProgress`] and [`engine::Heard::BaseSent`]
//!   are fed before the message is handed to the stream, so that no acknowledgement overtakes them; the message is dropped
//!   when that input closed the stream. A message holds what fits, at least one event; the rest is asked for again.
//! - **Bases.** A full base is one consistent read of the state and of the head. A checkpoint is what its digest says, or
//!   [`engine::Heard::BaseFailed`]. A checkpoint whose place is among the pins of [`engine::Engine::status`] is kept.
//! - **Records** go to the database under the fence of the term; a later one of the same replica replaces an earlier one
//!   that is not written yet. They hold the pruner after a takeover, and may be late or lost: the next introduction proves
//!   anew what a replica has.
//! - **Pruning.** A pass finds the marks, asks [`engine::Engine::prune`], deletes in a transaction under the fence, and says
//!   by [`engine::Engine::pruned`] where the tail is then, also when that failed. It deletes nothing that it was not told to.
//! - **Time.** [`engine::Engine::tick`] about once a second. Ticks come from one monotonic clock.
//! - **The end of the term** is [`engine::Engine::end`]; after it the engine takes nothing.

pub(crate) mod base;
pub(crate) mod checkpoints;
pub mod engine;
mod hub;
pub(crate) mod prune;
mod record;
pub mod status;
mod store;
pub mod stream;
mod wire;

pub use hub::Hub;
pub(crate) use record::write_records;
