//! Clients that mean ill, or do not know better.

use std::time::{Duration, Instant};

use control_plane::server::tls::{AcceptBounds, Transport};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    authority::Authority,
    server::{BOUNDS, Server, check},
};

#[tokio::test]
async fn a_client_in_clear_is_told_and_disturbs_nobody() {
    let authority = Authority::new();
    let server = Server::with_names(&authority, &["127.0.0.1"]).await;
    let trust = authority.trust();
    let kept = server.endpoint("https", &trust).connect().await.unwrap();

    for (words, answer) in [
        (&b"GET /peer HTTP/1.1\r\nhost: h\r\n\r\n"[..], &b"HTTP/1.1 400 "[..]),
        // Empty settings, and after the first request the end of the connection.
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\0\x01\x05\0\0\0\x01",
            &[0, 0, 0, 4, 0, 0, 0, 0, 0],
        ),
    ] {
        let mut bare = TcpStream::connect(server.address).await.unwrap();
        bare.write_all(words).await.unwrap();
        let mut told = Vec::new();
        // It hangs up after what it says.
        bare.read_to_end(&mut told).await.unwrap();
        assert!(told.starts_with(answer), "{told:?}");
        assert!(String::from_utf8_lossy(&told).contains("this port speaks TLS"), "{told:?}");
    }
    // Words of no protocol that is known here.
    let mut bare = TcpStream::connect(server.address).await.unwrap();
    bare.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").await.unwrap();
    // An alert, or a reset; in any case it ends.
    let _ = bare.read_to_end(&mut Vec::new()).await;
    // A client of ours shows the words, be it quick or slow.
    for _ in 0..50 {
        let channel = server.endpoint("http", &trust).connect().await.unwrap();
        let status = check(channel).await.unwrap_err();
        let mut cause: &dyn std::error::Error = &status;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        assert!(cause.to_string().contains("this port speaks TLS: call it by https://"), "{status:?}");
    }

    check(kept).await.unwrap();
    server.call(&trust).await.unwrap();
}

#[tokio::test]
async fn who_says_nothing_does_not_hold_up_the_others() {
    let authority = Authority::new();
    let server = Server::with_names(&authority, &["127.0.0.1"]).await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let begun = Instant::now();
    for _ in 0..4 {
        server.call(&authority.trust()).await.unwrap();
    }
    assert!(begun.elapsed() < BOUNDS.handshake, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn who_says_nothing_is_dropped_at_the_deadline_and_makes_room() {
    let bounds = AcceptBounds { handshake: Duration::from_millis(500), handshakes_max: 2, ..BOUNDS };
    let authority = Authority::new();
    let settings = authority.install(&authority.issue(&["127.0.0.1"]));
    let server = Server::start(Transport::tls(settings).await.unwrap(), bounds).await;
    let begun = Instant::now();
    let mut silent = [
        TcpStream::connect(server.address).await.unwrap(),
        TcpStream::connect(server.address).await.unwrap(),
    ];
    server.call(&authority.trust()).await.unwrap();
    assert!(begun.elapsed() >= bounds.handshake, "the bound was not kept: {:?}", begun.elapsed());
    for stream in &mut silent {
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0, "the server hangs up without a word");
    }
}

#[tokio::test]
async fn who_leaves_in_the_middle_disturbs_nobody() {
    let authority = Authority::new();
    let server = Server::with_names(&authority, &["127.0.0.1"]).await;
    for _ in 0..32 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // The head of a handshake record, and no body.
        stream.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    }
    server.call(&authority.trust()).await.unwrap();
}
