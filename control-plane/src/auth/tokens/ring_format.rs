//! The text of a key ring file.
//!
//! JSON, so that people can read it and tools can take it apart:
//!
//! ```json
//! {
//!   "format": "rollcall-key-ring",
//!   "version": 1,
//!   "keys": [
//!     {
//!       "kid": "5f1c0a9be2d37846",
//!       "state": "signing",
//!       "created_at": "2026-01-31T12:00:00Z",
//!       "public": "64 hexadecimal digits",
//!       "seed": "64 hexadecimal digits, SECRET"
//!     }
//!   ]
//! }
//! ```
//!
//! `state` is `signing` for exactly one key and `verifying` for the others. `kid` and `public` follow from `seed` and
//! are checked against it: a digit that changed by accident is found when the file is read, not when tokens fail.
//! Anything unknown is refused rather than dropped by the next change.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{
    hex,
    key_ring::{KEYS_MAX, KeyRing, KeyState},
    kid::Kid,
    ring_key::{RingKey, RingKeyError},
};

const FORMAT: &str = "rollcall-key-ring";
const VERSION: u32 = 1;

/// Bytes of a file at most: a full ring takes less than 6 KiB.
pub(super) const FILE_BYTES_MAX: usize = 64 * 1024;

/// A text that is no key ring. No variant carries any of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingFormatError {
    /// Larger than any ring.
    #[error("it is larger than {FILE_BYTES_MAX} bytes; is it the right file?")]
    TooLarge,
    /// Not the JSON of a ring.
    #[error(
        "it is not a key ring: something is missing, unknown or malformed at line {line}, column {column}; correct \
         that, or restore the file from a copy"
    )]
    Malformed {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A JSON of something else.
    #[error("its \"format\" is not \"{FORMAT}\"; is it the right file?")]
    OtherFormat,
    /// Of another release.
    #[error(
        "it is of version {found} and this release knows version {VERSION}; use the release that wrote it"
    )]
    OtherVersion {
        /// The version it says.
        found: u32,
    },
    /// Not one signing key.
    #[error("{found} of its keys are \"signing\"; make that exactly one")]
    SigningKeys {
        /// How many it has.
        found: usize,
    },
    /// More keys than a ring holds.
    #[error("it has more than {KEYS_MAX} keys; remove those that are no longer needed")]
    TooManyKeys,
    /// The same key twice.
    #[error("it has key {kid} twice; remove one of them")]
    Twice {
        /// Its name.
        kid: Kid,
    },
    /// Digits that are no digits.
    #[error("key number {number} has a malformed {field}; restore it from a copy, or remove the key")]
    Field {
        /// Which key, from 1.
        number: usize,
        /// Which of its fields.
        field: &'static str,
    },
    /// A key under a name that is not its own.
    #[error("key number {number} is {own}, not what its \"kid\" says; correct that")]
    Kid {
        /// Which key, from 1.
        number: usize,
        /// The name it should have.
        own: Kid,
    },
    /// A key that cannot be used.
    #[error("key number {number} cannot be used: {source}")]
    Key {
        /// Which key, from 1.
        number: usize,
        /// Why.
        source: RingKeyError,
    },
}

/// What every version has.
#[derive(Deserialize)]
struct Head<'a> {
    format: &'a str,
    version: u32,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RingText<'a> {
    format: &'a str,
    version: u32,
    #[serde(borrow)]
    keys: Vec<KeyText<'a>>,
}

/// Borrowed from the file's bytes, which are wiped: a seed is nowhere copied.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeyText<'a> {
    kid: &'a str,
    state: StateText,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    public: &'a str,
    seed: &'a str,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum StateText {
    Signing,
    Verifying,
}

/// Writes a ring down.
pub(super) fn write(ring: &KeyRing) -> Result<Zeroizing<Vec<u8>>, RingFormatError> {
    struct Digits {
        kid: String,
        public: Zeroizing<String>,
        seed: Zeroizing<String>,
    }
    let digits: Vec<Digits> = ring
        .keys()
        .map(|(_, key)| Digits {
            kid: key.kid().to_string(),
            public: hex::encode(key.public().as_bytes()),
            seed: hex::encode(key.seed()),
        })
        .collect();
    let keys = ring
        .keys()
        .zip(&digits)
        .map(|((state, key), digits)| KeyText {
            kid: &digits.kid,
            state: match state {
                KeyState::Signing => StateText::Signing,
                KeyState::Verifying => StateText::Verifying,
            },
            created_at: key.created_at(),
            public: &digits.public,
            seed: &digits.seed,
        })
        .collect();
    // Room for all of it at once: growing would leave a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX));
    serde_json::to_writer_pretty(&mut *bytes, &RingText { format: FORMAT, version: VERSION, keys })
        .map_err(|error| malformed(&error))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a ring.
pub(super) fn read(bytes: &[u8]) -> Result<KeyRing, RingFormatError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(RingFormatError::TooLarge);
    }
    let head: Head<'_> = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
    if head.format != FORMAT {
        return Err(RingFormatError::OtherFormat);
    }
    if head.version != VERSION {
        return Err(RingFormatError::OtherVersion { found: head.version });
    }
    let text: RingText<'_> = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
    if text.keys.len() > KEYS_MAX {
        return Err(RingFormatError::TooManyKeys);
    }

    let mut signing = Vec::new();
    let mut verifying: Vec<RingKey> = Vec::new();
    for (number, text) in (1..).zip(&text.keys) {
        let key = key(number, text)?;
        if signing.iter().chain(&verifying).any(|other: &RingKey| other.kid() == key.kid()) {
            return Err(RingFormatError::Twice { kid: key.kid() });
        }
        match text.state {
            StateText::Signing => signing.push(key),
            StateText::Verifying => verifying.push(key),
        }
    }
    let found = signing.len();
    let [signing] = <[RingKey; 1]>::try_from(signing).map_err(|_| RingFormatError::SigningKeys { found })?;
    verifying
        .into_iter()
        .try_fold(KeyRing::new(signing), KeyRing::with_key)
        .map_err(|_| RingFormatError::TooManyKeys)
}

