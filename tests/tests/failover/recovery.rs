//! A recovery that fails again and again: the lock goes to a server that can.

use std::time::{Duration, Instant};

use contracts::{ParticipantId, wire::v1::StepDownRequest};
use serde_json::Value;
use tests::{Database, Plane, Proxy, eventually, refusal};
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    cluster::{is_active, options, seed_fleet, standbys},
    rounds,
};

/// Recoveries that may fail in a row.
const FAILURES: u64 = 5;
/// More than a server may stand back, on a machine that is busy.
const BACK_BY: Duration = Duration::from_secs(90);

/// A server whose recoveries all fail, for their connections are cut, and a healthy one that took over from it.
struct Relieved {
    database: Database,
    proxy: Proxy,
    failing: Plane,
    healthy: Plane,
}

impl Relieved {
    async fn start() -> Self {
        let database = Database::new().await;
        let proxy = database.proxy().await;
        proxy.cut_only("rollcall recovery");
        let failing = Plane::launch(database.through(&proxy), options()).await;
        let recovering = async || failing.http("/health/active").await;
        eventually("it recovers", recovering, |told| *told == (200, "recovering\n".to_owned())).await;
        let began = Instant::now();
        let healthy = Plane::launch(database.clone(), failing.options_beside()).await;
        healthy.active().await;
        println!("a recovery that always fails: another one leads after {:?}", began.elapsed());
        Self { database, proxy, failing, healthy }
    }

    async fn epoch(&self) -> i64 {
        let epoch = sqlx::query_scalar("select epoch from leadership").fetch_one(&self.database.pool);
        epoch.await.expect("there is an epoch")
    }

    /// Whether the failing one waits for the lock like any other.
    async fn waits_again(&self) -> bool {
        standbys(&self.database).await > 0
    }
}

fn logged(plane: &Plane, message: &str) -> Vec<Value> {
    let lines = plane.process.log();
    let parsed = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    parsed.filter(|line| line["message"] == message).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_five_failed_recoveries_a_healthy_server_gets_its_turn_for_half_a_minute() {
    let relieved = Relieved::start().await;
    let (failing, healthy) = (&relieved.failing, &relieved.healthy);
    let began = Instant::now();
    let failures: Vec<_> = logged(failing, "recovery failed")
        .iter()
        .map(|line| (line["epoch"].as_u64().unwrap(), line["failures"].as_u64().unwrap()))
        .collect();
    assert_eq!(failures, (1..=FAILURES).map(|failure| (1, failure)).collect::<Vec<_>>(), "all in one term");
    let gave_up = logged(failing, "the role changes").pop().unwrap();
    assert_eq!(
        (&gave_up["from"], &gave_up["to"], &gave_up["cause"]),
        (&"recovering".into(), &"standby".into(), &"recovery failed again and again".into())
    );
    assert_eq!(relieved.epoch().await, 2, "the healthy one recovered once");
    assert!(!is_active(failing).await);
    let told = async || refusal(failing.client().await.beat("nobody", 1).await);
    eventually("it sends writes to the healthy one", told, |refused| {
        refused.code == "controller.standby" && refused.facts.get("active_address") == Some(&healthy.url())
    })
    .await;

    // Whoever stands back is nobody to hand over to.
    let mut leadership = healthy.admin().await.leadership;
    let refused = refusal(leadership.step_down(StepDownRequest::default()).await);
    assert_eq!(refused.code, "controller.no_standby");
    while !relieved.waits_again().await {
        assert!(began.elapsed() < BACK_BY, "it never waits for the lock again");
        sleep(Duration::from_millis(50)).await;
    }
    println!("it stood back for {:?}", began.elapsed());
    // Thirty seconds, of which some were over when the other one was seen to lead.
    assert!(began.elapsed() > Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!((relieved.epoch().await, logged(failing, "recovery failed").len()), (2, 5));

    relieved.proxy.pass();
    leadership.step_down(StepDownRequest::default()).await.expect("there is a standby now");
    failing.active().await;
    assert_eq!(relieved.epoch().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_back_leads_when_nobody_else_would() {
    let mut relieved = Relieved::start().await;
    relieved.proxy.pass();
    let killed = Instant::now();
    relieved.healthy.process.kill();
    relieved.failing.active().await;
    println!("the healthy one is killed: who stood back leads after {:?}", killed.elapsed());
    assert!(killed.elapsed() < Duration::from_secs(15), "{:?}", killed.elapsed());
    assert_eq!(relieved.epoch().await, 3);
}

/// Nodes whose recovery takes several times the shortest lease in a debug build.
const LARGE_FLEET: u32 = 50_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_takes_longer_than_a_lease_is_finished_in_its_term() {
    let database = Database::new().await;
    seed_fleet(&database, ParticipantId(Uuid::now_v7()), LARGE_FLEET).await;
    // Whether the lock is verified while the fleet is loaded is a matter of chance where one is in the other's way.
    for round in 1..=rounds(4, 20) {
        let plane = Plane::launch(database.clone(), options().flag("--lease", "1s")).await;
        let done = plane.process.logged("recovery is done").await;
        println!("{LARGE_FLEET} nodes, lease 1s: recovered in {} ms", done["milliseconds"]);
        assert_eq!(done["epoch"], round, "in its first term");
    }
}
