//! Accepts connections, and shakes hands with many clients at once.

use std::{
    convert::Infallible,
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use metrics::counter;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Sleep, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::Stream;
use tonic::transport::server::TcpIncoming;

use super::{
    connection::Connection,
    in_clear::{is_in_clear, turn_away},
};

/// Pause after an error of the listener itself, such as too many open files: repeating at once would only spin. Doubled
/// up to the longest while it lasts.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What a client may take before it has said anything.
#[derive(Clone, Copy, Debug)]
pub struct AcceptBounds {
    /// Silence after which the kernel asks whether the peer is still there.
    pub keep_alive: Duration,
    /// Time for a handshake.
    pub handshake: Duration,
    /// Handshakes under way. At the bound, nobody is accepted until one ends.
    pub handshakes_max: usize,
}

/// Connections that are ready to be served. Never yields an error, and does not end while the listener lives: what goes
/// wrong with one client is no concern of the others.
pub struct Incoming<S = TcpIncoming> {
    accepted: S,
    acceptor: Option<TlsAcceptor>,
    bounds: AcceptBounds,
    /// Dropped with the stream, which ends them.
    handshakes: JoinSet<Option<Connection>>,
    pause: Option<Pin<Box<Sleep>>>,
    pause_next: Duration,
}

impl Incoming {
    /// Accepts from `listener`, in plaintext if there is no `acceptor`.
    pub(super) fn new(listener: TcpListener, acceptor: Option<TlsAcceptor>, bounds: AcceptBounds) -> Self {
        let accepted = TcpIncoming::from(listener)
            .with_nodelay(Some(true))
            .with_keepalive(Some(bounds.keep_alive))
            .with_keepalive_interval(Some(bounds.keep_alive));
        Self::over(accepted, acceptor, bounds)
    }
}

impl<S> Incoming<S> {
    fn over(accepted: S, acceptor: Option<TlsAcceptor>, bounds: AcceptBounds) -> Self {
        Self { accepted, acceptor, bounds, handshakes: JoinSet::new(), pause: None, pause_next: PAUSE_FIRST }
    }

    /// Takes note that nothing can be accepted for now.
    fn rest(&mut self, error: &io::Error) {
        if self.pause_next == PAUSE_FIRST {
            tracing::error!(%error, "no connection can be accepted: trying again until it works");
        }
        self.pause = Some(Box::pin(sleep(self.pause_next)));
        self.pause_next = (self.pause_next * 2).min(PAUSE_MAX);
    }
}

impl<S: Stream<Item = io::Result<TcpStream>> + Unpin> Stream for Incoming<S> {
    type Item = Result<Connection, Infallible>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            // Those who are done come first: that also makes room for others.
            while let Poll::Ready(Some(ended)) = this.handshakes.poll_join_next(context) {
                match ended {
                    Ok(Some(connection)) => return Poll::Ready(Some(Ok(connection))),
                    Ok(None) => {}
                    Err(error) => tracing::error!(%error, "a handshake panicked"),
                }
            }
            if this.handshakes.len() >= this.bounds.handshakes_max {
                return Poll::Pending;
            }
            if let Some(pause) = &mut this.pause {
                ready!(pause.as_mut().poll(context));
                this.pause = None;
            }
            match ready!(Pin::new(&mut this.accepted).poll_next(context)) {
                Some(Ok(stream)) => {
                    this.pause_next = PAUSE_FIRST;
                    match this.acceptor.clone() {
                        Some(acceptor) => {
                            this.handshakes.spawn(shake_hands(acceptor, stream, this.bounds.handshake));
                        }
                        None => return Poll::Ready(Some(Ok(Connection::Plaintext(stream)))),
                    }
                }
                Some(Err(error)) if is_of_one_connection(&error) => {
                    tracing::debug!(%error, "a client was gone before it was accepted");
                }
                Some(Err(error)) => this.rest(&error),
                None if this.handshakes.is_empty() => return Poll::Ready(None),
                None => return Poll::Pending,
            }
        }
    }
}

async fn shake_hands(acceptor: TlsAcceptor, stream: TcpStream, deadline: Duration) -> Option<Connection> {
    let peer = stream.peer_addr().ok();
    let handshake = async {
        if is_in_clear(&stream).await? {
            turn_away(stream).await?;
            return Ok::<_, io::Error>(None);
        }
        Ok(Some(acceptor.accept(stream).await?))
    };
    // Not more than debug: who can reach the port can make these at will.
    let (outcome, connection) = match timeout(deadline, handshake).await {
        Ok(Ok(Some(stream))) => ("completed", Some(Connection::Tls(Box::new(stream)))),
        Ok(Ok(None)) => {
            tracing::debug!(?peer, "a client called in clear");
            ("in_clear", None)
        }
        Ok(Err(error)) => {
            tracing::debug!(?peer, %error, "a handshake failed");
            ("failed", None)
        }
        Err(_) => {
            tracing::debug!(?peer, "a handshake took too long");
            ("timed_out", None)
        }
    };
    counter!("rollcall_tls_handshakes_total", "outcome" => outcome).increment(1);
    connection
}

/// Whether the next connection may well be accepted at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::Interrupted
            | ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, time::Instant};

    use tokio_stream::StreamExt;

    use super::*;

    const BOUNDS: AcceptBounds = AcceptBounds {
        keep_alive: Duration::from_secs(4),
        handshake: Duration::from_secs(5),
        handshakes_max: 8,
    };

    /// Says what it was given, then nothing for ever; counts how often it was asked.
    struct Script {
        results: VecDeque<io::Result<TcpStream>>,
        asked: usize,
    }

    impl Stream for Script {
        type Item = io::Result<TcpStream>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            self.asked += 1;
            match self.results.pop_front() {
                Some(result) => Poll::Ready(Some(result)),
                None => Poll::Pending,
            }
        }
    }

    async fn incoming(errors: Vec<io::Error>) -> Incoming<Script> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let results = errors.into_iter().map(Err).chain([Ok(stream)]).collect();
        Incoming::over(Script { results, asked: 0 }, None, BOUNDS)
    }

    #[tokio::test]
    async fn too_many_open_files_make_it_wait_and_not_end() {
        const EMFILE: i32 = 24;
        let mut incoming = incoming((0..3).map(|_| io::Error::from_raw_os_error(EMFILE)).collect()).await;
        let begun = Instant::now();
        assert!(matches!(incoming.next().await, Some(Ok(Connection::Plaintext(_)))));
        assert!(begun.elapsed() >= PAUSE_FIRST * (1 + 2 + 4), "each pause is twice the one before");
        assert_eq!(incoming.accepted.asked, 4, "it does not spin");
        assert_eq!(incoming.pause_next, PAUSE_FIRST, "what is over is forgotten");
    }

    #[tokio::test]
    async fn a_client_that_is_gone_costs_the_next_no_time() {
        let errors = vec![ErrorKind::ConnectionAborted.into(), ErrorKind::ConnectionReset.into()];
        let mut incoming = incoming(errors).await;
        let first = tokio::time::timeout(PAUSE_FIRST, incoming.next()).await;
        assert!(matches!(first, Ok(Some(Ok(Connection::Plaintext(_))))));
        assert!(incoming.pause.is_none());
    }
}
