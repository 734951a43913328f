//! Checking a document.

use serde::{Deserialize, Serialize};

/// A document to check, unapplied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigText {
    /// The TOML text.
    pub text: String,
    /// What to call it in the answer.
    #[serde(default = "default_name")]
    pub file: String,
}

fn default_name() -> String {
    "document".to_owned()
}

/// Errors stop a document, warnings do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// One problem of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigProblem {
    pub severity: Severity,
    /// Stable name, e.g. `LifetimeOutOfRange`.
    pub code: String,
    pub file: String,
    /// From 1.
    pub line: usize,
    /// Characters from 1.
    pub column: usize,
    /// Field path, e.g. `connection[0].tunnel[0].ike.lifetime`.
    pub path: String,
    /// As written; absent for a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// What the peer of a connection must be configured with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerConfig {
    pub files: Vec<PeerFile>,
    /// What is left for the peer's owner to do.
    pub notes: Vec<String>,
}

/// A file for the peer; it may hold the pre-shared key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerFile {
    /// Where it belongs.
    pub path: String,
    pub text: String,
}

/// What became of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReport {
    /// No errors; for a reload also: in force.
    pub valid: bool,
    pub problems: Vec<ConfigProblem>,
    /// After a reload: connections whose SAs were left as they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unchanged: Vec<String>,
    /// After a reload: connections that are new, changed or gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
}
