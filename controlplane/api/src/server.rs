//! The routes of the daemon. They hold no state: each request becomes a [`Call`] to whoever does.

mod audit;
mod client;
mod feed;
mod follow;
mod guard;
mod idempotency;
mod kept;
mod limits;
mod manage;
mod objects;
mod page;
mod patient;
mod routes;
mod serve;
#[cfg(test)]
mod tests;
mod tls;
mod tokens;
mod transaction;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use utoipa_axum::routes;

pub use self::client::Access;
pub use self::feed::{Feed, Follower, Publisher};
use self::guard::Guard;
pub use self::limits::Limits;
pub use self::objects::{Change, Edit, Objects, Precondition};
use self::page::Part;
use self::routes::Routes;
pub use self::serve::Server;
pub use self::tls::{Tls, TlsError};
pub use self::transaction::{Author, Transaction};

use crate::{
    Action, ActionReply, ActionRequest, Certificate, ConfigDiff, ConfigReport, ConfigText, Connection,
    ConnectionFilter, Counters, Diagnosis, DropCounter, IkeSa, ListQuery, Neighbour, Page, PeerConfig, Port,
    Problem, RecordRequest, Recorded, Role, ShutdownRequest, Status, Version, path,
};

/// How long a call may take beyond the wait it asks for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait a client may ask for, in seconds.
const MAX_WAIT: u64 = 300;

/// What the lists of connections and of what belongs to them can be asked for.
const LIST_FIX: &str = "use tag=KEY, tag=KEY=VALUE, resource-group=NAME, limit=NUMBER or cursor=CURSOR";

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
    Events(Reply<Feed>),
    Record { connection: String, request: RecordRequest, reply: Reply<Recorded> },
    PeerConfig { connection: String, vendor: String, reply: Reply<PeerConfig> },
    CheckConfig(ConfigText, Reply<ConfigReport>),
    DiffConfig(ConfigText, Reply<ConfigDiff>),
    ReloadConfig(Reply<ConfigReport>),
    Transact(Transaction),
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

/// All routes, behind what every request has to pass.
fn router(calls: Calls, guard: Arc<Guard>) -> Router {
    let (router, _) = routes(guard.limits).finish();
    router
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        // Bodies are bounded where they are read, in `guard::admit`.
        .layer(DefaultBodyLimit::disable())
        .layer(Extension(Arc::clone(&guard)))
        .layer(from_fn_with_state(guard, guard::guard))
        .with_state(calls)
}

/// Each route has its place here, with the role that it needs, and by that in the document.
fn routes(limits: Limits) -> Routes {
    let routes = Routes::new(limits)
        .add(Role::Viewer, routes!(version))
        .add(Role::Viewer, routes!(status))
        .add(Role::Viewer, routes!(sas))
        .add(Role::Viewer, routes!(connections))
        .add(Role::Operator, routes!(act))
        .add(Role::Operator, routes!(record))
        .add(Role::Admin, routes!(peer_config))
        .add(Role::Viewer, routes!(counters))
        .add(Role::Viewer, routes!(errors))
        .add(Role::Viewer, routes!(ports))
        .add(Role::Viewer, routes!(neighbours))
        .add(Role::Viewer, routes!(diagnoses))
        .add(Role::Viewer, routes!(certificates))
        .add(Role::Viewer, routes!(check_config))
        .add(Role::Operator, routes!(diff_config))
        .add(Role::Admin, routes!(reload_config))
        .add(Role::Admin, routes!(shutdown))
        .add(Role::Viewer, routes!(openapi))
        .add(Role::Viewer, routes!(follow::events))
        .add(Role::Admin, routes!(manage::tokens, manage::create_token))
        .add(Role::Admin, routes!(manage::revoke_token))
        .add(Role::Admin, routes!(manage::audit))
        .add(Role::Viewer, routes!(manage::ca));
    objects::add_to(transaction::add_to(routes))
}

/// The API in OpenAPI 3.1, as JSON.
#[must_use]
pub fn document() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let (_, document) = routes(Limits::default()).finish();
        // Its maps have strings as keys: there is nothing that JSON could not say.
        document.to_pretty_json().unwrap_or_default() + "\n"
    })
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry = self.retry_after_secs;
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(secs) = retry {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}

type Answer<T> = Result<Json<T>, Problem>;

/// The body of a request; none, and `null`, are the default.
fn body<T: Default>(body: Result<Json<Option<T>>, JsonRejection>) -> Result<T, Problem> {
    match body {
        Ok(Json(body)) => Ok(body.unwrap_or_default()),
        Err(JsonRejection::MissingJsonContentType(_)) => Ok(T::default()),
        Err(error) => Err(bad_body(&error)),
    }
}

fn bad_body(error: &JsonRejection) -> Problem {
    Problem::new(error.status().as_u16(), "BadRequest", "The request cannot be read", error.body_text())
}

/// Bounds the wait that a client asks for; gives the longest that its call may take.
fn bounded(wait_secs: &mut u64) -> Duration {
    *wait_secs = (*wait_secs).min(MAX_WAIT);
    PATIENCE + Duration::from_secs(*wait_secs)
}

