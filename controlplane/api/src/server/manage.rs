//! Tokens and the audit log.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::{Extension, Json};

use super::guard::Guard;
use super::{Answer, bad_body};
use crate::{AuditQuery, AuditRecord, CaCertificate, Problem, Token, TokenCreated, TokenRequest, path};

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
#[utoipa::path(get, path = path::TOKENS, tag = "access", responses((status = 200, body = Vec<Token>)))]
pub(super) async fn tokens(Extension(guard): Extension<Arc<Guard>>) -> Answer<Vec<Token>> {
    Ok(Json(guard.tokens.list()))
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

/// Requests that changed something, read a secret or were refused, the newest first
#[utoipa::path(
    get,
    path = path::AUDIT,
    tag = "access",
    params(AuditQuery),
    responses((status = 200, body = Vec<AuditRecord>)),
)]
pub(super) async fn audit(
    Extension(guard): Extension<Arc<Guard>>,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Answer<Vec<AuditRecord>> {
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    on_disk(move || guard.audit.last(query.limit)).await.map(Json)
}
