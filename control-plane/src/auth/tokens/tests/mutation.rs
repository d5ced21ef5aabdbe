//! Chance does not make a token.

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

const MUTATIONS: usize = 10_000;
const SEED: u64 = 0x5eed;

/// Characters of tokens, and some that are not.
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ {}\"\0\x7f";

fn mutate(random: &mut StdRng, token: &str) -> String {
    let mut bytes = token.as_bytes().to_vec();
    for _ in 0..random.random_range(1..=3) {
        if bytes.is_empty() {
            break;
        }
        let at = random.random_range(0..bytes.len());
        let letter = ALPHABET[random.random_range(0..ALPHABET.len())];
        match random.random_range(0..5) {
            0 => bytes[at] = letter,
            1 => bytes.insert(at, letter),
            2 => drop(bytes.remove(at)),
            3 => {
                let other = random.random_range(0..bytes.len());
                bytes.swap(at, other);
            }
            _ => bytes.truncate(at),
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// One bit of what is signed, under the signature: the form is right, so the signature itself has to notice.
fn flip(random: &mut StdRng, token: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = token.as_bytes().to_vec();
    let end = token.rfind('.').unwrap() - 1;
    let at = random.random_range("v4.public.".len()..end);
    let digit = DIGITS.iter().position(|digit| *digit == bytes[at]).unwrap();
    bytes[at] = DIGITS[digit ^ (1 << random.random_range(0..6))];
    String::from_utf8(bytes).unwrap()
}

#[test]
fn no_random_change_of_a_token_is_accepted() {
    let mut random = StdRng::seed_from_u64(SEED);
    let ring = ring();
    let token = minted(&ring).token;
    assert!(verify(&ring, token.reveal(), NOW).is_ok());
    let mut refused = 0;
    while refused < MUTATIONS {
        let mutated = mutate(&mut random, token.reveal());
        if mutated != token.reveal() {
            assert!(verify(&ring, &mutated, NOW).is_err(), "{mutated}");
            refused += 1;
        }
    }
}

#[test]
fn no_flipped_bit_gets_past_the_signature() {
    let mut random = StdRng::seed_from_u64(SEED);
    let ring = ring();
    let token = minted(&ring).token;
    for _ in 0..500 {
        let flipped = flip(&mut random, token.reveal());
        assert_eq!(verify(&ring, &flipped, NOW), Err(VerifyError::BadSignature), "{flipped}");
    }
}

#[test]
fn no_random_text_is_a_token_or_a_panic() {
    let mut random = StdRng::seed_from_u64(SEED);
    let ring = ring();
    for _ in 0..MUTATIONS {
        let length = random.random_range(0..300);
        let noise: String = (0..length).map(|_| random.random::<char>()).collect();
        let letters: Vec<u8> =
            (0..length).map(|_| ALPHABET[random.random_range(0..ALPHABET.len())]).collect();
        let letters = String::from_utf8(letters).unwrap();
        for text in [&noise, &letters, &format!("v4.public.{noise}"), &format!("v4.public.{letters}")] {
            assert!(verify(&ring, text, NOW).is_err(), "{text:?}");
        }
    }
}

/// Our own key signed it, so all that stands between it and a caller is how the claims are read.
#[test]
fn no_hostile_claim_is_read_as_a_good_one_or_a_panic() {
    use serde_json::json;

    let ring = ring();
    let good = payload(&ring);
    let hostile = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(u64::MAX),
        json!(1.5e308),
        json!(""),
        json!(" "),
        json!("\0"),
        json!("x".repeat(400)),
        json!("00000000-0000-0000-0000-000000000000"),
        json!("admin admin"),
        json!("10000-01-01T00:00:00Z"),
        json!("0000-01-01T00:00:00-23:59"),
        json!("-9999-01-01T00:00:00Z"),
        json!("+99999-01-01T00:00:00Z"),
        json!([]),
        json!(["node"]),
        json!({}),
        json!({"sub": "x"}),
    ];
    for name in ["sub", "scope", "aud", "exp", "iat", "jti", "nbf"] {
        for value in &hostile {
            let mut claims = good.clone();
            claims[name] = value.clone();
            assert!(verdict(&ring, &claims.to_string()).is_some(), "{name}: {value}");
        }
        let mut claims = good.clone();
        let had = claims.as_object_mut().unwrap().remove(name).is_some();
        assert_eq!(verdict(&ring, &claims.to_string()).is_some(), had, "without {name}");
    }
    for text in ["null", "[]", "{", "\"\"", "\u{feff}{}", &"[".repeat(300), &format!("{good}{good}")] {
        assert!(verdict(&ring, text).is_some(), "{text}");
    }
}
