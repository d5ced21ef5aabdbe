//! One key of a ring.

use std::fmt;

use pasetors::{
    keys::{AsymmetricKeyPair, AsymmetricPublicKey, AsymmetricSecretKey, Generate},
    version4::V4,
};
use time::{OffsetDateTime, UtcOffset};
use zeroize::Zeroizing;

use super::kid::Kid;

/// Bytes of each half of an Ed25519 key.
pub(super) const HALF_BYTES: usize = 32;

/// An Ed25519 key with its name. Its secret half is wiped when it is dropped.
#[derive(Clone)]
pub struct RingKey {
    kid: Kid,
    created_at: OffsetDateTime,
    secret: AsymmetricSecretKey<V4>,
    public: AsymmetricPublicKey<V4>,
}

/// A key that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingKeyError {
    /// No randomness to be had.
    #[error("the system gave no randomness for a new key; try again")]
    Randomness,
    /// The halves do not belong together.
    #[error("its public half does not belong to its seed; restore the file from a copy, or add a new key")]
    Halves,
}

impl RingKey {
    /// Makes a key.
    ///
    /// # Errors
    ///
    /// The system may have no randomness to give.
    pub fn generate(now: OffsetDateTime) -> Result<Self, RingKeyError> {
        let AsymmetricKeyPair { secret, public } =
            AsymmetricKeyPair::<V4>::generate().map_err(|_| RingKeyError::Randomness)?;
        // For people: whole seconds.
        let created_at = now.checked_to_offset(UtcOffset::UTC).unwrap_or(now).truncate_to_second();
        Ok(Self { kid: Kid::of(public.as_bytes()), created_at, secret, public })
    }

    /// A key as it was written down.
    pub(super) fn restore(
        seed: &[u8; HALF_BYTES],
        public: &[u8; HALF_BYTES],
        created_at: OffsetDateTime,
    ) -> Result<Self, RingKeyError> {
        // The library panics on this one.
        if seed.iter().all(|byte| *byte == 0) {
            return Err(RingKeyError::Halves);
        }
        let mut both = Zeroizing::new([0; HALF_BYTES * 2]);
        for (byte, half) in both.iter_mut().zip(seed.iter().chain(public)) {
            *byte = *half;
        }
        // This derives the public half again and compares.
        let secret = AsymmetricSecretKey::from(both.as_slice()).map_err(|_| RingKeyError::Halves)?;
        let public = AsymmetricPublicKey::from(public).map_err(|_| RingKeyError::Halves)?;
        Ok(Self { kid: Kid::of(public.as_bytes()), created_at, secret, public })
    }

    /// Its name.
    pub fn kid(&self) -> Kid {
        self.kid
    }

    /// When it was made.
    pub fn created_at(&self) -> OffsetDateTime {
        self.created_at
    }

    /// The half that signs.
    pub(super) fn secret(&self) -> &AsymmetricSecretKey<V4> {
        &self.secret
    }

    /// The half that verifies.
    pub(super) fn public(&self) -> &AsymmetricPublicKey<V4> {
        &self.public
    }

    /// What the secret half is made from.
    pub(super) fn seed(&self) -> &[u8] {
        let bytes = self.secret.as_bytes();
        bytes.split_at_checked(HALF_BYTES).map_or(bytes, |(seed, _)| seed)
    }
}

impl fmt::Debug for RingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingKey")
            .field("kid", &self.kid)
            .field("created_at", &self.created_at)
            .finish_non_exhaustive()
    }
}
