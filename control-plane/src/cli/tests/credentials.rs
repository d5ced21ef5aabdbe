//! Which token is shown, and what is said when there is none to show.

use std::{fs, path::PathBuf};

use contracts::{Code, Refusal};

use crate::cli::{
    fake_server::{FakeServer, Prepared, SESSION, session},
    tests::rollcall,
};

/// A token file that is removed in the end.
struct TokenFile(PathBuf);

impl TokenFile {
    fn with(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rollcall-token-{}", uuid::Uuid::new_v4()));
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn flag(&self) -> String {
        format!("--token-file={}", self.0.display())
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_token_file_is_read_at_each_call() {
    let file = TokenFile::with("first\n");
    // A server that takes over: while the command line waits, the token is renewed.
    let recovering = Refusal::new(Code::ControllerRecovering, "recovering");
    let prepared = Prepared {
        sessions: vec![session(SESSION, "demo")],
        refusals: vec![recovering],
        ..Prepared::default()
    };
    let server = FakeServer::start(prepared).await;
    let (addr, flag) = (server.addr(), file.flag());
    let renewal = async {
        while server.calls().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        fs::write(&file.0, "second\n").unwrap();
    };
    let arguments = ["session", "archive", SESSION, &addr, &flag];
    let ((captured, code), ()) = tokio::join!(rollcall(&arguments), renewal);
    assert_eq!(code, 0, "{}", captured.notes());
    assert_eq!(server.tokens(), ["Bearer first", "Bearer second"]);
}

#[tokio::test]
async fn a_token_file_that_does_not_work_is_named_and_no_server_asked() {
    let server = FakeServer::start(Prepared::default()).await;
    let (addr, empty) = (server.addr(), TokenFile::with("\n"));
    for (flag, words) in [
        (empty.flag(), "it is empty"),
        ("--token-file=/nowhere/token".to_owned(), "cannot take the token from /nowhere/token: "),
    ] {
        let (captured, code) = rollcall(&["session", "list", &addr, &flag]).await;
        assert_eq!((captured.data().as_str(), code), ("", 2));
        assert!(captured.notes().contains(words), "{}", captured.notes());
    }
    assert_eq!(server.calls(), [""; 0]);
}

#[tokio::test]
async fn a_token_and_a_token_file_are_one_too_many() {
    let server = FakeServer::start(Prepared::default()).await;
    let file = TokenFile::with("hush");
    let arguments = ["session", "list", &server.addr(), &file.flag(), "--token", "hush"];
    let (captured, code) = rollcall(&arguments).await;
    assert_eq!((captured.data().as_str(), code), ("", 2));
    let notes = captured.notes();
    assert!(notes.starts_with("error: both a token and the token file "), "{notes}");
    assert!(notes.contains("--token or ROLLCALL_TOKEN") && !notes.contains("hush"), "{notes}");
    assert_eq!(server.calls(), [""; 0]);
    // An empty one, as an unset variable in a script leaves it, is none.
    let (captured, code) = rollcall(&["session", "list", &server.addr(), &file.flag(), "--token="]).await;
    assert_eq!(code, 0, "{}", captured.notes());
    assert_eq!(server.tokens(), ["Bearer hush"]);
}
