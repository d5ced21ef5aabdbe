//! Whether what a leader must do goes on: a leader that leads without working gives its place away.
//!
//! Only a hang counts, one step that is neither done nor failed. A step that fails says so, is tried again, and would
//! fail on the next server as well.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The steps that are under way.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Steps>);

#[derive(Debug, Default)]
struct Steps {
    next: u64,
    under_way: BTreeMap<u64, (&'static str, Instant)>,
}

/// A step that is under way until this is dropped.
#[derive(Debug)]
pub struct Step<'a> {
    progress: &'a Progress,
    number: u64,
}

impl Progress {
    /// Begins a step of this duty.
    pub fn step(&self, duty: &'static str) -> Step<'_> {
        let mut steps = self.lock();
        let number = steps.next;
        steps.next += 1;
        steps.under_way.insert(number, (duty, Instant::now()));
        Step { progress: self, number }
    }

    /// A duty with a step that has been under way for longer than this.
    pub fn hung_for(&self, limit: Duration) -> Option<&'static str> {
        self.lock().under_way.values().find(|(_, began)| began.elapsed() > limit).map(|(duty, _)| *duty)
    }

    fn lock(&self) -> MutexGuard<'_, Steps> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.progress.lock().under_way.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_step_that_is_under_way_hangs() {
        let progress = Progress::default();
        assert_eq!(progress.hung_for(Duration::ZERO), None);
        let beats = progress.step("beats");
        let sweep = progress.step("sweep");
        assert_eq!(progress.hung_for(Duration::from_secs(3_600)), None);
        drop(beats);
        while sweep.progress.hung_for(Duration::from_nanos(1)).is_none() {}
        assert_eq!(progress.hung_for(Duration::from_nanos(1)), Some("sweep"));
        drop(sweep);
        assert_eq!(progress.hung_for(Duration::ZERO), None);
    }
}
