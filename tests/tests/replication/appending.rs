//! Events in numbers.

use tests::{Appending, Client};

use crate::status;

/// Events of one append.
const BATCH: usize = 250;
/// Events that a follower may lack: fewer than the least that a server of these drills keeps.
const FOLLOWED: usize = 100;

/// Appends so many, every tenth of which is the latest word on one of a hundred keys.
pub(crate) async fn append_many(client: &Client, session: &str, count: usize) {
    let mut appended = 0;
    while appended < count {
        let batch = BATCH.min(count - appended);
        let append = (appended..appended + batch).fold(Appending::new(session), |append, number| {
            let append = append.event("drill.step", &format!("step {number} of {count}"));
            if number % 10 == 0 { append.key(&format!("key/{}", number / 10 % 1_000)) } else { append }
        });
        client.append(&append).await.expect("the events are taken");
        appended += batch;
    }
}

/// The same, never so fast that this replica could be given up.
pub(crate) async fn append_followed(client: &Client, session: &str, count: usize, follower: &str) {
    let mut appended = 0;
    while appended < count {
        let some = FOLLOWED.min(count - appended);
        append_many(client, session, some).await;
        status::in_sync(client, session, &[follower]).await;
        appended += some;
    }
}
