//! Conversions to and from the wire that more than one noun needs.

use std::time::Duration;

use contracts::{limits, refusal::FieldViolation};
use prost::Message;
use time::OffsetDateTime;

/// Bytes of the items of a page; a client takes 4 MiB in one message unless told otherwise.
pub(crate) const PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A time of the database as the wire shows it.
pub fn timestamp(at: OffsetDateTime) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.unix_timestamp(),
        // Always below a billion, so it fits.
        nanos: i32::try_from(at.nanosecond()).unwrap_or(i32::MAX),
    }
}

/// A duration as the wire shows it.
pub fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(i32::MAX),
    }
}

/// Parses the generation that a node sends: positive, as Attach gave it.
pub fn generation(field: &'static str, value: u64) -> Result<i64, FieldViolation> {
    i64::try_from(value)
        .ok()
        .filter(|generation| *generation > 0)
        .ok_or_else(|| FieldViolation::new(field, "must be the generation that Attach returned"))
}

/// The generation as the wire shows it; the database holds none below zero.
pub fn generation_out(generation: i64) -> u64 {
    generation.unsigned_abs()
}

/// A page of a list: after which key, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The last key of the page before; empty for the first page.
    pub after: String,
    /// Items at most.
    pub size: usize,
}

impl Page {
    /// Parses `page_size` and `page_token`.
    ///
    /// # Errors
    ///
    /// The violation names the field.
    pub fn parse(page_size: i32, page_token: &str) -> Result<Self, FieldViolation> {
        let size = match usize::try_from(page_size) {
            Ok(0) => limits::PAGE_SIZE_DEFAULT,
            Ok(size) => size.min(limits::PAGE_SIZE_MAX),
            Err(_) => return Err(FieldViolation::new("page_size", "must not be negative")),
        };
        if page_token.len() > limits::TOKEN_CHARS_MAX || page_token.contains('\0') {
            return Err(FieldViolation::new(
                "page_token",
                "must be the next_page_token of an earlier answer",
            ));
        }
        Ok(Self { after: page_token.to_owned(), size })
    }

    /// How many rows to ask for: one more than fits, to know whether there is a next page.
    pub fn rows_wanted(&self) -> i64 {
        i64::try_from(self.size + 1).unwrap_or(i64::MAX)
    }

    /// Cuts the rows to the page and gives the token of the next one; empty at the end.
    pub fn cut<T>(&self, rows: &mut Vec<T>, key: impl Fn(&T) -> String) -> String {
        self.cut_to(self.size, rows, key)
    }

    /// The same for messages, which are also cut to what a client takes in one answer; at least one is left.
    pub fn cut_messages<T: Message>(&self, rows: &mut Vec<T>, key: impl Fn(&T) -> String) -> String {
        let mut bytes = 0;
        let fitting = rows
            .iter()
            .take_while(|row| {
                bytes += row.encoded_len();
                bytes <= PAGE_BYTES_MAX
            })
            .count();
        self.cut_to(fitting.clamp(1, self.size), rows, key)
    }

    fn cut_to<T>(&self, size: usize, rows: &mut Vec<T>, key: impl Fn(&T) -> String) -> String {
        if rows.len() <= size {
            return String::new();
        }
        rows.truncate(size);
        rows.last().map(key).unwrap_or_default()
    }
}
