//! Standing by: trying the lock, knowing who leads, and evicting a holder that is stuck.

use std::{sync::Arc, time::Duration};

use sqlx::{Connection, PgConnection, postgres::PgListener};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Candidate, Role, locks, no_answer,
    seat::Seat,
    sightings::Sightings,
    store::{self, Seen},
};
use crate::{
    failure::{Fault, chain},
    postgres::lock_options,
};

/// How long the lock's connection may take to answer a standby.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait before the database is dialled again.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// How eagerly to wait for the lock.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    /// Take it as soon as it is free.
    Eager,
    /// Leave it to another server until then, if there is one.
    StandBack { until: Instant },
}

/// Waits until the lock is won; none when told to stop.
pub(super) async fn win(
    candidate: &Candidate,
    roles: &watch::Sender<Role>,
    wait: Wait,
    stop: &CancellationToken,
) -> Option<Seat> {
    let released = Arc::new(Notify::new());
    let _listening = listen(candidate, Arc::clone(&released));
    let mut standby = Standby {
        candidate,
        roles,
        wait,
        connection: None,
        sightings: Sightings::default(),
        next_look: Instant::now(),
        lease: candidate.leadership.lease.length(),
        is_waiting_told: false,
    };
    let mut is_reachable = true;
    loop {
        let attempt = standby.attempt();
        let won = timeout(ANSWER_TIMEOUT, attempt).await.unwrap_or_else(|_| Err(no_answer()));
        let delay = match won {
            Ok(Some(seat)) => return Some(seat),
            Ok(None) => {
                is_reachable = true;
                locks::CAMPAIGN_INTERVAL
            }
            Err(fault) => {
                // Whatever it was granted meanwhile ends with it.
                standby.connection = None;
                if std::mem::replace(&mut is_reachable, false) {
                    tracing::warn!(error = chain(&fault), "the database cannot be asked for the lock");
                }
                RETRY_DELAY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return None,
            () = released.notified() => {}
            () = sleep(delay) => {}
        }
    }
}

struct Standby<'a> {
    candidate: &'a Candidate,
    roles: &'a watch::Sender<Role>,
    wait: Wait,
    connection: Option<PgConnection>,
    sightings: Sightings,
    next_look: Instant,
    /// The lease of who leads, as last seen.
    lease: Duration,
    is_waiting_told: bool,
}

impl Standby<'_> {
    async fn attempt(&mut self) -> Result<Option<Seat>, Fault> {
        let namespace = self.candidate.leadership.lock_namespace;
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        if self.may_try(&mut connection).await? && store::try_lock(&mut connection, namespace).await? {
            return Seat::take(connection, self.candidate).await.map(Some);
        }
        if Instant::now() >= self.next_look {
            let seen = store::look(&mut connection, namespace).await?;
            self.take_in(seen, &mut connection).await?;
            self.next_look = Instant::now() + Sightings::interval(self.lease);
        }
        self.connection = Some(connection);
        Ok(None)
    }

    async fn connect(&self) -> Result<PgConnection, Fault> {
        let options = lock_options(self.candidate.database.clone());
        let mut connection = PgConnection::connect_with(&options).await?;
        if matches!(self.wait, Wait::StandBack { .. }) {
            store::stand_back(&mut connection, true).await?;
        }
        Ok(connection)
    }

    /// Whether it is this server's turn. One that stands back takes the lock only when nobody else would.
    async fn may_try(&mut self, connection: &mut PgConnection) -> Result<bool, Fault> {
        let Wait::StandBack { until } = self.wait else { return Ok(true) };
        if Instant::now() >= until {
            store::stand_back(connection, false).await?;
            self.wait = Wait::Eager;
            return Ok(true);
        }
        Ok(store::count_standbys(connection, self.candidate.leadership.lock_namespace).await? == 0)
    }

    async fn take_in(&mut self, seen: Seen, connection: &mut PgConnection) -> Result<(), Fault> {
        self.lease = seen.lease.unwrap_or(self.candidate.leadership.lease.length());
        if seen.sighting.is_some() && !std::mem::replace(&mut self.is_waiting_told, true) {
            let active = seen.address.as_deref();
            tracing::info!(active, "another server leads on this database; this one stands by");
        }
        // Also when it is none: what a former leader said is no longer true.
        self.roles.send_replace(Role::Standby { active: seen.address });
        let stuck = self.sightings.look(std::time::Instant::now(), seen.sighting, self.lease);
        if let Some(holder) = stuck {
            let evicted = store::evict(connection, self.candidate.leadership.lock_namespace, holder).await?;
            tracing::warn!(
                pid = holder.pid,
                lease = ?self.lease,
                evicted,
                "who holds the lock did not renew it for a whole lease, and is evicted"
            );
        }
        Ok(())
    }
}

/// Listens for a leader that lets go, until dropped. Without it the lock is found free by the next try.
fn listen(candidate: &Candidate, released: Arc<Notify>) -> DropGuard {
    let stop = CancellationToken::new();
    let (reads, stopped) = (candidate.reads.clone(), stop.clone());
    tokio::spawn(stopped.run_until_cancelled_owned(async move {
        loop {
            // An error is told by the tries.
            drop(hear(&reads, &released).await);
            sleep_until(Instant::now() + RETRY_DELAY).await;
        }
    }));
    stop.drop_guard()
}

async fn hear(reads: &sqlx::PgPool, released: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(reads).await?;
    listener.listen(store::RELEASED).await?;
    loop {
        listener.recv().await?;
        released.notify_one();
    }
}
