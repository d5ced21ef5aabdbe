//! Tokens: which are let in and which are not, how they end, and how they are made.

use std::{collections::BTreeSet, time::Duration};

use contracts::{
    ParticipantId,
    wire::v1::{
        AccessToken, CreateJoinTokenRequest, ExchangeJoinTokenRequest, GetRosterRequest, IssueTokenRequest,
        MemberRole, RenewTokenRequest, RevokeTokenRequest, StreamHeartbeatsRequest, StreamHeartbeatsResponse,
        TokenScope, WatchRosterRequest, WatchRosterResponse,
    },
};
use control_plane::auth::{
    now,
    tokens::{Grant, KeyRing, KeyRingFile, Scope, mint},
};
use sqlx::AssertSqlSafe;
use tests::{
    Client, DEADLINE, Plane, PlaneOptions, dated_token, eventually, forged_token, refusal, signed_token,
    token, token_for, user_scopes,
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use uuid::Uuid;

/// How soon a token that ended must have ended what it opened.
const BITES_WITHIN: Duration = Duration::from_secs(2);

fn somebody() -> ParticipantId {
    ParticipantId(Uuid::now_v7())
}

async fn issue(admin: &Client, participant: ParticipantId, scopes: &[TokenScope]) -> AccessToken {
    let request = IssueTokenRequest {
        participant_id: participant.to_string(),
        scopes: scopes.iter().map(|scope| (*scope).into()).collect(),
        ..IssueTokenRequest::default()
    };
    let answer = admin.tokens.clone().issue_token(request).await.expect("an admin makes tokens");
    answer.into_inner().token.expect("an answer has its token")
}

async fn revoke(client: &Client, token_id: &str) -> Result<(), Status> {
    let request = RevokeTokenRequest {
        token_id: token_id.to_owned(),
        reason: "leaked".to_owned(),
        ..Default::default()
    };
    client.tokens.clone().revoke_token(request).await.map(drop)
}

async fn renew(client: &Client, seconds: Option<i64>) -> Result<AccessToken, Status> {
    let lifetime = seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
    let answer = client.tokens.clone().renew_token(RenewTokenRequest { lifetime }).await?;
    Ok(answer.into_inner().token.expect("an answer has its token"))
}

async fn exchange(client: &Client, join_token: &str) -> Result<AccessToken, Status> {
    let request = ExchangeJoinTokenRequest { join_token: join_token.to_owned(), ..Default::default() };
    let answer = client.tokens.clone().exchange_join_token(request).await?;
    Ok(answer.into_inner().token.expect("an answer has its token"))
}

const USER: [TokenScope; 3] = [TokenScope::Node, TokenScope::SessionRead, TokenScope::SessionWrite];

/// The code of what a read with this token is answered.
async fn read(plane: &Plane, token: &str, session: &str) -> Result<(), String> {
    let client = Client::connect(&plane.url(), token).await;
    let request = GetRosterRequest { session_id: session.to_owned(), ..GetRosterRequest::default() };
    match client.nodes.clone().get_roster(request).await {
        Ok(_) => Ok(()),
        Err(status) => Err(refusal(Err::<(), _>(status)).code),
    }
}

#[tokio::test]
async fn only_a_token_that_this_key_ring_signed_for_this_product_and_this_moment_is_let_in() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let session = plane.client().await.session().await;
    let us = plane.participant();
    let claims = |scope: &str, aud: &str| {
        serde_json::json!({
            "sub": us.to_string(), "scope": scope, "aud": aud,
            "iat": "2020-01-01T00:00:00Z", "exp": "2100-01-01T00:00:00Z", "jti": Uuid::now_v7().to_string(),
        })
    };
    let good = claims("session:read", "rollcall");
    assert_eq!(read(&plane, &signed_token(&good), &session).await, Ok(()), "or the rest would show nothing");
    let changed = |name: &str, value: serde_json::Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signed_token(&claims)
    };
    let hour = Duration::from_secs(3_600);
    for (what, token) in [
        ("a forged one", forged_token(us)),
        ("one of the future", dated_token(us, user_scopes(), hour)),
        ("one without a scope", signed_token(&claims("", "rollcall"))),
        ("one with a scope that is none", signed_token(&claims("session:read root", "rollcall"))),
        ("one for something else", signed_token(&claims("session:read", "payroll"))),
        ("one with a restriction that nobody knows", changed("only_on", "tuesdays".into())),
        ("one of nobody", changed("sub", "root".into())),
        ("one without a name", changed("jti", Uuid::nil().to_string().into())),
        ("one that ended before it began", changed("exp", "2019-01-01T00:00:00Z".into())),
        ("one without an end", changed("exp", serde_json::Value::Null)),
        ("the id of a participant", us.to_string()),
        ("nothing", String::new()),
    ] {
        assert_eq!(read(&plane, &token, &session).await.unwrap_err(), "auth.token_invalid", "{what}");
    }
    let over = changed("exp", "2020-01-02T00:00:00Z".into());
    assert_eq!(read(&plane, &over, &session).await.unwrap_err(), "auth.token_expired");
}

