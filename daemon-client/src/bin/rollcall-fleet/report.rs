//! The report of a run, for people as a table and for programs as JSON.
//!
//! The JSON is one object on stdout. Its fields keep their names and meanings; new ones may come. Durations are
//! milliseconds, with fractions, and their names end in `_ms`; `format` is 1. What each figure says to a user is in
//! `docs/operations/load.md`.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use crate::{
    gaps::Gap,
    histogram::Histogram,
    roster::{Range, Silenced},
};

/// Everything that a run came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Version of this shape.
    pub(crate) format: u32,
    /// `fine` or `wrong`: the exit code in a word.
    pub(crate) verdict: &'static str,
    /// Each thing that is wrong, in words. Empty when nothing is.
    pub(crate) faults: Vec<String>,
    /// Why the run ended: `duration`, a signal such as `SIGINT`, or `setback: ...`.
    pub(crate) ended_by: String,
    /// From the start to the end of the beats.
    pub(crate) ran_ms: f64,
    /// Prefix of the node ids.
    pub(crate) prefix: String,
    /// Sessions that the nodes attached to.
    pub(crate) sessions: Vec<String>,
    /// Whether they were made by this run; then they are closed when it detaches.
    pub(crate) sessions_made: bool,
    /// Connections that carried beats.
    pub(crate) connections: usize,
    /// Streams over them.
    pub(crate) streams: usize,
    pub(crate) nodes: Nodes,
    pub(crate) beats: Beats,
    /// Refusals of anything, an attach, a beat, a stream or a watch, by code.
    pub(crate) refusals: BTreeMap<String, u64>,
    pub(crate) gaps: GapFigures,
    /// Times that a connection which carried beats was given up or dropped.
    pub(crate) reconnects: u64,
    /// Times that a stream of beats was opened.
    pub(crate) streams_opened: u64,
    pub(crate) silence: Silence,
    pub(crate) roster: RosterFigures,
}

/// What became of the nodes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Nodes {
    /// Nodes that were asked for.
    pub(crate) wanted: u32,
    /// Nodes that were attached at least once.
    pub(crate) attached: u32,
    /// From the start to the last of these.
    pub(crate) attached_within_ms: f64,
    /// Attaches of nodes whose attachment the server had lost. Over a takeover there must be none.
    pub(crate) reattached: u64,
    /// Nodes that were refused for ever.
    pub(crate) lost: u32,
    /// Nodes that were to beat and were not acknowledged for two intervals, 10 s at least, before the end.
    pub(crate) unheard: u32,
    /// Nodes that gave their slot back at the end.
    pub(crate) detached: u32,
    /// From the sending of an attach to its answer.
    pub(crate) attach_latency_ms: Latency,
}

/// What became of the beats. `sent` = `acknowledged` + `refused` + `unanswered` + those under way at the end.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Beats {
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    /// Lost with their stream. They may have been committed; each was sent again.
    pub(crate) unanswered: u64,
    /// Acknowledged beats a second, from when all were attached to the end.
    pub(crate) per_second: f64,
    /// From the sending of a beat to its acknowledgement.
    pub(crate) latency_ms: Latency,
    /// From when a beat was due to its sending. High figures mean that this program, or the room for batches under way,
    /// is the bottleneck.
    pub(crate) late_ms: Latency,
}

/// Percentiles, at most 1.6 % too high.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
}

/// Times without an acknowledged beat of any node.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GapFigures {
    pub(crate) threshold_ms: f64,
    /// How many were longer than the threshold.
    pub(crate) over_threshold: u64,
    /// The longest of all; over one takeover this is the write gap.
    pub(crate) longest_ms: f64,
    /// When the longest began and ended, since 1970.
    pub(crate) longest_from_unix_ms: f64,
    pub(crate) longest_to_unix_ms: f64,
}

/// What became of those that were silenced.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Silence {
    /// Nodes that were silenced.
    pub(crate) silenced: u32,
    /// Of these, nodes that a roster showed degraded, or offline, by silence.
    pub(crate) shown_degraded: u32,
    pub(crate) shown_offline: u32,
    /// Not shown offline, and not long enough silent for it.
    pub(crate) pending: u32,
    /// Not shown as they should have been by now.
    pub(crate) missing: u32,
    /// Names of some that are missing.
    pub(crate) missing_examples: Vec<String>,
    /// The shortest and the longest time from a node's last contact to the verdict.
    pub(crate) degraded_after_ms: Option<[f64; 2]>,
    pub(crate) offline_after_ms: Option<[f64; 2]>,
}

