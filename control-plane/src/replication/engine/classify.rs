//! What a replica needs: one pure function over what is retained, where the replica stands, and what was compared.
//! Nothing else decides, and nothing decides again.

use std::fmt;

use contracts::log::{HistoryId, LogPoint, Seq};

use super::{Compared, Evidence, RetainedHistory, Spent, Unrecoverable};

/// Where a replica says it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    history_id: Option<HistoryId>,
    at: Option<LogPoint>,
    base_seq: Seq,
}

/// A replica that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImpossibleStanding {
    /// It has events of no history.
    #[error("a replica that holds something follows a history")]
    NoHistory,
    /// Its base lies beyond its end.
    #[error("a replica that ends at {at} has no base up to {base_seq}")]
    BaseBeyondEnd {
        /// Up to where it says it holds a base.
        base_seq: Seq,
        /// Where it says it ends.
        at: Seq,
    },
}

impl Standing {
    /// A replica that follows `history_id`, ends at `at`, and holds a base instead of events up to `base_seq`.
    ///
    /// # Errors
    ///
    /// There is no such replica.
    pub fn new(
        history_id: Option<HistoryId>,
        at: Option<LogPoint>,
        base_seq: Seq,
    ) -> Result<Self, ImpossibleStanding> {
        if history_id.is_none() && at.is_some() {
            return Err(ImpossibleStanding::NoHistory);
        }
        let end = at.map_or(Seq::ORIGIN, |at| at.seq);
        if base_seq > end {
            return Err(ImpossibleStanding::BaseBeyondEnd { base_seq, at: end });
        }
        Ok(Self { history_id, at, base_seq })
    }

    /// Where it ends, in a log that begins at `origin`.
    pub(super) fn end(&self, origin: LogPoint) -> LogPoint {
        self.at.unwrap_or(origin)
    }
}

/// What a replica needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it is equal to the log.
    ZeroGap {
        /// Where both end.
        at: LogPoint,
    },
    /// To cut off what the log has not; after that it is equal to the log.
    TruncateOnly {
        /// The place that it cuts its log to, where the log ends.
        to: LogPoint,
    },
    /// Events that are retained, and maybe a cut first.
    CatchUp {
        /// The last place in common.
        from: LogPoint,
        /// Whether the replica has something else after that, which it must cut off.
        truncate: bool,
        /// Where the log ends now.
        target: LogPoint,
    },
    /// A base, and the events after it.
    Rebuild(RebuildReason),
    /// Nothing that this log could give: the replica follows another history.
    ForeignHistory {
        /// The one that it follows.
        theirs: HistoryId,
        /// That of this log.
        ours: HistoryId,
    },
    /// To tell, as the log must, what hashes it has at these places; then it is known.
    Compare(Vec<Seq>),
}

impl Need {
    /// Whether it is a recovery that is worth counting: one that reads much.
    pub(super) fn takes_a_slot(&self) -> bool {
        match self {
            Self::CatchUp { .. } | Self::Rebuild(_) => true,
            Self::ZeroGap { .. }
            | Self::TruncateOnly { .. }
            | Self::ForeignHistory { .. }
            | Self::Compare(_) => false,
        }
    }
}

/// Why a replica cannot be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebuildReason {
    /// The events after its end are not all retained. Nothing is claimed about its lineage.
    BehindTail {
        /// Where it ends.
        at: Seq,
        /// Up to where the log is pruned.
        tail: Seq,
    },
    /// Its base is of events that the log has not.
    BaseBeyondHead {
        /// Up to where it holds a base.
        base_seq: Seq,
        /// Where the log ends.
        head: Seq,
    },
    /// Of the places that both could tell it has none in common with the log.
    NothingInCommon {
        /// The lowest place that both could tell.
        lowest: Seq,
        /// The highest.
        highest: Seq,
    },
    /// It shares a place with the log, and not all events after that can be replayed.
    Unreplayable(Unrecoverable),
    /// A recovery of it did not converge.
    BudgetSpent(Spent),
    /// It held the log for longer than is allowed.
    OverRetention {
        /// What it has.
        acknowledged: Seq,
        /// What every replica has to have.
        hold_after: Seq,
    },
    /// It was so when this server became active.
    DeclaredBefore,
}

