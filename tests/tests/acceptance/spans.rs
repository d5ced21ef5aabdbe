//! The record of who was attached where, from when to when.

use contracts::wire::v1::{CloseSessionRequest, DetachRequest};
use tests::{Attaching, Plane, PlaneOptions};

/// A span: generation, session, instance, cause and reason of its end.
type Span = (i64, String, String, Option<String>, Option<String>);

async fn spans(plane: &Plane, node_id: &str) -> Vec<Span> {
    sqlx::query_as(
        "select span.generation, session_id::text, span.instance_id::text, end_cause, end_reason
         from attachment_spans span join runtime_nodes using (node_key) where node_id = $1
         order by span.generation",
    )
    .bind(node_id)
    .fetch_all(&plane.database.pool)
    .await
    .expect("spans can be read")
}

fn span(generation: i64, attaching: &Attaching, end: Option<(&str, Option<&str>)>) -> Span {
    let (cause, reason) = end.unzip();
    (
        generation,
        attaching.0.session_id.clone(),
        attaching.0.instance_id.clone(),
        cause.map(str::to_owned),
        reason.flatten().map(str::to_owned),
    )
}

#[tokio::test]
async fn a_span_tells_who_was_attached_where_and_why_it_ended() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let (here, there) = (client.session().await, client.session().await);
    let superseded = Attaching::new(&here, "laptop-1").declaring(&["codex"]);
    let detached = Attaching::new(&here, "laptop-1");
    let closed = Attaching::new(&there, "laptop-1");

    client.attach(&superseded).await.unwrap();
    client.attach(&superseded).await.unwrap();
    assert_eq!(spans(&plane, "laptop-1").await, [span(1, &superseded, None)]);

    client.attach(&detached).await.unwrap();
    let detach = DetachRequest {
        node_id: "laptop-1".to_owned(),
        generation: 2,
        reason: "the machine is needed elsewhere".to_owned(),
    };
    client.nodes.clone().detach(detach.clone()).await.unwrap();
    // A repeat does not rewrite how it ended.
    client
        .nodes
        .clone()
        .detach(DetachRequest { reason: "another reason".to_owned(), ..detach })
        .await
        .unwrap();
    client.attach(&closed).await.unwrap();
    let request = CloseSessionRequest { session_id: there.clone(), ..Default::default() };
    client.sessions.clone().close_session(request).await.unwrap();
    let last = Attaching::new(&here, "laptop-1");
    client.attach(&last).await.unwrap();

    let mut expected = vec![
        span(1, &superseded, Some(("superseded", None))),
        span(2, &detached, Some(("detached", Some("the machine is needed elsewhere")))),
        span(3, &closed, Some(("session_closed", None))),
        span(4, &last, None),
    ];
    assert_eq!(spans(&plane, "laptop-1").await, expected);

    // A detach that nobody gives a reason for.
    client.detach("laptop-1", 4).await.unwrap();
    expected[3] = span(4, &last, Some(("detached", None)));
    assert_eq!(spans(&plane, "laptop-1").await, expected);
}

#[tokio::test]
async fn a_span_begins_and_ends_with_what_it_records_and_is_never_reopened() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let attaching = Attaching::new(&session, "laptop-1");
    client.attach(&attaching).await.unwrap();
    client.detach("laptop-1", 1).await.unwrap();
    let ended = plane.database.snapshot().await.rows("attachment_spans").to_vec();
    assert_eq!(ended.len(), 1);

    // The same instance comes back: a new span, and the old one as it was.
    client.attach(&attaching).await.unwrap();
    client.online(&session, "laptop-1").await;
    let now = plane.database.snapshot().await;
    assert_eq!(now.rows("attachment_spans").len(), 3);
    assert!(now.rows("attachment_spans").contains(&ended[0]), "{now:?}");

    // One after the other, without overlap, the first from the moment the slot was attached.
    let ordered: bool = sqlx::query_scalar(
        "select bool_and(started_at <= coalesce(ended_at, 'infinity')
                         and coalesce(ended_at, 'infinity') <= coalesce(next, 'infinity')
                         and (generation > 1 or started_at between attached_at and clock_timestamp()))
         from (select span.*, attached_at, lead(started_at) over (order by span.generation) as next
               from attachment_spans span
               join runtime_node_attachments attachment on attachment.id = attachment_id) span",
    )
    .fetch_one(&plane.database.pool)
    .await
    .unwrap();
    assert!(ordered);
}

#[tokio::test]
async fn a_refused_attach_opens_no_span_and_ends_none() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let (here, there) = (client.session().await, client.session().await);
    let attaching = Attaching::new(&here, "laptop-1");
    client.attach(&attaching).await.unwrap();

    let refused = plane.refuses(client.attach(&Attaching::new(&there, "laptop-1"))).await;
    assert_eq!(refused.code, "runtimenode.attach_conflict");
    let refused = plane.refuses(client.attach(&Attaching::new(&here, "laptop-1").version("2.0"))).await;
    assert_eq!(refused.code, "version.ceiling_exceeded");
    assert_eq!(spans(&plane, "laptop-1").await, [span(1, &attaching, None)]);
}

#[tokio::test]
async fn beats_and_declarations_leave_spans_alone() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let generation = client.online(&session, "laptop-1").await;
    let before = plane.database.snapshot().await;

    client.beat("laptop-1", generation).await.unwrap();
    client.declare("laptop-1", generation, &["codex", "builder"]).await.unwrap();
    let after = plane.database.snapshot().await;
    assert_eq!(after.rows("attachment_spans"), before.rows("attachment_spans"));
    assert_ne!(after.rows("runtime_node_attachments"), before.rows("runtime_node_attachments"));
    assert_ne!(after.rows("runtime_node_presence"), before.rows("runtime_node_presence"));
}
