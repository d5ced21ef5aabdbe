//! What a node declares, what the server makes of it, and when a slot is online.

use contracts::wire::v1::{
    AttachResponse, Capability, Declaration, DeclarationOutcome, IdempotencyClass, ReportedHealth, SlotState,
    StateReason, StateReasonKind, Tool, UpdateCapabilitiesRequest, UpdateCapabilitiesResponse,
};
use tests::{Attaching, Client, Plane, PlaneOptions};
use tonic::{Code, Status};

/// An update that says nothing yet.
fn update(generation: u64) -> UpdateCapabilitiesRequest {
    UpdateCapabilitiesRequest { node_id: "laptop-1".to_owned(), generation, ..Default::default() }
}

async fn send(
    client: &Client,
    update: UpdateCapabilitiesRequest,
) -> Result<UpdateCapabilitiesResponse, Status> {
    Ok(client.nodes.clone().update_capabilities(update).await?.into_inner())
}

fn health(health: ReportedHealth) -> Option<i32> {
    Some(health.into())
}

fn self_reported(detail: &str) -> StateReason {
    StateReason {
        kind: StateReasonKind::SelfReported.into(),
        capability_key: String::new(),
        detail: detail.to_owned(),
    }
}

fn tool(name: &str, idempotency_class: i32) -> Tool {
    Tool { name: name.to_owned(), idempotency_class, description: String::new() }
}

fn capability(key: &str) -> Capability {
    Capability { key: key.to_owned(), contract_version: "1.0".to_owned(), ..Capability::default() }
}

fn declaration(capabilities: Vec<Capability>) -> Option<Declaration> {
    Some(Declaration { capabilities })
}

/// A declaration with one fault of each kind that is stored, with the reasons that it gives.
fn unsupported() -> (Option<Declaration>, Vec<StateReason>) {
    let reason = |kind: StateReasonKind, key: &str, detail: &str| StateReason {
        kind: kind.into(),
        capability_key: key.to_owned(),
        detail: detail.to_owned(),
    };
    let capabilities = vec![
        Capability { contract_version: "2.0".to_owned(), ..capability("a-contract") },
        Capability { features: vec!["mcp".to_owned(), "telepathy".to_owned()], ..capability("b-feature") },
        Capability { tools: vec![tool("build", 1), tool("deploy", 99)], ..capability("c-class") },
        capability("d-good"),
    ];
    let reasons = vec![
        reason(StateReasonKind::UnsupportedContractVersion, "a-contract", "2.0"),
        reason(StateReasonKind::UnsupportedFeature, "b-feature", "telepathy"),
        reason(StateReasonKind::UnsupportedIdempotencyClass, "c-class", "99 of tool deploy"),
    ];
    (declaration(capabilities), reasons)
}

#[tokio::test]
async fn online_takes_a_declaration() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let generation = client.attach(&Attaching::new(&session, "laptop-1")).await.unwrap().generation;

    for declaration in [None, declaration(vec![])] {
        let undeclared = UpdateCapabilitiesRequest {
            health: health(ReportedHealth::Online),
            declaration,
            ..update(generation)
        };
        let status = send(&client, undeclared.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        let refused = plane.refuses(send(&client, undeclared)).await;
        assert_eq!(refused.code, "runtimenode.capabilityupdate_conflict");
    }
    client.beat("laptop-1", generation).await.unwrap();
    assert_eq!(
        client.node(&session, "laptop-1").await.slot_state(),
        SlotState::Registering,
        "a beat is no way around"
    );

    let answer = client.declare("laptop-1", generation, &["codex"]).await.unwrap();
    assert_eq!((answer.state(), answer.state_reasons), (SlotState::Online, vec![]));
    let node = client.node(&session, "laptop-1").await;
    assert_eq!(
        (node.slot_state(), node.declaration),
        (SlotState::Online, Some(Client::declaration(&["codex"])))
    );
}

