//! The harness of the acceptance tests: real Postgres, real processes, real sockets.
//!
//! A test gets a database of its own ([`Database`]), starts the built binaries on it ([`Plane`], [`Daemon`], [`Fleet`]), speaks the
//! protocol ([`Client`]), and waits for states ([`eventually`]), never for time to pass.

mod authority;
mod binaries;
mod client;
mod daemon;
mod fleet;
mod keys;
mod living;
mod log;
mod noise;
mod plane;
mod postgres;
mod presence_log;
mod private_postgres;
mod process;
mod proxy;
mod raw;
mod replica_file;
mod roster_watch;
mod snapshot;
mod transaction_pooler;
mod wait;

pub use authority::{Authority, Certificate};
pub use binaries::binary;
pub use client::{Attaching, Client, refusal};
pub use daemon::Daemon;
pub use fleet::Fleet;
pub use keys::{dated_token, forged_token, key_ring_file, signed_token, token, token_for, user_scopes};
pub use living::{Attached, Living};
pub use log::Appending;
pub use noise::{Known, Noise};
pub use plane::{Plane, PlaneOptions};
pub use postgres::Database;
pub use presence_log::Transition;
pub use private_postgres::{PrivatePostgres, Revived};
pub use process::Process;
pub use proxy::Proxy;
pub use raw::{Method, Raw, RawAnswer, framed, methods};
pub use replica_file::{Entry, Held, ReplicaFolder};
pub use roster_watch::RosterWatch;
pub use snapshot::Snapshot;
pub use transaction_pooler::{NextBackend, TransactionPooler};
pub use wait::{DEADLINE, eventually};