/// What the rosters showed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RosterFigures {
    /// Whether anybody looked.
    pub(crate) watched: bool,
    /// Transitions of silenced nodes that had to come.
    pub(crate) expected_transitions: u64,
    /// Transitions that must not be.
    pub(crate) wrong_transitions: u64,
    /// Some of them, as `node: kind`.
    pub(crate) wrong_examples: Vec<String>,
}

/// A duration as a number of milliseconds, to the microsecond.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}

impl Latency {
    pub(crate) fn of(histogram: &Histogram) -> Self {
        Self {
            p50: millis(histogram.percentile(0.5)),
            p99: millis(histogram.percentile(0.99)),
            p99_9: millis(histogram.percentile(0.999)),
            max: millis(histogram.longest()),
        }
    }
}

impl GapFigures {
    pub(crate) fn new(
        threshold: Duration,
        over_threshold: u64,
        longest: Option<Gap>,
        unix: impl Fn(Duration) -> Duration,
    ) -> Self {
        let at = |at: Option<Duration>| at.map_or(0.0, |at| millis(unix(at)));
        Self {
            threshold_ms: millis(threshold),
            over_threshold,
            longest_ms: longest.map_or(0.0, |gap| millis(gap.length())),
            longest_from_unix_ms: at(longest.map(|gap| gap.last_ack_at)),
            longest_to_unix_ms: at(longest.map(|gap| gap.next_ack_at)),
        }
    }
}

impl Silence {
    pub(crate) fn of(silenced: Silenced, degraded_after: Range, offline_after: Range) -> Self {
        let bounds = |range: Range| range.bounds.map(|(least, most)| [millis(least), millis(most)]);
        Self {
            silenced: silenced.nodes,
            shown_degraded: silenced.shown_degraded,
            shown_offline: silenced.shown_offline,
            pending: silenced.pending,
            missing: silenced.missing,
            missing_examples: silenced.missing_examples,
            degraded_after_ms: bounds(degraded_after),
            offline_after_ms: bounds(offline_after),
        }
    }
}

impl Report {
    /// Finds what is wrong, and says so in the verdict.
    pub(crate) fn judged(mut self) -> Self {
        let counts = [
            (self.roster.wrong_transitions, "wrong transitions in the roster"),
            (self.silence.missing.into(), "silenced nodes that the roster does not show as silent"),
            (self.nodes.reattached, "nodes that had to attach again"),
            (self.nodes.lost.into(), "nodes that were refused for ever"),
            (self.nodes.unheard.into(), "nodes that were not acknowledged at the end"),
        ];
        let faults =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        self.faults.extend(faults);
        self.verdict = if self.faults.is_empty() { "fine" } else { "wrong" };
        self
    }

