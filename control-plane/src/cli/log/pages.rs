//! Reads of a log, a page at a time.

use contracts::{
    LogPoint, Seq, SessionId,
    log::Event,
    refusal::FieldViolation,
    wire::v1::{ReadEventsRequest, event_log_service_client::EventLogServiceClient},
};

use crate::cli::{failure::Failure, pages::PAGE_SIZE, servers::Servers};

/// A page of a log, with its ends at that moment.
#[derive(Debug)]
pub(crate) struct LogPage {
    pub(crate) events: Vec<Event>,
    pub(crate) head: LogPoint,
    pub(crate) tail: LogPoint,
}

/// Reads the events after a place, at most so many; a page of large ones holds fewer.
pub(crate) async fn page(
    servers: &mut Servers,
    session: SessionId,
    after: Seq,
    events_max: usize,
) -> Result<LogPage, Failure> {
    let page_size = i32::try_from(events_max).unwrap_or(PAGE_SIZE).clamp(1, PAGE_SIZE);
    let request = ReadEventsRequest {
        session_id: session.to_string(),
        after_seq: after.get(),
        page_size,
        page_token: String::new(),
    };
    let answer = servers
        .call(&request, async |channel, request| {
            let client = EventLogServiceClient::new(channel);
            client.max_decoding_message_size(crate::cli::servers::ANSWER_BYTES_MAX).read_events(request).await
        })
        .await?;
    let point = |point: Option<_>, part| {
        let point = point.ok_or_else(|| Failure::missing(part))?;
        LogPoint::parse(&point).map_err(|violation| malformed(part, &violation))
    };
    let events = answer.events.into_iter().map(|event| {
        let seq = event.seq;
        Event::parse(session, event).map_err(|violation| malformed(&format!("event {seq}"), &violation))
    });
    Ok(LogPage {
        events: events.collect::<Result<_, _>>()?,
        head: point(answer.head, "head")?,
        tail: point(answer.tail, "tail")?,
    })
}

fn malformed(part: &str, violation: &FieldViolation) -> Failure {
    Failure::Answer(format!("{part} in the server's answer is malformed: {violation}"))
}
