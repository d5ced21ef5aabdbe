//! A connection that is kept: whoever calls over it says when it failed, and one task opens the next.

use std::{sync::Arc, time::Duration};

use daemon_client::{Connection, Setback, Way};
use rand::Rng;
use serde_json::json;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use crate::{drill::DEADLINE, drill::Drill};

/// Highest back-off between two connections, as of a daemon at the default pace.
const BACKOFF_CAP: Duration = Duration::from_secs(10);
/// After a storm, connections are opened again within this.
const STORM_JITTER: Duration = Duration::from_millis(250);
/// News of one link that may wait; more says nothing new.
const NEWS_MAX: usize = 64;

/// An open connection and its number on its link.
#[derive(Clone)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
    pub(crate) connection: Connection,
}

/// What callers say of a connection.
enum News {
    /// It brought what was asked for.
    Answered,
    Failed(u64, Setback),
}

/// One end of a link, for a caller. Clones are ends of the same.
#[derive(Clone)]
pub(crate) struct Link {
    current: watch::Receiver<Option<Numbered>>,
    news: mpsc::Sender<News>,
}

/// The other end: keeps the connection open.
pub(crate) struct Keeper {
    drill: Arc<Drill>,
    way: Way,
    name: String,
    current: watch::Sender<Option<Numbered>>,
    news: mpsc::Receiver<News>,
    /// Changes when all connections are to be dropped at once.
    storms: watch::Receiver<u64>,
    /// Connections that carry beats are counted, those that watch are not.
    is_counted: bool,
}

pub(crate) fn link(
    drill: &Arc<Drill>,
    way: Way,
    name: String,
    is_counted: bool,
    storms: watch::Receiver<u64>,
) -> (Link, Keeper) {
    let (publish, current) = watch::channel(None);
    let (sender, news) = mpsc::channel(NEWS_MAX);
    let drill = Arc::clone(drill);
    (Link { current, news: sender }, Keeper { drill, way, name, current: publish, news, storms, is_counted })
}

impl Link {
    /// The open connection, as soon as there is one.
    pub(crate) async fn connection(&mut self) -> Numbered {
        loop {
            if let Some(numbered) = self.current.borrow_and_update().clone() {
                return numbered;
            }
            if self.current.changed().await.is_err() {
                // The keeper ended, and with it the run.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until this connection is not the one to use any more.
    pub(crate) async fn is_over(&mut self, number: u64) {
        let is_other =
            |current: &Option<Numbered>| current.as_ref().is_none_or(|current| current.number != number);
        if self.current.wait_for(is_other).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn answered(&self) {
        // When there is no room, there is other news, and this comes with the next answer.
        drop(self.news.try_send(News::Answered));
    }

    /// This connection does not do.
    pub(crate) async fn failed(&self, number: u64, setback: Setback) {
        drop(self.news.send(News::Failed(number, setback)).await);
    }
}

impl Keeper {
    /// Keeps the link open until no call over it can ever succeed.
    pub(crate) async fn run(mut self) {
        let mut number = 0;
        loop {
            let setback = match self.way.connect(DEADLINE).await {
                Ok(connection) => {
                    number += 1;
                    self.opened(number, connection);
                    let setback = self.until_it_fails(number).await;
                    self.current.send_replace(None);
                    self.closed(setback.as_ref());
                    setback
                }
                Err(setback) => {
                    self.drill.note(&setback);
                    Some(setback)
                }
            };
            let wait = match setback {
                None => {
                    self.way.disconnect();
                    STORM_JITTER.mul_f64(rand::rng().random_range(0.0..=1.0))
                }
                Some(setback) => match self.way.after(&setback, BACKOFF_CAP) {
                    Ok(wait) => wait,
                    Err(_) => return self.drill.end(setback),
                },
            };
            sleep(wait).await;
        }
    }

    /// Gives the setback, or none when a storm dropped it.
    async fn until_it_fails(&mut self, number: u64) -> Option<Setback> {
        loop {
            tokio::select! {
                Some(news) = self.news.recv() => match news {
                    News::Answered => self.way.answered(),
                    News::Failed(failed, setback) if failed == number => return Some(setback),
                    // Old news: the connection of then is closed already.
                    News::Failed(..) => {}
                },
                Ok(()) = self.storms.changed() => return None,
                else => std::future::pending().await,
            }
        }
    }

    fn opened(&self, number: u64, connection: Connection) {
        self.current.send_replace(Some(Numbered { number, connection }));
        self.drill.events.write("connected", self.drill.clock.now(), json!({ "connection": self.name }));
    }

    fn closed(&self, setback: Option<&Setback>) {
        if self.is_counted {
            self.drill.tally().reconnects += 1;
        }
        let reason = setback.map_or_else(|| "storm".to_owned(), ToString::to_string);
        let fields = json!({ "connection": self.name, "reason": reason });
        self.drill.events.write("disconnected", self.drill.clock.now(), fields);
    }
}
