//! Every query on leadership, and those on the locks of leader and fence.

use std::time::Duration;

use sqlx::{Acquire, PgConnection, PgExecutor};
use time::OffsetDateTime;

use super::{
    Term,
    locks::{FENCE, LockNamespace},
    sightings::{Holder, Sighting},
};
use crate::{
    failure::Fault,
    postgres::{LOCK_CONNECTION, STANDING_BACK, interval::interval},
};

/// How far the epoch rises when Postgres may have lost commits: further than terms can have been lost.
const EPOCH_JUMP: i64 = 1_000_000;
/// Told when a leader lets go of the lock, so that nobody waits for the next try.
pub(super) const RELEASED: &str = "rollcall_leadership_released";

/// Tries the leader's lock on this session. Never asked of one that has it: locks of a session are counted.
pub(super) async fn try_lock(db: &mut PgConnection, namespace: LockNamespace) -> Result<bool, Fault> {
    Ok(sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "locked!""#, namespace.key())
        .fetch_one(db)
        .await?)
}

/// Says who holds the lock, and where clients reach it where that is known: the first write of a winner, before it has a
/// term.
pub(super) async fn announce(
    db: &mut PgConnection,
    address: Option<&str>,
    lease: Duration,
) -> Result<(), Fault> {
    sqlx::query!(
        "update leadership
         set state = 'won', holder_address = $1, lease = $2, since = clock_timestamp(),
             holder_pid = activity.pid, holder_backend_start = activity.backend_start,
             renewals = renewals + 1, renewed_at = clock_timestamp()
         from pg_stat_get_activity(pg_backend_pid()) as activity",
        address,
        interval(lease)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What raising the epoch came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raised {
    pub(super) term: Term,
    /// Whether this is another Postgres than the one the last term began on.
    pub(super) jumped: bool,
}

/// Begins a term: the next epoch under the exclusive lock of the fence, so that every transaction of the former term
/// has ended. None when those transactions did not end within the lock timeout of this session.
pub(super) async fn raise_epoch(
    db: &mut PgConnection,
    namespace: LockNamespace,
) -> Result<Option<Raised>, Fault> {
    let mut tx = db.begin().await?;
    // Renewals may be lost in a crash of Postgres. This may not.
    sqlx::query!("set local synchronous_commit = on").execute(&mut *tx).await?;
    let locked =
        sqlx::query!("select pg_advisory_xact_lock($1, 'leadership'::regclass::oid::integer)", FENCE)
            .fetch_one(&mut *tx)
            .await;
    if let Err(error) = locked {
        tx.rollback().await?;
        let timed_out =
            error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("55P03"));
        return if timed_out { Ok(None) } else { Err(error.into()) };
    }
    let raised = sqlx::query!(
        r#"with former as (
             select epoch, system_identifier, timeline from leadership
             where coalesce(lock_namespace, $2) = $2 for update
           ), postgres as (
             select system_identifier, ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer as timeline
             from pg_control_system()
           ), judged as (
             select former.epoch, postgres.*, former.system_identifier is not null
                 and (former.system_identifier, former.timeline) is distinct from (postgres.system_identifier, postgres.timeline)
                 as jumped
             from former, postgres
           )
           update leadership
           set epoch = judged.epoch + case when judged.jumped then $1::bigint else 1 end, token = gen_random_uuid(),
               system_identifier = judged.system_identifier, timeline = judged.timeline, lock_namespace = $2,
               state = 'recovering', renewals = renewals + 1, renewed_at = clock_timestamp()
           from judged
           returning leadership.epoch, leadership.token, judged.jumped as "jumped!""#,
        EPOCH_JUMP,
        namespace.key()
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or(Fault::OtherLockNamespace)?;
    tx.commit().await.map_err(Fault::Commit)?;
    let term = Term { epoch: raised.epoch, token: raised.token };
    // From here on this session writes in the term, too.
    sqlx::query!("select set_config('rollcall.epoch', $1, false)", term.setting()).fetch_one(db).await?;
    Ok(Some(Raised { term, jumped: raised.jumped }))
}

/// Ends the sessions that are inside the fence; gives how many. A client that stops reading can hold a transaction open
/// beyond all timeouts.
pub(super) async fn end_fenced_sessions(db: &mut PgConnection) -> Result<i64, Fault> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) filter (where pg_terminate_backend(pid)) as "count!"
           from pg_locks
           where locktype = 'advisory' and granted and objsubid = 2 and pid <> pg_backend_pid()
             and database = (select oid from pg_database where datname = current_database())
             and classid::bigint = $1 and objid = 'leadership'::regclass::oid"#,
        i64::from(FENCE)
    )
    .fetch_one(db)
    .await?)
}

