//! Gives all slots back at the end.

use std::sync::{Arc, Mutex, PoisonError};

use contracts::wire::v1;
use daemon_client::Setback;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    attach::workers_per_link,
    beats::Held,
    drill::{DEADLINE, Drill, Meaning, meaning},
    link::{Link, Numbered},
};

const REASON: &str = "the drill is over";
/// Tries of one node. What stays attached then is found silent by the server.
const TRIES_MAX: usize = 5;

/// Detaches the nodes of these streams, and gives how many were.
pub(crate) async fn all(drill: &Arc<Drill>, links: &[Link], held: Vec<Held>) -> u32 {
    let held = Arc::new(Mutex::new(held));
    let mut workers = JoinSet::new();
    for link in links {
        for _ in 0..workers_per_link(links.len()) {
            let (drill, held, mut link) = (Arc::clone(drill), Arc::clone(&held), link.clone());
            workers.spawn(async move {
                let mut detached = 0;
                loop {
                    let Some(node) = held.lock().unwrap_or_else(PoisonError::into_inner).pop() else {
                        return detached;
                    };
                    detached += u32::from(detach(&drill, &mut link, node).await);
                }
            });
        }
    }
    let mut detached = 0;
    while let Some(ended) = workers.join_next().await {
        detached += ended.unwrap_or(0);
    }
    detached
}

async fn detach(drill: &Drill, link: &mut Link, held: Held) -> bool {
    for _ in 0..TRIES_MAX {
        let numbered = link.connection().await;
        let Err(setback) = call(drill, &numbered, held).await else { return true };
        drill.note(&setback);
        match &setback {
            Setback::Refused(refusal) => match meaning(refusal) {
                Meaning::Wait(wait) => sleep(wait).await,
                Meaning::Reattach(_) | Meaning::Lost => return false,
                Meaning::Elsewhere => link.failed(numbered.number, setback).await,
            },
            Setback::NoToken { .. } | Setback::Distrusted { .. } | Setback::Unreachable { .. } => {
                link.failed(numbered.number, setback).await;
            }
        }
    }
    false
}

async fn call(drill: &Drill, numbered: &Numbered, held: Held) -> Result<(), Setback> {
    let caller = numbered.connection.caller().await?;
    let request = v1::DetachRequest {
        node_id: drill.plan.name(held.node),
        generation: held.generation,
        reason: REASON.to_owned(),
    };
    match timeout(DEADLINE, caller.nodes().detach(request)).await {
        Ok(answer) => answer.map(drop).map_err(|status| caller.setback(&status)),
        Err(_) => Err(caller.no_answer(DEADLINE)),
    }
}
