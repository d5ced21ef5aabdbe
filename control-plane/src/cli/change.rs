//! The flags of a change that the server checks, audits, and does once however often it is asked.

use contracts::{limits, refusal::FieldViolation, text};
use uuid::Uuid;

/// How a change is made.
#[derive(Debug, clap::Args)]
pub(crate) struct ChangeArguments {
    /// Change nothing; let the server check, and show what would be
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Id of the request, for repeating this very command: the same id has one effect; made anew unless given
    #[arg(long, value_name = "UUID", value_parser = request_id)]
    request_id: Option<Uuid>,
}

impl ChangeArguments {
    /// The id to send. To be asked for once: it is the same at every address that is tried.
    pub(crate) fn request_id(&self) -> String {
        self.request_id.unwrap_or_else(Uuid::new_v4).to_string()
    }
}

/// Parses the reason of a change, by the rules and in the words of the server's own check.
pub(crate) fn reason(value: &str) -> Result<String, FieldViolation> {
    text::required("reason", value, limits::REASON_CHARS_MAX)
}

/// Parses the id of a request.
pub(crate) fn request_id(value: &str) -> Result<Uuid, FieldViolation> {
    Uuid::try_parse(value)
        .ok()
        .filter(|id| value.len() == uuid::fmt::Hyphenated::LENGTH && !id.is_nil())
        .ok_or_else(|| FieldViolation::new("request_id", "must be a hyphenated UUID"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_fresh_unless_given() {
        let fresh = ChangeArguments { dry_run: false, request_id: None };
        assert_ne!(fresh.request_id(), fresh.request_id());
        let given = request_id("5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f10").unwrap();
        let given = ChangeArguments { request_id: Some(given), ..fresh };
        assert_eq!(given.request_id(), "5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f10");
        for text in ["", "5f0c3a5293d54a268f580f6a3f2f6f10", "00000000-0000-0000-0000-000000000000"] {
            assert!(request_id(text).is_err(), "{text}");
        }
    }
}
