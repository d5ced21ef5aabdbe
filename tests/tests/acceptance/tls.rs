//! TLS, from the certificate's file to the daemon.

use std::{fs, process::Command};

use contracts::wire::v1::{CreateSessionRequest, PresenceHealth, RuntimeNode, SlotState};
use tests::{
    Authority, Certificate, Daemon, Plane, PlaneOptions, Process, RosterWatch, binary, eventually, refusal,
};

const HERE: &str = "127.0.0.1";
/// A name that leads nowhere: only the certificate has it.
const NAME: &str = "rollcall.example";

/// One that signed a certificate for these names, ready to be served with.
fn authority(names: &[&str]) -> (Authority, Certificate) {
    let authority = Authority::new();
    let certificate = authority.issue(names);
    authority.write(&certificate);
    (authority, certificate)
}

/// The command line with this in its environment and nothing else of ours; gives exit code and stderr.
fn cli(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let ran = Command::new(binary("rollcall")).args(arguments).envs(environment.iter().copied()).output();
    let ran = ran.expect("the command line runs");
    (ran.status.code(), String::from_utf8_lossy(&ran.stderr).into_owned())
}

async fn presents(authority: &Authority, plane: &Plane, certificate: &Certificate) {
    let look = async || authority.presented(&plane.address, HERE).await;
    eventually("the certificate is presented", look, |presented| *presented == certificate.der).await;
}

#[tokio::test]
async fn the_command_line_a_daemon_and_probes_get_through() {
    let (authority, _) = authority(&[HERE]);
    let plane = Plane::start(PlaneOptions::default().tls(&authority, HERE)).await;
    let client = plane.client().await;
    let session = client.session().await;
    let daemon = Daemon::start(&plane, &session, "laptop-1");
    let node = async || client.roster(&session).await;
    let is_online = |nodes: &Vec<RuntimeNode>| {
        nodes.iter().any(|node| node.node_id == "laptop-1" && node.slot_state() == SlotState::Online)
    };
    eventually("the daemon is online", node, is_online).await;
    drop(daemon);

    let listed = plane.cli(&["node", "list", "--json"]);
    assert!(listed.status.success(), "{listed:?}");
    assert!(String::from_utf8_lossy(&listed.stdout).contains("laptop-1"), "{listed:?}");

    assert_eq!(plane.http("/health/ready").await.0, 200);
    let completed = plane.metric(r#"rollcall_tls_handshakes_total{outcome="completed"}"#).await;
    assert!(completed.is_some_and(|completed| completed >= 3.0), "{completed:?}");
    let expiry = async || plane.metric("rollcall_tls_certificate_expiry_timestamp_seconds").await;
    eventually("the end of the certificate is told", expiry, |at| at.is_some_and(|at| at > 1e9)).await;
}

#[tokio::test]
async fn a_certificate_changes_without_a_restart_and_without_ending_a_stream() {
    let (authority, first) = authority(&[HERE]);
    let plane = Plane::start(PlaneOptions::default().tls(&authority, HERE)).await;
    let client = plane.client().await;
    let session = client.session().await;
    let watch = RosterWatch::start(&client, &session).await;
    presents(&authority, &plane, &first).await;

    let second = authority.issue(&[HERE]);
    authority.rename(&second);
    presents(&authority, &plane, &second).await;
    // By a new connection and by the old ones.
    plane.client().await.online(&session, "renamed").await;
    watch.shows("renamed", PresenceHealth::Online).await;

    let third = authority.issue(&[HERE]);
    authority.write(&third);
    presents(&authority, &plane, &third).await;
    client.online(&session, "rewritten").await;
    watch.shows("rewritten", PresenceHealth::Online).await;

    fs::write(authority.certificate_file(), "garbage").expect("a file can be written");
    let logged = plane.process.logged("the new certificate cannot be used: the old one stays").await;
    let error = logged["error"].as_str().expect("it says why");
    assert!(error.contains("server.pem has no certificate"), "{error}");
    presents(&authority, &plane, &third).await;
    client.online(&session, "broken").await;
    watch.shows("broken", PresenceHealth::Online).await;

    let fourth = authority.issue(&[HERE]);
    authority.rename(&fourth);
    presents(&authority, &plane, &fourth).await;
    client.online(&session, "mended").await;
    watch.shows("mended", PresenceHealth::Online).await;
    assert_eq!(watch.snapshots(), 1, "the stream was never cut");
}

#[tokio::test]
async fn service_is_proven_by_tls_under_any_name() {
    let (authority, _) = authority(&[NAME]);
    let options = PlaneOptions::default().beat_every_ms(500).tls(&authority, NAME);
    let plane = Plane::start(options).await;
    let counts = async || {
        let counts = "select exists (select from service_windows where proven_until > counts_from)";
        sqlx::query_scalar::<_, bool>(counts)
            .fetch_one(&plane.database.pool)
            .await
            .expect("the windows can be read")
    };
    eventually("time counts as service", counts, |counts| *counts).await;
    let client = plane.client().await;
    let session = client.session().await;
    let watch = RosterWatch::start(&client, &session).await;
    client.online(&session, "silent").await;
    watch.shows("silent", PresenceHealth::Offline).await;
}

#[tokio::test]
async fn who_does_not_trust_the_server_is_told_how_to() {
    let (authority, _) = authority(&[NAME]);
    let plane = Plane::start(PlaneOptions::default().tls(&authority, NAME)).await;
    let stranger = Authority::new();
    let (file, strange_file) = (authority.file(), stranger.file());
    let ca = file.to_str().expect("paths of tests are UTF-8");
    let strange_ca = strange_file.to_str().expect("paths of tests are UTF-8");
    let (url, token) = (plane.url(), ("ROLLCALL_TOKEN", plane.token()));
    let in_clear = format!("http://{}", plane.address);
    for (addr, environment, words) in [
        (
            &url,
            &[("ROLLCALL_CA_CERT", strange_ca)][..],
            ["was issued by nobody who is trusted here", "hint: name the PEM file of the authority"],
        ),
        (&url, &[("ROLLCALL_CA_CERT", ca)], ["is for another name", "--tls-server-name"]),
        (&in_clear, &[], ["this port speaks TLS", "hint: write https://"]),
    ] {
        let environment = [&[("ROLLCALL_ADDR", addr.as_str()), token], environment].concat();
        let (code, told) = cli(&["node", "list"], &environment);
        assert_eq!(code, Some(3), "{told}");
        for words in words {
            assert!(told.contains(words), "no {words:?} in: {told}");
        }
    }
    // A daemon says it too, and goes on trying.
    let session = plane.client().await.session().await;
    for (addr, flag, words) in [
        (&url, format!("--ca-cert={strange_ca}"), "was issued by nobody who is trusted here"),
        (&in_clear, format!("--ca-cert={ca}"), "this port speaks TLS"),
    ] {
        let mut daemon = Daemon::start_at(addr, plane.token(), &session, "laptop-1", &[&flag]);
        let log = async || daemon.process.log().join("\n");
        eventually("the daemon says why", log, |log| log.contains(words)).await;
        assert!(daemon.process.is_running());
    }
}

#[tokio::test]
async fn a_server_in_clear_tells_a_client_that_wants_tls() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let authority = Authority::new();
    let file = authority.file();
    let url = format!("https://{}", plane.address);
    let ca = file.to_str().expect("paths of tests are UTF-8");
    let (code, told) = cli(&["node", "list"], &[("ROLLCALL_ADDR", &url), ("ROLLCALL_CA_CERT", ca)]);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("the server does not speak TLS\nhint: call it by http://"), "{told}");
}

