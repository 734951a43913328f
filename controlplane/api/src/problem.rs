//! Errors on the wire: RFC 9457.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ConfigProblem;

/// An `application/problem+json` body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{title}: {detail}")]
pub struct Problem {
    /// The code as a relative URI, e.g. `/problems/NotFound`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// The same for every occurrence of this kind.
    pub title: Box<str>,
    /// HTTP status.
    pub status: u16,
    /// What went wrong this time.
    pub detail: Box<str>,
    /// Stable name for programs, e.g. `NotFound`.
    pub code: Box<str>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Seconds after which the request may be made again; also in `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_secs: Option<u32>,
    /// What is wrong with a configuration that was refused, all of it.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub problems: Box<[ConfigProblem]>,
}

impl Problem {
    /// A problem of `status` with a code, its fixed title, and what happened.
    #[must_use]
    pub fn new(status: u16, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/problems/{code}").into(),
            title: title.into(),
            status,
            detail: detail.into().into(),
            code: code.into(),
            fix: None,
            retry_after_secs: None,
            problems: Box::default(),
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Adds when to ask again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        let secs = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.retry_after_secs = Some(u32::try_from(secs).unwrap_or(u32::MAX));
        self
    }

    /// 400: the request is not one.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", "The request cannot be read", detail)
    }

    /// 404: there is no such resource or path.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, "NotFound", "Not found", detail)
    }

    /// 422: a key that stands for another request already.
    #[must_use]
    pub fn key_reused(detail: impl Into<String>) -> Self {
        Self::new(422, "IdempotencyKeyReused", "The Idempotency-Key was used before", detail)
            .fix("choose a new key for each request, and the same only to send the same again")
    }

    /// 503: the data plane is away, so the answer cannot be known or the action not done.
    #[must_use]
    pub fn dataplane_away(detail: impl Into<String>) -> Self {
        Self::new(503, "DataplaneAway", "The data plane is not connected", detail)
            .fix("check that esplanade-dataplane runs and that [dataplane] socket is its socket")
    }
}
