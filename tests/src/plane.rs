//! A control plane under test: `rollcall serve` as a process.

use std::{io, path::PathBuf, process::Command};

use client_tls::Trust;
use contracts::ParticipantId;
use control_plane::auth::tokens::Scope;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use uuid::Uuid;

use crate::{
    Authority, Client, Database, Process,
    binaries::binary,
    keys::{key_ring_file, token, user_scopes},
    wait::eventually,
};

/// How a control plane is started.
#[derive(Clone, Debug)]
pub struct PlaneOptions {
    listen: String,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
    participant: ParticipantId,
    token: String,
    tls: Option<Tls>,
}

/// How a control plane is called by TLS.
#[derive(Clone, Debug)]
struct Tls {
    authority: Authority,
    name: String,
}

impl Default for PlaneOptions {
    /// The defaults of the product, on a free port, with a token of its own.
    fn default() -> Self {
        let participant = ParticipantId(Uuid::now_v7());
        Self {
            listen: "127.0.0.1:0".to_owned(),
            flags: Vec::new(),
            environment: Vec::new(),
            participant,
            token: token(participant, user_scopes()),
            tls: None,
        }
    }
}

impl PlaneOptions {
    /// Intervals and thresholds short enough for a test, in the proportions of the defaults. `beat` is a
    /// `--heartbeat-interval` in milliseconds.
    #[must_use]
    pub fn beat_every_ms(self, beat: u32) -> Self {
        let ms = |value: u32| format!("{value}ms");
        self.flag("--heartbeat-interval", &ms(beat))
            .flag("--sweep-interval", &ms(beat / 3))
            .flag("--degraded-after", &ms(beat * 2))
            .flag("--offline-after", &ms(beat * 4))
            .flag("--brake-hold", &ms(beat * 4))
    }

    /// Adds a flag of `rollcall serve`; a later one of the same name replaces it.
    #[must_use]
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.retain(|flag| !flag.starts_with(&format!("{name}=")));
        self.flags.push(format!("{name}={value}"));
        self
    }

    /// Listens there.
    #[must_use]
    pub fn listen(self, address: &str) -> Self {
        Self { listen: address.to_owned(), ..self }
    }

    /// Serves by TLS with the files of this authority, and calls it by this name.
    #[must_use]
    pub fn tls(self, authority: &Authority, name: &str) -> Self {
        let path = |path: PathBuf| path.to_str().expect("paths of tests are UTF-8").to_owned();
        let options = self
            .flag("--tls-cert", &path(authority.certificate_file()))
            .flag("--tls-key", &path(authority.key_file()));
        Self { tls: Some(Tls { authority: authority.clone(), name: name.to_owned() }), ..options }
    }

    /// The same, but in clear.
    #[must_use]
    pub fn in_clear(mut self) -> Self {
        self.flags.retain(|flag| !flag.starts_with("--tls-"));
        Self { tls: None, ..self }
    }

    /// Adds a variable of the environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running control plane.
#[derive(Debug)]
pub struct Plane {
    /// The process.
    pub process: Process,
    /// Its database.
    pub database: Database,
    /// `host:port` it listens on.
    pub address: String,
    options: PlaneOptions,
}

impl Plane {
    /// Starts one on a database of its own and waits until it is active.
    pub async fn start(options: PlaneOptions) -> Self {
        Self::start_on(Database::new().await, options).await
    }

    /// Starts one on this database and waits until it is active.
    pub async fn start_on(database: Database, options: PlaneOptions) -> Self {
        let plane = Self::launch(database, options).await;
        plane.active().await;
        plane
    }

    /// Starts one on this database and waits until it listens.
    pub async fn launch(database: Database, options: PlaneOptions) -> Self {
        let process = Process::start(
            "rollcall serve",
            Command::new(binary("rollcall"))
                .args(["serve", "--listen", &options.listen])
                .args(&options.flags)
                .envs(options.environment.iter().cloned())
                .env("DATABASE_URL", &database.url)
                .env("ROLLCALL_TOKEN_KEYS", key_ring_file()),
        );
        let listening = process.logged("listening").await;
        let address = listening["address"].as_str().expect("the address is logged").to_owned();
        Self { process, database, address, options }
    }

