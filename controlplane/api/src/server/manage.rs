//! Tokens and the audit log.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::{StatusCode, Uri};
use axum::{Extension, Json};

use super::guard::Guard;
use super::page::{self, Part};
use super::{Answer, bad_body};
use crate::{AuditRecord, CaCertificate, Page, Problem, Token, TokenCreated, TokenRequest, path};

/// Records of the audit log that are listed where nothing is said.
const RECORDS: usize = 100;

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Does what waits for the disk where nobody else waits for it.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Problem::new(500, "Internal", "Internal error", error.to_string())))
}

/// Tokens, without their secrets
#[utoipa::path(
    get,
    path = path::TOKENS,
    tag = "access",
    params(Page),
    responses((status = 200, body = Vec<Token>, headers(("Link" = Option<String>, description = "Where the next part is, with `rel=\"next\"`")))),
)]
pub(super) async fn tokens(
    Extension(guard): Extension<Arc<Guard>>,
    uri: Uri,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Part<Vec<Token>>, Problem> {
    let page = page::query(query, page::FIX)?;
    page::part(guard.tokens.list(), |token| token.id.clone(), &page, &uri)
}

/// Makes a token, and tells its secret this once
#[utoipa::path(
    post,
    path = path::TOKENS,
    tag = "access",
    request_body = TokenRequest,
    responses((status = 201, body = TokenCreated)),
)]
pub(super) async fn create_token(
    Extension(guard): Extension<Arc<Guard>>,
    request: Result<Json<TokenRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<TokenCreated>), Problem> {
    let Json(request) = request.map_err(|error| bad_body(&error))?;
    let made = on_disk(move || guard.tokens.create(&request, now())).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Revokes a token at once
#[utoipa::path(
    delete,
    path = "/v1/tokens/{id}",
    tag = "access",
    params(("id" = String, Path, description = "8 hexadecimal digits")),
    responses((status = 204)),
)]
pub(super) async fn revoke_token(
    Extension(guard): Extension<Arc<Guard>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    on_disk(move || guard.tokens.revoke(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The certificate of the gateway's own CA: what clients over TLS have to trust
#[utoipa::path(get, path = path::CA, tag = "access", responses((status = 200, body = CaCertificate)))]
pub(super) async fn ca(Extension(guard): Extension<Arc<Guard>>) -> Answer<CaCertificate> {
    let certificate = guard.ca().map(|pem| Json(CaCertificate { certificate: pem.to_owned() }));
    certificate.ok_or_else(|| {
        let detail = "the API is not served over TLS, or shows a certificate that it was given";
        Problem::not_found(detail).fix("add  listen = \"ADDRESS:8443\"  to [api], without certificate")
    })
}

/// Requests that changed something, read a secret or were refused, the newest first; by default 100
#[utoipa::path(
    get,
    path = path::AUDIT,
    tag = "access",
    params(Page),
    responses((status = 200, body = Vec<AuditRecord>, headers(("Link" = Option<String>, description = "Where the next part is, with `rel=\"next\"`")))),
)]
pub(super) async fn audit(
    Extension(guard): Extension<Arc<Guard>>,
    uri: Uri,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Part<Vec<AuditRecord>>, Problem> {
    let page = page::query(query, page::FIX)?;
    let (limit, before) = (page::limit(&page)?.unwrap_or(RECORDS), page::after(&page, &uri)?);
    let body = on_disk(move || guard.audit.last(limit, before)).await?;
    let oldest = body.last().filter(|_| body.len() == limit);
    let next = oldest.and_then(|record| page::next(&record.id, &uri));
    Ok(Part { body, next })
}
