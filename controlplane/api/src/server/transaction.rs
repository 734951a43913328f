//! Routes of the configuration's transactions and history.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::Uri;
use utoipa_axum::routes;

use super::client::Identity;
use super::idempotency::{Key, MAX_KEY};
use super::objects::{Edit, Objects};
use super::page::{self, Part};
use super::routes::Routes;
use super::{Answer, Call, Calls, Reply, answer, bad_body, body};
use crate::{
    CommitReport, CommitRequest, ConfirmRequest, Document, History, ObjectKind, Page, PendingConfirmation,
    Problem, Role, RollbackRequest, Secrets, path,
};

/// What a client wants of the store.
#[derive(Debug)]
pub enum Transaction {
    Commit {
        request: CommitRequest,
        author: Author,
        reply: Reply<CommitReport>,
    },
    Confirm {
        request: ConfirmRequest,
        author: Author,
        reply: Reply<PendingConfirmation>,
    },
    Rollback {
        request: RollbackRequest,
        author: Author,
        reply: Reply<CommitReport>,
    },
    History(Reply<History>),
    /// The document in force, or an older revision.
    Document {
        revision: Option<u64>,
        secrets: bool,
        author: Author,
        reply: Reply<Document>,
    },
    /// The objects of a kind in the document in force, or the one of that name.
    Objects {
        kind: ObjectKind,
        name: Option<String>,
        reply: Reply<Objects>,
    },
    Edit {
        edit: Edit,
        author: Author,
        reply: Reply<CommitReport>,
    },
}

impl Transaction {
    /// Answers it with `problem`.
    pub fn refuse(self, problem: Problem) {
        match self {
            Self::Commit { reply, .. } | Self::Rollback { reply, .. } | Self::Edit { reply, .. } => {
                drop(reply.send(Err(problem)));
            }
            Self::Confirm { reply, .. } => drop(reply.send(Err(problem))),
            Self::History(reply) => drop(reply.send(Err(problem))),
            Self::Document { reply, .. } => drop(reply.send(Err(problem))),
            Self::Objects { reply, .. } => drop(reply.send(Err(problem))),
        }
    }
}

/// Whom a request comes from, as the server knows them; in the history and the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author(pub String);

pub(super) type By = Extension<Identity>;

pub(super) fn author(Extension(identity): By) -> Author {
    Author(identity.source.to_string())
}

/// Routes of this file. Documents may be asked for with their secrets, so that whoever reads one is in the audit log.
pub(super) fn add_to(routes: Routes) -> Routes {
    routes
        .add(Role::Admin, routes!(document))
        .add(Role::Admin, routes!(commit))
        .add(Role::Admin, routes!(confirm))
        .add(Role::Admin, routes!(rollback))
        .add(Role::Viewer, routes!(history))
        .add(Role::Admin, routes!(revision))
}

/// Longest comment, in characters.
const MAX_COMMENT: usize = 1000;

/// Whether what a commit says beside its document is within bounds.
pub(super) fn check_terms(confirm_secs: Option<u64>, comment: &str) -> Result<(), Problem> {
    if confirm_secs.is_some_and(|secs| !crate::CONFIRM_SECS.contains(&secs)) {
        return Err(out_of_range("confirm_secs is 10 to 3600"));
    }
    if comment.chars().count() > MAX_COMMENT || comment.chars().any(char::is_control) {
        return Err(out_of_range("comment has up to 1000 printable characters"));
    }
    Ok(())
}

fn out_of_range(detail: &str) -> Problem {
    Problem::new(422, "OutOfRange", "A value is out of range", detail)
}

