//! What a token says, and when it is valid.

use serde_json::{Value, json};
use time::{Duration as Span, PrimitiveDateTime, UtcOffset};

use super::super::{
    claims::{Audience, TokenId},
    mint::MintError,
};
use super::*;

#[test]
fn a_token_says_what_was_granted() {
    let ring = ring();
    let grant = grant();
    let minted = mint(&ring, &grant, NOW + Span::milliseconds(900)).unwrap();
    let claims = verify(&ring, minted.token.reveal(), NOW).unwrap();
    assert_eq!(claims, minted.claims);
    assert_eq!((claims.participant, claims.scopes), (grant.participant, grant.scopes));
    assert_eq!((claims.issued_at, claims.expires_at), (NOW, NOW + LIFETIME));
    assert_eq!(claims.audience, Audience::Rollcall);
    assert_eq!(TokenId::parse(&claims.token_id.to_string()), Some(claims.token_id));
    assert_ne!(mint(&ring, &grant, NOW).unwrap().claims.token_id, claims.token_id);
    assert!(minted.token.reveal().len() < 500, "{}", minted.token.reveal().len());
    assert!(!format!("{minted:?}").contains(minted.token.reveal()));
}

#[test]
fn the_payload_has_the_registered_claims_and_no_issuer() {
    let ring = ring();
    let claims = minted(&ring).claims;
    let expected = json!({
        "sub": claims.participant.to_string(),
        "scope": "node session:read",
        "aud": "rollcall",
        "iat": "2026-03-01T12:00:00Z",
        "exp": "2026-03-01T12:15:00Z",
        "jti": claims.token_id.to_string(),
    });
    assert_eq!(serde_json::to_value(Payload::from(&claims)).unwrap(), expected);
}

#[test]
fn an_end_has_no_leeway() {
    let ring = ring();
    let minted = minted(&ring);
    let at = minted.claims.expires_at;
    let judged = |now| verify(&ring, minted.token.reveal(), now).err();
    assert_eq!(judged(at - Span::nanoseconds(1)), None);
    assert_eq!(judged(at), Some(VerifyError::Expired { at }));
    let told = judged(at).unwrap().to_string();
    assert_eq!(told, "it was valid until 2026-03-01T12:15:00Z; obtain a new token");
    assert_eq!(judged(at + Span::days(365_000)), Some(VerifyError::Expired { at }));
}

#[test]
fn a_clock_may_be_five_seconds_behind_the_one_that_dated_the_token() {
    let ring = ring();
    let minted = minted(&ring);
    let issued_at = minted.claims.issued_at;
    let judged = |now| verify(&ring, minted.token.reveal(), now).err();
    assert_eq!(judged(issued_at - Span::seconds(5)), None);
    let early = Some(VerifyError::NotYetValid { issued_at });
    assert_eq!(judged(issued_at - Span::seconds(5) - Span::nanoseconds(1)), early);
    assert_eq!(judged(PrimitiveDateTime::MIN.assume_utc()), early);
}

#[test]
fn the_callers_offset_does_not_matter() {
    let ring = ring();
    let elsewhere = NOW.to_offset(UtcOffset::from_hms(14, 0, 0).unwrap());
    let minted = mint(&ring, &grant(), elsewhere).unwrap();
    assert_eq!(minted.claims.issued_at, NOW);
    assert!(verify(&ring, minted.token.reveal(), elsewhere).is_ok());
}

#[test]
fn what_could_never_be_valid_is_not_minted() {
    let ring = ring();
    let minted = |lifetime, now| mint(&ring, &Grant { lifetime, ..grant() }, now).map(drop);
    assert_eq!(minted(Duration::from_millis(999), NOW), Err(MintError::LifetimeTooShort));
    assert_eq!(minted(Duration::from_secs(1), NOW), Ok(()));
    assert_eq!(minted(Duration::MAX, NOW), Err(MintError::Time));
    assert_eq!(minted(LIFETIME, at("1969-12-31T23:59:59Z")), Err(MintError::Time));
    assert_eq!(minted(LIFETIME, at("9999-12-31T23:59:59Z")), Err(MintError::Time));
    assert_eq!(minted(LIFETIME, at("9999-12-31T23:59:59-01:00")), Err(MintError::Time));
}

#[test]
fn claims_that_we_do_not_write_are_refused_though_we_signed_them() {
    let ring = ring();
    let good = payload(&ring);
    assert_eq!(verdict(&ring, &good.to_string()), None);

    let with = |claim: &str, value: Value| {
        let mut changed = good.clone();
        changed[claim] = value;
        verdict(&ring, &changed.to_string())
    };
    for aud in ["", "Rollcall", "rollcall ", "other"] {
        assert_eq!(with("aud", aud.into()), Some(VerifyError::WrongAudience), "{aud:?}");
    }
    let bad = Some(VerifyError::BadClaims);
    for (claim, value) in [
        ("aud", json!(["rollcall"])),
        ("sub", json!("")),
        ("sub", json!("00000000-0000-0000-0000-000000000000")),
        ("sub", json!(Uuid::new_v4().simple().to_string())),
        ("sub", json!(7)),
        ("scope", json!("")),
        ("scope", json!("root")),
        ("scope", json!("node  admin")),
        ("scope", json!("node node")),
        ("scope", json!(["node"])),
        ("jti", json!(Uuid::new_v4().to_string())),
        ("jti", json!("")),
        ("exp", good["iat"].clone()),
        ("exp", json!("2026-03-01T11:59:59Z")),
        ("exp", json!("2026-03-01T13:15:00+01:00")),
        ("exp", json!("9999-12-31T23:59:59-23:59")),
        ("exp", json!("0000-01-01T00:00:00+23:59")),
        ("exp", json!(1_772_366_400)),
        ("iat", json!("yesterday")),
        ("nbf", json!("2026-03-01T12:00:00Z")),
        ("iss", json!("rollcall")),
    ] {
        assert_eq!(with(claim, value.clone()), bad, "{claim} {value}");
    }
    for claim in ["sub", "scope", "aud", "exp", "iat", "jti"] {
        let mut less = good.clone();
        less.as_object_mut().unwrap().remove(claim);
        assert_eq!(verdict(&ring, &less.to_string()), bad, "{claim}");
    }
    let twice = good.to_string().replacen('{', r#"{"scope":"admin","#, 1);
    for text in ["null", "[]", "{}", "\"\"", "{", &"[".repeat(1000), &twice, &format!("{good}{good}")] {
        assert_eq!(verdict(&ring, text), bad, "{text}");
    }
}