#[tokio::test]
async fn a_thousand_mutations_of_a_valid_token_are_refused_and_none_is_logged() {
    let plane = Plane::start(PlaneOptions::default().environment("RUST_LOG", "debug")).await;
    let session = plane.client().await.session().await;
    let good = token(plane.participant(), user_scopes());
    assert_eq!(read(&plane, &good, &session).await, Ok(()));
    // Any order that is no pattern will do, and the same one each time tells the same story.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=";
    let mut mutations = BTreeSet::new();
    while mutations.len() < 1_000 {
        let mut bytes = good.clone().into_bytes();
        let at = random(bytes.len());
        match random(5) {
            0 => bytes[at] = LETTERS[random(LETTERS.len())],
            1 => bytes.truncate(at),
            2 => bytes.insert(at, LETTERS[random(LETTERS.len())]),
            3 => drop(bytes.remove(at)),
            _ => bytes.swap(at, random(good.len())),
        }
        let mutation = String::from_utf8(bytes).unwrap();
        if mutation != good {
            mutations.insert(mutation);
        }
    }
    let client = Client::connect(&plane.url(), &good).await;
    let request = GetRosterRequest { session_id: session.clone(), ..GetRosterRequest::default() };
    let endpoint = tonic::transport::Endpoint::from_shared(plane.url()).unwrap();
    let channel = endpoint.connect().await.unwrap();
    for mutation in &mutations {
        let mutant = Client::over(channel.clone(), mutation);
        let refused = refusal(mutant.nodes.clone().get_roster(request.clone()).await);
        assert_eq!(refused.code, "auth.token_invalid", "{mutation}");
        let is_sent_back = mutation.len() > 40 && refused.message.contains(&mutation[..40]);
        assert!(!is_sent_back, "{}", refused.message);
    }
    client.nodes.clone().get_roster(request).await.expect("the good one is still good");
    let log = plane.process.log().concat();
    assert!(!log.is_empty());
    // Neither whole, nor the claims in it, nor the signature.
    let middle = &good["v4.public.".len()..];
    for part in [&middle[..40], &middle[middle.len() / 2..middle.len() / 2 + 40]] {
        assert!(!log.contains(part), "a part of the token is in the log");
    }
    for mutation in mutations.iter().filter(|mutation| mutation.len() > 40) {
        assert!(!log.contains(&mutation[..40]), "the beginning of {mutation} is in the log");
    }
}

/// A heartbeat stream and a watch that were opened with one token.
struct Opened {
    _batches: mpsc::Sender<StreamHeartbeatsRequest>,
    answers: Streaming<StreamHeartbeatsResponse>,
    events: Streaming<WatchRosterResponse>,
}

impl Opened {
    async fn by(client: &Client, session: &str) -> Self {
        let (batches, receiver) = mpsc::channel(1);
        let answers = client.nodes.clone().stream_heartbeats(ReceiverStream::new(receiver)).await;
        let mut answers = answers.expect("a stream can be opened").into_inner();
        batches.send(StreamHeartbeatsRequest::default()).await.expect("the stream takes batches");
        answers.message().await.expect("the stream is open");
        let watch = WatchRosterRequest { session_id: session.to_owned(), revision: String::new() };
        let events = client.nodes.clone().watch_roster(watch).await;
        let mut events = events.expect("a watch can be opened").into_inner();
        events.message().await.expect("the watch is open");
        Self { _batches: batches, answers, events }
    }

    /// How the two end.
    async fn end(mut self) -> [String; 2] {
        let answers = timeout(DEADLINE, self.answers.message()).await.expect("the stream ends");
        let event = async {
            loop {
                if let Some(ended) = self.events.message().await.transpose().filter(Result::is_err) {
                    return ended;
                }
            }
        };
        let events = timeout(DEADLINE, event).await.expect("the watch ends");
        [refusal(answers).code, refusal(events).code]
    }
}

