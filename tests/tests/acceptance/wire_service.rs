//! The services as anybody finds them: reflection, the standard health service, the token, and connections that
//! die.

use std::{process::Command, time::Duration};

use contracts::{
    refusal::ReceivedRefusal,
    wire::v1::{StreamHeartbeatsRequest, WatchRosterRequest},
};
use prost::Message;
use prost_types::FileDescriptorProto;
use tests::{
    Client, DEADLINE, Plane, PlaneOptions, Process, Proxy, Raw, binary, eventually, framed, methods,
};
use tokio::{sync::mpsc, time::Instant, time::timeout};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

const SERVICES: [&str; 8] = [
    "rollcall.v1.AuditService",
    "rollcall.v1.EventLogService",
    "rollcall.v1.MaintenanceService",
    "rollcall.v1.MembershipService",
    "rollcall.v1.NodeAdminService",
    "rollcall.v1.RuntimeNodeService",
    "rollcall.v1.SessionService",
    "rollcall.v1.TokenService",
];

async fn connected(plane: &Plane) -> Channel {
    let endpoint = Endpoint::from_shared(plane.url()).expect("the URL is one");
    endpoint.connect().await.expect("the server accepts connections")
}

/// What reflection answers to one request.
async fn reflected(plane: &Plane, request: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let mut client = ServerReflectionClient::new(connected(plane).await);
    let answers = client.server_reflection_info(tokio_stream::once(request)).await;
    let answer = answers.expect("reflection is on").into_inner().next().await.expect("it answers");
    answer.expect("it answers").message_response.expect("an answer has its message")
}

#[tokio::test]
async fn reflection_lists_the_services_and_describes_them() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let listed = reflected(&plane, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(listed) = listed else { panic!("no list: {listed:?}") };
    let names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
    for expected in SERVICES.into_iter().chain(["grpc.health.v1.Health"]) {
        assert!(names.iter().any(|name| name == expected), "{expected} is not among {names:?}");
    }
    for service in SERVICES {
        let described = reflected(&plane, MessageRequest::FileContainingSymbol(service.to_owned())).await;
        let MessageResponse::FileDescriptorResponse(file) = described else {
            panic!("no file: {described:?}")
        };
        let file = FileDescriptorProto::decode(file.file_descriptor_proto[0].as_slice()).unwrap();
        let name = service.strip_prefix("rollcall.v1.").unwrap();
        assert!(file.service.iter().any(|described| described.name() == name), "{service}");
    }
}

async fn health(plane: &Plane, service: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(connected(plane).await).check(request).await;
    answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
}

#[tokio::test]
async fn the_standard_health_service_says_serving_for_each_service() {
    let plane = Plane::start(PlaneOptions::default()).await;
    for service in SERVICES.into_iter().chain([""]) {
        let look = async || health(&plane, service).await;
        let serving = eventually(service, look, |health| *health == Ok(ServingStatus::Serving)).await;
        assert_eq!(serving, Ok(ServingStatus::Serving));
        let mut client = HealthClient::new(connected(&plane).await);
        let mut watched =
            client.watch(HealthCheckRequest { service: service.to_owned() }).await.unwrap().into_inner();
        assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving, "{service:?}");
    }
    assert_eq!(health(&plane, "rollcall.v1.NoService").await, Err(Code::NotFound));
}

#[tokio::test]
async fn a_server_that_stops_says_not_serving_first_and_ends_open_calls_of_the_standard_services() {
    let mut plane = Plane::start(PlaneOptions::default()).await;
    let channel = connected(&plane).await;
    let service = "rollcall.v1.RuntimeNodeService".to_owned();
    let mut health =
        HealthClient::new(channel.clone()).watch(HealthCheckRequest { service }).await.unwrap().into_inner();
    assert_eq!(health.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    // A call whose caller never ends it.
    let (requests, receiver) = mpsc::channel(1);
    let reflection =
        ServerReflectionClient::new(channel).server_reflection_info(ReceiverStream::new(receiver)).await;
    // And one that never says what it wants.
    let idle = tokio::net::TcpStream::connect(&plane.address).await.unwrap();

    plane.process.signal("TERM");
    let asked = Instant::now();
    let told = timeout(DEADLINE, health.message()).await.expect("the watch hears of it");
    let status = told.map(|message: Option<HealthCheckResponse>| message.map(|message| message.status()));
    assert_eq!(status.unwrap(), Some(ServingStatus::NotServing));
    assert!(plane.process.ended().await.success());
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    drop((requests, reflection, idle));
}

#[tokio::test]
async fn every_method_refuses_a_call_without_a_valid_token() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (signed, footer) = plane.token().rsplit_once('.').unwrap();
    let other_signature = format!("{}{}.{footer}", &signed[..signed.len() - 40], "0".repeat(40));
    let cut = plane.token()[..plane.token().len() - 1].to_owned();
    let participant = plane.participant().to_string();
    for token in [None, Some(""), Some("x"), Some(&*other_signature), Some(&*cut), Some(&*participant)] {
        let raw = Raw::connect(&plane.url(), token).await;
        for method in methods() {
            let answer = raw.call(&method.path, "application/grpc", framed(&[])).await.unwrap();
            let status = answer.status.expect("an answer has a status");
            let refused = ReceivedRefusal::from_status(&status).expect("it is a refusal of ours");
            assert_eq!(
                (status.code(), &*refused.code),
                (Code::Unauthenticated, "auth.token_invalid"),
                "{}",
                method.path
            );
            assert!(answer.messages.is_empty());
            assert!(!refused.message.contains("0000"), "a token is not sent back");
        }
    }
}

