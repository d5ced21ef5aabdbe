//! Every query on presences, service windows and the brake.

use std::time::Duration;

use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

use super::{
    health::{Health, Presence},
    service_time::Window,
};
use crate::{failure::Fault, postgres::interval::interval, roster::SweptPresence};

/// Rows that one statement of the sweep changes at most.
pub(super) const SWEEP_ROWS_MAX: i64 = 50_000;

/// Writes a batch of beats, one a node, in one statement; gives the keys that were written, and when.
///
/// The keys are sorted, so that batches lock in one order. A generation that is not the presence's own matches no row.
pub(super) async fn write_beats(
    db: impl PgExecutor<'_>,
    node_keys: &[i64],
    generations: &[i64],
    degraded: &[bool],
) -> Result<(Vec<i64>, Option<OffsetDateTime>), sqlx::Error> {
    let rows = sqlx::query!(
        r#"update runtime_node_presence presence
           set last_heartbeat_at = now(),
               health_state = case when beat.degraded then 'degraded' else 'online' end,
               health_cause = 'self_reported'
           from unnest($1::bigint[], $2::bigint[], $3::boolean[]) as beat (node_key, generation, degraded)
           where presence.node_key = beat.node_key and presence.generation = beat.generation
           returning presence.node_key, presence.last_heartbeat_at"#,
        node_keys,
        generations,
        degraded
    )
    .fetch_all(db)
    .await?;
    let at = rows.first().map(|row| row.last_heartbeat_at);
    Ok((rows.into_iter().map(|row| row.node_key).collect(), at))
}