    /// Waits until it is active.
    pub async fn active(&self) {
        eventually(
            "the control plane is active",
            async || self.http("/health/active").await,
            |(status, body)| *status == 200 && body.starts_with("active"),
        )
        .await;
    }

    /// Kills it with SIGKILL and starts it again, at the same address.
    pub async fn kill_and_restart(self) -> Self {
        let Self { mut process, database, address, options } = self;
        process.kill();
        Self::start_on(database, PlaneOptions { listen: address, ..options }).await
    }

    /// What it takes to start the same one again.
    pub fn options_here(&self) -> PlaneOptions {
        PlaneOptions { listen: self.address.clone(), ..self.options.clone() }
    }

    /// What it takes to start one more like it beside it.
    pub fn options_beside(&self) -> PlaneOptions {
        PlaneOptions { listen: "127.0.0.1:0".to_owned(), ..self.options.clone() }
    }

    /// Its token.
    pub fn token(&self) -> &str {
        &self.options.token
    }

    /// The participant of its token.
    pub fn participant(&self) -> ParticipantId {
        self.options.participant
    }

    /// A client of an admin who is nobody's member.
    pub async fn admin(&self) -> Client {
        self.client_with(&token(ParticipantId(Uuid::now_v7()), Scope::Admin)).await
    }

    /// A client of a participant who is nobody's member yet.
    pub async fn stranger(&self) -> (ParticipantId, Client) {
        let participant = ParticipantId(Uuid::now_v7());
        (participant, self.client_with(&token(participant, user_scopes())).await)
    }

    /// `http://host:port`, or `https://`.
    pub fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// A client with its token.
    pub async fn client(&self) -> Client {
        self.client_with(self.token()).await
    }

    async fn client_with(&self, token: &str) -> Client {
        let trust = match &self.options.tls {
            Some(tls) => tls.authority.trust().expecting(&tls.name).expect("the name is one"),
            None => Trust::of_system(),
        };
        Client::connect_by(&trust, &self.url(), token).await
    }

    /// What the programs of clients have in their environment to trust it.
    pub fn trusting(&self) -> Vec<(&'static str, String)> {
        self.options.tls.as_ref().map_or_else(Vec::new, |tls| {
            let file = tls.authority.file().to_str().expect("paths of tests are UTF-8").to_owned();
            vec![("ROLLCALL_CA_CERT", file), ("ROLLCALL_TLS_SERVER_NAME", tls.name.clone())]
        })
    }

    /// The CLI with its address and token in the environment.
    pub fn cli(&self, arguments: &[&str]) -> std::process::Output {
        self.cli_with(self.token(), arguments)
    }

    /// The CLI as an admin has it.
    pub fn admin_cli(&self, arguments: &[&str]) -> std::process::Output {
        self.cli_with(&token(ParticipantId(Uuid::now_v7()), Scope::Admin), arguments)
    }

    fn cli_with(&self, token: &str, arguments: &[&str]) -> std::process::Output {
        Command::new(binary("rollcall"))
            .args(arguments)
            .env("ROLLCALL_ADDR", self.url())
            .env("ROLLCALL_TOKEN", token)
            .envs(self.trusting())
            .output()
            .expect("the command line runs")
    }

    /// The CLI with its address and the token of an admin who is nobody's member.
    pub fn cli_as_admin(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(binary("rollcall"))
            .args(arguments)
            .env("ROLLCALL_ADDR", self.url())
            .env("ROLLCALL_TOKEN", token(ParticipantId(Uuid::now_v7()), Scope::Admin))
            .output()
            .expect("the command line runs")
    }

    /// Status and body of a plain HTTP GET; status 0 when there is no answer.
    pub async fn http(&self, path: &str) -> (u16, String) {
        let get = async {
            match &self.options.tls {
                Some(tls) => get(tls.authority.connect(&self.address, &tls.name).await?, path).await,
                None => get(TcpStream::connect(&self.address).await?, path).await,
            }
        };
        let Ok(answer) = get.await else { return (0, String::new()) };
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, body.to_owned())
    }

    /// The value of a metric, by the whole of its name and labels as `/metrics` shows them.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.http("/metrics").await;
        let line = text.lines().find(|line| line.rsplit_once(' ').is_some_and(|(key, _)| key == name))?;
        line.rsplit_once(' ').and_then(|(_, value)| value.parse().ok())
    }
}

async fn get(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: rollcall\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
