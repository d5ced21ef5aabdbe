//! gRPC by hand: any bytes and any headers, to any method; and which methods there are.

use contracts::wire;
use http_body_util::{BodyExt, Full};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::{
    Status,
    body::Body,
    codegen::{Bytes, Service, http},
    transport::{Channel, Endpoint},
};

/// A method of the package, as its descriptors tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// `/rollcall.v1.Service/Method`.
    pub path: String,
    /// Full name of its request.
    pub request: String,
    /// Whether it takes a stream.
    pub takes_stream: bool,
    /// Whether its request says anything.
    pub has_fields: bool,
    /// Whether it answers with a stream.
    pub gives_stream: bool,
}

/// Every method of the package.
pub fn methods() -> Vec<Method> {
    let descriptors = FileDescriptorSet::decode(wire::DESCRIPTORS).expect("the descriptors are some");
    let files = descriptors.file.iter().filter(|file| file.package() == "rollcall.v1");
    let services = files.clone().flat_map(|file| &file.service);
    let methods = services.flat_map(|service| {
        service.method.iter().map(|method| Method {
            path: format!("/rollcall.v1.{}/{}", service.name(), method.name()),
            request: method.input_type().trim_start_matches('.').to_owned(),
            takes_stream: method.client_streaming(),
            has_fields: files.clone().flat_map(|file| &file.message_type).any(|message| {
                method.input_type().ends_with(&format!(".{}", message.name())) && !message.field.is_empty()
            }),
            gives_stream: method.server_streaming(),
        })
    });
    methods.collect()
}

/// A message as gRPC frames it.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a message of a test is small").to_be_bytes();
    [&[0], length.as_slice(), message].concat()
}

/// A connection for calls by hand.
#[derive(Clone, Debug)]
pub struct Raw {
    channel: Channel,
    token: Option<String>,
}

/// What a call by hand was answered.
#[derive(Debug)]
pub struct RawAnswer {
    /// Status of HTTP.
    pub http: u16,
    /// Status of gRPC, from the headers or the trailers; none when there was none.
    pub status: Option<Status>,
    /// Messages, unframed.
    pub messages: Vec<Bytes>,
}

impl Raw {
    /// Connects.
    pub async fn connect(url: &str, token: Option<&str>) -> Self {
        let endpoint = Endpoint::from_shared(url.to_owned()).expect("the URL is one");
        let channel = endpoint.connect().await.expect("the server accepts connections");
        Self { channel, token: token.map(str::to_owned) }
    }

    /// Sends this body, which is not framed any further, and reads the answer to its end.
    ///
    /// # Errors
    ///
    /// The server ended the exchange in the middle.
    pub async fn call(&self, path: &str, content_type: &str, body: Vec<u8>) -> Result<RawAnswer, String> {
        self.exchange(path, content_type, body, usize::MAX).await
    }

    /// Like [`Self::call`] with a framed body, but gives up on the rest once there is a message: for streams that go on.
    ///
    /// # Errors
    ///
    /// The server ended the exchange in the middle.
    pub async fn begin(&self, path: &str, body: Vec<u8>) -> Result<RawAnswer, String> {
        self.exchange(path, "application/grpc", body, 1).await
    }

    async fn exchange(
        &self,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
        bytes_wanted: usize,
    ) -> Result<RawAnswer, String> {
        let mut request =
            http::Request::post(path).header("content-type", content_type).header("te", "trailers");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Body::new(Full::new(Bytes::from(body)))).expect("the request is one");
        let mut channel = self.channel.clone();
        std::future::poll_fn(|context| channel.poll_ready(context))
            .await
            .map_err(|error| format!("{error:?}"))?;
        let response = channel.call(request).await.map_err(|error| format!("{error:?}"))?;
        let (head, mut body) = response.into_parts();
        let (mut bytes, mut trailers) = (Vec::new(), None);
        while bytes.len() < bytes_wanted
            && let Some(frame) = body.frame().await
        {
            match frame.map_err(|error| format!("{error:?}"))?.into_data() {
                Ok(data) => bytes.extend_from_slice(&data),
                Err(frame) => trailers = frame.trailers_ref().and_then(Status::from_header_map),
            }
        }
        Ok(RawAnswer {
            http: head.status.as_u16(),
            status: Status::from_header_map(&head.headers).or(trailers),
            messages: unframed(bytes.into()),
        })
    }
}

fn unframed(mut bytes: Bytes) -> Vec<Bytes> {
    let mut messages = Vec::new();
    while bytes.len() >= 5 {
        let head = bytes.split_to(5);
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        messages.push(bytes.split_to(length.min(bytes.len())));
    }
    messages
}
