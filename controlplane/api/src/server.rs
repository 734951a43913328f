//! The routes of the daemon. They hold no state: each request becomes a [`Call`] to whoever does.

use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::{
    Action, ActionReply, ActionRequest, Certificate, ConfigDiff, ConfigReport, ConfigText, Connection,
    ConnectionFilter, Counters, Diagnosis, DropCounter, IkeSa, Neighbour, PeerConfig, Port, Problem,
    ShutdownRequest, Status, Version, path,
};

/// Largest request body, in bytes: a document of some thousand connections.
const MAX_BODY: usize = 4 << 20;
/// How long a call may take beyond the wait it asks for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait a client may ask for, in seconds.
const MAX_WAIT: u64 = 300;

/// Where the answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, Problem>>;

/// What a client wants.
#[derive(Debug)]
pub enum Call {
    Version(Reply<Version>),
    Status(Reply<Status>),
    Sas(Reply<Vec<IkeSa>>),
    Connections(Reply<Vec<Connection>>),
    Act { connection: String, action: Action, request: ActionRequest, reply: Reply<ActionReply> },
    Counters(Reply<Counters>),
    Errors(Reply<Vec<DropCounter>>),
    Ports(Reply<Vec<Port>>),
    Neighbours(Reply<Vec<Neighbour>>),
    Diagnoses(Reply<Vec<Diagnosis>>),
    Certificates(Reply<Vec<Certificate>>),
    PeerConfig { connection: String, vendor: String, reply: Reply<PeerConfig> },
    CheckConfig(ConfigText, Reply<ConfigReport>),
    DiffConfig(ConfigText, Reply<ConfigDiff>),
    ReloadConfig(Reply<ConfigReport>),
    Shutdown(ShutdownRequest, Reply<()>),
}

/// Carries calls to the one who answers them.
#[derive(Debug, Clone)]
pub struct Calls(mpsc::Sender<Call>);

impl Calls {
    /// A sender and the queue it fills, which holds `depth` calls; more wait.
    #[must_use]
    pub fn new(depth: usize) -> (Self, mpsc::Receiver<Call>) {
        let (sender, receiver) = mpsc::channel(depth);
        (Self(sender), receiver)
    }

    async fn ask<T>(&self, call: impl FnOnce(Reply<T>) -> Call) -> Result<T, Problem> {
        self.ask_within(PATIENCE, call).await
    }

    async fn ask_within<T>(
        &self,
        patience: Duration,
        call: impl FnOnce(Reply<T>) -> Call,
    ) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            self.0.send(call(reply)).await.map_err(|_| stopping())?;
            answer.await.map_err(|_| stopping())?
        };
        tokio::time::timeout(patience, exchange).await.unwrap_or_else(|_| Err(slow()))
    }
}

fn stopping() -> Problem {
    Problem::new(503, "Stopping", "The control plane is stopping", "no answer will come")
}

fn slow() -> Problem {
    Problem::new(504, "NoAnswer", "No answer in time", "the data plane did not answer in time")
}

