//! A replica: it applies what the contract says, checks the chain, and throws nothing away silently.

use contracts::RecoveryId;
use contracts::log::{HistoryId, LogPoint, Seq};
use control_plane::replication::engine::{Closing, Outline};

use super::database::{Base, Entry};

/// What a replica is sent.
#[derive(Clone, Debug)]
pub(crate) enum Down {
    Probe(Vec<Seq>),
    Plan { recovery: RecoveryId, history_id: HistoryId, plan: Outline },
    Chunk { recovery: RecoveryId, entries: Vec<Entry> },
    BaseEnd { recovery: RecoveryId, at: LogPoint, entries: usize },
    Events { recovery: Option<RecoveryId>, entries: Vec<Entry> },
    Completed { recovery: RecoveryId, at: LogPoint },
    Bookmark(LogPoint),
    Close(Closing),
}

/// What it sends.
#[derive(Clone, Debug)]
pub(crate) enum Up {
    Introduction(Introduced),
    ProbeAnswer(Vec<LogPoint>),
    Truncated { recovery: RecoveryId, at: LogPoint },
    Acknowledged { recovery: Option<RecoveryId>, at: LogPoint },
    BaseReceived { recovery: RecoveryId, at: LogPoint },
}

/// What a replica says of itself, and all that it could say.
#[derive(Clone, Debug)]
pub(crate) struct Introduced {
    pub(crate) history_id: Option<HistoryId>,
    pub(crate) points: Vec<LogPoint>,
}

impl Introduced {
    pub(crate) fn end(&self) -> LogPoint {
        *self.points.last().expect("a replica has at least where it begins")
    }

    pub(crate) fn base_seq(&self) -> Seq {
        self.points.first().map_or(Seq::ORIGIN, |first| first.seq)
    }
}

/// What it is doing on its stream.
#[derive(Debug)]
enum Doing {
    Introducing,
    CatchingUp { recovery: RecoveryId, target: Seq },
    Rebuilding(Staging),
    Live { recovery: RecoveryId },
}

#[derive(Debug)]
struct Staging {
    recovery: RecoveryId,
    history_id: HistoryId,
    base: Base,
    base_events: u64,
    is_received: bool,
    tail: Vec<Entry>,
    target: Seq,
}

#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) history_id: Option<HistoryId>,
    pub(crate) base: Base,
    pub(crate) events: Vec<Entry>,
    /// What was cut off or replaced and is not part of the log.
    pub(crate) kept_aside: Vec<Entry>,
    doing: Doing,
    acknowledged: Option<Seq>,
}

impl Replica {
    pub(crate) fn empty(origin: LogPoint) -> Self {
        let base = Base { at: origin, entries: Vec::new() };
        let (events, kept_aside) = (Vec::new(), Vec::new());
        Self { history_id: None, base, events, kept_aside, doing: Doing::Introducing, acknowledged: None }
    }

    pub(crate) fn end(&self) -> LogPoint {
        self.events.last().map_or(self.base.at, |last| last.at)
    }

    /// Every place that it can tell the hash of.
    fn points(&self) -> Vec<LogPoint> {
        [self.base.at].into_iter().chain(self.events.iter().map(|entry| entry.at)).collect()
    }

    pub(crate) fn has(&self, point: LogPoint) -> bool {
        self.points().contains(&point)
    }

    /// A new stream: whatever was under way on the last one is forgotten.
    pub(crate) fn introduce(&mut self) -> Introduced {
        self.doing = Doing::Introducing;
        self.acknowledged = None;
        Introduced { history_id: self.history_id, points: self.points() }
    }

    /// Its tail is replaced by one that no log ever had.
    pub(crate) fn diverge(&mut self, keep: usize, values: &[u64]) {
        self.events.truncate(keep);
        for value in values {
            let entry = Entry::after(self.end(), *value);
            self.events.push(entry);
        }
    }

