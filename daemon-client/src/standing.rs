//! Where a node stands, as its own daemon can know it: the state machine. No I/O, no clock.
//!
//! ```text
//!              attached            silent for fence_after
//! Connecting ----------> Attached ------------------------> Fenced
//!      ^                  ^   |  <------------------------    |
//!      |      reattach    |   |         acknowledged          |
//!      +------------------|---+-------------------------------+
//!                         any -----------> Ended
//! ```
//!
//! The fence: silence is counted from the moment at which the last acknowledged call was *sent*, which is before the
//! server recorded it. So a client whose clock runs like the server's is fenced before the server calls the node
//! offline, with a margin for an application that needs a moment to stop.

use std::time::Duration;

use contracts::wire::v1::{SlotState, StateReason};
use tokio::time::Instant;

use crate::{Outcome, Setback};

/// Silence after which a server calls a node offline, unless it says otherwise.
const OFFLINE_AFTER_DEFAULT: Duration = Duration::from_secs(60);
/// No server is believed beyond this.
const OFFLINE_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The fence falls earlier than that by one part in so many.
const MARGIN_PART: u32 = 10;

/// Where the node stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// Not attached: on the way to the first attach, or to a new one.
    Connecting {
        /// Why the last try did not succeed, or why a new attach is needed.
        setback: Option<Setback>,
    },
    /// Attached, and acknowledged recently enough to be sure that the server thinks so too.
    Attached {
        /// The attachment.
        attachment: Attachment,
        /// When the node must consider itself out unless it is acknowledged before.
        fence_at: Instant,
        /// Why the last call did not succeed, if it did not.
        setback: Option<Setback>,
    },
    /// Attached for all that is known, but silent for so long that the server may have called the node offline. The
    /// application must consider itself out, and is back with the next acknowledged beat.
    Fenced {
        /// The attachment. Its generation is still valid unless the server says otherwise.
        attachment: Attachment,
        /// When the fence fell.
        since: Instant,
        /// Why the last call did not succeed.
        setback: Option<Setback>,
    },
    /// It is over.
    Ended(Outcome),
}

/// What the server said about this attachment.
#[derive(Clone, Debug, PartialEq)]
pub struct Attachment {
    /// The slot.
    pub attachment_id: String,
    /// Number that fences older attaches of the node.
    pub generation: u64,
    /// Where the slot stood when it was last told.
    pub slot_state: SlotState,
    /// Why the slot is degraded.
    pub state_reasons: Vec<StateReason>,
    /// Whether version-sensitive writes are refused to this node.
    pub read_only: bool,
    /// The session's floor, if it has one.
    pub min_client_version: Option<String>,
    /// Silence after which the node must consider itself out.
    pub fence_after: Duration,
}

impl Standing {
    /// Whether the application may act as a node of the session at `now`.
    ///
    /// Asks the clock rather than the state, so that it is right even before this client's task, which may have been
    /// held up, came to say so.
    pub fn may_act(&self, now: Instant) -> bool {
        match self {
            Self::Attached { fence_at, .. } => now < *fence_at,
            Self::Connecting { .. } | Self::Fenced { .. } | Self::Ended(_) => false,
        }
    }

    /// The attachment, if there is one.
    pub fn attachment(&self) -> Option<&Attachment> {
        match self {
            Self::Attached { attachment, .. } | Self::Fenced { attachment, .. } => Some(attachment),
            Self::Connecting { .. } | Self::Ended(_) => None,
        }
    }

