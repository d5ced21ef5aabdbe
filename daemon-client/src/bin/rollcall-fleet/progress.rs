//! One line a second on stderr.

use std::time::Duration;

use crate::drill::Drill;

/// What the last line told, to tell rates.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    acknowledged: u64,
    at: Duration,
}

impl Progress {
    pub(crate) fn tell(&mut self, drill: &Drill, phase: &str) {
        let now = drill.clock.now();
        let roster = drill.roster();
        let (found, wrong) = (roster.found, roster.wrong);
        drop(roster);
        let tally = drill.tally();
        let elapsed = now.saturating_sub(self.at).as_secs_f64().max(0.001);
        let rate = (tally.acknowledged - self.acknowledged) as f64 / elapsed;
        (self.acknowledged, self.at) = (tally.acknowledged, now);
        let mut line = format!(
            "{:>5.0}s {phase}: {} attached, {rate:.0} beats/s acknowledged, {} in flight, {} refusals, {} reconnects",
            now.as_secs_f64(),
            tally.attached,
            tally.in_flight(),
            tally.refusals_in_all(),
            tally.reconnects,
        );
        if found + wrong > 0 {
            line += &format!(", {found} found silent, {wrong} wrong");
        }
        // Only while nothing goes on is the reason of interest.
        if rate < 0.5
            && let Some(setback) = &tally.last_setback
        {
            line += &format!("; last: {setback}");
        }
        eprintln!("{line}");
    }
}
