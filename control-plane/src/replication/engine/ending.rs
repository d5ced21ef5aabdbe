//! The one way out of an exchange that did not end well: slot and pins are free, the reason is noted, the stream is told.

use super::{
    Act, Closing, EventName, RebuildReason,
    executor::{Ending, Executor},
    phase::Phase,
    sender::Seat,
};

/// What there was before a step that ended the exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    phase: &'static str,
    recovery: Option<Underway>,
}

#[derive(Clone, Copy, Debug)]
struct Underway {
    is_rebuild: bool,
    pins: usize,
}

impl Before {
    /// A stream that was just opened.
    pub(super) const INTRODUCTION: Self = Self { phase: "introduction", recovery: None };

    pub(super) fn of(phase: &Phase) -> Self {
        let underway = |pins| Underway { is_rebuild: phase.is_rebuild(), pins };
        Self { phase: phase.name(), recovery: phase.work().map(|work| underway(work.pins.len())) }
    }
}

impl Before {
    fn failed_step(self) -> EventName {
        match (self.recovery, self.phase) {
            (None, "live") => EventName::CatchUpProgressFailed,
            (None, _) => EventName::HandshakeFailed,
            (Some(Underway { is_rebuild: true, .. }), _) => EventName::RebuildFailed,
            (Some(_), "truncating") => EventName::TruncationFailed,
            (Some(_), _) => EventName::CatchUpProgressFailed,
        }
    }
}

impl Ending {
    /// Why, in a word.
    fn name(self) -> &'static str {
        match self {
            Self::StreamClosed => "stream_closed",
            Self::Closing(closing) => match closing {
                Closing::ForeignHistory { .. } => "foreign_history",
                Closing::Superseded => "endpoint_changed",
                Closing::OutOfStep(_) => "out_of_step",
                Closing::HandshakeTimeout => "handshake_timeout",
                Closing::BudgetSpent(_) => "budget_spent",
                Closing::PinExpired => "pin_expired",
                Closing::EventMissing(_) => "event_missing",
                Closing::PinFailed => "pin_failed",
                Closing::BaseFailed => "base_failed",
                Closing::OverRetention => "over_retention",
                Closing::Removed => "removed",
                Closing::EpochOver => "epoch_over",
            },
        }
    }

    /// What failed by it, with the facts; nothing where the ending was not the exchange's own.
    fn failure(self, before: Before) -> Option<(EventName, String)> {
        let Self::Closing(closing) = self else { return None };
        let failure = match closing {
            Closing::ForeignHistory { theirs, ours } => {
                (EventName::HandshakeFailed, format!("foreign_history: {theirs}, and this is {ours}"))
            }
            Closing::HandshakeTimeout => (EventName::HandshakeFailed, "timeout".to_owned()),
            Closing::Superseded => {
                (EventName::SessionSuperseded, "by a later stream or generation".to_owned())
            }
            Closing::OutOfStep(violation) => (before.failed_step(), violation.to_string()),
            Closing::BudgetSpent(spent) => (EventName::BudgetEscalated, spent.to_string()),
            Closing::EventMissing(seq) => {
                (EventName::WalPinFailed, format!("event {seq} is missing in the log"))
            }
            Closing::BaseFailed => (EventName::FullBasePinFailed, "the base could not be read".to_owned()),
            Closing::PinExpired
            | Closing::PinFailed
            | Closing::OverRetention
            | Closing::Removed
            | Closing::EpochOver => return None,
        };
        Some(failure)
    }
}

impl Executor<'_> {
    /// The exchange goes on. When a recovery was under way and is not any more, it is done.
    pub(super) fn went_on(&mut self, before: Before, phase: &Phase) {
        if let Some(Underway { pins, .. }) = before.recovery.filter(|_| phase.work().is_none()) {
            self.released(pins, "completed");
        }
    }

    fn released(&mut self, pins: usize, why: &str) {
        if pins > 0 {
            self.note(EventName::ExecResourcesReleased, format!("{pins} pins, {why}"));
        }
    }

    /// The exchange is over. Its phase was consumed, and with it the pins that it held.
    pub(super) fn ended(&mut self, seat: &Seat, before: Before, ending: Ending) {
        self.slots.leave(&self.replica);
        let why = ending.name();
        if let Some((name, detail)) = ending.failure(before) {
            self.note(name, detail);
        }
        if let Some(Underway { is_rebuild, pins }) = before.recovery {
            self.note(EventName::PlanCancelled, format!("{why} in {}", before.phase));
            if is_rebuild {
                self.note(EventName::RebuildFailed, why.to_owned());
            }
            self.released(pins, why);
        }
        self.note(EventName::SessionInvalidated, format!("{why} in {}", before.phase));
        match ending {
            Ending::StreamClosed => {}
            Ending::Closing(closing) => {
                if let Closing::BudgetSpent(spent) = closing {
                    self.declare(RebuildReason::BudgetSpent(spent));
                }
                self.act(seat, Act::Close(closing));
            }
        }
    }
}
