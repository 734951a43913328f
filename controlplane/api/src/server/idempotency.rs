//! `Idempotency-Key`: a request that is sent again, because its answer was lost, is done once.
//!
//! What was done is remembered in memory for [`KEPT`], with its answer. What was refused is not: it did nothing, and may
//! be tried again. The key of a commit is in the store, too, and so outlives the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header, request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

use super::client::{Identity, Source};
use super::guard::Guard;
use crate::Problem;

/// The header field.
pub(super) const FIELD: &str = "idempotency-key";
/// Longest key, in characters.
pub(super) const MAX_KEY: usize = 128;
/// How long an answer is kept, and how many are, of all clients and of one.
const KEPT: Duration = Duration::from_secs(3600);
const MAX_ALL: usize = 256;
const MAX_EACH: usize = 32;
/// Longest answer that is kept, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// What a client calls one of its requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key(pub(super) String);

/// Keys mean something to the one who chose them only.
type Id = (Source, Key);

/// What became of requests with a key.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<HashMap<Id, Kept>>);

#[derive(Debug)]
struct Kept {
    /// SHA-256 of the request.
    request: [u8; 32],
    at: Instant,
    /// `None` while it is worked at.
    answer: Option<Answer>,
}

#[derive(Debug, Clone)]
struct Answer {
    status: StatusCode,
    kind: Option<HeaderValue>,
    /// `None` where it was too long.
    body: Option<Bytes>,
}

/// A request that is worked at: forgotten when dropped, unless it is done.
struct Begun {
    guard: Arc<Guard>,
    id: Id,
}

