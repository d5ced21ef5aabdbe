//! Measures and traces every RPC, in a layer, so that no early return can skip it.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use metrics::histogram;
use tonic::{Code, body::Body};
use tower::{Layer, Service};
use tracing::Instrument;

use super::methods::{self, Method};

#[derive(Clone, Copy, Debug)]
pub(super) struct ObserveLayer;

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Observe { inner }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Observe<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Observe<S>
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
        let Some(call) = Call::begin(&request) else { return Box::pin(self.inner.call(request)) };
        let span = tracing::debug_span!("rpc", service = call.service, method = call.method);
        let answer = self.inner.call(request);
        Box::pin(
            async move {
                let response = answer.await?;
                Ok(call.follow(response))
            }
            .instrument(span),
        )
    }
}

/// An RPC under way; recorded when it is dropped, as cancelled unless its status was seen.
struct Call {
    service: &'static str,
    method: &'static str,
    started: Instant,
    code: Code,
}

impl Call {
    fn begin(request: &Request<Body>) -> Option<Self> {
        // The names become labels, so no others are taken: anybody may ask for any path.
        let Method { service, name, is_stream: _ } = methods::method(request.uri().path())?;
        Some(Self { service, method: name, started: Instant::now(), code: Code::Cancelled })
    }

    fn follow(mut self, response: Response<Body>) -> Response<Body> {
        self.see(response.headers());
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                if let Some(trailers) = frame.trailers_ref() {
                    self.see(trailers);
                }
                frame
            }))
        })
    }

    fn see(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get("grpc-status") {
            self.code = Code::from_bytes(status.as_bytes());
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        let code = format!("{:?}", self.code);
        tracing::debug!(service = self.service, method = self.method, code, seconds, "an RPC is done");
        histogram!(
            "rollcall_rpc_seconds",
            "service" => self.service,
            "method" => self.method,
            "code" => code
        )
        .record(seconds);
    }
}