impl fmt::Display for RebuildReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BehindTail { at, tail } => {
                write!(
                    f,
                    "gap_beyond_retention: the replica ends at {at}, retained are the events after {tail}"
                )
            }
            Self::BaseBeyondHead { base_seq, head } => {
                write!(f, "base_beyond_head: the replica's base is of {base_seq}, the log ends at {head}")
            }
            Self::NothingInCommon { lowest, highest } => {
                write!(f, "nothing_in_common: no place from {lowest} to {highest} is equal in both")
            }
            Self::Unreplayable(lacks) => write!(f, "gap_unreplayable: {lacks}"),
            Self::BudgetSpent(spent) => spent.fmt(f),
            Self::OverRetention { acknowledged, hold_after } => {
                write!(
                    f,
                    "over_retention: the replica has {acknowledged}, the log is held up to {hold_after} at most"
                )
            }
            Self::DeclaredBefore => f.write_str("declared_before: by an earlier server"),
        }
    }
}

impl RebuildReason {
    /// Whether it was decided, and not merely found. What was found is looked for anew, for it may be true no longer: a
    /// replica that was just rebuilt may have lost its stream before it could say so.
    pub fn is_verdict(self) -> bool {
        match self {
            Self::BudgetSpent(_) | Self::OverRetention { .. } | Self::DeclaredBefore => true,
            Self::BehindTail { .. }
            | Self::BaseBeyondHead { .. }
            | Self::NothingInCommon { .. }
            | Self::Unreplayable(_) => false,
        }
    }
}

/// Says what a replica needs. One on which the verdict is a rebuild gets nothing less, whatever it says of itself.
pub fn classify(
    history: &RetainedHistory,
    replica: &Standing,
    declared: Option<RebuildReason>,
    evidence: &Evidence,
) -> Need {
    if let Some(theirs) = replica.history_id.filter(|theirs| *theirs != history.history_id()) {
        return Need::ForeignHistory { theirs, ours: history.history_id() };
    }
    if let Some(reason) = declared.filter(|reason| reason.is_verdict()) {
        return Need::Rebuild(reason);
    }
    let (at, head) = (replica.end(history.origin()), history.head());
    if at.seq < history.floor() {
        return Need::Rebuild(RebuildReason::BehindTail { at: at.seq, tail: history.floor() });
    }
    if replica.base_seq > head.seq {
        return Need::Rebuild(RebuildReason::BaseBeyondHead { base_seq: replica.base_seq, head: head.seq });
    }
    let (lowest, highest) = (history.floor().max(replica.base_seq), at.seq.min(head.seq));
    match last_in_common(history, at, lowest, highest, evidence) {
        Search::Open(places) => Need::Compare(places),
        Search::Nothing => Need::Rebuild(RebuildReason::NothingInCommon { lowest, highest }),
        Search::Common(from) => continue_from(history, from, at),
    }
}

fn continue_from(history: &RetainedHistory, from: LogPoint, at: LogPoint) -> Need {
    let target = history.head();
    if let Err(lacks) = history.recoverable(from.seq, target.seq) {
        return Need::Rebuild(RebuildReason::Unreplayable(lacks));
    }
    match (from.seq == target.seq, from.seq < at.seq) {
        (true, false) => Need::ZeroGap { at: from },
        (true, true) => Need::TruncateOnly { to: from },
        (false, truncate) => Need::CatchUp { from, truncate, target },
    }
}

enum Search {
    Open(Vec<Seq>),
    Nothing,
    Common(LogPoint),
}

