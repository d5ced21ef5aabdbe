//! A server that does not lead.

use contracts::wire::v1::{CreateSessionRequest, WatchRosterRequest};
use tests::{Attaching, Plane, PlaneOptions, eventually, refusal};

#[tokio::test]
async fn a_standby_refuses_writes_with_the_address_of_the_active_server_and_serves_reads() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let active = plane.client().await;
    let session = active.session().await;
    let generation = active.online(&session, "laptop-1").await;
    let before = plane.database.snapshot().await;

    // With the same token, at an address of its own.
    let standby = Plane::launch(plane.database.clone(), plane.options_beside()).await;
    let client = standby.client().await;
    let create = CreateSessionRequest { name: "no".to_owned(), ..CreateSessionRequest::default() };
    let told = async || refusal(client.sessions.clone().create_session(create.clone()).await);
    let refused =
        eventually("it knows who is active", told, |refused| refused.facts.contains_key("active_address"))
            .await;
    assert_eq!(
        (refused.code.as_str(), &refused.facts["active_address"]),
        ("controller.standby", &plane.url())
    );
    let watch = WatchRosterRequest { session_id: session.clone(), revision: String::new() };
    for refused in [
        refusal(client.attach(&Attaching::new(&session, "laptop-2")).await),
        refusal(client.beat("laptop-1", generation).await),
        refusal(client.declare("laptop-1", generation, &["other"]).await),
        refusal(client.detach("laptop-1", generation).await),
        refusal(client.nodes.clone().watch_roster(watch).await),
    ] {
        assert_eq!(refused.code, "controller.standby");
    }
    assert_eq!(plane.database.snapshot().await, before);
    assert_eq!(client.roster(&session).await, active.roster(&session).await);
}
