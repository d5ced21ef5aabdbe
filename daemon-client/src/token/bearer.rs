//! The bearer token of a daemon. Never shown.

use std::fmt;

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};

/// What stands before a token in its header.
const SCHEME: &str = "Bearer ";

/// A token as `rollcall` prints it. Its `Debug` form hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(MetadataValue<Ascii>);

/// Why a text is not a token. Never carries the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing is there.
    #[error("the token is empty")]
    Empty,
    /// It could not travel in a header.
    #[error("the token has characters that no token has; was it copied whole, and nothing else?")]
    Malformed,
}

impl Token {
    /// Takes a token; white space round it, such as the line break of a file, is dropped.
    ///
    /// # Errors
    ///
    /// When it is empty, or cannot be a token whatever the key. Whether it is valid is the server's word.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = printable(text)?;
        let mut value: MetadataValue<Ascii> =
            format!("{SCHEME}{text}").parse().map_err(|_| TokenError::Malformed)?;
        // Keeps it out of debug prints of headers, and out of the compression tables of HTTP/2.
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// The token without the word before it.
    pub(crate) fn text(&self) -> &str {
        self.0.to_str().ok().and_then(|value| value.strip_prefix(SCHEME)).unwrap_or_default()
    }
}

/// The text without white space round it, if it could be a token of any kind.
pub(crate) fn printable(text: &str) -> Result<&str, TokenError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(TokenError::Empty);
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenError::Malformed);
    }
    Ok(text)
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_travels_as_bearer_and_is_never_shown() {
        let mut token = Token::parse(" v4.public.abc\n").unwrap();
        assert!(!format!("{token:?}").contains("abc"));
        assert_eq!(token.text(), "v4.public.abc");
        let request = token.call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer v4.public.abc");
        assert!(!format!("{:?}", request.metadata()).contains("abc"));
    }

    #[test]
    fn what_cannot_be_a_token_is_refused_without_being_shown() {
        assert_eq!(Token::parse(" \n").unwrap_err(), TokenError::Empty);
        for text in ["two words", "line\nbreak", "ümlaut"] {
            assert_eq!(Token::parse(text).unwrap_err(), TokenError::Malformed);
        }
    }
}
