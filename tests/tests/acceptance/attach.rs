//! A node's one active slot.

use tests::{Attaching, Plane, PlaneOptions, refusal};

#[tokio::test]
async fn a_second_session_for_an_active_node_is_refused() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let (first, second) = (client.session().await, client.session().await);
    client.online(&first, "laptop-1").await;

    let refused = refusal(client.attach(&Attaching::new(&second, "laptop-1")).await);
    assert_eq!(refused.code, "runtimenode.attach_conflict");
    assert!(client.roster(&second).await.is_empty());
}
