//! A term: what the fence compares.

use uuid::Uuid;

/// What names the time in which one leader leads. The epoch orders terms; the token tells two apart that have the same
/// epoch because a database lost its last commits in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Rises with each term.
    pub epoch: i64,
    pub(super) token: Uuid,
}

impl Term {
    /// What a session that writes in this term says it is (`rollcall.epoch`), as the fence composes it.
    pub fn setting(&self) -> String {
        format!("{}/{}", self.epoch, self.token.hyphenated())
    }
}
