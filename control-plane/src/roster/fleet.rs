//! The view itself. One lock guards it: a beat takes it for some hundred nanoseconds, a batch once.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use contracts::{NodeId, ParticipantId, SessionId};
use prost::Message;
use time::OffsetDateTime;
use tokio::sync::watch;

use super::change_log::{ChangeLog, Missed};
use crate::{
    nodes::slot::Slot,
    presence::health::{Health, Presence, Report},
    sessions::floor::Floor,
};

/// How long changes are kept for a watch that was cut off and may come back.
const RESUME_GRACE: Duration = Duration::from_secs(60);

/// The view of the fleet that one leader holds.
#[derive(Debug, Default)]
pub struct Fleet {
    state: Mutex<State>,
    membership_order: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    keys: HashMap<NodeId, i64>,
    nodes: HashMap<i64, LastSlot>,
    /// Who may run nodes in which session.
    runners: HashSet<(SessionId, ParticipantId)>,
    sessions: HashMap<SessionId, SessionRoster>,
    /// Nodes that were deleted: what was committed of them before, and comes here after, is dropped.
    forgotten: HashSet<i64>,
}

/// The slot that a node attached last.
#[derive(Clone, Copy, Debug)]
struct LastSlot {
    participant_id: ParticipantId,
    generation: i64,
    session_id: SessionId,
    active: bool,
}

#[derive(Debug)]
struct SessionRoster {
    floor: Floor,
    slots: HashMap<i64, Arc<Slot>>,
    changes: ChangeLog<Arc<Slot>>,
    /// Tells watches the number of the newest change.
    head: watch::Sender<u64>,
    /// Tells watches that somebody's membership changed.
    members: watch::Sender<()>,
    watchers: usize,
    /// When the last watch left; none while there is one, or when there never was.
    unwatched_since: Option<Instant>,
}

/// A beat of a node that holds its slot, by this view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedBeat {
    /// Key of the node; 0 is the canary's.
    pub node_key: i64,
    /// Generation that the beat carries.
    pub generation: i64,
    /// What the node says of its health.
    pub report: Report,
    session_id: SessionId,
}

impl CheckedBeat {
    /// Whether the node says that it is not well.
    pub fn is_degraded(&self) -> bool {
        match self.report {
            Report::Online => false,
            Report::Degraded => true,
        }
    }

    /// The beat of the canary of a leader with this epoch.
    pub fn canary(epoch: i64) -> Self {
        Self {
            node_key: 0,
            generation: epoch,
            report: Report::Online,
            session_id: SessionId(uuid::Uuid::nil()),
        }
    }
}

/// The view does not show that the caller holds the slot; the database knows why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotHere;

/// A presence that the sweep changed.
#[derive(Clone, Copy, Debug)]
pub struct SweptPresence {
    /// Key of the node.
    pub node_key: i64,
    /// Generation that the presence belongs to.
    pub generation: i64,
    /// What it is now.
    pub presence: Presence,
}

/// How many nodes are in which state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateCounts {
    /// Slots by state.
    pub slots: HashMap<&'static str, u64>,
    /// Presences of active slots by health and cause.
    pub presences: HashMap<(&'static str, &'static str), u64>,
    /// Active slots below their session's floor.
    pub read_only: u64,
}

impl Fleet {
    /// A view of these sessions and who may run nodes in them, without any slot yet.
    pub fn new(sessions: Vec<(SessionId, Floor)>, runners: Vec<(SessionId, ParticipantId)>) -> Self {
        let fleet = Self::default();
        {
            let mut state = fleet.lock();
            state.runners = runners.into_iter().collect();
            for (session_id, floor) in sessions {
                state.session(session_id).floor = floor;
            }
        }
        fleet
    }

    /// Puts a slot as it was just committed. Its presence, if it has one, is what the same transaction wrote.
    pub fn put(&self, slot: Slot) {
        self.lock().put(slot);
    }

    /// Puts a floor that was just committed: those below it are read-only from now on, and watches hear of it.
    pub fn raise_floor(&self, session_id: SessionId, floor: Floor) {
        let mut state = self.lock();
        let session = state.session(session_id);
        // Two raises may come here in another order than they were committed in.
        if let (Floor::At(held), Floor::At(raised)) = (&session.floor, &floor)
            && raised < held
        {
            return;
        }
        let former = std::mem::replace(&mut session.floor, floor);
        let turned: Vec<_> = session
            .slots
            .values()
            .filter(|slot| {
                former.is_above(&slot.client_version) != session.floor.is_above(&slot.client_version)
            })
            .cloned()
            .collect();
        for slot in turned {
            session.tell(slot, 0);
        }
    }

    /// To be held from before the commit of a membership until it is put here: of two changes of one membership the
    /// later one is put last, and a right that was taken does not come back.
    pub async fn membership_order(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.membership_order.lock().await
    }

    /// Puts whether a participant may run nodes in a session, as it was just committed. Watches look again whether
    /// their readers may see the session.
    pub fn set_runner(&self, session_id: SessionId, participant: ParticipantId, may: bool) {
        let mut state = self.lock();
        if may {
            state.runners.insert((session_id, participant));
        } else {
            state.runners.remove(&(session_id, participant));
        }
        state.session(session_id).members.send_replace(());
    }

