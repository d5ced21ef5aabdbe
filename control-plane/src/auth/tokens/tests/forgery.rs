//! Tokens that we did not make.

use pasetors::{
    keys::SymmetricKey,
    version4::{LocalToken, PublicToken, V4},
};

use super::super::{footer, verify::TOKEN_BYTES_MAX};
use super::*;

fn judged(ring: &KeyRing, token: &str) -> Option<VerifyError> {
    verify(ring, token, NOW).err()
}

#[test]
fn a_key_of_another_ring_is_unknown_whatever_it_signed() {
    let (ours, theirs) = (ring(), ring());
    let kid = theirs.signing().kid();
    let token = minted(&theirs).token;
    assert_eq!(judged(&ours, token.reveal()), Some(VerifyError::UnknownKey { kid }));
}

#[test]
fn naming_our_key_does_not_make_a_signature_ours() {
    let (ours, theirs) = (ring(), ring());
    let payload = payload(&ours).to_string();
    let footer = footer::write(ours.signing().kid());
    let token =
        PublicToken::sign(theirs.signing().secret(), payload.as_bytes(), Some(footer.as_bytes()), None)
            .unwrap();
    assert_eq!(judged(&ours, &token), Some(VerifyError::BadSignature));
}

#[test]
fn a_footer_belongs_to_what_was_signed_with_it() {
    let former = ring();
    let ring = former.clone().with_key(RingKey::generate(NOW).unwrap()).unwrap();
    let other = ring.keys().map(|(_, key)| key).find(|key| key.kid() != ring.signing().kid()).unwrap();
    let footer_of = |token: &str| token.rsplit_once('.').unwrap().1.to_owned();
    let token = minted(&ring).token;
    let body = token.reveal().rsplit_once('.').unwrap().0;
    let others = sign(other, &payload(&ring).to_string()).unwrap();
    let moved = format!("{body}.{}", footer_of(others.reveal()));
    assert_eq!(judged(&ring, &moved), Some(VerifyError::BadSignature));
    assert_eq!(judged(&ring, &format!("{body}.{}", footer_of(token.reveal()))), None);

    // Signed by our key over another footer, or none.
    let key = ring.signing();
    let payload = payload(&ring).to_string();
    for footer in [None, Some("{}"), Some(r#"{"kid":"0"}"#), Some("x")] {
        let token =
            PublicToken::sign(key.secret(), payload.as_bytes(), footer.map(str::as_bytes), None).unwrap();
        assert_eq!(judged(&ring, &token), Some(VerifyError::Malformed), "{footer:?}");
    }
    let implicit = PublicToken::sign(
        key.secret(),
        payload.as_bytes(),
        Some(footer::write(key.kid()).as_bytes()),
        Some(b"x"),
    );
    assert_eq!(judged(&ring, &implicit.unwrap()), Some(VerifyError::BadSignature));
}

#[test]
fn no_other_version_or_purpose_is_taken_for_ours() {
    let ring = ring();
    let token = minted(&ring).token;
    let rest = token.reveal().strip_prefix("v4.public.").unwrap();
    for header in [
        "v4.local.",
        "v3.public.",
        "v3.local.",
        "v2.public.",
        "v2.local.",
        "v1.public.",
        "v4.Public.",
        "V4.public.",
        "v4.public",
        ".v4.public.",
        " v4.public.",
        "v4.public..",
        "Bearer v4.public.",
        "",
    ] {
        assert_eq!(judged(&ring, &format!("{header}{rest}")), Some(VerifyError::Malformed), "{header:?}");
    }

    // A secret-key token made with our public key, which everybody may know.
    let key = SymmetricKey::<V4>::from(ring.signing().public().as_bytes()).unwrap();
    let footer = footer::write(ring.signing().kid());
    let payload = payload(&ring).to_string();
    let local = LocalToken::encrypt(&key, payload.as_bytes(), Some(footer.as_bytes()), None).unwrap();
    assert_eq!(judged(&ring, &local), Some(VerifyError::Malformed));
    let relabelled = local.replacen("v4.local.", "v4.public.", 1);
    assert_eq!(judged(&ring, &relabelled), Some(VerifyError::BadSignature));
}

#[test]
fn what_is_cut_short_is_refused_wherever_it_is_cut() {
    let ring = ring();
    let token = minted(&ring).token;
    for end in 0..token.reveal().len() {
        assert!(judged(&ring, &token.reveal()[..end]).is_some(), "{end}");
        assert!(judged(&ring, &token.reveal()[end + 1..]).is_some(), "{end}");
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    let ring = ring();
    let token = minted(&ring).token;
    let token = token.reveal();
    for bad in [
        "",
        ".",
        "...",
        "....",
        "v4",
        "v4.public.",
        "v4.public..",
        "v4.public...",
        "v4.public.é",
        "v4.public.AA",
        "v4.public.AA.AA",
        "null",
        "\0",
        "ключ",
        "v4.public.\u{feff}",
    ] {
        assert_eq!(judged(&ring, bad), Some(VerifyError::Malformed), "{bad:?}");
    }
    for bad in [
        format!("{token}."),
        format!("{token}.AA"),
        format!("{token}="),
        format!("{token}\n"),
        format!(" {token}"),
        token.replacen('.', "\u{ff0e}", 1),
        token.replace('.', ".="),
        token.to_uppercase(),
    ] {
        assert_eq!(judged(&ring, &bad), Some(VerifyError::Malformed), "{bad:?}");
    }
}

#[test]
fn size_is_judged_before_anything_else() {
    let ring = ring();
    // A payload that we signed, padded to the limit and one beyond.
    let of_length = |padding: usize| {
        let payload = format!("{}{}", payload(&ring), " ".repeat(padding));
        sign(ring.signing(), &payload).unwrap()
    };
    // Base64 makes four bytes of three.
    let paddings = TOKEN_BYTES_MAX / 2..TOKEN_BYTES_MAX * 3 / 4;
    let fits = paddings.clone().rev().map(of_length).find(|token| token.reveal().len() <= TOKEN_BYTES_MAX);
    assert_eq!(judged(&ring, fits.unwrap().reveal()), None);
    let mut lengths = paddings.map(of_length);
    let exceeds = lengths.find(|token| token.reveal().len() > TOKEN_BYTES_MAX);
    assert_eq!(judged(&ring, exceeds.unwrap().reveal()), Some(VerifyError::Malformed));
    let huge = format!("v4.public.{}", "A".repeat(64 * 1024 * 1024));
    assert_eq!(judged(&ring, &huge), Some(VerifyError::Malformed));
}