fn last_in_common(
    history: &RetainedHistory,
    at: LogPoint,
    lowest: Seq,
    highest: Seq,
    evidence: &Evidence,
) -> Search {
    let mut evidence = evidence.clone();
    if at.seq <= history.head().seq {
        if let Some(hash) = history.known_hash(at.seq) {
            evidence.compare(&[Compared { seq: at.seq, log: Some(hash), replica: Some(at.hash) }]);
        }
        // Most replicas are just behind: one look at the log, and no question to the replica.
        if !evidence.is_decided_at(at.seq) {
            return Search::Open(vec![at.seq]);
        }
    }
    let places = evidence.next_places(lowest, highest);
    match evidence.common() {
        _ if !places.is_empty() => Search::Open(places),
        Some(common) if common.seq >= lowest => Search::Common(common),
        Some(_) | None => Search::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::*, *};

    /// Classifies as the engine does: asks the log, which knows `point` after its floor, and a replica that is equal to
    /// it up to `common`.
    fn settled(history: &RetainedHistory, replica: &Standing, common: u64) -> Need {
        let mut evidence = Evidence::default();
        let at = replica.end(history.origin());
        for _ in 0..20 {
            let Need::Compare(places) = classify(history, replica, None, &evidence) else { break };
            evidence.asked();
            for place in &places {
                assert!(
                    *place >= replica.base_seq && *place <= at.seq,
                    "{place} cannot be told by the replica"
                );
                assert!(*place >= history.floor() && *place <= history.head().seq, "{place} not by the log");
            }
            evidence.compare(&compared(&places, common));
        }
        classify(history, replica, None, &evidence)
    }

    fn replica(at: u64, common: u64, base: u64) -> Standing {
        let at = if at <= common { point(at) } else { other(at) };
        Standing::new(Some(history_id()), Some(at), seq(base)).unwrap()
    }

    /// A replica that ends at `at`, is equal to the log up to `common`, and has a base up to `base`.
    #[track_caller]
    fn check(history: &RetainedHistory, (at, common, base): (u64, u64, u64), expected: Need) {
        assert_eq!(settled(history, &replica(at, common, base), common), expected, "{at} {common} {base}");
    }

    fn catch_up(from: u64, truncate: bool, target: u64) -> Need {
        Need::CatchUp { from: point(from), truncate, target: point(target) }
    }

    fn behind(at: u64, tail: u64) -> Need {
        Need::Rebuild(RebuildReason::BehindTail { at: seq(at), tail: seq(tail) })
    }

    fn nothing(lowest: u64, highest: u64) -> Need {
        Need::Rebuild(RebuildReason::NothingInCommon { lowest: seq(lowest), highest: seq(highest) })
    }

    #[test]
    fn a_replica_that_cannot_be_is_refused() {
        let new = |history, at, base| Standing::new(history, at, seq(base)).map(drop);
        assert_eq!(new(None, None, 0), Ok(()));
        assert_eq!(new(Some(history_id()), None, 0), Ok(()));
        assert_eq!(new(Some(history_id()), Some(point(5)), 5), Ok(()));
        let beyond = ImpossibleStanding::BaseBeyondEnd { base_seq: seq(6), at: seq(5) };
        assert_eq!(new(Some(history_id()), Some(point(5)), 6), Err(beyond));
        assert_eq!(new(None, Some(point(5)), 0), Err(ImpossibleStanding::NoHistory));
        assert!(new(Some(history_id()), None, 1).is_err());
    }

    /// A4, A6: the end, the retained range and its boundaries.
    #[test]
    fn a_replica_of_this_log_lacks_nothing_or_events_or_too_many() {
        let history = log(80, 100);
        check(&history, (100, 100, 0), Need::ZeroGap { at: point(100) });
        check(&history, (99, 99, 0), catch_up(99, false, 100));
        check(&history, (81, 81, 0), catch_up(81, false, 100));
        check(&history, (80, 80, 0), catch_up(80, false, 100));
        check(&history, (79, 79, 0), behind(79, 80));
        check(&history, (0, 0, 0), behind(0, 80));
        check(&history, (90, 90, 90), catch_up(90, false, 100));
        check(&history, (100, 100, 100), Need::ZeroGap { at: point(100) });
    }

    #[test]
    fn an_empty_replica_gets_all_that_was_ever_written_or_a_rebuild() {
        for history_id in [None, Some(history_id())] {
            let empty = Standing::new(history_id, None, Seq::ORIGIN).unwrap();
            let check = |history, expected| assert_eq!(settled(&history, &empty, 0), expected);
            check(log(0, 0), Need::ZeroGap { at: point(0) });
            check(log(0, 1), catch_up(0, false, 1));
            check(log(0, 100), catch_up(0, false, 100));
            check(log(1, 100), behind(0, 1));
        }
    }

    /// A2, FC6: the numbers are equal or higher, and the log is another one.
    #[test]
    fn what_the_log_has_not_is_cut_off_at_the_last_place_in_common() {
        let history = log(80, 100);
        check(&history, (100, 99, 0), catch_up(99, true, 100));
        check(&history, (100, 80, 0), catch_up(80, true, 100));
        check(&history, (100, 79, 0), nothing(80, 100));
        check(&history, (90, 85, 0), catch_up(85, true, 100));
        check(&history, (80, 79, 0), nothing(80, 80));
        check(&history, (101, 100, 0), Need::TruncateOnly { to: point(100) });
        check(&history, (500, 100, 0), Need::TruncateOnly { to: point(100) });
        check(&history, (500, 99, 0), catch_up(99, true, 100));
        check(&history, (500, 80, 0), catch_up(80, true, 100));
        check(&history, (500, 79, 0), nothing(80, 100));
        let origin = log(0, 100);
        check(&origin, (50, 0, 0), catch_up(0, true, 100));
        let empty = log(0, 0);
        check(&empty, (50, 0, 0), Need::TruncateOnly { to: point(0) });
    }

    #[test]
    fn a_replica_tells_nothing_of_what_its_base_stands_for() {
        let history = log(80, 100);
        check(&history, (95, 90, 90), catch_up(90, true, 100));
        check(&history, (95, 89, 90), nothing(90, 95));
        check(&history, (150, 100, 100), Need::TruncateOnly { to: point(100) });
        let beyond = RebuildReason::BaseBeyondHead { base_seq: seq(101), head: seq(100) };
        check(&history, (150, 100, 101), Need::Rebuild(beyond));
        check(&history, (120, 79, 50), nothing(80, 100));
    }

    #[test]
    fn a_log_with_a_hole_is_continued_only_after_it() {
        let mut history = log(80, 100);
        history.lacks(seq(90));
        let hole = Need::Rebuild(RebuildReason::Unreplayable(Unrecoverable::Missing(seq(90))));
        check(&history, (89, 89, 0), hole);
        check(&history, (90, 90, 0), catch_up(90, false, 100));
        check(&history, (100, 100, 0), Need::ZeroGap { at: point(100) });
    }

    #[test]
    fn another_history_is_foreign_whatever_its_numbers_say() {
        let history = log(0, 100);
        let (ours, theirs) = (history_id(), HistoryId(uuid::Uuid::from_u128(2)));
        for at in [None, Some(point(0)), Some(point(50)), Some(point(100)), Some(point(900))] {
            let replica = Standing::new(Some(theirs), at, Seq::ORIGIN).unwrap();
            for declared in [None, Some(RebuildReason::DeclaredBefore)] {
                let need = classify(&history, &replica, declared, &Evidence::default());
                assert_eq!(need, Need::ForeignHistory { theirs, ours });
            }
        }
    }

    #[test]
    fn a_verdict_stands_and_what_was_merely_found_is_looked_for_anew() {
        let (history, nothing_compared) = (log(80, 100), Evidence::default());
        let over = RebuildReason::OverRetention { acknowledged: seq(1), hold_after: seq(2) };
        let spent = RebuildReason::BudgetSpent(Spent::Entries(9));
        for verdict in [RebuildReason::DeclaredBefore, over, spent] {
            for at in [0, 79, 80, 100, 150] {
                let need = classify(&history, &replica(at, 100, 0), Some(verdict), &nothing_compared);
                assert_eq!(need, Need::Rebuild(verdict));
            }
        }
        for found in [
            RebuildReason::BehindTail { at: seq(5), tail: seq(80) },
            RebuildReason::BaseBeyondHead { base_seq: seq(120), head: seq(100) },
            RebuildReason::NothingInCommon { lowest: seq(80), highest: seq(90) },
            RebuildReason::Unreplayable(Unrecoverable::Missing(seq(85))),
        ] {
            let classify = |at| classify(&history, &replica(at, 100, 0), Some(found), &nothing_compared);
            assert_eq!(classify(100), Need::ZeroGap { at: point(100) });
            assert_eq!(classify(80), catch_up(80, false, 100));
            assert_eq!(classify(79), behind(79, 80));
        }
    }

    #[test]
    fn what_is_being_pruned_while_it_is_compared_is_gone() {
        let mut history = log(0, 100);
        let mut evidence = Evidence::default();
        let replica = replica(50, 50, 0);
        assert_eq!(classify(&history, &replica, None, &evidence), Need::Compare(vec![seq(50)]));
        evidence.compare(&compared(&[seq(50)], 50));
        history.begin_pruning(seq(50));
        assert_eq!(classify(&history, &replica, None, &evidence), catch_up(50, false, 100));
        history.begin_pruning(seq(51));
        assert_eq!(classify(&history, &replica, None, &evidence), behind(50, 51));
    }

    /// Every replica of every small log, compared with what follows from the definition.
    #[test]
    fn every_small_case_is_decided_as_defined() {
        let mut cases = 0;
        for head in 0..9 {
            for tail in 0..=head {
                let history = log(tail, head);
                for at in 0..12 {
                    for common in 0..=at.min(head) {
                        for base in 0..=at {
                            let need = settled(&history, &replica(at, common, base), common);
                            let provable = common >= tail && common >= base;
                            let expected = if at < tail {
                                behind(at, tail)
                            } else if base > head {
                                let (base_seq, head) = (seq(base), seq(head));
                                Need::Rebuild(RebuildReason::BaseBeyondHead { base_seq, head })
                            } else if !provable {
                                nothing(tail.max(base), at.min(head))
                            } else if common == head && at == head {
                                Need::ZeroGap { at: point(head) }
                            } else if common == head {
                                Need::TruncateOnly { to: point(head) }
                            } else {
                                catch_up(common, at > common, head)
                            };
                            assert_eq!(need, expected, "({tail}, {head}] {at} {common} {base}");
                            cases += 1;
                        }
                    }
                }
            }
        }
        assert!(cases > 5_000, "{cases}");
    }
}
