//! Places in a log.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::EventHash;
use crate::{SessionId, refusal::FieldViolation, wire::v1};

/// Number of an event in its session's log, 1 for the first; 0 is the place before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(u64);

impl Seq {
    /// Before the first event.
    pub const ORIGIN: Self = Self(0);
    /// The last number that the database can hold.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// The place of that number; none where the database could not hold it.
    pub const fn new(seq: u64) -> Option<Self> {
        if seq <= Self::MAX.0 { Some(Self(seq)) } else { None }
    }

    /// Parses a place, the one before the first event included.
    ///
    /// # Errors
    ///
    /// The violation names `field`.
    pub fn parse(field: &'static str, seq: u64) -> Result<Self, FieldViolation> {
        Self::new(seq).ok_or_else(|| FieldViolation::new(field, format!("must be at most {}", Self::MAX)))
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The place after this one; none after the last.
    pub const fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }

    /// The place so many events on; none after the last.
    pub const fn plus(self, events: u64) -> Option<Self> {
        match self.0.checked_add(events) {
            Some(seq) => Self::new(seq),
            None => None,
        }
    }

    /// How many events lie after `earlier` and not after this one; none where there are none.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place, and the hash of the log up to it. Two logs that have one in common are equal up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogPoint {
    /// The place.
    pub seq: Seq,
    /// Hash of the event there; at the origin, [`EventHash::genesis`].
    pub hash: EventHash,
}

impl LogPoint {
    /// The place before the first event of a session.
    pub fn origin(session_id: SessionId) -> Self {
        Self { seq: Seq::ORIGIN, hash: EventHash::genesis(session_id) }
    }

    /// Parses a point.
    ///
    /// # Errors
    ///
    /// The violation names the field within the message.
    pub fn parse(wire: &v1::LogPoint) -> Result<Self, FieldViolation> {
        Ok(Self { seq: Seq::parse("seq", wire.seq)?, hash: EventHash::parse("hash", &wire.hash)? })
    }
}

impl From<LogPoint> for v1::LogPoint {
    fn from(point: LogPoint) -> Self {
        Self { seq: point.seq.get(), hash: point.hash.as_bytes().to_vec() }
    }
}

impl fmt::Display for LogPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.seq, self.hash.short())
    }
}
