//! Leadership: one server is active, the others stand by.
//!
//! Table owned: `leadership`. The role is a value: only recovery makes a [`Leader`], and what only a leader may do
//! takes one. Whoever holds the session advisory lock on a connection of its own leads; losing that connection ends
//! the leader, and with it everything that runs under it.
//!
//! Invariants:
//! - **no-service-before-recovery**: nothing is written before recovery is done;
//! - **epochs-increase**: each term has a higher epoch than all before it;
//! - **acknowledged-survives**: what was acknowledged is there after any kill of server or database.
//!
//! The end of a leader ends its duties, its lanes and its streams.
//!
//! Deliberately absent: a fence in the database against a former leader's late writes, eviction of a stuck holder, and
//! trust deadlines. One server is run until these stand.

mod campaign;
mod leader;
pub mod locks;
mod store;

use std::sync::Arc;

pub use campaign::{Candidate, campaign};
use contracts::{Code, Refusal};
pub use leader::{Leader, run, run_always};
use tokio::sync::watch;

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
            Role::Active(leader) => Ok(Arc::clone(leader)),
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
