//! A client of the control plane's API: HTTP over its Unix socket, or over TLS.

mod follow;
mod remote;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, ETAG, HOST, LINK};
use hyper::http::response::Parts;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

pub use remote::{NotAnUrl, Remote, Url};

/// Where the control plane listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/esplanade/control.sock";
/// The longest answer that is read.
const MAX_ANSWER: usize = 64 << 20;
/// Entries of a list that are asked for at once.
const PART: usize = 500;
/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A call that was not answered, or was refused.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error("cannot reach the control plane at {at}: is it running? (`esplanade up`, --socket or --url)")]
    Unreachable {
        /// Where nobody listens.
        at: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Somebody listens who may be anybody.
    #[error("the certificate of {url} is not trusted: {why}: {fix}")]
    Untrusted {
        /// Who was asked.
        url: String,
        /// What is wrong with the certificate.
        why: String,
        /// What to do.
        fix: &'static str,
    },
    /// The answer is a problem.
    #[error("{message}")]
    Refused {
        /// HTTP's status.
        status: u16,
        /// The problem's name for programs.
        code: String,
        /// Its title, detail and fix.
        message: String,
    },
}

/// A client; each call is one connection.
#[derive(Debug, Clone)]
pub struct Client(Endpoint);

/// Where a client asks.
#[derive(Debug, Clone)]
enum Endpoint {
    Local(PathBuf),
    Remote(Remote),
}

impl Client {
    /// A client of the control plane that listens at `socket`.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self(Endpoint::Local(socket.to_path_buf()))
    }

    /// A client of a gateway's control plane, over TLS.
    #[must_use]
    pub fn remote(gateway: Remote) -> Self {
        Self(Endpoint::Remote(gateway))
    }

    /// `GET path`.
    ///
    /// # Errors
    /// If the control plane does not answer, or answers with a problem: a [`CallError`] where the call is to blame.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(Method::GET, path, Bytes::new())
    }

    /// `GET path`, and the entity tag of the answer.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn get_tagged<T: DeserializeOwned>(&self, path: &str) -> Result<(T, Option<String>)> {
        let (headers, answer) = self.answer(Method::GET, path, None, Bytes::new())?;
        let tag = headers.get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        Ok((parse(path, &answer)?, tag))
    }

    /// `PUT path` with a JSON body and a header field with the condition for it.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        condition: (&str, &str),
        body: &impl Serialize,
    ) -> Result<T> {
        let (_, answer) =
            self.answer(Method::PUT, path, Some(condition), serde_json::to_vec(body)?.into())?;
        parse(path, &answer)
    }

    /// `GET path` of a list, part by part.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut next = Some(format!("{path}{joint}limit={PART}"));
        let mut all = Vec::new();
        while let Some(path) = next {
            let (headers, answer) = self.answer(Method::GET, &path, None, Bytes::new())?;
            all.extend(parse::<Vec<T>>(&path, &answer)?);
            next = headers.get(LINK).and_then(|link| next_part(link.to_str().ok()?));
        }
        Ok(all)
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.call(Method::POST, path, serde_json::to_vec(body)?.into())
    }

    /// `DELETE path`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn delete(&self, path: &str) -> Result<()> {
        self.remove(path)
    }

    /// As [`Client::delete`], with what the answer says.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn remove<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(Method::DELETE, path, Bytes::new())
    }

    fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T> {
        self.answer(method, path, None, body).and_then(|(_, answer)| parse(path, &answer))
    }

    /// The answer to a request with a header field more.
    fn answer(
        &self,
        method: Method,
        path: &str,
        field: Option<(&str, &str)>,
        body: Bytes,
    ) -> Result<(HeaderMap, Bytes)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (head, answer) = runtime.block_on(async {
            let exchange = tokio::time::timeout(TIMEOUT, self.exchange(method, path, field, body));
            exchange.await.with_context(|| format!("{path}: no answer within {} s", TIMEOUT.as_secs()))?
        })?;
        if head.status.is_success() {
            Ok((head.headers, answer))
        } else {
            Err(refusal(path, head.status, &answer).into())
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        field: Option<(&str, &str)>,
        body: Bytes,
    ) -> Result<(Parts, Bytes)> {
        let (head, body) = self.send(method, path, field, body).await?.into_parts();
        let answer = Limited::new(body, MAX_ANSWER).collect().await;
        let answer = answer.map_err(|error| anyhow::anyhow!("{path}: {error}"))?.to_bytes();
        Ok((head, answer))
    }

    /// Sends a request on a connection of its own, and gives the answer as far as its header.
    async fn send(
        &self,
        method: Method,
        path: &str,
        header: Option<(&str, &str)>,
        body: Bytes,
    ) -> Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let mut request = request.body(Full::new(body))?;
        match &self.0 {
            Endpoint::Local(socket) => {
                let unreachable =
                    |source| CallError::Unreachable { at: socket.display().to_string(), source };
                ask(UnixStream::connect(socket).await.map_err(unreachable)?, request).await
            }
            Endpoint::Remote(gateway) => {
                request.headers_mut().insert(HOST, gateway.url.authority()?);
                request.headers_mut().insert(AUTHORIZATION, gateway.authorization()?);
                ask(gateway.connect().await?, request).await
            }
        }
    }
}

/// One request over a stream of its own, which ends with the body of the answer.
async fn ask<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    sender.send_request(request).await.context("the control plane hung up")
}

fn parse<T: DeserializeOwned>(path: &str, answer: &[u8]) -> Result<T> {
    let answer = if answer.is_empty() { &b"null"[..] } else { answer };
    serde_json::from_slice(answer).with_context(|| format!("{path}: an answer of another version?"))
}

/// The path of the next part of a list, by the header that says so (RFC 8288).
fn next_part(link: &str) -> Option<String> {
    let (target, _) = link.strip_prefix('<')?.split_once(">; rel=\"next\"")?;
    target.starts_with('/').then(|| target.to_owned())
}

/// A path with the fields of `query` that there are.
///
/// # Errors
/// If `query` has other fields than texts and numbers.
pub fn with_query(path: &str, query: &impl Serialize) -> Result<String> {
    let query = serde_urlencoded::to_string(query)?;
    Ok(if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") })
}

/// What a problem+json answer says, in one line.
fn refusal(path: &str, status: hyper::StatusCode, answer: &[u8]) -> CallError {
    let problem: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    let parts: Vec<&str> =
        ["title", "detail", "fix"].iter().filter_map(|field| problem[field].as_str()).collect();
    let mut message = if parts.is_empty() { format!("{path}: {status}") } else { parts.join(": ") };
    let others = problem["problems"].as_array().into_iter().flatten();
    for other in others.filter(|other| other["severity"] == "error").skip(1) {
        let said = ["path", "message", "allowed", "fix"].iter().filter_map(|field| other[field].as_str());
        message += &format!("\n  {}", said.collect::<Vec<_>>().join(": "));
    }
    let code = problem["code"].as_str().unwrap_or_default().to_owned();
    CallError::Refused { status: status.as_u16(), code, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_part_is_on_the_same_gateway() {
        let next = next_part("</v1/sas?limit=2&cursor=2f>; rel=\"next\"");
        assert_eq!(next.as_deref(), Some("/v1/sas?limit=2&cursor=2f"));
        for link in ["", "/v1/sas", "<https://elsewhere/v1/sas>; rel=\"next\"", "</v1/sas>; rel=\"prev\""] {
            assert_eq!(next_part(link), None, "{link}");
        }
    }
}
