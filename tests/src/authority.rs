//! An authority that signs certificates, and the files that a server reads them from.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use client_tls::Trust;
use control_plane::auth::now;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use uuid::Uuid;

/// Signs certificates. Its folder, with theirs, goes with its last clone.
#[derive(Clone, Debug)]
pub struct Authority(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// In PEM.
    pub text: String,
    /// In PEM.
    pub key: String,
    /// As it is presented.
    pub der: Vec<u8>,
}

impl Authority {
    /// Makes one, and its folder.
    pub fn new() -> Self {
        let name = format!("rollcall-authority-{}", Uuid::new_v4());
        let folder = std::env::temp_dir().join(&name);
        fs::create_dir(&folder).expect("a folder can be made");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let own = params.self_signed(&key).expect("it signs itself");
        fs::write(folder.join("ca.pem"), own.pem()).expect("a file can be written");
        Self(Arc::new(Inner { issuer: Issuer::new(params, key), folder }))
    }

    /// Signs a certificate for these names and addresses.
    pub fn issue(&self, names: &[&str]) -> Certificate {
        self.issue_for(names, Duration::from_secs(365 * 24 * 60 * 60))
    }

    /// Signs a certificate that is good for so long.
    pub fn issue_for(&self, names: &[&str], lifetime: Duration) -> Certificate {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("the names are some");
        params.not_after = now() + lifetime;
        let key = KeyPair::generate().expect("a key can be made");
        let signed = params.signed_by(&key, &self.0.issuer).expect("it signs");
        Certificate { text: signed.pem(), key: key.serialize_pem(), der: signed.der().to_vec() }
    }

    /// Overwrites the server's files, one after the other.
    pub fn write(&self, certificate: &Certificate) {
        write(&self.certificate_file(), &certificate.text);
        write(&self.key_file(), &certificate.key);
    }

    /// Puts new files in the place of the server's, one after the other.
    pub fn rename(&self, certificate: &Certificate) {
        for (file, text) in
            [(self.certificate_file(), &certificate.text), (self.key_file(), &certificate.key)]
        {
            let next = file.with_extension("next");
            write(&next, text);
            fs::rename(next, file).expect("a file can be renamed");
        }
    }

    /// Of the authority itself, for `--ca-cert`.
    pub fn file(&self) -> PathBuf {
        self.0.folder.join("ca.pem")
    }

    /// For `--tls-cert`.
    pub fn certificate_file(&self) -> PathBuf {
        self.0.folder.join("server.pem")
    }

    /// For `--tls-key`.
    pub fn key_file(&self) -> PathBuf {
        self.0.folder.join("server.key")
    }

    /// What a client has that was given the authority's file.
    pub fn trust(&self) -> Trust {
        Trust::of_file(&self.file()).expect("the authority's own file can be used")
    }

    /// A bare connection to `address` that expects `name`, which speaks no more than HTTP/1.
    pub async fn connect(&self, address: &str, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(name.to_owned()).expect("the name is one");
        TlsConnector::from(Arc::new(bare_client(&self.file()))).connect(name, stream).await
    }

    /// The certificate that a new connection is shown.
    pub async fn presented(&self, address: &str, name: &str) -> Vec<u8> {
        let stream = self.connect(address, name).await.expect("the server is trusted");
        stream.get_ref().1.peer_certificates().expect("it shows its certificate")[0].to_vec()
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // It may be in use by a server that is about to end, or removed by somebody else.
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Writes over what is there, readable by its owner alone.
fn write(file: &Path, text: &str) {
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file);
    opened.expect("a file can be opened").write_all(text.as_bytes()).expect("a file can be written");
}

fn bare_client(file: &Path) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let own = CertificateDer::from_pem_file(file).expect("the authority's own file can be read");
    roots.add(own).expect("it can be trusted");
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the versions are known")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
