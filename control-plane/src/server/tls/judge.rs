//! What clients will think of a certificate, as far as it can be known without their roots.
//!
//! The verifier is asked to verify it against no roots at all: it looks at the certificate first and for the issuer last,
//! so that an unknown issuer means that nothing else is wrong.

use std::time::Duration;

use time::OffsetDateTime;
use tokio_rustls::rustls::{
    CertificateError, Error, RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    pki_types::{CertificateDer, UnixTime},
    server::ParsedCertificate,
};

/// What a certificate is worth at a moment.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Clients that trust its issuer accept it.
    Acceptable,
    /// Its time is over.
    Expired(OffsetDateTime),
    /// Its time has not come.
    NotYetValid(OffsetDateTime),
    /// Clients refuse it for another reason, such as one that may only sign others. Some clients are less strict.
    Doubtful(Error),
}

/// Judges the certificate of a server, at a moment.
pub(super) fn judge(certificate: &ParsedCertificate<'_>, now: UnixTime) -> Verdict {
    match verify(certificate, now) {
        Ok(()) | Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => Verdict::Acceptable,
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Verdict::Expired(date(not_after))
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
            Verdict::NotYetValid(date(not_before))
        }
        Err(error) => Verdict::Doubtful(error),
    }
}

/// When a certificate expires, where that can be read.
pub(super) fn expiry(certificate: &CertificateDer<'_>) -> Option<OffsetDateTime> {
    // After the end of all dates every certificate has expired, and the verifier names the date.
    let after_all = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    match judge(&ParsedCertificate::try_from(certificate).ok()?, after_all) {
        Verdict::Expired(not_after) => Some(not_after),
        Verdict::Acceptable | Verdict::NotYetValid(_) | Verdict::Doubtful(_) => None,
    }
}

fn verify(certificate: &ParsedCertificate<'_>, now: UnixTime) -> Result<(), Error> {
    verify_server_cert_signed_by_trust_anchor(certificate, &RootCertStore::empty(), &[], now, &[])
}

fn date(moment: UnixTime) -> OffsetDateTime {
    // Certificates cannot say a year after 9999, so that no date is out of range.
    i64::try_from(moment.as_secs())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["rollcall.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().into()
    }

    fn judge_in(year: i32, certificate: &CertificateDer<'_>) -> Verdict {
        let seconds = u64::try_from(date_time_ymd(year, 6, 1).unix_timestamp()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        judge(&ParsedCertificate::try_from(certificate).unwrap(), now)
    }

    #[test]
    fn a_certificate_has_its_time() {
        let certificate = certificate(|_| {});
        assert!(
            matches!(judge_in(2019, &certificate), Verdict::NotYetValid(at) if at == date_time_ymd(2020, 1, 1))
        );
        assert!(matches!(judge_in(2025, &certificate), Verdict::Acceptable));
        assert!(
            matches!(judge_in(2030, &certificate), Verdict::Expired(at) if at == date_time_ymd(2030, 1, 1))
        );
        assert_eq!(expiry(&certificate), Some(date_time_ymd(2030, 1, 1)));
    }

    #[test]
    fn one_without_an_end_is_read() {
        let certificate = certificate(|params| params.not_after = date_time_ymd(9999, 12, 31));
        assert!(matches!(judge_in(2025, &certificate), Verdict::Acceptable));
        assert_eq!(expiry(&certificate), Some(date_time_ymd(9999, 12, 31)));
    }

    #[test]
    fn one_for_another_purpose_is_doubtful() {
        let authority = certificate(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
        assert!(matches!(judge_in(2025, &authority), Verdict::Doubtful(_)));
        let client =
            certificate(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
        assert!(matches!(judge_in(2025, &client), Verdict::Doubtful(_)));
    }
}
