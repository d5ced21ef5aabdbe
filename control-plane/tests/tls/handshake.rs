//! Clients and servers that get along, and those that rightly do not.

use std::sync::Arc;

use client_tls::{Distrust, Error, Trust};
use control_plane::server::tls::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::{
    HandshakeKind,
    version::{TLS12, TLS13},
};

use crate::{
    authority::Authority,
    server::{BOUNDS, Server, bare_client, check},
};

/// The name of an address that all tests use.
const HERE: &str = "127.0.0.1";

#[tokio::test]
async fn both_versions_are_spoken_and_the_better_protocol_is_chosen() {
    let authority = Authority::new();
    let server = Server::with_names(&authority, &[HERE]).await;
    for version in [&TLS12, &TLS13] {
        for (offered, chosen) in [
            (&["http/1.1", "h2"][..], Some("h2")),
            (&["h2"][..], Some("h2")),
            (&["http/1.1"][..], Some("http/1.1")),
            (&[][..], None),
        ] {
            let stream = server.shake_hands(&authority, offered, version).await.unwrap();
            assert_eq!(
                stream.get_ref().1.alpn_protocol(),
                chosen.map(str::as_bytes),
                "{version:?} {offered:?}"
            );
        }
        assert!(server.shake_hands(&authority, &["smtp"], version).await.is_err(), "{version:?}");
    }
}

#[tokio::test]
async fn no_connection_goes_on_from_another() {
    let authority = Authority::new();
    let server = Server::with_names(&authority, &[HERE]).await;
    for version in [&TLS12, &TLS13] {
        let client = bare_client(&authority, &["http/1.1"], version);
        for _ in 0..2 {
            let mut stream = server.shake_hands_as(Arc::clone(&client)).await.unwrap();
            // A ticket would come with the answer.
            stream.write_all(b"GET /peer HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full), "{version:?}");
        }
    }
}

#[tokio::test]
async fn grpc_and_http_1_share_the_port_and_know_their_peer() {
    let authority = Authority::new();
    let server = Server::with_names(&authority, &[HERE]).await;
    server.call(&authority.trust()).await.unwrap();

    let mut stream = server.shake_hands(&authority, &["http/1.1"], &TLS13).await.unwrap();
    let own = stream.get_ref().0.local_addr().unwrap();
    stream.write_all(b"GET /peer HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with(&own.to_string()), "{answer}");
}

#[tokio::test]
async fn plaintext_goes_through_the_same_types() {
    let server = Server::start(Transport::Plaintext, BOUNDS).await;
    assert_eq!(server.transport.scheme(), "http");
    let endpoint = server.endpoint("http", &Trust::of_system());
    check(endpoint.connect().await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn who_is_not_trusted_is_refused_with_the_reason() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Server::with_names(&authority, &["rollcall.example"]).await;
    let refused = async |trust: Trust| Distrust::of(&server.call(&trust).await.unwrap_err());

    assert_eq!(refused(authority.trust()).await, Some(Distrust::OtherName));
    let expecting = |authority: &Authority, name| authority.trust().expecting(name).unwrap();
    assert_eq!(refused(expecting(&other, "rollcall.example")).await, Some(Distrust::UnknownIssuer));
    assert_eq!(refused(expecting(&authority, "other.example")).await, Some(Distrust::OtherName));
    server.call(&expecting(&authority, "rollcall.example")).await.unwrap();
}

#[tokio::test]
async fn the_roots_of_the_system_do_not_have_a_stranger() {
    let authority = Authority::new();
    let server = Server::with_names(&authority, &[HERE]).await;
    let endpoint = tonic::transport::Endpoint::from_shared(format!("https://{}", server.address)).unwrap();
    match Trust::of_system().secure(endpoint) {
        Ok(endpoint) => {
            let error = endpoint.connect().await.unwrap_err();
            assert_eq!(Distrust::of(&error), Some(Distrust::UnknownIssuer));
        }
        Err(error) => assert!(matches!(error, Error::NoSystemRoots), "{error}"),
    }
}

#[tokio::test]
async fn a_lazy_channel_tells_its_distrust_by_the_status() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Server::with_names(&authority, &[HERE]).await;
    let status = check(server.endpoint("https", &other.trust()).connect_lazy()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert_eq!(Distrust::of(&status), Some(Distrust::UnknownIssuer));
}

#[tokio::test]
async fn a_client_that_wants_tls_does_not_talk_without() {
    let authority = Authority::new();
    let server = Server::start(Transport::Plaintext, BOUNDS).await;
    let error = server.call(&authority.trust()).await.unwrap_err();
    assert_eq!(Distrust::of(&error), Some(Distrust::NoTls));
}
