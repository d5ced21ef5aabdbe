//! Leadership: one server is active, the others stand by.
//!
//! Table owned: `leadership`. The role is a value: only recovery makes a [`Leader`], and what only a leader may do
//! takes one. Whoever holds the session advisory lock on a connection of its own leads; losing that connection ends
//! the leader, and with it everything that runs under it.
//!
//! Invariants:
//! - **no-service-before-recovery**: nothing is written before recovery is done;
//! - **epochs-increase**: each term has a higher epoch than all before it;
//! - **no-stale-write**: a write of a former term changes nothing, however late it comes;
//! - **acknowledged-survives**: what was acknowledged is there after any kill of server or database.
//!
//! The end of a leader ends its duties, its lanes and its streams.
//!
//! What a former leader sends late is refused by the database: see the fence in the migrations.
//!
//! Deliberately absent: waiting inside Postgres, a lease that frees the lock by itself (the end of the session does, and
//! a standby that saw the holder idle for a whole lease ends it), and a vote: Postgres decides.

mod campaign;
mod leader;
pub mod locks;
mod progress;
mod recovery;
mod reign;
pub mod rpc;
mod seat;
mod sightings;
mod stand_by;
mod step_down;
mod store;
mod term;
mod trust;

use std::sync::Arc;

pub use campaign::{Candidate, campaign};
use contracts::{Code, Refusal};
pub use leader::{Leader, run, run_always};
pub use progress::Progress;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
pub use term::Term;
use tokio::sync::watch;

use crate::failure::Fault;

/// What this server is at the moment.
#[derive(Clone, Debug)]
pub enum Role {
    /// Another server leads, or nobody does.
    Standby {
        /// Where the active server was last known to be.
        active: Option<String>,
    },
    /// This server holds the lock and is not ready to serve.
    Recovering,
    /// This server leads.
    Active(Arc<Leader>),
}

impl Role {
    /// The word in logs, metrics and health answers.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Standby { .. } => "standby",
            Self::Recovering => "recovering",
            Self::Active(_) => "active",
        }
    }
}

/// The role as everything else sees it.
#[derive(Clone, Debug)]
pub struct Roles(watch::Receiver<Role>);

impl Roles {
    /// Roles as a campaign publishes them.
    pub fn new(role: watch::Receiver<Role>) -> Self {
        Self(role)
    }

    /// The role now.
    pub fn current(&self) -> Role {
        self.0.borrow().clone()
    }

    /// Waits for another role; ends when no campaign runs any more.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }

    /// The leader, for a request that needs one.
    ///
    /// # Errors
    ///
    /// This server is a standby or recovering; the refusal says where or when to ask again.
    pub fn leader(&self) -> Result<Arc<Leader>, Refusal> {
        match &*self.0.borrow() {
            Role::Active(leader) if leader.is_trusted() => Ok(Arc::clone(leader)),
            // The process slept, or the database does not answer: another may lead by now.
            Role::Active(_) => Err(ended()),
            Role::Recovering => Err(Refusal::new(
                Code::ControllerRecovering,
                "this server is taking over and not ready yet. Ask again in a moment",
            )
            .with_retry_delay(locks::CAMPAIGN_INTERVAL)),
            Role::Standby { active } => Err(standby(active.as_deref())),
        }
    }
}

fn standby(active: Option<&str>) -> Refusal {
    let refusal = Refusal::new(Code::ControllerStandby, "this server is a standby. Ask the active one");
    match active {
        Some(address) => refusal.with_fact("active_address", address),
        None => refusal,
    }
}

/// What a request is told that met a change half-way.
pub fn busy() -> Refusal {
    Refusal::new(Code::SystemUnavailable, "the node is just changing. Try again in a moment")
        .with_retry_delay(locks::CAMPAIGN_INTERVAL)
}

/// What a request is told whose leader ended under it.
pub fn ended() -> Refusal {
    standby(None).with_retry_delay(locks::CAMPAIGN_INTERVAL)
}

/// Checks that this server would try the same lock as the others of its installation: with another one, two would lead
/// in turns.
///
/// # Errors
///
/// The number that the installation has, or a fault of the database.
pub async fn check_lock_namespace(
    database: &PgConnectOptions,
    namespace: locks::LockNamespace,
) -> Result<(), LockNamespaceMismatch> {
    let mut db = PgConnection::connect_with(database).await.map_err(Fault::from)?;
    let stored = store::lock_namespace(&mut db).await?;
    drop(db.close().await);
    match stored.filter(|stored| *stored != namespace.key()) {
        Some(stored) => Err(LockNamespaceMismatch::Other(stored)),
        None => Ok(()),
    }
}

/// Why a server may not campaign with its lock.
#[derive(Debug, thiserror::Error)]
pub enum LockNamespaceMismatch {
    /// The installation has another.
    #[error("the servers on this database use --lock-namespace {0}: say the same here")]
    Other(i64),
    /// The database could not be asked.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The database did not answer in time.
fn no_answer() -> Fault {
    Fault::Statement(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
}
