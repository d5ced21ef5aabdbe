//! A node whose daemon keeps a replica, behind a proxy.

use tests::{Client, Daemon, Entry, Held, Plane, Proxy, ReplicaFolder, eventually};

use crate::status;

/// A daemon with its replica.
pub(crate) struct KeptNode {
    pub(crate) name: String,
    pub(crate) folder: ReplicaFolder,
    pub(crate) daemon: Daemon,
    token: String,
    addresses: String,
    session: String,
}

impl KeptNode {
    /// Starts one that reaches the server at this address.
    pub(crate) fn start(plane: &Plane, address: &str, session: &str, name: &str) -> Self {
        Self::start_in(ReplicaFolder::default(), plane.token(), address, session, name)
    }

    fn start_in(folder: ReplicaFolder, token: &str, addresses: &str, session: &str, name: &str) -> Self {
        let flags = ["--replica", folder.text()];
        let daemon = Daemon::start_at(addresses, token, session, name, &flags);
        let (token, addresses) = (token.to_owned(), addresses.to_owned());
        Self { name: name.to_owned(), folder, daemon, token, addresses, session: session.to_owned() }
    }

    /// Kills it, and starts another instance on what it left.
    pub(crate) fn kill_and_restart(self) -> Self {
        let Self { name, folder, mut daemon, token, addresses, session } = self;
        daemon.process.kill();
        Self::start_in(folder, &token, &addresses, &session, &name)
    }

    /// Starts another one of the same name at another server, on what this one holds.
    pub(crate) fn start_on(plane: &Plane, former: Self, session: &str) -> Self {
        let Self { name, folder, mut daemon, .. } = former;
        daemon.process.kill();
        Self::start_in(folder, plane.token(), &plane.address, session, &name)
    }

    /// What it holds, which must verify.
    pub(crate) fn verified(&self) -> Held {
        self.folder.verified()
    }
}

/// Starts these, each behind a proxy of its own, and waits until they are in sync.
pub(crate) async fn behind_proxies(
    plane: &Plane,
    client: &Client,
    session: &str,
    names: &[&str],
) -> Vec<(Proxy, KeptNode)> {
    let mut nodes = Vec::new();
    for name in names {
        let proxy = Proxy::before(&plane.address).await;
        let node = KeptNode::start(plane, &proxy.address, session, name);
        nodes.push((proxy, node));
    }
    status::in_sync(client, session, names).await;
    nodes
}

/// Waits until these replicas end where the log does, and asserts that each is equal to it: to `whole`, of which the log
/// has the end.
pub(crate) async fn are_equal(client: &Client, session: &str, whole: &[Entry], nodes: &[&KeptNode]) {
    let retained: Vec<_> = client.events(session).await.iter().map(Entry::from).collect();
    assert!(whole.ends_with(&retained), "what was kept is not the log");
    for node in nodes {
        // The last acknowledgement may be ahead of nothing: it comes after the commit.
        eventually(
            &format!("{} ends where the log does", node.name),
            async || node.folder.held().end(),
            |end| *end == whole.len() as u64,
        )
        .await;
        node.verified().equals(whole);
    }
}
