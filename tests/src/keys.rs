//! Tokens of the tests, by one key ring of the test process.

use std::{path::PathBuf, sync::LazyLock, time::Duration};

use contracts::ParticipantId;
use control_plane::auth::{
    now,
    tokens::{Grant, KeyRing, KeyRingFile, RingKey, Scope, Scopes, mint},
};

use pasetors::{
    keys::AsymmetricSecretKey,
    version4::{PublicToken, V4},
};
use serde_json::Value;

use crate::postgres::FOLDER_PREFIX;

struct Keys {
    file: PathBuf,
    ring: KeyRing,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let file = std::env::temp_dir().join(format!("{FOLDER_PREFIX}{}.keys.json", std::process::id()));
    // A process of the same number may have left one.
    drop(std::fs::remove_file(&file));
    let ring = KeyRingFile::new(&file).create(now()).expect("a key ring can be made");
    Keys { file, ring }
});

/// The file for `--token-keys`.
pub fn key_ring_file() -> PathBuf {
    KEYS.file.clone()
}

/// A token for an hour.
pub fn token(participant: ParticipantId, scopes: impl Into<Scopes>) -> String {
    token_for(participant, scopes, Duration::from_secs(3_600))
}

/// A token for this long.
pub fn token_for(participant: ParticipantId, scopes: impl Into<Scopes>, lifetime: Duration) -> String {
    let grant = Grant { participant, scopes: scopes.into(), lifetime };
    mint(&KEYS.ring, &grant, now()).expect("a token can be made").token.reveal().to_owned()
}

/// A token that is made so much later.
pub fn dated_token(participant: ParticipantId, scopes: impl Into<Scopes>, later: Duration) -> String {
    let grant = Grant { participant, scopes: scopes.into(), lifetime: Duration::from_secs(3_600) };
    mint(&KEYS.ring, &grant, now() + later).expect("a token can be made").token.reveal().to_owned()
}

/// A token that says just this, signed with the key that the servers sign with.
pub fn signed_token(claims: &Value) -> String {
    let text = std::fs::read_to_string(&KEYS.file).expect("the key ring can be read");
    let ring: Value = serde_json::from_str(&text).expect("the key ring is JSON");
    let key = &ring["keys"][0];
    let digits = [&key["seed"], &key["public"]].map(|half| half.as_str().expect("a key has two halves"));
    let bytes: Vec<_> = digits.concat().as_bytes().chunks(2).map(byte).collect();
    let key_pair = AsymmetricSecretKey::<V4>::from(&bytes).expect("the key is one");
    let footer = format!(r#"{{"kid":{}}}"#, key["kid"]);
    PublicToken::sign(&key_pair, claims.to_string().as_bytes(), Some(footer.as_bytes()), None)
        .expect("the key signs")
}

fn byte(digits: &[u8]) -> u8 {
    let digits = std::str::from_utf8(digits).expect("digits are ASCII");
    u8::from_str_radix(digits, 16).expect("digits are hexadecimal")
}

/// Everything but admin.
pub fn user_scopes() -> Scopes {
    Scopes::from(Scope::Node).with(Scope::SessionRead).with(Scope::SessionWrite)
}

/// A token that says what a good one says, signed by a key that no server knows.
pub fn forged_token(participant: ParticipantId) -> String {
    let key = RingKey::generate(now()).expect("a key can be made");
    let grant = Grant { participant, scopes: user_scopes(), lifetime: Duration::from_secs(3_600) };
    mint(&KeyRing::new(key), &grant, now()).expect("a token can be made").token.reveal().to_owned()
}
