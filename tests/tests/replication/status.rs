//! What the server says of replicas.

use contracts::wire::v1::{
    GetReplicationStatusRequest, GetReplicationStatusResponse, RecoveryEvent, ReplicaState, ReplicaStatus,
};
use tests::{Client, DEADLINE};
use tokio::time::{Instant, sleep};

/// How long a recovery of a large log may take.
const RECOVERY_DEADLINE: std::time::Duration = DEADLINE.saturating_mul(4);
const LOOK_INTERVAL: std::time::Duration = std::time::Duration::from_millis(20);

/// Where a log and its replicas stand.
pub(crate) async fn status(client: &Client, session: &str) -> GetReplicationStatusResponse {
    let request = GetReplicationStatusRequest { session_id: session.to_owned(), recent_max: 1_000 };
    let answer = client.log.clone().get_replication_status(request).await;
    answer.expect("the status can be read").into_inner()
}

/// Waits until this is true of it.
pub(crate) async fn until(
    client: &Client,
    session: &str,
    what: &str,
    holds: impl Fn(&GetReplicationStatusResponse) -> bool,
) -> GetReplicationStatusResponse {
    let deadline = Instant::now() + RECOVERY_DEADLINE;
    loop {
        let seen = status(client, session).await;
        if holds(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "not in {RECOVERY_DEADLINE:?}: {what}; seen last: {seen:#?}");
        sleep(LOOK_INTERVAL).await;
    }
}

/// Waits until all these are in sync and have acknowledged the whole log, and hold nothing of it.
pub(crate) async fn in_sync(client: &Client, session: &str, nodes: &[&str]) -> GetReplicationStatusResponse {
    until(client, session, "all replicas are in sync", |status| {
        nodes.iter().all(|node| {
            find(status, node).is_some_and(|replica| {
                replica.state() == ReplicaState::InSync && replica.lag == 0 && replica.pins.is_empty()
            })
        })
    })
    .await
}

/// Waits until this one is in this state.
pub(crate) async fn is(client: &Client, session: &str, node: &str, state: ReplicaState) -> ReplicaStatus {
    let seen = until(client, session, &format!("{node} is {state:?}"), |status| {
        find(status, node).is_some_and(|replica| replica.state() == state)
    })
    .await;
    find(&seen, node).expect("it is there").clone()
}

/// Waits until the last checkpoint is trusted, and so near the end of the log that none is due.
pub(crate) async fn has_its_checkpoint(client: &Client, session: &str, every: u64) {
    until(client, session, "no checkpoint is due", |status| {
        let trusted = status.checkpoint.as_ref().filter(|checkpoint| checkpoint.trusted);
        let at = trusted.and_then(|checkpoint| checkpoint.at.as_ref());
        let (at, head) = (at.map_or(0, |at| at.seq), status.head.as_ref().map_or(0, |head| head.seq));
        at + every > head + 1
    })
    .await;
}

/// One of the replicas.
pub(crate) fn find<'a>(status: &'a GetReplicationStatusResponse, node: &str) -> Option<&'a ReplicaStatus> {
    status.replicas.iter().find(|replica| replica.node_id == node)
}

/// What happened to one of them, by its names and details, since its last connect.
pub(crate) fn since_connected<'a>(
    status: &'a GetReplicationStatusResponse,
    node: &str,
) -> Vec<&'a RecoveryEvent> {
    let of_node: Vec<_> = status.recent.iter().filter(|event| event.node_id == node).collect();
    let connected = of_node.iter().rposition(|event| event.name == "connected").expect("it connected");
    of_node[connected..].to_vec()
}