#[tokio::test]
async fn a_standby_names_what_the_active_server_said_and_nobody_goes_from_tls_into_the_clear() {
    let (authority, _) = authority(&[HERE]);
    let options = PlaneOptions::default().tls(&authority, HERE);
    let active = Plane::start(options.clone().in_clear()).await;
    let standby = Plane::launch(active.database.clone(), options.clone()).await;
    let client = standby.client().await;
    let create = CreateSessionRequest { name: "no".to_owned(), ..CreateSessionRequest::default() };
    let told = async || {
        let refused = refusal(client.sessions.clone().create_session(create.clone()).await);
        refused.facts.get("active_address").cloned()
    };
    let named = eventually("the standby knows who is active", told, Option::is_some).await;
    assert_eq!(named, Some(active.url()));

    let created = standby.cli(&["session", "create", "--name", "demo", "--timeout=1s"]);
    let notes = String::from_utf8_lossy(&created.stderr);
    assert_eq!(created.status.code(), Some(3), "{notes}");
    assert!(notes.contains("where the token would travel in clear"), "{notes}");
    assert_eq!(active.http("/health/active").await.0, 200);

    // Said to be reached by TLS, as by a proxy, it is named like that.
    let database = active.database.clone();
    drop((active, standby));
    let proxied = options.clone().in_clear().flag("--advertise", "https://front.example:443");
    let _active = Plane::start_on(database.clone(), proxied).await;
    let standby = Plane::launch(database, options).await;
    let client = standby.client().await;
    let told = async || {
        let refused = refusal(client.sessions.clone().create_session(create.clone()).await);
        refused.facts.get("active_address").cloned()
    };
    let is_front = |named: &Option<String>| named.as_deref() == Some("https://front.example:443");
    eventually("the standby names the proxy", told, is_front).await;
}

#[tokio::test]
async fn with_a_certificate_it_serves_on_every_address_and_says_what_clients_cannot_be_told() {
    let (authority, _) = authority(&[NAME]);
    let options = PlaneOptions::default().listen("0.0.0.0:0").tls(&authority, NAME);
    let plane = Plane::start(options.clone()).await;
    let warned = async |process: &Process, words: &'static str| {
        let log = async || process.log().join("\n");
        eventually(words, log, |log| log.contains(words)).await;
    };
    warned(&plane.process, "say --advertise HOST:PORT").await;
    plane.client().await.session().await;

    let elsewhere = options.clone().flag("--advertise", "other.example:7420");
    let other = Plane::launch(plane.database.clone(), elsewhere).await;
    warned(&other.process, "the certificate is not for other.example").await;

    let fits = options.flag("--advertise", "rollcall.example:7420");
    let fits = Plane::launch(plane.database.clone(), fits).await;
    // By the time it listens, it would have said so.
    assert!(!fits.process.log().join("\n").contains("--advertise"), "nothing is wrong");
}
