//! Which session a watch is about.

use contracts::{
    SessionId,
    wire::v1::{Session, SessionState},
};

use crate::cli::{failure::Failure, output::Output, servers::Servers, session};

/// `given`, else the one active session. With none or several, the choice is the caller's.
pub(crate) async fn watched_session(
    given: Option<SessionId>,
    servers: &mut Servers,
    output: &mut Output,
) -> Result<String, Failure> {
    match given {
        Some(session) => Ok(session.to_string()),
        None => only_active(session::all_sessions(servers, output).await?),
    }
}

fn only_active(mut sessions: Vec<Session>) -> Result<String, Failure> {
    sessions.retain(|session| session.state() == SessionState::Active);
    if let [session] = sessions.as_slice() {
        return Ok(session.session_id.clone());
    }
    let Some(first) = sessions.first() else {
        return Err(Failure::Usage {
            message: "there is no active session to watch".to_owned(),
            hint: "make one with `rollcall session create --name demo`, or name an archived one with --session ID"
                .to_owned(),
        });
    };
    let list: String =
        sessions.iter().map(|session| format!("\n  {}  {}", session.session_id, session.name)).collect();
    Err(Failure::Usage {
        message: format!("there are {} active sessions, and a watch is about one:{list}", sessions.len()),
        hint: format!("name it, as in `rollcall node watch --session {}`", first.session_id),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake_server::session;

    fn archived(id: &str) -> Session {
        Session { state: SessionState::Archived.into(), ..session(id, "old") }
    }

    #[test]
    fn the_one_active_session_is_meant() {
        assert_eq!(only_active(vec![archived("a"), session("b", "demo")]).unwrap(), "b");
    }

    #[test]
    fn none_or_several_are_for_the_caller_to_choose() {
        let Err(Failure::Usage { message, hint }) =
            only_active(vec![session("a", "demo"), session("b", "farm")])
        else {
            panic!("chose by itself");
        };
        assert_eq!(message, "there are 2 active sessions, and a watch is about one:\n  a  demo\n  b  farm");
        assert_eq!(hint, "name it, as in `rollcall node watch --session a`");
        assert!(matches!(only_active(vec![archived("a")]), Err(Failure::Usage { .. })));
    }
}
