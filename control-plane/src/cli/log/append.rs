//! `rollcall log append`.

use contracts::{
    EventEnvelopeVersion, EventId, LogPoint, SessionId,
    log::OwnEvent,
    refusal::FieldViolation,
    wire::v1::{AppendEventsRequest, NewEvent, event_log_service_client::EventLogServiceClient},
};
use uuid::Uuid;

use super::{json, payload};
use crate::cli::{exit::after_help, failure::Failure, output::Output, servers::Servers};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
An event with a key is state: the latest of each key is kept for ever. One without is history. A repeat under one \
--event-id is one event; without it, this command makes a new one each time it is run.

Examples:
  rollcall log append 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --type task.begun --key task/7 --payload {\"by\":\"ann\"}
  rollcall log append 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --type report.made --content-type text/plain --payload @report.txt
  rollcall log append 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --type task.begun --expected-head 41"))]
pub(crate) struct Append {
    /// The session
    #[arg(value_name = "SESSION")]
    session: SessionId,

    /// What kind of event it is: lower-case words with dots between them
    #[arg(long = "type", value_name = "TYPE")]
    event_type: String,

    /// What it is the latest word on
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// The payload; @FILE to read a file, - to read the standard input
    #[arg(long, value_name = "PAYLOAD", default_value = "{}")]
    payload: String,

    /// What the payload is
    #[arg(long, value_name = "TYPE", default_value = payload::JSON)]
    content_type: String,

    /// Name of the event, for repeating this very command
    #[arg(long, value_name = "UUID", value_parser = event_id)]
    event_id: Option<EventId>,

    /// Append only if the log ends at this number
    #[arg(long, value_name = "SEQ")]
    expected_head: Option<u64>,

    /// Print the place of the event as JSON
    #[arg(long)]
    json: bool,
}

fn event_id(value: &str) -> Result<EventId, FieldViolation> {
    EventId::parse("event_id", value)
}

impl Append {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        // Made once: it is the same at every address that is tried.
        let id = self.event_id.unwrap_or_else(|| EventId(Uuid::now_v7()));
        let event = NewEvent {
            event_id: id.to_string(),
            envelope_version: EventEnvelopeVersion::current().to_string(),
            payload: payload::given(&self.payload, &self.content_type)?,
            r#type: self.event_type,
            key: self.key,
            content_type: self.content_type,
            occurred_at: None,
        };
        // In the server's own words, before it is asked.
        OwnEvent::parse(event.clone()).map_err(|violation| Failure::Usage {
            message: violation.to_string(),
            hint: "see `rollcall log append --help`".to_owned(),
        })?;
        let request = AppendEventsRequest {
            session_id: self.session.to_string(),
            events: vec![event],
            expected_head: self.expected_head,
            ..AppendEventsRequest::default()
        };
        let answer = servers
            .call(&request, async |channel, request| {
                EventLogServiceClient::new(channel).append_events(request).await
            })
            .await?;
        let last = answer.last.ok_or_else(|| Failure::missing("place"))?;
        let at = LogPoint::parse(&last).map_err(|violation| Failure::Answer(violation.to_string()))?;
        if self.json {
            let appended =
                json::Appended { event_id: id.to_string(), at: at.into(), repeated: answer.repeated };
            return output.json(&appended);
        }
        output.line(&at.seq.to_string())?;
        output.note(&match answer.repeated {
            true => format!("event {id} was there already, at {}", at.seq),
            false => format!("appended event {id} at {}", at.seq),
        });
        Ok(())
    }
}