#[tokio::test]
async fn a_token_that_expires_ends_the_streams_that_it_opened() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let session = plane.client().await.session().await;
    let lifetime = Duration::from_secs(4);
    let made = Instant::now();
    let brief = token_for(plane.participant(), user_scopes(), lifetime);
    let client = Client::connect(&plane.url(), &brief).await;
    let opened = Opened::by(&client, &session).await;
    let lasting = Opened::by(&plane.client().await, &session).await;
    assert_eq!(opened.end().await, ["auth.token_expired"; 2]);
    let lasted = made.elapsed();
    // A token begins with the second in which it was made.
    assert!(lasted > lifetime - Duration::from_secs(1), "it ended after {lasted:?}");
    assert!(lasted < lifetime + BITES_WITHIN, "it ended after {lasted:?}");
    assert_eq!(read(&plane, &brief, &session).await.unwrap_err(), "auth.token_expired");

    let Opened { _batches: batches, mut answers, .. } = lasting;
    batches.send(StreamHeartbeatsRequest { batch_id: 7, beats: Vec::new() }).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().batch_id, 7, "another's goes on");
}

#[tokio::test]
async fn a_revoked_token_is_refused_within_two_seconds_on_every_server_and_ends_its_streams() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (owner, admin) = (plane.client().await, plane.admin().await);
    let session = owner.session().await;
    let standby = Plane::launch(plane.database.clone(), plane.options_beside()).await;
    let member = somebody();
    owner.welcome(&session, member, MemberRole::Collaborator).await;
    let (leaked, kept) = (issue(&admin, member, &USER).await, issue(&admin, member, &USER).await);
    let leaked_client = Client::connect(&plane.url(), &leaked.token).await;
    let kept_client = Client::connect(&plane.url(), &kept.token).await;
    let generation = leaked_client.online(&session, "laptop-1").await;
    for server in [&plane, &standby] {
        assert_eq!(read(server, &leaked.token, &session).await, Ok(()));
    }
    let opened = Opened::by(&leaked_client, &session).await;
    let goes_on = Opened::by(&kept_client, &session).await;

    revoke(&admin, &leaked.token_id).await.unwrap();
    let revoked = Instant::now();
    assert_eq!(opened.end().await, ["auth.token_revoked"; 2]);
    assert!(revoked.elapsed() < BITES_WITHIN, "it took {:?}", revoked.elapsed());
    assert_eq!(refusal(leaked_client.beat("laptop-1", generation).await).code, "auth.token_revoked");
    assert_eq!(refusal(renew(&leaked_client, None).await).code, "auth.token_revoked");
    let look = async || read(&standby, &leaked.token, &session).await;
    let refused = eventually("the standby knows", look, Result::is_err).await;
    assert!(revoked.elapsed() < BITES_WITHIN, "it took {:?}", revoked.elapsed());
    assert_eq!(refused.unwrap_err(), "auth.token_revoked");

    // The same participant's other token is as good as before.
    let Opened { _batches: batches, mut answers, .. } = goes_on;
    batches.send(StreamHeartbeatsRequest { batch_id: 7, beats: Vec::new() }).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().batch_id, 7);
    for server in [&plane, &standby] {
        assert_eq!(read(server, &kept.token, &session).await, Ok(()));
    }
    // Nor do a server that takes over, and one that starts anew.
    drop(plane);
    standby.active().await;
    let taken_over = Client::connect(&standby.url(), &leaked.token).await;
    assert_eq!(refusal(taken_over.beat("laptop-1", generation).await).code, "auth.token_revoked");
    let anew = standby.kill_and_restart().await;
    let look = async || read(&anew, &leaked.token, &session).await;
    let refused = eventually("the new server knows", look, Result::is_err).await;
    assert_eq!(refused.unwrap_err(), "auth.token_revoked");
}

