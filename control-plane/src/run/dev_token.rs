//! What `rollcall dev` hands out: an admin's token by a key ring of its own, kept with the data, so that what was
//! pasted yesterday works today.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use anyhow::Context;
use contracts::ParticipantId;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

use crate::{
    auth::{
        grant::{self, LIFETIME_MAX},
        now, store,
        tokens::{Grant, KeyRing, KeyRingFile, Scope, verify},
    },
    leadership::locks,
    postgres::by_hand,
};

/// A kept token with less than this left is replaced.
const LEFT_MIN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The key ring of this data folder, made if need be.
pub(super) fn kept_key_ring(data_dir: &Path) -> anyhow::Result<(KeyRingFile, KeyRing)> {
    fs::create_dir_all(data_dir).with_context(|| format!("cannot use {}", data_dir.display()))?;
    let file = KeyRingFile::new(data_dir.join("token-keys.json"));
    let ring = file.load_or_create(now())?;
    Ok((file, ring))
}

/// The token of this data folder: the kept one while it is good, else a new one for the same participant.
pub(super) async fn kept_token(
    data_dir: &Path,
    ring: &KeyRing,
    database: &PgConnectOptions,
) -> anyhow::Result<String> {
    let path = data_dir.join("token");
    let mut connection = PgConnection::connect_with(&by_hand(database.clone())).await?;
    if let Some(kept) = good_token(&path, ring, &mut connection).await? {
        return Ok(kept);
    }
    let participant = kept_participant(&data_dir.join("token-participant"))?;
    let grant = Grant { participant, scopes: Scope::Admin.into(), lifetime: LIFETIME_MAX };
    let mut tx = connection.begin().await?;
    // Of two that start at once, one makes the token and both hand it out.
    sqlx::query("select pg_advisory_xact_lock($1)").bind(locks::FIRST_TOKEN).execute(&mut *tx).await?;
    if let Some(kept) = good_token(&path, ring, &mut tx).await? {
        return Ok(kept);
    }
    let minted = grant::issue(&mut tx, ring, grant).await?;
    let token = minted.token.reveal();
    let failed = || format!("cannot keep the token in {}", path.display());
    let draft = draft(&path, token).with_context(failed)?;
    // Before the commit, which ends the lock.
    fs::rename(draft, &path).with_context(failed)?;
    tx.commit().await?;
    connection.close().await?;
    Ok(token.to_owned())
}

/// The kept token, unless it is none, ends soon, or was revoked.
async fn good_token(
    path: &Path,
    ring: &KeyRing,
    database: &mut PgConnection,
) -> anyhow::Result<Option<String>> {
    let Ok(kept) = fs::read_to_string(path) else { return Ok(None) };
    let Ok(claims) = verify(ring, kept.trim(), now()) else { return Ok(None) };
    let is_good =
        claims.expires_at > now() + LEFT_MIN && !store::is_revoked(database, claims.token_id).await?;
    Ok(is_good.then(|| kept.trim().to_owned()))
}

/// Made once: it owns the sessions and nodes of this folder's database.
fn kept_participant(path: &Path) -> anyhow::Result<ParticipantId> {
    let failed = || format!("cannot keep the participant in {}", path.display());
    let fresh = ParticipantId(Uuid::now_v7());
    // Written whole under another name first: whoever starts at the same moment finds all of it or nothing.
    let draft = draft(path, &fresh.to_string()).with_context(failed)?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft).with_context(failed)?;
    match linked {
        Ok(()) => Ok(fresh),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let text = fs::read_to_string(path).with_context(failed)?;
            text.trim().parse().with_context(|| format!("{} holds no participant", path.display()))
        }
        Err(error) => Err(error).with_context(failed),
    }
}

fn draft(path: &Path, text: &str) -> io::Result<std::path::PathBuf> {
    let draft = path.with_extension(Uuid::new_v4().to_string());
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(draft)
}
