//! Versions of the event envelope, and the order that floors are measured in.

use std::{cmp::Ordering, fmt, str::FromStr};

use crate::limits;

/// `MAJOR.MINOR`, without leading zeros, signs or a patch, at most 64 characters.
///
/// Only parsing makes one. Segments are kept as digits and compared exactly, so they may exceed any integer type.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EventEnvelopeVersion {
    text: String,
    /// Byte offset of the dot.
    dot: usize,
}

/// Why a text is not a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// More than 64 characters.
    #[error("must have at most {} characters", limits::VERSION_CHARS_MAX)]
    TooLong,
    /// Not two runs of digits with a dot between them.
    #[error("must be MAJOR.MINOR, two whole numbers with a dot between them")]
    NotMajorMinor,
    /// A segment starts with a zero that it does not need.
    #[error("must not have leading zeros")]
    LeadingZero,
}

impl EventEnvelopeVersion {
    /// The version that this build speaks.
    pub fn current() -> Self {
        Self { text: "1.0".to_owned(), dot: 1 }
    }

    /// The version as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the MAJOR of this version is above that of `other`: a breaking step ahead.
    pub fn is_major_above(&self, other: &Self) -> bool {
        compare_digits(self.major(), other.major()) == Ordering::Greater
    }

    /// Whether both have the same MAJOR: each reads what the other writes.
    pub fn is_same_major(&self, other: &Self) -> bool {
        self.major() == other.major()
    }

    fn major(&self) -> &str {
        &self.text[..self.dot]
    }

    fn minor(&self) -> &str {
        &self.text[self.dot + 1..]
    }
}

/// Without leading zeros, the longer of two digit strings is the greater number.
fn compare_digits(left: &str, right: &str) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

impl Ord for EventEnvelopeVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_digits(self.major(), other.major()).then_with(|| compare_digits(self.minor(), other.minor()))
    }
}

impl PartialOrd for EventEnvelopeVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for EventEnvelopeVersion {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > limits::VERSION_CHARS_MAX {
            return Err(ParseError::TooLong);
        }
        let (major, minor) = text.split_once('.').ok_or(ParseError::NotMajorMinor)?;
        for segment in [major, minor] {
            if segment.is_empty() || !segment.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(ParseError::NotMajorMinor);
            }
            if segment.len() > 1 && segment.starts_with('0') {
                return Err(ParseError::LeadingZero);
            }
        }
        Ok(Self { text: text.to_owned(), dot: major.len() })
    }
}

impl fmt::Display for EventEnvelopeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for EventEnvelopeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
