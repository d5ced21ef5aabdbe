//! The client library for runtime daemons of Rollcall.
//!
//! [`start`] attaches a node to a session and keeps it attached: it beats at the server's pace, follows the active
//! server from address to address, acts on the advice of each refusal, and tells the application through a watch of
//! [`Standing`] where the node stands. It fences the node, which is to say that it tells the application to consider
//! itself out, before the server can call it offline. Dropping the [`Handle`] detaches.
//!
//! ```no_run
//! # async fn example(token: &str, session: &str) -> Result<(), Box<dyn std::error::Error>> {
//! use contracts::EventEnvelopeVersion;
//! use daemon_client::{Config, Health, Standing, Token, Trust};
//!
//! let handle = daemon_client::start(Config {
//!     addresses: "http://10.0.0.1:7420,http://10.0.0.2:7420".parse()?,
//!     token: Token::parse(token)?.into(),
//!     trust: Trust::of_system(),
//!     session_id: session.parse()?,
//!     node_id: "laptop-1".parse()?,
//!     client_version: EventEnvelopeVersion::current(),
//!     health: Health::Online,
//!     declaration: None,
//!     replica: None,
//! });
//! let mut standing = handle.standing();
//! standing.wait_for(|standing| matches!(standing, Standing::Attached { .. })).await?;
//! // ... work, and before each act for the session ask `may_act` ...
//! println!("{}", handle.detach("done").await);
//! # Ok(())
//! # }
//! ```
//!
//! What it promises:
//!
//! - Only a refusal by Rollcall ends it ([`Outcome`]). An outage, however long, does not: the attachment's generation
//!   stays valid, and the node beats on when the service returns, within one cadence, without a new attach.
//! - The token is renewed before it ends, and the new one counts from the next call on. One that comes from a file
//!   ([`TokenSource::File`]) is read again when the file changes; when it was refused, the node waits for another one
//!   there, and says so by its [`Setback`].
//! - A server of an `https://` address is checked, and nothing leads from there to an address in clear: not a server
//!   that names one, nor a list of both kinds.
//! - Two daemons with one node id do not fight: the older one ends as [`Outcome::Superseded`] and never attaches again.
//! - Events are appended once however often they are sent ([`Handle::append`]), and a replica of the session's log is
//!   kept in a folder, proven and readable without a server, for whoever asks for one ([`replica`]).
//! - One task does all the work, and its death is an outcome. Every call has a deadline, every queue a bound.
//!
//! A program that speaks for many nodes over few streams, such as a relay or a load tool, goes the same [`Way`] to the
//! active server and makes its calls itself.
//!
//! Deliberately absent: the beats of many nodes over one stream, which is for such programs, and any clock but the
//! monotonic one for what concerns the attachment (the wall clock only tells how old a token from a file is). That clock
//! stands still while a machine is suspended; a node that wakes up learns from its next beat what happened.

mod address;
mod announce;
mod append;
mod attach;
mod backoff;
mod config;
mod detach;
mod handle;
mod line;
pub mod node_id;
mod outcome;
mod pace;
mod reaction;
pub mod replica;
mod route;
mod run;
mod setback;
mod standing;
mod stay;
mod token;
mod update;
mod way;

pub use client_tls::{Distrust, Trust};

pub use address::{Address, AddressError};
pub use append::{AppendError, Appended, Batch, BatchError};
pub use config::{Addresses, AddressesError, Config, Health};
pub use handle::{Handle, start};
pub use outcome::{Detachment, Outcome};
pub use setback::Setback;
pub use standing::{Attachment, Standing};
pub use token::{JoinToken, Token, TokenError, TokenSource};
pub use update::{HealthReport, Update, UpdateError, Updated};
pub use way::{Caller, Connection, Way};
