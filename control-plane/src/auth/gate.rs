//! The gate: checks the token of each call against the access table, and leaves its principal with the request. It
//! stands in front of every service, so no service can forget it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use contracts::Refusal;
use http::{Request, Response, header::AUTHORIZATION};
use tokio::sync::watch;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::{
    Caller, Principal, Revocations,
    access::{Access, access},
    canary::CanaryToken,
    clock::now,
    is_over, refusals,
    tokens::{Claims, KeyRing, Kid, VerifyError, key_named_by, verify},
};

/// Verified tokens that are remembered: a signature is checked once, not with each beat.
const VERIFIED_MAX: usize = 65_536;

/// Knows whose token is valid.
#[derive(Clone, Debug)]
pub struct Authenticator {
    ring: watch::Receiver<Arc<KeyRing>>,
    revocations: Arc<Revocations>,
    canary: CanaryToken,
    verified: Arc<Mutex<Verified>>,
}

/// Claims of tokens whose signature was checked against this ring, with its key. End and revocation are looked at each time.
#[derive(Debug, Default)]
struct Verified {
    ring: Option<Arc<KeyRing>>,
    claims: HashMap<[u8; 32], (Claims, Kid)>,
}

impl Authenticator {
    /// Verifies by the ring of the moment.
    pub fn new(
        ring: watch::Receiver<Arc<KeyRing>>,
        revocations: Arc<Revocations>,
        canary: CanaryToken,
    ) -> Self {
        Self { ring, revocations, canary, verified: Arc::default() }
    }

    fn authenticate(&self, bearer: &str) -> Result<Principal, Refusal> {
        if self.canary.matches(bearer) {
            return Ok(Principal::Canary);
        }
        let (claims, kid) = self.verify(bearer)?;
        if is_over(&claims, now()) {
            return Err(refusals::expired(claims.expires_at));
        }
        if self.revocations.contains(claims.token_id) {
            return Err(refusals::revoked());
        }
        let (ring, revocations) = (self.ring.clone(), Arc::clone(&self.revocations));
        Ok(Principal::Participant(Caller { claims, kid, ring, revocations }))
    }

    fn verify(&self, bearer: &str) -> Result<(Claims, Kid), Refusal> {
        let ring = Arc::clone(&self.ring.borrow());
        let digest = *blake3::hash(bearer.as_bytes()).as_bytes();
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same_ring = verified.ring.as_ref().is_some_and(|former| Arc::ptr_eq(former, &ring));
        if !is_same_ring {
            *verified = Verified { ring: Some(Arc::clone(&ring)), claims: HashMap::new() };
        }
        if let Some(claims) = verified.claims.get(&digest) {
            return Ok(claims.clone());
        }
        drop(verified);
        let claims = verify(&ring, bearer, now()).map_err(refusals::not_verified)?;
        let kid = key_named_by(bearer).ok_or_else(|| refusals::not_verified(VerifyError::Malformed))?;
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.ring.as_ref().is_some_and(|current| Arc::ptr_eq(current, &ring)) {
            if verified.claims.len() >= VERIFIED_MAX {
                verified.claims.clear();
            }
            verified.claims.insert(digest, (claims.clone(), kid));
        }
        Ok((claims, kid))
    }

    /// Lets a request in, and leaves its principal with it.
    fn admit(&self, request: &mut Request<Body>) -> Result<(), Refusal> {
        // What is none of ours, such as health and reflection, is nobody's secret.
        if !request.uri().path().starts_with("/rollcall.") {
            return Ok(());
        }
        // A path that is not in the table reaches no handler either: there is no such method.
        let access = access(request.uri().path());
        if access == Some(Access::Open) {
            return Ok(());
        }
        let bearer = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(refusals::token_missing)?;
        let principal = self.authenticate(bearer)?;
        if let Principal::Participant(caller) = &principal {
            check_scope(caller, access)?;
        }
        request.extensions_mut().insert(principal);
        Ok(())
    }
}

/// Whether the token has the scope that the table asks for. A path that is not in it reaches no handler.
fn check_scope(caller: &Caller, access: Option<Access>) -> Result<(), Refusal> {
    match access {
        None | Some(Access::Open | Access::Token(_)) => Ok(()),
        Some(Access::Scope(scope, _)) => caller.check_scope(scope),
        Some(Access::Either(one, other, _)) => caller
            .check_scope(one)
            .or_else(|_| caller.check_scope(other))
            .map_err(|_| refusals::scopes_missing(one, other)),
    }
}

/// Puts the gate in front of all services.
#[derive(Clone, Debug)]
pub struct GateLayer(pub Authenticator);

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Gate { authenticator: self.0.clone(), inner }
    }
}

/// The gate in front of a service.
#[derive(Clone, Debug)]
pub struct Gate<S> {
    authenticator: Authenticator,
    inner: S,
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send + 'static>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match self.authenticator.admit(&mut request) {
            Ok(()) => Box::pin(self.inner.call(request)),
            Err(refusal) => {
                let response = Status::from(refusal).into_http();
                Box::pin(async move { Ok(response) })
            }
        }
    }
}