/// Verifies that this session holds the lock and that its term is the one, and renews the row. Asked of the table of
/// locks: a socket that answers proves no lock. Gives the database's time in seconds, or none when it is lost.
pub(super) async fn renew(
    db: &mut PgConnection,
    namespace: LockNamespace,
    term: &Term,
) -> Result<Option<f64>, Fault> {
    let at = sqlx::query_scalar!(
        r#"update leadership set renewals = renewals + 1, renewed_at = clock_timestamp()
           where epoch = $1 and token = $2 and exists (
             select from pg_locks
             where locktype = 'advisory' and pid = pg_backend_pid() and granted and objsubid = 1
               and (classid::bigint << 32) | objid::bigint = $3)
           returning extract(epoch from renewed_at)::float8 as "at!""#,
        term.epoch,
        term.token,
        namespace.key()
    )
    .fetch_optional(db)
    .await?;
    Ok(at)
}

/// Says that recovery is done.
pub(super) async fn say_active(db: &mut PgConnection, term: &Term) -> Result<(), Fault> {
    sqlx::query!(
        "update leadership set state = 'active' where epoch = $1 and token = $2",
        term.epoch,
        term.token
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets go of the lock and wakes who waits for it.
pub(super) async fn release(
    db: &mut PgConnection,
    namespace: LockNamespace,
    term: Option<&Term>,
) -> Result<(), Fault> {
    if let Some(term) = term {
        sqlx::query!(
            "update leadership set state = 'released' where epoch = $1 and token = $2",
            term.epoch,
            term.token
        )
        .execute(&mut *db)
        .await?;
    }
    // Whoever is woken finds it free: notifications are sent with the commit.
    sqlx::query!("select pg_advisory_unlock($1), pg_notify($2, '')", namespace.key(), RELEASED)
        .fetch_one(db)
        .await?;
    Ok(())
}

/// What a standby sees of the leader.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Where the leader said it is; none when nobody leads.
    pub(super) address: Option<String>,
    /// The session that holds the lock.
    pub(super) sighting: Option<Sighting>,
    /// The holder's lease.
    pub(super) lease: Option<Duration>,
}

/// Looks at who holds the lock. The address counts only while the session that wrote it holds the lock.
pub(super) async fn look(db: &mut PgConnection, namespace: LockNamespace) -> Result<Seen, Fault> {
    let row = sqlx::query!(
        r#"select holder_address, lease, renewals, holder.pid as "pid?", holder.backend_start as "backend_start?",
               (holder.pid = holder_pid and holder.backend_start = holder_backend_start) as is_announced
           from leadership left join (
             select activity.pid, activity.backend_start
             from pg_locks lock join pg_stat_activity activity on activity.pid = lock.pid
             where lock.locktype = 'advisory' and lock.granted and lock.objsubid = 1
               and lock.database = (select oid from pg_database where datname = current_database())
               and (lock.classid::bigint << 32) | lock.objid::bigint = $1
           ) holder on true"#,
        namespace.key()
    )
    .fetch_one(db)
    .await?;
    let is_announced = row.is_announced == Some(true);
    let holder = row.pid.zip(row.backend_start).map(|(pid, backend_start)| Holder { pid, backend_start });
    Ok(Seen {
        address: row.holder_address.filter(|_| is_announced),
        sighting: holder.map(|holder| Sighting { holder, renewals: row.renewals }),
        lease: row
            .lease
            .filter(|_| is_announced)
            .map(|lease| Duration::from_micros(u64::try_from(lease.microseconds).unwrap_or_default())),
    })
}

/// Ends this very session if it still holds the lock; tells whether it did.
pub(super) async fn evict(
    db: &mut PgConnection,
    namespace: LockNamespace,
    holder: Holder,
) -> Result<bool, Fault> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) filter (where pg_terminate_backend(activity.pid)) > 0 as "evicted!"
           from pg_locks lock join pg_stat_activity activity on activity.pid = lock.pid
           where lock.locktype = 'advisory' and lock.granted and lock.objsubid = 1
             and lock.database = (select oid from pg_database where datname = current_database())
             and (lock.classid::bigint << 32) | lock.objid::bigint = $1
             and activity.pid = $2 and activity.backend_start = $3"#,
        namespace.key(),
        holder.pid,
        holder.backend_start
    )
    .fetch_one(db)
    .await?)
}

