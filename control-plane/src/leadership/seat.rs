//! The seat: the one connection that holds the leader's lock, for as long as it lives.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use super::{
    Candidate, Term,
    locks::LockNamespace,
    no_answer,
    store::{self, Raised},
};
use crate::failure::{Fault, chain};

/// How long the seat may take to say good-bye.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that holds the lock. Dropping it ends its session, and so gives the lock away.
pub(super) struct Seat {
    pub(super) db: PgConnection,
    namespace: LockNamespace,
    term: Option<Term>,
}

impl Seat {
    /// Takes a connection on which the lock was just won, and says so to whoever looks.
    pub(super) async fn take(mut db: PgConnection, candidate: &Candidate) -> Result<Self, Fault> {
        store::announce(&mut db, candidate.address.as_deref(), candidate.leadership.lease.length()).await?;
        Ok(Self { db, namespace: candidate.leadership.lock_namespace, term: None })
    }

    /// Begins a term. Transactions of the former one that do not end by themselves within a second are ended.
    pub(super) async fn begin_term(&mut self) -> Result<Raised, Fault> {
        loop {
            if let Some(raised) = store::raise_epoch(&mut self.db, self.namespace).await? {
                self.term = Some(raised.term);
                return Ok(raised);
            }
            let ended = store::end_fenced_sessions(&mut self.db).await?;
            tracing::warn!(
                ended,
                "transactions of the former term did not end, and their sessions are ended"
            );
        }
    }

    /// Verifies that this seat leads, and renews its row. An answer is waited for until `deadline`. Gives when the
    /// verification started, or none when the seat is lost.
    pub(super) async fn verify(&mut self, term: &Term, deadline: Instant) -> Result<Option<Instant>, Fault> {
        let started = Instant::now();
        let renewed = store::renew(&mut self.db, self.namespace, term);
        let answer = timeout(deadline.saturating_duration_since(started), renewed).await;
        let at = answer.unwrap_or_else(|_| Err(no_answer()))?;
        if let Some(at) = at {
            metrics::gauge!("rollcall_leadership_verified_timestamp_seconds").set(at);
        }
        Ok(at.map(|_| started))
    }

    /// Lets go of the lock, in words if the database listens, and by the end of the session in any case.
    pub(super) async fn release(mut self) {
        let namespace = self.namespace;
        let told =
            timeout(RELEASE_TIMEOUT, store::release(&mut self.db, namespace, self.term.as_ref())).await;
        if let Ok(Err(fault)) = &told {
            tracing::debug!(error = chain(fault), "the seat was gone already");
        }
        if told.is_ok() {
            drop(timeout(RELEASE_TIMEOUT, self.db.close()).await);
        }
    }
}
