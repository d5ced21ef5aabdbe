//! Replaces the certificate when its files change.
//!
//! The files are looked at, not watched: a look costs next to nothing, and it also sees the links that orchestrators
//! turn, and files on a network.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::{
    files::{Marks, TlsSettings},
    served::Served,
};
use crate::failure::chain;

/// How many looks in a row must meet the same error before it is told: the files are replaced one after the other, and
/// in between they do not fit.
const LOOKS_BEFORE_TOLD: u32 = 2;

/// Looks at the files once a period, for ever. `loaded` are the marks of what is presented at the start.
pub(super) async fn follow(settings: &TlsSettings, served: &Served, mut loaded: Marks, period: Duration) {
    // Not when it is loaded: that is before there are metrics.
    served.publish_expiry();
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut trouble = Trouble::default();
    loop {
        ticks.tick().await;
        // Before the files are read: what changes meanwhile is seen by the next look.
        let marks = settings.marks().await;
        if marks == loaded {
            trouble = Trouble::default();
            continue;
        }
        match settings.load().await {
            Ok(certified) => {
                served.replace(certified);
                served.publish_expiry();
                loaded = marks;
                trouble = Trouble::default();
                tracing::info!(certificate = %settings.certificate.display(), "the certificate was replaced");
            }
            // Looked at again the next time, even if nothing has changed: the cause may lie outside of the files.
            Err(error) => {
                let error = chain(&error);
                if trouble.is_to_be_told(&error) {
                    tracing::error!(error, "the new certificate cannot be used: the old one stays");
                }
            }
        }
    }
}

/// The error of the looks up to now.
#[derive(Debug, Default)]
struct Trouble {
    error: String,
    looks: u32,
}

impl Trouble {
    /// Counts one more look that met `error`; whether it is now time to tell.
    fn is_to_be_told(&mut self, error: &str) -> bool {
        if self.error != error {
            *self = Self { error: error.to_owned(), looks: 0 };
        }
        self.looks = self.looks.saturating_add(1);
        self.looks == LOOKS_BEFORE_TOLD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_once_and_not_before_it_lasts() {
        let mut trouble = Trouble::default();
        let told = ["a", "b", "b", "b", "a", "a"].map(|error| trouble.is_to_be_told(error));
        assert_eq!(told, [false, false, true, false, false, true]);
    }
}
