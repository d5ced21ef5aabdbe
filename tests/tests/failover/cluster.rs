//! Several servers on one database.

use std::time::{Duration, Instant};

use contracts::ParticipantId;
use tests::{Attached, Database, Plane, PlaneOptions, eventually};
use tokio::time::sleep;

/// How long to wait between two looks at who leads: well below what is measured.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Servers on one database, by number.
pub(crate) struct Cluster {
    pub(crate) database: Database,
    pub(crate) planes: Vec<Plane>,
}

impl Cluster {
    /// Starts so many, one of which is active.
    pub(crate) async fn start(database: Database, count: usize, options: &PlaneOptions) -> Self {
        let first = Plane::start_on(database.clone(), options.clone()).await;
        let mut planes = vec![first];
        while planes.len() < count {
            planes.push(Plane::launch(database.clone(), planes[0].options_beside()).await);
        }
        let cluster = Self { database, planes };
        cluster.has_standbys(count - 1).await;
        cluster
    }

    /// The one that leads.
    pub(crate) async fn active(&self) -> usize {
        let look = async || self.active_now().await;
        eventually("a server is active", look, Option::is_some).await.expect("one is")
    }

    /// The one that says that it leads, if any.
    pub(crate) async fn active_now(&self) -> Option<usize> {
        for (number, plane) in self.planes.iter().enumerate() {
            if is_active(plane).await {
                return Some(number);
            }
        }
        None
    }

    /// Waits for one of the others to lead; gives which, and when that was seen.
    pub(crate) async fn other_than(&self, former: usize) -> (usize, Instant) {
        let deadline = Instant::now() + tests::DEADLINE;
        loop {
            for (number, plane) in self.planes.iter().enumerate().filter(|(number, _)| *number != former) {
                if is_active(plane).await {
                    return (number, Instant::now());
                }
            }
            assert!(Instant::now() < deadline, "nobody takes over");
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Waits until so many wait for the lock.
    pub(crate) async fn has_standbys(&self, count: usize) {
        let look = async || standbys(&self.database).await;
        eventually("standbys wait for the lock", look, |seen| *seen == count as i64).await;
    }

    /// Kills this one with SIGKILL.
    pub(crate) fn kill(&mut self, number: usize) {
        self.planes[number].process.kill();
    }

    /// Stops all others with SIGSTOP; gives which.
    pub(crate) fn stop_all_but(&self, gone: usize) -> Vec<usize> {
        let others: Vec<_> = (0..self.planes.len()).filter(|number| *number != gone).collect();
        for number in &others {
            self.planes[*number].process.signal("STOP");
        }
        others
    }

    /// The one of these that said that it holds the lock.
    pub(crate) async fn announced(&self, among: &[usize]) -> usize {
        let look = async || {
            let address: Option<String> = sqlx::query_scalar("select holder_address from leadership")
                .fetch_one(&self.database.pool)
                .await
                .expect("the row can be read");
            among.iter().copied().find(|number| address == Some(self.planes[*number].url()))
        };
        eventually("the holder said so", look, Option::is_some).await.expect("it did")
    }

    /// Starts another one in the place of one that is gone, and waits until it stands by.
    pub(crate) async fn replace(&mut self, number: usize) {
        let options = self.planes[number].options_here();
        self.planes[number] = Plane::launch(self.database.clone(), options).await;
    }

    /// Makes Postgres end the session that holds the lock.
    pub(crate) async fn end_lock_session(&self) {
        let end = sqlx::query("select pg_terminate_backend(pid) from unnest($1) as pid");
        let holders = lock_holders(&self.database).await;
        end.bind(holders).execute(&self.database.pool).await.expect("it can be ended");
    }

    /// The epoch in the database.
    pub(crate) async fn epoch(&self) -> i64 {
        sqlx::query_scalar("select epoch from leadership")
            .fetch_one(&self.database.pool)
            .await
            .expect("there is an epoch")
    }
}

/// Whether it answers that it leads.
pub(crate) async fn is_active(plane: &Plane) -> bool {
    plane.http("/health/active").await == (200, "active\n".to_owned())
}

/// How many wait for the lock.
pub(crate) async fn standbys(database: &Database) -> i64 {
    sqlx::query_scalar(
        "select count(*) from pg_stat_activity activity
         where datname = current_database() and application_name = 'rollcall lock'
           and not exists (select from pg_locks where pg_locks.pid = activity.pid and locktype = 'advisory')",
    )
    .fetch_one(&database.pool)
    .await
    .expect("activity can be read")
}

/// The sessions of Postgres that hold the lock.
pub(crate) async fn lock_holders(database: &Database) -> Vec<i32> {
    sqlx::query_scalar(
        "select pid from pg_locks where locktype = 'advisory' and granted and objsubid = 1
           and database = (select oid from pg_database where datname = current_database())",
    )
    .fetch_all(&database.pool)
    .await
    .expect("the locks can be read")
}

/// Short intervals, and a lease that a drill can wait for.
pub(crate) fn options() -> PlaneOptions {
    PlaneOptions::default().beat_every_ms(900).flag("--lease", "2s")
}

/// Nodes of this owner that hold slots and were just heard, put there by hand: what a recovery has to load.
pub(crate) async fn seed_fleet(database: &Database, owner: ParticipantId, count: u32) -> Vec<Attached> {
    let statement = "
        with account as (
            insert into participants (id) values ($1) returning id
        ), session as (
            insert into sessions (id, name) values (gen_random_uuid(), 'seeded') returning id
        ), membership as (
            insert into session_memberships (session_id, participant_id, role, state)
            select session.id, account.id, 'owner', 'active' from session, account
        ), node as (
            insert into runtime_nodes (node_id, participant_id, generation, instance_id)
            select 'seeded-' || number, account.id, 1, gen_random_uuid()
            from account, generate_series(1, $2::bigint) as number returning node_key, participant_id
        ), slot as (
            insert into runtime_node_attachments (id, session_id, node_key, participant_id, generation,
                client_version, capabilities, state, reported_health)
            select gen_random_uuid(), session.id, node_key, participant_id, 1, '1.0',
                '{\"codex\": {\"contract_version\": \"1.0\"}}', 'online', 'online'
            from node, session
        )
        insert into runtime_node_presence (node_key, generation, last_heartbeat_at, health_state, health_cause)
        select node_key, 1, now(), 'online', 'self_reported' from node";
    sqlx::query(statement)
        .bind(owner.0)
        .bind(i64::from(count))
        .execute(&database.pool)
        .await
        .expect("a fleet can be put there");
    (1..=count).map(|number| Attached { node_id: format!("seeded-{number}"), generation: 1 }).collect()
}
