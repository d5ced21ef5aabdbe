//! What must hold at every step, at every decision, and at the end.

use std::collections::BTreeSet;

use contracts::log::{LogPoint, Seq};
use control_plane::replication::engine::{
    BaseSource, Closing, Engine, Heard, Outline, RebuildReason, Record, ReplicaId, ReplicaState,
    ReplicaStatus, Stale,
};

use crate::{
    replica::Introduced,
    world::{Link, World},
};

impl World {
    fn status(&self, node: usize) -> Option<ReplicaStatus> {
        let status = self.engine.as_ref()?.status(self.db.session)?;
        status.replicas.into_iter().find(|replica| replica.node_id == self.nodes[node].id)
    }

    pub(crate) fn state(&self, node: usize) -> Option<ReplicaState> {
        self.status(node).map(|status| status.state)
    }

    pub(crate) fn acknowledged(&self, node: usize) -> Option<LogPoint> {
        self.status(node)?.acknowledged.map(|acknowledged| acknowledged.at)
    }

    /// What holds at every moment.
    pub(crate) fn check(&self) {
        let Some(engine) = &self.engine else { return };
        let status = engine.status(self.db.session).expect("the log is in care");
        let (running, _) = engine.recoveries();
        let under_way = status.replicas.iter().filter(|replica| replica.recovery.is_some());
        // A cut alone reads nothing and needs no turn.
        let with_turn = under_way.filter(|replica| !replica.pins.is_empty()).count();
        assert_eq!(running, with_turn, "turns and recoveries: {:#?}", status.replicas);
        assert!(running <= self.settings.recoveries_max);
        assert!(status.tail.seq <= self.db.tail().seq && self.db.knows(status.head));
        assert_eq!(status.counts().total as usize, status.replicas.len());
        for replica in &status.replicas {
            let owners: BTreeSet<_> = replica.pins.iter().map(|pin| pin.owner).collect();
            let recovery = replica.recovery.as_ref().map(|recovery| recovery.recovery);
            assert!(owners.iter().all(|owner| Some(*owner) == recovery), "a pin of nobody: {replica:#?}");
            for pin in &replica.pins {
                assert!(pin.after >= self.db.tail().seq, "pruned beneath a pin: {replica:#?}");
            }
            match replica.state {
                ReplicaState::InSync | ReplicaState::Degraded => {
                    let at = replica.acknowledged.expect("whoever is in sync acknowledged something").at;
                    assert!(self.db.knows(at), "in sync at {at}, which is not in the log");
                    assert!(at.seq >= self.db.tail().seq, "pruned beneath a replica in sync: {replica:#?}");
                }
                ReplicaState::NeedsRebuild => assert!(!replica.reason.is_empty()),
                ReplicaState::Disconnected
                | ReplicaState::Connecting
                | ReplicaState::CatchingUp
                | ReplicaState::Rebuilding => {}
            }
        }
    }

    /// The last place that an introduced replica has in common with the log, pruned or not.
    fn truly_common(&self, introduced: &Introduced) -> Option<LogPoint> {
        introduced.points.iter().rev().find(|point| self.db.knows(**point)).copied()
    }

    /// A plan is what follows from what the replica and the log really hold.
    pub(crate) fn check_plan(&mut self, key: u64, plan: &Outline) {
        let link = &self.links[&key];
        let introduced = link.introduced.as_ref().expect("no plan before the introduction");
        assert!(
            introduced.history_id.is_none_or(|history| history == self.db.history_id),
            "a plan across histories"
        );
        let (end, common) = (introduced.end(), self.truly_common(introduced));
        let (tail, head) = (self.db.tail().seq, self.db.head().seq);
        match *plan {
            Outline::ZeroGap { at } => {
                self.tally.saw("zero gap");
                assert_eq!((Some(at), end), (common, at));
            }
            Outline::CatchUp { truncate_to, from, target } => {
                assert_eq!(Some(from), common, "not the last place in common");
                assert_eq!(truncate_to, (end != from).then_some(from));
                assert!(from.seq >= tail && target <= head && from.seq <= target);
                self.tally.saw(match truncate_to {
                    Some(_) if from.seq == target => "cut alone",
                    Some(_) => "catch up after a cut",
                    None => "catch up",
                });
            }
            Outline::Rebuild { source, at, base_events, target, reason } => {
                assert!(at.seq >= tail && target >= at.seq && target <= head && self.db.knows(at));
                let true_state = self.db.state_at(at.seq.get());
                assert_eq!(base_events as usize, true_state.entries.len(), "the base is not the state");
                self.tally.saw(match source {
                    BaseSource::Checkpoint(_) => "rebuild from a checkpoint",
                    BaseSource::Full(_) => "rebuild from the state",
                });
                self.check_reason(end, introduced_base(&self.links[&key].introduced), common, reason);
            }
        }
    }

    /// A rebuild is made for a reason that is true.
    fn check_reason(
        &mut self,
        end: LogPoint,
        base_seq: Seq,
        common: Option<LogPoint>,
        reason: RebuildReason,
    ) {
        let head = self.db.head().seq;
        self.tally.saw(match reason {
            RebuildReason::BehindTail { tail, .. } => {
                assert!(tail <= head);
                "reason: BehindTail"
            }
            RebuildReason::BaseBeyondHead { base_seq: said, .. } => {
                assert_eq!(said, base_seq);
                assert!(end.seq >= base_seq);
                "reason: BaseBeyondHead"
            }
            RebuildReason::NothingInCommon { lowest, highest } => {
                assert!(common.is_none_or(|common| common.seq < lowest), "{common:?} is in common");
                assert!(lowest <= highest);
                "reason: NothingInCommon"
            }
            RebuildReason::Unreplayable(_) => "reason: Unreplayable",
            RebuildReason::BudgetSpent(_) => "reason: BudgetSpent",
            RebuildReason::OverRetention { acknowledged, hold_after } => {
                assert!(acknowledged < hold_after);
                "reason: OverRetention"
            }
            RebuildReason::DeclaredBefore => "reason: DeclaredBefore",
        });
    }

