//! Certificates that are replaced while they are served.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use control_plane::server::tls::{TlsSettings, Transport};
use tokio::task::JoinSet;
use tokio_rustls::rustls::{pki_types::CertificateDer, version::TLS13};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::{
    authority::{Authority, Issued},
    server::{BOUNDS, Server, check},
    wait::eventually,
};

const HERE: &[&str] = &["127.0.0.1"];

/// The certificate that a new connection sees.
async fn presented(server: &Server, authority: &Authority) -> CertificateDer<'static> {
    let stream = server.shake_hands(authority, &["h2"], &TLS13).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

async fn presents(what: &str, server: &Server, authority: &Authority, issued: &Issued) {
    eventually(what, async || presented(server, authority).await == issued.der).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replacement_costs_no_call() {
    let authority = Authority::new();
    let server = Arc::new(Server::with_names(&authority, HERE).await);
    let trust = authority.trust();
    let (stop, calls) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let mut clients = JoinSet::new();
    for number in 0..4 {
        let (server, trust) = (Arc::clone(&server), trust.clone());
        let (stop, calls) = (stop.clone(), Arc::clone(&calls));
        // Half of the clients keep their connection, half take a new one for each call.
        clients.spawn(async move {
            let connect = async || server.endpoint("https", &trust).connect().await;
            let kept: Channel = connect().await.unwrap();
            while !stop.is_cancelled() {
                let channel = if number % 2 == 0 { kept.clone() } else { connect().await.unwrap() };
                check(channel).await.unwrap();
                calls.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for round in 0..5 {
        let before = calls.load(Ordering::Relaxed);
        let issued = authority.issue(HERE);
        authority.install(&issued);
        presents("the new certificate is presented", &server, &authority, &issued).await;
        eventually("calls go on", async || calls.load(Ordering::Relaxed) > before + 20).await;
        assert_eq!(clients.len(), 4);
        assert!(clients.try_join_next().is_none(), "a client ended in round {round}");
    }
    stop.cancel();
    while let Some(ended) = clients.join_next().await {
        ended.expect("no call failed");
    }
}

#[tokio::test]
async fn bad_files_keep_the_old_certificate_and_good_ones_end_that() {
    let authority = Authority::new();
    let first = authority.issue(HERE);
    let settings = authority.install(&first);
    let server = Server::start(Transport::tls(settings.clone()).await.unwrap(), BOUNDS).await;

    let second = authority.issue(HERE);
    let expired = authority.issue_with(HERE, |params| params.not_after = rcgen::date_time_ymd(2000, 1, 1));
    for (certificate, key) in [
        (second.certificate.as_str(), first.key.as_str()),
        ("garbage", "garbage"),
        ("", ""),
        (expired.certificate.as_str(), expired.key.as_str()),
    ] {
        authority.install_texts(certificate, key);
        // Nothing is to happen, which cannot be waited for: this is several looks.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(presented(&server, &authority).await, first.der);
    }
    fs::remove_file(&settings.key).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(presented(&server, &authority).await, first.der);

    authority.install(&second);
    presents("the good certificate is presented", &server, &authority, &second).await;
}

#[tokio::test]
async fn a_link_that_is_turned_is_a_change() {
    let authority = Authority::new();
    let (first, second) = (authority.issue(HERE), authority.issue(HERE));
    let folder = authority.folder();
    for (name, issued) in [("one", &first), ("two", &second)] {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("tls.crt"), &issued.certificate).unwrap();
        fs::write(folder.join(name).join("tls.key"), &issued.key).unwrap();
    }
    symlink(folder.join("one"), folder.join("current")).unwrap();
    let current = folder.join("current");
    let settings = TlsSettings { certificate: current.join("tls.crt"), key: current.join("tls.key") };
    let server = Server::start(Transport::tls(settings).await.unwrap(), BOUNDS).await;
    assert_eq!(presented(&server, &authority).await, first.der);

    symlink(folder.join("two"), folder.join("next")).unwrap();
    fs::rename(folder.join("next"), &current).unwrap();
    presents("what the link points to is presented", &server, &authority, &second).await;

    // The server's trust in itself has moved along.
    let own = server.transport.endpoint_of_own(server.address, Duration::from_secs(5)).unwrap();
    check(own.connect().await.unwrap()).await.unwrap();
}
