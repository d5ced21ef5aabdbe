//! A TCP proxy that can cut and stall what goes through it.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What happens to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// They pass.
    Passing,
    /// They are held back, and connections stay open.
    Stalled,
    /// Connections are closed, and new ones refused at once.
    Cut,
}

/// A proxy before one address; it ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    /// `host:port` to connect to.
    pub address: String,
    mode: Arc<watch::Sender<Mode>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts one before `target`, passing.
    pub async fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address").to_string();
        let mode = Arc::new(watch::Sender::new(Mode::Passing));
        let task = tokio::spawn(accept(listener, target.to_owned(), Arc::clone(&mode)));
        Self { address, mode, task }
    }

    /// Lets bytes pass again.
    pub fn pass(&self) {
        self.mode.send_replace(Mode::Passing);
    }

    /// Holds bytes back; connections stay open.
    pub fn stall(&self) {
        self.mode.send_replace(Mode::Stalled);
    }

    /// Closes all connections, and each new one.
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: String, mode: Arc<watch::Sender<Mode>>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        if *mode.borrow() == Mode::Cut {
            continue;
        }
        let Ok(server) = TcpStream::connect(&target).await else { continue };
        let mut cut = mode.subscribe();
        let (client, server) = (client.into_split(), server.into_split());
        let there = pump(client.0, server.1, mode.subscribe());
        let back = pump(server.0, client.1, mode.subscribe());
        tokio::spawn(async move {
            tokio::select! {
                _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
                () = there => {}
                () = back => {}
            }
        });
    }
}

async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut mode: watch::Receiver<Mode>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if mode.wait_for(|mode| *mode == Mode::Passing).await.is_err() {
            return;
        }
        let Ok(bytes) = from.read(&mut buffer).await else { return };
        // What was read while it was stalled waits like the rest.
        if bytes == 0 || mode.wait_for(|mode| *mode == Mode::Passing).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
}
