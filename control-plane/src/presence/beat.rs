//! Heartbeat and StreamHeartbeats: beats are parsed and judged one by one, and written together.

use std::sync::Arc;

use contracts::{
    NodeId, ParticipantId, Refusal, limits,
    refusal::FieldViolation,
    wire::v1::{
        Beat, BeatAck, BeatResult, StreamHeartbeatsRequest, StreamHeartbeatsResponse, beat_result::Outcome,
    },
};
use metrics::counter;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::{health::Report, lanes::Written};
use crate::{
    auth::Principal,
    leadership::{self, Leader},
    nodes,
    server::refused_by_transport,
    wire,
};

/// Answers that may wait for the reader of a stream; a caller that does not read is not read from either.
const ANSWERS_IN_FLIGHT: usize = 4;

type ParsedBeat = (NodeId, i64, Report);

/// Commits beats and gives each its result, in their order.
pub async fn beat(leader: &Leader, principal: &Principal, beats: Vec<Beat>) -> Vec<Result<BeatAck, Refusal>> {
    let results = match principal {
        Principal::Participant(caller) => {
            beat_as_participant(leader, caller.claims().participant, beats).await
        }
        // Not counted among the beats of nodes.
        Principal::Canary => return beat_as_canary(leader, beats.len()).await,
    };
    for result in &results {
        let outcome = match result {
            Ok(_) => "committed",
            Err(refusal) => refusal.code.entry().code,
        };
        counter!("rollcall_beats_total", "outcome" => outcome).increment(1);
    }
    results
}

async fn beat_as_canary(leader: &Leader, count: usize) -> Vec<Result<BeatAck, Refusal>> {
    let written = leader.lanes().write(&leader.lanes().canary_beats(leader.epoch())).await;
    let all_written = written.into_iter().try_for_each(|written| match written? {
        Written::Committed { .. } => Ok(()),
        // Another leader has put its own epoch there.
        Written::NotMatched => Err(leadership::ended()),
    });
    vec![all_written.map(|()| BeatAck::default()); count]
}

async fn beat_as_participant(
    leader: &Leader,
    participant: ParticipantId,
    beats: Vec<Beat>,
) -> Vec<Result<BeatAck, Refusal>> {
    let mut results: Vec<Result<BeatAck, Refusal>> = Vec::with_capacity(beats.len());
    let (mut parsed, mut parsed_at): (Vec<ParsedBeat>, Vec<usize>) = (Vec::new(), Vec::new());
    for (index, beat) in beats.into_iter().enumerate() {
        match parse(beat) {
            Ok(beat) => {
                parsed.push(beat);
                parsed_at.push(index);
                // Overwritten below: each parsed beat gets the result of its own.
                results.push(Err(leadership::ended()));
            }
            Err(violation) => results.push(Err(violation.into())),
        }
    }

    let (mut checked, mut checked_at, mut doubtful) = (Vec::new(), Vec::new(), Vec::new());
    for (position, check) in leader.fleet().check(participant, &parsed).into_iter().enumerate() {
        match check {
            Ok(beat) => {
                checked.push(beat);
                checked_at.push(position);
            }
            Err(_) => doubtful.push(position),
        }
    }
    for (position, written) in checked_at.into_iter().zip(leader.lanes().write(&checked).await) {
        match written {
            Ok(Written::Committed { read_only, floor }) => {
                results[parsed_at[position]] = Ok(BeatAck {
                    next_heartbeat_in: Some(wire::duration(leader.cadence().heartbeat_interval())),
                    read_only,
                    min_client_version: floor.to_wire(),
                });
            }
            Ok(Written::NotMatched) => doubtful.push(position),
            Err(refusal) => results[parsed_at[position]] = Err(refusal),
        }
    }
    if doubtful.is_empty() {
        return results;
    }
    // The database says why, of all of them at once.
    let asked: Vec<_> = doubtful.iter().map(|position| (&parsed[*position].0, parsed[*position].1)).collect();
    for (position, refusal) in doubtful.iter().zip(nodes::why_not(leader, participant, &asked).await) {
        results[parsed_at[*position]] = Err(refusal);
    }
    results
}

fn parse(beat: Beat) -> Result<ParsedBeat, FieldViolation> {
    let Beat { node_id, generation, health } = beat;
    Ok((
        NodeId::parse("beat.node_id", &node_id)?,
        wire::generation("beat.generation", generation)?,
        Report::parse("beat.health", health)?,
    ))
}

/// Answers a stream of batches, in their order, until the caller ends it, or the leader does.
pub fn stream(
    leader: &Arc<Leader>,
    principal: Principal,
    mut batches: Streaming<StreamHeartbeatsRequest>,
) -> mpsc::Receiver<Result<StreamHeartbeatsResponse, Status>> {
    let (answers, reader) = mpsc::channel(ANSWERS_IN_FLIGHT);
    let stopped = leader.stopped();
    leader.spawn({
        let leader = Arc::clone(leader);
        async move {
            let token_ended = principal.ended();
            tokio::pin!(token_ended);
            loop {
                let batch = tokio::select! {
                    refusal = &mut token_ended => Err(refusal.into()),
                    batch = batches.message() => batch,
                    () = answers.closed() => return,
                    () = stopped.cancelled() => Err(leadership::ended().into()),
                };
                let answer = match batch {
                    Ok(Some(batch)) => answer(&leader, &principal, batch).await,
                    Ok(None) => return,
                    Err(status) => Err(refused_by_transport(status)),
                };
                let ends = answer.is_err();
                tokio::select! {
                    // What ends the stream is told, even when it is the end of the leader.
                    biased;
                    sent = answers.send(answer) => if sent.is_err() || ends { return },
                    // A caller that does not read is cut off all the same.
                    _ = &mut token_ended, if !ends => return,
                    // Not awaited any longer: a caller that does not read must not hold up the end of the leader.
                    () = stopped.cancelled() => return,
                }
            }
        }
    });
    reader
}

async fn answer(
    leader: &Leader,
    principal: &Principal,
    batch: StreamHeartbeatsRequest,
) -> Result<StreamHeartbeatsResponse, Status> {
    let StreamHeartbeatsRequest { batch_id, beats } = batch;
    if beats.len() > limits::BEATS_PER_BATCH_MAX {
        let rule = format!("must have at most {} entries", limits::BEATS_PER_BATCH_MAX);
        return Err(Refusal::from(FieldViolation::new("beats", rule)).into());
    }
    let results = beat(leader, principal, beats).await.into_iter().map(|result| {
        let outcome = match result {
            Ok(ack) => Outcome::Ack(ack),
            Err(refusal) => Outcome::Refusal(refusal.to_wire()),
        };
        BeatResult { outcome: Some(outcome) }
    });
    Ok(StreamHeartbeatsResponse { batch_id, results: results.collect() })
}