    pub(crate) fn is_fine(&self) -> bool {
        self.faults.is_empty()
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p99, p99_9, max } = self;
        write!(f, "p50 {p50:.1} ms, p99 {p99:.1} ms, p99.9 {p99_9:.1} ms, max {max:.1} ms")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "{name:<22}{value}");
        let Self { nodes, beats, gaps, silence, roster, .. } = self;
        row("verdict", self.verdict.to_uppercase())?;
        for fault in &self.faults {
            row("", fault.clone())?;
        }
        row("ended by", format!("{}, after {:.1} s", self.ended_by, self.ran_ms / 1_000.0))?;
        row(
            "attached",
            format!(
                "{} of {} within {:.1} s",
                nodes.attached,
                nodes.wanted,
                nodes.attached_within_ms / 1_000.0
            ),
        )?;
        row("  latency", nodes.attach_latency_ms.to_string())?;
        row("  again, lost", format!("{}, {}", nodes.reattached, nodes.lost))?;
        row("beats acknowledged", format!("{}, {:.1} a second", beats.acknowledged, beats.per_second))?;
        row("  latency", beats.latency_ms.to_string())?;
        row("  sent late by", beats.late_ms.to_string())?;
        row("  refused, unanswered", format!("{}, {}", beats.refused, beats.unanswered))?;
        row(
            "longest gap",
            format!("{:.1} ms; {} over {:.0} ms", gaps.longest_ms, gaps.over_threshold, gaps.threshold_ms),
        )?;
        row("reconnects", format!("{} of {} connections", self.reconnects, self.connections))?;
        for (code, count) in &self.refusals {
            row("refused", format!("{count} x {code}"))?;
        }
        if silence.silenced > 0 {
            row(
                "silenced",
                format!(
                    "{}: {} shown degraded, {} offline, {} pending, {} missing",
                    silence.silenced,
                    silence.shown_degraded,
                    silence.shown_offline,
                    silence.pending,
                    silence.missing
                ),
            )?;
            for (name, bounds) in [
                ("  degraded after", silence.degraded_after_ms),
                ("  offline after", silence.offline_after_ms),
            ] {
                if let Some([least, most]) = bounds {
                    row(name, format!("{:.1} s to {:.1} s", least / 1_000.0, most / 1_000.0))?;
                }
            }
        }
        if roster.watched {
            let (wrong, expected) = (roster.wrong_transitions, roster.expected_transitions);
            row("transitions", format!("{expected} expected, {wrong} wrong"))?;
        } else {
            row("transitions", "not watched".to_owned())?;
        }
        for example in roster.wrong_examples.iter().chain(&silence.missing_examples) {
            row("", example.clone())?;
        }
        row("detached", nodes.detached.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn report() -> Report {
        let latency = || Latency::of(&Histogram::new());
        Report {
            format: 1,
            verdict: "",
            faults: Vec::new(),
            ended_by: "duration".to_owned(),
            ran_ms: 1_000.0,
            prefix: "fleet".to_owned(),
            sessions: Vec::new(),
            sessions_made: true,
            connections: 1,
            streams: 1,
            nodes: Nodes {
                wanted: 10,
                attached: 10,
                attached_within_ms: 5.0,
                reattached: 0,
                lost: 0,
                unheard: 0,
                detached: 0,
                attach_latency_ms: latency(),
            },
            beats: Beats {
                sent: 10,
                acknowledged: 10,
                refused: 0,
                unanswered: 0,
                per_second: 10.0,
                latency_ms: latency(),
                late_ms: latency(),
            },
            refusals: BTreeMap::new(),
            gaps: GapFigures::new(Duration::from_secs(1), 0, None, |at| at),
            reconnects: 0,
            streams_opened: 1,
            silence: Silence::of(Silenced::default(), Range::default(), Range::default()),
            roster: RosterFigures {
                watched: true,
                expected_transitions: 0,
                wrong_transitions: 0,
                wrong_examples: Vec::new(),
            },
        }
    }

    #[test]
    fn nothing_wrong_is_fine_and_each_wrong_thing_is_named() {
        assert_eq!(report().judged().verdict, "fine");
        let mut wrong = report();
        wrong.nodes.reattached = 2;
        wrong.roster.wrong_transitions = 1;
        let wrong = wrong.judged();
        assert!(!wrong.is_fine());
        assert_eq!(wrong.faults, ["1 wrong transitions in the roster", "2 nodes that had to attach again"]);
        assert!(wrong.to_string().starts_with("verdict               WRONG\n"), "{wrong}");
    }

    #[test]
    fn outages_that_nobody_was_harmed_by_are_fine() {
        let mut outage = report();
        outage.gaps.over_threshold = 1;
        outage.reconnects = 4;
        outage.beats.unanswered = 7;
        outage.refusals.insert("controller.recovering".to_owned(), 3);
        assert!(outage.judged().is_fine());
    }

    #[test]
    fn the_json_keeps_its_names() {
        let Value::Object(json) = serde_json::to_value(report().judged()).unwrap() else {
            panic!("no object")
        };
        let names: Vec<_> = json.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "beats",
                "connections",
                "ended_by",
                "faults",
                "format",
                "gaps",
                "nodes",
                "prefix",
                "ran_ms",
                "reconnects",
                "refusals",
                "roster",
                "sessions",
                "sessions_made",
                "silence",
                "streams",
                "streams_opened",
                "verdict"
            ]
        );
        assert_eq!(json["beats"]["latency_ms"]["p99_9"], 0.0);
        assert_eq!(json["silence"]["degraded_after_ms"], Value::Null);
    }
}
