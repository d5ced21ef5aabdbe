//! The secret that lets a new machine obtain its first access token.
//!
//! Written `rcjoin_<id>_<secret>`: a UUID and 64 hexadecimal digits. The id finds the row, the secret proves; only a
//! hash of it is stored. How often and until when it may be used is for the row to say.
//!
//! The secret is derived from a key of the ring and the id, so that the answer to a request that is repeated can be made
//! again, and never has to be stored. Whoever has the key can make tokens anyway.

use std::{fmt, str::FromStr};

use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{hex, ring_key::RingKey};

const PREFIX: &str = "rcjoin";
const SECRET_BYTES: usize = 32;
const HASH_BYTES: usize = 32;

/// These keep what is derived from a key, and these hashes, apart from any other use of the same bytes.
const KEY_CONTEXT: &str = "rollcall 2026 join secret key v1";
const HASH_CONTEXT: &str = "rollcall 2026 join secret hash v1";

/// The public part of a join secret: a UUIDv7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JoinId(Uuid);

/// A join secret. Wiped when dropped, and not shown by `Debug`.
#[derive(Clone)]
pub struct JoinSecret {
    id: JoinId,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

/// What is stored of a join secret. The secret has 256 bits that nobody can guess, so a fast hash is enough.
#[derive(Clone)]
pub struct JoinSecretHash([u8; HASH_BYTES]);

/// A text that is no join secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a join token is rcjoin_, a UUID, _ and 64 hexadecimal digits, all lower case; check that it was copied whole"
)]
pub struct JoinSecretFormatError;

impl JoinId {
    /// A new id.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The UUID, for storage.
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl JoinSecret {
    /// The secret that this key gives this id. The same ones give the same secret.
    pub fn derive(key: &RingKey, id: JoinId) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(KEY_CONTEXT);
        hasher.update(key.seed()).update(id.0.as_bytes());
        Self { id, secret: Zeroizing::new(*hasher.finalize().as_bytes()) }
    }

    /// Its public part.
    pub fn id(&self) -> JoinId {
        self.id
    }

    /// The whole text, for handing out.
    pub fn reveal(&self) -> Zeroizing<String> {
        let secret = hex::encode(self.secret.as_slice());
        Zeroizing::new(format!("{PREFIX}_{}_{}", self.id, *secret))
    }

    /// What to store.
    pub fn hash(&self) -> JoinSecretHash {
        let mut hasher = blake3::Hasher::new_derive_key(HASH_CONTEXT);
        hasher.update(self.id.0.as_bytes()).update(self.secret.as_slice());
        JoinSecretHash(*hasher.finalize().as_bytes())
    }
}

impl FromStr for JoinSecret {
    type Err = JoinSecretFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('_'));
        let (id, secret) = rest.and_then(|rest| rest.split_once('_')).ok_or(JoinSecretFormatError)?;
        Ok(Self { id: id.parse()?, secret: hex::decode(secret).ok_or(JoinSecretFormatError)? })
    }
}

impl fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinSecret({PREFIX}_{}_…)", self.id)
    }
}

impl FromStr for JoinId {
    type Err = JoinSecretFormatError;

    /// One form only, so that a text has one meaning.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = Uuid::try_parse(text).map_err(|_| JoinSecretFormatError)?;
        let is_written_so = id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text;
        is_written_so.then_some(Self(id)).ok_or(JoinSecretFormatError)
    }
}

impl fmt::Display for JoinId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

impl JoinSecretHash {
    /// A hash as it was stored.
    pub fn from_bytes(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    /// Whether it is the hash of this secret. Takes as long for a near miss as for any other.
    pub fn matches(&self, secret: &JoinSecret) -> bool {
        self.0.ct_eq(&secret.hash().0).into()
    }
}

impl fmt::Debug for JoinSecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinSecretHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    fn key() -> RingKey {
        RingKey::generate(OffsetDateTime::UNIX_EPOCH).unwrap()
    }

    fn some_secret() -> JoinSecret {
        JoinSecret::derive(&key(), JoinId::generate())
    }

    #[test]
    fn the_same_key_and_id_give_the_same_secret_and_no_other_do() {
        let (first, second, id) = (key(), key(), JoinId::generate());
        let text = JoinSecret::derive(&first, id).reveal();
        assert_eq!(JoinSecret::derive(&first, id).reveal(), text);
        assert_ne!(JoinSecret::derive(&second, id).reveal(), text);
        assert_ne!(JoinSecret::derive(&first, JoinId::generate()).reveal()[44..], text[44..]);
    }

    #[test]
    fn a_secret_reads_back_and_matches_its_own_hash_only() {
        let secret = some_secret();
        let text = secret.reveal();
        let read: JoinSecret = text.parse().unwrap();
        assert_eq!((read.id(), &*read.reveal()), (secret.id(), &*text));

        let stored = JoinSecretHash::from_bytes(*secret.hash().as_bytes());
        assert!(stored.matches(&read));
        assert!(!stored.matches(&some_secret()));
        let under_another_id = JoinSecret { id: some_secret().id(), secret: secret.secret.clone() };
        assert!(!stored.matches(&under_another_id));
        let mut near = secret.clone();
        near.secret[SECRET_BYTES - 1] ^= 1;
        assert!(!stored.matches(&near));
    }

    #[test]
    fn a_stored_hash_stays_valid() {
        let secret =
            JoinSecret { id: JoinId(Uuid::from_bytes([1; 16])), secret: Zeroizing::new([2; SECRET_BYTES]) };
        assert_eq!(
            *hex::encode(secret.hash().as_bytes()),
            "e11b72e71c98ffa1642e6d6d24cf21aae7b8c43b6b547b029ef917ce592572df"
        );
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let secret = some_secret();
        let text = secret.reveal();
        let (id, digits) = (secret.id().to_string(), &text[text.len() - 64..]);
        for bad in [
            String::new(),
            "rcjoin".to_owned(),
            "rcjoin__".to_owned(),
            text[1..].to_owned(),
            text[..text.len() - 1].to_owned(),
            format!("{}0", *text),
            format!(" {}", *text),
            format!("{}\n", *text),
            text.to_uppercase(),
            format!("rcjoin_{digits}_{id}"),
            format!("rcjoin_{id}{digits}"),
            format!("rcjoin_{id}_{digits}_"),
            format!("rcjoin_{id}_{}", "é".repeat(32)),
            text.replacen('-', "", 4),
            "rcjoin_".repeat(100_000),
        ] {
            assert!(bad.parse::<JoinSecret>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn debug_shows_the_id_and_not_the_secret() {
        let secret = some_secret();
        let text = secret.reveal();
        let shown = format!("{secret:?} {:?}", secret.hash());
        assert!(shown.contains(&secret.id().to_string()));
        assert!(!shown.contains(&text[text.len() - 64..]));
        assert!(!shown.contains(&*hex::encode(secret.hash().as_bytes())));
    }
}