/// Makes the canary's rows, one a lane, under this epoch. Their keys are 0 and below.
pub(crate) async fn put_canary(db: &mut PgConnection, epoch: i64, lanes: u16) -> Result<(), Fault> {
    sqlx::query!(
        "insert into runtime_node_presence (node_key, generation, last_heartbeat_at, health_state, health_cause)
         select -lane, $1, now(), 'online', 'self_reported' from generate_series(0, $2::bigint - 1) as lane
         on conflict (node_key) do update set generation = excluded.generation",
        epoch,
        i64::from(lanes)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The windows of service, newest first, and the time of the database.
pub(crate) async fn windows(db: impl PgExecutor<'_>) -> Result<(Vec<Window>, OffsetDateTime), Fault> {
    let rows = sqlx::query!(
        r#"select clock_timestamp() as "now!", service_window.counts_from as "counts_from?",
                  service_window.proven_until as "proven_until?"
           from (values (1)) as one (row)
           left join service_windows service_window on true
           order by service_window.id desc nulls last"#
    )
    .fetch_all(db)
    .await?;
    let now = rows.first().map(|row| row.now).ok_or_else(|| Fault::Statement(sqlx::Error::RowNotFound))?;
    let windows = rows
        .into_iter()
        .filter_map(|row| Some(Window { counts_from: row.counts_from?, proven_until: row.proven_until? }))
        .collect();
    Ok((windows, now))
}

/// Opens a window that counts from one cadence on, and drops those that never counted.
pub(crate) async fn open_window(db: &mut PgConnection, epoch: i64, cadence: Duration) -> Result<i64, Fault> {
    sqlx::query!("delete from service_windows where proven_until <= counts_from").execute(&mut *db).await?;
    Ok(sqlx::query_scalar!(
        "insert into service_windows (epoch, opened_at, counts_from, proven_until)
         select $1, now, now + $2::interval, now from clock_timestamp() as now
         returning id",
        epoch,
        interval(cadence)
    )
    .fetch_one(db)
    .await?)
}

/// Proves that the window goes on to this moment, unless its last proof is older than `gap_max`: then somebody slept,
/// and the time in between is no service. Tells whether it goes on.
pub(crate) async fn extend_window(db: &mut PgConnection, id: i64, gap_max: Duration) -> Result<bool, Fault> {
    let extended = sqlx::query!(
        "update service_windows set proven_until = clock_timestamp()
         where id = $1 and clock_timestamp() - proven_until <= $2::interval",
        id,
        interval(gap_max)
    )
    .execute(db)
    .await?;
    Ok(extended.rows_affected() == 1)
}

/// Drops windows that ended before an instant that no threshold of silence reaches back to, and counts them as service
/// of the past.
pub(super) async fn fold_windows(db: impl PgExecutor<'_>, before: OffsetDateTime) -> Result<(), Fault> {
    sqlx::query!(
        "with dropped as (
           delete from service_windows where proven_until < $1 returning counts_from, proven_until
         )
         insert into past_service (day, counts_from, counts_until)
         select (counts_from at time zone 'UTC')::date, min(counts_from),
                min(counts_from) + sum(proven_until - counts_from)
         from dropped where proven_until > counts_from group by 1
         on conflict (day) do update
         set counts_until = past_service.counts_until + (excluded.counts_until - excluded.counts_from)",
        before
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The service of the past, newest first, as windows: it follows on the windows that are still there.
pub(crate) async fn past_service(db: impl PgExecutor<'_>) -> Result<Vec<Window>, Fault> {
    Ok(sqlx::query_as!(
        Window,
        "select counts_from, counts_until as proven_until from past_service order by day desc"
    )
    .fetch_all(db)
    .await?)
}

/// Drops service of the past that ended before an instant that nothing reaches back to.
pub(crate) async fn forget_past_service(
    db: impl PgExecutor<'_>,
    before: OffsetDateTime,
) -> Result<(), Fault> {
    sqlx::query!("delete from past_service where counts_until < $1", before).execute(db).await?;
    Ok(())
}

/// How many nodes are not offline, and how many of them were last heard before an instant.
pub(super) async fn count_silent(
    db: impl PgExecutor<'_>,
    heard_before: OffsetDateTime,
) -> Result<(i64, i64), Fault> {
    let row = sqlx::query!(
        r#"select count(*) filter (where last_heartbeat_at < $1) as "silent!", count(*) as "not_offline!"
           from runtime_node_presence where node_key > 0 and health_state <> 'offline'"#,
        heard_before
    )
    .fetch_one(db)
    .await?;
    Ok((row.silent, row.not_offline))
}

/// When the brake's hold began, if one is stored.
pub(crate) async fn held_since(db: impl PgExecutor<'_>) -> Result<Option<OffsetDateTime>, Fault> {
    Ok(sqlx::query_scalar!("select held_since from presence_brake").fetch_one(db).await?)
}

/// Stores when the brake's hold began.
pub(super) async fn set_held_since(
    db: impl PgExecutor<'_>,
    held_since: Option<OffsetDateTime>,
) -> Result<(), Fault> {
    sqlx::query!("update presence_brake set held_since = $1", held_since).execute(db).await?;
    Ok(())
}

/// Demotes nodes that were last heard before these instants, at most [`SWEEP_ROWS_MAX`] of them; without an instant
/// for offline nobody goes there.
///
/// Rows that a beat holds are skipped: it is just being heard. No row is written that is at its target already.
pub(super) async fn demote(
    db: impl PgExecutor<'_>,
    degraded_before: OffsetDateTime,
    offline_before: Option<OffsetDateTime>,
) -> Result<Vec<SweptPresence>, Fault> {
    let rows = sqlx::query!(
        r#"with silent as (
             select node_key,
                    case when last_heartbeat_at < $2 then 'offline' else 'degraded' end as target
             from runtime_node_presence
             where node_key > 0 and generation is not null and last_heartbeat_at < $1
               and (health_state = 'online'
                    or (health_state = 'degraded' and last_heartbeat_at < $2))
             limit $3
             for no key update skip locked
           )
           update runtime_node_presence presence
           set health_state = silent.target, health_cause = 'silence'
           from silent where presence.node_key = silent.node_key
           returning presence.node_key, presence.generation as "generation!", presence.last_heartbeat_at,
                     presence.health_state, presence.health_cause"#,
        degraded_before,
        offline_before,
        SWEEP_ROWS_MAX
    )
    .fetch_all(db)
    .await
    .map_err(Fault::Commit)?;
    rows.into_iter()
        .map(|row| {
            Ok(SweptPresence {
                node_key: row.node_key,
                generation: row.generation,
                presence: Presence {
                    health: Health::from_stored(&row.health_state, &row.health_cause)?,
                    last_heartbeat_at: row.last_heartbeat_at,
                },
            })
        })
        .collect()
}