#[tokio::test]
async fn a_method_that_does_not_exist_is_unimplemented_and_becomes_no_label() {
    let plane = Plane::start(PlaneOptions::default()).await;
    for token in [None, Some(plane.token())] {
        let raw = Raw::connect(&plane.url(), token).await;
        for path in [
            "/rollcall.v1.RuntimeNodeService/Invented1",
            "/rollcall.v1.Invented2Service/Attach",
            "/invented3.v1.S/M",
        ] {
            let answer = raw.call(path, "application/grpc", framed(&[])).await.unwrap();
            let code = answer.status.as_ref().map(tonic::Status::code);
            assert!(matches!(code, Some(Code::Unimplemented | Code::Unauthenticated)), "{path}: {answer:?}");
        }
    }
    plane.client().await.session().await;
    let look = async || plane.http("/metrics").await.1;
    let (last, metrics) = (r#"method="CreateSession""#, "the calls are measured");
    let metrics = eventually(metrics, look, |metrics| metrics.contains(last)).await;
    assert!(
        !metrics.to_lowercase().contains("invented"),
        "whoever asks must not be able to fill the metrics"
    );
}

#[tokio::test]
async fn the_server_finds_a_dead_connection_within_ten_seconds() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let session = plane.client().await.session().await;
    let proxy = Proxy::before(&plane.address).await;
    let client = Client::connect(&format!("http://{}", proxy.address), plane.token()).await;
    let request = WatchRosterRequest { session_id: session, revision: String::new() };
    let mut watch = client.nodes.clone().watch_roster(request).await.unwrap().into_inner();
    watch.message().await.unwrap();
    let (batches, receiver) = mpsc::channel(1);
    let mut answers =
        client.nodes.clone().stream_heartbeats(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    batches.send(StreamHeartbeatsRequest::default()).await.unwrap();
    answers.message().await.unwrap();

    proxy.stall();
    let stalled = Instant::now();
    for method in ["WatchRoster", "StreamHeartbeats"] {
        let ended = async || {
            let (_, metrics) = plane.http("/metrics").await;
            let name =
                format!(r#"rollcall_rpc_seconds_count{{service="RuntimeNodeService",method="{method}""#);
            metrics.lines().any(|line| line.starts_with(&name))
        };
        eventually(&format!("{method} has ended"), ended, |ended| *ended).await;
    }
    assert!(stalled.elapsed() < Duration::from_secs(10), "it took {:?}", stalled.elapsed());
}

#[tokio::test]
async fn a_client_finds_a_dead_connection_within_ten_seconds_and_goes_on_where_it_was() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    client.online(&session, "laptop-1").await;
    let watch = Process::start(
        "rollcall node watch",
        Command::new(binary("rollcall"))
            .args(["node", "watch", "--session", &session])
            .env("ROLLCALL_ADDR", plane.url())
            .env("ROLLCALL_TOKEN", plane.token()),
    );
    let noted = async |note: &str| {
        let look = async || watch.log();
        eventually(note, look, |log| log.iter().any(|line| line.contains(note))).await
    };
    // Said once the snapshot is complete.
    noted("watching for changes").await;

    // A server that is stopped closes nothing.
    plane.process.signal("STOP");
    let stopped = Instant::now();
    noted("the connection was lost").await;
    assert!(stopped.elapsed() < Duration::from_secs(10), "it took {:?}", stopped.elapsed());
    plane.process.signal("CONT");
    noted("going on from revision").await;
}

#[tokio::test]
async fn the_parts_of_an_answer_do_not_wait_for_each_other_on_the_way() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    client.attach_all(&session, "laptop", 5).await;
    let mut took = Vec::new();
    for _ in 0..60 {
        let asked = Instant::now();
        client.roster(&session).await;
        took.push(asked.elapsed());
    }
    // A server that collects small writes waits for the caller's acknowledgement, 40 ms, before nearly every trailer. A
    // slow machine is slow now and then, not always.
    took.sort();
    assert!(took[15] < Duration::from_millis(30), "{took:?}");
}
