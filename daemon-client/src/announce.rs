//! Tells the application and the log where the node stands.

use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use crate::{Attachment, Detachment, Outcome, Setback, Standing};

/// Holds the one writing end of the watch. When it is dropped before the end, by a panic or by a runtime that shuts
/// down, the application is told so: the last standing would otherwise stay for ever.
pub(crate) struct Announcer {
    standing: watch::Sender<Standing>,
}

impl Announcer {
    pub(crate) fn new() -> (Self, watch::Receiver<Standing>) {
        let (standing, receiver) = watch::channel(Standing::Connecting { setback: None });
        (Self { standing }, receiver)
    }

    /// The watch, for what goes on beside the attachment.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    pub(crate) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Moves on to the next standing.
    pub(crate) fn apply(&self, transition: impl FnOnce(Standing) -> Standing) {
        let before = self.standing();
        let after = transition(before.clone());
        if after != before {
            log(&before, &after);
            self.standing.send_replace(after);
        }
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.apply(|standing| standing.ended(Outcome::TaskDied));
    }
}

/// One line for each change that someone may have to act on; the rest is for debugging.
fn log(before: &Standing, after: &Standing) {
    match after {
        Standing::Connecting { setback } => log_connecting(before, setback.as_ref()),
        Standing::Attached { attachment, setback, .. } => log_attached(before, attachment, setback.as_ref()),
        Standing::Fenced { attachment, setback, .. } => log_fenced(before, attachment, setback.as_ref()),
        Standing::Ended(outcome) => log_end(outcome),
    }
}

fn log_connecting(before: &Standing, setback: Option<&Setback>) {
    match (before, setback) {
        (Standing::Connecting { setback: was }, Some(setback)) => {
            log_setback("not attached, trying again", was.as_ref(), setback);
        }
        (Standing::Attached { .. } | Standing::Fenced { .. }, Some(setback)) => {
            warn!(reason = %setback, "no longer attached, attaching again");
        }
        // Nothing follows the end, and nothing comes back to the very beginning.
        (Standing::Ended(_), _) | (_, None) => {}
    }
}

fn log_attached(before: &Standing, attachment: &Attachment, setback: Option<&Setback>) {
    match before {
        Standing::Connecting { .. } => log_attachment("attached", attachment),
        Standing::Fenced { .. } => log_attachment("acknowledged again, the fence is lifted", attachment),
        Standing::Attached { attachment: before, setback: was, .. } => {
            log_change(before, attachment);
            match (was, setback) {
                (was, Some(setback)) => log_setback("not acknowledged, trying again", was.as_ref(), setback),
                (Some(_), None) => info!("acknowledged again"),
                (None, None) => {}
            }
        }
        Standing::Ended(_) => {}
    }
}

fn log_fenced(before: &Standing, attachment: &Attachment, setback: Option<&Setback>) {
    match before {
        Standing::Connecting { .. } | Standing::Attached { .. } => {
            warn!(
                silent_for_s = attachment.fence_after.as_secs_f64(),
                reason = setback.map(tracing::field::display),
                "fenced: silent for so long that the server may call this node offline"
            );
        }
        Standing::Fenced { setback: was, .. } => {
            if let Some(setback) = setback {
                log_setback("still fenced, trying again", was.as_ref(), setback);
            }
        }
        Standing::Ended(_) => {}
    }
}

fn log_end(outcome: &Outcome) {
    match outcome {
        Outcome::Detached(Detachment::Acknowledged | Detachment::NotAttached) => {
            info!("{outcome}")
        }
        Outcome::Detached(Detachment::Unacknowledged(_)) => warn!("{outcome}"),
        Outcome::Superseded(_)
        | Outcome::Revoked(_)
        | Outcome::SessionNotActive(_)
        | Outcome::PermissionDenied(_)
        | Outcome::TokenInvalid(_)
        | Outcome::UpgradeRequired(_)
        | Outcome::Refused(_)
        | Outcome::TaskDied => error!("{outcome}"),
    }
}

fn log_attachment(what: &str, attachment: &Attachment) {
    info!(
        attachment_id = %attachment.attachment_id,
        generation = attachment.generation,
        slot_state = attachment.slot_state.as_str_name(),
        read_only = attachment.read_only,
        "{what}"
    );
    log_degraded(attachment);
    log_read_only(attachment);
}

fn log_change(before: &Attachment, after: &Attachment) {
    if before.slot_state != after.slot_state {
        info!(slot_state = after.slot_state.as_str_name(), "the slot changed state");
    }
    if before.state_reasons != after.state_reasons {
        log_degraded(after);
    }
    if before.read_only != after.read_only {
        log_read_only(after);
        if !after.read_only {
            info!("no longer read-only");
        }
    }
}

fn log_degraded(attachment: &Attachment) {
    for reason in &attachment.state_reasons {
        warn!(
            kind = reason.kind().as_str_name(),
            capability = reason.capability_key,
            detail = reason.detail,
            "the slot is degraded"
        );
    }
}

fn log_read_only(attachment: &Attachment) {
    if attachment.read_only {
        let floor = attachment.min_client_version.as_deref().unwrap_or("unknown");
        warn!(floor, "read-only: this client is below the session's floor");
    }
}

/// The first setback of a kind is news, the same again is not.
fn log_setback(what: &str, before: Option<&Setback>, setback: &Setback) {
    if before.is_some_and(|before| before.is_like(setback)) {
        debug!(reason = %setback, "{what}");
    } else {
        warn!(reason = %setback, "{what}");
    }
}
