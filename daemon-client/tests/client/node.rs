//! A node under test, and waiting for where it stands.

use contracts::{EventEnvelopeVersion, capabilities::Declaration, wire::v1};
use daemon_client::{Addresses, Config, Handle, Health, Outcome, Standing, Token, Trust, start};

use crate::server::{TOKEN, within};

pub(crate) const SESSION: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

pub(crate) fn config(addresses: impl Into<Addresses>) -> Config {
    Config {
        addresses: addresses.into(),
        token: Token::parse(TOKEN).unwrap().into(),
        trust: Trust::of_system(),
        session_id: SESSION.parse().unwrap(),
        node_id: "laptop-1".parse().unwrap(),
        client_version: EventEnvelopeVersion::current(),
        health: Health::Online,
        declaration: Some(declaration("codex")),
        replica: None,
    }
}

pub(crate) fn declaration(key: &str) -> Declaration {
    let capability = v1::Capability {
        key: key.to_owned(),
        contract_version: "1.0".to_owned(),
        ..v1::Capability::default()
    };
    Declaration::parse(v1::Declaration { capabilities: vec![capability] }).unwrap()
}

pub(crate) fn node(addresses: impl Into<Addresses>) -> Handle {
    start(config(addresses))
}

/// Waits for a standing, and gives it.
pub(crate) async fn until(node: &Handle, what: &str, is_so: impl FnMut(&Standing) -> bool) -> Standing {
    let mut standing = node.standing();
    within(what, standing.wait_for(is_so)).await.unwrap().clone()
}

pub(crate) async fn until_attached(node: &Handle) -> Standing {
    until(node, "attachment", |standing| matches!(standing, Standing::Attached { .. })).await
}

pub(crate) async fn until_ended(node: &Handle) -> Outcome {
    within("end", node.ended()).await
}