async fn answer<T: Serialize>(calls: &Calls, call: impl FnOnce(Reply<T>) -> Call) -> Answer<T> {
    calls.ask(call).await.map(Json)
}

/// The versions of the processes
#[utoipa::path(get, path = path::VERSION, tag = "service", responses((status = 200, body = Version)))]
async fn version(State(calls): State<Calls>) -> Answer<Version> {
    answer(&calls, Call::Version).await
}

/// What the daemon is at
#[utoipa::path(get, path = path::STATUS, tag = "service", responses((status = 200, body = Status)))]
async fn status(State(calls): State<Calls>) -> Answer<Status> {
    answer(&calls, Call::Status).await
}

/// IKE SAs with their CHILD_SAs
#[utoipa::path(
    get,
    path = path::SAS,
    tag = "connections",
    params(ListQuery),
    responses((status = 200, body = Vec<IkeSa>, headers(("Link" = Option<String>, description = "Where the next part is, with `rel=\"next\"`")))),
)]
async fn sas(
    State(calls): State<Calls>,
    uri: Uri,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Part<Vec<IkeSa>>, Problem> {
    let (filter, page) = page::query(query, LIST_FIX)?.split();
    let names = names(&calls, &filter).await?;
    let mut all = calls.ask(Call::Sas).await?;
    all.retain(|sa| names.as_ref().is_none_or(|names| names.contains(&sa.name)));
    page::part(all, |sa| sa.unique_id, &page, &uri)
}

/// The connections that a filter takes; `None` where it takes all.
async fn names(calls: &Calls, filter: &ConnectionFilter) -> Result<Option<BTreeSet<String>>, Problem> {
    if *filter == ConnectionFilter::default() {
        return Ok(None);
    }
    let all = calls.ask(Call::Connections).await?;
    Ok(Some(all.into_iter().filter(|one| filter.takes(one)).map(|one| one.name).collect()))
}

/// Connections and the state of their tunnels
#[utoipa::path(
    get,
    path = path::CONNECTIONS,
    tag = "connections",
    params(ListQuery),
    responses((status = 200, body = Vec<Connection>, headers(("Link" = Option<String>, description = "Where the next part is, with `rel=\"next\"`")))),
)]
async fn connections(
    State(calls): State<Calls>,
    uri: Uri,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Part<Vec<Connection>>, Problem> {
    let (filter, page) = page::query(query, LIST_FIX)?.split();
    let mut all = calls.ask(Call::Connections).await?;
    all.retain(|connection| filter.takes(connection));
    page::part(all, |connection| connection.name.clone(), &page, &uri)
}

/// Negotiates, rekeys or deletes the SAs of a connection
#[utoipa::path(
    post,
    path = "/v1/connections/{name}/{action}",
    tag = "connections",
    params(("name" = String, Path, description = "Name of the connection"), ("action" = Action, Path)),
    request_body = Option<ActionRequest>,
    responses((status = 200, body = ActionReply)),
)]
async fn act(
    State(calls): State<Calls>,
    Path((connection, action)): Path<(String, String)>,
    request: Result<Json<Option<ActionRequest>>, JsonRejection>,
) -> Answer<ActionReply> {
    let mut request = body(request)?;
    let Some(action) = Action::from_name(&action) else {
        return Err(Problem::not_found(format!("connections have no action {action}")));
    };
    let patience = bounded(&mut request.wait_secs);
    let call = |reply| Call::Act { connection, action, request, reply };
    calls.ask_within(patience, call).await.map(Json)
}

/// Records the next negotiation of a tunnel that is down, and begins it
#[utoipa::path(
    post,
    path = "/v1/connections/{name}/record",
    tag = "connections",
    params(("name" = String, Path, description = "Name of the connection")),
    request_body = Option<RecordRequest>,
    responses((status = 200, body = Recorded)),
)]
async fn record(
    State(calls): State<Calls>,
    Path(connection): Path<String>,
    request: Result<Json<Option<RecordRequest>>, JsonRejection>,
) -> Answer<Recorded> {
    let mut request = body(request)?;
    let patience = bounded(&mut request.wait_secs);
    calls.ask_within(patience, |reply| Call::Record { connection, request, reply }).await.map(Json)
}

/// What the peer must be configured with, its pre-shared key included
#[utoipa::path(
    get,
    path = "/v1/connections/{name}/peer-config/{vendor}",
    tag = "connections",
    params(("name" = String, Path, description = "Name of the connection"), ("vendor" = String, Path, description = "Whose words")),
    responses((status = 200, body = PeerConfig)),
)]
async fn peer_config(
    State(calls): State<Calls>,
    Path((connection, vendor)): Path<(String, String)>,
) -> Answer<PeerConfig> {
    answer(&calls, |reply| Call::PeerConfig { connection, vendor, reply }).await
}

