//! The bearer token. Never shown.

use std::{convert::Infallible, fmt, str::FromStr};

use tonic::metadata::{Ascii, MetadataValue};

/// The token as it was given. Parsing takes any text, for clap would print one that it refuses.
#[derive(Clone)]
pub(crate) struct Token(String);

/// The text cannot be a token. Does not carry the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedToken;

impl Token {
    /// The value of the `authorization` metadata; `None` for an empty token, as an unset variable in a script leaves it.
    pub(crate) fn to_metadata(&self) -> Result<Option<MetadataValue<Ascii>>, MalformedToken> {
        let text = self.0.trim();
        if text.is_empty() {
            return Ok(None);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(MalformedToken);
        }
        let mut value: MetadataValue<Ascii> = format!("Bearer {text}").parse().map_err(|_| MalformedToken)?;
        // Keeps it out of debug prints of headers, and out of the compression tables of HTTP/2.
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl FromStr for Token {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Token {
        text.parse().unwrap()
    }

    #[test]
    fn a_token_travels_as_bearer_and_is_never_shown() {
        let value = token(" v4.public.abc\n").to_metadata().unwrap().unwrap();
        assert_eq!(value, "Bearer v4.public.abc");
        assert!(!format!("{value:?} {:?}", token("v4.public.abc")).contains("abc"));
    }

    #[test]
    fn an_empty_token_is_none_and_a_torn_one_is_refused() {
        assert_eq!(token(" \n").to_metadata(), Ok(None));
        for text in ["two words", "line\nbreak", "ümlaut"] {
            assert_eq!(token(text).to_metadata(), Err(MalformedToken));
        }
    }
}
