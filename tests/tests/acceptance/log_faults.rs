//! Logs under kills, races and damage.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use contracts::{refusal::ReceivedRefusal, wire::v1::AppendEventsResponse};
use sqlx::AssertSqlSafe;
use tests::{Appending, Attaching, Client, Plane, PlaneOptions, eventually};
use tokio::{task::JoinSet, time::sleep};

/// Appends that were acknowledged.
type Acknowledged = Arc<Mutex<Vec<(Appending, AppendEventsResponse)>>>;

/// Appends one after the other, until the server does not answer any more.
async fn append_until_it_is_gone(client: Client, session: String, name: usize, acknowledged: Acknowledged) {
    for number in 0.. {
        let append = Appending::new(&session).event("a", &format!("{name} {number}")).event("b", "").key("k");
        match client.append(&append).await {
            Ok(appended) => acknowledged.lock().expect("it is whole").push((append, appended)),
            Err(_) => return,
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_in_its_place_after_kills_of_the_server() {
    const ROUNDS: usize = 4;
    let mut plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(client.session().await);
    }
    let acknowledged = Acknowledged::default();
    for round in 1..=ROUNDS {
        let mut appending = JoinSet::new();
        for (name, session) in sessions.iter().cycle().take(9).enumerate() {
            let client = plane.client().await;
            appending.spawn(append_until_it_is_gone(
                client,
                session.clone(),
                name,
                Arc::clone(&acknowledged),
            ));
        }
        let client = plane.client().await;
        let attaching = sessions[0].clone();
        appending.spawn(async move {
            for number in 0.. {
                let attach = Attaching::new(&attaching, &format!("node-{round}-{number}"));
                if client.attach(&attach).await.is_err() {
                    return;
                }
            }
        });
        let count = async || acknowledged.lock().unwrap().len();
        eventually("many were acknowledged", count, |count| *count >= round * 100).await;
        plane = plane.kill_and_restart().await;
        appending.join_all().await;
        plane.database.logs_hold().await;
    }
    let client = plane.client().await;
    let acknowledged = acknowledged.lock().unwrap().clone();
    for (append, appended) in &acknowledged {
        let again = client.append(append).await.unwrap();
        assert!(again.repeated, "it was lost: {append:?}");
        assert_eq!((again.first_seq, &again.last), (appended.first_seq, &appended.last));
    }
    for session in &sessions {
        client.events(session).await;
    }
}

#[tokio::test]
async fn whoever_reads_by_position_misses_nothing() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let sessions = [client.session().await, client.session().await, client.session().await];
    let mut writing = JoinSet::new();
    for number in 0..12 {
        let (client, session) = (plane.client().await, sessions[number % 3].clone());
        writing.spawn(async move {
            for round in 0..25 {
                match number % 2 {
                    0 => drop(client.say(&session, "a").await),
                    _ => drop(client.online(&session, &format!("node-{number}-{round}")).await),
                }
            }
        });
    }
    // A reader that goes on from the last position that it saw.
    let mut seen = 0_i64;
    loop {
        let is_over = writing.is_empty();
        let positions: Vec<i64> =
            sqlx::query_scalar("select position from session_events where position > $1 order by position")
                .bind(seen)
                .fetch_all(&plane.database.pool)
                .await
                .unwrap();
        let expected: Vec<_> = (seen + 1..=seen + positions.len() as i64).collect();
        assert_eq!(positions, expected);
        seen += positions.len() as i64;
        if is_over {
            break;
        }
        while let Some(written) = writing.try_join_next() {
            written.unwrap();
        }
    }
    assert_eq!(seen, 12 * 25);
    plane.database.logs_hold().await;
}

#[tokio::test]
async fn a_log_that_disagrees_with_itself_is_appended_to_by_nobody_and_the_others_go_on() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let (broken, whole) = (client.session().await, client.session().await);
    for session in [&broken, &whole] {
        client.say(session, "a").await;
        client.say(session, "a").await;
    }
    let damage = format!(
        "update session_logs set head = 1, head_hash = (
             select hash from session_events where session_id = '{broken}' and seq = 1)
         where session_id = '{broken}';
         update log_position set last = 1"
    );
    sqlx::raw_sql(AssertSqlSafe(damage)).execute(&plane.database.pool).await.unwrap();
    let plane = plane.kill_and_restart().await;
    let client = plane.client().await;
    let log = plane.process.log().join("\n");
    assert!(log.contains("does not end where it says") && log.contains(&broken), "{log}");
    assert!(log.contains("behind their events"), "{log}");
    assert_eq!(plane.metric("rollcall_log_broken_sessions").await, Some(1.0));
    let refused = plane.refuses(client.append(&Appending::new(&broken).event("b", ""))).await;
    assert_eq!(refused.code, "system.internal_error");
    let refused = plane.refuses(client.attach(&Attaching::new(&broken, "laptop-1"))).await;
    assert_eq!(refused.code, "system.internal_error");
    assert_eq!(client.say(&whole, "b").await, 3);
    client.online(&whole, "laptop-1").await;
    assert_eq!(client.events(&whole).await.len(), 4);
}