#[tokio::test]
async fn the_streams_of_a_token_end_when_its_key_is_retired() {
    let folder =
        std::env::temp_dir().join(format!("rollcall-tests-{}.{}", std::process::id(), Uuid::new_v4()));
    std::fs::create_dir(&folder).unwrap();
    let file = KeyRingFile::new(folder.join("keys.json"));
    let first = file.create(now()).unwrap();
    let options = PlaneOptions::default().flag("--token-keys", file.path().to_str().unwrap());
    let plane = Plane::start(options).await;
    let participant = somebody();
    let grant = Grant { participant, scopes: user_scopes(), lifetime: Duration::from_secs(3_600) };
    let by = |ring: &KeyRing| mint(ring, &grant, now()).unwrap().token.reveal().to_owned();
    let former = by(&first);
    let client = Client::connect(&plane.url(), &former).await;
    let session = client.session().await;
    let opened = Opened::by(&client, &session).await;

    let (_, next) = file.add_key(now()).unwrap();
    file.promote(next).unwrap();
    let newer = by(&file.load().unwrap());
    let look = async || read(&plane, &newer, &session).await;
    eventually("the server knows the new key", look, Result::is_ok).await.unwrap();
    let goes_on = Opened::by(&Client::connect(&plane.url(), &newer).await, &session).await;
    // A rotation alone ends nothing.
    let Opened { _batches: batches, mut answers, events } = opened;
    batches.send(StreamHeartbeatsRequest { batch_id: 7, beats: Vec::new() }).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().batch_id, 7);
    let opened = Opened { _batches: batches, answers, events };

    file.retire(first.signing().kid()).unwrap();
    let retired = Instant::now();
    assert_eq!(opened.end().await, ["auth.token_invalid"; 2]);
    assert!(retired.elapsed() < BITES_WITHIN + Duration::from_secs(3), "it took {:?}", retired.elapsed());
    assert_eq!(read(&plane, &former, &session).await.unwrap_err(), "auth.token_invalid");
    let Opened { _batches: batches, mut answers, .. } = goes_on;
    batches.send(StreamHeartbeatsRequest { batch_id: 8, beats: Vec::new() }).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().batch_id, 8, "another's goes on");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_token_is_revoked_by_its_holder_and_by_admins_and_by_nobody_else() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let admin = plane.admin().await;
    let (us, them) = (somebody(), somebody());
    let (ours, ours_too) = (issue(&admin, us, &USER).await, issue(&admin, us, &USER).await);
    let theirs = issue(&admin, them, &USER).await;
    let client = Client::connect(&plane.url(), &ours.token).await;
    let foreign = plane.refuses(revoke(&client, &theirs.token_id)).await;
    let unknown = plane.refuses(revoke(&client, &Uuid::now_v7().to_string())).await;
    assert_eq!(foreign.code, "auth.token_not_found");
    assert_eq!(foreign, unknown, "whose token it is, or whether there is one, is not told");
    revoke(&client, &ours_too.token_id).await.expect("one's own");
    plane.repeats(revoke(&client, &ours_too.token_id)).await;
    revoke(&admin, &theirs.token_id).await.expect("an admin, anybody's");
    revoke(&client, &ours.token_id).await.expect("even the one that is presented");
    assert_eq!(refusal(renew(&client, None).await).code, "auth.token_revoked");
}

#[tokio::test]
async fn an_issued_token_is_what_was_asked_for() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (owner, admin) = (plane.client().await, plane.admin().await);
    let session = owner.session().await;
    let member = somebody();
    owner.welcome(&session, member, MemberRole::Viewer).await;
    let request = IssueTokenRequest {
        participant_id: member.to_string(),
        scopes: vec![TokenScope::SessionRead.into()],
        lifetime: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        reason: "a dashboard".to_owned(),
        ..Default::default()
    };
    let issued = admin.tokens.clone().issue_token(request.clone()).await.unwrap();
    let issued = issued.into_inner().token.unwrap();
    assert_eq!(issued.participant_id, member.to_string());
    assert_eq!(issued.scopes, [i32::from(TokenScope::SessionRead)]);
    assert_eq!(read(&plane, &issued.token, &session).await, Ok(()));
    let left: f64 = sqlx::query_scalar("select extract(epoch from to_timestamp($1) - now())::float8")
        .bind(f64::from(u32::try_from(issued.expires_at.unwrap().seconds).unwrap()))
        .fetch_one(&plane.database.pool)
        .await
        .unwrap();
    assert!((30.0..=60.0).contains(&left), "{left}");
    let client = Client::connect(&plane.url(), &issued.token).await;
    let refused = refusal(client.detach("laptop-1", 1).await);
    assert_eq!((&*refused.code, &*refused.facts["scope"]), ("auth.insufficient_scope", "node"));

    let anew = admin
        .tokens
        .clone()
        .issue_token(IssueTokenRequest { participant_id: String::new(), ..request.clone() })
        .await;
    assert_ne!(anew.unwrap().into_inner().token.unwrap().participant_id, member.to_string());
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    for (field, bad) in [
        ("lifetime", IssueTokenRequest { lifetime: seconds(59), ..request.clone() }),
        ("lifetime", IssueTokenRequest { lifetime: seconds(-1), ..request.clone() }),
        ("lifetime", IssueTokenRequest { lifetime: seconds(365 * 86_400 + 1), ..request.clone() }),
        ("scopes", IssueTokenRequest { scopes: Vec::new(), ..request.clone() }),
        ("scopes", IssueTokenRequest { scopes: vec![0], ..request.clone() }),
        ("scopes", IssueTokenRequest { scopes: vec![1, 99], ..request }),
    ] {
        let refused = plane.refuses(admin.tokens.clone().issue_token(bad)).await;
        assert_eq!((&*refused.code, refused.field.as_deref()), ("argument.invalid", Some(field)));
    }
}

