//! Turns what the transport refuses before our code sees it, a message that is too large or is none of ours, into a
//! refusal of the registry; and answers a call of ours that is not gRPC as HTTP does.

use std::task::{Context, Poll};

use contracts::{Refusal, limits, refusal::FieldViolation};
use http::{HeaderMap, Request, Response, StatusCode, header::CONTENT_TYPE};
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
        // The transport would read any body as a message.
        if request.uri().path().starts_with("/rollcall.v1.") && !is_grpc(request.headers()) {
            return Box::pin(async {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                Ok(response)
            });
        }
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

/// Whether a body is framed by gRPC and its messages are encoded by protobuf.
fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (media_type, _parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    ["application/grpc", "application/grpc+proto"].contains(&media_type.trim())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_protobuf_over_grpc_is_taken() {
        let is = |content_type: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
            is_grpc(&headers)
        };
        assert!(
            ["application/grpc", "application/grpc+proto", "application/grpc; charset=utf-8"]
                .into_iter()
                .all(is)
        );
        let others =
            ["", "application/json", "application/grpc+json", "application/grpc-web", "application/grpcx"];
        assert!(!others.into_iter().any(is));
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
