//! Access tokens by key ring, and the secrets that let a machine obtain its first one.
//!
//! An access token is PASETO v4.public: Ed25519-signed, readable by anyone, changed by nobody. Its footer names the
//! key, its payload says who ([`Claims::participant`]), what for ([`Scopes`]) and until when. Servers share one
//! [`KeyRing`], a file; [`KeyRingWatch`] hands each change of it to the running server.
//!
//! Rotation takes three steps, with a pause between them: add a key (all servers learn it), promote it (tokens are
//! signed with it, older ones still verify), retire the former one once the last token it signed is over.
//!
//! Invariants:
//! - **nothing-trusted-before-the-signature**: of an unverified token only its length, its header and the key id are
//!   looked at, and the key id only to find a key;
//! - **one-key-signs**: a ring has exactly one signing key, by its type;
//! - **a-ring-is-replaced-whole**: whoever reads the file finds a former or a new ring, never half of one, also after
//!   a crash;
//! - **secrets-stay-inside**: no `Debug`, no error text and no log line shows a seed, a token or a join secret.
//!
//! Parts: [`scope`], [`scopes`], [`claims`], [`kid`], [`ring_key`], [`key_ring`], [`ring_format`] (the file's text),
//! [`ring_file`] (the file), [`ring_lock`], [`ring_watch`], [`footer`], [`mod@mint`], [`mod@verify`], [`join_secret`], [`hex`].
//!
//! Deliberately absent: a clock (the caller brings the time), revocation (the caller looks up
//! [`Claims::token_id`]), storage of join secrets, and any choice of algorithm: there is one.

mod claims;
mod footer;
mod hex;
mod join_secret;
mod key_ring;
mod kid;
mod mint;
mod ring_file;
mod ring_format;
mod ring_key;
mod ring_lock;
mod ring_watch;
mod scope;
mod scopes;
#[cfg(test)]
mod tests;
mod verify;

pub use claims::{Audience, Claims, TokenId};
pub use join_secret::{JoinId, JoinSecret, JoinSecretFormatError, JoinSecretHash};
pub use key_ring::{ChangeError, KEYS_MAX, KeyRing, KeyState};
pub use kid::{Kid, KidFormatError};
pub use mint::{AccessToken, Grant, MintError, Minted, Record, mint, mint_again};
pub use ring_file::{KeyRingFile, KeyRingFileError};
pub use ring_format::RingFormatError;
pub use ring_key::{RingKey, RingKeyError};
pub use ring_watch::KeyRingWatch;
pub use scope::{Scope, ScopesError};
pub use scopes::Scopes;
pub use verify::{ISSUED_AT_LEEWAY, TOKEN_BYTES_MAX, VerifyError, key_named_by, verify};
