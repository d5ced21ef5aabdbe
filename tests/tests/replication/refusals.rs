//! What does not fit on a stream of a replica is refused by name, and changes nothing.

use contracts::{
    Code, limits,
    wire::v1::{Introduction, LogPoint, ReplicaState, plan::Outcome, replicate_request::Message as Said},
};
use tests::{Client, Plane, PlaneOptions, refusal};
use uuid::Uuid;

use crate::{
    appending::append_many,
    by_hand::{ByHand, InSync, acknowledged, base_received, introduction, place, probe_answer, truncated},
    status::{find, is, status},
};

const NODE: &str = "by-hand";

struct Setting {
    plane: Plane,
    client: Client,
    session: String,
    generation: u64,
}

async fn setting() -> Setting {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let generation = client.online(&session, NODE).await;
    append_many(&client, &session, 30).await;
    Setting { plane, client, session, generation }
}

impl Setting {
    fn introduction(&self) -> Introduction {
        introduction(&self.session, NODE, self.generation)
    }

    async fn in_sync(&self) -> InSync {
        ByHand::in_sync(&self.client, &self.session, NODE, self.generation).await
    }

    /// What a replica has durably, by the row of it.
    async fn acknowledged(&self) -> u64 {
        let status = status(&self.client, &self.session).await;
        find(&status, NODE).and_then(|replica| replica.acknowledged.clone()).map_or(0, |at| at.seq)
    }
}

/// A hash that nothing has.
fn no_hash() -> Vec<u8> {
    vec![7; 32]
}

