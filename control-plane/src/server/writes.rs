//! Holds writes back where and while none may be done. It stands in front of every handler and goes by the table of
//! access, so no verb can forget it.

use std::task::{Context, Poll};

use contracts::Refusal;
use http::{Request, Response};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use crate::{
    auth::access::{Effect, effect},
    leadership::Roles,
};

/// Puts the check in front of all services, behind the gate.
#[derive(Clone, Debug)]
pub(super) struct WritesLayer(pub(super) Roles);

impl<S> Layer<S> for WritesLayer {
    type Service = Writes<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Writes { roles: self.0.clone(), inner }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Writes<S> {
    roles: Roles,
    inner: S,
}

impl<S> Service<Request<Body>> for Writes<S>
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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // What has no effect of ours: health and reflection, and paths that reach no handler.
        let Some(effect) = effect(request.uri().path()) else { return Box::pin(self.inner.call(request)) };
        let roles = self.roles.clone();
        // The one that was asked whether it is ready.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        Box::pin(async move {
            match check(&roles, effect).await {
                Ok(()) => inner.call(request).await,
                Err(refusal) => Ok(Status::from(refusal).into_http()),
            }
        })
    }
}

/// Whether a call with this effect may begin here and now. A write that begins is held to it until its commit, by the
/// leader: see `maintenance`.
async fn check(roles: &Roles, effect: Effect) -> Result<(), Refusal> {
    match effect {
        Effect::Read => Ok(()),
        Effect::Write => roles.leader()?.maintenance().writing().await.map(drop),
        Effect::WriteAlways => roles.leader().map(drop),
    }
}
