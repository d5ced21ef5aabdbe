//! Sessions as people read them.

use std::time::SystemTime;

use contracts::wire::v1;

use crate::cli::{
    age::{ago, at_and_ago},
    table::Table,
    wire_word::word,
};

/// The sessions, one a row.
pub(crate) fn table(sessions: &[v1::Session], now: SystemTime) -> Table {
    let mut table = Table::with_headings(&["SESSION", "NAME", "STATE", "NODES", "FLOOR", "CREATED"]);
    for session in sessions {
        table.row([
            session.session_id.clone(),
            session.name.clone(),
            word::<v1::SessionState>(session.state),
            session.active_nodes.to_string(),
            floor(session),
            ago(session.created_at.as_ref(), now),
        ]);
    }
    table
}

/// One session, one field a row.
pub(crate) fn fields(session: &v1::Session, now: SystemTime) -> Table {
    Table::of_fields([
        ("session", session.session_id.clone()),
        ("name", session.name.clone()),
        ("state", word::<v1::SessionState>(session.state)),
        ("active nodes", session.active_nodes.to_string()),
        ("version floor", floor(session)),
        ("created", at_and_ago(session.created_at.as_ref(), now)),
        ("updated", at_and_ago(session.updated_at.as_ref(), now)),
    ])
}

/// The session by id and name, within a sentence.
pub(crate) fn title(session: &v1::Session) -> String {
    format!("{} ({})", session.session_id, session.name)
}

/// `count` nodes, within a sentence.
pub(crate) fn nodes(count: i64) -> String {
    match count {
        1 => "1 node".to_owned(),
        count => format!("{count} nodes"),
    }
}

fn floor(session: &v1::Session) -> String {
    match session.min_client_version.as_str() {
        "" => "-".to_owned(),
        version => version.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::fake_server::session;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + 7_300)
    }

    #[test]
    fn sessions_are_rows() {
        let mut archived = session("0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a62", "build farm");
        archived.state = v1::SessionState::Archived.into();
        archived.min_client_version = "1.2".into();
        assert_eq!(
            table(&[session("0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61", "demo"), archived], now()).to_string(),
            "SESSION                               NAME        STATE     NODES  FLOOR  CREATED\n\
             0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61  demo        active    3      -      2h ago\n\
             0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a62  build farm  archived  3      1.2    2h ago\n"
        );
    }

    #[test]
    fn one_session_is_fields() {
        assert_eq!(
            fields(&session("0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61", "demo"), now()).to_string(),
            "session        0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61\n\
             name           demo\n\
             state          active\n\
             active nodes   3\n\
             version floor  -\n\
             created        2023-11-14T22:13:20Z (2h ago)\n\
             updated        2023-11-14T22:13:20.5Z (2h ago)\n"
        );
    }
}