#[tokio::test]
async fn a_declaration_without_a_health_leads_where_the_health_of_the_attach_does() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    for (reported, state, reasons) in [
        (ReportedHealth::Online, SlotState::Online, vec![]),
        (ReportedHealth::Degraded, SlotState::Degraded, vec![self_reported("")]),
    ] {
        let mut attaching = Attaching::new(&session, "laptop-1");
        attaching.0.health = reported.into();
        let attached = client.attach(&attaching).await.unwrap();
        assert_eq!(attached.state(), SlotState::Registering);
        let declared = UpdateCapabilitiesRequest {
            declaration: declaration(vec![capability("codex")]),
            ..update(attached.generation)
        };
        let answer = send(&client, declared).await.unwrap();
        assert_eq!((answer.state(), answer.state_reasons), (state, reasons));
    }
}

#[tokio::test]
async fn what_is_declared_and_not_supported_is_stored_and_degrades_with_the_reasons() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let (odd, reasons) = unsupported();

    let mut attaching = Attaching::new(&session, "laptop-1");
    attaching.0.declaration.clone_from(&odd);
    let attached = client.attach(&attaching).await.unwrap();
    assert_eq!((attached.state(), &attached.state_reasons), (SlotState::Degraded, &reasons));
    assert_eq!(attached.declaration_outcome(), DeclarationOutcome::Stored);
    let node = client.node(&session, "laptop-1").await;
    assert_eq!((&node.declaration, &node.state_reasons), (&odd, &reasons));

    // A good one in its place, and back.
    let generation = attached.generation;
    let good = client.declare("laptop-1", generation, &["codex"]).await.unwrap();
    assert_eq!((good.state(), good.state_reasons), (SlotState::Online, vec![]));
    let again = UpdateCapabilitiesRequest {
        declaration: odd.clone(),
        health: health(ReportedHealth::Degraded),
        health_reason: "disk is full".to_owned(),
        ..update(generation)
    };
    let answer = send(&client, again).await.unwrap();
    let both = [reasons.clone(), vec![self_reported("disk is full")]].concat();
    assert_eq!((answer.state(), answer.state_reasons), (SlotState::Degraded, both));
    // Well again by its own word, and still degraded by what it declared.
    let well = UpdateCapabilitiesRequest { health: health(ReportedHealth::Online), ..update(generation) };
    let answer = send(&client, well).await.unwrap();
    assert_eq!((answer.state(), answer.state_reasons), (SlotState::Degraded, reasons));
    assert_eq!(client.node(&session, "laptop-1").await.declaration, odd);
}

#[tokio::test]
async fn a_malformed_declaration_is_refused_with_its_path_and_leaves_no_trace() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let generation = client.online(&session, "laptop-1").await;
    let check = async |field: &str, bad: Declaration| {
        let mut attaching = Attaching::new(&session, "laptop-2");
        attaching.0.declaration = Some(bad.clone());
        let at_attach = plane.refuses(client.attach(&attaching)).await;
        let declared = UpdateCapabilitiesRequest { declaration: Some(bad), ..update(generation) };
        let at_update = plane.refuses(send(&client, declared)).await;
        for refused in [at_attach, at_update] {
            assert_eq!((refused.code.as_str(), refused.field.as_deref()), ("argument.invalid", Some(field)));
        }
    };
    // The second of two, so that the path has to count.
    let second = async |field: &str, bad: Capability| {
        let path = format!("declaration.capabilities[1]{field}");
        check(&path, Declaration { capabilities: vec![capability("good"), bad] }).await;
    };

    second(".key", capability("")).await;
    second(".key", capability("good")).await;
    second(".key", capability(&"x".repeat(129))).await;
    second(".key", capability("line\nbreak")).await;
    for version in ["", "1", "1.0.0", "01.0"] {
        second(".contract_version", Capability { contract_version: version.to_owned(), ..capability("x") })
            .await;
    }
    second(".features", Capability { features: vec![String::new()], ..capability("x") }).await;
    let many = (0..65).map(|feature| feature.to_string()).collect();
    second(".features", Capability { features: many, ..capability("x") }).await;
    let tools = |tools: Vec<Tool>| Capability { tools, ..capability("x") };
    second(".tools[1].name", tools(vec![tool("a", 1), tool("a", 1)])).await;
    second(".tools[1].name", tools(vec![tool("a", 1), tool("", 1)])).await;
    let unspecified = IdempotencyClass::Unspecified.into();
    second(".tools[0].idempotency_class", tools(vec![tool("a", unspecified)])).await;
    let wordy = Tool { description: "x".repeat(513), ..tool("a", 1) };
    second(".tools[0].description", tools(vec![wordy])).await;
    second(".tools", tools((0..129).map(|name| tool(&name.to_string(), 1)).collect())).await;

    let keys: Vec<_> = (0..65).map(|key| key.to_string()).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    check("declaration.capabilities", Client::declaration(&keys)).await;
    let large = |name: usize| Tool { description: "x".repeat(512), ..tool(&format!("{name:03}"), 1) };
    let large = Capability { tools: (0..128).map(large).collect(), ..capability("x") };
    check("declaration", Declaration { capabilities: vec![large] }).await;

    // As many as there may be, at their longest.
    let mut edge = Attaching::new(&session, "laptop-2").declaring(&keys[..64]);
    edge.0.declaration.as_mut().unwrap().capabilities[0].key = "ü".repeat(128);
    assert_eq!(client.attach(&edge).await.unwrap().state(), SlotState::Online);
}

