//! `rollcall keys`: the key ring that servers share, and the first admin's token.

use std::{path::PathBuf, time::Duration};

use anyhow::bail;
use contracts::ParticipantId;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::migrate::database;
use crate::{
    audit::{self, Entry},
    auth::{
        grant::{self, LIFETIME_MAX, LIFETIME_MIN},
        now, store,
        tokens::{Grant, KeyRingFile, KeyState, Kid, Scope},
    },
    leadership::locks,
    postgres::{by_hand, migrate::check},
};

/// Epoch in the audit of what no server did.
const NO_EPOCH: i64 = 0;

/// The keys that tokens are made and judged by. Every server of an installation has the same file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A rotation, without a token refused on the way; let each server look at the file (it does each second) in between:
  rollcall keys add --file keys.json             a new key: every server learns it
  rollcall keys promote --file keys.json KID     tokens are made with it from now on
  rollcall keys retire --file keys.json OLD_KID  once the last token of the old key is over")]
pub struct Keys {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make the file, with one key
    Create(File),
    /// Show the keys, without their secrets
    List(File),
    /// Add a key, for verifying only
    Add(File),
    /// Make tokens with this key from now on
    Promote(FileAndKey),
    /// Remove a key; its tokens are refused from now on
    Retire(FileAndKey),
    /// Print the first admin's token, once
    Bootstrap(Bootstrap),
}

#[derive(Debug, clap::Args)]
struct File {
    /// The key ring
    #[arg(long = "file", env = "ROLLCALL_TOKEN_KEYS", value_name = "FILE")]
    path: PathBuf,
}

#[derive(Debug, clap::Args)]
struct FileAndKey {
    #[command(flatten)]
    file: File,
    /// Id of the key, as `rollcall keys list` shows it
    kid: Kid,
}

#[derive(Debug, clap::Args)]
struct Bootstrap {
    #[command(flatten)]
    file: File,
    /// Postgres of the installation
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: String,
    /// Participant that becomes the admin; a new one unless given
    #[arg(long, value_name = "UUID")]
    participant: Option<ParticipantId>,
    /// How long the token is valid: 1m to 365days
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = lifetime)]
    lifetime: Duration,
    /// Make another one although tokens were made before, as when every admin's token is lost
    #[arg(long)]
    again: bool,
}

impl Keys {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self.verb {
            Verb::Create(file) => {
                file.ring().create(now())?;
                eprintln!("made {}; give it to every server, and to nobody else", file.path.display());
                file.list()
            }
            Verb::List(file) => file.list(),
            Verb::Add(file) => {
                let (_, kid) = file.ring().add_key(now())?;
                println!("{kid}");
                Ok(())
            }
            Verb::Promote(FileAndKey { file, kid }) => {
                file.ring().promote(kid)?;
                file.list()
            }
            Verb::Retire(FileAndKey { file, kid }) => {
                file.ring().retire(kid)?;
                file.list()
            }
            Verb::Bootstrap(bootstrap) => bootstrap.run().await,
        }
    }
}

impl File {
    fn ring(&self) -> KeyRingFile {
        KeyRingFile::new(&self.path)
    }

    fn list(&self) -> anyhow::Result<()> {
        for (state, key) in self.ring().load()?.keys() {
            let state = match state {
                KeyState::Signing => "signing",
                KeyState::Verifying => "verifying",
            };
            println!("{}  {state:<9}  {}", key.kid(), key.created_at().date());
        }
        Ok(())
    }
}

impl Bootstrap {
    async fn run(self) -> anyhow::Result<()> {
        let ring = self.file.ring().load()?;
        let database = database(&self.database_url)?;
        check(&database).await?;
        let mut connection = PgConnection::connect_with(&by_hand(database)).await?;
        let mut tx = connection.begin().await?;
        // Of two at once, one is the first.
        sqlx::query("select pg_advisory_xact_lock($1)").bind(locks::FIRST_TOKEN).execute(&mut *tx).await?;
        let is_first = !store::any_issued(&mut *tx).await?;
        if !is_first && !self.again {
            bail!(
                "tokens were made here before, so this is not the first one\n\
                 hint: ask an admin for a token (`rollcall token issue`), or say --again when every one is lost"
            );
        }
        let participant = self.participant.unwrap_or_else(|| ParticipantId(Uuid::now_v7()));
        let grant = Grant { participant, scopes: Scope::Admin.into(), lifetime: self.lifetime };
        let minted = grant::issue(&mut tx, &ring, grant).await?;
        let token_id = minted.claims.token_id.to_string();
        let entry = Entry {
            actor: participant,
            action: "token.bootstrap",
            session_id: None,
            target: &token_id,
            reason: None,
            request_id: None,
        };
        audit::store::record(&mut tx, NO_EPOCH, entry).await?;
        tx.commit().await?;
        connection.close().await?;
        eprintln!("an admin's token for participant {participant}, shown once:");
        println!("{}", minted.token.reveal());
        Ok(())
    }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if !(LIFETIME_MIN..=LIFETIME_MAX).contains(&lifetime) {
        return Err("must be between 1m and 365days".to_owned());
    }
    Ok(lifetime)
}
