//! The files of a certificate and its key: read whole, or refused with the reason.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use tokio::fs;
use tokio_rustls::rustls::{
    self, InconsistentKeys,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer, UnixTime,
        pem::{self, PemObject},
    },
    server::ParsedCertificate,
    sign::CertifiedKey,
};

use super::{
    error::Error,
    judge::{Verdict, judge},
};

/// Permissions of those who are neither the owner nor in the group.
const OTHERS: u32 = 0o007;

/// Where the server's certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The chain in PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// The key of the first certificate in PEM: PKCS#8, SEC1 or PKCS#1, without a password.
    pub key: PathBuf,
}

/// What tells that a file is not the one it was. Also follows a link that is turned to another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileMark {
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

/// The marks of both files; none for a file that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    certificate: Option<FileMark>,
    key: Option<FileMark>,
}

impl TlsSettings {
    /// Reads both files, and checks that clients can be served with them.
    pub(super) async fn load(&self) -> Result<CertifiedKey, Error> {
        let chain = self.chain(&read(&self.certificate).await?)?;
        let key = self.key(&read(&self.key).await?)?;
        let key = ring::default_provider()
            .key_provider
            .load_private_key(key)
            .map_err(|source| Error::UnusableKey { path: self.key.clone(), source })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(Error::KeyMismatch {
                    certificate: self.certificate.clone(),
                    key: self.key.clone(),
                });
            }
            Err(source) => return Err(self.malformed(1, source)),
        }
        self.check(&certified, UnixTime::now())?;
        if self.key_is_open().await {
            tracing::warn!(key = %self.key.display(), "every user of this machine can read the key: chmod o= it");
        }
        Ok(certified)
    }

    /// The marks as they are now.
    pub(super) async fn marks(&self) -> Marks {
        Marks { certificate: mark(&self.certificate).await, key: mark(&self.key).await }
    }

    fn chain(&self, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
        let path = &self.certificate;
        let chain = CertificateDer::pem_slice_iter(text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| not_pem(path, &error))?;
        if chain.is_empty() {
            return Err(Error::NoCertificate { path: path.clone() });
        }
        for (index, certificate) in chain.iter().enumerate() {
            ParsedCertificate::try_from(certificate).map_err(|source| self.malformed(index + 1, source))?;
        }
        Ok(chain)
    }

    fn key(&self, text: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
        let path = || self.key.clone();
        match PrivateKeyDer::from_pem_slice(text) {
            Ok(key) => Ok(key),
            Err(_) if is_encrypted(text) => Err(Error::EncryptedKey { path: path() }),
            Err(pem::Error::NoItemsFound) => Err(Error::NoKey { path: path() }),
            Err(error) => Err(not_pem(&self.key, &error)),
        }
    }

    fn check(&self, certified: &CertifiedKey, now: UnixTime) -> Result<(), Error> {
        let path = || self.certificate.clone();
        let own = certified.end_entity_cert().and_then(ParsedCertificate::try_from);
        match judge(&own.map_err(|source| self.malformed(1, source))?, now) {
            Verdict::Acceptable => Ok(()),
            Verdict::Expired(not_after) => Err(Error::Expired { path: path(), not_after }),
            Verdict::NotYetValid(not_before) => Err(Error::NotYetValid { path: path(), not_before }),
            Verdict::Doubtful(error) => {
                tracing::warn!(certificate = %self.certificate.display(), %error, "most clients will refuse this certificate");
                Ok(())
            }
        }
    }

    /// Whether every user of the machine can read the key.
    pub(super) async fn key_is_open(&self) -> bool {
        let mode = fs::metadata(&self.key).await.map(|metadata| metadata.permissions().mode());
        mode.is_ok_and(|mode| mode & OTHERS != 0)
    }

    fn malformed(&self, position: usize, source: rustls::Error) -> Error {
        Error::MalformedCertificate { path: self.certificate.clone(), position, source }
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).await.map_err(|source| Error::Unreadable { path: path.to_owned(), source })
}

async fn mark(path: &Path) -> Option<FileMark> {
    let metadata = fs::metadata(path).await.ok()?;
    Some(FileMark { inode: metadata.ino(), bytes: metadata.len(), modified: metadata.modified().ok() })
}

/// The reader's own words would show lines of the file.
fn not_pem(path: &Path, error: &pem::Error) -> Error {
    let what = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a line that begins a section is damaged",
        pem::Error::Base64Decode(_) => "a section is not base64",
        pem::Error::SectionTooLarge => "a section is too large",
        pem::Error::Io(_) | pem::Error::NoItemsFound | _ => "it cannot be read",
    };
    Error::NotPem { path: path.to_owned(), what }
}

/// PKCS#8 says so by the section's name, the older forms by a header in it.
fn is_encrypted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED")
}
