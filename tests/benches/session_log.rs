//! What the logs of sessions carry, beside what the same Postgres and the same disk carry without Rollcall.
//!
//! ```sh
//! cargo bench -p tests --bench session_log --profile drill
//! ```
//!
//! Each part has a server and a Postgres of its own, which is thrown away. What is committed there is on the disk:
//! `fsync` and `synchronous_commit` are on. The measures of a part are taken in turn, and that for a few
//! rounds, so that what slows the machine for a while slows them all. Shown are the medians of the rounds; rates also
//! with the lowest and the highest.
//!
//! - **Appends**, by writers that each have a connection and one call unanswered. The floor is what as many connections
//!   to Postgres do with the same payloads: each call inserts them as rows into a plain table and commits. That is the
//!   least that any durable log on this Postgres does for a call of its own. It has no chain, no order among writers and
//!   no repeats to find, and nobody asks who may append. An append may beat it only by sharing its commit.
//! - **A catch-up** of a new replica that lacks a whole log. Its floors are what nobody can leave out: the rows have to
//!   be read, here by one plain `select` in their order; and to be written, here into a plain table of a SQLite file in
//!   transactions that are flushed, each of as many events as are on their way to a replica at once. Beside each
//!   other, as a replica may do them, they take as long as the slower one.
//! - **Attaches** into one session and into many. The two are each other's floor: they differ in nothing but what nodes
//!   of one session share. The first and the last quarter of the nodes tell whether those that are there already matter.

use std::time::{Duration, Instant};

use client_tls::Trust;
use daemon_client::{Health, Token, replica};
use rusqlite::params_from_iter;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, postgres::PgRow};
use tests::{Appending, Attaching, Plane, PlaneOptions, PrivatePostgres, ReplicaFolder};
use tokio::task::JoinSet;
use uuid::Uuid;

const ROUNDS: usize = 3;
const PAYLOAD_BYTES: usize = 256;

/// Writers that append at once.
const WRITERS: [usize; 3] = [1, 8, 64];
/// Sessions that they append to, in turn.
const SESSIONS: [usize; 2] = [1, 64];
/// Events of one call.
const BATCHES: [usize; 2] = [1, 100];
/// How long one measure of appends goes on.
const SPELL: Duration = Duration::from_secs(1);

/// Events that the replica lacks.
const LACKED: usize = 100_000;
/// Events of one call, where it is not measured how long they take.
const FILLED: usize = 500;
/// Rows of one transaction of the plain file: the server's bound on events on their way to one replica.
const ROWS_FLUSHED: usize = 1_024;

/// Nodes that attach.
const NODES: usize = 2_000;
/// Sessions that they attach into.
const HOMES: [usize; 2] = [1, 100];
/// Connections that they attach over, each with one attach unanswered.
const CONNECTIONS: usize = 16;

/// A server, and the Postgres that is its own.
struct Bed {
    plane: Plane,
    postgres: PrivatePostgres,
}

impl Bed {
    async fn make() -> Self {
        // No parameters: what is committed is flushed.
        let postgres = PrivatePostgres::start_with(&[]).await;
        // Nodes that only attach are silent, and nobody is to look after them meanwhile.
        let options = PlaneOptions::default()
            .flag("--session-nodes-max", &NODES.to_string())
            .flag("--degraded-after", "1h")
            .flag("--offline-after", "2h");
        let plane = Plane::start_on(postgres.database().await, options).await;
        Self { plane, postgres }
    }

    /// Sessions whose logs are made, as the first event of each does.
    async fn sessions(&self, count: usize) -> Vec<String> {
        let (client, mut sessions) = (self.plane.client().await, Vec::new());
        for _ in 0..count {
            sessions.push(client.session().await);
            client.say(&sessions[sessions.len() - 1], "bench.first").await;
        }
        sessions
    }

    async fn postgres(&self) -> PgConnection {
        PgConnection::connect(&self.plane.database.url).await.expect("Postgres answers")
    }

    /// Transactions of appends so far, their events, and their seconds, as the server counts.
    async fn groups(&self) -> [f64; 3] {
        let mut counted = [0.0; 3];
        for (counted, what) in counted.iter_mut().zip(["events_count", "events_sum", "seconds_sum"]) {
            let metric = format!("rollcall_log_group_{what}");
            *counted = self.plane.metric(&metric).await.unwrap_or_default();
        }
        counted
    }