#[tokio::test]
async fn a_renewed_token_lives_on_and_is_neither_wider_nor_longer_than_the_one_it_renews() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let participant = somebody();
    let presented = token_for(participant, Scope::Node, Duration::from_secs(120));
    let client = Client::connect(&plane.url(), &presented).await;
    let renewed = renew(&client, None).await.unwrap();
    assert_eq!(renewed.participant_id, participant.to_string());
    assert_eq!(renewed.scopes, [i32::from(TokenScope::Node)]);
    assert_ne!(renewed.token, presented);
    let shorter = renew(&client, Some(60)).await.unwrap();
    assert!(shorter.expires_at.unwrap().seconds <= renewed.expires_at.unwrap().seconds - 50);
    for too_much in [121, 3_600, i64::MAX] {
        let refused = plane.refuses(renew(&client, Some(too_much))).await;
        assert_eq!((&*refused.code, refused.field.as_deref()), ("argument.invalid", Some("lifetime")));
    }
    // The new one renews in its turn; a short one never grows long again.
    let client = Client::connect(&plane.url(), &shorter.token).await;
    let again = renew(&client, None).await.unwrap();
    assert_eq!(again.scopes, renewed.scopes);
    let refused = refusal(renew(&client, Some(61)).await);
    assert_eq!(refused.field.as_deref(), Some("lifetime"));
    let admin = Client::connect(&plane.url(), &again.token).await;
    let issue = IssueTokenRequest { scopes: vec![TokenScope::Admin.into()], ..Default::default() };
    let refused = refusal(admin.tokens.clone().issue_token(issue).await);
    assert_eq!(refused.code, "auth.insufficient_scope");
    // The one that was renewed is good until its own end.
    renew(&Client::connect(&plane.url(), &presented).await, None).await.unwrap();
}

/// A join token for this participant, which runs nodes and reads.
async fn join_token(admin: &Client, participant: ParticipantId, uses: i32) -> String {
    let request = CreateJoinTokenRequest {
        participant_id: participant.to_string(),
        scopes: vec![TokenScope::Node.into(), TokenScope::SessionRead.into()],
        uses,
        token_lifetime: Some(prost_types::Duration { seconds: 600, nanos: 0 }),
        ..CreateJoinTokenRequest::default()
    };
    let answer = admin.tokens.clone().create_join_token(request).await.expect("an admin makes join tokens");
    answer.into_inner().join_token
}

#[tokio::test]
async fn of_twenty_exchanges_at_once_of_a_join_token_for_five_exactly_five_get_a_token() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (owner, admin) = (plane.client().await, plane.admin().await);
    let session = owner.session().await;
    let fleet = somebody();
    owner.welcome(&session, fleet, MemberRole::RuntimeContributor).await;
    for _ in 0..3 {
        let join = join_token(&admin, fleet, 5).await;
        let mut exchanging = JoinSet::new();
        for _ in 0..20 {
            // Whatever is sent for a token is not looked at.
            let (client, join) = (Client::connect(&plane.url(), "none").await, join.clone());
            exchanging.spawn(async move { exchange(&client, &join).await });
        }
        let (got, refused): (Vec<_>, Vec<_>) =
            exchanging.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!((got.len(), refused.len()), (5, 15), "{refused:?}");
        for refused in refused {
            assert_eq!(refusal(refused).code, "auth.token_invalid");
        }
        let tokens: Vec<_> = got.into_iter().map(Result::unwrap).collect();
        let ids: BTreeSet<_> = tokens.iter().map(|token| token.token_id.clone()).collect();
        assert_eq!(ids.len(), 5);
        for token in tokens {
            assert_eq!(token.participant_id, fleet.to_string());
            assert_eq!(token.scopes, [TokenScope::Node, TokenScope::SessionRead].map(i32::from));
            assert_eq!(read(&plane, &token.token, &session).await, Ok(()));
        }
    }
    let exchanges = admin.audit().await.into_iter().filter(|entry| entry.action == "token.exchange");
    assert_eq!(exchanges.count(), 15);
}