#[tokio::test]
async fn a_standby_refuses_appends_and_reads_the_same_log() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let active = plane.client().await;
    let session = active.session().await;
    active.say(&session, "a").await;
    let standby = Plane::launch(plane.database.clone(), plane.options_beside()).await;
    let client = standby.client().await;
    let refused = standby.refuses(client.append(&Appending::new(&session).event("b", ""))).await;
    assert_eq!(refused.code, "controller.standby");
    assert_eq!(client.events(&session).await, active.events(&session).await);
    plane.admin().await.set_maintenance(Some("upgrade")).await;
    let refused = plane.refuses(active.append(&Appending::new(&session).event("b", ""))).await;
    assert_eq!(refused.code, "system.maintenance");
    assert_eq!(active.events(&session).await.len(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_loses_nothing_that_was_taken() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    client.say(&session, "a").await;
    let mut lock = plane.database.pool.begin().await.unwrap();
    sqlx::query("select from log_position for update").execute(&mut *lock).await.unwrap();
    let append = Appending::new(&session).event("b", "");
    let appending = tokio::spawn({
        let (client, append) = (client.clone(), append.clone());
        async move { client.append(&append).await }
    });
    plane.database.has_blocked(1).await;
    appending.abort();
    assert!(appending.await.unwrap_err().is_cancelled());
    // The cancellation is on its way; nothing shows when it has arrived.
    sleep(Duration::from_millis(100)).await;
    lock.rollback().await.unwrap();
    let written = async || client.events(&session).await.len();
    eventually("it is written all the same", written, |count| *count == 2).await;
    assert!(client.append(&append).await.unwrap().repeated);
}

/// A bound of the queue, reached by a database that takes nothing.
#[tokio::test]
async fn a_full_queue_refuses_with_a_delay_and_the_server_stays_small() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    client.say(&session, "a").await;
    let mut lock = plane.database.pool.begin().await.unwrap();
    sqlx::query("select from log_position for update").execute(&mut *lock).await.unwrap();
    let large = "x".repeat(256 * 1_024);
    let clients = [plane.client().await, plane.client().await, plane.client().await, plane.client().await];
    let mut appending = JoinSet::new();
    let before = plane.process.memory_kib();
    for client in clients.iter().cycle().take(400) {
        let (client, append) = (client.clone(), Appending::new(&session).event("b", &large));
        appending.spawn(async move { client.append(&append).await });
    }
    let mut full = 0;
    while full < 50 {
        let answer = appending.join_next().await.expect("more than the queue holds was sent").unwrap();
        let refused = answer.err().and_then(|status| ReceivedRefusal::from_status(&status));
        // Others had waited for the database for as long as a statement may.
        let is_full = |refused: &ReceivedRefusal| {
            refused.code == "resource.limit_exceeded" && refused.facts["resource"] == "event_kib_queued"
        };
        if let Some(refused) = refused.filter(is_full) {
            assert!(refused.retry_delay.is_some(), "{refused:?}");
            full += 1;
        }
    }
    let grown = plane.process.memory_kib().saturating_sub(before);
    assert!(grown < 400 * 1_024, "it grew by {grown} KiB");
    lock.rollback().await.unwrap();
    appending.join_all().await;
    plane.database.logs_hold().await;
}
