//! The campaign: stand by, win the lock, recover, lead, and stand by again, until told to stop.

use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Leader, Role, locks, store};
use crate::{
    auth::CanaryToken,
    duties::{self, Duty},
    failure::{Fault, chain},
    maintenance, nodes, postgres,
    presence::{self, canary, lanes::Lanes},
    retention,
    roster::Fleet,
    server::tls::Transport,
    sessions,
    settings::{Bounds, Cadence, Retention},
};

/// How long the lock's connection may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait before the database is dialled again, or recovery is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(250);
/// How often a standby looks up where the active server is.
const ADDRESS_EVERY: u32 = 40;

/// What a server brings to a campaign.
#[derive(Clone)]
pub struct Candidate {
    /// How to reach the database.
    pub database: PgConnectOptions,
    /// The pool for requests.
    pub db: PgPool,
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
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

/// Campaigns until told to stop; then finishes what is in flight and releases the lock.
pub async fn campaign(candidate: Candidate, roles: watch::Sender<Role>, stop: CancellationToken) {
    let mut active = None;
    loop {
        become_role(&roles, Role::Standby { active: active.take() });
        let Some(mut seat) = win(&candidate, &roles, &stop).await else { return };
        become_role(&roles, Role::Recovering);
        let Some((leader, window)) = recover(&candidate, &mut seat, &stop).await else { continue };
        become_role(&roles, Role::Active(Arc::clone(&leader)));
        hold(&candidate, &mut seat, &leader, window, &stop).await;
        // First the role, so that nothing new begins; then what has begun.
        become_role(&roles, Role::Standby { active: None });
        leader.end().await;
        // Closing the session releases the lock.
        drop(timeout(ANSWER_TIMEOUT, seat.close()).await);
    }
}

fn become_role(roles: &watch::Sender<Role>, role: Role) {
    let former = roles.borrow().as_str();
    if former != role.as_str() {
        let epoch = match &role {
            Role::Active(leader) => Some(leader.epoch),
            Role::Standby { .. } | Role::Recovering => None,
        };
        tracing::info!(from = former, to = role.as_str(), epoch, "the role changes");
    }
    roles.send_replace(role);
}

/// Waits until the lock is won; none when told to stop.
async fn win(
    candidate: &Candidate,
    roles: &watch::Sender<Role>,
    stop: &CancellationToken,
) -> Option<PgConnection> {
    let mut connection = None;
    let mut tries = 0_u32;
    let mut is_waiting_told = false;
    loop {
        if stop.is_cancelled() {
            return None;
        }
        let looked_up = tries.is_multiple_of(ADDRESS_EVERY);
        let result = try_to_win(candidate, &mut connection, looked_up).await;
        let delay = match result {
            Ok(Attempt::Won) => return connection,
            Ok(Attempt::Held { by }) => {
                if !std::mem::replace(&mut is_waiting_told, true) {
                    tracing::info!(active = by, "another server leads on this database; this one stands by");
                }
                if looked_up {
                    // Also when it says none: what a former leader said is no longer true.
                    roles.send_replace(Role::Standby { active: by });
                }
                locks::CAMPAIGN_INTERVAL
            }
            Err(fault) => {
                if connection.take().is_some() || tries == 0 {
                    tracing::warn!(error = chain(&fault), "the database cannot be reached");
                }
                RETRY_DELAY
            }
        };
        tries = tries.wrapping_add(1);
        tokio::select! {
            () = stop.cancelled() => return None,
            () = sleep(delay) => {}
        }
    }
}

enum Attempt {
    Won,
    Held { by: Option<String> },
}

async fn try_to_win(
    candidate: &Candidate,
    connection: &mut Option<PgConnection>,
    look_up_address: bool,
) -> Result<Attempt, Fault> {
    let attempt = async {
        let session = match connection {
            Some(session) => session,
            None => connection.insert(PgConnection::connect_with(&candidate.database).await?),
        };
        if store::try_lock(session).await? {
            return Ok(Attempt::Won);
        }
        let by = if look_up_address { store::holder_address(session).await? } else { None };
        Ok(Attempt::Held { by })
    };
    timeout(ANSWER_TIMEOUT, attempt).await.unwrap_or_else(|_| Err(no_answer()))
}

fn no_answer() -> Fault {
    Fault::Statement(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
}

/// Makes a leader, trying until it is made; none when the seat is lost or it is time to stop.
async fn recover(
    candidate: &Candidate,
    seat: &mut PgConnection,
    stop: &CancellationToken,
) -> Option<(Arc<Leader>, i64)> {
    loop {
        let started = Instant::now();
        match try_to_recover(candidate, seat).await {
            Ok((leader, window)) => {
                let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(epoch = leader.epoch, milliseconds, "recovery is done");
                return Some((leader, window));
            }
            Err(fault) => tracing::error!(error = chain(&fault), "recovery failed, and is tried again"),
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = sleep(RETRY_DELAY) => {}
        }
        if !is_held(seat).await {
            return None;
        }
    }
}

async fn try_to_recover(candidate: &Candidate, seat: &mut PgConnection) -> Result<(Arc<Leader>, i64), Fault> {
    let epoch = store::begin_term(seat, candidate.address.as_deref()).await?;
    presence::store::put_canary(seat, epoch, candidate.bounds.beat_lanes).await?;
    let floors = sessions::store::all_floors(&mut *seat).await?;
    let slots = nodes::store::all_slots(&mut *seat).await?;
    let runners = sessions::store::all_runners(&mut *seat).await?;
    let fleet = Arc::new(Fleet::load(floors, runners, slots));
    let found = maintenance::store::current(&mut *seat).await?;
    let maintenance = maintenance::Switch::new(found, &candidate.cadence);
    let window = presence::store::open_window(seat, epoch, candidate.cadence.heartbeat_interval()).await?;

    let (lanes, lane_tasks) = Lanes::new(&candidate.bounds);
    let leader = Arc::new(Leader {
        epoch,
        db: candidate.db.clone(),
        fleet: Arc::clone(&fleet),
        lanes,
        cadence: candidate.cadence,
        bounds: candidate.bounds,
        maintenance: maintenance.clone(),
        stop: CancellationToken::new(),
        doubt: CancellationToken::new(),
        tasks: TaskTracker::new(),
    });
    let lane_db = postgres::lane_pool(candidate.database.clone(), candidate.bounds.beat_lanes);
    for task in lane_tasks {
        leader.spawn(task.run(lane_db.clone(), Arc::clone(&fleet), maintenance.clone(), leader.stopped()));
    }
    let sweep = Duty { name: "sweep", period: candidate.cadence.sweep_interval() };
    duties::run(&leader, sweep, |leader| async move { presence::sweep::pass(&leader).await });
    let retention = candidate.retention;
    let forget = Duty { name: "retention", period: retention.interval };
    duties::run(&leader, forget, move |leader| async move { retention::pass(&leader, &retention).await });
    Ok((leader, window))
}

/// Proves the lock and the service, again and again, until the lock is lost or it is time to stop.
async fn hold(
    candidate: &Candidate,
    seat: &mut PgConnection,
    leader: &Arc<Leader>,
    mut window: i64,
    stop: &CancellationToken,
) {
    let period = canary::proof_interval(&candidate.cadence);
    let gap_max = canary::proof_gap_max(&candidate.cadence);
    let (committed, canary_heard) = watch::channel(None);
    let stopped = leader.stopped();
    match candidate.transport.endpoint_of_own(candidate.listening, period) {
        Ok(own) => {
            let beat = canary::beat(own, candidate.canary.clone(), period, committed);
            leader.spawn(async move {
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = beat => {}
                }
            });
        }
        // Without a canary no time counts, so nobody is called silent.
        Err(error) => tracing::error!(error = chain(&error), "the canary cannot address this server"),
    }

    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = leader.doubt.cancelled() => {
                tracing::warn!(epoch = leader.epoch, "a commit was not answered: the term ends, the next one loads the fleet anew");
                return;
            }
            _ = ticks.tick() => {}
        }
        if !is_held(seat).await {
            tracing::warn!(epoch = leader.epoch, "the leader's lock is lost");
            return;
        }
        let heard: Option<Instant> = *canary_heard.borrow();
        if heard.is_none_or(|heard| heard.elapsed() > period * 2) {
            // Not proven: the window is not extended, and after a gap a new one opens.
            continue;
        }
        let proof =
            prove_service(seat, leader.epoch, window, gap_max, candidate.cadence.heartbeat_interval());
        match timeout(ANSWER_TIMEOUT, proof).await.unwrap_or_else(|_| Err(no_answer())) {
            Ok(open) => window = open,
            Err(fault) => {
                tracing::warn!(
                    epoch = leader.epoch,
                    error = chain(&fault),
                    "the leader's connection is lost"
                );
                return;
            }
        }
    }
}

/// Extends the window, or opens another; gives the one that is open.
async fn prove_service(
    seat: &mut PgConnection,
    epoch: i64,
    window: i64,
    gap_max: Duration,
    cadence: Duration,
) -> Result<i64, Fault> {
    if presence::store::extend_window(seat, window, gap_max).await? {
        return Ok(window);
    }
    tracing::warn!(epoch, "service was interrupted: silence in the meantime does not count");
    presence::store::open_window(seat, epoch, cadence).await
}

async fn is_held(seat: &mut PgConnection) -> bool {
    matches!(timeout(ANSWER_TIMEOUT, store::holds_lock(seat)).await, Ok(Ok(true)))
}
