//! Text that people or daemons chose, checked once at the edge.

use crate::refusal::FieldViolation;

/// Parses a text of 1 to `chars_max` characters without control characters (NUL among them, which Postgres cannot
/// store) and without white space at either end.
///
/// # Errors
///
/// The violation names `field` and the rule.
pub fn required(field: &'static str, value: &str, chars_max: usize) -> Result<String, FieldViolation> {
    if value.is_empty() {
        return Err(FieldViolation::new(field, "is required"));
    }
    if value.trim() != value {
        return Err(FieldViolation::new(field, "must not begin or end with white space"));
    }
    bounded(field, value, chars_max)
}

/// Parses a text that may be empty: at most `chars_max` characters, none of them a control character, and not white
/// space alone.
///
/// # Errors
///
/// The violation names `field` and the rule.
pub fn optional(
    field: &'static str,
    value: &str,
    chars_max: usize,
) -> Result<Option<String>, FieldViolation> {
    if value.is_empty() {
        return Ok(None);
    }
    if value.trim().is_empty() {
        return Err(FieldViolation::new(field, "must not be white space alone"));
    }
    bounded(field, value, chars_max).map(Some)
}

fn bounded(field: &'static str, value: &str, chars_max: usize) -> Result<String, FieldViolation> {
    // Bytes first: a text with more bytes than four a character is too long without counting.
    if value.len() > chars_max * 4 || value.chars().count() > chars_max {
        return Err(FieldViolation::new(field, format!("must have at most {chars_max} characters")));
    }
    if value.chars().any(char::is_control) {
        return Err(FieldViolation::new(field, "must not contain control characters"));
    }
    Ok(value.to_owned())
}
