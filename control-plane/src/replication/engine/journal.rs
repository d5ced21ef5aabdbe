//! What happened to the replicas of a log, the latest of it. Pure.

use std::{collections::VecDeque, fmt};

use contracts::NodeId;

use super::Tick;

/// Entries of one log. At the bound the oldest is dropped.
pub const ENTRIES_MAX: usize = 256;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Tick,
    /// The node that keeps the replica.
    pub node_id: NodeId,
    /// What.
    pub name: EventName,
    /// The facts, for people.
    pub detail: String,
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What can happen. `docs/replication.md` lists them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventName {
            $($(#[$doc])* $name,)*
        }

        impl EventName {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

names! {
    /// A replica is known.
    SenderAdded = "sender_added";
    /// It is not any more.
    SenderRemoved = "sender_removed";
    /// A stream was opened.
    Connected = "connected";
    /// A recovery begins.
    SessionCreated = "session_created";
    /// A later stream takes over.
    SessionSuperseded = "session_superseded";
    /// A recovery or the live stream after it ends before it should.
    SessionInvalidated = "session_invalidated";
    /// It is known what the replica needs.
    Handshake = "handshake";
    /// It will not be known.
    HandshakeFailed = "handshake_failed";
    /// The replica needs a rebuild.
    Escalated = "escalated";
    /// A recovery went beyond its budget.
    BudgetEscalated = "budget_escalated";
    /// The replica held the log for too long.
    RetentionEscalated = "retention_escalated";
    /// As many recoveries are under way as may be.
    RecoveryQueued = "recovery_queued";
    /// A recovery that was under way was given up.
    PlanCancelled = "plan_cancelled";
    /// The plan is to send events.
    PlanCatchUp = "plan_catchup";
    /// The plan is a cut alone.
    PlanTruncateOnly = "plan_truncate_only";
    /// The plan is a checkpoint and the events after it.
    PlanRebuildSnapshotTail = "plan_rebuild_snapshot_tail";
    /// The plan is the state as it is now.
    PlanRebuildFullBase = "plan_rebuild_full_base";
    /// Events could not be held, or are not there.
    WalPinFailed = "wal_pin_failed";
    /// A checkpoint could not be held, or is not what its digest says.
    SnapshotPinFailed = "snapshot_pin_failed";
    /// The state could not be read.
    FullBasePinFailed = "full_base_pin_failed";
    /// Events begin to be sent.
    ExecCatchUpStarted = "exec_catchup_started";
    /// A cut is demanded.
    ExecTruncation = "exec_truncation";
    /// The replica did cut.
    TruncationRecorded = "truncation_recorded";
    /// It did not as demanded.
    TruncationFailed = "truncation_failed";
    /// An acknowledgement broke a rule.
    CatchUpProgressFailed = "catchup_progress_failed";
    /// Where a rebuild begins.
    RebuildSourceSelected = "rebuild_source_selected";
    /// A base begins to be sent.
    ExecRebuildStarted = "exec_rebuild_started";
    /// The replica has the base.
    RebuildBaseReceived = "rebuild_base_received";
    /// A rebuild ended before it should.
    RebuildFailed = "rebuild_failed";
    /// A rebuild is done.
    ExecRebuildCompleted = "exec_rebuild_completed";
    /// Whatever the recovery was, it is done: the replica is in sync.
    ExecCompleted = "exec_completed";
    /// What a recovery held is free.
    ExecResourcesReleased = "exec_resources_released";
    /// A replica in sync lags.
    Degraded = "degraded";
    /// It does not any more.
    Recovered = "recovered";
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The latest entries of one log.
#[derive(Debug, Default)]
pub(super) struct Journal {
    entries: VecDeque<Entry>,
}

impl Journal {
    pub(super) fn note(&mut self, at: Tick, node_id: &NodeId, name: EventName, detail: String) {
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { at, node_id: node_id.clone(), name, detail });
    }

    /// The last `count` entries, the oldest first.
    pub(super) fn recent(&self, count: usize) -> Vec<Entry> {
        self.entries.iter().skip(self.entries.len().saturating_sub(count)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::node, *};

    #[test]
    fn at_the_bound_the_oldest_is_dropped() {
        let mut journal = Journal::default();
        for entry in 0..=ENTRIES_MAX {
            journal.note(Tick::default(), &node("a"), EventName::Connected, entry.to_string());
        }
        let all = journal.recent(usize::MAX);
        assert_eq!((all.len(), all[0].detail.as_str()), (ENTRIES_MAX, "1"));
        let last: Vec<_> = journal.recent(2).into_iter().map(|entry| entry.detail).collect();
        assert_eq!(last, [(ENTRIES_MAX - 1).to_string(), ENTRIES_MAX.to_string()]);
        assert!(journal.recent(0).is_empty());
    }

    #[test]
    fn names_differ() {
        let names: std::collections::BTreeSet<_> = EventName::ALL.iter().map(|name| name.as_str()).collect();
        assert_eq!(names.len(), EventName::ALL.len());
    }
}