    async fn end(self) {
        drop(self.plane);
        self.postgres.end().await;
    }
}

/// Lets writers go on side by side, which give what each of their calls took; each did `size` of what is counted.
/// Gives how many that is a second, and the median and the 99th percentile of the calls in milliseconds.
async fn side_by_side<W>(writers: Vec<W>, size: usize) -> [f64; 3]
where
    W: Future<Output = Vec<Duration>> + Send + 'static,
{
    let began = Instant::now();
    let taken = JoinSet::from_iter(writers).join_all().await.concat();
    let rate = (taken.len() * size) as f64 / began.elapsed().as_secs_f64();
    let taken: Vec<_> = taken.into_iter().map(ms).collect();
    [rate, median(taken.clone()), percentile(99, taken)]
}

/// One of the numbers of each round.
fn column<const N: usize>(rounds: &[[f64; N]], which: usize) -> Vec<f64> {
    rounds.iter().map(|round| round[which]).collect()
}

/// The value that so many percent are not above.
fn percentile(percent: usize, mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * percent / 100]
}

fn median(values: Vec<f64>) -> f64 {
    percentile(50, values)
}

/// The median with the lowest and the highest.
fn shown(rates: &[f64]) -> String {
    let [low, median, high] = [0, 50, 100].map(|percent| percentile(percent, rates.to_vec()));
    format!("{median:>8.0} ({low:.0} to {high:.0})")
}

fn ms(taken: Duration) -> f64 {
    taken.as_secs_f64() * 1_000.0
}

fn append_of(session: &str, events: usize) -> Appending {
    let payload = "x".repeat(PAYLOAD_BYTES);
    (0..events).fold(Appending::new(session), |append, _| append.event("bench.step", &payload))
}

/// Calls until the spell is over, and gives what each call took.
async fn for_a_spell(mut call: impl AsyncFnMut(usize)) -> Vec<Duration> {
    let (began, mut taken) = (Instant::now(), Vec::new());
    while began.elapsed() < SPELL {
        let called = Instant::now();
        call(taken.len()).await;
        taken.push(called.elapsed());
    }
    taken
}

/// One line of the table of appends.
struct Appends {
    writers: usize,
    batch: usize,
    /// None is the floor.
    sessions: Option<usize>,
    /// Of each round: events a second, the median and the 99th percentile of the calls; and, as the server counts, the
    /// events of a transaction and what it took. Times are in milliseconds.
    rounds: Vec<[f64; 5]>,
}

impl Appends {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for (batch, writers) in BATCHES.into_iter().flat_map(|batch| WRITERS.map(|writers| (batch, writers)))
        {
            let line = |sessions| Self { writers, batch, sessions, rounds: Vec::new() };
            all.push(line(None));
            all.extend(SESSIONS.map(Some).map(line));
        }
        all
    }

    async fn append(&mut self, bed: &Bed, sessions: &[String]) {
        let before = bed.groups().await;
        let mut writers = Vec::new();
        for writer in 0..self.writers {
            let (client, sessions, batch) = (bed.plane.client().await, sessions.to_vec(), self.batch);
            writers.push(for_a_spell(async move |call| {
                let append = append_of(&sessions[(writer + call) % sessions.len()], batch);
                client.append(&append).await.expect("the events are taken");
            }));
        }
        let [rate, p50, p99] = side_by_side(writers, self.batch).await;
        let after = bed.groups().await;
        let [count, events, seconds] = [0, 1, 2].map(|at| after[at] - before[at]);
        self.rounds.push([rate, p50, p99, events / count, seconds * 1_000.0 / count]);
    }

    async fn insert(&mut self, bed: &Bed) {
        let mut writers = Vec::new();
        for _ in 0..self.writers {
            let (mut db, payloads) = (bed.postgres().await, vec![vec![b'x'; PAYLOAD_BYTES]; self.batch]);
            writers.push(for_a_spell(async move |_| {
                let insert = match &payloads[..] {
                    [one] => sqlx::query("insert into plain (payload) values ($1)").bind(one),
                    many => sqlx::query("insert into plain (payload) select unnest($1::bytea[])").bind(many),
                };
                insert.execute(&mut db).await.expect("rows can be inserted");
            }));
        }
        let [rate, p50, p99] = side_by_side(writers, self.batch).await;
        self.rounds.push([rate, p50, p99, f64::NAN, f64::NAN]);
    }

    /// Prints it, and gives its rate.
    fn show(&self, floor: f64) -> f64 {
        let into = self.sessions.map_or("floor".to_owned(), |sessions| format!("{sessions} sess."));
        let [rate, p50, p99, events, ms] = [0, 1, 2, 3, 4].map(|which| median(column(&self.rounds, which)));
        let rates = shown(&column(&self.rounds, 0));
        print!("{:>7} {:>6}  {into:<9} {rates:<26} {p50:>8.2} {p99:>8.2}", self.writers, self.batch);
        match self.sessions {
            None => println!(),
            Some(_) => println!(" {:>6.2} x floor {events:>6.0} {ms:>7.2}", rate / floor),
        }
        rate
    }
}