#[tokio::test]
async fn a_malformed_update_is_refused_with_its_field_and_leaves_no_trace() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let generation = client.online(&client.session().await, "laptop-1").await;
    let check = async |field: &str, bad: UpdateCapabilitiesRequest| {
        let refused = plane.refuses(send(&client, bad)).await;
        assert_eq!((refused.code.as_str(), refused.field.as_deref()), ("argument.invalid", Some(field)));
    };
    let degraded = |reason: &str| UpdateCapabilitiesRequest {
        health: health(ReportedHealth::Degraded),
        health_reason: reason.to_owned(),
        ..update(generation)
    };

    check("declaration", update(generation)).await;
    check("health", UpdateCapabilitiesRequest { health: Some(0), ..update(generation) }).await;
    check("health", UpdateCapabilitiesRequest { health: Some(3), ..update(generation) }).await;
    check("health_reason", degraded(&"x".repeat(513))).await;
    check("health_reason", degraded("  ")).await;
    check("health_reason", degraded("\u{0}")).await;
    let well = health(ReportedHealth::Online);
    check("health_reason", UpdateCapabilitiesRequest { health: well, ..degraded("why") }).await;
    check(
        "health_reason",
        UpdateCapabilitiesRequest { health: None, declaration: declaration(vec![]), ..degraded("why") },
    )
    .await;
    check("node_id", UpdateCapabilitiesRequest { node_id: String::new(), ..degraded("") }).await;
    send(&client, degraded(&"ü".repeat(512))).await.unwrap();
}

#[tokio::test]
async fn at_attach_absent_keeps_present_replaces_and_empty_clears() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let attach = async |declared: Option<&[&str]>| -> (AttachResponse, Vec<String>) {
        let mut attaching = Attaching::new(&session, "laptop-1");
        attaching.0.declaration = declared.map(Client::declaration);
        let attached = client.attach(&attaching).await.unwrap();
        let node = client.node(&session, "laptop-1").await;
        assert_eq!(node.slot_state(), attached.state());
        let keys =
            node.declaration.unwrap().capabilities.into_iter().map(|capability| capability.key).collect();
        (attached, keys)
    };

    for (declared, outcome, state, keys) in [
        (None, DeclarationOutcome::Absent, SlotState::Registering, &[] as &[&str]),
        (
            Some(&["codex", "builder"] as &[_]),
            DeclarationOutcome::Stored,
            SlotState::Online,
            &["builder", "codex"],
        ),
        (None, DeclarationOutcome::Absent, SlotState::Registering, &["builder", "codex"]),
        (Some(&["other"]), DeclarationOutcome::Stored, SlotState::Online, &["other"]),
        (Some(&[]), DeclarationOutcome::Cleared, SlotState::Registering, &[]),
    ] {
        let (attached, stored) = attach(declared).await;
        assert_eq!((attached.declaration_outcome(), attached.state()), (outcome, state), "{declared:?}");
        assert_eq!(stored, keys, "{declared:?}");
    }
}

