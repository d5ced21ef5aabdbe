//! The name of a key.

use std::{fmt, str::FromStr};

use super::hex;

/// Bytes of a key id: enough that two keys of a ring never share one by chance.
const KID_BYTES: usize = 8;

/// The name of a key: 16 hexadecimal digits taken from the BLAKE3 hash of its public half. So it cannot be given to
/// another key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid([u8; KID_BYTES]);

/// A text that names no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key id is 16 lower-case hexadecimal digits; the key ring file lists those there are")]
pub struct KidFormatError;

impl Kid {
    /// The name of the key with this public half.
    pub(super) fn of(public: &[u8]) -> Self {
        let hash = blake3::hash(public);
        let mut kid = [0; KID_BYTES];
        for (byte, hashed) in kid.iter_mut().zip(hash.as_bytes()) {
            *byte = *hashed;
        }
        Self(kid)
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Kid {
    type Err = KidFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex::decode(text).map(|bytes| Self(*bytes)).ok_or(KidFormatError)
    }
}
