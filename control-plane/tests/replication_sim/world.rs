//! The world: who is in it, what happens next, and when it is over.

use std::collections::{BTreeMap, VecDeque};

use contracts::{NodeId, RecoveryId, log::LogPoint};
use control_plane::replication::engine::{
    Act, Assigned, Budget, Closing, Effect, Endpoint, Engine, Epoch, Intent, Record, ReplicaId, Row,
    Settings, Stream, Tick,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::time::Duration;
use uuid::Uuid;

use crate::{
    database::{Base, Database},
    driver::Task,
    replica::{Down, Introduced, Replica, Up},
};

/// How long things go wrong, in milliseconds of the simulated clock.
const CHAOS: u64 = 4_000;
/// How long it may take until everything is settled once nothing goes wrong any more.
const QUIET: u64 = 120_000;

/// What is to happen.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// Something goes wrong, or is appended, pruned and so on.
    Chance,
    /// The first message on its way down a stream arrives.
    ToReplica(u64),
    /// The first message on its way up arrives.
    ToServer(u64),
    /// The driver of a stream does what it was told.
    Task(u64, Task),
    /// A replica acknowledges what it has.
    Acknowledge(u64),
    /// A replica opens a stream.
    Connect(usize),
    /// The server notices that a stream is gone.
    Gone(u64),
    /// The server hears of an append.
    Notice(Epoch, LogPoint),
    /// The first record in line is written.
    Write(Epoch),
    /// The database has pruned, or failed to.
    Pruned { epoch: Epoch, tail: u64, works: bool },
    /// A server becomes active.
    Promote,
    /// Time goes on for the engine.
    Tick,
}

/// A node and its replica.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) replica: Replica,
    pub(crate) link: Option<u64>,
    /// It follows another history, and waits for its operator.
    pub(crate) halted: Option<Closing>,
}

/// A stream, with what is on its way on it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) stream: Stream,
    pub(crate) node: usize,
    pub(crate) up: VecDeque<Up>,
    pub(crate) down: VecDeque<Down>,
    last_up: u64,
    last_down: u64,
    pub(crate) is_open_at_server: bool,
    pub(crate) is_open_at_replica: bool,
    pub(crate) introduced: Option<Introduced>,
    /// What the replica had when it opened this stream it has no more.
    pub(crate) is_outdated: bool,
    pub(crate) base: Option<Base>,
}

/// What was seen in a run, so that a simulation which shows nothing does not pass for one that does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(pub(crate) BTreeMap<&'static str, u64>);

impl Tally {
    pub(crate) fn saw(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }

    /// Nothing that the simulation is there for never happened.
    pub(crate) fn shows_everything(&self) {
        let expected = [
            "zero gap",
            "catch up",
            "catch up after a cut",
            "cut alone",
            "rebuild from a checkpoint",
            "rebuild from the state",
            "bad checkpoint",
            "completed",
            "pruned",
            "prune failed",
            "lost commits",
            "restored",
            "takeover",
            "ended in order",
            "stale input",
            "broken rule",
            "close: ForeignHistory",
            "close: Superseded",
            "close: OutOfStep",
            "close: HandshakeTimeout",
            "close: BudgetSpent",
            "close: PinExpired",
            "close: EventMissing",
            "close: BaseFailed",
            "close: OverRetention",
            "close: Removed",
            "close: EpochOver",
            "reason: BehindTail",
            "reason: BaseBeyondHead",
            "reason: NothingInCommon",
            "reason: BudgetSpent",
            "reason: OverRetention",
            "reason: DeclaredBefore",
            "reason: Unreplayable",
        ];
        let missing: Vec<_> = expected.iter().filter(|what| !self.0.contains_key(*what)).collect();
        assert!(missing.is_empty(), "never happened: {missing:?}");
    }
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) rng: StdRng,
    verbose: bool,
    pub(crate) now: u64,
    queue: BTreeMap<(u64, u32, u64), Item>,
    count: u64,
    pub(crate) db: Database,
    pub(crate) engine: Option<Engine>,
    pub(crate) epoch: Epoch,
    pub(crate) settings: Settings,
    pub(crate) nodes: Vec<Node>,
    pub(crate) links: BTreeMap<u64, Link>,
    pub(crate) records: VecDeque<(ReplicaId, Record)>,
    recoveries: u128,
    pub(crate) is_quiet: bool,
    pub(crate) tally: Tally,
}

impl World {
    pub(crate) fn new(seed: u64, verbose: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let db = Database::new();
        let settings = settings(&mut rng);
        let origin = db.head();
        let node = |number: u32| Node {
            id: format!("node-{number}").parse().expect("a name"),
            replica: Replica::empty(origin),
            link: None,
            halted: None,
        };
        let nodes = (0..rng.random_range(1..=4)).map(node).collect();
        let mut world = Self {
            rng,
            verbose,
            now: 0,
            queue: BTreeMap::new(),
            count: 0,
            db,
            engine: None,
            epoch: Epoch(0),
            settings,
            nodes,
            links: BTreeMap::new(),
            records: VecDeque::new(),
            recoveries: 0,
            is_quiet: false,
            tally: Tally::default(),
        };
        for node in &world.nodes {
            world.db.generations.insert(node.id.clone(), 1);
        }
        world.promote();
        for node in 0..world.nodes.len() {
            world.soon(50, Item::Connect(node));
        }
        world.soon(5, Item::Chance);
        world
    }

