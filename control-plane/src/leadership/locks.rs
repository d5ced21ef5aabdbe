//! Every advisory lock of Rollcall, so that no two mean the same number.
//!
//! The fence has one more, of two numbers: [`FENCE`] and the number of the table `leadership`. Statements of the leader
//! hold it shared (`refuse_former_leaders` in the migrations), a new leader holds it alone while it raises the epoch.

use std::{num::NonZeroI64, time::Duration};

/// Held while migrations run.
pub const MIGRATIONS: i64 = 0x726f_6c6c_0000_0001;
/// Held by the leader for as long as it leads, unless the operator chose another number.
const LEADER: i64 = 0x726f_6c6c_0000_0002;
/// Held while the first admin's token is made, and while `rollcall dev` replaces its own.
pub const FIRST_TOKEN: i64 = 0x726f_6c6c_0000_0003;
/// First number of the fence's lock.
pub(super) const FENCE: i32 = 0x726f_6c6c;

/// With the hash of a family of tokens: shared while one is added to it, held alone while it is revoked. Locks of two
/// numbers are none of those of one.
pub const TOKEN_FAMILY: i32 = 0x726f_6c6c;

/// How often a standby tries the leader's lock. It does not wait inside Postgres: a session that waits in one
/// statement holds back vacuum for the whole cluster, and one that is frozen could be granted the lock.
pub const CAMPAIGN_INTERVAL: Duration = Duration::from_millis(25);

/// The number of the leader's lock: the same on every server of an installation, another one for a second installation
/// in the same database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockNamespace(NonZeroI64);

impl LockNamespace {
    /// What Postgres locks.
    pub fn key(self) -> i64 {
        self.0.get()
    }
}

impl Default for LockNamespace {
    fn default() -> Self {
        Self(const { NonZeroI64::new(LEADER).expect("not zero") })
    }
}

/// Why a text is no number of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number from 1 to 9223372036854775807, and no other lock of Rollcall's")]
pub struct LockNamespaceError;

impl std::str::FromStr for LockNamespace {
    type Err = LockNamespaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number: i64 = text.parse().map_err(|_| LockNamespaceError)?;
        if number < 1 || [MIGRATIONS, FIRST_TOKEN].contains(&number) {
            return Err(LockNamespaceError);
        }
        NonZeroI64::new(number).map(Self).ok_or(LockNamespaceError)
    }
}

impl std::fmt::Display for LockNamespace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_a_positive_bigint_that_is_no_other_lock() {
        for text in ["1", "9223372036854775807"] {
            assert_eq!(text.parse::<LockNamespace>().unwrap().to_string(), text);
        }
        for text in ["0", "-1", "9223372036854775808", "", "one", "1.5", " 1"] {
            assert_eq!(text.parse::<LockNamespace>(), Err(LockNamespaceError), "{text:?}");
        }
        for taken in [MIGRATIONS, FIRST_TOKEN] {
            assert_eq!(taken.to_string().parse::<LockNamespace>(), Err(LockNamespaceError));
        }
        assert_eq!(LEADER.to_string().parse(), Ok(LockNamespace::default()));
    }
}
