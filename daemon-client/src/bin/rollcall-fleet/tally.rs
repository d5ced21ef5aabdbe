//! What the streams and attaches have seen so far.

use std::{collections::BTreeMap, time::Duration};

use crate::{gaps::Gaps, histogram::Histogram};

/// Codes that are counted apart. The registry has fewer; a server that makes codes up must not fill the memory.
const CODES_MAX: usize = 128;
const OTHER_CODES: &str = "other";

/// Counts of one run.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) attached: u32,
    pub(crate) reattached: u64,
    /// Nodes that were refused for ever.
    pub(crate) lost: u32,
    /// Those of them that never had an attachment.
    pub(crate) lost_at_attach: u32,
    pub(crate) attach_latency: Histogram,
    /// When the last node that had never been attached was.
    pub(crate) last_attached_at: Duration,

    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    /// Beats whose answer never came, for the stream broke.
    pub(crate) unanswered: u64,
    /// From the sending of a beat to its answer.
    pub(crate) latency: Histogram,
    /// From when a beat was due to its sending: how far this program itself is behind.
    pub(crate) late: Histogram,
    pub(crate) gaps: Gaps,
    /// Interval between the beats of a node, as it is now.
    pub(crate) interval: Duration,

    pub(crate) reconnects: u64,
    pub(crate) streams_opened: u64,
    refusals: BTreeMap<String, u64>,
    /// What went wrong last, for the progress line and for an end without an attachment.
    pub(crate) last_setback: Option<String>,
}

impl Tally {
    pub(crate) fn new(gap_threshold: Duration) -> Self {
        Self {
            attached: 0,
            reattached: 0,
            lost: 0,
            lost_at_attach: 0,
            attach_latency: Histogram::new(),
            last_attached_at: Duration::ZERO,
            sent: 0,
            acknowledged: 0,
            refused: 0,
            unanswered: 0,
            latency: Histogram::new(),
            late: Histogram::new(),
            gaps: Gaps::new(gap_threshold),
            interval: Duration::ZERO,
            reconnects: 0,
            streams_opened: 0,
            refusals: BTreeMap::new(),
            last_setback: None,
        }
    }

    /// Counts a refusal of anything: an attach, a stream, a beat.
    pub(crate) fn refused(&mut self, code: &str, times: u64) {
        if let Some(count) = self.refusals.get_mut(code) {
            *count += times;
        } else {
            let code = if self.refusals.len() < CODES_MAX { code } else { OTHER_CODES };
            *self.refusals.entry(code.to_owned()).or_default() += times;
        }
    }

    pub(crate) fn refusals(&self) -> &BTreeMap<String, u64> {
        &self.refusals
    }

    pub(crate) fn refusals_in_all(&self) -> u64 {
        self.refusals.values().sum()
    }

    /// Beats that have neither been answered nor given up.
    pub(crate) fn in_flight(&self) -> u64 {
        self.sent - self.acknowledged - self.refused - self.unanswered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_code_and_the_codes_are_bounded() {
        let mut tally = Tally::new(Duration::from_secs(1));
        tally.refused("a.b", 2);
        tally.refused("a.b", 1);
        for code in 0..1_000 {
            tally.refused(&format!("made.up_{code}"), 1);
        }
        assert_eq!(tally.refusals()["a.b"], 3);
        assert_eq!(tally.refusals().len(), CODES_MAX + 1);
        assert_eq!(tally.refusals_in_all(), 1_003);
    }
}