#[tokio::test]
async fn a_join_token_that_is_wrong_unknown_used_up_or_over_is_refused_alike() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let admin = plane.admin().await;
    let fleet = somebody();
    let anybody = Client::connect(&plane.url(), "none").await;
    let (used_up, over, good) = (
        join_token(&admin, fleet, 0).await,
        join_token(&admin, fleet, 5).await,
        join_token(&admin, fleet, 2).await,
    );
    exchange(&anybody, &used_up).await.expect("no number means once");
    let id = over.split('_').nth(1).unwrap();
    let update = format!("update join_tokens set expires_at = now() - interval '1 s' where id = '{id}'");
    assert_eq!(
        sqlx::query(AssertSqlSafe(update)).execute(&plane.database.pool).await.unwrap().rows_affected(),
        1
    );
    let last = good.chars().last().unwrap();
    let wrong = format!("{}{}", &good[..good.len() - 1], if last == '0' { '1' } else { '0' });
    let mixed = format!("{}_{}", good.rsplit_once('_').unwrap().0, over.rsplit_once('_').unwrap().1);
    let unknown = format!("rcjoin_{}_{}", Uuid::now_v7(), "0".repeat(64));
    let mut refusals = Vec::new();
    for bad in [used_up, over, wrong, mixed, unknown, good.to_uppercase(), "x".to_owned(), String::new()] {
        let refused = plane.refuses(exchange(&anybody, &bad)).await;
        assert_eq!(refused.code, "auth.token_invalid", "{bad}");
        refusals.push(refused);
    }
    assert!(refusals.iter().all(|refused| *refused == refusals[0]), "{refusals:#?}");
    // A wrong secret costs no use.
    for _ in 0..2 {
        exchange(&anybody, &good).await.unwrap();
    }
    assert_eq!(refusal(exchange(&anybody, &good).await).code, "auth.token_invalid");
}

#[tokio::test]
async fn a_join_token_is_bounded_and_gives_no_admin() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let admin = plane.admin().await;
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let good = CreateJoinTokenRequest {
        participant_id: somebody().to_string(),
        scopes: vec![TokenScope::Node.into()],
        uses: 1,
        ..CreateJoinTokenRequest::default()
    };
    for (field, bad) in [
        ("scopes", CreateJoinTokenRequest { scopes: vec![TokenScope::Admin.into()], ..good.clone() }),
        ("scopes", CreateJoinTokenRequest { scopes: vec![1, TokenScope::Admin.into()], ..good.clone() }),
        ("scopes", CreateJoinTokenRequest { scopes: Vec::new(), ..good.clone() }),
        ("uses", CreateJoinTokenRequest { uses: -1, ..good.clone() }),
        ("uses", CreateJoinTokenRequest { uses: 100_001, ..good.clone() }),
        ("lifetime", CreateJoinTokenRequest { lifetime: seconds(59), ..good.clone() }),
        ("lifetime", CreateJoinTokenRequest { lifetime: seconds(7 * 86_400 + 1), ..good.clone() }),
        ("token_lifetime", CreateJoinTokenRequest { token_lifetime: seconds(366 * 86_400), ..good.clone() }),
        ("participant_id", CreateJoinTokenRequest { participant_id: String::new(), ..good.clone() }),
    ] {
        let refused = plane.refuses(admin.tokens.clone().create_join_token(bad)).await;
        assert_eq!((&*refused.code, refused.field.as_deref()), ("argument.invalid", Some(field)));
    }
    admin.tokens.clone().create_join_token(good).await.unwrap();
}

#[tokio::test]
async fn nothing_secret_is_in_the_database_or_the_log() {
    let plane = Plane::start(PlaneOptions::default().environment("RUST_LOG", "debug")).await;
    let admin = plane.admin().await;
    let issued = issue(&admin, somebody(), &USER).await;
    let join = join_token(&admin, somebody(), 3).await;
    let exchanged = exchange(&admin, &join).await.unwrap();
    let client = Client::connect(&plane.url(), &issued.token).await;
    let renewed = renew(&client, None).await.unwrap();
    revoke(&client, &renewed.token_id).await.unwrap();
    refusal(renew(&Client::connect(&plane.url(), &renewed.token).await, None).await);
    let held = format!("{:?}", plane.database.snapshot().await);
    let log = plane.process.log().concat();
    let join_secret = join.rsplit_once('_').unwrap().1.to_owned();
    for secret in [issued.token, exchanged.token, renewed.token, join_secret] {
        // The end of a token is its footer, which names the key and is no secret.
        let part = &secret[secret.len() / 4..secret.len() / 2];
        assert!(part.len() >= 16);
        assert!(!held.contains(part), "a secret is in the database");
        assert!(!log.contains(part), "a secret is in the log");
    }
}

/// What is stored for repeats, as text: a token in it would be seen.
async fn stored_answers(plane: &Plane) -> String {
    let answers = sqlx::query_scalar::<_, Vec<u8>>("select answer from request_answers");
    let answers = answers.fetch_all(&plane.database.pool).await.expect("answers can be read");
    answers.iter().map(|answer| String::from_utf8_lossy(answer).into_owned()).collect()
}

