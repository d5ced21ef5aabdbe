//! The listener of a server, and what is said when it cannot be had.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::net::TcpListener;

/// Binds first, so that a taken port is told before anything else is started.
pub(super) async fn bind(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => bail!(
            "{address} is taken: something listens there already, perhaps another rollcall\n\
             hint: stop it, or choose another address with --listen (port 0 takes any free one)"
        ),
        Err(error) => return Err(error).with_context(|| format!("cannot listen on {address}")),
    };
    let address = listener.local_addr().context("the listener has no address")?;
    Ok((listener, address))
}
