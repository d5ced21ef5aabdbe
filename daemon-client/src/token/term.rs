//! From when to when a token is valid, as it says itself. Pure.
//!
//! A token is `v4.public.PAYLOAD.FOOTER`: the payload is JSON with a signature of 64 bytes behind it, in base64url. A
//! daemon has no key to check the signature with and needs none: what it reads decides only when it asks for a new
//! token, which the server then judges. A token that cannot be read is simply not renewed.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

const HEADER: &str = "v4.public.";
const SIGNATURE_BYTES: usize = 64;
/// No token is longer.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// A token's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) issued_at: OffsetDateTime,
    pub(crate) lifetime: Duration,
}

#[derive(Deserialize)]
struct Claims {
    iat: String,
    exp: String,
}

impl Term {
    /// Reads it in a token.
    pub(crate) fn of(token: &str) -> Option<Self> {
        let body = token.strip_prefix(HEADER).filter(|_| token.len() <= TEXT_BYTES_MAX)?;
        let payload = body.split('.').next()?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let claims = payload.get(..payload.len().checked_sub(SIGNATURE_BYTES)?)?;
        let Claims { iat, exp } = serde_json::from_slice(claims).ok()?;
        let issued_at = OffsetDateTime::parse(&iat, &Rfc3339).ok()?;
        let expires_at = OffsetDateTime::parse(&exp, &Rfc3339).ok()?;
        let lifetime = Duration::try_from(expires_at - issued_at).ok().filter(|life| !life.is_zero())?;
        Some(Self { issued_at, lifetime })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        let mut payload = claims.as_bytes().to_vec();
        payload.extend([0xA5; SIGNATURE_BYTES]);
        format!("{HEADER}{}", URL_SAFE_NO_PAD.encode(payload))
    }

    const CLAIMS: &str = r#"{"iat":"2026-03-01T12:00:00Z","exp":"2026-03-01T13:15:00+01:00","sub":"x"}"#;

    #[test]
    fn the_time_is_read_with_and_without_a_footer() {
        for text in [token(CLAIMS), format!("{}.Zm9vdGVy", token(CLAIMS))] {
            let term = Term::of(&text).unwrap();
            assert_eq!(term.lifetime, Duration::from_secs(15 * 60));
            assert_eq!(term.issued_at.unix_timestamp(), 1_772_366_400);
        }
    }

    #[test]
    fn what_cannot_be_read_has_no_time() {
        let backwards = r#"{"iat":"2026-03-01T12:00:00Z","exp":"2026-03-01T12:00:00Z"}"#;
        for text in [
            String::new(),
            "t0ken".to_owned(),
            HEADER.to_owned(),
            format!("{HEADER}AAAA"),
            format!("{HEADER}!!!"),
            token(""),
            token("[]"),
            token(r#"{"exp":"2026-03-01T12:00:00Z"}"#),
            token(r#"{"iat":1,"exp":2}"#),
            token(r#"{"iat":"2026-03-01T12:00:00Z","exp":"tomorrow"}"#),
            token(backwards),
            token(CLAIMS).replace("v4", "v3"),
            token(&format!("{CLAIMS}{}", " ".repeat(TEXT_BYTES_MAX))),
        ] {
            assert_eq!(Term::of(&text), None, "{text}");
        }
    }
}
