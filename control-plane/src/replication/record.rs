//! What is durably known of replicas is written in batches: of each replica the last thing that the engine said.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::store;
use crate::{failure::chain, leadership::Leader};

/// How often. An acknowledgement that is lost with its server is given again: it only holds the pruner.
const PERIOD: Duration = Duration::from_millis(200);
/// How often time goes on in the engine, whose bounds are of seconds.
const TICK: Duration = Duration::from_secs(1);
/// Rows of one statement.
const ROWS_MAX: usize = 1_000;

/// Writes what is to be written for as long as the leader leads, and lets time go on in the engine.
pub(crate) async fn write_records(leader: Arc<Leader>) {
    let stop = leader.stopped();
    let (mut ticks, mut writes) = (interval(TICK), interval(PERIOD));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    writes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let hub = leader.replication();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = ticks.tick() => {
                hub.tick();
                continue;
            }
            _ = writes.tick() => {}
        }
        // What is known of replicas changes nothing that maintenance keeps still, but it is a write.
        let Ok(_writing) = leader.maintenance().writing().await else { continue };
        loop {
            let records = hub.take_records(ROWS_MAX);
            if records.is_empty() {
                break;
            }
            if let Err(fault) = store::record(leader.db(), &records).await {
                leader.tell_fenced(&fault);
                tracing::warn!(
                    error = chain(&fault),
                    "what is known of replicas could not be written, and will be"
                );
                hub.give_back(records);
                break;
            }
        }
    }
    hub.end();
}