async fn appends() {
    let bed = Bed::make().await;
    let create = "create table plain (id bigserial primary key, payload bytea not null)";
    sqlx::query(create).execute(&mut bed.postgres().await).await.expect("a table can be made");
    let sessions = bed.sessions(SESSIONS[SESSIONS.len() - 1]).await;
    let mut lines = Appends::all();
    for _ in 0..ROUNDS {
        for line in &mut lines {
            match line.sessions {
                None => line.insert(&bed).await,
                Some(count) => line.append(&bed, &sessions[..count]).await,
            }
        }
    }
    println!("\nAppends of {PAYLOAD_BYTES} bytes, {ROUNDS} rounds of {SPELL:?}; times in ms");
    println!(
        "writers events  into      events/s                        p50      p99         events, time of a commit"
    );
    let mut floor = f64::NAN;
    for line in &lines {
        let rate = line.show(floor);
        floor = line.sessions.map_or(rate, |_| floor);
    }
    bed.end().await;
}

/// A new replica of this session, until it is in sync.
async fn catch_up(plane: &Plane, session: &str, node: &str) -> Duration {
    let folder = ReplicaFolder::default();
    let config = daemon_client::Config {
        addresses: plane.url().parse().expect("the URL is an address"),
        token: Token::parse(plane.token()).expect("the token is one").into(),
        trust: Trust::of_system(),
        session_id: session.parse().expect("the session is one"),
        node_id: node.parse().expect("the name is one"),
        client_version: "1.0".parse().expect("the version is one"),
        health: Health::Online,
        declaration: None,
        replica: Some(replica::Config::new(folder.path())),
    };
    let began = Instant::now();
    let handle = daemon_client::start(config);
    let mut status = handle.replica().expect("it keeps one").status();
    let in_sync = status.wait_for(replica::Status::is_in_sync).await.expect("the client runs").clone();
    let taken = began.elapsed();
    assert!(in_sync.position.is_some_and(|held| held.end.seq.get() >= LACKED as u64), "{in_sync:?}");
    handle.detach("").await;
    taken
}

/// What a replica gets of an event.
const COLUMNS: &str = "seq, event_id, epoch, envelope_version, type, key, actor, content_type, payload, \
                       occurred_at, recorded_at, prev_hash, hash";

/// Writes rows into a new file, their values as they came. They are taken out of the rows before it is measured.
fn write(rows: &[PgRow]) -> Duration {
    let value = |row: &PgRow, column| {
        let value = row.try_get_raw(column).expect("the column is there");
        value.as_bytes().ok().map(<[u8]>::to_vec)
    };
    let values = |row: &PgRow| (0..row.len()).map(|column| value(row, column)).collect::<Vec<_>>();
    let rows: Vec<_> = rows.iter().map(values).collect();
    let folder = ReplicaFolder::default();
    std::fs::create_dir(folder.path()).expect("a folder can be made");
    let mut file = rusqlite::Connection::open(folder.path().join("plain.db")).expect("a file can be made");
    // As a replica has it: a commit is on the disk.
    file.pragma_update(None, "journal_mode", "wal").expect("it can be set");
    file.pragma_update(None, "synchronous", "full").expect("it can be set");
    file.execute(&format!("create table plain ({COLUMNS})"), []).expect("a table can be made");
    let insert = format!("insert into plain values ({})", vec!["?"; rows[0].len()].join(", "));
    let began = Instant::now();
    for rows in rows.chunks(ROWS_FLUSHED) {
        let transaction = file.transaction().expect("a transaction can begin");
        for row in rows {
            let mut insert = transaction.prepare_cached(&insert).expect("the statement is one");
            insert.execute(params_from_iter(row)).expect("a row can be written");
        }
        transaction.commit().expect("it can be committed");
    }
    began.elapsed()
}

