//! Connections to the server: plaintext or TLS, decided once, at the start.
//!
//! - [`transport`] is what the server holds: it accepts, it calls itself, it follows the files;
//! - [`incoming`] accepts, and shakes hands with many at once; [`connection`] is what comes out, [`in_clear`] what is
//!   said to those who speak no TLS;
//! - [`files`] reads the certificate and its key, [`judge`] says what clients will think of them;
//! - [`served`] is the certificate that is presented now, [`follow`] replaces it when the files change;
//! - [`pinned`] is how the server trusts itself.
//!
//! Invariants:
//! - **one-bad-peer-is-alone**: no handshake, however slow or wrong, ends the listener or holds up another one;
//! - **handshakes-are-bounded**: in number and in time; at the bound, the kernel's queue waits;
//! - **a-bad-file-changes-nothing**: what is presented was whole, fitting and valid when it was read;
//! - **a-change-drops-nobody**: open connections keep the certificate that they began with.
//!
//! Deliberately absent: client certificates (callers show tokens), several certificates by name, and resumption, by
//! which a connection could begin under a certificate that was replaced.

mod connection;
mod error;
mod files;
mod follow;
mod in_clear;
mod incoming;
mod judge;
mod pinned;
mod served;
mod transport;

pub use connection::Connection;
pub use error::Error;
pub use files::TlsSettings;
pub(crate) use in_clear::SPEAKS_TLS;
pub use incoming::{AcceptBounds, Incoming};
pub use transport::{Tls, Transport};
