//! What a request has to pass before its handler sees it.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;

use super::audit::Audit;
use super::client::{Access, Client, Identity, Source};
use super::idempotency::{Answers, once};
use super::limits::{Buckets, Limits, Seats};
use super::manage;
use super::tokens::Tokens;
use crate::{AuditRecord, Problem, Role};

/// Longest segment of a path, decoded, in bytes.
const MAX_SEGMENT: usize = 255;
/// Characters of a path that the audit log keeps.
const MAX_AUDITED: usize = 256;

/// What is known across requests.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) limits: Limits,
    pub(super) tokens: Tokens,
    pub(super) audit: Audit,
    pub(super) answers: Answers,
    /// Who follows events.
    pub(super) followers: Arc<Seats<Source>>,
    access: Access,
    requests: Buckets<Source>,
}

impl Guard {
    /// Reads the tokens and begins the audit log.
    pub(super) fn new(limits: Limits, access: Access) -> io::Result<Arc<Self>> {
        let requests = Buckets::new(limits.requests_per_sec, limits.burst);
        let tokens = Tokens::load(access.state.as_deref())?;
        let audit = Audit::start(access.state.as_deref())?;
        let followers = Seats::new(limits.followers, limits.followers_each);
        let answers = Answers::default();
        Ok(Arc::new(Self { limits, tokens, audit, answers, followers, access, requests }))
    }

    /// Who asks. A token counts before what the kernel says, so that whoever may much can ask for less.
    fn identify(&self, client: Client, header: &HeaderMap) -> Result<Identity, Problem> {
        if let Some(shown) = header.get(header::AUTHORIZATION) {
            let token = shown.to_str().ok().and_then(|shown| shown.split_once(' '));
            let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            let known = token.and_then(|(_, token)| self.tokens.check(token.trim(), manage::now()));
            let known = known.ok_or_else(|| unproven("the token is unknown, revoked or expired"));
            return known.map(|(id, role)| Identity { source: Source::Token(id), role });
        }
        let Client::Local { uid, gid, .. } = client else {
            return Err(unproven("over TLS every request needs a token, and this one has none"));
        };
        let role = self.access.role(uid, gid).ok_or_else(|| {
            let detail = format!("user {uid} is in no group that may use the API");
            forbidden(detail).fix("name one of its groups in viewers, operators or admins of [api]")
        })?;
        Ok(Identity { source: Source::User(uid), role })
    }

    /// The certificate of the gateway's own CA, where it has one.
    pub(super) fn ca(&self) -> Option<&str> {
        self.access.ca.as_deref()
    }

    /// Whether one who was admitted still would be: an answer that does not end must not outlive its token.
    pub(super) fn still_knows(&self, source: Source) -> bool {
        match source {
            Source::User(_) => true,
            // Nobody is admitted as an address.
            Source::Address(_) => false,
            Source::Token(id) => self.tokens.is_good(id, manage::now()),
        }
    }

    fn admits(&self, client: Client, request: &Request) -> Result<Identity, Problem> {
        let identity = self.identify(client, request.headers());
        let source = identity.as_ref().map_or_else(|_| client.source(), |identity| identity.source);
        self.requests.take(source, Instant::now()).map_err(|wait| {
            let detail = format!("a client may make {} requests a second", self.limits.requests_per_sec);
            Problem::new(429, "TooManyRequests", "Too many requests", detail).retry_after(wait)
        })?;
        check_target(request.uri(), &self.limits)?;
        check_header(request.headers(), &self.limits)?;
        identity
    }
}