/// Checks a document, stores it as a new revision and puts it into force; all or nothing
#[utoipa::path(
    post,
    path = path::CONFIG_COMMIT,
    tag = "configuration",
    request_body = CommitRequest,
    responses((status = 200, body = CommitReport)),
)]
async fn commit(
    State(calls): State<Calls>,
    by: By,
    key: Option<Extension<Key>>,
    request: Result<Json<CommitRequest>, JsonRejection>,
) -> Answer<CommitReport> {
    let Json(mut request) = request.map_err(|error| bad_body(&error))?;
    check_terms(request.confirm_secs, &request.comment)?;
    let printable =
        |key: &String| (1..=MAX_KEY).contains(&key.chars().count()) && !key.chars().any(char::is_control);
    if request.idempotency_key.as_ref().is_some_and(|key| !printable(key)) {
        return Err(out_of_range("idempotency_key has 1 to 128 printable characters"));
    }
    request.idempotency_key = request.idempotency_key.or(key.map(|Extension(Key(key))| key));
    let call = |reply| Call::Transact(Transaction::Commit { request, author: author(by), reply });
    answer(&calls, call).await
}

/// Keeps a revision that waits for its confirmation
#[utoipa::path(
    post,
    path = path::CONFIG_CONFIRM,
    tag = "configuration",
    request_body = Option<ConfirmRequest>,
    responses((status = 200, body = PendingConfirmation)),
)]
async fn confirm(
    State(calls): State<Calls>,
    by: By,
    request: Result<Json<Option<ConfirmRequest>>, JsonRejection>,
) -> Answer<PendingConfirmation> {
    let request = body(request)?;
    let call = |reply| Call::Transact(Transaction::Confirm { request, author: author(by), reply });
    answer(&calls, call).await
}

/// Puts the text of an older revision into force again, as a new revision
#[utoipa::path(
    post,
    path = path::CONFIG_ROLLBACK,
    tag = "configuration",
    request_body = Option<RollbackRequest>,
    responses((status = 200, body = CommitReport)),
)]
async fn rollback(
    State(calls): State<Calls>,
    by: By,
    request: Result<Json<Option<RollbackRequest>>, JsonRejection>,
) -> Answer<CommitReport> {
    let request = body(request)?;
    let call = |reply| Call::Transact(Transaction::Rollback { request, author: author(by), reply });
    answer(&calls, call).await
}

/// The revisions that are kept, and the confirmation that is awaited
#[utoipa::path(
    get,
    path = path::CONFIG_HISTORY,
    tag = "configuration",
    params(Page),
    responses((status = 200, body = History, headers(("Link" = Option<String>, description = "Where the next part is, with `rel=\"next\"`")))),
)]
async fn history(
    State(calls): State<Calls>,
    uri: Uri,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Part<History>, Problem> {
    let page = page::query(query, page::FIX)?;
    let History { revisions, pending } =
        calls.ask(|reply| Call::Transact(Transaction::History(reply))).await?;
    // The newest first.
    let Part { body: revisions, next } = page::part(revisions, |one| u64::MAX - one.revision, &page, &uri)?;
    Ok(Part { body: History { revisions, pending }, next })
}

/// The document in force
#[utoipa::path(
    get,
    path = path::CONFIG,
    tag = "configuration",
    params(Secrets),
    responses((status = 200, body = Document)),
)]
async fn document(
    State(calls): State<Calls>,
    by: By,
    secrets: Result<Query<Secrets>, QueryRejection>,
) -> Answer<Document> {
    read(&calls, None, by, secrets).await
}

/// The document of a revision
#[utoipa::path(
    get,
    path = "/v1/config/revisions/{revision}",
    tag = "configuration",
    params(("revision" = u64, Path, description = "Number of the revision"), Secrets),
    responses((status = 200, body = Document)),
)]
async fn revision(
    State(calls): State<Calls>,
    by: By,
    revision: Result<Path<u64>, PathRejection>,
    secrets: Result<Query<Secrets>, QueryRejection>,
) -> Answer<Document> {
    let Path(revision) = revision.map_err(|error| Problem::not_found(error.body_text()))?;
    read(&calls, Some(revision), by, secrets).await
}

async fn read(
    calls: &Calls,
    revision: Option<u64>,
    by: By,
    secrets: Result<Query<Secrets>, QueryRejection>,
) -> Answer<Document> {
    let Query(Secrets { secrets }) = secrets.map_err(|error| {
        Problem::new(400, "BadRequest", "The request cannot be read", error.body_text())
            .fix("use secrets=true, or nothing")
    })?;
    let author = author(by);
    answer(calls, |reply| Call::Transact(Transaction::Document { revision, secrets, author, reply })).await
}
