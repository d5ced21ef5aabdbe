//! Turns what the transport refuses before our code sees it, a message that is too large or is none of ours, into a
//! refusal of the registry.

use std::task::{Context, Poll};

use contracts::{Refusal, limits, refusal::FieldViolation};
use http::{Request, Response};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

#[derive(Clone, Copy, Debug)]
pub(super) struct RefuseLayer;

impl<S> Layer<S> for RefuseLayer {
    type Service = Refuse<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Refuse { inner }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Refuse<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Refuse<S>
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
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            Ok(match Status::from_header_map(response.headers()) {
                Some(status) if is_of_transport(&status) => refused_by_transport(status).into_http(),
                Some(_) | None => response,
            })
        })
    }
}

/// A refusal of ours has details; the transport's statuses have none. Out of range is a message over the limit,
/// internal one that cannot be decoded.
fn is_of_transport(status: &Status) -> bool {
    status.details().is_empty() && (status.code() == Code::OutOfRange || status.code() == Code::Internal)
}

/// A status that the transport made of a message, as a refusal; any other status as it is.
pub(crate) fn refused_by_transport(status: Status) -> Status {
    if !is_of_transport(&status) {
        return status;
    }
    let rule = if status.code() == Code::OutOfRange {
        format!("must have at most {} bytes", limits::REQUEST_BYTES_MAX)
    } else {
        format!("must be a message of package rollcall.v1 ({})", status.message())
    };
    Refusal::from(FieldViolation::new("request", rule)).into()
}
