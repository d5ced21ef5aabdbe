//! The driver: does what the engine says, slowly, and reports before it sends. It decides nothing.

use contracts::RecoveryId;
use contracts::log::{LogPoint, Seq};
use control_plane::replication::engine::{
    Act, BaseSource, Closing, Effect, Epoch, Heard, Record, Row, Standing,
};
use rand::Rng;

use crate::{
    database::seq,
    replica::{Down, Up},
    world::{Item, World},
};

/// Work that takes the driver a while.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    Hashes(Vec<Seq>),
    OpenBase(BaseSource),
    Base { recovery: RecoveryId, sent: usize },
    Events { recovery: Option<RecoveryId>, after: LogPoint, to: Seq },
}

impl World {
    /// Carries out what the engine says.
    pub(crate) fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.say(|_| format!("       -> {effect:?}"));
            match effect {
                Effect::OnStream { stream, act } => self.act(stream.endpoint.stream, act),
                Effect::Record { replica, record } => {
                    self.check_record(&replica, record);
                    self.records.push_back((replica, record));
                    self.soon(30, Item::Write(self.epoch));
                }
            }
        }
    }

    fn act(&mut self, key: u64, act: Act) {
        match act {
            Act::ReadHashes(places) => self.soon(20, Item::Task(key, Task::Hashes(places))),
            Act::OpenBase(source) => self.soon(40, Item::Task(key, Task::OpenBase(source))),
            Act::SendBase(recovery) => self.soon(20, Item::Task(key, Task::Base { recovery, sent: 0 })),
            Act::SendEvents { recovery, after, to } => {
                self.soon(20, Item::Task(key, Task::Events { recovery, after, to }));
            }
            Act::SendProbe(places) => self.send_down(key, Down::Probe(places)),
            Act::SendPlan { recovery, history_id, plan } => {
                self.check_plan(key, &plan);
                self.send_down(key, Down::Plan { recovery, history_id, plan });
            }
            Act::SendCompleted { recovery, at } => {
                self.check_completed(key, at);
                self.send_down(key, Down::Completed { recovery, at });
            }
            Act::SendBookmark(head) => self.send_down(key, Down::Bookmark(head)),
            Act::Close(closing) => self.close(key, closing),
        }
    }

    pub(crate) fn close(&mut self, key: u64, closing: Closing) {
        self.tally.saw(match closing {
            Closing::ForeignHistory { .. } => "close: ForeignHistory",
            Closing::Superseded => "close: Superseded",
            Closing::OutOfStep(_) => "close: OutOfStep",
            Closing::HandshakeTimeout => "close: HandshakeTimeout",
            Closing::BudgetSpent(_) => "close: BudgetSpent",
            Closing::PinExpired => "close: PinExpired",
            Closing::EventMissing(_) => "close: EventMissing",
            Closing::PinFailed => "close: PinFailed",
            Closing::BaseFailed => "close: BaseFailed",
            Closing::OverRetention => "close: OverRetention",
            Closing::Removed => "close: Removed",
            Closing::EpochOver => "close: EpochOver",
        });
        if let Some(link) = self.links.get_mut(&key) {
            link.is_open_at_server = false;
        }
        self.send_down(key, Down::Close(closing));
    }

    /// Tells the engine what was heard; says whether the stream is still open after that.
    pub(crate) fn feed(&mut self, key: u64, heard: Heard) -> bool {
        let now = self.tick_now();
        let Some(link) = self.links.get_mut(&key).filter(|link| link.is_open_at_server) else { return false };
        let Some(engine) = self.engine.as_mut() else { return false };
        match engine.hear(&link.stream, heard, now) {
            Ok(effects) => self.carry_out(effects),
            Err(_) => link.is_open_at_server = false,
        }
        self.links.get(&key).is_some_and(|link| link.is_open_at_server)
    }

    pub(crate) fn arrive_at_server(&mut self, key: u64) {
        let Some(link) = self.links.get_mut(&key) else { return };
        let Some(message) = link.up.pop_front().filter(|_| link.is_open_at_server) else { return };
        match message {
            Up::Introduction(introduced) => {
                let recovery = self.recovery();
                let now = self.tick_now();
                let (Some(link), Some(engine)) = (self.links.get_mut(&key), self.engine.as_mut()) else {
                    return;
                };
                let at = Some(introduced.end()).filter(|_| introduced.history_id.is_some());
                let standing = Standing::new(introduced.history_id, at, introduced.base_seq());
                let standing = standing.expect("replicas say what can be");
                link.introduced = Some(introduced);
                match engine.introduced(link.stream.clone(), standing, recovery, now) {
                    Ok(effects) => self.carry_out(effects),
                    Err(_) => self.close(key, Closing::Superseded),
                }
            }
            Up::ProbeAnswer(points) => drop(self.feed(key, Heard::ProbeAnswered(points))),
            Up::Truncated { recovery, at } => drop(self.feed(key, Heard::Truncated { recovery, at })),
            Up::Acknowledged { recovery, at } => drop(self.feed(key, Heard::Acknowledged { recovery, at })),
            Up::BaseReceived { recovery, at } => drop(self.feed(key, Heard::BaseReceived { recovery, at })),
        }
    }

    pub(crate) fn task(&mut self, key: u64, task: Task) {
        let Some(link) = self.links.get(&key).filter(|link| link.is_open_at_server) else { return };
        if link.stream.epoch != self.epoch || self.engine.is_none() {
            return;
        }
        if !self.is_quiet && self.is(0.01) {
            return self.fail(key);
        }
        match task {
            Task::Hashes(places) => {
                let points = self.db.hashes(&places);
                self.feed(key, Heard::HashesRead(points));
            }
            Task::OpenBase(source) => self.open_base(key, source),
            Task::Base { recovery, sent } => self.send_base(key, recovery, sent),
            Task::Events { recovery, after, to } => self.send_events(key, recovery, after, to),
        }
    }

    fn open_base(&mut self, key: u64, source: BaseSource) {
        let base = match source {
            BaseSource::Checkpoint(at) => self.db.open_checkpoint(at),
            BaseSource::Full(_) if !self.is_quiet && self.is(0.05) => None,
            BaseSource::Full(_) => Some(self.db.state_at(self.db.head().seq.get())),
        };
        let Some(base) = base else {
            if let BaseSource::Checkpoint(_) = source {
                self.tally.saw("bad checkpoint");
            }
            self.feed(key, Heard::BaseFailed);
            return;
        };
        let (at, events) = (base.at, base.entries.len() as u64);
        if let Some(link) = self.links.get_mut(&key) {
            link.base = Some(base);
        }
        self.feed(key, Heard::BaseOpened { at, events });
    }

    fn send_base(&mut self, key: u64, recovery: RecoveryId, sent: usize) {
        let some = self.rng.random_range(1..=3);
        let Some(base) = self.links.get(&key).and_then(|link| link.base.as_ref()) else { return };
        let part: Vec<_> = base.entries.iter().skip(sent).take(some).cloned().collect();
        let (at, entries, sent) = (base.at, base.entries.len(), sent + part.len());
        if part.is_empty() {
            if self.feed(key, Heard::BaseSent) {
                self.send_down(key, Down::BaseEnd { recovery, at, entries });
            }
        } else if self.feed(key, Heard::BaseProgress(sent as u64)) {
            self.send_down(key, Down::Chunk { recovery, entries: part });
            self.soon(20, Item::Task(key, Task::Base { recovery, sent }));
        }
    }

    fn send_events(&mut self, key: u64, recovery: Option<RecoveryId>, after: LogPoint, to: Seq) {
        // A message holds as much as fits, at least one event.
        let to = self.rng.random_range(after.seq.get() + 1..=to.get());
        assert!(self.db.knows(after), "told to send what comes after {after}, which is not in the log");
        match self.db.read(after.seq.get(), to) {
            Ok(entries) => {
                let points = entries.iter().map(|entry| entry.at).collect();
                if self.feed(key, Heard::EventsSent(points)) {
                    self.send_down(key, Down::Events { recovery, entries });
                }
            }
            Err(missing) => panic!("{missing} was pruned while it was needed on stream {key}"),
        }
    }

    /// The driver cannot go on with a stream.
    fn fail(&mut self, key: u64) {
        self.gone(key);
        if let Some(node) =
            self.links.get(&key).map(|link| link.node).filter(|node| self.nodes[*node].link == Some(key))
        {
            self.lose_link(node);
        }
    }

    pub(crate) fn gone(&mut self, key: u64) {
        let now = self.tick_now();
        let Some(link) = self.links.get_mut(&key).filter(|link| link.is_open_at_server) else { return };
        link.is_open_at_server = false;
        let Some(engine) = self.engine.as_mut() else { return };
        if let Ok(effects) = engine.stream_closed(&link.stream, now) {
            self.carry_out(effects);
        }
    }

    pub(crate) fn notice(&mut self, epoch: Epoch, head: LogPoint) {
        let (now, session) = (self.tick_now(), self.db.session);
        if epoch == self.epoch
            && let Some(engine) = self.engine.as_mut()
        {
            let effects = engine.appended(session, head, now).expect("the log is in care");
            self.carry_out(effects);
        }
    }

    pub(crate) fn tick(&mut self) {
        let now = self.tick_now();
        if let Some(engine) = self.engine.as_mut() {
            let effects = engine.tick(now);
            self.carry_out(effects);
        }
    }

    pub(crate) fn write(&mut self, epoch: Epoch) {
        if epoch == self.epoch
            && let Some((replica, record)) = self.records.pop_front()
        {
            let row = match record {
                Record::Acknowledged(at) => Row::Acknowledged(at),
                Record::NeedsRebuild(_) => Row::NeedsRebuild,
            };
            self.db.rows.insert(replica.node_id, row);
        }
    }

    pub(crate) fn pruned(&mut self, epoch: Epoch, tail: u64, works: bool) {
        if epoch != self.epoch || self.engine.is_none() {
            return;
        }
        if works {
            self.db.prune(tail);
            self.tally.saw("pruned");
        } else {
            self.tally.saw("prune failed");
        }
        let (session, tail) = (self.db.session, self.db.tail());
        if let Some(engine) = self.engine.as_mut() {
            engine.pruned(session, tail).expect("the log is in care");
        }
    }

    /// A head that is low enough to be one that the log had.
    pub(crate) fn some_place(&mut self, lowest: u64, highest: u64) -> Seq {
        seq(self.rng.random_range(lowest..=highest.max(lowest)))
    }
}
