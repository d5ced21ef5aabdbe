//! Keeps the token valid, beside the beats: renews it in time, and takes what somebody puts into its file.
//!
//! A renewal goes over the connection that beats have opened. Its failures end nothing: the beats tell when the token
//! has ended.

use std::{convert::Infallible, time::Duration};

use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tracing::{debug, info, warn};

use crate::{
    Setback,
    backoff::Backoff,
    line::Open,
    token::{bearer::Token, held::Tokens},
};

/// How long to wait for the answer to a renewal.
const DEADLINE: Duration = Duration::from_secs(5);

/// Keeps `tokens` valid for as long as it is polled. `open` is the connection in use.
pub(crate) async fn keep(tokens: Tokens, mut open: watch::Receiver<Option<Open>>) -> Infallible {
    let mut rng = StdRng::from_os_rng();
    let mut backoff = Backoff::default();
    let mut not_before = Instant::now();
    let mut setback_told: Option<Setback> = None;
    loop {
        let look_in = tokens.look_in();
        tokio::select! {
            () = sleep(look_in) => {
                tokens.reread().await;
            }
            // A connection is there, which is what a renewal that is due has waited for.
            Ok(()) = open.changed() => {}
        }
        if Instant::now() < not_before {
            continue;
        }
        let Some((token, cap)) = tokens.due() else { continue };
        let connection = open.borrow_and_update().clone();
        let Some(connection) = connection else { continue };
        match connection.renew(&token, DEADLINE).await {
            Ok(renewed) => {
                backoff.reset();
                setback_told = None;
                take(&tokens, &token, renewed).await;
            }
            Err(setback) => {
                not_before = Instant::now() + backoff.next(cap, setback.advised(), &mut rng);
                if setback_told.as_ref().is_some_and(|told| told.is_like(&setback)) {
                    debug!(reason = %setback, "the token could not be renewed, trying again");
                } else {
                    warn!(reason = %setback, "the token could not be renewed, trying again");
                }
                setback_told = Some(setback);
            }
        }
    }
}

async fn take(tokens: &Tokens, token: &Token, renewed: Token) {
    // One that came from the file meanwhile was put there on purpose.
    if tokens.is_current(token) {
        tokens.obtained(renewed).await;
        info!("the token was renewed");
    }
}
