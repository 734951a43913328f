//! Changes of the configuration as transactions, and their history.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{ConfigChange, ConfigProblem, TunnelState};

/// Shortest and longest time that a commit may wait for its confirmation, seconds.
pub const CONFIRM_SECS: std::ops::RangeInclusive<u64> = 10..=3600;

/// A document to put into force.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommitRequest {
    /// The whole document, TOML or JSON.
    pub text: String,
    /// What to call it in the answer.
    #[serde(default = "crate::config::default_name")]
    pub file: String,
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(max_length = 1000, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub comment: String,
    /// The revision before returns unless this one is confirmed within so many seconds, 10 to 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 10, maximum = 3600)]
    pub confirm_secs: Option<u64>,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// As `Idempotency-Key`, and kept with the revision: the same commit is done once, also over a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub idempotency_key: Option<String>,
}

impl std::fmt::Debug for CommitRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CommitRequest({}, {} bytes)", self.file, self.text.len())
    }
}

/// What became of a commit, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommitReport {
    /// No errors; else nothing was done.
    pub valid: bool,
    pub problems: Vec<ConfigProblem>,
    /// Every object of the document before and of this one, and what the change does to traffic.
    pub changes: Vec<ConfigChange>,
    /// The revision that is in force now; absent where nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The confirmation that is awaited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingConfirmation>,
    /// Whether the data plane has what is in force now; the state of each tunnel tells when it has. Absent where
    /// nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<TunnelState>,
}

/// A revision that waits for its confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PendingConfirmation {
    pub revision: u64,
    /// The revision whose text returns.
    pub fallback: u64,
    /// Seconds that are left.
    pub left_secs: u64,
}

/// Which revision to confirm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmRequest {
    /// Refused where another revision waits; the one that waits by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// Which revision to return to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// Its text becomes a new revision. By default the one before a revision that waits for its confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// The revisions that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// The newest, which is in force, first.
    pub revisions: Vec<RevisionEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingConfirmation>,
}

/// A revision without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevisionEntry {
    pub revision: u64,
    /// When it was committed, seconds since the Unix epoch.
    pub at: u64,
    pub author: String,
    pub comment: String,
}

/// Whether secrets are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Secrets {
    /// Pre-shared keys as they are; otherwise each is replaced.
    #[serde(default)]
    pub secrets: bool,
}

/// A document with its revision.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Document {
    /// Absent where the gateway is run from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionEntry>,
    /// TOML or JSON, as it was committed.
    pub text: String,
    /// Whether pre-shared keys were replaced in the text.
    pub redacted: bool,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({:?}, {} bytes)", self.revision, self.text.len())
    }
}