    /// Runs until nothing is left to settle, and says what was seen.
    pub(crate) fn run(mut self) -> Tally {
        while let Some(((at, ..), item)) = self.queue.pop_first() {
            self.now = at;
            if self.now > CHAOS && !self.is_quiet {
                self.fall_quiet();
            }
            assert!(self.now < CHAOS + QUIET, "not settled: {}", self.standing());
            self.say(|_| format!("{item:?}"));
            self.happen(item);
            self.check();
            if self.is_quiet && self.is_settled() {
                break;
            }
        }
        self.check_the_end();
        self.tally
    }

    pub(crate) fn say(&self, what: impl FnOnce(&Self) -> String) {
        if self.verbose {
            println!("{:>6} {}", self.now, what(self));
        }
    }

    fn happen(&mut self, item: Item) {
        match item {
            Item::Chance if self.is_quiet => {}
            Item::Chance => {
                self.chance();
                self.soon(25, Item::Chance);
            }
            Item::ToReplica(link) => self.arrive_at_replica(link),
            Item::ToServer(link) => self.arrive_at_server(link),
            Item::Task(link, task) => self.task(link, task),
            Item::Acknowledge(link) => self.acknowledge(link),
            Item::Connect(node) => self.connect(node),
            Item::Gone(link) => self.gone(link),
            Item::Notice(epoch, head) => self.notice(epoch, head),
            Item::Write(epoch) => self.write(epoch),
            Item::Pruned { epoch, tail, works } => self.pruned(epoch, tail, works),
            Item::Promote => self.promote(),
            Item::Tick => {
                self.tick();
                if self.is_quiet {
                    self.soon(100, Item::Tick);
                }
            }
        }
    }

    /// Lets `item` happen within so many milliseconds, maybe at once, in no order with others of the same moment.
    pub(crate) fn soon(&mut self, within: u64, item: Item) {
        let at = self.now + self.rng.random_range(0..=within);
        self.at(at, item);
    }

    fn at(&mut self, at: u64, item: Item) {
        self.count += 1;
        let tie = self.rng.random();
        self.queue.insert((at, tie, self.count), item);
    }

    pub(crate) fn tick_now(&self) -> Tick {
        Tick::new(Duration::from_millis(self.now))
    }

    pub(crate) fn recovery(&mut self) -> RecoveryId {
        self.recoveries += 1;
        RecoveryId(Uuid::from_u128(self.recoveries))
    }

    pub(crate) fn is(&mut self, chance: f64) -> bool {
        self.rng.random_bool(chance)
    }

    /// Sends a message up a stream, in order with the others.
    pub(crate) fn send_up(&mut self, key: u64, message: Up) {
        let (now, delay) = (self.now, self.rng.random_range(0..=15));
        let Some(link) = self.links.get_mut(&key).filter(|link| link.is_open_at_replica) else { return };
        link.up.push_back(message);
        link.last_up = link.last_up.max(now + delay);
        let at = link.last_up;
        self.at(at, Item::ToServer(key));
    }

    /// Sends a message down a stream, in order with the others.
    pub(crate) fn send_down(&mut self, key: u64, message: Down) {
        let (now, delay) = (self.now, self.rng.random_range(0..=15));
        let Some(link) = self.links.get_mut(&key) else { return };
        link.down.push_back(message);
        link.last_down = link.last_down.max(now + delay);
        let at = link.last_down;
        self.at(at, Item::ToReplica(key));
    }

    fn connect(&mut self, index: usize) {
        let node = &self.nodes[index];
        if node.link.is_some() || node.halted.is_some() {
            return;
        }
        if self.engine.is_none() {
            return self.soon(100, Item::Connect(index));
        }
        let replica = ReplicaId { session_id: self.db.session, node_id: node.id.clone() };
        let key = self.links.len() as u64 + 1;
        let endpoint = Endpoint { generation: self.db.generations[&node.id], stream: key };
        let stream = Stream { replica, endpoint, epoch: self.epoch };
        let link = Link {
            stream,
            node: index,
            up: VecDeque::new(),
            down: VecDeque::new(),
            last_up: 0,
            last_down: 0,
            is_open_at_server: true,
            is_open_at_replica: true,
            introduced: None,
            is_outdated: false,
            base: None,
        };
        self.links.insert(key, link);
        let node = &mut self.nodes[index];
        node.link = Some(key);
        let introduced = node.replica.introduce();
        self.send_up(key, Up::Introduction(introduced));
    }

    /// The replica's end of its stream is gone; it opens another one later. The server may notice much later.
    pub(crate) fn lose_link(&mut self, index: usize) {
        if let Some(key) = self.nodes[index].link.take() {
            if let Some(link) = self.links.get_mut(&key) {
                link.is_open_at_replica = false;
            }
            let is_silent = !self.is_quiet && self.is(0.15);
            self.soon(if is_silent { 3_000 } else { 60 }, Item::Gone(key));
            return self.soon(if is_silent { 2_000 } else { 150 }, Item::Connect(index));
        }
        self.soon(150, Item::Connect(index));
    }