#[tokio::test]
async fn in_an_update_absent_keeps_present_replaces_and_empty_clears() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let generation = client.online(&session, "laptop-1").await;
    let check = async |declared: Option<&[&str]>, state: SlotState, keys: &[&str]| {
        // Something has to be said: the health stays out of it where a declaration comes.
        let health = declared.is_none().then(|| ReportedHealth::Online.into());
        let request = UpdateCapabilitiesRequest {
            declaration: declared.map(Client::declaration),
            health,
            ..update(generation)
        };
        assert_eq!(send(&client, request).await.unwrap().state(), state, "{declared:?}");
        let node = client.node(&session, "laptop-1").await;
        assert_eq!(
            (node.slot_state(), node.declaration),
            (state, Some(Client::declaration(keys))),
            "{declared:?}"
        );
    };

    check(None, SlotState::Online, &["codex"]).await;
    check(Some(&["builder", "other"]), SlotState::Online, &["builder", "other"]).await;
    check(Some(&[]), SlotState::Registering, &[]).await;
    check(Some(&["codex"]), SlotState::Online, &["codex"]).await;
    assert_eq!(client.node(&session, "laptop-1").await.generation, generation);
}

#[tokio::test]
async fn a_node_reports_itself_degraded_with_a_reason_and_well_again() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let generation = client.online(&session, "laptop-1").await;
    let before = plane.database.snapshot().await;
    let unwell = UpdateCapabilitiesRequest {
        health: health(ReportedHealth::Degraded),
        health_reason: "disk is full".to_owned(),
        ..update(generation)
    };
    let answer = send(&client, unwell).await.unwrap();
    assert_eq!(
        (answer.state(), answer.state_reasons),
        (SlotState::Degraded, vec![self_reported("disk is full")])
    );
    let node = client.node(&session, "laptop-1").await;
    assert_eq!(
        (node.slot_state(), node.state_reasons),
        (SlotState::Degraded, vec![self_reported("disk is full")])
    );
    assert_eq!(node.declaration, Some(Client::declaration(&["codex"])));

    // A declaration alone leaves the health as it was reported, in its words.
    let declared = UpdateCapabilitiesRequest {
        declaration: declaration(vec![capability("builder")]),
        ..update(generation)
    };
    let answer = send(&client, declared).await.unwrap();
    assert_eq!(
        (answer.state(), answer.state_reasons),
        (SlotState::Degraded, vec![self_reported("disk is full")])
    );
    // Without a reason there is none.
    let wordless =
        UpdateCapabilitiesRequest { health: health(ReportedHealth::Degraded), ..update(generation) };
    assert_eq!(send(&client, wordless).await.unwrap().state_reasons, [self_reported("")]);

    let well = UpdateCapabilitiesRequest { health: health(ReportedHealth::Online), ..update(generation) };
    let answer = send(&client, well).await.unwrap();
    assert_eq!((answer.state(), answer.state_reasons), (SlotState::Online, vec![]));
    // All of this is the slot's: the presence hears beats only.
    let after = plane.database.snapshot().await;
    assert_eq!(after.rows("runtime_node_presence"), before.rows("runtime_node_presence"));
    assert_eq!(after.rows("runtime_nodes"), before.rows("runtime_nodes"));
}

#[tokio::test]
async fn an_undeclared_node_may_report_itself_degraded_and_is_not_online_after_it() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let generation = client.attach(&Attaching::new(&session, "laptop-1")).await.unwrap().generation;
    let unwell = UpdateCapabilitiesRequest { health: health(ReportedHealth::Degraded), ..update(generation) };
    let answer = send(&client, unwell).await.unwrap();
    assert_eq!((answer.state(), answer.state_reasons), (SlotState::Degraded, vec![self_reported("")]));

    let well = UpdateCapabilitiesRequest { health: health(ReportedHealth::Online), ..update(generation) };
    let refused = plane.refuses(send(&client, well)).await;
    assert_eq!(refused.code, "runtimenode.capabilityupdate_conflict");
}
