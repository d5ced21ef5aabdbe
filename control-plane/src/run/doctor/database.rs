//! Looks at the database; the other files judge what is seen.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use super::{access, finding::Finding, postgres, store};
use crate::{
    auth::now,
    failure::chain,
    leadership::locks::LockNamespace,
    postgres::{connections_max, migrate, pooler, request_options},
    settings::Bounds,
};

/// How long any of the looks may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// What could not be looked at.
fn unseen(check: &'static str, error: impl Display) -> Finding {
    Finding::failed(check, format!("could not look: {error}"), "Look at the log of Postgres, and try again")
}

/// What a look found, within the deadline.
async fn seen<T>(
    check: &'static str,
    look: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Finding> {
    match timeout(DEADLINE, look).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(unseen(check, chain(&error))),
        Err(_) => Err(unseen(check, format!("no answer within {DEADLINE:?}"))),
    }
}

/// Everything about the database. When it cannot be reached, that alone.
pub(super) async fn check(
    options: &PgConnectOptions,
    bounds: &Bounds,
    lock_namespace: LockNamespace,
) -> Vec<Finding> {
    let mut db = match seen("database", PgConnection::connect_with(options)).await {
        Ok(db) => db,
        Err(finding) => {
            let advice = "Compare DATABASE_URL with where Postgres listens and whom it lets in; the checks of it were left out";
            return vec![Finding { advice: Some(advice.to_owned()), ..finding }];
        }
    };
    let mut findings = Vec::new();
    findings.extend(set_up(&mut db, bounds, lock_namespace).await.unwrap_or_else(|finding| vec![finding]));
    findings.push(privileges(&mut db).await.unwrap_or_else(|finding| finding));
    findings.push(schema(options).await);
    findings.push(own_sessions(options).await);
    findings.push(own_timeouts(options).await);
    findings.push(dead_clients(&mut db).await);
    findings.push(clock(&mut db).await.unwrap_or_else(|finding| finding));
    findings
}

async fn set_up(
    db: &mut PgConnection,
    bounds: &Bounds,
    lock_namespace: LockNamespace,
) -> Result<Vec<Finding>, Finding> {
    let settings = postgres::Settings(seen("version", store::settings(db, postgres::SETTINGS)).await?);
    let place = seen("writable", store::place(db)).await?;
    let occupancy = seen("connections", store::occupancy(db)).await?;
    Ok(vec![
        Finding::ok("database", "answers"),
        postgres::version(&settings),
        postgres::writable(&place, &settings),
        postgres::durability(&settings),
        postgres::wal(&settings),
        postgres::connections(&settings, &occupancy, connections_max(bounds.beat_lanes)),
        postgres::timeouts(&settings),
        match seen("role", store::other_roles(db, lock_namespace)).await {
            Ok(others) => access::role(&place.role, &others),
            Err(finding) => finding,
        },
    ])
}

async fn privileges(db: &mut PgConnection) -> Result<Finding, Finding> {
    let place = seen("privileges", store::place(db)).await?;
    let tables = seen("privileges", store::table_privileges(db)).await?;
    Ok(access::privileges(&place, &tables))
}

async fn schema(options: &PgConnectOptions) -> Finding {
    match timeout(DEADLINE, migrate::check(options)).await {
        Ok(checked) => access::schema(checked),
        Err(_) => unseen("schema", format!("no answer within {DEADLINE:?}")),
    }
}

async fn own_sessions(options: &PgConnectOptions) -> Finding {
    match seen("pooler", pooler::detect(options)).await {
        Ok(None) => Finding::ok("pooler", "each connection is a session of its own"),
        Ok(Some(sign)) => Finding::failed(
            "pooler",
            format!("a pooler hands out sessions by transaction: {sign}"),
            "Connect to Postgres itself, or have the pooler keep a session for each connection: the leader's lock lives in one",
        ),
        Err(finding) => finding,
    }
}

/// Whether the bounds that servers set on their own statements get through.
async fn own_timeouts(options: &PgConnectOptions) -> Finding {
    let look = async {
        let mut db = PgConnection::connect_with(&request_options(options.clone())).await?;
        store::settings(&mut db, &["statement_timeout"]).await
    };
    match seen("bounds", look).await {
        Ok(set) if set.get("statement_timeout").map(String::as_str) == Some("3000") => {
            Finding::ok("bounds", "statements of servers end after 3 s")
        }
        Ok(_) => Finding::failed(
            "bounds",
            "the bounds that servers set on their statements do not get through",
            "Connect to Postgres itself: a pooler in between drops the options of the connection",
        ),
        Err(finding) => Finding {
            advice: Some(
                "Connect to Postgres itself: something in between refuses the options of the connection"
                    .to_owned(),
            ),
            ..finding
        },
    }
}

async fn dead_clients(db: &mut PgConnection) -> Finding {
    match timeout(DEADLINE, store::try_connection_checks(db)).await {
        Ok(Ok(())) => Finding::ok("dead-clients", "Postgres can look for clients that are gone"),
        Ok(Err(error)) => Finding::warning(
            "dead-clients",
            format!("Postgres cannot look for clients that are gone: {}", chain(&error)),
            "Run Postgres on Linux: elsewhere the statements of a server that died go on to their end",
        ),
        Err(_) => unseen("dead-clients", format!("no answer within {DEADLINE:?}")),
    }
}

async fn clock(db: &mut PgConnection) -> Result<Finding, Finding> {
    let (set_out, own) = (Instant::now(), now());
    let database = seen("clock", store::clock(db)).await?;
    let round_trip = time::Duration::try_from(set_out.elapsed()).unwrap_or(time::Duration::MAX);
    Ok(postgres::clock(own, database, round_trip))
}
