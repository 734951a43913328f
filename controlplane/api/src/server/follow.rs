//! The route of events: an answer that does not end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::client::{Identity, Source};
use super::feed::Follower;
use super::guard::Guard;
use super::limits::{Full, Seat};
use super::{Call, Calls};
use crate::{Event, EventFilter, Problem, path};

/// A comment is sent after so long without an event: whoever is between does not take the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How soon a client that was cut off may come back, in milliseconds.
const RETRY: u32 = 2000;
/// Where a client says which event it read last.
const LAST_EVENT_ID: &str = "last-event-id";

/// What happens, as it happens
///
/// Server-sent events: `id` is that of the event, `event` its kind, `data` the event in JSON. Without an event there is
/// a comment every 15 s. Whoever sends the ID of the last event that it read goes on after it, as far as the daemon
/// remembers; a `missed` event tells of a gap. A client that reads nothing for 30 s is cut off.
#[utoipa::path(
    get,
    path = path::EVENTS,
    tag = "service",
    params(
        EventFilter,
        ("Last-Event-ID" = Option<String>, Header, description = "Go on after this event; from now on without it"),
    ),
    responses((status = 200, description = "Events", content_type = "text/event-stream", body = Event)),
)]
pub(super) async fn events(
    State(calls): State<Calls>,
    Extension(guard): Extension<Arc<Guard>>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    filter: Result<Query<EventFilter>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(filter) = filter.map_err(|error| {
        Problem::bad_request(error.body_text()).fix("use connection=NAME and kind=KIND,KIND, or nothing")
    })?;
    let last = headers.get(LAST_EVENT_ID).map(|last| String::from_utf8_lossy(last.as_bytes()));
    let follower = calls.ask(Call::Events).await?.follow(filter, last.as_deref())?;
    let seat = guard.followers.take(identity.source).map_err(no_seat)?;
    let (sender, receiver) = mpsc::channel(1);
    let begin = match last {
        // Who is cut off before the first event knows where to go on, too.
        None => format!("retry: {RETRY}\nid: {}\n\n", follower.place()),
        Some(_) => format!("retry: {RETRY}\n\n"),
    };
    tokio::spawn(serve(begin.into(), follower, sender, guard, seat));
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], Body::new(Chunks(receiver))).into_response())
}

fn no_seat(full: Full) -> Problem {
    let problem = |status, whose: &str| {
        let problem = Problem::new(status, "TooManyFollowers", "Too many follow events", whose);
        problem.fix("end one of them, or follow once for all that want to know")
    };
    match full {
        Full::Yours => problem(429, "this client follows events as often as it may"),
        Full::All => problem(503, "events are followed as often as they may be"),
    }
}

/// Sends a chunk, then events until the client has gone or may no longer have them, or there will be none.
async fn serve(
    mut chunk: Bytes,
    mut follower: Follower,
    chunks: mpsc::Sender<Bytes>,
    guard: Arc<Guard>,
    seat: Seat<Source>,
) {
    while guard.still_knows(seat.client()) && chunks.send(chunk).await.is_ok() {
        let next = tokio::select! {
            next = timeout(KEEP_ALIVE, follower.read()) => next,
            () = chunks.closed() => return,
        };
        chunk = match next {
            Ok(Some(events)) => events,
            Ok(None) => return,
            Err(_) => Bytes::from_static(b":\n\n"),
        };
    }
}

/// A body of what comes out of a channel.
struct Chunks(mpsc::Receiver<Bytes>);

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}
