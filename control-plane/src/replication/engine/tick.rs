//! Moments in the life of an engine.

use std::time::Duration;

/// A moment, counted from any fixed instant by a clock that its caller reads. A clock that stands still or goes back is
/// as good as one that stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(Duration);

impl Tick {
    /// The moment so long after the instant that ticks are counted from.
    pub const fn new(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// How long ago `earlier` was; nothing when it is not earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment so much later.
    pub const fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }

    /// How long after the instant that ticks are counted from.
    pub const fn since_origin(self) -> Duration {
        self.0
    }
}
