//! Who is calling. Every request carries a principal before any other code sees it.
//!
//! For now a server knows one token, `<participant id>.<secret>`. What the rest of the server sees is the
//! [`Principal`], whatever proves it.

use std::{fmt, str::FromStr};

use contracts::{Code, ParticipantId, Refusal};
use rand::RngCore;
use subtle::ConstantTimeEq;
use tonic::{Request, Status, service::Interceptor};

/// Secret characters at least: 128 bits in hexadecimal.
const SECRET_CHARS_MIN: usize = 32;

/// Who is calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// An account that owns nodes.
    Participant(ParticipantId),
    /// This server itself, proving that beats get in.
    Canary,
}

impl Principal {
    /// The account that calls.
    ///
    /// # Errors
    ///
    /// The canary may do nothing but beat.
    pub fn participant(self) -> Result<ParticipantId, Refusal> {
        match self {
            Self::Participant(participant) => Ok(participant),
            Self::Canary => Err(Refusal::permission_denied()),
        }
    }
}

/// The principal that the interceptor left with a request.
///
/// # Errors
///
/// A request that did not pass the interceptor is refused like one without a token.
pub fn principal<T>(request: &Request<T>) -> Result<Principal, Refusal> {
    request.extensions().get().copied().ok_or_else(token_invalid)
}

/// A bearer token with the participant it stands for. Its debug form does not show the secret.
#[derive(Clone)]
pub struct Token {
    text: String,
    participant: ParticipantId,
}

/// A text that is no token.
#[derive(Debug, thiserror::Error)]
#[error(
    "a token is a participant's UUID, a dot, and a secret of at least {SECRET_CHARS_MIN} letters and digits"
)]
pub struct TokenFormatError;

impl Token {
    /// Makes a token for a participant.
    pub fn mint(participant: ParticipantId) -> Self {
        Self { text: format!("{participant}.{}", random_secret()), participant }
    }

    /// The participant that it stands for.
    pub fn participant(&self) -> ParticipantId {
        self.participant
    }

    /// The token itself, for handing out.
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl FromStr for Token {
    type Err = TokenFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (participant, secret) = text.split_once('.').ok_or(TokenFormatError)?;
        if secret.len() < SECRET_CHARS_MIN || !secret.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(TokenFormatError);
        }
        let participant = participant.parse().map_err(|_| TokenFormatError)?;
        Ok(Self { text: text.to_owned(), participant })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}.…)", self.participant)
    }
}

/// Checks the token of each request and leaves its principal with it.
#[derive(Clone)]
pub struct Authenticator {
    token: Token,
    canary: CanaryToken,
}

/// The server's own token, new with each run, never written down.
#[derive(Clone)]
pub struct CanaryToken(String);

impl fmt::Debug for CanaryToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CanaryToken(…)")
    }
}

impl CanaryToken {
    /// Makes one.
    pub fn mint() -> Self {
        Self(random_secret())
    }

    /// The value of the `authorization` metadata.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl Authenticator {
    /// Accepts one token, and this server's own.
    pub fn new(token: Token, canary: CanaryToken) -> Self {
        Self { token, canary }
    }

    fn authenticate(&self, bearer: &str) -> Option<Principal> {
        let matches = |token: &str| bool::from(token.as_bytes().ct_eq(bearer.as_bytes()));
        if matches(&self.token.text) {
            return Some(Principal::Participant(self.token.participant));
        }
        matches(&self.canary.0).then_some(Principal::Canary)
    }
}

impl Interceptor for Authenticator {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let principal = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .and_then(|bearer| self.authenticate(bearer))
            .ok_or_else(token_invalid)?;
        request.extensions_mut().insert(principal);
        Ok(request)
    }
}

fn token_invalid() -> Refusal {
    Refusal::new(
        Code::AuthTokenInvalid,
        "no token, or one that is not valid here. Send the metadata `authorization: Bearer TOKEN`; the command \
         line takes it from ROLLCALL_TOKEN, which `rollcall dev` prints",
    )
}

fn random_secret() -> String {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn call(authenticator: &Authenticator, header: Option<&str>) -> Result<Principal, tonic::Code> {
        let mut request = Request::new(());
        if let Some(header) = header {
            request.metadata_mut().insert("authorization", header.parse().unwrap());
        }
        let request = authenticator.clone().call(request).map_err(|status| status.code())?;
        Ok(principal(&request).unwrap())
    }

    #[test]
    fn only_the_whole_token_names_its_participant() {
        let participant = ParticipantId(Uuid::new_v4());
        let token = Token::mint(participant);
        let authenticator = Authenticator::new(token.clone(), CanaryToken::mint());
        let good = format!("Bearer {}", token.reveal());

        assert_eq!(call(&authenticator, Some(&good)), Ok(Principal::Participant(participant)));
        assert_eq!(call(&authenticator, Some(&authenticator.canary.bearer())), Ok(Principal::Canary));
        let other = format!("Bearer {}", Token::mint(participant).reveal());
        for bad in [
            None,
            Some(""),
            Some("Bearer "),
            Some(token.reveal()),
            Some(&good[..good.len() - 1]),
            Some(&other),
        ] {
            assert_eq!(call(&authenticator, bad), Err(tonic::Code::Unauthenticated), "{bad:?}");
        }
    }

    #[test]
    fn a_token_reads_back_and_hides_its_secret() {
        let token = Token::mint(ParticipantId(Uuid::new_v4()));
        let read: Token = token.reveal().parse().unwrap();
        assert_eq!((read.participant(), read.reveal()), (token.participant(), token.reveal()));
        let (_, secret) = token.reveal().split_once('.').unwrap();
        assert!(!format!("{token:?}").contains(secret));
        for bad in ["", "secret", &format!("{}.short", token.participant()), &format!("x.{secret}")] {
            assert!(bad.parse::<Token>().is_err(), "{bad:?}");
        }
    }
}
