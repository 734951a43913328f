//! Checking a document.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A document to check, unapplied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigText {
    /// TOML or JSON.
    pub text: String,
    /// What to call it in the answer.
    #[serde(default = "default_name")]
    pub file: String,
}

pub(crate) fn default_name() -> String {
    "document".to_owned()
}

/// Errors stop a document, warnings do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// One problem of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// What putting a document into force would do; nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigDiff {
    /// No errors; else there are no changes.
    pub valid: bool,
    pub problems: Vec<ConfigProblem>,
    /// Every object of the document in force and of the other.
    pub changes: Vec<ConfigChange>,
}

/// What becomes of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigChange {
    /// The table of the document, e.g. `connection`.
    pub kind: String,
    /// Empty where there is only one.
    pub name: String,
    pub impact: Impact,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// What a change does to traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Impact {
    Unchanged,
    New,
    /// At once, and no SA is touched.
    Hot,
    /// With the next start of the processes.
    NextStart,
    /// CHILD_SAs, or the IKE SA, are rekeyed with the new parameters: make before break, and no packet is lost. Where the
    /// peer does not take them yet, the old ones stay, and it is asked again.
    Rekey,
    /// The SAs are deleted and negotiated anew at once, with the same ends: traffic stops for one negotiation.
    Renegotiate,
    /// A tunnel goes or has other addresses, or an interface is set up anew: its traffic stops until all is there.
    Interrupting,
    /// It is gone, with its SAs.
    Removed,
}

impl Impact {
    /// As in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::New => "new",
            Self::Hot => "hot",
            Self::NextStart => "next-start",
            Self::Rekey => "rekey",
            Self::Renegotiate => "renegotiate",
            Self::Interrupting => "interrupting",
            Self::Removed => "removed",
        }
    }
}

/// A value that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldChange {
    /// Within the object, e.g. `tunnels[0].ike.lifetime`.
    pub field: String,
    /// Absent where there was none, and for secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

/// What the peer of a connection must be configured with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeerConfig {
    pub files: Vec<PeerFile>,
    /// What is left for the peer's owner to do.
    pub notes: Vec<String>,
}

/// A file for the peer; it may hold the pre-shared key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeerFile {
    /// Where it belongs.
    pub path: String,
    pub text: String,
}

/// What became of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
