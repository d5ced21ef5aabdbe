//! Maintenance: an operator holds all writes back for a while, and everything can still be read.
//!
//! Table owned: `maintenance`. The leader keeps what it says in memory, behind a lock that every write holds shared: a
//! verb by [`crate::leadership::run`], a batch of beats by its lane, a pass of a duty by its runner. Whoever turns
//! maintenance on holds it alone.
//!
//! Invariant:
//! - **maintenance-is-quiet**: once it is answered that maintenance is on, nothing is written until it ends, by whichever
//!   server leads, and no node is called silent for it.
//!
//! The last part needs nothing of its own: the canary's beats are refused like all others, so the time of maintenance
//! does not count as service.

pub mod rpc;
mod set;
pub mod store;

use std::{sync::Arc, time::Duration};

use contracts::{Code, Refusal, wire::v1};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::{settings::Cadence, wire};

/// Longest delay that a refused write is told to wait.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);

/// A maintenance that is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// When it began.
    pub since: OffsetDateTime,
    /// Why, in the words of who turned it on.
    pub reason: String,
}

/// What lets writes pass, or holds them back.
#[derive(Clone, Debug)]
pub struct Switch {
    on: Arc<RwLock<Option<Maintenance>>>,
    retry_delay: Duration,
}

/// The permission for one write; maintenance does not begin while it is held.
#[derive(Debug)]
pub struct Writing(#[expect(dead_code, reason = "held, not read")] OwnedRwLockReadGuard<Option<Maintenance>>);

impl Switch {
    /// The switch as it was found. Refused beats come again several times a cadence, so that whoever lives is heard
    /// before its silence could count.
    pub fn new(found: Option<Maintenance>, cadence: &Cadence) -> Self {
        let retry_delay = (cadence.heartbeat_interval() / 3).min(RETRY_DELAY_MAX);
        Self { on: Arc::new(RwLock::new(found)), retry_delay }
    }

    /// Lets a write begin.
    ///
    /// # Errors
    ///
    /// Maintenance is on.
    pub async fn writing(&self) -> Result<Writing, Refusal> {
        let held = Arc::clone(&self.on).read_owned().await;
        match &*held {
            None => Ok(Writing(held)),
            Some(maintenance) => Err(self.refusal(maintenance)),
        }
    }

    /// Whether it is on.
    pub async fn is_on(&self) -> bool {
        self.on.read().await.is_some()
    }

    /// Waits for the writes that are under way, and lets none begin until this is dropped.
    async fn hold(&self) -> OwnedRwLockWriteGuard<Option<Maintenance>> {
        Arc::clone(&self.on).write_owned().await
    }

    fn refusal(&self, maintenance: &Maintenance) -> Refusal {
        let message = format!(
            "under maintenance: {}. Nothing is written until it is over; everything can be read",
            maintenance.reason
        );
        Refusal::new(Code::SystemMaintenance, message)
            .with_fact("since", maintenance.since.format(&Rfc3339).unwrap_or_default())
            .with_retry_delay(self.retry_delay)
    }
}

fn to_wire(maintenance: Option<&Maintenance>) -> v1::Maintenance {
    match maintenance {
        None => v1::Maintenance::default(),
        Some(Maintenance { since, reason }) => {
            v1::Maintenance { on: true, since: Some(wire::timestamp(*since)), reason: reason.clone() }
        }
    }
}