#[tokio::test]
async fn each_verb_on_tokens_that_is_repeated_under_its_id_has_one_effect_one_row_and_one_answer() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let admin_token = token(somebody(), Scope::Admin);
    let admin = Client::connect(&plane.url(), &admin_token).await;
    let (participant_id, request_id) = (somebody().to_string(), || Uuid::new_v4().to_string());
    let issue = IssueTokenRequest {
        participant_id: participant_id.clone(),
        scopes: vec![TokenScope::Node.into()],
        request_id: request_id(),
        ..Default::default()
    };
    let issued = admin.tokens.clone().issue_token(issue.clone()).await.unwrap().into_inner();
    let create = CreateJoinTokenRequest {
        participant_id,
        scopes: vec![TokenScope::Node.into()],
        request_id: request_id(),
        ..Default::default()
    };
    let joined = admin.tokens.clone().create_join_token(create.clone()).await.unwrap().into_inner();
    assert!(Uuid::parse_str(&joined.join_token_id).is_ok_and(|id| id.get_version_num() == 7));
    let exchange =
        ExchangeJoinTokenRequest { join_token: joined.join_token.clone(), request_id: request_id() };
    let anybody = Client::connect(&plane.url(), "none").await;
    let exchanged = anybody.tokens.clone().exchange_join_token(exchange.clone()).await.unwrap().into_inner();
    let revoke = RevokeTokenRequest {
        token_id: issued.token.clone().unwrap().token_id,
        request_id: request_id(),
        ..Default::default()
    };
    let revoked = admin.tokens.clone().revoke_token(revoke.clone()).await.unwrap().into_inner();
    assert_eq!(revoked.token_ids, std::slice::from_ref(&revoke.token_id));
    let rows = plane.admin().await.audit().await;
    assert_eq!(rows.len(), 4);

    // On a new server too, which has nothing but what is stored.
    let plane = plane.kill_and_restart().await;
    let admin = Client::connect(&plane.url(), &admin_token).await;
    let anybody = Client::connect(&plane.url(), "none").await;
    assert_eq!(plane.repeats(admin.tokens.clone().issue_token(issue.clone())).await.into_inner(), issued);
    assert_eq!(
        plane.repeats(admin.tokens.clone().create_join_token(create.clone())).await.into_inner(),
        joined
    );
    // Its one use is taken, and a repeat takes none.
    let again = plane.repeats(anybody.tokens.clone().exchange_join_token(exchange.clone())).await;
    assert_eq!(again.into_inner(), exchanged);
    assert_eq!(plane.repeats(admin.tokens.clone().revoke_token(revoke)).await.into_inner(), revoked);
    assert_eq!(plane.admin().await.audit().await, rows);

    for (what, field) in [
        (
            plane
                .refuses(admin.tokens.clone().issue_token(IssueTokenRequest { reason: "x".into(), ..issue }))
                .await,
            "request_id",
        ),
        (
            plane
                .refuses(admin.tokens.clone().create_join_token(CreateJoinTokenRequest { uses: 2, ..create }))
                .await,
            "request_id",
        ),
    ] {
        assert_eq!((&*what.code, what.field.as_deref()), ("argument.invalid", Some(field)));
    }
    let another = ExchangeJoinTokenRequest { request_id: request_id(), ..exchange.clone() };
    let refused = plane.refuses(anybody.tokens.clone().exchange_join_token(another)).await;
    assert_eq!(refused.code, "auth.token_invalid", "it was good for one");
    let over = "update join_tokens set expires_at = now() - interval '1 s'";
    sqlx::query(over).execute(&plane.database.pool).await.unwrap();
    let refused = plane.refuses(anybody.tokens.clone().exchange_join_token(exchange)).await;
    assert_eq!(refused.code, "auth.token_invalid", "a repeat is good for as long as the join token");

    let stored = stored_answers(&plane).await;
    let secret = joined.join_token.rsplit_once('_').unwrap().1;
    for token in [&issued.token.unwrap().token, &exchanged.token.unwrap().token] {
        // The signature makes the token; what it says is no secret.
        let signature = token.split('.').nth(2).unwrap();
        assert!(!stored.contains(token) && !stored.contains(&signature[signature.len() - 60..]));
    }
    assert!(!stored.contains(secret) && stored.contains(&joined.join_token_id));
}