/// Servers that wait for the lock and do not stand back, but for this session.
pub(super) async fn count_standbys(db: impl PgExecutor<'_>, namespace: LockNamespace) -> Result<i64, Fault> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from pg_stat_activity activity
           where datname = current_database() and application_name = $1 and pid <> pg_backend_pid()
             and not exists (
               select from pg_locks lock
               where lock.pid = activity.pid and lock.locktype = 'advisory' and lock.granted and lock.objsubid = 1
                 and (lock.classid::bigint << 32) | lock.objid::bigint = $2)"#,
        LOCK_CONNECTION,
        namespace.key()
    )
    .fetch_one(db)
    .await?)
}

/// Names this session as one that leaves the lock to others, or no longer.
pub(super) async fn stand_back(db: &mut PgConnection, stands_back: bool) -> Result<(), Fault> {
    let name = if stands_back { STANDING_BACK } else { LOCK_CONNECTION };
    sqlx::query!("select set_config('application_name', $1, false)", name).fetch_one(db).await?;
    Ok(())
}

/// Notes that a leader gives its place away because this duty hung, unless one did for the same within this time.
pub(super) async fn note_abdication(
    db: &mut PgConnection,
    epoch: i64,
    duty: &str,
    not_within: Duration,
) -> Result<bool, Fault> {
    let noted = sqlx::query!(
        "insert into leadership_abdications as former (duty, epoch) values ($1, $2)
         on conflict (duty) do update set epoch = excluded.epoch, at = excluded.at
         where former.at < now() - $3::interval",
        duty,
        epoch,
        interval(not_within)
    )
    .execute(db)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// The lock number of this installation; none before its first leader.
pub(super) async fn lock_namespace(db: impl PgExecutor<'_>) -> Result<Option<i64>, Fault> {
    Ok(sqlx::query_scalar!("select lock_namespace from leadership").fetch_one(db).await?)
}

/// What the row says, for people.
#[derive(Clone, Debug)]
pub(super) struct Status {
    pub(super) epoch: i64,
    pub(super) state: String,
    pub(super) address: Option<String>,
    pub(super) since: Option<OffsetDateTime>,
    pub(super) renewed_at: Option<OffsetDateTime>,
    pub(super) standbys: i64,
}

/// Reads it.
pub(super) async fn status(db: &mut PgConnection, namespace: LockNamespace) -> Result<Status, Fault> {
    let row = sqlx::query!("select epoch, state, holder_address, since, renewed_at from leadership")
        .fetch_one(&mut *db)
        .await?;
    Ok(Status {
        epoch: row.epoch,
        state: row.state,
        address: row.holder_address,
        since: row.since,
        renewed_at: row.renewed_at,
        standbys: count_standbys(db, namespace).await?,
    })
}

/// The last abdication of each duty.
#[derive(Clone, Debug)]
pub(super) struct Abdication {
    pub(super) duty: String,
    pub(super) epoch: i64,
    pub(super) at: OffsetDateTime,
}

/// Reads them.
pub(super) async fn abdications(db: impl PgExecutor<'_>) -> Result<Vec<Abdication>, Fault> {
    Ok(sqlx::query_as!(Abdication, "select duty, epoch, at from leadership_abdications order by duty")
        .fetch_all(db)
        .await?)
}
