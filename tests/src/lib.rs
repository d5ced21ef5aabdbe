//! The harness of the acceptance tests: real Postgres, real processes, real sockets.
//!
//! A test gets a database of its own ([`Database`]), starts the built binaries on it ([`Plane`], [`Daemon`]), speaks the
//! protocol ([`Client`]), and waits for states ([`eventually`]), never for time to pass.

mod binaries;
mod client;
mod daemon;
mod plane;
mod postgres;
mod process;
mod proxy;
mod raw;
mod wait;

pub use client::{Attaching, Client, refusal};
pub use daemon::Daemon;
pub use plane::{Plane, PlaneOptions};
pub use postgres::Database;
pub use process::Process;
pub use proxy::Proxy;
pub use raw::{Method, Raw, RawAnswer, framed, methods};
pub use wait::{DEADLINE, eventually};
