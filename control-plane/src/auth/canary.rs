//! The server's own token, new with each run, never written down.

use std::fmt;

use rand::RngCore;
use subtle::ConstantTimeEq;

/// By this the server knows its own beats.
#[derive(Clone)]
pub struct CanaryToken(String);

impl CanaryToken {
    /// Makes one.
    pub fn mint() -> Self {
        let mut bytes = [0_u8; 32];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The value of the `authorization` metadata.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    pub(super) fn matches(&self, bearer: &str) -> bool {
        self.0.as_bytes().ct_eq(bearer.as_bytes()).into()
    }
}

impl fmt::Debug for CanaryToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CanaryToken(…)")
    }
}