async fn catch_ups() {
    let bed = Bed::make().await;
    let client = bed.plane.client().await;
    let session = &bed.sessions(1).await[0];
    for _ in 0..LACKED / FILLED {
        client.append(&append_of(session, FILLED)).await.expect("the events are taken");
    }
    let id: Uuid = session.parse().expect("the session is an id");
    let select = format!("select {COLUMNS} from session_events where session_id = $1 order by seq");
    let mut db = bed.postgres().await;
    let [mut replicas, mut reads, mut writes] = [const { Vec::new() }; 3];
    for round in 0..ROUNDS {
        let (began, rows) = (Instant::now(), sqlx::query(AssertSqlSafe(select.clone())).bind(id));
        let rows = rows.fetch_all(&mut db).await.expect("the events can be read");
        let reading = began.elapsed();
        let count = rows.len() as f64;
        let writing = tokio::task::spawn_blocking(move || write(&rows)).await.expect("they are written");
        let catching_up = catch_up(&bed.plane, session, &format!("replica-{round}")).await;
        for (rates, taken) in [(&mut replicas, catching_up), (&mut reads, reading), (&mut writes, writing)] {
            rates.push(count / taken.as_secs_f64());
        }
    }
    println!("\nCatch-up of {LACKED} events of {PAYLOAD_BYTES} bytes, {ROUNDS} rounds, events/s");
    println!("replica              {}", shown(&replicas));
    for (floor, rates) in [("floor: one select", reads), ("floor: plain SQLite", writes)] {
        let of_floor = median(replicas.clone()) / median(rates.clone());
        println!("{floor:<20} {:<32} replica is {of_floor:.2} x", shown(&rates));
    }
    bed.end().await;
}

/// Attaches into these sessions; gives how many a second, of the first quarter, of the last, and the median in ms.
async fn attach(bed: &Bed, sessions: &[String]) -> [f64; 4] {
    let (mut connections, mut clients) = (JoinSet::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        clients.push(bed.plane.client().await);
    }
    let began = Instant::now();
    for (connection, client) in clients.into_iter().enumerate() {
        let sessions = sessions.to_vec();
        connections.spawn(async move {
            let mut done = Vec::new();
            for node in (connection..NODES).step_by(CONNECTIONS) {
                let name = format!("node-{}", Uuid::new_v4());
                let attaching = Attaching::new(&sessions[node % sessions.len()], &name).declaring(&["codex"]);
                let called = Instant::now();
                client.attach(&attaching).await.expect("the node is let in");
                done.push((began.elapsed(), called.elapsed()));
            }
            done
        });
    }
    let mut done = connections.join_all().await.concat();
    done.sort_unstable();
    let at = |nodes: usize| done[nodes - 1].0.as_secs_f64();
    let (quarter, before_last) = (NODES / 4, NODES - NODES / 4);
    let last = at(NODES) - at(before_last);
    let taken = median(done.iter().map(|(_, taken)| ms(*taken)).collect());
    [NODES as f64 / at(NODES), quarter as f64 / at(quarter), quarter as f64 / last, taken]
}

async fn attaches() {
    let bed = Bed::make().await;
    let mut rounds = HOMES.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (homes, rounds) in HOMES.into_iter().zip(&mut rounds) {
            let sessions = bed.sessions(homes).await;
            rounds.push(attach(&bed, &sessions).await);
        }
    }
    println!("\nAttaches of {NODES} nodes over {CONNECTIONS} connections, {ROUNDS} rounds");
    println!("into            attaches/s                   first quarter  last quarter       p50");
    for (homes, rounds) in HOMES.into_iter().zip(&rounds) {
        let [first, last, taken] = [1, 2, 3].map(|which| median(column(rounds, which)));
        let rates = shown(&column(rounds, 0));
        println!("{homes:>3} sessions    {rates:<26} {first:>13.0} {last:>13.0} {taken:>6.1} ms");
    }
    bed.end().await;
}

#[tokio::main]
async fn main() {
    appends().await;
    catch_ups().await;
    attaches().await;
}
