//! What a generation that a caller offers is worth: the order of refusal for everything but attach. No I/O, no clock.

/// What the database knows of a node, as far as an offered generation needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The node was revoked everywhere.
    pub node_revoked: bool,
    /// Generation of the active slot.
    pub active: Option<i64>,
    /// State of the slot that carries the offered generation.
    pub offered_slot: Option<OfferedSlot>,
    /// Whether a slot with a higher generation than the offered one was ever given.
    pub newer_exists: bool,
}

/// State of the slot that carries the offered generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferedSlot {
    /// It is the active one.
    Active,
    /// It was detached.
    Detached,
    /// It was revoked.
    Revoked,
}

/// What the generation is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds the node's active slot.
    Holds,
    /// Its slot was detached, and nobody attached since.
    Detached,
    /// Its slot, or its node, was revoked.
    Revoked,
    /// There is no active slot, and it is not the last one's either.
    NotAttached,
    /// A newer attach holds the slot.
    Superseded,
}

/// Judges an offered generation: revoked before not attached before superseded.
pub fn judge(known: Known) -> Standing {
    if known.node_revoked {
        return Standing::Revoked;
    }
    match (known.offered_slot, known.active) {
        (Some(OfferedSlot::Revoked), _) => Standing::Revoked,
        (Some(OfferedSlot::Active), _) => Standing::Holds,
        (Some(OfferedSlot::Detached), None) => Standing::Detached,
        (None, None) => Standing::NotAttached,
        (Some(OfferedSlot::Detached), Some(_)) => Standing::Superseded,
        (None, Some(_)) if known.newer_exists => Standing::Superseded,
        // A generation above all that were given: the database lost a history that the caller saw.
        (None, Some(_)) => Standing::NotAttached,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_come_in_their_order() {
        use OfferedSlot::{Active, Detached, Revoked};
        let check = |node_revoked, active, offered_slot, newer_exists, expected| {
            let known = Known { node_revoked, active, offered_slot, newer_exists };
            assert_eq!(judge(known), expected, "{known:?}");
        };
        check(false, Some(3), Some(Active), false, Standing::Holds);
        check(false, None, Some(Detached), false, Standing::Detached);
        check(false, None, Some(Detached), true, Standing::Detached);
        check(false, Some(4), Some(Detached), true, Standing::Superseded);
        check(false, Some(4), None, true, Standing::Superseded);
        check(false, Some(4), None, false, Standing::NotAttached);
        check(false, None, None, true, Standing::NotAttached);
        check(false, None, None, false, Standing::NotAttached);
        check(false, Some(4), Some(Revoked), true, Standing::Revoked);
        check(false, None, Some(Revoked), true, Standing::Revoked);
        for active in [None, Some(4)] {
            for offered in [None, Some(Active), Some(Detached), Some(Revoked)] {
                check(true, active, offered, true, Standing::Revoked);
            }
        }
    }
}
