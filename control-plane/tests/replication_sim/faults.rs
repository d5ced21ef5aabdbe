//! What chance does to the world, in order and out of order.

use contracts::RecoveryId;
use contracts::log::{LogPoint, Seq};
use control_plane::replication::engine::{
    Checkpoint, Epoch, Heard, Marks, Prune, ReplicaState, Stream, Wanted,
};
use rand::Rng;
use uuid::Uuid;

use crate::{
    database::Entry,
    world::{Item, Link, World},
};

impl World {
    pub(crate) fn chance(&mut self) {
        match self.rng.random_range(0..1_000) {
            0..330 => self.append(),
            330..400 => self.checkpoint(),
            400..530 => self.prune(),
            530..680 => self.tick(),
            680..770 => {
                let node = self.some_node();
                self.lose_link(node);
            }
            770..840 => self.crash(),
            840..860 => self.take_over(),
            860..862 => self.restore(),
            862..910 => self.feed_stale(),
            910..935 => self.break_a_rule(),
            935..985 => self.assign(),
            985..995 => self.hole(),
            _ => self.adopt(),
        }
    }

    fn some_node(&mut self) -> usize {
        self.rng.random_range(0..self.nodes.len())
    }

    fn append(&mut self) {
        let burst = if self.is(0.05) { 40 } else { 8 };
        for _ in 0..self.rng.random_range(1..=burst) {
            let value = self.rng.random();
            self.db.append(value);
        }
        let head = self.db.head();
        self.soon(20, Item::Notice(self.epoch, head));
    }

    fn checkpoint(&mut self) {
        let (trusted, is_good) = (self.is(0.85), self.is(0.85));
        if self.engine.is_none() {
            return;
        }
        self.db.make_checkpoint(trusted, is_good);
        let (session, at, epoch, now) = (self.db.session, self.db.head(), self.epoch, self.tick_now());
        if let Some(engine) = self.engine.as_mut() {
            assert_eq!(epoch, engine.epoch());
            let effects = engine.appended(session, at, now).expect("the log is in care");
            let checkpoint = Checkpoint { at, trusted };
            engine.checkpointed(session, checkpoint).expect("the log is in care").expect("it is of this log");
            self.carry_out(effects);
        }
    }

    fn prune(&mut self) {
        let head = self.db.head().seq.get();
        let keep = self.rng.random_range(0..30_u64);
        let tail = self.some_place(head.saturating_sub(keep), head);
        let hold = self.is(0.4).then(|| self.some_place(0, tail.get()));
        let wanted = Wanted {
            tail: Marks { by_count: Some(tail), ..Marks::default() },
            hold: Marks { by_age: hold, ..Marks::default() },
        };
        let (session, now) = (self.db.session, self.tick_now());
        let Some(engine) = self.engine.as_mut() else { return };
        let (prune, effects) = engine.prune(session, wanted, now).expect("the log is in care");
        self.say(|_| format!("       prune {wanted:?}: {prune:?}"));
        self.carry_out(effects);
        if let Prune::To { tail, .. } = prune {
            let works = self.is(0.8);
            self.check_let_go(tail.get());
            self.soon(60, Item::Pruned { epoch: self.epoch, tail: tail.get(), works });
        }
    }

    /// A replica dies and comes back, maybe with a new attachment, maybe with another tail.
    fn crash(&mut self) {
        let node = self.some_node();
        self.lose_link(node);
        if self.is(0.4)
            && let Some(generation) = self.db.generations.get_mut(&self.nodes[node].id)
        {
            *generation += 1;
        }
        if self.nodes[node].replica.history_id.is_some() && self.is(0.4) {
            let keep = self.rng.random_range(0..=self.nodes[node].replica.events.len());
            let values: Vec<u64> = (0..self.rng.random_range(0..6)).map(|_| self.rng.random()).collect();
            self.nodes[node].replica.diverge(keep, &values);
            self.links.values_mut().filter(|link| link.node == node).for_each(|link| link.is_outdated = true);
        }
    }

    fn take_over(&mut self) {
        self.depose();
        if self.is(0.4) {
            let head = self.db.head().seq.get();
            let lost = self.rng.random_range(0..60);
            self.db.lose_commits(head.saturating_sub(lost));
            self.tally.saw("lost commits");
        }
    }

    fn restore(&mut self) {
        self.depose();
        let head = self.db.head().seq.get();
        let head = self.some_place(0, head).get();
        self.db.restore(head);
        self.tally.saw("restored");
    }

    /// The operator of a replica that follows another history lets it begin anew.
    fn adopt(&mut self) {
        let (node, origin) = (self.some_node(), LogPoint::origin(self.db.session));
        if self.nodes[node].halted.take().is_some() {
            self.nodes[node].replica = crate::replica::Replica::empty(origin);
            self.soon(100, Item::Connect(node));
        }
    }

    /// An event turns out to be missing where it was still counted on.
    fn hole(&mut self) {
        let is_heard = |link: &Link| link.is_open_at_server && link.introduced.is_some();
        let open: Vec<_> =
            self.links.iter().filter(|(_, link)| is_heard(link)).map(|(key, _)| *key).collect();
        let head = self.db.head().seq.get();
        if let Some(key) = open.last() {
            let missing = self.some_place(1, head.max(1));
            self.feed(*key, Heard::EventMissing(missing));
        }
    }

