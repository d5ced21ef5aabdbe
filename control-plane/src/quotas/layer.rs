//! Counts every call against the quota of its participant, in a layer behind the gate, so that no handler can forget it.

use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::BodyExt;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::{Kind, Quotas};
use crate::{auth::Principal, server::methods};

/// The method that has a quota of its own.
const ATTACH: &str = "/rollcall.v1.RuntimeNodeService/Attach";

/// Puts quotas in front of all services, behind the gate.
#[derive(Clone, Debug)]
pub struct QuotaLayer(pub Quotas);

impl<S> Layer<S> for QuotaLayer {
    type Service = Quota<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Quota { quotas: self.0.clone(), inner }
    }
}

/// Quotas in front of a service.
#[derive(Clone, Debug)]
pub struct Quota<S> {
    quotas: Quotas,
    inner: S,
}

impl<S> Service<Request<Body>> for Quota<S>
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
        let path = request.uri().path();
        // Health, reflection, and paths that reach no handler.
        let Some(method) = methods::method(path) else { return Box::pin(self.inner.call(request)) };
        let kind = match method.is_stream {
            true => Kind::Stream,
            false if path == ATTACH => Kind::Attach,
            false => Kind::Call,
        };
        let participant = match request.extensions().get::<Principal>() {
            // This server's own proof that beats get in.
            Some(Principal::Canary) => return Box::pin(self.inner.call(request)),
            Some(Principal::Participant(caller)) => Some(caller.claims().participant),
            None => None,
        };
        match self.quotas.begin(participant, kind) {
            Ok(permit) => {
                let answer = self.inner.call(request);
                Box::pin(async move {
                    // Held by the body: a caller that goes away drops it, wherever it is.
                    Ok(answer.await?.map(|body| {
                        Body::new(body.map_frame(move |frame| {
                            let _held = &permit;
                            frame
                        }))
                    }))
                })
            }
            Err(refusal) => {
                let response = Status::from(refusal).into_http();
                Box::pin(async move { Ok(response) })
            }
        }
    }
}