    /// Drops nodes that were just deleted. Who watches a roster with one of them begins anew.
    pub fn forget(&self, node_keys: &HashSet<i64>) {
        let mut state = self.lock();
        state.forgotten.extend(node_keys);
        for node_key in node_keys {
            state.nodes.remove(node_key);
        }
        state.keys.retain(|_, key| !node_keys.contains(key));
        for session in state.sessions.values_mut() {
            let before = session.slots.len();
            for node_key in node_keys {
                session.slots.remove(node_key);
            }
            if session.slots.len() < before {
                session.changes.pass_over();
                session.head.send_replace(session.changes.head());
            }
        }
    }

    /// Checks beats against the view, in one go.
    pub fn check(
        &self,
        participant: ParticipantId,
        beats: &[(NodeId, i64, Report)],
    ) -> Vec<Result<CheckedBeat, NotHere>> {
        let state = self.lock();
        let check = |(node_id, generation, report): &(NodeId, i64, Report)| {
            let (node_key, session_id) = state.holds(participant, node_id, *generation)?;
            Some(CheckedBeat { node_key, generation: *generation, report: *report, session_id })
        };
        beats.iter().map(|beat| check(beat).ok_or(NotHere)).collect()
    }

    /// The session in which a node holds its slot under this generation, run by one who may.
    pub fn holds(&self, participant: ParticipantId, node_id: &NodeId, generation: i64) -> Option<SessionId> {
        self.lock().holds(participant, node_id, generation).map(|(_, session_id)| session_id)
    }

    /// Puts beats that were just committed, and gives each its read-only flag and floor.
    pub fn beaten(&self, beats: &[CheckedBeat], at: OffsetDateTime) -> Vec<(bool, Floor)> {
        let mut state = self.lock();
        beats
            .iter()
            .map(|beat| {
                let Some(session) = state.sessions.get_mut(&beat.session_id) else {
                    return (false, Floor::None);
                };
                let presence = Presence { health: beat.report.into(), last_heartbeat_at: at };
                session.put_presence(beat.node_key, beat.generation, presence);
                let read_only = session
                    .slots
                    .get(&beat.node_key)
                    .is_some_and(|slot| session.floor.is_above(&slot.client_version));
                (read_only, session.floor.clone())
            })
            .collect()
    }

    /// Puts what a sweep just committed.
    pub fn swept(&self, presences: &[SweptPresence]) {
        let mut state = self.lock();
        for SweptPresence { node_key, generation, presence } in presences {
            let Some(node) = state.nodes.get(node_key).copied() else { continue };
            if let Some(session) = state.sessions.get_mut(&node.session_id) {
                session.put_presence(*node_key, *generation, *presence);
            }
        }
    }

    /// Counts the fleet by state.
    pub fn counts(&self) -> StateCounts {
        let state = self.lock();
        let mut counts = StateCounts::default();
        for session in state.sessions.values() {
            for slot in session.slots.values() {
                *counts.slots.entry(slot.state.as_str()).or_default() += 1;
                if !slot.state.is_active() {
                    continue;
                }
                counts.read_only += u64::from(session.floor.is_above(&slot.client_version));
                if let Some(presence) = slot.presence {
                    *counts.presences.entry(presence.health.as_stored()).or_default() += 1;
                }
            }
        }
        counts
    }

    /// Registers a watch of a session, and gives what tells it of new changes.
    pub(super) fn watch(self: &Arc<Self>, session_id: SessionId) -> Watch {
        let mut state = self.lock();
        let session = state.session(session_id);
        session.watchers += 1;
        session.unwatched_since = None;
        Watch { fleet: Arc::clone(self), session_id, head: session.head.subscribe() }
    }

