//! Retention: what is dead is forgotten after its time, what is not is kept, and nobody who comes back is lost.

use std::time::Duration;

use contracts::wire::v1::{MemberRole, SlotState};
use sqlx::{AssertSqlSafe, Executor};
use tests::{Attaching, Client, Daemon, Database, Plane, PlaneOptions, RosterWatch, eventually, refusal};
use tokio::task::JoinSet;
use uuid::Uuid;

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// A control plane that looks for what is no longer kept all the time.
fn tidy() -> PlaneOptions {
    PlaneOptions::default().flag("--retention-interval", "100ms")
}

/// One that looks once, when it begins to lead.
fn looks_once() -> PlaneOptions {
    PlaneOptions::default().flag("--retention-interval", "1day")
}

async fn run(database: &Database, sql: &str) {
    let done = database.pool.execute(AssertSqlSafe(sql.to_owned())).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn count(database: &Database, what: &str) -> i64 {
    let counted = sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {what}")));
    counted.fetch_one(&database.pool).await.unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// Puts service there that lasted this many days and ended yesterday.
async fn has_served(database: &Database, days: u32) {
    let sql = format!(
        "insert into past_service values (current_date - {days} - 1, now() - interval '{} days', now() - interval '1 day')
         on conflict do nothing",
        days + 1
    );
    run(database, &sql).await;
}

/// Makes nodes offline, and heard last so many days ago.
async fn heard_ago(database: &Database, days: u32, nodes: &str) {
    let sql = format!(
        "update runtime_node_presence set health_state = 'offline', last_heartbeat_at = now() - interval '{days} days',
             health_cause = case when generation is null then 'detached' else 'silence' end
         where node_key in (select node_key from runtime_nodes where {nodes})"
    );
    run(database, &sql).await;
}

async fn names(database: &Database) -> Vec<String> {
    let names = sqlx::query_scalar("select node_id from runtime_nodes order by node_id");
    names.fetch_all(&database.pool).await.expect("names can be read")
}

async fn are_left(database: &Database, expected: &[&str]) {
    eventually("only these are left", async || names(database).await, |names| names == expected).await;
}

#[tokio::test]
async fn nodes_that_were_not_heard_for_long_are_forgotten_and_the_others_and_the_revoked_stay() {
    let plane = Plane::start(looks_once()).await;
    let (owner, admin) = (plane.client().await, plane.admin().await);
    let session = owner.session().await;
    for node_id in ["silent", "detached", "silent-young", "barred", "barred-everywhere", "heard"] {
        let generation = owner.online(&session, node_id).await;
        if node_id == "detached" {
            owner.detach(node_id, generation).await.unwrap();
        }
    }
    owner.revoke_node("barred", Some(&session)).await.unwrap();
    admin.revoke_node("barred-everywhere", None).await.unwrap();
    let database = plane.database.clone();
    has_served(&database, 60).await;
    heard_ago(&database, 40, "node_id in ('silent', 'detached', 'barred', 'barred-everywhere')").await;
    heard_ago(&database, 29, "node_id = 'silent-young'").await;
    drop(plane);

    let plane = Plane::start_on(database.clone(), tidy()).await;
    are_left(&database, &["barred", "barred-everywhere", "heard", "silent-young"]).await;
    assert_eq!(count(&database, "runtime_node_attachments").await, 4);
    // Of the two, one had a slot that ended by it.
    let told = "select key || ' ' || (convert_from(payload, 'utf8')::json ->> 'reason') from session_events
         where type = 'runtime_node.detached' and convert_from(payload, 'utf8')::json ->> 'cause' = 'forgotten'";
    let ends: Vec<String> = sqlx::query_scalar(told).fetch_all(&database.pool).await.unwrap();
    assert_eq!(ends, ["runtime_node/silent not heard in 30 days of service"]);
    database.logs_hold().await;
    assert_eq!(count(&database, "attachment_spans").await, 4);
    assert_eq!(count(&database, "runtime_node_presence where node_key > 0").await, 4);
    let kind = "rollcall_forgotten_total{kind=\"offline_nodes\"}";
    let told = async || plane.metric(kind).await;
    eventually("the metric tells", told, |forgotten| *forgotten == Some(2.0)).await;
    let admin = plane.admin().await;
    let mut entries = admin.audit().await;
    entries.retain(|entry| entry.action == "node.forget");
    entries.sort_by(|left, right| left.target.cmp(&right.target));
    let told: Vec<_> = entries.iter().map(|entry| (entry.target.as_str(), entry.actor_id.as_str())).collect();
    assert_eq!(told, [("detached", NOBODY), ("silent", NOBODY)]);
    assert!(entries.iter().all(|entry| entry.reason == "not heard in 30 days of service"), "{entries:?}");

    for node_id in ["barred", "barred-everywhere"] {
        let refused = refusal(admin.attach(&Attaching::new(&session, node_id)).await);
        assert_eq!(refused.code, "runtimenode.permission_denied", "an admin is no member");
    }
    // Passes go on and on, and take nobody else.
    let passes = async || plane.metric("rollcall_duty_pass_seconds_count{duty=\"retention\"}").await;
    let before = passes().await.unwrap_or_default();
    eventually("further passes", passes, |passes| passes.is_some_and(|passes| passes > before + 3.0)).await;
    assert_eq!(names(&database).await.len(), 4);
}

#[tokio::test]
async fn a_revoked_node_stays_refused_however_long_ago_it_was_heard() {
    let plane = Plane::start(tidy()).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    owner.online(&session, "barred").await;
    owner.online(&session, "gone").await;
    owner.revoke_node("barred", Some(&session)).await.unwrap();
    has_served(&plane.database, 4_000).await;
    run(
        &plane.database,
        "update attachment_spans set started_at = started_at - interval '3000 days',
                          ended_at = ended_at - interval '3000 days'",
    )
    .await;
    heard_ago(&plane.database, 3_000, "true").await;
    are_left(&plane.database, &["barred"]).await;
    let spans = async || count(&plane.database, "attachment_spans").await;
    eventually("its spans are forgotten", spans, |spans| *spans == 0).await;
    let refused = refusal(owner.attach(&Attaching::new(&session, "barred")).await);
    assert_eq!(refused.code, "runtimenode.attach_revoked");
    assert_eq!(owner.node(&session, "barred").await.slot_state(), SlotState::Revoked);
}

#[tokio::test]
async fn time_in_which_there_was_no_service_ages_no_node() {
    let plane = Plane::start(tidy()).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    owner.online(&session, "away").await;
    owner.online(&session, "gone").await;
    let database = &plane.database;
    // Both heard 400 days ago, and the service was down for most of the time since.
    has_served(database, 29).await;
    heard_ago(database, 400, "node_id = 'away'").await;
    let passes = async || plane.metric("rollcall_duty_pass_seconds_count{duty=\"retention\"}").await;
    let before = passes().await.unwrap_or_default();
    eventually("some passes", passes, |passes| passes.is_some_and(|passes| passes > before + 3.0)).await;
    assert_eq!(names(database).await, ["away", "gone"]);
    // With the days that it had served before, it is enough.
    run(database, "insert into past_service values (current_date - 410, now() - interval '410 days', now() - interval '405 days')")
        .await;
    heard_ago(database, 411, "node_id = 'gone'").await;
    are_left(database, &["away"]).await;
}

#[tokio::test]
async fn windows_that_are_dropped_are_counted_by_the_day() {
    let database = Database::new().await;
    run(
        &database,
        "insert into service_windows (epoch, opened_at, counts_from, proven_until)
         select 1, day + at, day + at, day + at + interval '1 hour'
         from (values (date_trunc('day', now() - interval '9 days', 'UTC'))) as days (day),
              (values (interval '1 h'), (interval '5 h'), (interval '24 h')) as times (at);
         insert into service_windows (epoch, opened_at, counts_from, proven_until)
         select 1, now() - interval '8 days', now() - interval '8 days', now() - interval '8 days'",
    )
    .await;
    let _plane = Plane::start_on(database.clone(), PlaneOptions::default().beat_every_ms(300)).await;
    let look = async || {
        sqlx::query_as::<_, (f64, f64)>(
            "select extract(epoch from counts_from - date_trunc('day', now() - interval '9 days', 'UTC'))::float8,
                    extract(epoch from counts_until - counts_from)::float8
             from past_service order by day limit 2",
        )
        .fetch_all(&database.pool)
        .await
        .expect("rows can be read")
    };
    let days = eventually("they are counted", look, |days| days.len() == 2).await;
    let hour = 3_600.0;
    assert_eq!(days, [(hour, 2.0 * hour), (24.0 * hour, hour)], "what never counted adds nothing");
    assert_eq!(
        count(&database, "service_windows where epoch = 1 and proven_until < now() - interval '1 day'").await,
        0
    );
}

/// Rows of every kind but nodes, old and young.
const ROWS: &str = "
insert into participants (id) values ('11111111-1111-1111-1111-111111111111');
insert into audit_entries (at, epoch, actor_id, action, target)
    select now() - ago, 1, '11111111-1111-1111-1111-111111111111', 'session.close', 'old'
    from generate_series(1, 2500), (values (interval '401 days')) as old (ago);
insert into audit_entries (at, epoch, actor_id, action, target)
    values (now() - interval '399 days', 1, '11111111-1111-1111-1111-111111111111', 'session.close', 'young');
insert into request_answers (participant_id, request_id, method, request_digest, answer, answered_at)
    select '11111111-1111-1111-1111-111111111111', gen_random_uuid(), 'X', '', '', now() - interval '25 hours'
    from generate_series(1, 2500);
insert into request_answers (participant_id, request_id, method, request_digest, answer, answered_at)
    values ('11111111-1111-1111-1111-111111111111', gen_random_uuid(), 'X', '', '', now() - interval '23 hours');
insert into revoked_tokens (token_id, expires_at)
    select gen_random_uuid(), now() - ago from (values (interval '2 hours'), ('30 minutes'), ('-1 hour')) as at (ago);
insert into issued_tokens (token_id, participant_id, expires_at)
    select gen_random_uuid(), '11111111-1111-1111-1111-111111111111', now() - ago
    from (values (interval '2 hours'), ('3 hours'), ('30 minutes'), ('-1 hour')) as at (ago);
insert into issued_tokens (token_id, participant_id, expires_at)
    values ('ffffffff-ffff-7fff-bfff-ffffffffffff', '11111111-1111-1111-1111-111111111111', now() - interval '1 year');
";

#[tokio::test]
async fn one_pass_forgets_what_is_old_of_every_kind_in_batches_and_keeps_the_rest() {
    let database = Database::new().await;
    let plane = Plane::start_on(database.clone(), looks_once()).await;
    let (owner, admin) = (plane.client().await, plane.admin().await);
    let session = owner.session().await;
    for (node_id, days) in [("old", 401), ("young", 399)] {
        let generation = owner.online(&session, node_id).await;
        owner.detach(node_id, generation).await.unwrap();
        let age = format!(
            "update attachment_spans set started_at = started_at - interval '500 days',
                 ended_at = ended_at - interval '{days} days'
             where node_key = (select node_key from runtime_nodes where node_id = '{node_id}')"
        );
        run(&database, &age).await;
    }
    for _ in 0..2 {
        let request = contracts::wire::v1::CreateJoinTokenRequest {
            participant_id: plane.participant().to_string(),
            scopes: vec![contracts::wire::v1::TokenScope::Node.into()],
            ..Default::default()
        };
        admin.tokens.clone().create_join_token(request).await.unwrap();
    }
    run(
        &database,
        "update join_tokens set expires_at = now() - interval '2 hours'
                    where id = (select id from join_tokens order by id limit 1)",
    )
    .await;
    run(&database, "delete from audit_entries").await;
    drop(plane);
    run(&database, ROWS).await;
    // What somebody else is at is not waited for.
    let mut held = database.pool.begin().await.unwrap();
    held.execute(
        "select from issued_tokens where expires_at = (select min(expires_at) from issued_tokens
                  where expires_at > now() - interval '1 day') for update",
    )
    .await
    .unwrap();

    let plane = Plane::start_on(database.clone(), looks_once()).await;
    for (left, rows) in [
        ("audit_entries", 1),
        ("audit_entries where target = 'young'", 1),
        ("request_answers", 1),
        ("revoked_tokens", 2),
        ("issued_tokens", 4),
        ("join_tokens", 1),
        ("attachment_spans", 1),
        ("runtime_nodes", 2),
    ] {
        let look = async || count(&database, left).await;
        eventually(&format!("{rows} of {left} are left"), look, |counted| *counted == rows).await;
    }
    held.rollback().await.unwrap();
    let passes = plane.metric("rollcall_duty_pass_seconds_count{duty=\"retention\"}").await;
    assert_eq!(passes, Some(1.0), "in one pass");
    let forgotten = plane.metric("rollcall_forgotten_total{kind=\"request_answers\"}").await;
    assert_eq!(forgotten, Some(2_500.0));
}

#[tokio::test]
async fn what_is_to_be_kept_for_ever_is_kept() {
    let database = Database::new().await;
    let options = tidy()
        .flag("--retain-offline-nodes", "forever")
        .flag("--retain-spans", "forever")
        .flag("--retain-audit", "forever");
    let plane = Plane::start_on(database.clone(), options).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    let generation = owner.online(&session, "gone").await;
    owner.detach("gone", generation).await.unwrap();
    has_served(&database, 4_000).await;
    run(&database, ROWS).await;
    run(
        &database,
        "update attachment_spans set started_at = started_at - interval '3000 days',
                    ended_at = ended_at - interval '3000 days'",
    )
    .await;
    heard_ago(&database, 3_000, "true").await;
    // The other kinds tell that passes went by.
    let answers = async || count(&database, "request_answers").await;
    eventually("answers are forgotten", answers, |answers| *answers == 1).await;
    let passes = async || plane.metric("rollcall_duty_pass_seconds_count{duty=\"retention\"}").await;
    let before = passes().await.unwrap_or_default();
    eventually("further passes", passes, |passes| passes.is_some_and(|passes| passes > before + 2.0)).await;
    assert_eq!(names(&database).await, ["gone"]);
    assert_eq!(count(&database, "attachment_spans").await, 1);
    assert_eq!(count(&database, "audit_entries").await, 2_502);
}

#[tokio::test]
async fn a_forgotten_node_s_name_is_free_and_watches_and_rosters_agree() {
    let plane = Plane::start(tidy()).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    let generation = owner.online(&session, "laptop-1").await;
    owner.online(&session, "laptop-2").await;
    let watch = RosterWatch::start(&owner, &session).await;
    has_served(&plane.database, 60).await;
    heard_ago(&plane.database, 40, "node_id = 'laptop-1'").await;
    are_left(&plane.database, &["laptop-2"]).await;
    watch.has_snapshots(2).await;
    let roster = owner.roster(&session).await;
    assert_eq!(roster.iter().map(|node| node.node_id.as_str()).collect::<Vec<_>>(), ["laptop-2"]);
    assert_eq!(refusal(owner.beat("laptop-1", generation).await).code, "runtimenode.permission_denied");

    let (heir, theirs) = plane.stranger().await;
    owner.welcome(&session, heir, MemberRole::RuntimeContributor).await;
    let attached = theirs.attach(&Attaching::new(&session, "laptop-1")).await.unwrap();
    assert_eq!((attached.generation, attached.state()), (1, SlotState::Registering));
    theirs.beat("laptop-1", 1).await.expect("a node like any other");
    assert_eq!(owner.node(&session, "laptop-1").await.participant_id, heir.to_string());
}

#[tokio::test]
async fn an_attach_that_is_under_way_keeps_its_node_from_being_forgotten() {
    let plane = Plane::start(tidy()).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    for node_id in ["comes-back", "gone"] {
        owner.online(&session, node_id).await;
    }
    // The attach gets as far as the presence, and waits there with its node locked.
    let mut lock = plane.database.pool.begin().await.unwrap();
    lock.execute(
        "select from runtime_node_presence where node_key =
                  (select node_key from runtime_nodes where node_id = 'comes-back') for no key update",
    )
    .await
    .unwrap();
    let (client, attaching) = (owner.clone(), Attaching::new(&session, "comes-back"));
    let attach = tokio::spawn(async move { client.attach(&attaching).await });
    plane.database.has_blocked(1).await;
    lock.execute(
        "update runtime_node_presence set health_state = 'offline', health_cause = 'silence',
                      last_heartbeat_at = now() - interval '40 days'
                  where node_key = (select node_key from runtime_nodes where node_id = 'comes-back')",
    )
    .await
    .unwrap();
    has_served(&plane.database, 60).await;
    heard_ago(&plane.database, 40, "node_id = 'gone'").await;
    are_left(&plane.database, &["comes-back"]).await;
    // From here on it is old for whoever looks, but for the attach.
    lock.commit().await.unwrap();
    let attached = attach.await.unwrap().expect("the attach is let in");
    assert_eq!(attached.generation, 2, "it is the node that it was");
    owner.beat("comes-back", 2).await.expect("and it is heard");
    assert_eq!(names(&plane.database).await, ["comes-back"]);
}

#[tokio::test]
async fn nodes_that_come_back_while_they_are_being_forgotten_are_never_lost() {
    let plane = Plane::start(tidy()).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    has_served(&plane.database, 60).await;
    let mut coming = JoinSet::new();
    for number in 0..8 {
        let (client, session, database) = (owner.clone(), session.clone(), plane.database.clone());
        coming.spawn(async move { comes_and_goes(&client, &session, &database, number).await });
    }
    coming.join_all().await;
    let roster = owner.roster(&session).await;
    assert_eq!(roster.len(), 8);
    for node in roster {
        owner.beat(&node.node_id, node.generation).await.expect("each of them is heard");
    }
}

/// Is silent for 40 days and comes back, again and again; must be heard each time.
async fn comes_and_goes(client: &Client, session: &str, database: &Database, number: u64) {
    let node_id = format!("laptop-{number}");
    for round in 0..12 {
        let generation = client.online(session, &node_id).await;
        let heard = client.beat(&node_id, generation).await;
        heard.unwrap_or_else(|status| panic!("{node_id}, round {round}: {status:?}"));
        if round < 11 {
            heard_ago(database, 40, &format!("node_id = '{node_id}'")).await;
            // So that passes meet it before, in and after its attach.
            tokio::time::sleep(Duration::from_millis(number * 17 + round * 5)).await;
        }
    }
}

#[tokio::test]
async fn a_daemon_that_was_forgotten_attaches_anew_by_itself() {
    let plane = Plane::start(tidy().beat_every_ms(600)).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    let daemon = Daemon::start(&plane, &session, "laptop-1");
    daemon.process.logged("attached").await;
    let first = owner.node(&session, "laptop-1").await.attachment_id;
    daemon.process.signal("STOP");
    has_served(&plane.database, 60).await;
    heard_ago(&plane.database, 40, "true").await;
    are_left(&plane.database, &[]).await;
    daemon.process.signal("CONT");
    are_left(&plane.database, &["laptop-1"]).await;
    let online = async || owner.roster(&session).await.pop().map(|node| node.slot_state());
    eventually("it is online", online, |state| *state == Some(SlotState::Online)).await;
    let anew = owner.node(&session, "laptop-1").await;
    assert_eq!(anew.generation, 1);
    assert_ne!(anew.attachment_id, first);
    assert!(Uuid::parse_str(&anew.attachment_id).is_ok());
}
