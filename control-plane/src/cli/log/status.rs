//! `rollcall log status`.

use std::time::SystemTime;

use contracts::{
    LogPoint, SessionId,
    wire::v1::{
        BaseSource, GetReplicationStatusRequest, GetReplicationStatusResponse, PinStatus, RecoveryEvent,
        RecoveryStatus, ReplicaState, ReplicaStatus, event_log_service_client::EventLogServiceClient,
    },
};

use super::status_json as json;
use crate::cli::{
    age::{ago, rfc3339},
    clock::now,
    exit::after_help,
    failure::Failure,
    output::Output,
    servers::{ANSWER_BYTES_MAX, Servers},
    table::Table,
    wire_word::word,
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
HEAD is the last event, TAIL the place up to which the log was pruned: the events after it are there. LAG is what a \
replica has not acknowledged of the log, HELD what is kept for it while it is recovered. A standby knows no streams: by \
it, replicas are disconnected.

Examples:
  rollcall log status 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61
  rollcall log status 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --recent 20
  rollcall log status 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --json | jq .counts"))]
pub(crate) struct Status {
    /// The session
    #[arg(value_name = "SESSION")]
    session: SessionId,

    /// Show what happened last to the replicas: so many entries, the oldest first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    recent: Option<u16>,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let mut status = self.ask(servers).await?;
        let point = |point: Option<_>, part| {
            let point = point.ok_or_else(|| Failure::missing(part))?;
            LogPoint::parse(&point).map_err(|violation| {
                Failure::Answer(format!("{part} in the answer is malformed: {violation}"))
            })
        };
        let (head, tail) = (point(status.head.take(), "head")?, point(status.tail.take(), "tail")?);
        if self.recent.is_none() {
            status.recent.clear();
        }
        if self.json {
            return output.json(&json::Status {
                history_id: status.history_id,
                head: head.into(),
                tail: tail.into(),
                retained_events: head.seq.since(tail.seq),
                checkpoint: status.checkpoint.map(Into::into),
                counts: status.counts.unwrap_or_default().into(),
                replicas: status.replicas.into_iter().map(Into::into).collect(),
                recent: status.recent.into_iter().map(Into::into).collect(),
            });
        }
        let now = now();
        output.table(&fields(&status, head, tail, now))?;
        if !status.replicas.is_empty() {
            output.line("")?;
            output.table(&replicas(&status.replicas, now))?;
        }
        if !status.recent.is_empty() {
            output.line("")?;
            output.table(&recent(&status.recent))?;
        }
        Ok(())
    }

    async fn ask(&self, servers: &mut Servers) -> Result<GetReplicationStatusResponse, Failure> {
        let recent_max = i32::from(self.recent.unwrap_or(1));
        let request = GetReplicationStatusRequest { session_id: self.session.to_string(), recent_max };
        servers
            .call(&request, async |channel, request| {
                let client = EventLogServiceClient::new(channel);
                client.max_decoding_message_size(ANSWER_BYTES_MAX).get_replication_status(request).await
            })
            .await
    }
}

fn fields(status: &GetReplicationStatusResponse, head: LogPoint, tail: LogPoint, now: SystemTime) -> Table {
    let checkpoint = status.checkpoint.as_ref().map(|checkpoint| {
        let trust = if checkpoint.trusted { "trusted" } else { "not trusted" };
        let seq = checkpoint.at.as_ref().map_or(0, |at| at.seq);
        format!(
            "{seq}: {} events, {trust}, made {}",
            checkpoint.events,
            ago(checkpoint.created_at.as_ref(), now)
        )
    });
    Table::of_fields([
        ("history", status.history_id.clone()),
        ("head", head.seq.to_string()),
        ("head hash", head.hash.to_string()),
        ("tail", tail.seq.to_string()),
        ("tail hash", tail.hash.to_string()),
        ("retained events", head.seq.since(tail.seq).to_string()),
        ("checkpoint", checkpoint.unwrap_or_else(|| "none".to_owned())),
        ("replicas", counted(status)),
    ])
}

fn counted(status: &GetReplicationStatusResponse) -> String {
    let counts = status.counts.unwrap_or_default();
    format!(
        "{}: {} in sync, {} catching up, {} rebuilding, {} to be rebuilt, {} disconnected",
        counts.total,
        counts.in_sync,
        counts.catching_up,
        counts.rebuilding,
        counts.needs_rebuild,
        counts.disconnected
    )
}

fn replicas(replicas: &[ReplicaStatus], now: SystemTime) -> Table {
    let mut table =
        Table::with_headings(&["NODE", "STATE", "HAS", "LAG", "ACKNOWLEDGED", "RECOVERY", "HELD", "REASON"]);
    for replica in replicas {
        table.row([
            replica.node_id.clone(),
            word::<ReplicaState>(replica.state),
            replica.acknowledged.as_ref().map_or_else(|| "-".to_owned(), |at| at.seq.to_string()),
            replica.lag.to_string(),
            ago(replica.acknowledged_at.as_ref(), now),
            replica.recovery.as_ref().map_or_else(|| "-".to_owned(), recovery),
            held(&replica.pins),
            replica.reason.clone(),
        ]);
    }
    table
}

fn recovery(recovery: &RecoveryStatus) -> String {
    let RecoveryStatus { kind, phase, recovered_to, target, base_events_sent, base_events, .. } = recovery;
    let mut text = format!("{kind}: {phase}");
    match recovery.source() {
        BaseSource::Unspecified => {}
        source @ (BaseSource::Checkpoint | BaseSource::Full) => {
            text += &format!(" of {}", word::<BaseSource>(source.into()));
        }
    }
    text += &match base_events {
        0 => format!(", {recovered_to} of {target}"),
        _ => format!(", {base_events_sent} of {base_events} events"),
    };
    match &recovery.truncate_to {
        Some(to) if recovery.truncated => text += &format!(", cut to {}", to.seq),
        Some(to) => text += &format!(", to cut to {}", to.seq),
        None => {}
    }
    if let Some(left) = recovery.events_left {
        text += &format!(", budget {left}");
    }
    text
}

fn held(pins: &[PinStatus]) -> String {
    if pins.is_empty() {
        return "-".to_owned();
    }
    let pins: Vec<_> = pins.iter().map(|pin| format!("{} after {}", pin.kind, pin.after)).collect();
    pins.join(", ")
}

fn recent(events: &[RecoveryEvent]) -> Table {
    let mut table = Table::with_headings(&["AT", "NODE", "WHAT", "DETAIL"]);
    for RecoveryEvent { at, node_id, name, detail } in events {
        let at = rfc3339(at.as_ref()).unwrap_or_else(|| "-".to_owned());
        table.row([at, node_id.clone(), name.clone(), detail.clone()]);
    }
    table
}
