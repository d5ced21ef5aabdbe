//! What is shown to the server: a token, or the file that holds one. Never shown to anybody else.

use std::{convert::Infallible, fmt, fs, path::PathBuf, str::FromStr};

use tonic::metadata::{Ascii, MetadataValue};

use crate::cli::failure::Failure;

/// The token as it was given. Parsing takes any text, for clap would print one that it refuses.
#[derive(Clone)]
pub(crate) struct Token(String);

/// The text cannot be a token. Does not carry the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedToken;

/// Where the token of each call comes from.
#[derive(Clone, Debug)]
pub(crate) enum Credential {
    /// Nowhere: only an exchange of a join token needs none.
    None,
    /// From the flags or the environment.
    Token(MetadataValue<Ascii>),
    /// From a file, read anew for each call: whoever renews the token writes it there.
    File(PathBuf),
}

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

    /// The text, for the one call that carries a token in its body.
    pub(crate) fn reveal(&self) -> &str {
        self.0.trim()
    }
}

impl From<&str> for Token {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl FromStr for Token {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

impl Credential {
    /// What the flags and the environment say. An empty value is none.
    pub(crate) fn of(token: Option<Token>, file: Option<PathBuf>) -> Result<Self, Failure> {
        let token = token.map_or(Ok(None), |token| token.to_metadata());
        let token = token.map_err(|_| Failure::Usage {
            message: "the token has characters that no token has".to_owned(),
            hint: "copy it whole, and nothing else, into ROLLCALL_TOKEN".to_owned(),
        })?;
        match (token, file.filter(|file| !file.as_os_str().is_empty())) {
            (None, None) => Ok(Self::None),
            (Some(token), None) => Ok(Self::Token(token)),
            (None, Some(file)) => Ok(Self::File(file)),
            (Some(_), Some(file)) => Err(Failure::Usage {
                message: format!("both a token and the token file {} are given", file.display()),
                hint: "keep one of them: --token or ROLLCALL_TOKEN, or --token-file or ROLLCALL_TOKEN_FILE"
                    .to_owned(),
            }),
        }
    }

    /// The value of the `authorization` metadata for the next call.
    pub(crate) fn to_metadata(&self) -> Result<Option<MetadataValue<Ascii>>, Failure> {
        let file = match self {
            Self::None => return Ok(None),
            Self::Token(token) => return Ok(Some(token.clone())),
            Self::File(file) => file,
        };
        let unusable = |cause: &str| Failure::Usage {
            message: format!("cannot take the token from {}: {cause}", file.display()),
            hint: "name a file that holds one token and nothing else with --token-file".to_owned(),
        };
        let text = fs::read_to_string(file).map_err(|error| unusable(&error.to_string()))?;
        match Token(text).to_metadata() {
            Ok(Some(token)) => Ok(Some(token)),
            Ok(None) => Err(unusable("it is empty")),
            Err(MalformedToken) => Err(unusable("it has characters that no token has")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Token {
        text.into()
    }

    #[test]
    fn a_token_travels_as_bearer_and_is_never_shown() {
        let value = token(" v4.public.abc\n").to_metadata().unwrap().unwrap();
        assert_eq!(value, "Bearer v4.public.abc");
        let credential = Credential::of(Some(token("v4.public.abc")), None).unwrap();
        assert!(!format!("{value:?} {:?} {credential:?}", token("v4.public.abc")).contains("abc"));
    }

    #[test]
    fn an_empty_token_is_none_and_a_torn_one_is_refused() {
        assert_eq!(token(" \n").to_metadata(), Ok(None));
        for text in ["two words", "line\nbreak", "ümlaut"] {
            assert_eq!(token(text).to_metadata(), Err(MalformedToken));
        }
    }

    #[test]
    fn empty_values_are_none_and_two_are_one_too_many() {
        let of = |text: &str, file: &str| Credential::of(Some(token(text)), Some(file.into()));
        assert!(matches!(of("", ""), Ok(Credential::None)));
        assert!(matches!(of("t", ""), Ok(Credential::Token(_))));
        assert!(matches!(of("", "f"), Ok(Credential::File(_))));
        let Err(Failure::Usage { message, hint }) = of("hush", "/run/token") else {
            panic!("chose by itself");
        };
        assert_eq!(message, "both a token and the token file /run/token are given");
        assert!(!hint.contains("hush"), "{hint}");
    }

    #[test]
    fn a_file_is_read_each_time_and_its_text_is_never_shown() {
        let file = std::env::temp_dir().join(format!("rollcall-token-{}", uuid::Uuid::new_v4()));
        let credential = Credential::File(file.clone());
        let refused = |words: &str| {
            let Err(Failure::Usage { message, .. }) = credential.to_metadata() else {
                panic!("took it");
            };
            assert!(message.contains(words) && message.contains(&file.display().to_string()), "{message}");
            assert!(!message.contains("hush"), "{message}");
        };
        refused("cannot take the token");
        for (text, words) in [(" \n", "it is empty"), ("hush hush\n", "it has characters that no token has")]
        {
            fs::write(&file, text).unwrap();
            refused(words);
        }
        for text in ["first", "second"] {
            fs::write(&file, format!("{text}\n")).unwrap();
            assert_eq!(credential.to_metadata().unwrap().unwrap(), format!("Bearer {text}"));
        }
        fs::remove_file(file).unwrap();
    }
}
