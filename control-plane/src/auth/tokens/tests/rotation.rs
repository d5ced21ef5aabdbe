//! What becomes of tokens when keys change.

use super::*;

#[test]
fn a_token_outlives_its_keys_promotion_and_ends_with_its_retirement() {
    let ring = ring();
    let former = ring.signing().kid();
    let old = minted(&ring).token;
    let key = RingKey::generate(NOW).unwrap();
    let next = key.kid();
    let judged = |ring: &KeyRing, token: &str| verify(ring, token, NOW).err();

    let added = ring.clone().with_key(key).unwrap();
    assert_eq!(judged(&added, old.reveal()), None);

    let promoted = added.clone().promote(next).unwrap();
    let new = minted(&promoted).token;
    assert_eq!(judged(&promoted, old.reveal()), None);
    assert_eq!(judged(&promoted, new.reveal()), None);
    // A server that has read only the first step knows the key already; one that has read neither does not.
    assert_eq!(judged(&added, new.reveal()), None);
    assert_eq!(judged(&ring, new.reveal()), Some(VerifyError::UnknownKey { kid: next }));

    let retired = promoted.retire(former).unwrap();
    assert_eq!(judged(&retired, old.reveal()), Some(VerifyError::UnknownKey { kid: former }));
    assert_eq!(judged(&retired, new.reveal()), None);
}