    /// What is recorded as acknowledged, the replica has.
    pub(crate) fn check_record(&self, replica: &ReplicaId, record: Record) {
        let Record::Acknowledged(at) = record else { return };
        assert!(self.db.knows(at), "{at} was acknowledged and is not in the log");
        let index = self.nodes.iter().position(|node| node.id == replica.node_id).expect("it is known");
        let node = &self.nodes[index];
        // A rebuild may have replaced its events by a base since.
        let has = node.replica.has(at) || node.replica.base.at.seq > at.seq;
        let is_outdated = |link: &Link| link.node == index && link.is_open_at_server && link.is_outdated;
        let may_lack = self.links.values().any(is_outdated) || node.halted.is_some();
        assert!(has || may_lack, "{} never had {at}", node.id);
    }

    pub(crate) fn check_completed(&mut self, key: u64, at: LogPoint) {
        self.tally.saw("completed");
        assert!(self.db.knows(at), "completed at {at}, which is not in the log");
        let node = &self.nodes[self.links[&key].node];
        assert!(node.link != Some(key) || node.replica.end() == at, "{} does not end at {at}", node.id);
    }

    /// Nothing that is let go is needed: by a recovery, by a replica that may hold the log, or by a rebuild.
    pub(crate) fn check_let_go(&self, tail: u64) {
        let status = self.engine.as_ref().and_then(|engine| engine.status(self.db.session)).expect("in care");
        let checkpoint = status.checkpoint.filter(|checkpoint| checkpoint.trusted);
        assert!(checkpoint.is_some_and(|checkpoint| checkpoint.at.seq.get() >= tail));
        for replica in &status.replicas {
            assert!(
                replica.pins.iter().all(|pin| pin.after.get() >= tail),
                "a pin beneath {tail}: {replica:#?}"
            );
            let holds = replica.recovery.is_none() && replica.reason.is_empty();
            let acknowledged = replica.acknowledged.filter(|_| holds);
            assert!(
                acknowledged.is_none_or(|acknowledged| acknowledged.at.seq.get() >= tail),
                "{replica:#?}"
            );
        }
    }

    /// An engine whose term is over holds nothing and takes nothing.
    pub(crate) fn check_ended(&self, engine: &mut Engine) {
        let status = engine.status(self.db.session).expect("it can still be looked at");
        assert!(status.replicas.iter().all(|replica| replica.pins.is_empty() && replica.recovery.is_none()));
        assert_eq!(engine.recoveries(), (0, 0));
        for link in self.links.values().filter(|link| link.stream.epoch == self.epoch) {
            let heard = engine.hear(&link.stream, Heard::BaseSent, self.tick_now());
            assert_eq!(heard, Err(Stale::Over));
        }
        assert_eq!(engine.assign(&self.intent(), self.tick_now()).map(drop), Err(Stale::Over));
        assert_eq!(engine.appended(self.db.session, self.db.head(), self.tick_now()), Err(Stale::Over));
    }

    fn is_equal_to_the_log(&self, node: usize) -> bool {
        let replica = &self.nodes[node].replica;
        replica.history_id == Some(self.db.history_id) && replica.end() == self.db.head()
    }

    /// Where everything stands, for people.
    pub(crate) fn standing(&self) -> String {
        let ends: Vec<_> =
            self.nodes.iter().map(|node| (node.replica.end().to_string(), node.halted)).collect();
        let status = self.engine.as_ref().and_then(|engine| engine.status(self.db.session));
        format!("the replicas end at {ends:?}; {status:#?}")
    }

    /// Whether there is nothing left to do.
    pub(crate) fn is_settled(&self) -> bool {
        (0..self.nodes.len()).all(|node| {
            let in_sync = self.state(node) == Some(ReplicaState::InSync)
                && self.acknowledged(node) == Some(self.db.head())
                && self.is_equal_to_the_log(node);
            in_sync || self.nodes[node].halted.is_some()
        })
    }

    pub(crate) fn check_the_end(&mut self) {
        assert!(self.is_settled(), "nothing is left to happen, and not all is settled: {}", self.standing());
        for node in &self.nodes {
            let replica = &node.replica;
            if let Some(Closing::ForeignHistory { theirs, .. }) = node.halted {
                assert_eq!(replica.history_id, Some(theirs));
                assert_ne!(theirs, self.db.history_id, "halted for a history that is ours");
                continue;
            }
            let (base, head) = (replica.base.at.seq.get(), self.db.head().seq.get());
            assert_eq!(replica.base, self.db.state_at(base), "its base is not the state there");
            assert_eq!(replica.events, self.db.between(base, head), "its events are not the log's");
        }
        let mut engine = self.engine.take().expect("the world ends with an active server");
        let status = engine.status(self.db.session).expect("in care");
        assert!(status.replicas.iter().all(|replica| replica.pins.is_empty()), "pins are left");
        assert_eq!(engine.recoveries(), (0, 0));
        drop(engine.end(self.tick_now()));
        self.check_ended(&mut engine);
        self.say(|_| "settled".to_owned());
    }
}

fn introduced_base(introduced: &Option<Introduced>) -> Seq {
    introduced.as_ref().map_or(Seq::ORIGIN, Introduced::base_seq)
}
