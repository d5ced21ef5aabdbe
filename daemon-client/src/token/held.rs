//! The token in use. Calls ask for it each time, so that a new one counts from the next call on.

#![expect(
    clippy::result_large_err,
    reason = "a setback is made once a call at most, and shown to applications as it is"
)]

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use contracts::{Code, refusal::ReceivedRefusal};
use time::OffsetDateTime;
use tokio::{task::spawn_blocking, time::Instant};
use tracing::{info, warn};

use crate::{
    Setback,
    reaction::Hope,
    token::{
        bearer::Token,
        file::TokenFile,
        schedule::{Age, Schedule},
        source::{JoinToken, TokenSource},
        term::Term,
    },
};

/// A refused token that stays in its file is shown to the server again after this long: it may have been the server
/// that was wrong, such as one that did not have the key yet.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// The token in use, and the file that it is kept in, if any. Clones are one.
#[derive(Clone)]
pub(crate) struct Tokens {
    held: Arc<Mutex<Held>>,
    file: Option<TokenFile>,
}

#[derive(Default)]
struct Held {
    current: Option<Current>,
    /// What was in the file when it was last read or written. Only something else is news: a file that cannot be
    /// written keeps a token that is older than the one in use.
    in_file: Option<Token>,
    /// The last refusal of the token in use, and when it came.
    refused: Option<(ReceivedRefusal, Instant)>,
    /// Why the file gives no token.
    trouble: Option<String>,
    is_unwritable_told: bool,
}

struct Current {
    token: Token,
    schedule: Option<Schedule>,
}

impl Tokens {
    /// The tokens of a source, and what to exchange when there is none.
    pub(crate) fn new(source: TokenSource) -> (Self, Option<JoinToken>) {
        let (given, file, join) = match source {
            TokenSource::Given(token) => (Some(token), None, None),
            TokenSource::File { path, join } => (None, Some(TokenFile::new(path)), join),
        };
        let tokens = Self { held: Arc::default(), file };
        if let Some(token) = given {
            tokens.with(|held| held.adopt(token, Age::Unknown));
        }
        (tokens, join)
    }

    /// The token for the next call. One that was refused is looked for in the file again, and not sent again soon.
    pub(crate) async fn for_call(&self) -> Result<Token, Setback> {
        if self.with(|held| held.current.is_none() || held.refused.is_some()) {
            self.reread().await;
        }
        self.with(|held| match (&held.current, &held.refused) {
            (None, _) => {
                let reason = held.trouble.clone().unwrap_or_else(|| "there is no token".to_owned());
                Err(Setback::NoToken { reason })
            }
            (Some(_), Some((refusal, at))) if at.elapsed() < ASK_AGAIN_AFTER => {
                Err(Setback::Refused(refusal.clone()))
            }
            (Some(current), _) => Ok(current.token.clone()),
        })
    }

    /// What came of a call with `used`.
    pub(crate) fn heard(&self, used: &Token, setback: Option<&Setback>) {
        self.with(|held| {
            // An older token's end is no news.
            if held.current.as_ref().is_some_and(|current| current.token == *used) {
                match setback {
                    Some(Setback::Refused(refusal)) if is_about_token(refusal) => {
                        held.refused = Some((refusal.clone(), Instant::now()));
                    }
                    Some(Setback::Refused(_)) | None => held.refused = None,
                    Some(
                        Setback::NoToken { .. } | Setback::Distrusted { .. } | Setback::Unreachable { .. },
                    ) => {}
                }
            }
        });
    }

    /// Whether a call may yet succeed whose token was refused: a file may get another, and a renewal that came during
    /// the call has brought one.
    pub(crate) fn hope(&self) -> Hope {
        let is_replaced = self.with(|held| held.refused.is_none());
        if self.file.is_some() || is_replaced { Hope::AnotherToken } else { Hope::None }
    }

    /// Reads the file, if there is one. Tells whether there is a token now, from there or from before.
    pub(crate) async fn reread(&self) -> bool {
        if let Some(file) = self.file.clone() {
            match spawn_blocking(move || file.read()).await {
                Ok(Ok(token)) => self.with(|held| held.found(token)),
                Ok(Err(error)) => self.with(|held| held.has_trouble(&error.to_string())),
                // The runtime is going down.
                Err(_) => {}
            }
        }
        self.with(|held| held.current.is_some())
    }

