//! The one clock that decides about tokens: the server's own. A token is made and judged by servers, never by nodes.

use time::OffsetDateTime;

/// This moment.
#[expect(
    clippy::disallowed_methods,
    reason = "tokens end by the wall clock, and no query is worth asking for it"
)]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
