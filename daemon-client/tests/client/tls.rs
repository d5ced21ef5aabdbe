//! Servers behind TLS: whom a node trusts, and where it does not go.

use std::{
    fs,
    path::{Path, PathBuf},
};

use contracts::{Code, Refusal};
use daemon_client::{Config, Distrust, Handle, Setback, Standing, Trust, start};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tonic::transport::Identity;
use uuid::Uuid;

use crate::{
    node::{config, until, until_attached},
    server::{Running, Script},
};

/// Signs certificates, and has a folder with its own.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let name = format!("rollcall-tls-test-{}", Uuid::new_v4());
        let folder = std::env::temp_dir().join(&name);
        fs::create_dir_all(&folder).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        fs::write(folder.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), folder }
    }

    /// Starts a server with a certificate for `name`.
    pub(crate) async fn serve(&self, script: &Script, name: &str) -> Running {
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Running::start_tls(script, Identity::from_pem(certificate.pem(), key.serialize_pem())).await
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    fn trust(&self) -> Trust {
        Trust::of_file(&self.file()).unwrap()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn node(server: &Running, trust: Trust) -> Handle {
    start(Config { trust, ..config(server.secure_address()) })
}

async fn until_distrusted(node: &Handle, expected: Distrust) {
    let standing = until(node, "distrust", |standing| {
        matches!(standing, Standing::Connecting { setback: Some(Setback::Distrusted { distrust, .. }) }
            if *distrust == expected)
    })
    .await;
    let Standing::Connecting { setback: Some(setback) } = standing else { panic!("{standing:?}") };
    assert!(setback.to_string().contains(&expected.to_string()), "{setback}");
}

#[tokio::test]
async fn a_node_attaches_to_a_server_that_it_trusts() {
    let (script, authority) = (Script::new(), Authority::new());
    let server = authority.serve(&script, "127.0.0.1").await;
    let node = node(&server, authority.trust());
    until_attached(&node).await;
    script.more_beats(2).await;
}

#[tokio::test]
async fn a_name_that_was_asked_for_stands_in_for_the_address() {
    let (script, authority) = (Script::new(), Authority::new());
    let server = authority.serve(&script, "rollcall.example").await;
    until_distrusted(&node(&server, authority.trust()), Distrust::OtherName).await;
    assert_eq!(script.attaches(), 0);
    until_attached(&node(&server, authority.trust().expecting("rollcall.example").unwrap())).await;
}

#[tokio::test]
async fn a_server_of_another_authority_is_told_nothing() {
    let (script, authority) = (Script::new(), Authority::new());
    let server = authority.serve(&script, "127.0.0.1").await;
    until_distrusted(&node(&server, Authority::new().trust()), Distrust::UnknownIssuer).await;
    assert_eq!(script.attaches(), 0);
}

#[tokio::test]
async fn a_server_in_clear_is_told_nothing() {
    let script = Script::new();
    let server = Running::start(&script).await;
    until_distrusted(&node(&server, Authority::new().trust()), Distrust::NoTls).await;
    assert_eq!(script.attaches(), 0);
}

#[tokio::test]
async fn an_address_in_clear_is_not_followed() {
    let (script, authority, elsewhere) = (Script::new(), Authority::new(), Script::new());
    let in_clear = Running::start(&elsewhere).await;
    let standby = Refusal::new(Code::ControllerStandby, "this server is a standby");
    script.refuse_attach(standby.with_fact("active_address", in_clear.address().to_string()));
    let server = authority.serve(&script, "127.0.0.1").await;
    let node = node(&server, authority.trust());
    until_attached(&node).await;
    assert_eq!((script.attaches(), elsewhere.attaches()), (2, 0));
}

#[tokio::test]
async fn an_address_with_tls_is_followed() {
    let (script, authority, active) = (Script::new(), Authority::new(), Script::new());
    let standby = Refusal::new(Code::ControllerStandby, "this server is a standby");
    let target = authority.serve(&active, "127.0.0.1").await;
    script.refuse_attach(standby.with_fact("active_address", target.secure_address().to_string()));
    let server = authority.serve(&script, "127.0.0.1").await;
    until_attached(&node(&server, authority.trust())).await;
    assert_eq!((script.attaches(), active.attaches()), (1, 1));
}
