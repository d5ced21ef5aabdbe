//! Who is calling, and what they may call. Every request carries a principal before any other code sees it.
//!
//! Tables owned: `issued_tokens`, `revoked_tokens`, `join_tokens`.
//!
//! Invariants:
//! - **every-rpc-has-its-access**: a call is let in by one table over every RPC, and one that is not in it is not;
//! - **revoked-bites**: a revoked or expired token, and one whose key was retired, is refused on every server within two
//!   seconds, and ends the streams that were opened with it.
//!
//! Deliberately absent: what a participant may do with the session or node at hand. That is decided by the verb, inside
//! its transaction.

pub mod access;
mod canary;
mod clock;
mod gate;
pub mod grant;
mod issue;
mod join;
mod refusals;
mod revocations;
mod revoke;
pub mod rpc;
pub mod store;
pub mod tokens;

use std::sync::Arc;

pub use canary::CanaryToken;
pub use clock::now;
use contracts::{ParticipantId, Refusal};
pub use gate::{Authenticator, GateLayer};
pub use revocations::{Revocations, watch_revocations};
use time::OffsetDateTime;
use tokens::{Claims, KeyRing, Kid, Scope, VerifyError};
use tokio::{sync::watch, time::sleep};
use tonic::Request;

/// Who is calling.
#[derive(Clone, Debug)]
pub enum Principal {
    /// An account, by its token.
    Participant(Caller),
    /// This server itself, proving that beats get in.
    Canary,
}

/// A participant with a verified token.
#[derive(Clone, Debug)]
pub struct Caller {
    claims: Claims,
    /// The key that signed the token.
    kid: Kid,
    ring: watch::Receiver<Arc<KeyRing>>,
    revocations: Arc<Revocations>,
}

/// Whoever asks for a change of a session, or of somebody's node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The account.
    pub participant: ParticipantId,
    /// Whether its token has the scope `admin`.
    pub is_admin: bool,
}

impl Principal {
    /// The caller.
    ///
    /// # Errors
    ///
    /// The canary may do nothing but beat.
    pub fn caller(&self) -> Result<&Caller, Refusal> {
        match self {
            Self::Participant(caller) => Ok(caller),
            Self::Canary => Err(Refusal::permission_denied()),
        }
    }

    /// The account that calls.
    ///
    /// # Errors
    ///
    /// The canary may do nothing but beat.
    pub fn participant(&self) -> Result<ParticipantId, Refusal> {
        Ok(self.caller()?.claims.participant)
    }

    /// The account that calls, with what its token allows.
    ///
    /// # Errors
    ///
    /// The canary may do nothing but beat.
    pub fn actor(&self) -> Result<Actor, Refusal> {
        Ok(self.caller()?.actor())
    }

    /// Waits until the token of this principal ends, and says why; for streams, which outlive the check at their start.
    pub async fn ended(&self) -> Refusal {
        match self {
            Self::Participant(caller) => caller.ended().await,
            Self::Canary => std::future::pending().await,
        }
    }
}

impl Caller {
    /// What the token says.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The account, with what its token allows.
    pub fn actor(&self) -> Actor {
        Actor { participant: self.claims.participant, is_admin: self.claims.scopes.implies(Scope::Admin) }
    }

    /// Whether the token opens what this scope does.
    ///
    /// # Errors
    ///
    /// It does not.
    pub(crate) fn check_scope(&self, scope: Scope) -> Result<(), Refusal> {
        if self.claims.scopes.implies(scope) { Ok(()) } else { Err(refusals::scope_missing(scope)) }
    }

    async fn ended(&self) -> Refusal {
        let mut changes = self.revocations.changes();
        let mut ring = self.ring.clone();
        loop {
            if ring.borrow_and_update().key(self.kid).is_none() {
                return refusals::not_verified(VerifyError::UnknownKey { kid: self.kid });
            }
            if self.revocations.contains(self.claims.token_id) {
                return refusals::revoked();
            }
            let left = self.claims.expires_at - now();
            let Ok(left) = std::time::Duration::try_from(left) else {
                return refusals::expired(self.claims.expires_at);
            };
            tokio::select! {
                // Past the end, not at it, so that the next look finds it over.
                () = sleep(left + std::time::Duration::from_millis(1)) => {}
                () = changes.next() => {}
                Ok(()) = ring.changed() => {}
            }
        }
    }
}

/// The principal that the gate left with a request.
///
/// # Errors
///
/// A request that did not pass the gate is refused like one without a token.
pub fn principal<T>(request: &Request<T>) -> Result<Principal, Refusal> {
    request.extensions().get().cloned().ok_or_else(refusals::token_missing)
}

/// Seconds and more that are left of a token.
pub fn is_over(claims: &Claims, at: OffsetDateTime) -> bool {
    claims.expires_at <= at
}
