//! ReadEvents.

use contracts::{
    Refusal, Seq, SessionId,
    refusal::FieldViolation,
    wire::v1::{self, ReadEventsRequest, ReadEventsResponse},
};
use sqlx::PgPool;

use super::{refusals, store};
use crate::{
    failure::Failure,
    wire::{PAGE_BYTES_MAX, Page},
};

/// A parsed read.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) session_id: SessionId,
    page: Page,
    after: Seq,
}

impl Read {
    /// Parses the request.
    pub(super) fn parse(request: &ReadEventsRequest) -> Result<Self, Refusal> {
        let ReadEventsRequest { session_id, after_seq, page_size, page_token } = request;
        let session_id = SessionId::parse("session_id", session_id)?;
        let page = Page::parse(*page_size, page_token)?;
        let after = match page.after.as_str() {
            "" => Seq::parse("after_seq", *after_seq)?,
            token => token.parse().ok().and_then(Seq::new).filter(|after| *after > Seq::ORIGIN).ok_or_else(
                || FieldViolation::new("page_token", "must be the next_page_token of an earlier answer"),
            )?,
        };
        Ok(Self { session_id, page, after })
    }
}

/// Reads a page of a log, with its ends at that moment.
pub(super) async fn read(db: &PgPool, read: Read) -> Result<ReadEventsResponse, Failure> {
    let Read { session_id, page, after } = read;
    let bytes_max = i64::try_from(PAGE_BYTES_MAX).unwrap_or(i64::MAX);
    let store::Read { head, tail, events } =
        store::read(db, session_id, after, page.rows_wanted(), bytes_max).await?;
    if after != Seq::ORIGIN && after < tail.seq {
        return Err(refusals::events_pruned(after, tail).into());
    }
    let mut events: Vec<_> = events.into_iter().map(v1::Event::from).collect();
    page.cut_messages(&mut events, |_| String::new());
    let next_page_token = match events.last() {
        Some(last) if last.seq < head.seq.get() => last.seq.to_string(),
        Some(_) | None => String::new(),
    };
    Ok(ReadEventsResponse { events, next_page_token, head: Some(head.into()), tail: Some(tail.into()) })
}
