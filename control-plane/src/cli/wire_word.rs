//! The values of the wire's enums as words: the proto's own name without its prefix, in lower case.

use contracts::wire::v1::{
    BaseSource, FindingKind, IdempotencyClass, LeadershipRole, MemberRole, MemberState, PresenceCause,
    PresenceHealth, ReplicaState, ResyncReason, SessionState, SlotState, StateReasonKind,
};

/// What a newer server may send and this build has no word for.
pub(crate) const UNKNOWN: &str = "unknown";

/// An enum of the wire.
pub(crate) trait WireEnum: TryFrom<i32> {
    /// What the proto puts before each name of this enum.
    const PREFIX: &'static str;

    /// The name in the proto.
    fn proto_name(&self) -> &'static str;
}

macro_rules! wire_enums {
    ($($name:ident = $prefix:literal;)*) => {$(
        impl WireEnum for $name {
            const PREFIX: &'static str = $prefix;

            fn proto_name(&self) -> &'static str {
                self.as_str_name()
            }
        }
    )*};
}

wire_enums! {
    BaseSource = "BASE_SOURCE_";
    FindingKind = "FINDING_KIND_";
    IdempotencyClass = "IDEMPOTENCY_CLASS_";
    LeadershipRole = "LEADERSHIP_ROLE_";
    MemberRole = "MEMBER_ROLE_";
    MemberState = "MEMBER_STATE_";
    PresenceCause = "PRESENCE_CAUSE_";
    PresenceHealth = "PRESENCE_HEALTH_";
    ReplicaState = "REPLICA_STATE_";
    ResyncReason = "RESYNC_REASON_";
    SessionState = "SESSION_STATE_";
    SlotState = "SLOT_STATE_";
    StateReasonKind = "STATE_REASON_KIND_";
}

/// The word for `value` of the enum `E`, such as `online`.
pub(crate) fn word<E: WireEnum>(value: i32) -> String {
    E::try_from(value)
        .ok()
        .and_then(|known| known.proto_name().strip_prefix(E::PREFIX))
        .filter(|name| *name != "UNSPECIFIED")
        .map_or_else(|| UNKNOWN.to_owned(), str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_lower_case_words() {
        assert_eq!(word::<SlotState>(SlotState::Registering.into()), "registering");
        assert_eq!(word::<PresenceHealth>(PresenceHealth::Offline.into()), "offline");
        assert_eq!(word::<PresenceCause>(PresenceCause::SelfReported.into()), "self_reported");
        assert_eq!(word::<SessionState>(SessionState::Archived.into()), "archived");
        assert_eq!(word::<MemberRole>(MemberRole::RuntimeContributor.into()), "runtime_contributor");
        assert_eq!(word::<MemberState>(MemberState::Suspended.into()), "suspended");
        assert_eq!(word::<FindingKind>(FindingKind::BelowFloor.into()), "below_floor");
        assert_eq!(word::<ReplicaState>(ReplicaState::CatchingUp.into()), "catching_up");
        assert_eq!(word::<BaseSource>(BaseSource::Full.into()), "full");
        assert_eq!(word::<ResyncReason>(ResyncReason::SlowReader.into()), "slow_reader");
        assert_eq!(
            word::<StateReasonKind>(StateReasonKind::UnsupportedFeature.into()),
            "unsupported_feature"
        );
        assert_eq!(
            word::<IdempotencyClass>(IdempotencyClass::ManualReconcileOnly.into()),
            "manual_reconcile_only"
        );
    }

    #[test]
    fn a_value_of_a_newer_server_is_unknown() {
        assert_eq!(word::<SlotState>(0), UNKNOWN);
        assert_eq!(word::<SlotState>(99), UNKNOWN);
    }
}
