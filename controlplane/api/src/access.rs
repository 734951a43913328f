//! Who may ask what, and who asked.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a client may do; each role may all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads state and figures, and nothing secret.
    Viewer,
    /// Negotiates, rekeys and deletes SAs, and compares documents.
    Operator,
    /// Changes the configuration, reads secrets, makes tokens, stops the daemon.
    Admin,
}

impl Role {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// A bearer token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// 8 hexadecimal digits.
    pub id: String,
    /// What it is for.
    pub name: String,
    pub role: Role,
    /// Seconds since 1970.
    pub created: u64,
    /// From then on it is refused; seconds since 1970.
    pub expires: u64,
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// What it is for: 1-64 characters.
    #[schema(min_length = 1, max_length = 64, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub name: String,
    pub role: Role,
    /// How long it is good, 1-3650.
    #[serde(default = "default_days")]
    #[schema(minimum = 1, maximum = 3650)]
    pub days: u32,
}

fn default_days() -> u32 {
    90
}

/// A token that was made: the only time that its secret is told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenCreated {
    pub token: Token,
    /// For `Authorization: Bearer`.
    pub secret: String,
}

impl std::fmt::Debug for TokenCreated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCreated").field("token", &self.token).finish_non_exhaustive()
    }
}

/// What clients over TLS have to trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CaCertificate {
    /// X.509 in PEM.
    pub certificate: String,
}

/// A request that changed something, read a secret, or was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditRecord {
    /// Rising; 0 where a release before this one wrote it.
    #[serde(default)]
    pub id: u64,
    /// Seconds since 1970.
    pub time: u64,
    /// `uid 1000` or `token 1a2b3c4d`; empty for one who could not say.
    pub who: String,
    /// `pid 4711 on the Unix socket`, or an address.
    pub from: String,
    pub method: String,
    /// Without its query.
    pub path: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// Refusals before this one that have no record of their own, since there were too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub untold: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
