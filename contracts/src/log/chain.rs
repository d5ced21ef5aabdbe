//! The hash chain of a log, and the digest of a base. Whoever changes the bytes here breaks every stored log; the
//! vectors in `contracts/tests/log.rs` say so.
//!
//! Canonical bytes of an event, in order; numbers big-endian, `text` and `bytes` as a 32-bit length and that many bytes,
//! `option` as the byte 0, or the byte 1 and the value:
//!
//! | Field | Form |
//! | --- | --- |
//! | session id | 16 bytes |
//! | seq | u64 |
//! | event id | 16 bytes |
//! | epoch | u64 |
//! | envelope version | text |
//! | type | text |
//! | key | option of text |
//! | actor | text |
//! | content type | text |
//! | payload | bytes |
//! | occurred at | i64, microseconds since 1970-01-01 UTC |
//! | recorded at | i64, microseconds since 1970-01-01 UTC |
//! | hash of the event before | 32 bytes |
//!
//! The hash of an event is BLAKE3 of these bytes in key derivation mode, with the context `EVENT_CONTEXT`. The hash at
//! the origin is that of the session id's 16 bytes with `GENESIS_CONTEXT`. The digest of a base is that of the hashes
//! of its events in the order of their numbers, 32 bytes each, with `BASE_CONTEXT`.

use std::fmt;

use super::{Event, LogPoint, Seq};
use crate::{SessionId, refusal::FieldViolation};

/// Context of the hash of an event.
const EVENT_CONTEXT: &str = "rollcall session log 1: event";
/// Context of the hash at the origin.
const GENESIS_CONTEXT: &str = "rollcall session log 1: genesis";
/// Context of the digest of a base.
const BASE_CONTEXT: &str = "rollcall session log 1: base";

/// Hash of a log up to an event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventHash([u8; 32]);

impl EventHash {
    /// The hash before the first event of a session.
    pub fn genesis(session_id: SessionId) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(GENESIS_CONTEXT);
        hasher.update(session_id.0.as_bytes());
        Self(hasher.finalize().into())
    }

    /// A hash that was computed before.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Parses the 32 bytes of a hash.
    ///
    /// # Errors
    ///
    /// The violation names `field`.
    pub fn parse(field: &'static str, bytes: &[u8]) -> Result<Self, FieldViolation> {
        bytes.try_into().map(Self).map_err(|_| FieldViolation::new(field, "must have 32 bytes"))
    }

    /// The first digits, for people.
    pub fn short(&self) -> String {
        hex(&self.0[..6])
    }

    pub(super) fn of(event: &Event) -> Self {
        let mut canonical = Canonical(blake3::Hasher::new_derive_key(EVENT_CONTEXT));
        canonical.fixed(event.session_id.0.as_bytes());
        canonical.fixed(&event.seq.get().to_be_bytes());
        canonical.fixed(event.id.0.as_bytes());
        canonical.fixed(&event.epoch.to_be_bytes());
        canonical.bytes(event.envelope_version.as_str().as_bytes());
        canonical.bytes(event.event_type.as_str().as_bytes());
        match &event.key {
            None => canonical.fixed(&[0]),
            Some(key) => {
                canonical.fixed(&[1]);
                canonical.bytes(key.as_str().as_bytes());
            }
        }
        canonical.bytes(event.actor.to_string().as_bytes());
        canonical.bytes(event.content_type.as_str().as_bytes());
        canonical.bytes(&event.payload);
        canonical.fixed(&event.occurred_at.to_be_bytes());
        canonical.fixed(&event.recorded_at.to_be_bytes());
        canonical.fixed(&event.prev_hash.0);
        Self(canonical.0.finalize().into())
    }
}

struct Canonical(blake3::Hasher);

impl Canonical {
    fn fixed(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        // Every field is bounded far below 4 GiB where it is parsed.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.update(&length.to_be_bytes());
        self.0.update(bytes);
    }
}

impl fmt::Display for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Where a chain does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenChain {
    /// The event is not the one after the one before it.
    #[error("event {found} follows {after}")]
    Gap {
        /// What came before.
        after: Seq,
        /// What came.
        found: Seq,
    },
    /// It does not carry the hash of the event before it.
    #[error("event {0} continues another log than the one before it")]
    Previous(Seq),
    /// Its hash is not that of its content.
    #[error("event {0} is not what its hash says")]
    Content(Seq),
}

/// Proves that `events` continue the log at `from`, one after the other, and gives the last point.
///
/// # Errors
///
/// Where they do not.
pub fn verify_chain<'a>(
    from: LogPoint,
    events: impl IntoIterator<Item = &'a Event>,
) -> Result<LogPoint, BrokenChain> {
    events.into_iter().try_fold(from, |at, event| {
        if at.seq.next() != Some(event.seq) {
            return Err(BrokenChain::Gap { after: at.seq, found: event.seq });
        }
        if event.prev_hash != at.hash {
            return Err(BrokenChain::Previous(event.seq));
        }
        if !event.is_what_its_hash_says() {
            return Err(BrokenChain::Content(event.seq));
        }
        Ok(event.point())
    })
}

/// Digest of a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BaseDigest([u8; 32]);

impl BaseDigest {
    /// A digest that was computed before.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Parses the 32 bytes of a digest.
    ///
    /// # Errors
    ///
    /// The violation names `field`.
    pub fn parse(field: &'static str, bytes: &[u8]) -> Result<Self, FieldViolation> {
        bytes.try_into().map(Self).map_err(|_| FieldViolation::new(field, "must have 32 bytes"))
    }
}

/// The digest of a base, given the hashes of its events in the order of their numbers.
pub fn digest_of_base(hashes: impl IntoIterator<Item = EventHash>) -> BaseDigest {
    let mut hasher = blake3::Hasher::new_derive_key(BASE_CONTEXT);
    for hash in hashes {
        hasher.update(&hash.0);
    }
    BaseDigest(hasher.finalize().into())
}