    /// The same intent again changes nothing; others end what they should.
    fn assign(&mut self) {
        let (mut intent, now) = (self.intent(), self.tick_now());
        let Some(engine) = self.engine.as_mut() else { return };
        let session = self.db.session;
        if self.rng.random_bool(0.2) {
            intent.replicas.pop_first();
        }
        let (_, effects) = engine.assign(&intent, now).expect("generations only rise");
        let before = (engine.status(session), engine.recent(session, 9_999));
        let (again, nothing) = engine.assign(&intent, now).expect("it was good a moment ago");
        assert_eq!((again, nothing), Default::default(), "the same intent again changed something");
        assert_eq!(before, (engine.status(session), engine.recent(session, 9_999)));
        let mut stale = intent.clone();
        stale.epoch = Epoch(stale.epoch.0 - 1);
        stale.replicas.clear();
        assert!(engine.assign(&stale, now).is_err(), "an intent of an earlier term was taken");
        assert_eq!(before, (engine.status(session), engine.recent(session, 9_999)));
        self.carry_out(effects);
    }

    fn any_heard(&mut self) -> Heard {
        let recovery = RecoveryId(Uuid::from_u128(self.rng.random_range(1..40)));
        let highest = self.db.head().seq.get() + 3;
        let place = self.some_place(0, highest);
        let at = self.db.ever(place.get()).unwrap_or_else(|| Entry::after(self.db.head(), 1).at);
        match self.rng.random_range(0..10) {
            0 => Heard::HashesRead(vec![at]),
            1 => Heard::ProbeAnswered(vec![at]),
            2 => Heard::Truncated { recovery, at },
            3 => Heard::Acknowledged { recovery: Some(recovery), at },
            4 => Heard::BaseOpened { at, events: 3 },
            5 => Heard::BaseFailed,
            6 => Heard::BaseProgress(2),
            7 => Heard::BaseSent,
            8 => Heard::BaseReceived { recovery, at },
            _ => Heard::EventsSent(vec![at]),
        }
    }

    /// What was heard on a stream that is over, or in another term, is turned away and changes nothing.
    fn feed_stale(&mut self) {
        let heard = self.any_heard();
        let keys: Vec<_> = self.links.keys().copied().collect();
        if keys.is_empty() {
            return;
        }
        let key = keys[self.rng.random_range(0..keys.len())];
        let other_term = self.is(0.3);
        let link = &self.links[&key];
        let is_present = self.nodes[link.node].link == Some(key) || link.is_open_at_server;
        if is_present && !other_term {
            return;
        }
        let epoch = if other_term { Epoch(link.stream.epoch.0 + 1_000) } else { link.stream.epoch };
        let stream = Stream { epoch, ..link.stream.clone() };
        let (session, now) = (self.db.session, self.tick_now());
        let Some(engine) = self.engine.as_mut() else { return };
        let before = (engine.status(session), engine.recent(session, 9_999), engine.recoveries());
        assert!(engine.hear(&stream, heard.clone(), now).is_err(), "{heard:?} of {stream:?} was taken");
        assert!(engine.stream_closed(&stream, now).is_err());
        let after = (engine.status(session), engine.recent(session, 9_999), engine.recoveries());
        assert_eq!(before, after, "{heard:?} of {stream:?} left a trace");
        self.tally.saw("stale input");
    }

    /// A replica breaks a rule on its present stream: that ends it, and changes nothing that is known of the replica.
    fn break_a_rule(&mut self) {
        let node = self.some_node();
        let Some(key) = self.nodes[node].link.filter(|key| self.links[key].is_open_at_server) else { return };
        let head = self.db.head();
        let beyond =
            Entry::after(LogPoint { seq: Seq::new(head.seq.get() + 50).unwrap_or(head.seq), ..head }, 1).at;
        let nobody = RecoveryId(Uuid::from_u128(u128::MAX));
        let wrong_hash = LogPoint { hash: Entry::after(head, 77).at.hash, ..head };
        let heard = match self.rng.random_range(0..5) {
            0 => Heard::Acknowledged { recovery: None, at: beyond },
            1 => Heard::Acknowledged { recovery: Some(nobody), at: head },
            2 => Heard::Truncated { recovery: nobody, at: head },
            3 => Heard::BaseReceived { recovery: nobody, at: head },
            _ => Heard::Acknowledged { recovery: None, at: wrong_hash },
        };
        let acknowledged = self.acknowledged(node);
        if self.links[&key].introduced.is_none() || acknowledged.is_some_and(|at| at == wrong_hash) {
            return;
        }
        assert!(!self.feed(key, heard.clone()), "{heard:?} was taken");
        assert_eq!(self.acknowledged(node), acknowledged, "{heard:?} changed what is known");
        let states = [ReplicaState::Disconnected, ReplicaState::NeedsRebuild];
        if let Some(state) = self.state(node) {
            assert!(states.contains(&state), "{heard:?} left it {state:?}");
        }
        self.tally.saw("broken rule");
    }
}
