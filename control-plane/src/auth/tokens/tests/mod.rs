//! Tokens, rings and files together.

mod files;
mod forgery;
mod mutation;
mod pinned;
mod rotation;
mod validity;
mod watching;

use std::{
    env, fs,
    ops::Deref,
    path::{Path, PathBuf},
    time::Duration,
};

use contracts::ParticipantId;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{
    claims::Payload,
    key_ring::KeyRing,
    mint::{Grant, Minted, mint, sign},
    ring_key::RingKey,
    scope::Scope,
    scopes::Scopes,
    verify::{VerifyError, verify},
};

/// 2026-03-01T12:00:00Z.
const NOW: OffsetDateTime = match OffsetDateTime::from_unix_timestamp(1_772_366_400) {
    Ok(now) => now,
    Err(_) => panic!("out of range"),
};
const LIFETIME: Duration = Duration::from_secs(900);

fn at(text: &str) -> OffsetDateTime {
    OffsetDateTime::parse(text, &Rfc3339).unwrap()
}

fn ring() -> KeyRing {
    KeyRing::new(RingKey::generate(NOW).unwrap())
}

fn grant() -> Grant {
    Grant {
        participant: ParticipantId(Uuid::new_v4()),
        scopes: Scopes::from(Scope::Node).with(Scope::SessionRead),
        lifetime: LIFETIME,
    }
}

fn minted(ring: &KeyRing) -> Minted {
    mint(ring, &grant(), NOW).unwrap()
}

/// What is said to a payload that our key signed.
fn verdict(ring: &KeyRing, payload: &str) -> Option<VerifyError> {
    verify(ring, sign(ring.signing(), payload).unwrap().reveal(), NOW).err()
}

fn payload(ring: &KeyRing) -> serde_json::Value {
    serde_json::to_value(Payload::from(&minted(ring).claims)).unwrap()
}

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = env::temp_dir().join(format!("rollcall-tokens-{}", Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