    fn arrive_at_replica(&mut self, key: u64) {
        let Some(link) = self.links.get_mut(&key) else { return };
        let (Some(message), node) = (link.down.pop_front(), link.node) else { return };
        if !link.is_open_at_replica {
            return;
        }
        if let Down::Close(closing) = message {
            link.is_open_at_replica = false;
            self.nodes[node].link = None;
            if let Closing::ForeignHistory { .. } = closing {
                self.nodes[node].halted = Some(closing);
            }
            return self.soon(150, Item::Connect(node));
        }
        let said = message.clone();
        match self.nodes[node].replica.take(message) {
            Ok(answers) => {
                for answer in answers {
                    self.send_up(key, answer);
                }
                self.soon(40, Item::Acknowledge(key));
            }
            Err(fault) => panic!("{} was sent what it cannot take: {fault}\n{said:?}", self.nodes[node].id),
        }
    }

    fn acknowledge(&mut self, key: u64) {
        let Self { links, nodes, rng, .. } = self;
        let Some(link) = links.get(&key).filter(|link| link.is_open_at_replica) else { return };
        let replica = &mut nodes[link.node].replica;
        let message = replica
            .acknowledge(|left| if rng.random_bool(0.7) { left - 1 } else { rng.random_range(0..left) });
        if let Some(message) = message {
            self.send_up(key, message);
            self.soon(30, Item::Acknowledge(key));
        } else if let Some(late) = replica.late_acknowledgement().filter(|_| rng.random_bool(0.2)) {
            self.send_up(key, late);
        }
    }

    /// What the database says that the replicas of the log are.
    pub(crate) fn intent(&self) -> Intent {
        let assigned = |node: &Node| Assigned {
            generation: self.db.generations[&node.id],
            row: self.db.rows.get(&node.id).copied().unwrap_or(Row::Absent),
        };
        let replicas = self.nodes.iter().map(|node| (node.id.clone(), assigned(node))).collect();
        Intent { epoch: self.epoch, session_id: self.db.session, replicas }
    }

    pub(crate) fn promote(&mut self) {
        if self.engine.is_some() {
            return;
        }
        self.epoch = Epoch(self.epoch.0 + 1);
        self.tally.saw("takeover");
        let mut engine = Engine::new(self.epoch, self.settings, self.tick_now());
        engine.open_log(self.db.retained()).expect("the term has just begun");
        let (changed, effects) = engine.assign(&self.intent(), self.tick_now()).expect("it is of this term");
        assert_eq!((changed.added.len(), effects.len()), (self.nodes.len(), 0));
        self.engine = Some(engine);
    }

    /// The active server is gone with all that it knew and had under way. What the database has is left.
    pub(crate) fn depose(&mut self) {
        let Some(mut engine) = self.engine.take() else { return };
        if self.is(0.5) {
            let effects = engine.end(self.tick_now());
            self.tally.saw("ended in order");
            self.check_ended(&mut engine);
            for effect in effects {
                if let Effect::OnStream { stream, act: Act::Close(closing) } = effect {
                    self.close(stream.endpoint.stream, closing);
                }
            }
        }
        self.records.clear();
        for link in self.links.values_mut() {
            link.is_open_at_server = false;
        }
        for node in 0..self.nodes.len() {
            self.lose_link(node);
        }
        self.soon(300, Item::Promote);
    }

    fn fall_quiet(&mut self) {
        self.is_quiet = true;
        self.say(|_| "quiet".to_owned());
        if self.engine.is_none() {
            self.promote();
        }
        for node in 0..self.nodes.len() {
            self.soon(150, Item::Connect(node));
        }
        let head = self.db.head();
        self.soon(50, Item::Notice(self.epoch, head));
        self.soon(100, Item::Tick);
    }
}

fn settings(rng: &mut StdRng) -> Settings {
    let millis = Duration::from_millis;
    let mut some = |low: u64, high: u64| rng.random_bool(0.3).then(|| millis(rng.random_range(low..high)));
    let catch_up = Budget { duration_max: some(20, 400), stall_max: some(20, 200), entries_max: None };
    // One that a rebuild of this world cannot keep would be missed for ever, and truly said so.
    let rebuild =
        Budget { duration_max: some(30_000, 60_000), stall_max: some(300, 1_000), entries_max: None };
    let entries_max = rng.random_bool(0.3).then(|| rng.random_range(1..40));
    Settings {
        handshake_max: millis(rng.random_range(60..500)),
        catch_up: Budget { entries_max, ..catch_up },
        rebuild,
        pin_lease: millis(rng.random_range(150..1_500)),
        window: rng.random_range(1..40),
        recoveries_max: rng.random_range(1..=3),
        lag_max: rng.random_range(1..30),
        silence_max: millis(rng.random_range(20..300)),
        bookmark_interval: millis(rng.random_range(50..500)),
        reconnect_grace: millis(rng.random_range(0..600)),
    }
}