#[tokio::test]
async fn of_one_exchange_sent_twenty_times_at_once_there_is_one_use_and_one_token() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let admin = plane.admin().await;
    let join = join_token(&admin, somebody(), 2).await;
    let request = ExchangeJoinTokenRequest { join_token: join, request_id: Uuid::new_v4().to_string() };
    let mut exchanging = JoinSet::new();
    for _ in 0..20 {
        let (client, request) = (Client::connect(&plane.url(), "none").await, request.clone());
        exchanging.spawn(async move { client.tokens.clone().exchange_join_token(request).await });
    }
    let answers: Result<Vec<_>, _> = exchanging.join_all().await.into_iter().collect();
    let answers: Vec<_> = answers.unwrap().into_iter().map(tonic::Response::into_inner).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let left: i32 = sqlx::query_scalar("select uses_left from join_tokens")
        .fetch_one(&plane.database.pool)
        .await
        .unwrap();
    assert_eq!(left, 1);
    let token = answers[0].token.as_ref().unwrap();
    renew(&Client::connect(&plane.url(), &token.token).await, None).await.expect("it is good");
}

#[tokio::test]
async fn a_dry_run_on_tokens_tells_what_would_be_and_makes_nothing() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let admin = plane.admin().await;
    let request_id = || Uuid::new_v4().to_string();
    let participant = somebody().to_string();
    let issue = IssueTokenRequest {
        participant_id: participant.clone(),
        scopes: vec![TokenScope::Node.into()],
        validate_only: true,
        request_id: request_id(),
        ..Default::default()
    };
    let shown =
        plane.repeats(admin.tokens.clone().issue_token(issue.clone())).await.into_inner().token.unwrap();
    assert_eq!((&*shown.token, &*shown.token_id, &*shown.participant_id), ("", "", &*participant));
    assert!(shown.expires_at.is_some() && shown.scopes == [i32::from(TokenScope::Node)]);
    let of_nobody = IssueTokenRequest { participant_id: String::new(), ..issue };
    let shown = plane.repeats(admin.tokens.clone().issue_token(of_nobody)).await.into_inner().token.unwrap();
    assert_eq!(shown.participant_id, "", "a new participant is not made for a look");
    let create = CreateJoinTokenRequest {
        participant_id: participant,
        scopes: vec![TokenScope::Node.into()],
        validate_only: true,
        request_id: request_id(),
        ..Default::default()
    };
    let shown = plane.repeats(admin.tokens.clone().create_join_token(create)).await.into_inner();
    assert_eq!((&*shown.join_token, &*shown.join_token_id), ("", ""));
    assert!(shown.expires_at.is_some());
    let issued = issue_for(&admin).await;
    let revoke = RevokeTokenRequest {
        token_id: issued.token_id.clone(),
        validate_only: true,
        request_id: request_id(),
        ..Default::default()
    };
    let shown = plane.repeats(admin.tokens.clone().revoke_token(revoke)).await.into_inner();
    assert_eq!(shown.token_ids, [issued.token_id]);
    renew(&Client::connect(&plane.url(), &issued.token).await, None).await.expect("it is still good");
}

async fn issue_for(admin: &Client) -> AccessToken {
    issue(admin, somebody(), &USER).await
}

#[tokio::test]
async fn whoever_revokes_a_token_revokes_its_whole_family_and_nobody_else_s() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let admin = plane.admin().await;
    let participant = somebody();
    let connect = async |token: &str| Client::connect(&plane.url(), token).await;
    for by in 0..3 {
        let first = issue(&admin, participant, &USER).await;
        let other = issue(&admin, participant, &USER).await;
        let second = renew(&connect(&first.token).await, None).await.unwrap();
        let third = renew(&connect(&second.token).await, None).await.unwrap();
        let family = [first, second, third];
        let request = RevokeTokenRequest { token_id: family[by].token_id.clone(), ..Default::default() };
        let ended = admin.tokens.clone().revoke_token(request).await.unwrap().into_inner().token_ids;
        assert_eq!(ended, family.iter().map(|token| token.token_id.clone()).collect::<Vec<_>>());
        for token in &family {
            let refused = refusal(renew(&connect(&token.token).await, None).await);
            assert_eq!(refused.code, "auth.token_revoked");
        }
        renew(&connect(&other.token).await, None).await.expect("it is of another family");
    }
    // None of them can be renewed past a revocation that is on its way.
    for _ in 0..5 {
        let first = issue(&admin, participant, &USER).await;
        let client = connect(&first.token).await;
        let mut renewing = JoinSet::new();
        for _ in 0..8 {
            let client = client.clone();
            renewing.spawn(async move { renew(&client, None).await });
        }
        revoke(&admin, &first.token_id).await.unwrap();
        for renewed in renewing.join_all().await {
            match renewed {
                Ok(token) => {
                    let refused = refusal(renew(&connect(&token.token).await, None).await);
                    assert_eq!(refused.code, "auth.token_revoked");
                }
                refused @ Err(_) => assert_eq!(refusal(refused).code, "auth.token_revoked"),
            }
        }
    }
}