impl Answers {
    /// The answer of this request, if it was done before; else it is from now on worked at.
    fn begin(&self, id: &Id, request: [u8; 32], now: Instant) -> Result<Option<Answer>, Problem> {
        let mut all = self.lock();
        all.retain(|_, kept| kept.answer.is_none() || now < kept.at + KEPT);
        match all.get(id) {
            Some(kept) if kept.request != request => Err(Problem::key_reused("it came with another request")),
            Some(Kept { answer: Some(answer), .. }) => Ok(Some(answer.clone())),
            Some(Kept { answer: None, .. }) => {
                let detail = "the request with this Idempotency-Key is still worked at";
                let problem = Problem::new(409, "RequestInProgress", "The request is not done yet", detail);
                Err(problem.retry_after(Duration::from_secs(1)))
            }
            None => {
                make_room(&mut all, id.0)?;
                all.insert(id.clone(), Kept { request, at: now, answer: None });
                Ok(None)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the oldest answer, of this client where it has enough of them.
fn make_room(all: &mut HashMap<Id, Kept>, client: Source) -> Result<(), Problem> {
    let own = all.keys().filter(|(source, _)| *source == client).count();
    if own < MAX_EACH && all.len() < MAX_ALL {
        return Ok(());
    }
    let done = all
        .iter()
        .filter(|((source, _), kept)| kept.answer.is_some() && (own < MAX_EACH || *source == client));
    let oldest = done.min_by_key(|(_, kept)| kept.at).map(|(id, _)| id.clone());
    let oldest = oldest.ok_or_else(|| {
        let detail = "too many requests with an Idempotency-Key are worked at";
        Problem::new(429, "TooManyRequests", "Too many requests", detail).retry_after(Duration::from_secs(1))
    })?;
    all.remove(&oldest);
    Ok(())
}

impl Begun {
    fn done(self, answer: Answer) {
        if let Some(kept) = self.guard.answers.lock().get_mut(&self.id) {
            kept.answer = Some(answer);
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut all = self.guard.answers.lock();
        if all.get(&self.id).is_some_and(|kept| kept.answer.is_none()) {
            all.remove(&self.id);
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let Some(body) = self.body else {
            let detail =
                format!("it was done, with status {}; its answer was too long to be kept", self.status);
            return Problem::new(409, "AnswerNotKept", "The answer was not kept", detail).into_response();
        };
        let mut response = (self.status, body).into_response();
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().extend(self.kind.map(|kind| (header::CONTENT_TYPE, kind)));
        response
    }
}

/// Has a request done; one with a key that was done before is answered as it was then.
pub(super) async fn once(request: axum::http::Request<Bytes>, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let key = match key(&parts.headers) {
        Ok(key) => key.filter(|_| !parts.method.is_safe()),
        Err(problem) => return problem.into_response(),
    };
    let known = (parts.extensions.get::<Identity>().copied(), parts.extensions.get::<Arc<Guard>>().cloned());
    let (Some(key), (Some(identity), Some(guard))) = (key, known) else {
        return next.run(Request::from_parts(parts, Body::from(body))).await;
    };
    let id = (identity.source, key.clone());
    match guard.answers.begin(&id, digest(&parts, &body), Instant::now()) {
        Ok(None) => {}
        Ok(Some(answer)) => return answer.into_response(),
        Err(problem) => return problem.into_response(),
    }
    let begun = Begun { guard, id };
    parts.extensions.insert(key);
    let request = Request::from_parts(parts, Body::from(body));
    // It goes on when the client hangs up: that is when it will ask again.
    let working = tokio::spawn(async move { remember(begun, next.run(request).await).await });
    working.await.unwrap_or_else(|error| {
        Problem::new(500, "Internal", "Internal error", error.to_string()).into_response()
    })
}

/// Keeps the answer of a request that was done.
async fn remember(begun: Begun, response: Response) -> Response {
    if !response.status().is_success() {
        return response;
    }
    let (parts, body) = response.into_parts();
    // Answers to what changes something are whole already.
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let kept = (body.len() <= MAX_ANSWER).then(|| body.clone());
    let kind = parts.headers.get(header::CONTENT_TYPE).cloned();
    begun.done(Answer { status: parts.status, kind, body: kept });
    Response::from_parts(parts, Body::from(body))
}

fn key(headers: &HeaderMap) -> Result<Option<Key>, Problem> {
    let mut written = headers.get_all(FIELD).iter();
    let (Some(value), None) = (written.next(), written.next()) else {
        let absent = headers.get(FIELD).is_none();
        return if absent { Ok(None) } else { Err(Problem::bad_request("there are two Idempotency-Keys")) };
    };
    let fits = |key: &&str| (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|c| c.is_ascii_graphic());
    let key = value.to_str().ok().filter(fits);
    let key = key.ok_or_else(|| {
        Problem::bad_request(format!("an Idempotency-Key has 1 to {MAX_KEY} visible ASCII characters"))
    })?;
    Ok(Some(Key(key.to_owned())))
}

/// Tells requests apart: method, target and body, none of which can pass for a part of another.
fn digest(parts: &request::Parts, body: &[u8]) -> [u8; 32] {
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let mut digest = Sha256::new();
    for part in [parts.method.as_str().as_bytes(), target.as_bytes(), body] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(client: u32, key: usize) -> Id {
        (Source::User(client), Key(key.to_string()))
    }

    fn finish(answers: &Answers, id: &Id) {
        let answer = Answer { status: StatusCode::OK, kind: None, body: Some(Bytes::from_static(b"{}")) };
        answers.lock().get_mut(id).expect("begun").answer = Some(answer);
    }

    fn refused(answers: &Answers, id: &Id, request: [u8; 32], now: Instant) -> String {
        answers.begin(id, request, now).expect_err("refused").code.into()
    }

    #[test]
    fn a_key_stands_for_one_request_of_one_client_for_an_hour() {
        let (answers, now) = (Answers::default(), Instant::now());
        let same = id(1, 0);
        assert!(answers.begin(&same, [1; 32], now).expect("new").is_none());
        assert_eq!(refused(&answers, &same, [1; 32], now), "RequestInProgress");
        finish(&answers, &same);
        assert!(answers.begin(&same, [1; 32], now).expect("done").is_some());
        assert_eq!(refused(&answers, &same, [2; 32], now), "IdempotencyKeyReused");
        assert!(answers.begin(&id(2, 0), [2; 32], now).expect("another client's").is_none());
        assert!(answers.begin(&same, [2; 32], now + KEPT).expect("forgotten").is_none());
    }

    #[test]
    fn clients_push_out_their_own_answers_first() {
        let (answers, now) = (Answers::default(), Instant::now());
        let at = |n: usize| now + Duration::from_millis(n as u64);
        let other = id(2, 0);
        answers.begin(&other, [0; 32], now).expect("new");
        finish(&answers, &other);
        for n in 0..10 * MAX_EACH {
            answers.begin(&id(1, n), [0; 32], at(n)).expect("new");
            finish(&answers, &id(1, n));
        }
        assert!(answers.begin(&other, [0; 32], at(1)).expect("kept").is_some());
        assert_eq!(answers.lock().len(), MAX_EACH + 1);
        for client in 3..2 * u32::try_from(MAX_ALL).expect("few") {
            answers.begin(&id(client, 0), [0; 32], at(10_000)).expect("new");
            finish(&answers, &id(client, 0));
        }
        assert_eq!(answers.lock().len(), MAX_ALL);
    }

    #[test]
    fn what_is_worked_at_is_never_pushed_out() {
        let (answers, now) = (Answers::default(), Instant::now());
        for n in 0..MAX_EACH {
            answers.begin(&id(1, n), [0; 32], now).expect("new");
        }
        assert_eq!(refused(&answers, &id(1, MAX_EACH), [0; 32], now + 2 * KEPT), "TooManyRequests");
    }
}
