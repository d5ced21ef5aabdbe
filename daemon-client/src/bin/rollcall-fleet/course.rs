//! A run from its start to its end.

use std::{io, sync::Arc, time::Duration};

use daemon_client::{Setback, Way};
use serde_json::json;
use tokio::{
    sync::{Mutex, mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use uuid::Uuid;

use crate::{
    attach::{self, Worker, workers_per_link},
    beats::{Beats, Held},
    clock::Clock,
    detach,
    drill::{Drill, End},
    events::Events,
    flags::Flags,
    link::{Link, link},
    progress::Progress,
    report::{self, GapFigures, Latency, Report, RosterFigures, millis},
    roster::Roster,
    sessions,
    signals::Signals,
    tally::Tally,
    watch::{WATCHES_PER_LINK, Watcher},
};

/// How often the course of a run is looked at, and after how many looks it is told.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOKS_PER_LINE: u32 = 20;
/// Nodes that may wait to be attached, and that may wait for their seat in a stream.
const JOBS_MAX: usize = 1_024;
const SEATED_MAX: usize = 256;

/// What a run came to.
pub(crate) struct Outcome {
    pub(crate) report: Report,
    pub(crate) is_json: bool,
}

/// Why there was no run.
pub(crate) enum Fault {
    Usage(clap::Error),
    Setback(Box<Setback>),
    Io(&'static str, io::Error),
    Interrupted,
}

/// How the beats ended.
struct Ended {
    by: String,
    at: Duration,
    /// When all were attached, and how many beats had been acknowledged then.
    steady: Option<(Duration, u64)>,
}

/// The tasks of a run, and what ends them.
struct Tasks {
    links: Vec<Link>,
    stop: watch::Sender<bool>,
    storms: watch::Sender<u64>,
    streams: JoinSet<Vec<Held>>,
    /// Keepers of connections and of the token; needed to the very end.
    keepers: JoinSet<()>,
    /// Attaches and watches, whose work ends with the beats.
    others: JoinSet<()>,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(flags: Flags) -> Result<Outcome, Fault> {
    let mut signals = Signals::listen().map_err(|error| Fault::Io("cannot listen for signals", error))?;
    flags.check().map_err(Fault::Usage)?;
    let mut way = flags.way().map_err(Fault::Usage)?;
    let clock = Clock::start();
    let events = Events::new(flags.events.as_deref(), clock)
        .map_err(|error| Fault::Io("cannot write the file of --events", error))?;
    let run_id = Uuid::new_v4();
    let plan = flags.plan(&run_id.simple().to_string()[..6]);

    let prepared = tokio::select! {
        prepared = prepare(&mut way, &flags, plan.sessions) => prepared,
        _ = signals.next() => return Err(Fault::Interrupted),
    };
    let session_ids = prepared.map_err(|setback| Fault::Setback(Box::new(setback)))?;
    let started = json!({ "nodes": plan.nodes, "sessions": session_ids });
    events.write("started", clock.now(), started);

    let (ends, mut ended) = mpsc::channel(1);
    let tally = Tally::new(flags.gap_threshold);
    let roster = Roster::new(plan.nodes, flags.expectation());
    let drill = Drill::new(plan, session_ids, clock, events, flags.beats(), tally, roster, ends);
    let mut tasks = Tasks::start(&drill, &way, &flags, run_id);
    let ended = follow(&drill, &flags, &tasks.storms, &mut signals, &mut ended).await;
    let ended = match ended {
        Ok(ended) => ended,
        Err(End { setback }) => {
            if drill.tally().attached == 0 {
                return Err(Fault::Setback(Box::new(setback)));
            }
            Ended { by: format!("setback: {setback}"), at: clock.now(), steady: None }
        }
    };
    drill.events.write("ended", ended.at, json!({ "reason": ended.by }));
    tasks.others.shutdown().await;
    tasks.stop.send_replace(true);
    let mut held = Vec::new();
    while let Some(of_stream) = tasks.streams.join_next().await {
        held.extend(of_stream.unwrap_or_default());
    }
    let mut report = describe(&drill, &flags, &ended, tasks.links.len());
    if flags.detach {
        eprintln!("detaching {} nodes; a second signal leaves them", held.len());
        tokio::select! {
            detached = detach::all(&drill, &tasks.links, held) => report.nodes.detached = detached,
            _ = signals.next() => {}
        }
        if flags.given_session().is_none()
            && let Err(setback) = sessions::close(&mut way, &drill.session_ids, flags.patience).await
        {
            eprintln!("not all sessions could be closed: {setback}");
        }
    }
    tasks.keepers.shutdown().await;
    drill.events.flush();
    Ok(Outcome { report, is_json: flags.json })
}

async fn prepare(way: &mut Way, flags: &Flags, sessions: u32) -> Result<Vec<String>, Setback> {
    match flags.given_session() {
        Some(session_id) => {
            sessions::look(way, &session_id, flags.patience).await?;
            Ok(vec![session_id])
        }
        None => sessions::make(way, sessions, flags.patience).await,
    }
}

impl Tasks {
    fn start(drill: &Arc<Drill>, way: &Way, flags: &Flags, run_id: Uuid) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (storms, storm) = watch::channel(0);
        let mut keepers = JoinSet::new();
        let mut open = |name: String, is_counted| {
            let way = way.beside();
            // All have one token, so one of them renews it.
            if keepers.is_empty() {
                let renewals = way.keep_token();
                keepers.spawn(async move { match renewals.await {} });
            }
            let (end, keeper) = link(drill, way, name, is_counted, storm.clone());
            keepers.spawn(keeper.run());
            end
        };
        let links: Vec<_> =
            (0..flags.connections()).map(|number| open(format!("beats-{number}"), true)).collect();

        let mut others = JoinSet::new();
        if flags.watch {
            let watch_links = drill.session_ids.len().div_ceil(WATCHES_PER_LINK);
            let watch_links: Vec<_> =
                (0..watch_links).map(|number| open(format!("watch-{number}"), false)).collect();
            for (number, session_id) in drill.session_ids.iter().enumerate() {
                let watcher = Watcher {
                    drill: Arc::clone(drill),
                    link: watch_links[number / WATCHES_PER_LINK].clone(),
                    session_id: session_id.clone(),
                    revision: String::new(),
                };
                others.spawn(watcher.run());
            }
        }

        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        let (mut streams, mut seats) = (JoinSet::new(), Vec::new());
        for number in 0..drill.plan.streams as usize {
            let (seat, seated) = mpsc::channel(SEATED_MAX);
            seats.push(seat);
            let link = links[number % links.len()].clone();
            let beats = Beats::new(Arc::clone(drill), number, link, seated, jobs.clone(), stopped.clone());
            streams.spawn(beats.run());
        }
        let waiting = Arc::new(Mutex::new(waiting));
        for link in &links {
            for _ in 0..workers_per_link(links.len()) {
                let worker = Worker {
                    drill: Arc::clone(drill),
                    link: link.clone(),
                    jobs: Arc::clone(&waiting),
                    seats: seats.clone(),
                    run_id,
                };
                others.spawn(worker.run());
            }
        }
        others.spawn(attach::ramp(Arc::clone(drill), flags.attach_rate, jobs));
        Self { links, stop, storms, streams, keepers, others }
    }
}

/// Takes the run through its phases until it ends.
async fn follow(
    drill: &Drill,
    flags: &Flags,
    storms: &watch::Sender<u64>,
    signals: &mut Signals,
    ends: &mut mpsc::Receiver<End>,
) -> Result<Ended, End> {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut progress = Progress::default();
    let mut steady: Option<(Duration, u64)> = None;
    let mut storm_at = flags.reconnect_every;
    for look in 1_u32.. {
        tokio::select! {
            _ = looks.tick() => {}
            signal = signals.next() => {
                return Ok(Ended { by: signal.to_owned(), at: drill.clock.now(), steady });
            }
            Some(end) = ends.recv() => return Err(end),
        }
        let now = drill.clock.now();
        if steady.is_none() && drill.is_attached() {
            let tally = drill.tally();
            steady = Some((now, tally.acknowledged));
            drill.events.write("attached", now, json!({ "nodes": tally.attached }));
        }
        if let Some((since, _)) = steady {
            silence_when_due(drill, flags, now.saturating_sub(since), now);
            if flags.duration.is_some_and(|duration| now.saturating_sub(since) >= duration) {
                return Ok(Ended { by: "duration".to_owned(), at: now, steady });
            }
        }
        if let (Some(at), Some(every)) = (storm_at, flags.reconnect_every)
            && now >= at
        {
            storms.send_modify(|storm| *storm += 1);
            storm_at = Some(now + every);
        }
        if look % LOOKS_PER_LINE == 0 {
            progress.tell(drill, if steady.is_some() { "beating" } else { "attaching" });
            drill.events.flush();
        }
    }
    Ok(Ended { by: "the end of time".to_owned(), at: drill.clock.now(), steady })
}

fn silence_when_due(drill: &Drill, flags: &Flags, steady_for: Duration, now: Duration) {
    let Some(after) = flags.silence_after else { return };
    let name_all = |event| {
        for node in (0..drill.plan.nodes).filter(|node| drill.plan.is_silenced(*node)) {
            drill.events.write(event, now, json!({ "node": drill.plan.name(node) }));
        }
    };
    match drill.silence.period() {
        None if steady_for >= after => {
            drill.silence.begin(now);
            name_all("silenced");
        }
        Some(silent) if silent.until.is_none() => {
            if flags.silence_for.is_some_and(|long| now >= silent.since + long) {
                drill.silence.end(now);
                name_all("returned");
            }
        }
        None | Some(_) => {}
    }
}

fn describe(drill: &Drill, flags: &Flags, ended: &Ended, connections: usize) -> Report {
    let unheard = drill.unheard(ended.at);
    let mut tally = drill.tally();
    tally.gaps.end(ended.at).into_iter().for_each(|gap| drill.events.gap(gap));
    let roster = drill.roster();
    let allowance = flags.grace
        + tally.gaps.sum()
        + tally.interval * u32::try_from(tally.gaps.count()).unwrap_or(u32::MAX);
    let silenced = roster.silenced(&drill.plan, &drill.silence, allowance, ended.at);
    let (steady_since, before) = ended.steady.unwrap_or((Duration::ZERO, 0));
    let beating_for = ended.at.saturating_sub(steady_since).as_secs_f64().max(0.001);
    let wrong_examples =
        roster.wrong_examples.iter().map(|(node, wrong)| format!("{node}: {}", wrong.as_str())).collect();
    let is_cut_off = ended.by.starts_with("setback");
    Report {
        format: 1,
        verdict: "",
        faults: is_cut_off.then(|| ended.by.clone()).into_iter().collect(),
        ended_by: ended.by.clone(),
        ran_ms: millis(ended.at),
        prefix: drill.plan.prefix.clone(),
        sessions: drill.session_ids.clone(),
        sessions_made: flags.given_session().is_none(),
        connections,
        streams: drill.plan.streams as usize,
        nodes: report::Nodes {
            wanted: drill.plan.nodes,
            attached: tally.attached,
            attached_within_ms: millis(tally.last_attached_at),
            reattached: tally.reattached,
            lost: tally.lost,
            unheard,
            detached: 0,
            attach_latency_ms: Latency::of(&tally.attach_latency),
        },
        beats: report::Beats {
            sent: tally.sent,
            acknowledged: tally.acknowledged,
            refused: tally.refused,
            unanswered: tally.unanswered,
            per_second: (tally.acknowledged - before) as f64 / beating_for,
            latency_ms: Latency::of(&tally.latency),
            late_ms: Latency::of(&tally.late),
        },
        refusals: tally.refusals().clone(),
        gaps: GapFigures::new(flags.gap_threshold, tally.gaps.count(), tally.gaps.longest(), |at| {
            drill.clock.unix(at)
        }),
        reconnects: tally.reconnects,
        streams_opened: tally.streams_opened,
        silence: report::Silence::of(silenced, roster.degraded_after, roster.offline_after),
        roster: RosterFigures {
            watched: flags.watch,
            expected_transitions: roster.found,
            wrong_transitions: roster.wrong,
            wrong_examples,
        },
    }
    .judged()
}
