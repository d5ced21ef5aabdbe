//! Where tokens come from, how they are renewed, and what happens when one ends.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use contracts::{Code, Refusal, refusal::ReceivedRefusal};
use daemon_client::{
    Config, Detachment, Handle, JoinToken, Outcome, Setback, Standing, Token, TokenSource, start,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::{
    node::{config, until, until_attached, until_ended},
    server::{Call, Running, Script, TOKEN},
};

/// A token that is `age` old and ends `rest` from now.
#[expect(clippy::disallowed_methods, reason = "a token's time is that of the wall clock")]
fn timed_token(age: Duration, rest: Duration) -> String {
    let now = OffsetDateTime::now_utc();
    let at = |moment: OffsetDateTime| moment.format(&Rfc3339).unwrap();
    let mut payload = format!(r#"{{"iat":"{}","exp":"{}"}}"#, at(now - age), at(now + rest)).into_bytes();
    payload.extend([7; 64]);
    format!("v4.public.{}.Zm9vdGVy", URL_SAFE_NO_PAD.encode(payload))
}

/// A token of which two thirds are over.
fn due_token() -> String {
    timed_token(Duration::from_secs(80), Duration::from_secs(20))
}

/// A token file in a folder of its own, which is removed at the end.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("rollcall-token-test-{}", Uuid::new_v4()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder.join("token"))
    }

    fn holding(token: &str) -> Self {
        let file = Self::new();
        file.put(token);
        file
    }

    fn put(&self, token: &str) {
        let draft = self.0.with_extension("draft");
        fs::write(&draft, format!("{token}\n")).unwrap();
        fs::rename(draft, &self.0).unwrap();
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap().trim().to_owned()
    }

    fn source(&self, join: Option<&str>) -> TokenSource {
        TokenSource::File { path: self.0.clone(), join: join.map(|join| JoinToken::parse(join).unwrap()) }
    }

    /// Waits until it holds this.
    async fn until_holding(&self, token: &str) {
        crate::server::within("token in the file", async {
            while fs::read_to_string(&self.0).ok().is_none_or(|text| text.trim() != token) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().unwrap_or(Path::new("/nowhere")));
    }
}

fn node(server: &Running, token: impl Into<TokenSource>) -> Handle {
    start(Config { token: token.into(), ..config(server.address()) })
}

fn is_expired(refusal: &ReceivedRefusal) -> bool {
    refusal.known() == Some(Code::AuthTokenExpired)
}

#[tokio::test]
async fn a_token_is_renewed_and_the_new_one_is_used() {
    let script = Script::new();
    let old = due_token();
    script.valid_tokens(&[&old, TOKEN]);
    // What goes wrong with a renewal is repeated, and ends nothing.
    script.renewal_brings(Err(tonic::Status::unimplemented("a proxy")));
    script.renewal_brings(Err(Refusal::new(Code::SystemUnavailable, "soon").into()));
    script.renewal_brings(Ok(TOKEN));
    let server = Running::start(&script).await;
    let node = node(&server, Token::parse(&old).unwrap());
    script.beat_with(TOKEN).await;
    script.valid_tokens(&[TOKEN]);
    script.more_beats(2).await;
    assert_eq!(script.count(|call| *call == Call::Renew(old.clone())), 3);
    assert_eq!((script.attaches(), script.tokens_refused()), (1, 0));
    assert_eq!(node.detach("").await, Outcome::Detached(Detachment::Acknowledged));
}

#[tokio::test]
async fn a_renewed_token_is_itself_renewed_by_its_own_time() {
    let script = Script::new();
    let (first, second) = (due_token(), timed_token(Duration::ZERO, Duration::from_secs(6)));
    script.valid_tokens(&[&first, &second, TOKEN]);
    script.renewal_brings(Ok(&second));
    script.renewal_brings(Ok(TOKEN));
    let server = Running::start(&script).await;
    let _node = node(&server, Token::parse(&first).unwrap());
    script.beat_with(&second).await;
    let held_since = std::time::Instant::now();
    script.beat_with(TOKEN).await;
    assert!(held_since.elapsed() > Duration::from_secs(1), "not before its time");
    assert_eq!(script.count(|call| *call == Call::Renew(second.clone())), 1);
}

#[tokio::test]
async fn a_token_that_is_young_or_cannot_be_read_is_not_renewed() {
    for token in [timed_token(Duration::from_secs(10), Duration::from_secs(90)), TOKEN.to_owned()] {
        let script = Script::new();
        script.valid_tokens(&[&token]);
        let server = Running::start(&script).await;
        let _node = node(&server, Token::parse(&token).unwrap());
        script.more_beats(8).await;
        assert_eq!(script.count(|call| matches!(call, Call::Renew(_))), 0);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_renewed_token_replaces_the_old_one_in_its_file() {
    use std::os::unix::fs::PermissionsExt;
    let script = Script::new();
    let old = due_token();
    let file = File::holding(&old);
    script.valid_tokens(&[&old, TOKEN]);
    script.renewal_brings(Ok(TOKEN));
    let server = Running::start(&script).await;
    let _node = node(&server, file.source(None));
    script.beat_with(TOKEN).await;
    file.until_holding(TOKEN).await;
    assert_eq!(fs::metadata(&file.0).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_that_is_read_only_keeps_its_token_and_the_new_one_is_used() {
    let script = Script::new();
    let old = due_token();
    let file = File::holding(&old);
    let mut permissions = fs::metadata(&file.0).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&file.0, permissions).unwrap();
    script.valid_tokens(&[&old, TOKEN]);
    script.renewal_brings(Ok(TOKEN));
    let server = Running::start(&script).await;
    let _node = node(&server, file.source(None));
    script.beat_with(TOKEN).await;
    script.valid_tokens(&[TOKEN]);
    // Long enough for the file to be looked at again.
    tokio::time::sleep(Duration::from_secs(6)).await;
    script.more_beats(1).await;
    assert_eq!((file.text(), script.tokens_refused()), (old, 0));
}

#[tokio::test]
async fn a_file_that_changes_is_read_again() {
    let script = Script::new();
    script.valid_tokens(&[TOKEN, "0ther"]);
    let file = File::holding(TOKEN);
    let server = Running::start(&script).await;
    let _node = node(&server, file.source(None));
    script.beat_with(TOKEN).await;
    file.put("0ther");
    script.beat_with("0ther").await;
    assert_eq!((script.attaches(), script.tokens_refused()), (1, 0));
}

#[tokio::test]
async fn an_expired_token_of_a_file_is_waited_for() {
    let script = Script::new();
    let file = File::holding(TOKEN);
    let server = Running::start(&script).await;
    let node = node(&server, file.source(None));
    until_attached(&node).await;
    script.valid_tokens(&["0ther"]);
    until(&node, "setback", |standing| {
        matches!(standing, Standing::Attached { setback: Some(Setback::Refused(refusal)), .. } if is_expired(refusal))
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(script.tokens_refused(), 1, "a token that was refused is not sent again soon");
    file.put("0ther");
    script.beat_with("0ther").await;
    until(&node, "acknowledgement", |standing| matches!(standing, Standing::Attached { setback: None, .. }))
        .await;
    assert_eq!(script.attaches(), 1, "the attachment outlived it");
}

#[tokio::test]
async fn a_token_that_the_file_already_has_is_taken_at_once() {
    let script = Script::new();
    let file = File::holding(TOKEN);
    let server = Running::start(&script).await;
    let node = node(&server, file.source(None));
    until_attached(&node).await;
    file.put("0ther");
    script.valid_tokens(&["0ther"]);
    script.beat_with("0ther").await;
    assert!(script.tokens_refused() <= 1);
}

#[tokio::test]
async fn a_node_waits_for_its_first_token() {
    let script = Script::new();
    let file = File::new();
    let server = Running::start(&script).await;
    let node = node(&server, file.source(None));
    for token in [None, Some("over")] {
        if let Some(token) = token {
            file.put(token);
        }
        until(&node, "setback", |standing| match standing {
            Standing::Connecting { setback: Some(Setback::NoToken { .. }) } => token.is_none(),
            Standing::Connecting { setback: Some(Setback::Refused(refusal)) } => is_expired(refusal),
            Standing::Connecting { .. }
            | Standing::Attached { .. }
            | Standing::Fenced { .. }
            | Standing::Ended(_) => false,
        })
        .await;
    }
    file.put(TOKEN);
    until_attached(&node).await;
}

#[tokio::test]
async fn a_given_token_that_ends_is_the_end() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(&server, Token::parse(TOKEN).unwrap());
    until_attached(&node).await;
    script.valid_tokens(&[]);
    let outcome = until_ended(&node).await;
    assert!(matches!(&outcome, Outcome::TokenInvalid(refusal) if is_expired(refusal)), "{outcome:?}");
    assert_eq!(script.tokens_refused(), 1);
}

#[tokio::test]
async fn a_join_token_is_exchanged_once_for_the_first_token() {
    let script = Script::new();
    script.exchange_brings(Err(tonic::Status::unavailable("no healthy upstream")));
    script.exchange_brings(Ok(TOKEN));
    let file = File::new();
    let server = Running::start(&script).await;
    for _ in 0..2 {
        let node = node(&server, file.source(Some("j0in")));
        until_attached(&node).await;
        assert_eq!(node.detach("").await, Outcome::Detached(Detachment::Acknowledged));
    }
    assert_eq!(file.text(), TOKEN);
    assert_eq!(
        script.count(|call| *call == Call::Exchange("j0in".to_owned())),
        2,
        "one try, and one repeat of it"
    );
}

#[tokio::test]
async fn a_join_token_that_is_refused_is_the_end() {
    let script = Script::new();
    script.exchange_brings(Err(Refusal::new(Code::AuthTokenInvalid, "used up").into()));
    let file = File::new();
    let server = Running::start(&script).await;
    let outcome = until_ended(&node(&server, file.source(Some("j0in")))).await;
    assert!(matches!(&outcome, Outcome::TokenInvalid(_)), "{outcome:?}");
    assert_eq!(script.attaches(), 0);
}

#[tokio::test]
async fn a_join_token_is_kept_while_there_is_no_place_for_a_token() {
    let script = Script::new();
    script.exchange_brings(Ok(TOKEN));
    let file = File::new();
    let folder = file.0.parent().unwrap().join("taken");
    fs::write(&folder, "a file is no folder").unwrap();
    let source =
        TokenSource::File { path: folder.join("token"), join: Some(JoinToken::parse("j0in").unwrap()) };
    let server = Running::start(&script).await;
    let node = node(&server, source);
    until(&node, "setback", |standing| {
        matches!(standing, Standing::Connecting { setback: Some(Setback::NoToken { .. }) })
    })
    .await;
    assert_eq!(script.count(|call| matches!(call, Call::Exchange(_))), 0);
    fs::remove_file(&folder).unwrap();
    until_attached(&node).await;
    assert_eq!(fs::read_to_string(folder.join("token")).unwrap().trim(), TOKEN);
}
