//! The tokens that were revoked before their end, as this server knows them.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{clock::now, store, tokens::TokenId};
use crate::failure::chain;

/// How often a server asks what was revoked elsewhere.
const PERIOD: Duration = Duration::from_secs(1);
/// How far back it asks: a transaction that revokes is younger than this when it commits.
const OVERLAP: Duration = Duration::from_secs(60);

/// Revoked tokens that would still be valid.
#[derive(Debug)]
pub struct Revocations {
    /// With the end that each would have had; then it may be forgotten.
    tokens: Mutex<HashMap<TokenId, OffsetDateTime>>,
    changed: watch::Sender<()>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self { tokens: Mutex::default(), changed: watch::Sender::new(()) }
    }
}

/// Tells of changes.
pub(super) struct Changes(watch::Receiver<()>);

impl Changes {
    /// Waits for the next change.
    pub(super) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Revocations {
    /// Whether this token was revoked.
    pub(super) fn contains(&self, token_id: TokenId) -> bool {
        self.lock().contains_key(&token_id)
    }

    /// Notes revoked tokens. Who holds a stream by one of them hears of it at once.
    pub(super) fn note(&self, revoked: impl IntoIterator<Item = (TokenId, OffsetDateTime)>) {
        let mut tokens = self.lock();
        let before = tokens.len();
        tokens.extend(revoked);
        if tokens.len() > before {
            drop(tokens);
            self.changed.send_replace(());
        }
    }

    pub(super) fn changes(&self) -> Changes {
        Changes(self.changed.subscribe())
    }

    fn forget_ended(&self) {
        let now = now();
        self.lock().retain(|_, ends| *ends > now);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TokenId, OffsetDateTime>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the revocations current until told to stop. While the database cannot be reached the known ones stand.
pub async fn watch_revocations(revocations: &Revocations, db: &PgPool, stop: CancellationToken) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look_back = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match store::revoked(db, look_back).await {
            Ok(revoked) => {
                revocations.note(revoked);
                revocations.forget_ended();
                look_back = Some(OVERLAP);
            }
            Err(fault) => {
                tracing::debug!(error = chain(&fault), "revoked tokens could not be read");
                // What was missed meanwhile is read with the next look.
                look_back = None;
            }
        }
    }
}
