//! Routes of single objects: each change is one of the document, checked, stored and put into force like a commit.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use utoipa_axum::routes;

use super::routes::Routes;
use super::transaction::{Author, By, Transaction, author, check_terms};
use super::{Call, Calls, LIST_FIX, bad_body, page};
use crate::{CommitReport, ConfigObject, EditTerms, Impact, ListQuery, ObjectKind, Problem, Role};

/// The objects of a kind, or one of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Objects {
    /// Absent where the gateway is run from a file.
    pub revision: Option<u64>,
    pub objects: Vec<ConfigObject>,
}

/// What is to become of an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Made, or replaced.
    Put(ConfigObject),
    /// Changed by a JSON merge patch (RFC 7396).
    Patch(ConfigObject),
    Delete,
}

/// What the client takes for granted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Precondition {
    /// This revision is in force.
    pub revision: Option<u64>,
    /// The object is there, or is not.
    pub exists: Option<bool>,
}

/// A change of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    pub kind: ObjectKind,
    pub name: String,
    pub change: Change,
    pub precondition: Precondition,
    pub terms: EditTerms,
}

/// Routes of this file. What they show has no secrets.
pub(super) fn add_to(routes: Routes) -> Routes {
    routes
        .add(Role::Viewer, routes!(objects))
        .add(Role::Viewer, routes!(object))
        .add(Role::Admin, routes!(put_object))
        .add(Role::Admin, routes!(patch_object))
        .add(Role::Admin, routes!(delete_object))
}

type Target = Result<Path<(ObjectKind, String)>, PathRejection>;
type Terms = Result<Query<EditTerms>, QueryRejection>;
type Body = Result<Json<ConfigObject>, JsonRejection>;

/// The configured objects of a kind, as the document has them, without secrets
#[utoipa::path(
    get,
    path = "/v1/config/{kind}",
    tag = "configuration",
    params(("kind" = ObjectKind, Path), ListQuery),
    responses((status = 200, body = Vec<ConfigObject>, headers(("etag" = String, description = "The revision")))),
)]
async fn objects(
    State(calls): State<Calls>,
    kind: Result<Path<ObjectKind>, PathRejection>,
    query: Result<Query<ListQuery>, QueryRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    let Path(kind) = kind.map_err(|error| Problem::not_found(error.body_text()))?;
    let (filter, page) = page::query(query, LIST_FIX)?.split();
    let Objects { revision, mut objects } = read(&calls, kind, None).await?;
    objects.retain(|ConfigObject(object)| {
        let tag = |key: &str| object.get("tags")?.get(key)?.as_str();
        filter.takes_labels(object.get("resource-group").and_then(Value::as_str), tag)
    });
    let name = |ConfigObject(object): &ConfigObject| {
        object.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    Ok((tag(revision), page::part(objects, name, &page, &uri)?).into_response())
}

/// A configured object, as the document has it, without secrets
#[utoipa::path(
    get,
    path = "/v1/config/{kind}/{name}",
    tag = "configuration",
    params(("kind" = ObjectKind, Path), ("name" = String, Path, description = "Name of the object")),
    responses((status = 200, body = ConfigObject, headers(("etag" = String, description = "The revision")))),
)]
async fn object(State(calls): State<Calls>, target: Target) -> Result<Response, Problem> {
    let Path((kind, name)) = target.map_err(|error| Problem::not_found(error.body_text()))?;
    let Objects { revision, mut objects } = read(&calls, kind, Some(name.clone())).await?;
    let object =
        objects.pop().ok_or_else(|| Problem::not_found(format!("{name} is none of the {}", kind.name())))?;
    Ok((tag(revision), Json(object)).into_response())
}

async fn read(calls: &Calls, kind: ObjectKind, name: Option<String>) -> Result<Objects, Problem> {
    calls.ask(|reply| Call::Transact(Transaction::Objects { kind, name, reply })).await
}

/// Makes an object, or replaces it: what is left out has its default, but a pre-shared key stays
#[utoipa::path(
    put,
    path = "/v1/config/{kind}/{name}",
    tag = "configuration",
    params(
        ("kind" = ObjectKind, Path),
        ("name" = String, Path, description = "Name of the object"),
        ("if-match" = Option<String>, Header, pattern = "^([*]|\"[0-9]{1,19}\")$", description = "The entity tag of the revision that was read, or *: the object is there"),
        ("if-none-match" = Option<String>, Header, pattern = "^[*]$", description = "*: the object is not there"),
        EditTerms,
    ),
    request_body = ConfigObject,
    responses((status = 200, body = CommitReport), (status = 201, body = CommitReport)),
)]
async fn put_object(
    State(calls): State<Calls>,
    by: By,
    target: Target,
    terms: Terms,
    headers: HeaderMap,
    object: Body,
) -> Result<Response, Problem> {
    let Json(object) = object.map_err(|error| bad_body(&error))?;
    edit(&calls, author(by), target, terms, &headers, Change::Put(object)).await
}