    /// Finds out whether a first token could be kept.
    pub(crate) async fn prepare(&self) -> Result<(), Setback> {
        let Some(file) = self.file.clone() else { return Ok(()) };
        let path = file.path().to_owned();
        match spawn_blocking(move || file.prepare()).await {
            Ok(Err(error)) => {
                let reason = format!("no token can be kept in {}: {error}", path.display());
                Err(Setback::NoToken { reason })
            }
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// Takes the first token, or a renewed one, and keeps it in the file.
    pub(crate) async fn obtained(&self, token: Token) {
        let before = self.with(|held| {
            held.adopt(token.clone(), Age::New);
            held.in_file.clone()
        });
        let Some(file) = self.file.clone() else { return };
        let path = file.path().to_owned();
        let written = spawn_blocking(move || match file.read() {
            // Somebody else has put a token there since, and it stays.
            Ok(found) if Some(&found) != before.as_ref() => Ok(found),
            Ok(_) | Err(_) => file.write(&token).map(|()| token),
        });
        match written.await {
            Ok(Ok(token)) => self.with(|held| held.found(token)),
            Ok(Err(error)) => {
                if !self.with(|held| std::mem::replace(&mut held.is_unwritable_told, true)) {
                    warn!(
                        path = %path.display(),
                        %error,
                        "a new token cannot be kept in the token file: it is lost when the daemon stops"
                    );
                }
            }
            Err(_) => {}
        }
    }

    /// The token that is to be renewed now, and the longest wait after a failure.
    pub(crate) fn due(&self) -> Option<(Token, Duration)> {
        self.with(|held| {
            let current = held.current.as_ref().filter(|_| held.refused.is_none())?;
            let schedule = current.schedule.filter(|schedule| schedule.is_due(Instant::now(), wall()))?;
            Some((current.token.clone(), schedule.backoff_cap()))
        })
    }

    /// Whether `token` is still the one in use.
    pub(crate) fn is_current(&self, token: &Token) -> bool {
        self.with(|held| held.current.as_ref().is_some_and(|current| current.token == *token))
    }

    /// How long to wait until the next look at the clock and the file.
    pub(crate) fn look_in(&self) -> Duration {
        self.with(|held| {
            Schedule::look_in(held.current.as_ref().and_then(|current| current.schedule.as_ref()))
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Held) -> T) -> T {
        // Nothing that holds the lock can leave it half done.
        act(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    fn adopt(&mut self, token: Token, age: Age) {
        let schedule =
            Term::of(token.text()).map(|term| Schedule::new(term, age, Instant::now(), &mut rand::rng()));
        self.current = Some(Current { token, schedule });
        self.refused = None;
        self.trouble = None;
    }

    fn found(&mut self, token: Token) {
        let is_news = self.in_file.as_ref() != Some(&token) || self.refused.is_some();
        let is_current = self.current.as_ref().is_some_and(|current| current.token == token);
        self.in_file = Some(token.clone());
        self.trouble = None;
        if is_news && !is_current {
            if self.current.is_some() {
                info!("there is another token in the token file: using it");
            }
            self.adopt(token, Age::Unknown);
        }
    }

    fn has_trouble(&mut self, trouble: &str) {
        if self.trouble.as_deref() != Some(trouble) {
            // Without a token the call that needs one tells.
            if self.current.is_some() {
                warn!("{trouble}; going on with the token from before");
            }
            self.trouble = Some(trouble.to_owned());
        }
    }
}

/// Whether another token would help.
fn is_about_token(refusal: &ReceivedRefusal) -> bool {
    matches!(refusal.known(), Some(Code::AuthTokenInvalid | Code::AuthTokenExpired | Code::AuthTokenRevoked))
}

#[expect(
    clippy::disallowed_methods,
    reason = "how old a token from a file is, no other clock tells; a wrong one makes a renewal early or late"
)]
fn wall() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

#[cfg(test)]
mod tests {
    use contracts::Refusal;

    use super::*;

    fn token(text: &str) -> Token {
        Token::parse(text).unwrap()
    }

    fn expired() -> Setback {
        let status = Refusal::new(Code::AuthTokenExpired, "over").into();
        Setback::from_status(&"a".parse().unwrap(), &status)
    }

    #[tokio::test]
    async fn a_given_token_that_is_refused_leaves_no_hope() {
        let (tokens, _) = Tokens::new(token("one").into());
        assert_eq!(tokens.for_call().await, Ok(token("one")));
        tokens.heard(&token("one"), Some(&expired()));
        assert_eq!(tokens.hope(), Hope::None);
        assert_eq!(tokens.for_call().await, Err(expired()), "it is not sent again");
    }

    #[tokio::test]
    async fn the_end_of_a_token_that_was_replaced_meanwhile_is_no_news() {
        let (tokens, _) = Tokens::new(token("one").into());
        tokens.obtained(token("two")).await;
        tokens.heard(&token("one"), Some(&expired()));
        assert_eq!(tokens.hope(), Hope::AnotherToken);
        assert_eq!(tokens.for_call().await, Ok(token("two")));
    }

    #[tokio::test]
    async fn without_a_file_there_is_nothing_to_call_with_and_always_hope() {
        let path = std::env::temp_dir().join(format!("rollcall-no-token-{}", uuid::Uuid::new_v4()));
        let (tokens, _) = Tokens::new(TokenSource::File { path: path.clone(), join: None });
        let reason = tokens.for_call().await.unwrap_err().to_string();
        assert!(reason.contains(&path.display().to_string()), "{reason}");
        assert_eq!(tokens.hope(), Hope::AnotherToken);
    }
}