    /// The outcome, once it is over.
    pub fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Ended(outcome) => Some(outcome),
            Self::Connecting { .. } | Self::Attached { .. } | Self::Fenced { .. } => None,
        }
    }

    /// When the fence falls, while it has not.
    pub(crate) fn fence_at(&self) -> Option<Instant> {
        match self {
            Self::Attached { fence_at, .. } => Some(*fence_at),
            Self::Connecting { .. } | Self::Fenced { .. } | Self::Ended(_) => None,
        }
    }

    /// An attach succeeded. `contact` is the latest moment at which the server surely had not recorded it yet.
    pub(crate) fn attached(self, attachment: Attachment, contact: Instant, now: Instant) -> Self {
        match self {
            Self::Connecting { .. } | Self::Attached { .. } | Self::Fenced { .. } => {
                let fence_at = contact + attachment.fence_after;
                Self::Attached { attachment, fence_at, setback: None }.tick(now)
            }
            Self::Ended(outcome) => Self::Ended(outcome),
        }
    }

    /// A beat that was sent at `sent_at` was acknowledged.
    pub(crate) fn acknowledged(
        self,
        read_only: bool,
        min_client_version: Option<String>,
        sent_at: Instant,
        now: Instant,
    ) -> Self {
        let acknowledged =
            |attachment: Attachment| Attachment { read_only, min_client_version, ..attachment };
        match self {
            Self::Attached { attachment, fence_at, setback: _ } => {
                let fence_at = fence_at.max(sent_at + attachment.fence_after);
                Self::Attached { attachment: acknowledged(attachment), fence_at, setback: None }.tick(now)
            }
            Self::Fenced { attachment, since, setback: _ } => {
                let fence_at = sent_at + attachment.fence_after;
                let attachment = acknowledged(attachment);
                if now < fence_at {
                    Self::Attached { attachment, fence_at, setback: None }
                } else {
                    Self::Fenced { attachment, since, setback: None }
                }
            }
            Self::Connecting { setback } => Self::Connecting { setback },
            Self::Ended(outcome) => Self::Ended(outcome),
        }
    }

    /// Time went by.
    pub(crate) fn tick(self, now: Instant) -> Self {
        match self {
            Self::Attached { attachment, fence_at, setback } if fence_at <= now => {
                Self::Fenced { attachment, since: fence_at, setback }
            }
            Self::Connecting { .. } | Self::Attached { .. } | Self::Fenced { .. } | Self::Ended(_) => self,
        }
    }

    /// A call did not succeed, and will be repeated.
    pub(crate) fn set_back(self, setback: Setback) -> Self {
        let setback = Some(setback);
        match self {
            Self::Connecting { .. } => Self::Connecting { setback },
            Self::Attached { attachment, fence_at, .. } => Self::Attached { attachment, fence_at, setback },
            Self::Fenced { attachment, since, .. } => Self::Fenced { attachment, since, setback },
            Self::Ended(outcome) => Self::Ended(outcome),
        }
    }

    /// The server does not hold the attachment any more: a new attach is needed.
    pub(crate) fn lost(self, setback: Setback) -> Self {
        match self {
            Self::Connecting { .. } | Self::Attached { .. } | Self::Fenced { .. } => {
                Self::Connecting { setback: Some(setback) }
            }
            Self::Ended(outcome) => Self::Ended(outcome),
        }
    }

    /// An update was accepted.
    pub(crate) fn updated(self, slot_state: SlotState, state_reasons: Vec<StateReason>) -> Self {
        self.with_attachment(|attachment| Attachment { slot_state, state_reasons, ..attachment })
    }

    /// An update was refused because of the session's floor. The next acknowledged beat has the last word.
    pub(crate) fn below_floor(self) -> Self {
        self.with_attachment(|attachment| Attachment { read_only: true, ..attachment })
    }

    /// It is over. The first outcome stays.
    pub(crate) fn ended(self, outcome: Outcome) -> Self {
        match self {
            Self::Connecting { .. } | Self::Attached { .. } | Self::Fenced { .. } => Self::Ended(outcome),
            Self::Ended(first) => Self::Ended(first),
        }
    }

    fn with_attachment(self, change: impl FnOnce(Attachment) -> Attachment) -> Self {
        match self {
            Self::Attached { attachment, fence_at, setback } => {
                Self::Attached { attachment: change(attachment), fence_at, setback }
            }
            Self::Fenced { attachment, since, setback } => {
                Self::Fenced { attachment: change(attachment), since, setback }
            }
            Self::Connecting { .. } | Self::Ended(_) => self,
        }
    }
}

