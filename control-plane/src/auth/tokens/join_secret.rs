//! The secret that lets a new machine obtain its first access token.
//!
//! Written `rcjoin_<id>_<secret>`: 16 and 64 hexadecimal digits. The id finds the row, the secret proves; only a hash
//! of it is stored. How often and until when it may be used is for the row to say.

use std::{fmt, str::FromStr};

use rand::RngCore;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::hex;

const PREFIX: &str = "rcjoin";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
const HASH_BYTES: usize = 32;

/// Keeps these hashes apart from any other use of the same bytes.
const HASH_CONTEXT: &str = "rollcall 2026 join secret hash v1";

/// The public part of a join secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JoinId([u8; ID_BYTES]);

/// A join secret. Wiped when dropped, and not shown by `Debug`.
#[derive(Clone)]
pub struct JoinSecret {
    id: JoinId,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

/// What is stored of a join secret. The secret has 256 random bits, so a fast hash is enough.
#[derive(Clone)]
pub struct JoinSecretHash([u8; HASH_BYTES]);

/// A text that is no join secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a join token is rcjoin_, 16 hexadecimal digits, _ and 64 more, all lower case; check that it was copied whole"
)]
pub struct JoinSecretFormatError;

impl JoinSecret {
    /// Makes one.
    pub fn generate() -> Self {
        let mut random = rand::rng();
        let mut id = [0; ID_BYTES];
        random.fill_bytes(&mut id);
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        random.fill_bytes(secret.as_mut_slice());
        Self { id: JoinId(id), secret }
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
        hasher.update(&self.id.0).update(self.secret.as_slice());
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

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex::decode(text).map(|bytes| Self(*bytes)).ok_or(JoinSecretFormatError)
    }
}

impl fmt::Display for JoinId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(&self.0))
    }
}

impl fmt::Debug for JoinId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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
    use super::*;

    #[test]
    fn a_secret_reads_back_and_matches_its_own_hash_only() {
        let secret = JoinSecret::generate();
        let text = secret.reveal();
        let read: JoinSecret = text.parse().unwrap();
        assert_eq!((read.id(), &*read.reveal()), (secret.id(), &*text));

        let stored = JoinSecretHash::from_bytes(*secret.hash().as_bytes());
        assert!(stored.matches(&read));
        assert!(!stored.matches(&JoinSecret::generate()));
        let under_another_id = JoinSecret { id: JoinSecret::generate().id(), secret: secret.secret.clone() };
        assert!(!stored.matches(&under_another_id));
        let mut near = secret.clone();
        near.secret[SECRET_BYTES - 1] ^= 1;
        assert!(!stored.matches(&near));
    }

    #[test]
    fn a_stored_hash_stays_valid() {
        let secret = JoinSecret { id: JoinId([1; ID_BYTES]), secret: Zeroizing::new([2; SECRET_BYTES]) };
        assert_eq!(
            *hex::encode(secret.hash().as_bytes()),
            "e174cdb379ff027b052766cc32fc3bbd08b51ec3157ae41efd5cf6ada1c504d5"
        );
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let secret = JoinSecret::generate();
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
            "rcjoin_".repeat(100_000),
        ] {
            assert!(bad.parse::<JoinSecret>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn debug_shows_the_id_and_not_the_secret() {
        let secret = JoinSecret::generate();
        let text = secret.reveal();
        let shown = format!("{secret:?} {:?}", secret.hash());
        assert!(shown.contains(&secret.id().to_string()));
        assert!(!shown.contains(&text[text.len() - 64..]));
        assert!(!shown.contains(&*hex::encode(secret.hash().as_bytes())));
    }
}
