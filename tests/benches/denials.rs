//! Whether the time that a denial takes tells its cause: what is not there, what is somebody else's, and what one is no
//! member of are denied alike to the byte, and are here timed side by side.
//!
//! ```sh
//! cargo bench -p tests --bench denials --profile drill
//! ```

use std::time::{Duration, Instant};

use contracts::wire::v1::{MemberRole, MemberState};
use tests::{Attaching, Client, Plane, PlaneOptions, refusal};

const ROUNDS: usize = 2_000;

struct Times {
    cause: &'static str,
    taken: Vec<Duration>,
}

impl Times {
    fn new(cause: &'static str) -> Self {
        Self { cause, taken: Vec::with_capacity(ROUNDS) }
    }

    fn show(&mut self, call: &str) {
        self.taken.sort_unstable();
        let at = |percent: usize| self.taken[(self.taken.len() - 1) * percent / 100];
        println!(
            "{call:<8} {:<28} median {:>9.1?}   p10 {:>9.1?}   p90 {:>9.1?}",
            self.cause,
            at(50),
            at(10),
            at(90)
        );
    }
}

async fn denied_beat(client: &Client, node_id: &str) -> Duration {
    let began = Instant::now();
    let answer = client.beat(node_id, 1).await;
    let taken = began.elapsed();
    assert_eq!(refusal(answer).code, "runtimenode.permission_denied");
    taken
}

async fn denied_attach(client: &Client, session: &str, node_id: &str) -> Duration {
    let attaching = Attaching::new(session, node_id);
    let began = Instant::now();
    let answer = client.attach(&attaching).await;
    let taken = began.elapsed();
    assert_eq!(refusal(answer).code, "runtimenode.permission_denied");
    taken
}

#[tokio::main]
async fn main() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let (caller, client) = plane.stranger().await;
    let (hidden, left) = (owner.session().await, owner.session().await);
    owner.online(&hidden, "hidden").await;
    owner.welcome(&left, caller, MemberRole::Collaborator).await;
    client.online(&left, "left").await;
    owner
        .set_member(&left, caller, MemberRole::Collaborator, MemberState::Suspended)
        .await
        .expect("it is set");
    let unknown = uuid::Uuid::now_v7().to_string();

    let beats = [
        ("no such node", "absent"),
        ("somebody else's node", "hidden"),
        ("own node, suspended member", "left"),
    ];
    let attaches =
        [("no such session", unknown), ("somebody else's session", hidden), ("suspended member", left)];
    let mut beat_times = beats.map(|(cause, _)| Times::new(cause));
    let mut attach_times = attaches.clone().map(|(cause, _)| Times::new(cause));
    // One of each in turn, so that what slows the machine for a while slows them all.
    for round in 0..ROUNDS {
        for ((_, node_id), times) in beats.iter().zip(&mut beat_times) {
            times.taken.push(denied_beat(&client, node_id).await);
        }
        for ((_, session), times) in attaches.iter().zip(&mut attach_times) {
            times.taken.push(denied_attach(&client, session, &format!("new-{}", round % 7)).await);
        }
    }
    beat_times.iter_mut().for_each(|times| times.show("beat"));
    attach_times.iter_mut().for_each(|times| times.show("attach"));
}
