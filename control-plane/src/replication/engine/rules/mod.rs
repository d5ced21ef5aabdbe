//! The rules of the exchange, one by one, on an engine with nothing around it.

mod catch_up;
mod fencing;
mod live;
mod rebuild;
mod retention;
mod turns;

use contracts::RecoveryId;
use std::{collections::BTreeMap, time::Duration};

use contracts::log::{LogPoint, Seq};
use uuid::Uuid;

use super::{fixture::*, *};

/// Bounds that are in nobody's way.
const WIDE: Settings = Settings {
    handshake_max: Duration::from_secs(30),
    catch_up: Budget { duration_max: None, entries_max: None, stall_max: None },
    rebuild: Budget { duration_max: None, entries_max: None, stall_max: None },
    pin_lease: Duration::from_secs(300),
    window: 1_000,
    recoveries_max: 8,
    lag_max: 1_000,
    silence_max: Duration::from_secs(30),
    bookmark_interval: Duration::from_secs(10),
    reconnect_grace: Duration::ZERO,
};

const EPOCH: Epoch = Epoch(5);

/// An engine, and a driver that does nothing by itself.
struct Bench {
    engine: Engine,
    now: Tick,
    streams: u64,
    recoveries: u128,
}

impl Bench {
    fn new(history: RetainedHistory, settings: Settings) -> Self {
        let now = at(1_000);
        let mut engine = Engine::new(EPOCH, settings, now);
        engine.open_log(history).unwrap();
        Self { engine, now, streams: 0, recoveries: 0 }
    }

    fn stream(&mut self, name: &str, generation: u64) -> Stream {
        self.streams += 1;
        let replica = ReplicaId { session_id: session(), node_id: node(name) };
        Stream { replica, endpoint: Endpoint { generation, stream: self.streams }, epoch: EPOCH }
    }

    fn recovery(&mut self) -> RecoveryId {
        self.recoveries += 1;
        RecoveryId(Uuid::from_u128(self.recoveries))
    }

    /// Node `a` of generation 1 introduces a replica that ends at `end`.
    fn introduce(&mut self, end: LogPoint) -> (Stream, RecoveryId, Vec<Act>) {
        let stream = self.stream("a", 1);
        self.introduce_on(stream, end)
    }

    fn introduce_on(&mut self, stream: Stream, end: LogPoint) -> (Stream, RecoveryId, Vec<Act>) {
        let recovery = self.recovery();
        let standing = Standing::new(Some(history_id()), Some(end), Seq::ORIGIN).unwrap();
        let effects = self.engine.introduced(stream.clone(), standing, recovery, self.now).unwrap();
        (stream, recovery, acts(effects))
    }

    fn hear(&mut self, stream: &Stream, heard: Heard) -> Vec<Act> {
        acts(self.engine.hear(stream, heard, self.now).unwrap())
    }

    fn acknowledge(&mut self, stream: &Stream, recovery: Option<RecoveryId>, at: LogPoint) -> Vec<Act> {
        self.hear(stream, Heard::Acknowledged { recovery, at })
    }

    /// What is read of the log at one place, as it is.
    fn read(&mut self, stream: &Stream, at: u64) -> Vec<Act> {
        self.hear(stream, Heard::HashesRead(vec![point(at)]))
    }

    fn later(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    fn tick(&mut self) -> Vec<Act> {
        acts(self.engine.tick(self.now))
    }

    fn replica(&self, name: &str) -> ReplicaStatus {
        let status = self.engine.status(session()).unwrap();
        status.replicas.into_iter().find(|replica| replica.node_id == node(name)).unwrap()
    }

    #[track_caller]
    fn is(&self, name: &str, state: ReplicaState) {
        assert_eq!(self.replica(name).state, state);
    }

    /// Where the pins are that are held for a node.
    fn pins(&self, name: &str) -> Vec<(PinKind, u64)> {
        self.replica(name).pins.into_iter().map(|pin| (pin.kind, pin.after.get())).collect()
    }

    /// What happened, by its names.
    fn names(&self) -> Vec<&'static str> {
        self.engine.recent(session(), usize::MAX).into_iter().map(|entry| entry.name.as_str()).collect()
    }

    fn details(&self, name: EventName) -> Vec<String> {
        let entries = self.engine.recent(session(), usize::MAX).into_iter();
        entries.filter(|entry| entry.name == name).map(|entry| entry.detail).collect()
    }
}

fn at(seconds: u64) -> Tick {
    Tick::new(Duration::from_secs(seconds))
}

fn points(range: std::ops::RangeInclusive<u64>) -> Vec<LogPoint> {
    range.map(point).collect()
}

/// What is to be done on streams.
fn acts(effects: Vec<Effect>) -> Vec<Act> {
    let act = |effect| match effect {
        Effect::OnStream { act, .. } => Some(act),
        Effect::Record { .. } => None,
    };
    effects.into_iter().filter_map(act).collect()
}

fn closing(acts: &[Act]) -> Option<Closing> {
    acts.iter().find_map(|act| if let Act::Close(closing) = act { Some(*closing) } else { None })
}

fn outline(acts: &[Act]) -> Option<Outline> {
    acts.iter().find_map(|act| if let Act::SendPlan { plan, .. } = act { Some(*plan) } else { None })
}

/// An intent of the replicas with these generations.
fn intent(replicas: &[(&str, u64)]) -> Intent {
    let assigned = |(name, generation): &(&str, u64)| {
        (node(name), Assigned { generation: *generation, row: Row::Absent })
    };
    let replicas: BTreeMap<_, _> = replicas.iter().map(assigned).collect();
    Intent { epoch: EPOCH, session_id: session(), replicas }
}