fn key(number: usize, text: &KeyText<'_>) -> Result<RingKey, RingFormatError> {
    let malformed = |field| RingFormatError::Field { number, field };
    let kid: Kid = text.kid.parse().map_err(|_| malformed("kid"))?;
    let public = hex::decode(text.public).ok_or(malformed("public"))?;
    let seed = hex::decode(text.seed).ok_or(malformed("seed"))?;
    let key = RingKey::restore(&seed, &public, text.created_at)
        .map_err(|source| RingFormatError::Key { number, source })?;
    if key.kid() == kid { Ok(key) } else { Err(RingFormatError::Kid { number, own: key.kid() }) }
}

/// The parser's own message may quote the file, and with it a seed: only the place is kept.
fn malformed(error: &serde_json::Error) -> RingFormatError {
    RingFormatError::Malformed { line: error.line(), column: error.column() }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    fn ring() -> KeyRing {
        let key = || RingKey::generate(OffsetDateTime::UNIX_EPOCH).unwrap();
        KeyRing::new(key()).with_key(key()).unwrap().with_key(key()).unwrap()
    }

    fn text(ring: &KeyRing) -> String {
        String::from_utf8(write(ring).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn a_ring_reads_back_as_it_was_written() {
        let ring = ring();
        let read = read(text(&ring).as_bytes()).unwrap();
        let all = |ring: &KeyRing| -> Vec<_> {
            ring.keys()
                .map(|(state, key)| (state, key.kid(), key.created_at(), key.seed().to_vec()))
                .collect()
        };
        assert_eq!(all(&read), all(&ring));
        assert_eq!(text(&read), text(&ring));
    }

    #[test]
    fn a_full_ring_fits_without_growing_its_buffer() {
        let key = || RingKey::generate(OffsetDateTime::UNIX_EPOCH).unwrap();
        let full = (1..KEYS_MAX).fold(KeyRing::new(key()), |ring, _| ring.with_key(key()).unwrap());
        assert!(write(&full).unwrap().len() < FILE_BYTES_MAX / 10);
    }

    #[test]
    fn what_is_not_a_ring_is_refused_by_what_is_wrong() {
        let ring = ring();
        let good = text(&ring);
        let kids: Vec<_> = ring.keys().map(|(_, key)| key.kid().to_string()).collect();
        let seed = hex::encode(ring.signing().seed());
        let public = hex::encode(ring.signing().public().as_bytes());
        let refused = |text: &str| read(text.as_bytes()).unwrap_err();
        let with = |from: &str, to: &str| {
            assert!(good.contains(from), "{from}");
            refused(&good.replacen(from, to, 1))
        };

        assert_eq!(with("rollcall-key-ring", "other"), RingFormatError::OtherFormat);
        assert_eq!(with("\"version\": 1", "\"version\": 2"), RingFormatError::OtherVersion { found: 2 });
        assert_eq!(with("\"signing\"", "\"verifying\""), RingFormatError::SigningKeys { found: 0 });
        assert_eq!(with("\"verifying\"", "\"signing\""), RingFormatError::SigningKeys { found: 2 });
        let own = ring.signing().kid();
        assert_eq!(with(&kids[0], &kids[1]), RingFormatError::Kid { number: 1, own });
        assert_eq!(with(&kids[0], "x"), RingFormatError::Field { number: 1, field: "kid" });
        assert_eq!(with(&seed, &seed[1..]), RingFormatError::Field { number: 1, field: "seed" });
        assert_eq!(with(&public, ""), RingFormatError::Field { number: 1, field: "public" });
        let halves = RingFormatError::Key { number: 1, source: RingKeyError::Halves };
        assert_eq!(with(&seed, &"0".repeat(64)), halves);
        let changed = if seed.starts_with('0') { "1" } else { "0" };
        assert_eq!(with(&seed, &format!("{changed}{}", &seed[1..])), halves);

        let malformed = |text: &str| matches!(refused(text), RingFormatError::Malformed { .. });
        for bad in ["", "{}", "[]", "null", "nonsense", &good[..good.len() - 3], &format!("{good}{{}}")] {
            assert!(malformed(bad), "{bad:?}");
        }
        assert!(malformed(&good.replacen("\"state\"", "\"estate\"", 1)));
        assert!(malformed(&good.replacen("\"signing\"", "\"resting\"", 1)));
        assert!(malformed(&good.replacen("\"keys\"", "\"more\": 1, \"keys\"", 1)));
        assert_eq!(refused(&" ".repeat(FILE_BYTES_MAX + 1)), RingFormatError::TooLarge);

        let mut value: serde_json::Value = serde_json::from_str(&good).unwrap();
        let first = value["keys"][1].clone();
        value["keys"].as_array_mut().unwrap().push(first.clone());
        let twice: Kid = kids[1].parse().unwrap();
        assert_eq!(refused(&value.to_string()), RingFormatError::Twice { kid: twice });
        value["keys"].as_array_mut().unwrap().extend(std::iter::repeat_n(first, KEYS_MAX));
        assert_eq!(refused(&value.to_string()), RingFormatError::TooManyKeys);
    }

    /// Whatever chance makes of a ring's file: it is refused or read, never a panic, never a key that was not there, and
    /// no error tells a seed.
    #[test]
    fn no_random_change_of_a_file_makes_another_key_or_a_panic() {
        let mut rng = StdRng::seed_from_u64(0x5eed);
        let ring = ring();
        let good = text(&ring).into_bytes();
        let kids: Vec<_> = ring.keys().map(|(_, key)| key.kid()).collect();
        let seeds: Vec<_> = ring.keys().map(|(_, key)| hex::encode(key.seed())).collect();
        let mut read_back = 0;
        for _ in 0..10_000 {
            let mut bytes = good.clone();
            for _ in 0..rng.random_range(1..4) {
                let (at, to) = (rng.random_range(0..bytes.len()), rng.random_range(0..bytes.len()));
                match rng.random_range(0..6) {
                    0 => bytes[at] = rng.random(),
                    1 => bytes.insert(at, b"\"{}[]:,0 \\x\0"[rng.random_range(0..12)]),
                    2 => drop(bytes.remove(at)),
                    3 => bytes.swap(at, to),
                    4 => drop(bytes.drain(at.min(to)..(at.min(to) + 80).min(at.max(to)))),
                    _ => {
                        let piece = bytes[at.min(to)..(at.min(to) + 200).min(at.max(to))].to_vec();
                        drop(bytes.splice(at..at, piece));
                    }
                }
                if bytes.is_empty() {
                    break;
                }
            }
            match read(&bytes) {
                Ok(ring) => {
                    read_back += 1;
                    assert!(ring.keys().all(|(_, key)| kids.contains(&key.kid())));
                }
                Err(error) => {
                    let told = format!("{error} {error:?}");
                    assert!(seeds.iter().all(|seed| !told.contains(&seed[..16])), "{error}");
                }
            }
        }
        assert!((1..10_000).contains(&read_back), "{read_back} were read");
    }

    #[test]
    fn no_random_bytes_are_a_ring_or_a_panic() {
        let mut rng = StdRng::seed_from_u64(0x5eed);
        for _ in 0..10_000 {
            let noise: Vec<u8> = (0..rng.random_range(0..300)).map(|_| rng.random()).collect();
            let letters: Vec<u8> = (0..rng.random_range(0..300))
                .map(|_| b"\"{}[]:,0123 truefalsn\\"[rng.random_range(0..22)])
                .collect();
            assert!(read(&noise).is_err() && read(&letters).is_err());
        }
        for depth in [100, 1_000, FILE_BYTES_MAX] {
            assert!(read("[".repeat(depth).as_bytes()).is_err());
            assert!(read("{\"a\":".repeat(depth / 5).as_bytes()).is_err());
        }
    }

    #[test]
    fn neither_debug_nor_an_error_shows_a_seed() {
        let ring = ring();
        let good = text(&ring);
        let shown = format!("{ring:?} {:?}", ring.signing());
        for (_, key) in ring.keys() {
            let seed = hex::encode(key.seed());
            assert!(!shown.contains(&*seed) && !shown.contains(&format!("{:?}", key.seed())));
            assert!(shown.contains(&key.kid().to_string()));
            // The seed where a number or a state belongs: the parser would quote it.
            for place in ["1", "\"signing\"", "\"keys\""] {
                let error = read(good.replacen(place, &format!("\"{}\"", *seed), 1).as_bytes()).unwrap_err();
                assert!(!format!("{error} {error:?}").contains(&*seed), "{error}");
            }
        }
    }
}
