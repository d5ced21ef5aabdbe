//! Nodes as people read them.

use std::time::SystemTime;

use contracts::wire::v1;

use crate::cli::{age::ago, table::Table, wire_word::word};

/// An empty table of nodes.
pub(crate) fn table() -> Table {
    Table::with_headings(&[
        "NODE",
        "SESSION",
        "SLOT",
        "HEALTH",
        "READ-ONLY",
        "VERSION",
        "GENERATION",
        "LAST-HEARD",
    ])
}

/// The row of `node` in that table.
pub(crate) fn row(node: &v1::RuntimeNode, now: SystemTime) -> [String; 8] {
    let presence = node.presence.as_ref();
    [
        node.node_id.clone(),
        node.session_id.clone(),
        word::<v1::SlotState>(node.slot_state),
        presence.map_or_else(absent, |presence| word::<v1::PresenceHealth>(presence.health)),
        yes_or_no(node.read_only).to_owned(),
        if node.client_version.is_empty() { absent() } else { node.client_version.clone() },
        node.generation.to_string(),
        ago(presence.and_then(|presence| presence.last_heartbeat_at.as_ref()), now),
    ]
}

/// What a slot declared, one capability a row; `None` when it declared nothing.
pub(crate) fn capabilities(node: &v1::RuntimeNode) -> Option<Table> {
    let declaration = node.declaration.as_ref().filter(|declaration| !declaration.capabilities.is_empty())?;
    let mut table = Table::with_headings(&["CAPABILITY", "CONTRACT", "TOOLS", "FEATURES"]);
    for capability in &declaration.capabilities {
        table.row([
            capability.key.clone(),
            capability.contract_version.clone(),
            capability.tools.len().to_string(),
            if capability.features.is_empty() { absent() } else { capability.features.join(",") },
        ]);
    }
    Some(table)
}

/// One reason, such as `unsupported_feature codex: teleport`.
pub(crate) fn reason(reason: &v1::StateReason) -> String {
    let kind = word::<v1::StateReasonKind>(reason.kind);
    let about = match reason.capability_key.as_str() {
        "" => kind,
        key => format!("{kind} {key}"),
    };
    match reason.detail.as_str() {
        "" => about,
        detail => format!("{about}: {detail}"),
    }
}

pub(crate) fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

fn absent() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::fake_server::node;

    #[test]
    fn nodes_are_rows() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_003);
        let gone = v1::RuntimeNode {
            slot_state: v1::SlotState::Offline.into(),
            presence: None,
            read_only: true,
            client_version: String::new(),
            ..node("farm-12")
        };
        let mut table = table();
        table.row(row(&node("laptop-1"), now));
        table.row(row(&gone, now));
        assert_eq!(
            table.to_string(),
            "NODE      SESSION                               SLOT     HEALTH  READ-ONLY  VERSION  GENERATION  LAST-HEARD\n\
             laptop-1  0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61  online   online  no         1.0      4           3s ago\n\
             farm-12   0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61  offline  -       yes        -        4           -\n"
        );
    }

    #[test]
    fn a_reason_names_what_it_is_about() {
        let unsupported = v1::StateReason {
            kind: v1::StateReasonKind::UnsupportedFeature.into(),
            capability_key: "codex".into(),
            detail: "teleport".into(),
        };
        assert_eq!(reason(&unsupported), "unsupported_feature codex: teleport");
        let own_word =
            v1::StateReason { kind: v1::StateReasonKind::SelfReported.into(), ..v1::StateReason::default() };
        assert_eq!(reason(&own_word), "self_reported");
    }
}