/// The outermost layer: nothing reaches a route without it, and every answer passes it.
pub(super) async fn guard(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let Some(client) = request.extensions().get::<Client>().copied() else {
        return Problem::new(500, "Internal", "Internal error", "the connection has no client")
            .into_response();
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let admitted = guard.admits(client, &request);
    let source = admitted.as_ref().map_or_else(|_| client.source(), |identity| identity.source);
    let mut response = match admitted {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    let status = response.status();
    if status == StatusCode::UNAUTHORIZED && matches!(client, Client::Remote(_)) {
        // Seats are for those who prove themselves.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let refused = matches!(status.as_u16(), 400 | 401 | 403 | 414 | 429 | 431);
    let secret = response.extensions().get::<Role>() == Some(&Role::Admin);
    if refused || secret || !method.is_safe() {
        let path = path.chars().take(MAX_AUDITED).collect();
        let (who, from, method) = (source.to_string(), client.to_string(), method.to_string());
        let record = AuditRecord {
            id: 0,
            time: manage::now(),
            who,
            from,
            method,
            path,
            status: status.as_u16(),
            untold: 0,
        };
        guard.audit.add(record, refused).await;
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn unproven(detail: &str) -> Problem {
    let problem = Problem::new(401, "Unauthorized", "Who asks is not known", detail);
    problem.fix("send `Authorization: Bearer TOKEN` with a token that `esplanade token create` made")
}

fn forbidden(detail: String) -> Problem {
    Problem::new(403, "Forbidden", "Not allowed", detail)
}

/// One way to write each path: what could be read as another one is refused.
fn check_target(target: &Uri, limits: &Limits) -> Result<(), Problem> {
    let (path, query) = (target.path(), target.query().unwrap_or_default());
    if path.len() + query.len() > limits.target {
        let detail = format!("path and query may have {} bytes", limits.target);
        return Err(Problem::new(414, "UriTooLong", "The path is too long", detail));
    }
    let plain = path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_plain));
    if !plain {
        let detail =
            "a segment is empty, too long, a dot segment, not UTF-8, or has a slash or control in it";
        return Err(Problem::new(400, "BadPath", "The path cannot be read", detail));
    }
    Ok(())
}

fn is_plain(segment: &str) -> bool {
    let decoded = percent_encoding::percent_decode_str(segment);
    let Ok(text) = decoded.decode_utf8() else { return false };
    let escapes = segment.matches('%').count();
    // What is no escape stays as it is, and then less than two bytes for each `%` have gone.
    let well_formed = segment.len() - text.len() == 2 * escapes;
    let strange = |c: char| c.is_control() || c == '/' || c == '\\';
    well_formed
        && !text.is_empty()
        && text.len() <= MAX_SEGMENT
        && text != "."
        && text != ".."
        && !text.contains(strange)
}

fn check_header(header: &HeaderMap, limits: &Limits) -> Result<(), Problem> {
    let bytes: usize = header.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if header.len() > limits.fields || bytes > limits.header {
        let detail =
            format!("a request may have {} header fields and {} bytes of them", limits.fields, limits.header);
        return Err(Problem::new(431, "HeaderTooLarge", "The header is too large", detail));
    }
    Ok(())
}

/// The innermost layer, around each handler: who asks has the role, and the body is there, is JSON, and is no larger
/// than it may be.
pub(super) async fn admit(limits: Limits, needed: Role, request: Request, next: Next) -> Response {
    let has = request.extensions().get::<Identity>().map(|identity| identity.role);
    let mut response = if has >= Some(needed) {
        match with_body(limits, request).await {
            Ok(request) => once(request, next).await,
            Err(problem) => problem.into_response(),
        }
    } else {
        let has = has.map_or("none", Role::name);
        forbidden(format!("this needs the role {}, and yours is {has}", needed.name())).into_response()
    };
    response.extensions_mut().insert(needed);
    response
}

async fn with_body(limits: Limits, request: Request) -> Result<axum::http::Request<Bytes>, Problem> {
    let (mut parts, body) = request.into_parts();
    let too_large = || {
        let detail = format!("a body may have {} bytes", limits.body);
        Problem::new(413, "BodyTooLarge", "The body is too large", detail)
    };
    let announced =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limits.body as u64) {
        return Err(too_large());
    }
    let read = tokio::time::timeout(limits.body_time, to_bytes(body, limits.body)).await;
    let read = read.map_err(|_| {
        let detail = format!("the body did not come within {} s", limits.body_time.as_secs());
        Problem::new(408, "RequestTimeout", "The request is too slow", detail)
    })?;
    let bytes = read.map_err(|error| {
        let source = std::error::Error::source(&error);
        if source.is_some_and(|source| source.is::<LengthLimitError>()) {
            too_large()
        } else {
            Problem::bad_request("the body ends early or is framed wrongly")
        }
    })?;
    if bytes.is_empty() {
        // Nothing is of no kind.
        parts.headers.remove(header::CONTENT_TYPE);
    } else if !is_json(&parts.headers) {
        let detail = "the body is not announced as application/json";
        let problem = Problem::new(415, "UnsupportedMediaType", "The body is of another kind", detail);
        return Err(problem.fix("send it with `content-type: application/json`"));
    }
    Ok(axum::http::Request::from_parts(parts, bytes))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let essence = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let takes = ["application/json", "application/merge-patch+json"];
    essence.is_some_and(|essence| takes.iter().any(|kind| essence.eq_ignore_ascii_case(kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_in_one_way() {
        let takes = |path: &str| check_target(&path.parse().expect("a target"), &Limits::default()).is_ok();
        assert!(takes("/v1/connections?tag=a%2Fb") && takes("/v1/connections/caf%C3%A9/initiate"));
        assert!(takes("/v1/connections/50%25/initiate"));
        for path in ["//v1/version", "/v1//version", "/v1/version/", "/v1/./version", "/v1/../v1/version"] {
            assert!(!takes(path), "{path}");
        }
        for segment in ["%2e%2e", "%2E", "a%2fb", "a%5cb", "%00", "a%0a", "%ff", "%", "%zz", "%c3%28"] {
            assert!(!takes(&format!("/v1/connections/{segment}/initiate")), "{segment}");
        }
        assert!(!takes(&format!("/v1/{}", "a".repeat(256))) && takes(&format!("/v1/{}", "a".repeat(255))));
        assert!(!takes("*") && !takes(&format!("/v1/version?{}", "a".repeat(4096))));
    }
}
