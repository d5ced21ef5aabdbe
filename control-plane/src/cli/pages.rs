//! Guards a read of many pages.

use crate::cli::failure::Failure;

/// Items asked for on one page.
pub(crate) const PAGE_SIZE: i32 = 500;

/// Where a read of pages is.
#[derive(Debug, Default)]
pub(crate) struct PageCursor {
    token: String,
}

impl PageCursor {
    /// The token to send.
    pub(crate) fn token(&self) -> String {
        self.token.clone()
    }

    /// Takes the token of the next page; false at the end. A token that does not move would be read for ever.
    pub(crate) fn advance(&mut self, next: String) -> Result<bool, Failure> {
        if next.is_empty() {
            return Ok(false);
        }
        if next == self.token {
            return Err(Failure::Answer("the server gave the same page token twice".to_owned()));
        }
        self.token = next;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_ends_at_an_empty_token_and_refuses_one_that_stands_still() {
        let mut cursor = PageCursor::default();
        assert_eq!(cursor.token(), "");
        assert!(cursor.advance("2".into()).unwrap());
        assert_eq!(cursor.token(), "2");
        assert!(cursor.advance("2".into()).is_err());
        assert!(!cursor.advance(String::new()).unwrap());
    }
}
