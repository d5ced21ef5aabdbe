//! The campaign: stand by, win the lock, recover, lead, and stand by again, until told to stop.

use std::{fmt, net::SocketAddr, time::Duration};

use metrics::counter;
use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Role,
    reign::{self, End, Ended},
    stand_by::{self, Wait},
};
use crate::{
    auth::CanaryToken,
    server::tls::Transport,
    settings::{Bounds, Cadence, LeadershipSettings, Retention},
};

/// How long a server that could not lead leaves the lock to others.
const STAND_BACK: Duration = Duration::from_secs(30);
/// How long a server that was asked to step down does: whoever waits tries forty times meanwhile.
const AFTER_YOU: Duration = Duration::from_secs(1);

/// What a server brings to a campaign.
#[derive(Clone)]
pub struct Candidate {
    /// How to reach the database.
    pub database: PgConnectOptions,
    /// The pool for reads.
    pub reads: PgPool,
    /// Where this server listens, for the canary.
    pub listening: SocketAddr,
    /// How this server is reached there.
    pub transport: Transport,
    /// Where clients reach this server, where that is known.
    pub address: Option<String>,
    /// The canary's token.
    pub canary: CanaryToken,
    /// Intervals and thresholds.
    pub cadence: Cadence,
    /// Bounds that the operator set.
    pub bounds: Bounds,
    /// Lease, lock and duties.
    pub leadership: LeadershipSettings,
    /// How long dead things are kept.
    pub retention: Retention,
}

/// Without the way to the database, which may hold a password.
impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("listening", &self.listening)
            .field("transport", &self.transport)
            .field("address", &self.address)
            .field("cadence", &self.cadence)
            .field("bounds", &self.bounds)
            .field("leadership", &self.leadership)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

/// Campaigns until told to stop; then finishes what is in flight and releases the lock.
pub async fn campaign(candidate: Candidate, roles: watch::Sender<Role>, stop: CancellationToken) {
    let mut wait = Wait::Eager;
    loop {
        become_role(&roles, Role::Standby { active: None }, "begins");
        let Some(mut seat) = stand_by::win(&candidate, &roles, wait, &stop).await else { return };
        become_role(&roles, Role::Recovering, "the lock is won");
        let Ended { end, former } = reign::reign(&candidate, &mut seat, &roles, &stop).await;
        become_role(&roles, Role::Standby { active: None }, end.as_str());
        counter!("rollcall_leadership_terms_ended_total", "cause" => end.label()).increment(1);
        // Nothing is written any more. Whoever waits is woken, unless the session is gone anyway.
        seat.release().await;
        // Only now: whoever waits for the lock need not wait for a large fleet to be freed and for sessions to be ended.
        if let Some(former) = former {
            former.clear_away();
        }
        wait = match end {
            End::Stopped => return,
            End::Lost | End::Unanswered | End::Fenced | End::Doubt => Wait::Eager,
            End::SteppedDown => Wait::StandBack { until: Instant::now() + AFTER_YOU },
            End::Hung | End::NotRecovered | End::OtherNamespace => {
                Wait::StandBack { until: Instant::now() + STAND_BACK }
            }
        };
    }
}

pub(super) fn become_role(roles: &watch::Sender<Role>, role: Role, cause: &'static str) {
    let former = roles.borrow().as_str();
    if former != role.as_str() {
        let epoch = match &role {
            Role::Active(leader) => Some(leader.epoch()),
            Role::Standby { .. } | Role::Recovering => None,
        };
        tracing::info!(from = former, to = role.as_str(), epoch, cause, "the role changes");
    }
    roles.send_replace(role);
}