    /// What is to be acknowledged: some place after the last acknowledged one, chosen by `choose` below a bound.
    pub(crate) fn acknowledge(&mut self, choose: impl FnOnce(usize) -> usize) -> Option<Up> {
        let (recovery, entries) = match &self.doing {
            Doing::Introducing => return None,
            Doing::CatchingUp { recovery, .. } => (Some(*recovery), &self.events),
            Doing::Rebuilding(staging) if !staging.is_received => return None,
            Doing::Rebuilding(staging) => (Some(staging.recovery), &staging.tail),
            Doing::Live { .. } => (None, &self.events),
        };
        let from = self.acknowledged?;
        let left: Vec<_> = entries.iter().map(|entry| entry.at).filter(|at| at.seq > from).collect();
        let at = *left.get(choose(left.len().max(1)))?;
        self.acknowledged = Some(at.seq);
        Some(Up::Acknowledged { recovery, at })
    }

    /// Takes a message and gives the answers.
    ///
    /// # Errors
    ///
    /// It breaks a rule of the exchange: in this world only a fault of the engine or its driver does that.
    pub(crate) fn take(&mut self, message: Down) -> Result<Vec<Up>, String> {
        match message {
            Down::Probe(places) => {
                let points = self.points();
                let told = places.iter().filter_map(|place| points.iter().find(|point| point.seq == *place));
                let told: Vec<_> = told.copied().collect();
                if told.len() == places.len() {
                    Ok(vec![Up::ProbeAnswer(told)])
                } else {
                    Err("asked for what it cannot tell".to_owned())
                }
            }
            Down::Plan { recovery, history_id, plan } => self.plan(recovery, history_id, plan),
            Down::Chunk { recovery, entries } => {
                let staging = self.staging(recovery)?;
                staging.base.entries.extend(entries);
                Ok(Vec::new())
            }
            Down::BaseEnd { recovery, at, entries } => {
                let staging = self.staging(recovery)?;
                if staging.base.at != at
                    || staging.base.entries.len() != entries
                    || staging.base_events != entries as u64
                {
                    return Err(format!("a base of {entries} at {at} is not the one of {staging:?}"));
                }
                staging.is_received = true;
                self.acknowledged = Some(at.seq);
                let received = Up::BaseReceived { recovery, at };
                self.swap_when_done();
                Ok(vec![received])
            }
            Down::Events { recovery, entries } => self.events(recovery, entries),
            Down::Completed { recovery, at } => self.completed(recovery, at),
            Down::Bookmark(head) => {
                if self.end() == head {
                    Ok(Vec::new())
                } else {
                    Err(format!("a bookmark at {head}, and it ends at {}", self.end()))
                }
            }
            Down::Close(_) => Ok(Vec::new()),
        }
    }

    fn plan(
        &mut self,
        recovery: RecoveryId,
        history_id: HistoryId,
        plan: Outline,
    ) -> Result<Vec<Up>, String> {
        if !matches!(self.doing, Doing::Introducing) {
            return Err("two plans on one stream".to_owned());
        }
        match plan {
            Outline::ZeroGap { at } => {
                if self.end() != at {
                    return Err(format!("zero gap at {at}, and it ends at {}", self.end()));
                }
                self.history_id = Some(history_id);
                self.acknowledged = Some(at.seq);
                self.doing = Doing::CatchingUp { recovery, target: at.seq };
                Ok(Vec::new())
            }
            Outline::CatchUp { truncate_to, from, target } => {
                if !self.has(from) || truncate_to.is_some_and(|to| to != from) {
                    return Err(format!("from {from} is not in common"));
                }
                if truncate_to.is_none() && self.end() != from {
                    return Err(format!("from {from}, and it ends at {}", self.end()));
                }
                let keep = self.events.iter().take_while(|entry| entry.at.seq <= from.seq).count();
                self.kept_aside.extend(self.events.drain(keep..));
                self.history_id = Some(history_id);
                self.acknowledged = Some(from.seq);
                self.doing = Doing::CatchingUp { recovery, target };
                Ok(truncate_to.into_iter().map(|at| Up::Truncated { recovery, at }).collect())
            }
            Outline::Rebuild { at, base_events, target, .. } => {
                let base = Base { at, entries: Vec::new() };
                let (is_received, tail) = (false, Vec::new());
                let staging = Staging { recovery, history_id, base, base_events, is_received, tail, target };
                self.doing = Doing::Rebuilding(staging);
                Ok(Vec::new())
            }
        }
    }

