//! Files that cannot be used, and what is said about them.

use std::{fs, path::Path};

use client_tls::Trust;
use control_plane::server::tls::{Error, TlsSettings, Transport};

use crate::authority::Authority;

async fn refused(settings: &TlsSettings) -> Error {
    Transport::tls(settings.clone()).await.unwrap_err()
}

/// Each error names the file that is to blame.
#[track_caller]
fn names(error: &impl std::fmt::Display, file: &Path) {
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let authority = Authority::new();
    let settings = authority.install(&authority.issue(&["h"]));
    fs::remove_file(&settings.key).unwrap();
    let error = refused(&settings).await;
    assert!(matches!(&error, Error::Unreadable { path, .. } if *path == settings.key), "{error}");
    names(&error, &settings.key);
    fs::remove_file(&settings.certificate).unwrap();
    let error = refused(&settings).await;
    assert!(matches!(&error, Error::Unreadable { path, .. } if *path == settings.certificate), "{error}");
}

#[tokio::test]
async fn garbage_is_told_from_damage() {
    let authority = Authority::new();
    let issued = authority.issue(&["h"]);
    for garbage in ["", "garbage", "\u{0}\u{1}", &issued.key] {
        let settings = authority.install_texts(garbage, &issued.key);
        let error = refused(&settings).await;
        assert!(matches!(error, Error::NoCertificate { .. }), "{error}");
        names(&error, &settings.certificate);
    }
    for garbage in ["", "garbage", &issued.certificate] {
        let settings = authority.install_texts(&issued.certificate, garbage);
        let error = refused(&settings).await;
        assert!(matches!(error, Error::NoKey { .. }), "{error}");
        names(&error, &settings.key);
    }
    let half = &issued.certificate[..issued.certificate.len() / 2];
    let error = refused(&authority.install_texts(half, &issued.key)).await;
    assert!(matches!(error, Error::NotPem { what: "a section has no end", .. }), "{error}");
    let scratched = issued.certificate.replacen("MII", "M!I", 1);
    let error = refused(&authority.install_texts(&scratched, &issued.key)).await;
    assert!(matches!(error, Error::NotPem { .. } | Error::MalformedCertificate { .. }), "{error}");
    let hollow = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let second_is_hollow = format!("{}{hollow}", issued.certificate);
    let error = refused(&authority.install_texts(&second_is_hollow, &issued.key)).await;
    assert!(matches!(error, Error::MalformedCertificate { position: 2, .. }), "{error}");
    let hollow = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let error = refused(&authority.install_texts(&issued.certificate, hollow)).await;
    assert!(matches!(error, Error::UnusableKey { .. }), "{error}");
}

#[tokio::test]
async fn an_encrypted_key_is_told_apart() {
    let authority = Authority::new();
    let issued = authority.issue(&["h"]);
    for key in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n\
         -----END RSA PRIVATE KEY-----\n",
    ] {
        let error = refused(&authority.install_texts(&issued.certificate, key)).await;
        assert!(matches!(error, Error::EncryptedKey { .. }), "{error}");
    }
}

#[tokio::test]
async fn the_key_of_another_certificate_is_refused() {
    let authority = Authority::new();
    let (one, other) = (authority.issue(&["h"]), authority.issue(&["h"]));
    let settings = authority.install_texts(&one.certificate, &other.key);
    let error = refused(&settings).await;
    assert!(matches!(error, Error::KeyMismatch { .. }), "{error}");
    names(&error, &settings.certificate);
    names(&error, &settings.key);
    // So is a chain whose first certificate is not the server's own.
    let authority_first = format!("{}{}", fs::read_to_string(authority.file()).unwrap(), one.certificate);
    let error = refused(&authority.install_texts(&authority_first, &one.key)).await;
    assert!(matches!(error, Error::KeyMismatch { .. }), "{error}");
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_refused_with_the_date() {
    let authority = Authority::new();
    let over = authority.issue_with(&["h"], |params| params.not_after = rcgen::date_time_ymd(2001, 2, 3));
    let error = refused(&authority.install(&over)).await;
    assert!(matches!(error, Error::Expired { .. }), "{error}");
    assert!(error.to_string().contains("2001-02-03"), "{error}");
    let to_come = authority.issue_with(&["h"], |params| params.not_before = rcgen::date_time_ymd(2999, 2, 3));
    let error = refused(&authority.install(&to_come)).await;
    assert!(matches!(error, Error::NotYetValid { .. }), "{error}");
    assert!(error.to_string().contains("2999-02-03"), "{error}");
}

#[test]
fn a_client_refuses_files_that_name_nobody_to_trust() {
    let authority = Authority::new();
    let file = authority.folder().join("trusted.pem");
    let error = Trust::of_file(&file).unwrap_err();
    assert!(matches!(error, client_tls::Error::Unreadable { .. }), "{error}");
    names(&error, &file);
    fs::write(&file, "garbage").unwrap();
    let error = Trust::of_file(&file).unwrap_err();
    assert!(matches!(error, client_tls::Error::NoCertificate { .. }), "{error}");
    fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
    let error = Trust::of_file(&file).unwrap_err();
    assert!(matches!(error, client_tls::Error::NotPem { .. }), "{error}");
    fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let error = Trust::of_file(&file).unwrap_err();
    assert!(matches!(error, client_tls::Error::MalformedCertificate { position: 1, .. }), "{error}");
    for name in ["", "a b", "http://h", "h:1"] {
        let error = authority.trust().expecting(name).unwrap_err();
        assert!(matches!(error, client_tls::Error::ServerName(_)), "{error}");
    }
}