/// Changes fields of an object by a JSON merge patch (RFC 7396); lists are replaced as a whole
#[utoipa::path(
    patch,
    path = "/v1/config/{kind}/{name}",
    tag = "configuration",
    params(
        ("kind" = ObjectKind, Path),
        ("name" = String, Path, description = "Name of the object"),
        ("if-match" = Option<String>, Header, pattern = "^([*]|\"[0-9]{1,19}\")$", description = "The entity tag of the revision that was read"),
        EditTerms,
    ),
    request_body(content(
        (ConfigObject = "application/merge-patch+json"),
        (ConfigObject = "application/json"),
    )),
    responses((status = 200, body = CommitReport)),
)]
async fn patch_object(
    State(calls): State<Calls>,
    by: By,
    target: Target,
    terms: Terms,
    headers: HeaderMap,
    patch: Body,
) -> Result<Response, Problem> {
    let Json(patch) = patch.map_err(|error| bad_body(&error))?;
    edit(&calls, author(by), target, terms, &headers, Change::Patch(patch)).await
}

/// Removes an object that nothing else needs
#[utoipa::path(
    delete,
    path = "/v1/config/{kind}/{name}",
    tag = "configuration",
    params(
        ("kind" = ObjectKind, Path),
        ("name" = String, Path, description = "Name of the object"),
        ("if-match" = Option<String>, Header, pattern = "^([*]|\"[0-9]{1,19}\")$", description = "The entity tag of the revision that was read"),
        EditTerms,
    ),
    responses((status = 200, body = CommitReport)),
)]
async fn delete_object(
    State(calls): State<Calls>,
    by: By,
    target: Target,
    terms: Terms,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    edit(&calls, author(by), target, terms, &headers, Change::Delete).await
}

async fn edit(
    calls: &Calls,
    author: Author,
    target: Target,
    terms: Terms,
    headers: &HeaderMap,
    change: Change,
) -> Result<Response, Problem> {
    let Path((kind, name)) = target.map_err(|error| Problem::not_found(error.body_text()))?;
    let Query(terms) = terms.map_err(|error| Problem::bad_request(error.body_text()))?;
    check_terms(terms.confirm_secs, &terms.comment)?;
    let edit = Edit { kind, name, change, precondition: precondition(headers)?, terms };
    let report = calls.ask(|reply| Call::Transact(Transaction::Edit { edit, author, reply })).await?;
    let is_new = report.changes.iter().any(|change| change.impact == Impact::New);
    let status = if is_new && report.revision.is_some() { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, tag(report.revision), Json(report)).into_response())
}

/// What `If-Match` and `If-None-Match` ask for (RFC 9110 section 13.1).
fn precondition(headers: &HeaderMap) -> Result<Precondition, Problem> {
    let mut wanted = Precondition::default();
    match field(headers, &header::IF_MATCH)? {
        None => {}
        Some("*") => wanted.exists = Some(true),
        Some(tag) => {
            let number = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')?.parse().ok());
            wanted.revision = Some(number.ok_or_else(|| {
                Problem::bad_request("if-match is * or the entity tag of one revision, such as \"42\"")
            })?);
        }
    }
    match field(headers, &header::IF_NONE_MATCH)? {
        None => {}
        Some("*") if wanted == Precondition::default() => wanted.exists = Some(false),
        Some(_) => return Err(Problem::bad_request("if-none-match is *, and then there is no if-match")),
    }
    Ok(wanted)
}

fn field<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let text = |value: &'a HeaderValue| {
        value.to_str().map_err(|_| Problem::bad_request(format!("{name} is not printable ASCII")))
    };
    headers.get(name).map(text).transpose()
}

/// The entity tag of a revision.
fn tag(revision: Option<u64>) -> HeaderMap {
    let tag = revision.and_then(|revision| HeaderValue::try_from(format!("\"{revision}\"")).ok());
    tag.map(|tag| (header::ETAG, tag)).into_iter().collect()
}