/// Silence after which a node considers itself out, given the silence after which the server calls it offline.
pub(crate) fn fence_after(offline_after: Option<Duration>) -> Duration {
    let offline_after = offline_after
        .filter(|silence| !silence.is_zero())
        .unwrap_or(OFFLINE_AFTER_DEFAULT)
        .min(OFFLINE_AFTER_MAX);
    offline_after - offline_after / MARGIN_PART
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use contracts::refusal::{ReceivedRefusal, RetryAdvice};

    use crate::Detachment;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(54);
    const SECOND: Duration = Duration::from_secs(1);

    fn attachment() -> Attachment {
        Attachment {
            attachment_id: "slot".to_owned(),
            generation: 7,
            slot_state: SlotState::Online,
            state_reasons: Vec::new(),
            read_only: false,
            min_client_version: None,
            fence_after: WINDOW,
        }
    }

    fn setback() -> Setback {
        Setback::Unreachable { address: "a".parse().unwrap(), reason: "gone".to_owned() }
    }

    fn connecting() -> Standing {
        Standing::Connecting { setback: None }
    }

    fn attached(at: Instant) -> Standing {
        connecting().attached(attachment(), at, at)
    }

    fn fenced(at: Instant) -> Standing {
        attached(at).tick(at + WINDOW)
    }

    fn ended() -> Standing {
        Standing::Ended(Outcome::Detached(Detachment::Acknowledged))
    }

    fn all(at: Instant) -> [Standing; 4] {
        [connecting(), attached(at), fenced(at), ended()]
    }

    #[test]
    fn the_fence_falls_before_the_server_can_call_the_node_offline() {
        assert_eq!(fence_after(Some(Duration::from_secs(60))), WINDOW);
        assert_eq!(fence_after(None), WINDOW);
        assert_eq!(fence_after(Some(Duration::ZERO)), WINDOW);
        assert_eq!(fence_after(Some(SECOND)), Duration::from_millis(900));
        assert!(fence_after(Some(Duration::MAX)) < OFFLINE_AFTER_MAX);
    }

    #[test]
    fn an_attach_counts_from_its_contact() {
        let at = Instant::now();
        assert_eq!(attached(at).fence_at(), Some(at + WINDOW));
        assert!(attached(at).may_act(at));
        for standing in [connecting(), attached(at), fenced(at)] {
            let again = standing.attached(attachment(), at + SECOND, at + SECOND * 2);
            assert_eq!(again.fence_at(), Some(at + SECOND + WINDOW));
        }
    }

    #[test]
    fn an_attach_whose_answer_took_too_long_is_fenced_at_once() {
        let at = Instant::now();
        let standing = connecting().attached(attachment(), at, at + WINDOW);
        assert_eq!(
            standing,
            Standing::Fenced { attachment: attachment(), since: at + WINDOW, setback: None }
        );
    }

    #[test]
    fn the_fence_falls_on_the_instant() {
        let at = Instant::now();
        let just_before = at + WINDOW - Duration::from_nanos(1);
        assert!(attached(at).may_act(just_before));
        assert_eq!(attached(at).tick(just_before), attached(at));
        assert!(!attached(at).may_act(at + WINDOW), "even before the task came to say so");
        assert_eq!(
            attached(at).tick(at + WINDOW + SECOND),
            Standing::Fenced { attachment: attachment(), since: at + WINDOW, setback: None }
        );
    }

    #[test]
    fn time_changes_nothing_else() {
        let at = Instant::now();
        for standing in [connecting(), fenced(at), ended()] {
            assert_eq!(standing.clone().tick(at + WINDOW * 2), standing);
        }
    }

    #[test]
    fn only_an_attached_node_may_act() {
        let at = Instant::now();
        assert_eq!(all(at).map(|standing| standing.may_act(at)), [false, true, false, false]);
    }

    #[test]
    fn an_acknowledgement_counts_from_the_moment_it_was_asked_for() {
        let at = Instant::now();
        let (sent_at, now) = (at + SECOND, at + SECOND * 5);
        let standing =
            attached(at).set_back(setback()).acknowledged(true, Some("2.0".to_owned()), sent_at, now);
        let told = Attachment { read_only: true, min_client_version: Some("2.0".to_owned()), ..attachment() };
        let expected = Standing::Attached { attachment: told, fence_at: sent_at + WINDOW, setback: None };
        assert_eq!(standing, expected);
    }

    #[test]
    fn an_old_acknowledgement_never_draws_the_fence_nearer() {
        let at = Instant::now();
        let standing = attached(at).acknowledged(false, None, at - SECOND, at + SECOND);
        assert_eq!(standing.fence_at(), Some(at + WINDOW));
    }

    #[test]
    fn an_acknowledgement_brings_a_fenced_node_back() {
        let at = Instant::now();
        let sent_at = at + WINDOW * 2;
        let standing = fenced(at).set_back(setback()).acknowledged(false, None, sent_at, sent_at + SECOND);
        let expected =
            Standing::Attached { attachment: attachment(), fence_at: sent_at + WINDOW, setback: None };
        assert_eq!(standing, expected);
    }

    #[test]
    fn an_acknowledgement_read_too_late_brings_nobody_back() {
        // As after a pause of the whole process between the send and the read.
        let at = Instant::now();
        let (sent_at, now) = (at + SECOND, at + SECOND + WINDOW);
        let from_attached = attached(at).acknowledged(false, None, sent_at, now);
        assert_eq!(from_attached, Standing::Fenced { attachment: attachment(), since: now, setback: None });
        let from_fenced = fenced(at).acknowledged(false, None, sent_at, now);
        assert_eq!(
            from_fenced,
            Standing::Fenced { attachment: attachment(), since: at + WINDOW, setback: None }
        );
    }

    #[test]
    fn an_acknowledgement_without_attachment_changes_nothing() {
        let at = Instant::now();
        for standing in [connecting(), ended()] {
            assert_eq!(standing.clone().acknowledged(true, None, at, at), standing);
        }
    }

    #[test]
    fn a_setback_is_told_and_moves_no_fence() {
        let at = Instant::now();
        let told = Some(setback());
        assert_eq!(
            all(at).map(|standing| standing.set_back(setback())),
            [
                Standing::Connecting { setback: told.clone() },
                Standing::Attached { attachment: attachment(), fence_at: at + WINDOW, setback: told.clone() },
                Standing::Fenced { attachment: attachment(), since: at + WINDOW, setback: told },
                ended(),
            ]
        );
        let standing = attached(at).set_back(setback()).tick(at + WINDOW);
        assert!(matches!(standing, Standing::Fenced { setback: Some(_), .. }), "the fence says why");
    }

    #[test]
    fn a_lost_attachment_is_out_at_once() {
        let at = Instant::now();
        let lost = Standing::Connecting { setback: Some(setback()) };
        assert_eq!(
            all(at).map(|standing| standing.lost(setback())),
            [lost.clone(), lost.clone(), lost, ended()]
        );
    }

    #[test]
    fn updates_change_the_attachment_and_nothing_else() {
        let at = Instant::now();
        let reasons = vec![StateReason { detail: "disk".to_owned(), ..StateReason::default() }];
        for standing in all(at) {
            let fence_at = standing.fence_at();
            let updated = standing.clone().updated(SlotState::Degraded, reasons.clone());
            assert_eq!(updated.fence_at(), fence_at);
            assert_eq!(std::mem::discriminant(&updated), std::mem::discriminant(&standing));
            let expected = standing.attachment().cloned().map(|attachment| Attachment {
                slot_state: SlotState::Degraded,
                state_reasons: reasons.clone(),
                ..attachment
            });
            assert_eq!(updated.attachment(), expected.as_ref());

            let below = standing.clone().below_floor();
            assert_eq!(below.fence_at(), fence_at);
            assert_eq!(
                below.attachment().map(|attachment| attachment.read_only),
                standing.attachment().map(|_| true)
            );
        }
    }

    #[test]
    fn the_first_outcome_stays() {
        let at = Instant::now();
        let refusal = ReceivedRefusal {
            code: "runtimenode.generation_superseded".to_owned(),
            message: String::new(),
            advice: RetryAdvice::Never,
            retry_delay: None,
            facts: HashMap::new(),
            field: None,
        };
        let superseded = Outcome::Superseded(refusal);
        for standing in [connecting(), attached(at), fenced(at)] {
            let over = standing.ended(superseded.clone());
            assert_eq!(over.outcome(), Some(&superseded));
            assert_eq!(over.clone().ended(Outcome::TaskDied), over);
            assert_eq!(over.clone().attached(attachment(), at, at), over);
        }
    }
}
