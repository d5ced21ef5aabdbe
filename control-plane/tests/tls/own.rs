//! The server that calls itself.

use std::time::Duration;

use client_tls::Distrust;
use control_plane::server::tls::Transport;

use crate::{
    authority::Authority,
    server::{BOUNDS, Server, check},
};

const DEADLINE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_server_trusts_itself_whatever_its_certificate_names() {
    let authority = Authority::new();
    let server = Server::with_names(&authority, &["rollcall.example"]).await;
    let own = server.transport.endpoint_of_own(server.address, DEADLINE).unwrap();
    check(own.connect_lazy()).await.unwrap();
}

#[tokio::test]
async fn a_server_trusts_nobody_else_in_its_place() {
    let authority = Authority::new();
    let server = Server::with_names(&authority, &["rollcall.example"]).await;
    // The same name by the same authority, at the same address: still another certificate.
    let folder = authority.folder().join("impostor");
    let settings = authority.install_into(&folder, &authority.issue(&["rollcall.example"]));
    let impostor = Server::start(Transport::tls(settings).await.unwrap(), BOUNDS).await;
    let own = server.transport.endpoint_of_own(impostor.address, DEADLINE).unwrap();
    let error = own.connect().await.unwrap_err();
    assert_eq!(Distrust::of(&error), Some(Distrust::BadCertificate));
}

#[tokio::test]
async fn a_server_in_clear_calls_itself_in_clear() {
    let server = Server::start(Transport::Plaintext, BOUNDS).await;
    let anywhere = ([0, 0, 0, 0], server.address.port()).into();
    let own = server.transport.endpoint_of_own(anywhere, DEADLINE).unwrap();
    check(own.connect().await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_server_knows_by_which_hosts_its_certificate_lets_it_be_called() {
    let authority = Authority::new();
    let names = ["rollcall.example", "*.fleet.example", "192.0.2.7", "2001:db8::7"];
    let server = Server::with_names(&authority, &names).await;
    for host in ["rollcall.example", "one.fleet.example", "192.0.2.7", "[2001:db8::7]"] {
        assert!(server.transport.is_called_by(host), "{host}");
    }
    for host in ["other.example", "one.two.fleet.example", "127.0.0.1", "[::1]", "no name"] {
        assert!(!server.transport.is_called_by(host), "{host}");
    }
    assert!(Transport::Plaintext.is_called_by("whatever.example"));
}