/// Packets and bytes by interface, SA and drop reason
#[utoipa::path(get, path = path::COUNTERS, tag = "figures", responses((status = 200, body = Counters)))]
async fn counters(State(calls): State<Calls>) -> Answer<Counters> {
    answer(&calls, Call::Counters).await
}

/// Drop reasons with their remedies
#[utoipa::path(get, path = path::ERRORS, tag = "figures", responses((status = 200, body = Vec<DropCounter>)))]
async fn errors(State(calls): State<Calls>) -> Answer<Vec<DropCounter>> {
    answer(&calls, Call::Errors).await
}

/// Ports of the data plane
#[utoipa::path(get, path = path::PORTS, tag = "figures", responses((status = 200, body = Vec<Port>)))]
async fn ports(State(calls): State<Calls>) -> Answer<Vec<Port>> {
    answer(&calls, Call::Ports).await
}

/// Hosts on our links
#[utoipa::path(
    get,
    path = path::NEIGHBOURS,
    tag = "figures",
    params(Page),
    responses((status = 200, body = Vec<Neighbour>, headers(("Link" = Option<String>, description = "Where the next part is, with `rel=\"next\"`")))),
)]
async fn neighbours(
    State(calls): State<Calls>,
    uri: Uri,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Part<Vec<Neighbour>>, Problem> {
    let page = page::query(query, page::FIX)?;
    let all = calls.ask(Call::Neighbours).await?;
    let key = |one: &Neighbour| format!("{:05} {} {}", one.vrf, one.ip, one.interface);
    page::part(all, key, &page, &uri)
}

/// Why negotiations failed, the newest first; one that happens again moves to the front
#[utoipa::path(
    get,
    path = path::DIAGNOSES,
    tag = "connections",
    params(ListQuery),
    responses((status = 200, body = Vec<Diagnosis>, headers(("Link" = Option<String>, description = "Where the next part is, with `rel=\"next\"`")))),
)]
async fn diagnoses(
    State(calls): State<Calls>,
    uri: Uri,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Part<Vec<Diagnosis>>, Problem> {
    let (filter, page) = page::query(query, LIST_FIX)?.split();
    let names = names(&calls, &filter).await?;
    let mut all = calls.ask(Call::Diagnoses).await?;
    all.retain(|failure| names.as_ref().is_none_or(|names| names.contains(&failure.connection)));
    // The newest first.
    page::part(all, |failure| u64::MAX - failure.id, &page, &uri)
}

/// Certificates that tunnels use
#[utoipa::path(
    get,
    path = path::CERTIFICATES,
    tag = "connections",
    responses((status = 200, body = Vec<Certificate>)),
)]
async fn certificates(State(calls): State<Calls>) -> Answer<Vec<Certificate>> {
    answer(&calls, Call::Certificates).await
}

/// Checks a document and does nothing
#[utoipa::path(
    post,
    path = path::CONFIG_CHECK,
    tag = "configuration",
    request_body = ConfigText,
    responses((status = 200, body = ConfigReport)),
)]
async fn check_config(
    State(calls): State<Calls>,
    text: Result<Json<ConfigText>, JsonRejection>,
) -> Answer<ConfigReport> {
    let Json(text) = text.map_err(|error| bad_body(&error))?;
    answer(&calls, |reply| Call::CheckConfig(text, reply)).await
}

/// What putting a document into force would do
#[utoipa::path(
    post,
    path = path::CONFIG_DIFF,
    tag = "configuration",
    request_body = ConfigText,
    responses((status = 200, body = ConfigDiff)),
)]
async fn diff_config(
    State(calls): State<Calls>,
    text: Result<Json<ConfigText>, JsonRejection>,
) -> Answer<ConfigDiff> {
    let Json(text) = text.map_err(|error| bad_body(&error))?;
    answer(&calls, |reply| Call::DiffConfig(text, reply)).await
}

/// Reads the document again and puts it into force
#[utoipa::path(
    post,
    path = path::CONFIG_RELOAD,
    tag = "configuration",
    responses((status = 200, body = ConfigReport)),
)]
async fn reload_config(State(calls): State<Calls>) -> Answer<ConfigReport> {
    answer(&calls, Call::ReloadConfig).await
}

/// Stops the control plane
#[utoipa::path(
    post,
    path = path::SHUTDOWN,
    tag = "service",
    request_body = Option<ShutdownRequest>,
    responses((status = 202, description = "It stops")),
)]
async fn shutdown(
    State(calls): State<Calls>,
    request: Result<Json<Option<ShutdownRequest>>, JsonRejection>,
) -> Result<(StatusCode, Json<()>), Problem> {
    let request = body(request)?;
    calls.ask(|reply| Call::Shutdown(request, reply)).await?;
    Ok((StatusCode::ACCEPTED, Json(())))
}

/// This description
#[utoipa::path(
    get,
    path = path::OPENAPI,
    tag = "service",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)),
)]
async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document())
}

async fn no_such_path() -> Problem {
    Problem::not_found("the API has no such path")
}

async fn wrong_method() -> Problem {
    Problem::new(405, "MethodNotAllowed", "Method not allowed", "this path is used with another method")
}
