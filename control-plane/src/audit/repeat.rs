//! Requests that may be repeated: a request id is taken in the transaction of the request, and its answer is stored
//! there, so that a repeat finds both or neither.

use contracts::{ParticipantId, Refusal, refusal::FieldViolation};
use prost::Message;
use sqlx::PgConnection;
use uuid::Uuid;

use super::store;
use crate::failure::{Failure, Fault};

/// A request under an id of its caller's.
#[derive(Clone, Debug)]
pub struct Repeatable {
    request_id: Option<Uuid>,
    method: &'static str,
    digest: [u8; 32],
}

/// What became of a request so far.
#[derive(Debug)]
pub enum Seen<A> {
    /// It is new: carry it out.
    New,
    /// It was carried out, with this answer.
    Answered(A),
}

impl Repeatable {
    /// Parses the id of a request; the whole request is remembered as a digest.
    pub fn parse(
        method: &'static str,
        request_id: &str,
        request: &impl Message,
    ) -> Result<Self, FieldViolation> {
        let id = match request_id {
            "" => None,
            text => Some(
                Uuid::try_parse(text)
                    .ok()
                    .filter(|_| text.len() == uuid::fmt::Hyphenated::LENGTH)
                    .ok_or_else(|| FieldViolation::new("request_id", "must be a hyphenated UUID"))?,
            ),
        };
        Ok(Self { request_id: id, method, digest: *blake3::hash(&request.encode_to_vec()).as_bytes() })
    }

    /// The id, for the audit.
    pub fn request_id(&self) -> Option<Uuid> {
        self.request_id
    }

    /// Takes the id for this transaction, or finds the answer that was given under it. The first thing of its
    /// transaction: a repeat is answered though its caller, by what the request did, may ask no longer.
    pub async fn take<A: Message + Default>(
        &self,
        db: &mut PgConnection,
        actor: ParticipantId,
    ) -> Result<Seen<A>, Failure> {
        let Some(request_id) = self.request_id else { return Ok(Seen::New) };
        let Some((method, digest, answer)) =
            store::take_request(db, actor, request_id, self.method, &self.digest).await?
        else {
            return Ok(Seen::New);
        };
        if method != self.method || digest != self.digest {
            return Err(Refusal::from(FieldViolation::new(
                "request_id",
                "was used for another request. Make a new one for each",
            ))
            .into());
        }
        A::decode(answer.as_slice()).map(Seen::Answered).map_err(|error| {
            Fault::Unreadable { table: "request_answers", column: "answer", value: error.to_string() }.into()
        })
    }

    /// Stores the answer, as the last thing before the commit.
    pub async fn answer(
        &self,
        db: &mut PgConnection,
        actor: ParticipantId,
        answer: &impl Message,
    ) -> Result<(), Fault> {
        match self.request_id {
            Some(request_id) => store::store_answer(db, actor, request_id, &answer.encode_to_vec()).await,
            None => Ok(()),
        }
    }
}
