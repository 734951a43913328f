//! Connections: how many, for how long, and who is at their other end.

mod tls;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tower_service::Service as _;

use super::client::{Access, Client};
use super::guard::Guard;
use super::limits::{Full, Limits, Seat, Seats};
use super::patient::Patient;
use super::{Calls, router};
use crate::Problem;

/// Pause after an `accept` that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
/// How long answers that are under way may take once the server stops.
const FAREWELL: Duration = Duration::from_secs(1);
/// Beyond this the parser itself ends a connection, with a bare status; up to it [`Limits`] are checked and explained.
const HARD_HEADER: usize = 64 << 10;
const HARD_FIELDS: usize = 256;

/// Serves the API on its listeners.
#[derive(Debug)]
pub struct Server {
    router: Router,
    limits: Limits,
    stopping: watch::Sender<bool>,
}

impl Server {
    /// A server whose calls go to `calls`.
    ///
    /// # Errors
    /// If the state folder of `access` cannot be used.
    pub fn new(calls: Calls, limits: Limits, access: Access) -> io::Result<Arc<Self>> {
        let router = router(calls, Guard::new(limits, access)?);
        Ok(Arc::new(Self { router, limits, stopping: watch::Sender::new(false) }))
    }

    /// Takes connections of a Unix socket until the server stops.
    pub async fn serve_unix(self: Arc<Self>, listener: UnixListener) {
        let seats = Seats::new(self.limits.connections, self.limits.connections_each);
        let mut stopping = self.stopping.subscribe();
        while let Some((stream, _)) = next(&mut stopping, || listener.accept()).await {
            self.welcome(stream, &seats);
        }
    }

    /// Ends the listeners, and every connection once it has its answer.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        // Each connection and listener holds a receiver.
        drop(tokio::time::timeout(FAREWELL, self.stopping.closed()).await);
    }

    fn welcome(self: &Arc<Self>, stream: UnixStream, seats: &Arc<Seats<u32>>) {
        // Without credentials it hung up already.
        let Ok(credentials) = stream.peer_cred() else { return };
        let (uid, gid, pid) = (credentials.uid(), credentials.gid(), credentials.pid());
        let client = Client::Local { uid, gid, pid };
        match seats.take(uid) {
            Ok(seat) => {
                let server = Arc::clone(self);
                tokio::spawn(async move { server.converse(stream, client, seat).await });
            }
            Err(full) => refuse(&stream, full),
        }
    }

    /// Answers the requests of one connection.
    async fn converse<S, K>(&self, stream: S, client: Client, _seat: Seat<K>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        K: Eq + std::hash::Hash + Copy,
    {
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(client);
            router.clone().call(request.map(Body::new))
        });
        let io = TokioIo::new(Patient::new(stream, self.limits.stall_time));
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_time)
            .max_header_size(HARD_HEADER)
            .max_headers(HARD_FIELDS)
            .serve_connection(io, service);
        let mut stopping = self.stopping.subscribe();
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = told(&mut stopping) => {
                std::pin::Pin::new(&mut connection).graceful_shutdown();
                (&mut connection).await
            }
        };
        let Err(error) = ended else { return };
        tracing::debug!(%error, "a connection of the API failed");
        let parts = connection.into_parts();
        let mut stream = parts.io.into_inner();
        // One that was idle between requests needs no words.
        if error.is_timeout() && !parts.read_buf.is_empty() {
            let detail = format!("the header did not come within {} s", self.limits.header_time.as_secs());
            let problem = Problem::new(408, "RequestTimeout", "The request is too slow", detail);
            drop(stream.write_all(&last_words(&problem)).await);
        }
        // Over TLS an end that is not announced looks like somebody else's work (RFC 8446 section 6.1).
        drop(stream.shutdown().await);
    }
}

/// The next connection of a listener; `None` once the server stops.
async fn next<C, F>(stopping: &mut watch::Receiver<bool>, accept: impl Fn() -> F) -> Option<C>
where
    F: Future<Output = io::Result<C>>,
{
    loop {
        let accepted = tokio::select! {
            accepted = accept() => accepted,
            () = told(stopping) => return None,
        };
        match accepted {
            Ok(connection) => return Some(connection),
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "the API cannot take a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Waits until the server stops.
async fn told(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stopping| *stopping).await);
}

/// Errors of `accept` that say something of the one connection only.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Answers a connection that there is no seat for, and closes it. What does not fit into the socket's buffer is lost.
fn refuse(stream: &UnixStream, full: Full) {
    let problem = match full {
        Full::Yours => {
            Problem::new(429, "TooManyConnections", "Too many connections", "this user has too many open")
        }
        Full::All => Problem::new(503, "TooManyConnections", "Too many connections", "too many are open"),
    };
    drop(stream.try_write(&last_words(&problem.retry_after(Duration::from_secs(1)))));
}

/// A problem as a whole HTTP answer, for a connection that ends with it.
fn last_words(problem: &Problem) -> Vec<u8> {
    let body = serde_json::to_string(problem).unwrap_or_default();
    let reason =
        hyper::StatusCode::from_u16(problem.status).ok().and_then(|status| status.canonical_reason());
    let retry = problem.retry_after_secs.map(|secs| format!("retry-after: {secs}\r\n")).unwrap_or_default();
    format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n{retry}connection: close\r\n\r\n{body}",
        problem.status,
        reason.unwrap_or_default(),
        body.len(),
    )
    .into_bytes()
}
