//! An authority that signs certificates for servers, and the folder that they are put into.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use client_tls::Trust;
use control_plane::server::tls::TlsSettings;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::pki_types::CertificateDer;

/// Issues certificates, and has a folder for them and for its own.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

/// A certificate and its key.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) der: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("rollcall-tls-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();

        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        fs::write(folder.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), folder }
    }

    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |_| {})
    }

    pub(crate) fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }

    /// Puts a certificate where the server looks, one file after the other.
    pub(crate) fn install(&self, issued: &Issued) -> TlsSettings {
        self.install_into(&self.folder, issued)
    }

    /// Puts a certificate where another server looks.
    pub(crate) fn install_into(&self, folder: &Path, issued: &Issued) -> TlsSettings {
        write(folder, &issued.certificate, &issued.key)
    }

    pub(crate) fn install_texts(&self, certificate: &str, key: &str) -> TlsSettings {
        write(&self.folder, certificate, key)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a client has that was given the authority's file.
    pub(crate) fn trust(&self) -> Trust {
        Trust::of_file(&self.file()).unwrap()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn write(folder: &Path, certificate: &str, key: &str) -> TlsSettings {
    fs::create_dir_all(folder).unwrap();
    let settings = TlsSettings { certificate: folder.join("server.pem"), key: folder.join("server.key") };
    fs::write(&settings.certificate, certificate).unwrap();
    fs::write(&settings.key, key).unwrap();
    settings
}
