//! The canary: the server beats to itself over loopback, through everything that a daemon's beat goes through, each
//! lane included.
//!
//! Time counts as service only while the canary's beats are committed. So a listener that accepts nobody, a full queue
//! or a stuck database stop the clock that silence is counted by.

use std::time::{Duration, Instant};

use contracts::wire::v1::{Beat, HeartbeatRequest, runtime_node_service_client::RuntimeNodeServiceClient};
use tokio::{sync::watch, time::MissedTickBehavior};
use tonic::{Request, metadata::MetadataValue, transport::Endpoint};

use crate::{auth::CanaryToken, settings::Cadence};

/// How often the canary beats, and service is proven: at least five times a cadence, and each second.
pub fn proof_interval(cadence: &Cadence) -> Duration {
    (cadence.heartbeat_interval() / 5).min(Duration::from_secs(1))
}

/// How long a proof is good for. A longer gap is an interruption of service.
pub fn proof_gap_max(cadence: &Cadence) -> Duration {
    proof_interval(cadence) * 3
}

/// Beats to `own`, this server's endpoint, until it is dropped; publishes when the last beat that was committed set out.
pub async fn beat(
    own: Endpoint,
    token: CanaryToken,
    period: Duration,
    committed: watch::Sender<Option<Instant>>,
) {
    let Ok(bearer) = MetadataValue::try_from(token.bearer()) else {
        tracing::error!("the canary cannot send its token");
        return;
    };
    let mut client = RuntimeNodeServiceClient::new(own.connect_lazy());
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_heard = true;
    loop {
        ticks.tick().await;
        let mut request = Request::new(HeartbeatRequest { beat: Some(Beat::default()) });
        request.metadata_mut().insert("authorization", bearer.clone());
        let set_out = Instant::now();
        match client.heartbeat(request).await {
            Ok(_) => {
                committed.send_replace(Some(set_out));
                is_heard = true;
            }
            Err(status) => {
                if std::mem::take(&mut is_heard) {
                    tracing::warn!(code = ?status.code(), message = status.message(), "the canary is not heard: silence of nodes does not count until it is");
                }
            }
        }
    }
}
