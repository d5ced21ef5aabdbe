//! Parsers of arguments, with the rules and words of the server's own checks.

use contracts::{EventEnvelopeVersion, SessionId, limits, refusal::FieldViolation, text};

/// The name of a new session.
pub(crate) fn name(value: &str) -> Result<String, FieldViolation> {
    text::required("name", value, limits::SESSION_NAME_CHARS_MAX)
}

/// The id of a new session.
pub(crate) fn new_session_id(value: &str) -> Result<SessionId, FieldViolation> {
    SessionId::parse_new("session_id", value)
}

/// A version floor.
pub(crate) fn floor(value: &str) -> Result<EventEnvelopeVersion, FieldViolation> {
    value.parse().map_err(|error: contracts::version::ParseError| {
        FieldViolation::new("min_client_version", error.to_string())
    })
}
