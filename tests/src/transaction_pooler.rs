//! A transaction pooler before a Postgres, as small as one can be: a connection has a backend only while it is in a
//! transaction. What a session was told stays with the backend, whoever has it next.

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    task::JoinHandle,
};

use crate::Database;

const REQUESTS_FOR_ENCRYPTION: [u32; 2] = [80_877_103, 80_877_104];
const AUTHENTICATION_OK: [u8; 9] = [b'R', 0, 0, 0, 8, 0, 0, 0, 0];
const READY_AND_IDLE: [u8; 6] = [b'Z', 0, 0, 0, 5, b'I'];

/// Which of the idle backends is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextBackend {
    /// The one that was used last, as most poolers do.
    LastUsed,
    /// All in turn.
    InTurn,
}

/// A pooler; it ends when dropped.
#[derive(Debug)]
pub struct TransactionPooler {
    /// For `DATABASE_URL`.
    pub url: String,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Backends {
    socket: PathBuf,
    next: NextBackend,
    at_least: usize,
    idle: Mutex<VecDeque<UnixStream>>,
}

impl TransactionPooler {
    /// Starts one before this database, with at least so many backends.
    pub async fn before(database: &Database, next: NextBackend, at_least: usize) -> Self {
        let options: PgConnectOptions = database.url.parse().expect("the URL is one");
        let folder = options.get_socket().expect("the tests' Postgres has a socket");
        let socket = folder.join(format!(".s.PGSQL.{}", options.get_port()));
        let backends = Arc::new(Backends { socket, next, at_least, idle: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let name = options.get_database().expect("the URL names a database");
        let url = format!("postgres://{}@{address}/{name}?sslmode=disable", options.get_username());
        let task = tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { return };
                // A client that goes away is no fault of the pooler's.
                tokio::spawn(serve(client, Arc::clone(&backends)));
            }
        });
        Self { url, task }
    }
}

impl Drop for TransactionPooler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Backends {
    async fn take(&self, startup: &[u8]) -> io::Result<UnixStream> {
        let idle = {
            let mut idle = self.idle.lock().expect("the pool is readable");
            match self.next {
                NextBackend::LastUsed => idle.pop_back(),
                NextBackend::InTurn => idle.pop_front(),
            }
        };
        match idle {
            Some(backend) => Ok(backend),
            None => self.open(startup).await,
        }
    }

    fn give_back(&self, backend: UnixStream) {
        self.idle.lock().expect("the pool is writable").push_back(backend);
    }

    async fn open(&self, startup: &[u8]) -> io::Result<UnixStream> {
        let mut backend = UnixStream::connect(&self.socket).await?;
        backend.write_all(startup).await?;
        while message(&mut backend).await?[0] != b'Z' {}
        Ok(backend)
    }
}

async fn serve(mut client: TcpStream, backends: Arc<Backends>) -> io::Result<()> {
    let startup = startup(&mut client).await?;
    let idle = backends.idle.lock().expect("the pool is readable").len();
    for _ in idle..backends.at_least {
        let backend = backends.open(&startup).await?;
        backends.give_back(backend);
    }
    client.write_all(&AUTHENTICATION_OK).await?;
    client.write_all(&READY_AND_IDLE).await?;
    let mut held = None;
    loop {
        let asked = message(&mut client).await?;
        let backend = match &mut held {
            Some(backend) => backend,
            None => held.insert(backends.take(&startup).await?),
        };
        if asked[0] == b'X' {
            break;
        }
        backend.write_all(&asked).await?;
        // A query and a sync are answered to the end; the others are parts of what a sync ends.
        if matches!(asked[0], b'Q' | b'S') && answer(backend, &mut client).await? {
            held.take().into_iter().for_each(|backend| backends.give_back(backend));
        }
    }
    held.into_iter().for_each(|backend| backends.give_back(backend));
    Ok(())
}

/// Passes an answer on; whether no transaction is open after it.
async fn answer(backend: &mut UnixStream, client: &mut TcpStream) -> io::Result<bool> {
    loop {
        let answered = message(backend).await?;
        client.write_all(&answered).await?;
        if answered[0] == b'Z' {
            return Ok(answered[5] == b'I');
        }
    }
}

async fn startup(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    loop {
        let length = client.read_u32().await?;
        let mut startup = length.to_be_bytes().to_vec();
        client.take(u64::from(length - 4)).read_to_end(&mut startup).await?;
        let code: [u8; 4] = startup[4..8].try_into().expect("four bytes");
        if !REQUESTS_FOR_ENCRYPTION.contains(&u32::from_be_bytes(code)) {
            return Ok(startup);
        }
        client.write_all(b"N").await?;
    }
}

/// One message of the protocol: its letter, its length, and the rest.
async fn message(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let (letter, length) = (from.read_u8().await?, from.read_u32().await?);
    let mut message = vec![letter];
    message.extend(length.to_be_bytes());
    message.resize(1 + usize::try_from(length).expect("a length of a test"), 0);
    from.read_exact(&mut message[5..]).await?;
    Ok(message)
}
