//! Where a daemon's first token comes from.

use std::{fmt, path::PathBuf};

use uuid::Uuid;

use crate::token::bearer::{Token, TokenError, printable};

/// Where the token comes from.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// From the application. It is renewed in memory; when it ends all the same, so does the client.
    Given(Token),
    /// From a file, which is read again when it changes, and in which a renewed token replaces the old one. A token
    /// that ends all the same is waited for: whoever wrote the file may write another one.
    File {
        /// The file.
        path: PathBuf,
        /// Exchanged for the first token when there is none in the file.
        join: Option<JoinToken>,
    },
}

impl From<Token> for TokenSource {
    fn from(token: Token) -> Self {
        Self::Given(token)
    }
}

/// A join token, which a machine without a token exchanges for its first one. Its `Debug` form hides it.
#[derive(Clone)]
pub struct JoinToken {
    text: String,
    /// Of the exchange, however often it is tried: one whose answer was lost takes no further use.
    request_id: Uuid,
}

impl JoinToken {
    /// Takes a join token; white space round it is dropped.
    ///
    /// # Errors
    ///
    /// When it is empty, or cannot be a token at all. Whether it is valid is the server's word.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        printable(text).map(|text| Self { text: text.to_owned(), request_id: Uuid::new_v4() })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn request_id(&self) -> Uuid {
        self.request_id
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_token_is_never_shown() {
        let join = JoinToken::parse(" j0in\n").unwrap();
        assert_eq!(join.text(), "j0in");
        let source = TokenSource::File { path: "token".into(), join: Some(join) };
        assert!(!format!("{source:?}").contains("j0in"));
        assert_eq!(JoinToken::parse(" ").unwrap_err(), TokenError::Empty);
    }
}
