//! TLS of clients: whom they trust, and why they did not.
//!
//! - [`trust`] secures an endpoint, and [`roots`] is what it trusts by;
//! - [`distrust`] tells from the error of a connection why the server was not trusted.
//!
//! A plain `http://` endpoint is left as it is, so that callers have one path.
//!
//! Deliberately absent: a way to accept any certificate.

mod distrust;
mod error;
mod roots;
mod trust;

pub use distrust::Distrust;
pub use error::Error;
pub use trust::Trust;
