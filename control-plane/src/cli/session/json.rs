//! The JSON of `rollcall session ... --json`. A field is never renamed or removed; new ones may come.

use contracts::wire::v1;
use serde::Serialize;

use crate::cli::{age::rfc3339, wire_word::word};

/// A session: the answer of create, get and archive.
#[derive(Debug, Serialize)]
pub(crate) struct Session {
    session_id: String,
    name: String,
    /// `active`, `archived` or `closed`.
    state: String,
    /// `MAJOR.MINOR`; null when there is no floor.
    min_client_version: Option<String>,
    active_nodes: i64,
    created_at: Option<String>,
    updated_at: Option<String>,
}

/// The answer of list.
#[derive(Debug, Serialize)]
pub(crate) struct Sessions {
    pub(crate) sessions: Vec<Session>,
}

/// The answer of close.
#[derive(Debug, Serialize)]
pub(crate) struct Closed {
    pub(crate) session: Session,
    /// Nodes that this call detached; a repeat detaches none.
    pub(crate) detached_nodes: i64,
    /// Whether nothing was changed, and this is what would be.
    pub(crate) dry_run: bool,
    /// As the audit names it.
    pub(crate) request_id: String,
}

/// The answer of raise-floor.
#[derive(Debug, Serialize)]
pub(crate) struct RaisedFloor {
    /// As it is now; as it would be when `dry_run` is true.
    pub(crate) session: Session,
    pub(crate) dry_run: bool,
    /// How many attached nodes become read-only.
    pub(crate) affected_nodes_count: i64,
    /// Those nodes; all of them when `dry_run` is true, else the first page.
    pub(crate) affected_nodes: Vec<AffectedNode>,
}

/// A node that becomes read-only.
#[derive(Debug, Serialize)]
pub(crate) struct AffectedNode {
    pub(crate) node_id: String,
    pub(crate) client_version: String,
}

impl From<v1::Session> for Session {
    fn from(session: v1::Session) -> Self {
        Self {
            state: word::<v1::SessionState>(session.state),
            min_client_version: Some(session.min_client_version).filter(|version| !version.is_empty()),
            active_nodes: session.active_nodes,
            created_at: rfc3339(session.created_at.as_ref()),
            updated_at: rfc3339(session.updated_at.as_ref()),
            session_id: session.session_id,
            name: session.name,
        }
    }
}

impl From<v1::AffectedNode> for AffectedNode {
    fn from(node: v1::AffectedNode) -> Self {
        Self { node_id: node.node_id, client_version: node.client_version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake_server::session;

    #[test]
    fn a_session_has_this_shape() {
        assert_eq!(
            serde_json::to_value(Session::from(session("0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61", "demo")))
                .unwrap(),
            serde_json::json!({
                "session_id": "0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61",
                "name": "demo",
                "state": "active",
                "min_client_version": null,
                "active_nodes": 3,
                "created_at": "2023-11-14T22:13:20Z",
                "updated_at": "2023-11-14T22:13:20.5Z",
            })
        );
    }

    #[test]
    fn a_raised_floor_has_this_shape() {
        let raised = RaisedFloor {
            session: v1::Session { min_client_version: "1.2".into(), ..v1::Session::default() }.into(),
            dry_run: true,
            affected_nodes_count: 1,
            affected_nodes: vec![
                v1::AffectedNode { node_id: "laptop-1".into(), client_version: "1.0".into() }.into(),
            ],
        };
        assert_eq!(
            serde_json::to_value(raised).unwrap(),
            serde_json::json!({
                "session": {
                    "session_id": "",
                    "name": "",
                    "state": "unknown",
                    "min_client_version": "1.2",
                    "active_nodes": 0,
                    "created_at": null,
                    "updated_at": null,
                },
                "dry_run": true,
                "affected_nodes_count": 1,
                "affected_nodes": [{"node_id": "laptop-1", "client_version": "1.0"}],
            })
        );
    }
}
