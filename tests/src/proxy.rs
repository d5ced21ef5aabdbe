//! A TCP proxy that can cut and stall what goes through it, all of it or the connections of one name.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    net::{TcpListener, TcpStream, UnixStream},
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
    /// Those of connections that began with this are held back, the others pass.
    StalledOnly(&'static str),
    /// Connections are closed, and new ones refused at once.
    Cut,
    /// Those that began with this are closed, and new ones once they say so; the others pass.
    CutOnly(&'static str),
}

impl Mode {
    fn passes(self, beginning: &[u8]) -> bool {
        match self {
            Self::Passing => true,
            Self::Stalled | Self::Cut => false,
            Self::StalledOnly(name) | Self::CutOnly(name) => !says(beginning, name),
        }
    }

    fn cuts(self, beginning: &[u8]) -> bool {
        match self {
            Self::Passing | Self::Stalled | Self::StalledOnly(_) => false,
            Self::Cut => true,
            Self::CutOnly(name) => says(beginning, name),
        }
    }
}

fn says(beginning: &[u8], name: &str) -> bool {
    beginning.windows(name.len()).any(|window| window == name.as_bytes())
}

/// What is behind a proxy.
#[derive(Clone, Debug)]
enum Target {
    Tcp(String),
    Socket(PathBuf),
}

/// A proxy before one address; it ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    /// `host:port` to connect to.
    pub address: String,
    mode: Arc<watch::Sender<Mode>>,
    target: Arc<Mutex<Target>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts one before `target`, passing.
    pub async fn before(target: &str) -> Self {
        Self::start(Target::Tcp(target.to_owned())).await
    }

    /// Starts one before a unix socket, passing.
    pub async fn before_socket(path: PathBuf) -> Self {
        Self::start(Target::Socket(path)).await
    }

    async fn start(target: Target) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address").to_string();
        let mode = Arc::new(watch::Sender::new(Mode::Passing));
        let target = Arc::new(Mutex::new(target));
        let task = tokio::spawn(accept(listener, Arc::clone(&target), Arc::clone(&mode)));
        Self { address, mode, target, task }
    }

    /// New connections go to this unix socket; those that are open stay where they are.
    pub fn lead_to_socket(&self, path: PathBuf) {
        *self.target.lock().expect("the target is writable") = Target::Socket(path);
    }

    /// Lets bytes pass again.
    pub fn pass(&self) {
        self.mode.send_replace(Mode::Passing);
    }

    /// Holds bytes back; connections stay open.
    pub fn stall(&self) {
        self.mode.send_replace(Mode::Stalled);
    }

    /// Holds back the bytes of connections whose first bytes contain this, such as the name that a client of Postgres
    /// gives itself.
    pub fn stall_only(&self, name: &'static str) {
        self.mode.send_replace(Mode::StalledOnly(name));
    }

    /// Closes all connections, and each new one.
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Closes the connections whose first bytes contain this, and each new one.
    pub fn cut_only(&self, name: &'static str) {
        self.mode.send_replace(Mode::CutOnly(name));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: Arc<Mutex<Target>>, mode: Arc<watch::Sender<Mode>>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        if *mode.borrow() == Mode::Cut {
            continue;
        }
        let target = target.lock().expect("the target is readable").clone();
        let mode = Arc::clone(&mode);
        tokio::spawn(async move {
            // An error is the end of this connection, and the client sees it.
            let _ = match target {
                Target::Tcp(address) => match TcpStream::connect(address).await {
                    Ok(server) => pass_on(client, server, &mode).await,
                    Err(error) => Err(error),
                },
                Target::Socket(path) => match UnixStream::connect(path).await {
                    Ok(server) => pass_on(client, server, &mode).await,
                    Err(error) => Err(error),
                },
            };
        });
    }
}

async fn pass_on(
    client: TcpStream,
    server: impl AsyncRead + AsyncWrite,
    mode: &watch::Sender<Mode>,
) -> std::io::Result<()> {
    let mut beginning = [0; 1_024];
    let mut cut = mode.subscribe();
    let length = tokio::select! {
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => return Ok(()),
        length = client.peek(&mut beginning) => length?,
    };
    let beginning = &beginning[..length];
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = split(server);
    tokio::select! {
        _ = cut.wait_for(|mode| mode.cuts(beginning)) => {}
        () = pump(from_client, to_server, mode.subscribe(), beginning) => {}
        () = pump(from_server, to_client, mode.subscribe(), beginning) => {}
    }
    Ok(())
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mode: watch::Receiver<Mode>,
    beginning: &[u8],
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if mode.wait_for(|mode| mode.passes(beginning)).await.is_err() {
            return;
        }
        let Ok(bytes) = from.read(&mut buffer).await else { return };
        // What was read while it was stalled waits like the rest.
        if bytes == 0 || mode.wait_for(|mode| mode.passes(beginning)).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
}
