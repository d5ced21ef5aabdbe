//! The authorities that a client trusts: those of the system, or those of a file in their place.

use std::{
    fs,
    path::Path,
    sync::{Arc, OnceLock},
};

use tokio_rustls::rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::error::Error;

/// Whom to trust. Clones share what was read.
#[derive(Clone, Debug)]
pub(crate) enum Roots {
    /// Whom the system trusts. Read when first needed: who calls in clear needs none.
    System(Arc<OnceLock<Arc<WebPkiServerVerifier>>>),
    /// Whom a file names, and nobody else.
    File(Arc<WebPkiServerVerifier>),
}

impl Roots {
    pub(crate) fn system() -> Self {
        Self::System(Arc::default())
    }

    pub(crate) fn of_file(path: &Path) -> Result<Self, Error> {
        let text = fs::read(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
        let certificates = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Error::NotPem { path: path.to_owned() })?;
        if certificates.is_empty() {
            return Err(Error::NoCertificate { path: path.to_owned() });
        }
        let mut store = RootCertStore::empty();
        for (index, certificate) in certificates.into_iter().enumerate() {
            store.add(certificate).map_err(|source| Error::MalformedCertificate {
                path: path.to_owned(),
                position: index + 1,
                source,
            })?;
        }
        verifier(store).map(Self::File)
    }

    pub(crate) fn verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        let verifier = match self {
            Self::File(verifier) => verifier,
            Self::System(read) => match read.get() {
                Some(verifier) => verifier,
                None => {
                    let verifier = system_verifier()?;
                    read.get_or_init(|| verifier)
                }
            },
        };
        Ok(Arc::clone(verifier) as _)
    }
}

fn system_verifier() -> Result<Arc<WebPkiServerVerifier>, Error> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "some root certificates of the system cannot be read");
    }
    let mut store = RootCertStore::empty();
    // Systems also carry certificates that are too old to be understood.
    let (usable, _) = store.add_parsable_certificates(found.certs);
    if usable == 0 {
        return Err(Error::NoSystemRoots);
    }
    verifier(store)
}

fn verifier(store: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, Error> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::new(ring::default_provider()))
        .build()
        .map_err(|error| Error::Unsupported(error.into()))
}
