//! The keys that servers share. No file and no clock here.

use super::{kid::Kid, ring_key::RingKey};

/// Keys in a ring at most: a rotation needs two, and every one accepted is one more that may leak.
pub const KEYS_MAX: usize = 16;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// New tokens are signed with it.
    Signing,
    /// Its tokens are accepted.
    Verifying,
}

/// The keys that tokens are signed and verified with. One of them signs.
#[derive(Clone, Debug)]
pub struct KeyRing {
    signing: RingKey,
    verifying: Vec<RingKey>,
}

/// A change that a ring refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// No key of that name.
    #[error("the key ring has no key {kid}; its file lists those it has")]
    NoSuchKey {
        /// The name asked for.
        kid: Kid,
    },
    /// The signing key stays.
    #[error("key {kid} signs new tokens and cannot be retired; promote another key first")]
    StillSigning {
        /// Its name.
        kid: Kid,
    },
    /// It is there already.
    #[error("the key ring has key {kid} already; nothing was changed")]
    Duplicate {
        /// Its name.
        kid: Kid,
    },
    /// No room.
    #[error("the key ring is full with {KEYS_MAX} keys; retire one that is no longer needed first")]
    Full,
}

impl KeyRing {
    /// A ring of one key, which signs.
    pub fn new(signing: RingKey) -> Self {
        Self { signing, verifying: Vec::new() }
    }

    /// The key that signs new tokens.
    pub fn signing(&self) -> &RingKey {
        &self.signing
    }

    /// All keys with what they are for, the signing one first.
    pub fn keys(&self) -> impl Iterator<Item = (KeyState, &RingKey)> {
        let verifying = self.verifying.iter().map(|key| (KeyState::Verifying, key));
        std::iter::once((KeyState::Signing, &self.signing)).chain(verifying)
    }

    /// The key of this name, whatever it is for.
    pub fn key(&self, kid: Kid) -> Option<&RingKey> {
        self.keys().map(|(_, key)| key).find(|key| key.kid() == kid)
    }

    /// This ring and one more key, which verifies only. Were it to sign at once, servers that have not read the file
    /// again would refuse its tokens.
    ///
    /// # Errors
    ///
    /// Refused when the ring is full or has the key.
    pub fn with_key(mut self, key: RingKey) -> Result<Self, ChangeError> {
        if self.key(key.kid()).is_some() {
            return Err(ChangeError::Duplicate { kid: key.kid() });
        }
        if self.keys().count() >= KEYS_MAX {
            return Err(ChangeError::Full);
        }
        self.verifying.push(key);
        Ok(self)
    }

    /// This ring with another key signing; the former one still verifies. Promoting the signing key changes nothing.
    ///
    /// # Errors
    ///
    /// Refused when there is no such key.
    pub fn promote(mut self, kid: Kid) -> Result<Self, ChangeError> {
        if self.signing.kid() == kid {
            return Ok(self);
        }
        let next =
            self.verifying.iter_mut().find(|key| key.kid() == kid).ok_or(ChangeError::NoSuchKey { kid })?;
        std::mem::swap(next, &mut self.signing);
        Ok(self)
    }

    /// This ring without a key. Its tokens are refused from then on.
    ///
    /// # Errors
    ///
    /// Refused for the signing key, and when there is no such key.
    pub fn retire(mut self, kid: Kid) -> Result<Self, ChangeError> {
        if self.signing.kid() == kid {
            return Err(ChangeError::StillSigning { kid });
        }
        let index =
            self.verifying.iter().position(|key| key.kid() == kid).ok_or(ChangeError::NoSuchKey { kid })?;
        self.verifying.remove(index);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    fn key() -> RingKey {
        RingKey::generate(OffsetDateTime::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn a_rotation_passes_the_signing_key_on() {
        let (first, second) = (key(), key());
        let (former, next) = (first.kid(), second.kid());
        let ring = KeyRing::new(first).with_key(second).unwrap();
        assert_eq!(ring.signing().kid(), former);

        let ring = ring.promote(next).unwrap();
        assert_eq!(ring.signing().kid(), next);
        assert!(ring.key(former).is_some());
        let ring = ring.promote(next).unwrap();
        assert_eq!(ring.signing().kid(), next);

        let ring = ring.retire(former).unwrap();
        assert!(ring.key(former).is_none());
        assert_eq!(ring.keys().count(), 1);
    }

    #[test]
    fn a_ring_refuses_what_would_break_it() {
        let first = key();
        let (kid, other) = (first.kid(), key().kid());
        let ring = KeyRing::new(first.clone());
        assert_eq!(ring.clone().retire(kid).unwrap_err(), ChangeError::StillSigning { kid });
        assert_eq!(ring.clone().retire(other).unwrap_err(), ChangeError::NoSuchKey { kid: other });
        assert_eq!(ring.clone().promote(other).unwrap_err(), ChangeError::NoSuchKey { kid: other });
        assert_eq!(ring.clone().with_key(first).unwrap_err(), ChangeError::Duplicate { kid });

        let full = (1..KEYS_MAX).fold(ring, |ring, _| ring.with_key(key()).unwrap());
        assert_eq!(full.with_key(key()).unwrap_err(), ChangeError::Full);
    }
}