#[tokio::test(flavor = "multi_thread")]
async fn who_introduces_itself_wrongly_is_refused_alike_and_becomes_no_replica() {
    let setting = setting().await;
    let right = setting.introduction();
    let end = async |client: &Client, first| match ByHand::open(client, first).await {
        Ok(mut stream) => stream.ends().await,
        Err(status) => refusal(Err::<(), _>(status)),
    };
    let not_first = end(&setting.client, probe_answer(Vec::new())).await;
    assert_eq!(not_first.code, Code::ReplicationOutOfStep.to_string(), "{not_first:?}");

    let (_, stranger) = setting.plane.stranger().await;
    let strangers_session = stranger.session().await;
    let nobodys = Uuid::now_v7().to_string();
    let denials = [
        end(&stranger, Said::Introduction(right.clone())).await,
        end(
            &setting.client,
            Said::Introduction(Introduction { node_id: "unheard-of".to_owned(), ..right.clone() }),
        )
        .await,
    ];
    for denial in &denials {
        assert_eq!(denial.code, Code::RuntimeNodePermissionDenied.to_string(), "{denial:?}");
        assert_eq!(denial.message, denials[0].message);
    }
    // The node is the caller's: it is told that it is not attached there, of whatever session.
    let elsewhere = [strangers_session, nobodys];
    let mut refused = Vec::new();
    for session_id in elsewhere {
        refused.push(
            end(&setting.client, Said::Introduction(Introduction { session_id, ..right.clone() })).await,
        );
    }
    assert_eq!((&refused[0].code, &refused[0].message), (&refused[1].code, &refused[1].message));

    let newer = setting.client.online(&setting.session, NODE).await;
    let stale = end(&setting.client, Said::Introduction(right.clone())).await;
    assert_eq!(stale.code, Code::RuntimeNodeGenerationSuperseded.to_string(), "{stale:?}");
    let early =
        end(&setting.client, Said::Introduction(Introduction { generation: newer + 1, ..right })).await;
    assert_ne!(early.code, "", "{early:?}");
    assert_eq!(status(&setting.client, &setting.session).await.replicas, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_ends_the_stream_by_name_and_changes_nothing() {
    let setting = setting().await;
    let first = setting.in_sync().await;
    let (history_id, events) = (first.history_id.clone(), first.events.clone());
    let (last, before) = (place(&events[events.len() - 1]), place(&events[events.len() - 5]));
    drop(first);
    let beyond = LogPoint { seq: last.seq + 1, hash: no_hash() };
    let wrong = LogPoint { seq: last.seq, hash: no_hash() };
    let other = Uuid::new_v4().to_string();
    let in_step = |why: &'static str| (Code::ReplicationOutOfStep, why);
    // To one in sync at the end of the log, whose recovery is over.
    let cases = [
        (Said::Introduction(setting.introduction()), (Code::ArgumentInvalid, "introduction")),
        (acknowledged("", beyond.clone()), in_step("was sent")),
        (acknowledged("", before.clone()), in_step("was acknowledged after")),
        (acknowledged("", wrong.clone()), in_step("hash")),
        (acknowledged(&other, last.clone()), in_step("recovery")),
        (acknowledged("x", last.clone()), (Code::ArgumentInvalid, "recovery_id")),
        (probe_answer(vec![last.clone()]), in_step("does not belong")),
        (truncated(&other, before.clone()), in_step("does not belong")),
        (base_received(&other, last.clone()), in_step("does not belong")),
        (
            probe_answer(vec![last.clone(); limits::EVENTS_PER_MESSAGE_MAX + 1]),
            (Code::ArgumentInvalid, "at most"),
        ),
    ];
    for (message, (code, why)) in cases {
        let introduction =
            Introduction { history_id: history_id.clone(), at: Some(last.clone()), ..setting.introduction() };
        let mut stream = ByHand::introduced(&setting.client, introduction).await;
        let plan = stream.plan().await;
        assert!(matches!(plan.outcome, Some(Outcome::ZeroGap(_))), "{plan:?}");
        is(&setting.client, &setting.session, NODE, ReplicaState::InSync).await;
        let said = format!("{message:?}");
        stream.say(message).await;
        let refused = stream.ends().await;
        assert_eq!(refused.code, code.to_string(), "{said}: {refused:?}");
        let told = format!("{} {:?}", refused.message, refused.field);
        assert!(told.contains(why), "{said}: {told}");
        let after = is(&setting.client, &setting.session, NODE, ReplicaState::Disconnected).await;
        assert_eq!((after.acknowledged.map(|at| at.seq), after.pins), (Some(last.seq), vec![]), "{said}");
    }
    // And while events are on their way.
    let mid = Introduction { history_id, at: Some(before.clone()), ..setting.introduction() };
    let two_before = place(&events[events.len() - 6]);
    for (at, why) in [(wrong, "hash"), (beyond, "was sent"), (two_before, "was acknowledged after")] {
        let mut stream = ByHand::introduced(&setting.client, mid.clone()).await;
        let plan = stream.plan().await;
        stream.events_to(last.seq).await;
        stream.say(acknowledged(&plan.recovery_id, at)).await;
        let refused = stream.ends().await;
        assert_eq!(refused.code, Code::ReplicationOutOfStep.to_string(), "{refused:?}");
        assert!(refused.message.contains(why), "{refused:?}");
        let after = is(&setting.client, &setting.session, NODE, ReplicaState::Disconnected).await;
        assert!(after.pins.is_empty() && after.recovery.is_none(), "{after:?}");
    }
    let retained = setting.client.events(&setting.session).await;
    assert_eq!(retained.len(), events.len(), "nothing was appended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_large_ends_its_stream_and_no_other() {
    let setting = setting().await;
    let mut other = setting.client.online(&setting.session, "other").await;
    let mut healthy = ByHand::in_sync(&setting.client, &setting.session, "other", other).await;
    other = healthy.events.len() as u64;
    let InSync { mut stream, .. } = setting.in_sync().await;
    let point = LogPoint { seq: 1, hash: vec![0; limits::REQUEST_BYTES_MAX] };
    stream.say(probe_answer(vec![point])).await;
    let refused = stream.ends().await;
    assert_eq!(refused.code, Code::ArgumentInvalid.to_string(), "{refused:?}");
    let number = setting.client.say(&setting.session, "after").await;
    let events = healthy.stream.events_to(number).await;
    assert!(events.iter().all(|event| event.seq > other), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_stream_of_a_replica_takes_over_from_the_first() {
    let setting = setting().await;
    let mut first = setting.in_sync().await;
    let mut second = setting.in_sync().await;
    let ended = first.stream.ends().await;
    assert_eq!(ended.code, Code::ReplicationStreamSuperseded.to_string(), "{ended:?}");
    let number = setting.client.say(&setting.session, "after").await;
    let heard = second.stream.events_to(number).await;
    second.stream.say(acknowledged("", place(heard.last().expect("it was heard")))).await;
    let seen = async || setting.acknowledged().await;
    tests::eventually("the second is heard", seen, |at| *at == number).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_a_node_that_lost_its_slot_ends_with_the_reason() {
    let setting = setting().await;
    let Setting { client, session, .. } = &setting;
    let mut replica = setting.in_sync().await;
    client.detach(NODE, setting.generation).await.expect("it is detached");
    let detached = replica.stream.ends().await;
    assert_eq!(detached.code, Code::RuntimeNodeNotAttached.to_string(), "{detached:?}");

    let revoked = client.online(session, "revoked").await;
    let mut replica = ByHand::in_sync(client, session, "revoked", revoked).await;
    setting.plane.admin().await.revoke_node("revoked", None).await.expect("it is revoked");
    let ended = replica.stream.ends().await;
    assert_eq!(ended.code, Code::RuntimeNodeAttachRevoked.to_string(), "{ended:?}");
    let again = ByHand::open(client, Said::Introduction(introduction(session, "revoked", revoked))).await;
    let again = match again {
        Ok(mut stream) => stream.ends().await,
        Err(status) => refusal(Err::<(), _>(status)),
    };
    assert_eq!(again.code, Code::RuntimeNodeAttachRevoked.to_string(), "{again:?}");
}