    fn staging(&mut self, recovery: RecoveryId) -> Result<&mut Staging, String> {
        match &mut self.doing {
            Doing::Rebuilding(staging) if staging.recovery == recovery => Ok(staging),
            Doing::Rebuilding(_) | Doing::Introducing | Doing::CatchingUp { .. } | Doing::Live { .. } => {
                Err(format!("a base of {recovery}, which builds nothing here"))
            }
        }
    }

    fn events(&mut self, recovery: Option<RecoveryId>, entries: Vec<Entry>) -> Result<Vec<Up>, String> {
        let limit = match (&self.doing, recovery) {
            (Doing::CatchingUp { recovery, target }, Some(named)) if *recovery == named => Some(*target),
            (Doing::Rebuilding(staging), Some(named)) if staging.recovery == named && staging.is_received => {
                Some(staging.target)
            }
            (Doing::Live { .. }, None) => None,
            (doing, _) => return Err(format!("events of {recovery:?} while {doing:?}")),
        };
        for entry in entries {
            if limit.is_some_and(|limit| entry.at.seq > limit) {
                return Err(format!("{} is beyond the target", entry.at));
            }
            let own_end = self.end();
            let (end, log) = match &mut self.doing {
                Doing::Rebuilding(staging) => {
                    (staging.tail.last().map_or(staging.base.at, |last| last.at), &mut staging.tail)
                }
                Doing::Introducing | Doing::CatchingUp { .. } | Doing::Live { .. } => {
                    (own_end, &mut self.events)
                }
            };
            if entry.prev != end.hash || end.seq.next() != Some(entry.at.seq) {
                return Err(format!("{} does not continue {end}", entry.at));
            }
            log.push(entry);
        }
        self.swap_when_done();
        Ok(Vec::new())
    }

    /// The old state gives way to the new one at once, and what of it the log has not is kept aside.
    fn swap_when_done(&mut self) {
        let Doing::Rebuilding(staging) = &mut self.doing else { return };
        let end = staging.tail.last().map_or(staging.base.at, |last| last.at);
        if !staging.is_received || end.seq < staging.target {
            return;
        }
        self.history_id = Some(staging.history_id);
        self.base = staging.base.clone();
        let old = std::mem::replace(&mut self.events, std::mem::take(&mut staging.tail));
        self.kept_aside.extend(old);
        self.doing = Doing::CatchingUp { recovery: staging.recovery, target: end.seq };
    }

    fn completed(&mut self, named: RecoveryId, at: LogPoint) -> Result<Vec<Up>, String> {
        match self.doing {
            Doing::CatchingUp { recovery, target }
                if recovery == named && target == at.seq && self.end() == at =>
            {
                self.doing = Doing::Live { recovery };
                Ok(Vec::new())
            }
            Doing::CatchingUp { .. } | Doing::Introducing | Doing::Rebuilding(_) | Doing::Live { .. } => {
                Err(format!("completed at {at} while {:?} at {}", self.doing, self.end()))
            }
        }
    }

    /// An acknowledgement that was on its way when its recovery ended, which is no fault.
    pub(crate) fn late_acknowledgement(&self) -> Option<Up> {
        let Doing::Live { recovery } = self.doing else { return None };
        let at = self.points().into_iter().find(|point| Some(point.seq) == self.acknowledged)?;
        Some(Up::Acknowledged { recovery: Some(recovery), at })
    }
}