    /// Tells of changes of a session's memberships from now on.
    pub(super) fn members_of(&self, session_id: SessionId) -> watch::Receiver<()> {
        self.lock().session(session_id).members.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Slots as changes left them, with the numbers of the changes.
type NumberedSlots = Vec<(u64, Arc<Slot>)>;

/// A registered watch of one session. Dropping it ends the registration.
#[derive(Debug)]
pub(super) struct Watch {
    fleet: Arc<Fleet>,
    session_id: SessionId,
    head: watch::Receiver<u64>,
}

impl Watch {
    /// All slots of the session by node id, with its floor, and the number of the newest change among them.
    pub(super) fn snapshot(&self) -> (Vec<Arc<Slot>>, Floor, u64) {
        let mut state = self.fleet.lock();
        let session = state.session(self.session_id);
        let mut slots: Vec<_> = session.slots.values().cloned().collect();
        let (floor, head) = (session.floor.clone(), session.changes.head());
        drop(state);
        slots.sort_by(|left, right| left.node_id.cmp(&right.node_id));
        (slots, floor, head)
    }

    /// The changes after number `seen`, at most `limit`, with the floor that now holds.
    pub(super) fn changes(&self, seen: u64, limit: usize) -> Result<(NumberedSlots, Floor), Missed> {
        let mut state = self.fleet.lock();
        let session = state.session(self.session_id);
        Ok((session.changes.after(seen, limit)?, session.floor.clone()))
    }

    /// Waits until there is a change after number `seen`.
    pub(super) async fn wait_for_change_after(&mut self, seen: u64) {
        // The sender lives as long as the fleet, which this holds.
        let _: Result<_, watch::error::RecvError> = self.head.wait_for(|head| *head > seen).await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.fleet.lock();
        let session = state.session(self.session_id);
        session.watchers -= 1;
        if session.watchers == 0 {
            session.unwatched_since = Some(Instant::now());
        }
    }
}

impl State {
    /// The key of a node that holds its slot under this generation, run by one who may, and the session of the slot.
    fn holds(
        &self,
        participant: ParticipantId,
        node_id: &NodeId,
        generation: i64,
    ) -> Option<(i64, SessionId)> {
        let node_key = *self.keys.get(node_id)?;
        let node = self.nodes.get(&node_key)?;
        let holds = node.active
            && node.participant_id == participant
            && node.generation == generation
            && self.runners.contains(&(node.session_id, participant));
        holds.then_some((node_key, node.session_id))
    }

    fn session(&mut self, session_id: SessionId) -> &mut SessionRoster {
        self.sessions.entry(session_id).or_insert_with(SessionRoster::new)
    }

    fn put(&mut self, slot: Slot) {
        if self.forgotten.contains(&slot.node_key) {
            return;
        }
        let node = LastSlot {
            participant_id: slot.participant_id,
            generation: slot.generation,
            session_id: slot.session_id,
            active: slot.state.is_active(),
        };
        let former = self.nodes.get(&slot.node_key).copied();
        if former.is_none_or(|former| former.generation <= slot.generation) {
            self.keys.insert(slot.node_id.clone(), slot.node_key);
            self.nodes.insert(slot.node_key, node);
        }
        // The node's one presence follows it to the new slot.
        if let Some(left) = former
            .filter(|former| former.session_id != slot.session_id && former.generation < slot.generation)
        {
            self.session(left.session_id).lose_presence(slot.node_key);
        }
        self.session(slot.session_id).put(slot);
    }
}

impl SessionRoster {
    fn new() -> Self {
        Self {
            floor: Floor::None,
            slots: HashMap::new(),
            changes: ChangeLog::new(),
            head: watch::Sender::new(0),
            members: watch::Sender::new(()),
            watchers: 0,
            unwatched_since: None,
        }
    }

    fn put(&mut self, mut slot: Slot) {
        let mut is_declared_anew = true;
        if let Some(held) = self.slots.get(&slot.node_key) {
            if held.revision >= slot.revision {
                return;
            }
            if held.generation == slot.generation {
                slot.presence = later(held.presence, slot.presence);
            }
            if held.declaration == slot.declaration {
                slot.declaration = Arc::clone(&held.declaration);
                is_declared_anew = false;
            }
        }
        // What the log alone will keep from being freed, once the node declares something else.
        let declared_bytes = if is_declared_anew && self.holds_changes() {
            slot.declaration.to_wire().encoded_len()
        } else {
            0
        };
        let slot = Arc::new(slot);
        self.slots.insert(slot.node_key, Arc::clone(&slot));
        self.tell(slot, declared_bytes);
    }

    fn put_presence(&mut self, node_key: i64, generation: i64, presence: Presence) {
        let Some(held) = self.slots.get_mut(&node_key) else { return };
        if held.generation != generation || !held.state.is_active() {
            return;
        }
        let former = held.presence;
        let presence = later(former, Some(presence));
        if former == presence {
            return;
        }
        // In place unless a watch holds the former one: most beats change nothing but the time.
        let slot = Arc::make_mut(held);
        slot.presence = presence;
        if former.map(health) != presence.map(health) {
            let slot = Arc::clone(held);
            self.tell(slot, 0);
        }
    }

    fn lose_presence(&mut self, node_key: i64) {
        let Some(held) = self.slots.get_mut(&node_key).filter(|held| held.presence.is_some()) else { return };
        Arc::make_mut(held).presence = None;
        let slot = Arc::clone(held);
        self.tell(slot, 0);
    }

    /// Whether somebody watches, or may come back to a watch.
    fn holds_changes(&self) -> bool {
        self.watchers > 0 || self.unwatched_since.is_some_and(|since| since.elapsed() < RESUME_GRACE)
    }

    fn tell(&mut self, slot: Arc<Slot>, declared_bytes: usize) {
        if self.holds_changes() {
            self.changes.push(slot, declared_bytes);
        } else {
            self.changes.pass_over();
        }
        self.head.send_replace(self.changes.head());
    }
}

fn health(presence: Presence) -> Health {
    presence.health
}

/// Of two presences the one with the later beat; of two with the same beat the second, which was committed later.
fn later(first: Option<Presence>, second: Option<Presence>) -> Option<Presence> {
    match (first, second) {
        (Some(first), Some(second)) if first.last_heartbeat_at > second.last_heartbeat_at => Some(first),
        (first, second) => second.or(first),
    }
}
