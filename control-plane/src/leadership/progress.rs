//! Whether what a leader must do goes on: a leader that leads without working gives its place away.
//!
//! Only a hang counts: a step that is neither done nor failed, or steps in a row that the database did not answer in
//! time, which differ from it only in where the connection stalled. A step that fails says so, is tried again, and would
//! fail on the next server as well.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A part of a duty that takes one step at a time: all of it, or one lane.
type Part = (&'static str, usize);

/// What is waited for.
#[derive(Debug, Default)]
pub struct Progress(Mutex<BTreeMap<Part, Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    /// When the step that is under way began.
    since: Option<Instant>,
    /// How long the steps before it took that were not answered, since the last one that was.
    in_vain: Duration,
}

impl Waiting {
    fn time(&self) -> Duration {
        self.in_vain + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// A step that is under way until this is dropped.
#[derive(Debug)]
pub struct Step<'a> {
    progress: &'a Progress,
    part: Part,
    is_answered: bool,
}

impl Progress {
    /// Begins a step of this part of a duty.
    pub fn step(&self, duty: &'static str, part: usize) -> Step<'_> {
        let part = (duty, part);
        self.lock().entry(part).or_default().since = Some(Instant::now());
        Step { progress: self, part, is_answered: true }
    }

    /// A duty of which a part has waited for longer than this.
    pub fn hung_for(&self, limit: Duration) -> Option<&'static str> {
        self.lock().iter().find(|(_, waiting)| waiting.time() > limit).map(|((duty, _), _)| *duty)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Part, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Step<'_> {
    /// Ends it without an answer: what was waited for is still to come.
    pub fn unanswered(mut self) {
        self.is_answered = false;
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        let mut parts = self.progress.lock();
        if self.is_answered {
            parts.remove(&self.part);
        } else if let Some(waiting) = parts.get_mut(&self.part) {
            *waiting = Waiting { since: None, in_vain: waiting.time() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_nanos(1);

    fn wait_until_hung(progress: &Progress, limit: Duration) {
        while progress.hung_for(limit).is_none() {}
    }

    #[test]
    fn only_a_step_that_is_under_way_hangs() {
        let progress = Progress::default();
        assert_eq!(progress.hung_for(Duration::ZERO), None);
        let beats = progress.step("beats", 0);
        let sweep = progress.step("sweep", 0);
        assert_eq!(progress.hung_for(Duration::from_secs(3_600)), None);
        drop(beats);
        wait_until_hung(&progress, MOMENT);
        assert_eq!(progress.hung_for(MOMENT), Some("sweep"));
        drop(sweep);
        assert_eq!(progress.hung_for(Duration::ZERO), None);
    }

    #[test]
    fn steps_in_a_row_that_are_not_answered_hang_together_until_one_is() {
        let progress = Progress::default();
        let waited = || progress.lock().values().map(Waiting::time).sum::<Duration>();
        let step = progress.step("beats", 1);
        wait_until_hung(&progress, MOMENT);
        step.unanswered();
        let first = waited();
        assert_eq!(progress.hung_for(first), None, "time in between does not count");
        assert_eq!((waited(), progress.hung_for(MOMENT)), (first, Some("beats")));
        let step = progress.step("beats", 1);
        wait_until_hung(&progress, first);
        // Another lane that works says nothing of this one.
        drop(progress.step("beats", 0));
        assert_eq!(progress.hung_for(first), Some("beats"));
        drop(step);
        assert_eq!(progress.hung_for(Duration::ZERO), None);
    }
}
