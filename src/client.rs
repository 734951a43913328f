//! A client of the control plane's API: HTTP over its Unix socket.

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// Where the control plane listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/esplanade/control.sock";
/// The longest answer that is read.
const MAX_ANSWER: usize = 64 << 20;
/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A call that was not answered, or was refused.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error("cannot reach the control plane at {}: is it running? (`esplanade up`, or --socket)", .socket.display())]
    Unreachable {
        /// Where nobody listens.
        socket: PathBuf,
        /// What the system says.
        source: std::io::Error,
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
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the control plane that listens at `socket`.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_path_buf() }
    }

    /// `GET path`.
    ///
    /// # Errors
    /// If the control plane does not answer, or answers with a problem: a [`CallError`] where the call is to blame.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(Method::GET, path, Bytes::new())
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
        self.call(Method::DELETE, path, Bytes::new())
    }

    fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (status, answer) = runtime.block_on(async {
            let exchange = tokio::time::timeout(TIMEOUT, self.exchange(method, path, body));
            exchange.await.with_context(|| format!("{path}: no answer within {} s", TIMEOUT.as_secs()))?
        })?;
        if !status.is_success() {
            return Err(refusal(path, status, &answer).into());
        }
        let answer = if answer.is_empty() { &b"null"[..] } else { &answer };
        serde_json::from_slice(answer).with_context(|| format!("{path}: an answer of another version?"))
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<(hyper::StatusCode, Bytes)> {
        let unreachable = |source| CallError::Unreachable { socket: self.socket.clone(), source };
        let stream = UnixStream::connect(&self.socket).await.map_err(unreachable)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json");
        let response =
            sender.send_request(request.body(Full::new(body))?).await.context("the control plane hung up")?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let answer = answer.map_err(|error| anyhow::anyhow!("{path}: {error}"))?.to_bytes();
        driver.abort();
        Ok((status, answer))
    }
}

/// What a problem+json answer says, in one line.
fn refusal(path: &str, status: hyper::StatusCode, answer: &[u8]) -> CallError {
    let problem: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    let parts: Vec<&str> =
        ["title", "detail", "fix"].iter().filter_map(|field| problem[field].as_str()).collect();
    let message = if parts.is_empty() { format!("{path}: {status}") } else { parts.join(": ") };
    let code = problem["code"].as_str().unwrap_or_default().to_owned();
    CallError::Refused { status: status.as_u16(), code, message }
}