/// All routes.
pub fn router(calls: Calls) -> Router {
    Router::new()
        .route(path::VERSION, get(version))
        .route(path::STATUS, get(status))
        .route(path::SAS, get(sas))
        .route(path::CONNECTIONS, get(connections))
        .route("/v1/connections/{name}/{action}", post(act))
        .route("/v1/connections/{name}/peer-config/{vendor}", get(peer_config))
        .route(path::COUNTERS, get(counters))
        .route(path::ERRORS, get(errors))
        .route(path::PORTS, get(ports))
        .route(path::NEIGHBOURS, get(neighbours))
        .route(path::DIAGNOSES, get(diagnoses))
        .route(path::CERTIFICATES, get(certificates))
        .route(path::CONFIG_CHECK, post(check_config))
        .route(path::CONFIG_DIFF, post(diff_config))
        .route(path::CONFIG_RELOAD, post(reload_config))
        .route(path::SHUTDOWN, post(shutdown))
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(calls)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

type Answer<T> = Result<Json<T>, Problem>;

/// The body of a request; an empty one is the default.
fn body<T: Default>(body: Result<Json<T>, JsonRejection>) -> Result<T, Problem> {
    match body {
        Ok(Json(body)) => Ok(body),
        Err(JsonRejection::MissingJsonContentType(_)) => Ok(T::default()),
        Err(error) => Err(bad_body(&error)),
    }
}

fn bad_body(error: &JsonRejection) -> Problem {
    Problem::new(error.status().as_u16(), "BadRequest", "The request cannot be read", error.body_text())
}

async fn answer<T: Serialize>(calls: &Calls, call: impl FnOnce(Reply<T>) -> Call) -> Answer<T> {
    calls.ask(call).await.map(Json)
}

async fn version(State(calls): State<Calls>) -> Answer<Version> {
    answer(&calls, Call::Version).await
}

async fn status(State(calls): State<Calls>) -> Answer<Status> {
    answer(&calls, Call::Status).await
}

async fn sas(State(calls): State<Calls>) -> Answer<Vec<IkeSa>> {
    answer(&calls, Call::Sas).await
}

async fn connections(
    State(calls): State<Calls>,
    filter: Result<Query<ConnectionFilter>, QueryRejection>,
) -> Answer<Vec<Connection>> {
    let Query(filter) = filter.map_err(|error| {
        Problem::new(400, "BadRequest", "The request cannot be read", error.body_text())
            .fix("use tag=KEY, tag=KEY=VALUE or resource-group=NAME")
    })?;
    let mut all = calls.ask(Call::Connections).await?;
    all.retain(|connection| filter.takes(connection));
    Ok(Json(all))
}

async fn act(
    State(calls): State<Calls>,
    Path((connection, action)): Path<(String, String)>,
    request: Result<Json<ActionRequest>, JsonRejection>,
) -> Answer<ActionReply> {
    let mut request = body(request)?;
    let Some(action) = Action::from_name(&action) else {
        return Err(Problem::not_found(format!("connections have no action {action}")));
    };
    request.wait_secs = request.wait_secs.min(MAX_WAIT);
    let patience = PATIENCE + Duration::from_secs(request.wait_secs);
    let call = |reply| Call::Act { connection, action, request, reply };
    calls.ask_within(patience, call).await.map(Json)
}

async fn peer_config(
    State(calls): State<Calls>,
    Path((connection, vendor)): Path<(String, String)>,
) -> Answer<PeerConfig> {
    answer(&calls, |reply| Call::PeerConfig { connection, vendor, reply }).await
}

async fn counters(State(calls): State<Calls>) -> Answer<Counters> {
    answer(&calls, Call::Counters).await
}

async fn errors(State(calls): State<Calls>) -> Answer<Vec<DropCounter>> {
    answer(&calls, Call::Errors).await
}

async fn ports(State(calls): State<Calls>) -> Answer<Vec<Port>> {
    answer(&calls, Call::Ports).await
}

async fn neighbours(State(calls): State<Calls>) -> Answer<Vec<Neighbour>> {
    answer(&calls, Call::Neighbours).await
}

async fn diagnoses(State(calls): State<Calls>) -> Answer<Vec<Diagnosis>> {
    answer(&calls, Call::Diagnoses).await
}

async fn certificates(State(calls): State<Calls>) -> Answer<Vec<Certificate>> {
    answer(&calls, Call::Certificates).await
}

async fn check_config(
    State(calls): State<Calls>,
    text: Result<Json<ConfigText>, JsonRejection>,
) -> Answer<ConfigReport> {
    let Json(text) = text.map_err(|error| bad_body(&error))?;
    answer(&calls, |reply| Call::CheckConfig(text, reply)).await
}

async fn diff_config(
    State(calls): State<Calls>,
    text: Result<Json<ConfigText>, JsonRejection>,
) -> Answer<ConfigDiff> {
    let Json(text) = text.map_err(|error| bad_body(&error))?;
    answer(&calls, |reply| Call::DiffConfig(text, reply)).await
}

async fn reload_config(State(calls): State<Calls>) -> Answer<ConfigReport> {
    answer(&calls, Call::ReloadConfig).await
}

async fn shutdown(
    State(calls): State<Calls>,
    request: Result<Json<ShutdownRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<()>), Problem> {
    let request = body(request)?;
    calls.ask(|reply| Call::Shutdown(request, reply)).await?;
    Ok((StatusCode::ACCEPTED, Json(())))
}

async fn no_such_path() -> Problem {
    Problem::not_found("the API has no such path")
}

async fn wrong_method() -> Problem {
    Problem::new(405, "MethodNotAllowed", "Method not allowed", "this path is used with another method")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{UnixListener, UnixStream};

    /// Serves the routes with an engine that knows its version only.
    fn serve() -> (std::path::PathBuf, tokio::task::JoinHandle<()>) {
        let file = format!("esplanade-api-{}-{:p}.sock", std::process::id(), &0);
        let path = std::env::temp_dir().join(file);
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("a socket");
        let (calls, mut queue) = Calls::new(4);
        tokio::spawn(async move {
            while let Some(call) = queue.recv().await {
                if let Call::Version(reply) = call {
                    let version = Version { version: "1".into(), contract: 2, dataplane: None };
                    let _ = reply.send(Ok(version));
                }
            }
        });
        let server = async move { axum::serve(listener, router(calls)).await.expect("serving") };
        (path, tokio::spawn(server))
    }

    async fn exchange(path: &std::path::Path, request: &str) -> String {
        let mut stream = UnixStream::connect(path).await.expect("connected");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        answer
    }

    #[tokio::test]
    async fn answers_and_problems() {
        let (path, server) = serve();
        let ask = |line: &str| format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let version = exchange(&path, &ask("GET /v1/version")).await;
        assert!(
            version.contains("200 OK") && version.contains(r#"{"version":"1","contract":2}"#),
            "{version}"
        );
        let unknown = exchange(&path, &ask("GET /v2")).await;
        assert!(unknown.contains("404") && unknown.contains("application/problem+json"), "{unknown}");
        let method = exchange(&path, &ask("POST /v1/version")).await;
        assert!(method.contains("405") && method.contains("MethodNotAllowed"), "{method}");
        let action = exchange(&path, &ask("POST /v1/connections/a/frobnicate")).await;
        assert!(action.contains("no action frobnicate"), "{action}");
        let dropped = exchange(&path, &ask("GET /v1/status")).await;
        assert!(dropped.contains("503") && dropped.contains("Stopping"), "{dropped}");
        let body = "{\"text\": 5}";
        let bad = format!(
            "POST /v1/config/check HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        assert!(exchange(&path, &bad).await.contains("BadRequest"));
        server.abort();
        let _ = std::fs::remove_file(path);
    }
}
