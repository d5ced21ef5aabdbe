//! Servers that start at once: one of them leads.

use std::collections::BTreeMap;

use tests::{Database, Plane, eventually};

use crate::{
    cluster::{is_active, lock_holders, options},
    rounds,
};

/// What was seen at one look: the epoch in the database, and who said that it leads.
#[derive(Debug)]
struct Look {
    epoch: i64,
    active: Vec<usize>,
}

#[tokio::test(flavor = "multi_thread")]
async fn of_five_that_start_at_once_exactly_one_leads() {
    for round in 0..rounds(3, 20) {
        let database = Database::new().await;
        let launch = || Plane::launch(database.clone(), options());
        let planes: [Plane; 5] = tokio::join!(launch(), launch(), launch(), launch(), launch()).into();
        let mut looks: Vec<Look> = Vec::new();
        let settled = async || {
            let epoch =
                sqlx::query_scalar("select epoch from leadership").fetch_one(&database.pool).await.unwrap();
            let mut active = Vec::new();
            for (number, plane) in planes.iter().enumerate() {
                if is_active(plane).await {
                    active.push(number);
                }
            }
            looks.push(Look { epoch, active });
            looks.len() >= 20 && looks.last().is_some_and(|look| look.active.len() == 1)
        };
        eventually("one is active", settled, |settled| *settled).await;
        assert!(looks.iter().all(|look| look.active.len() <= 1), "round {round}: {looks:?}");
        // Each term has one server: nobody lost it while all were alive.
        let mut leaders: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for look in looks {
            leaders.entry(look.epoch).or_default().extend(look.active);
        }
        assert!(leaders.keys().all(|epoch| *epoch <= 1), "round {round}: {leaders:?}");
        assert_eq!(lock_holders(&database).await.len(), 1, "round {round}: one lock, once");
    }
}
