//! Single objects of the configuration.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What can be read and changed by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectKind {
    VpnGateways,
    CustomerGateways,
    Connections,
}

impl ObjectKind {
    /// As in a path.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::VpnGateways => "vpn-gateways",
            Self::CustomerGateways => "customer-gateways",
            Self::Connections => "connections",
        }
    }
}

/// An object with the keys that the JSON Schema of the document has (`esplanade config schema`). `(not shown)` stands
/// for a secret; where it is sent back the secret stays.
#[cfg(feature = "server")]
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub struct ConfigObject(pub serde_json::Map<String, serde_json::Value>);

#[cfg(feature = "server")]
impl std::fmt::Debug for ConfigObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConfigObject({} keys)", self.0.len())
    }
}

/// How a change of an object is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[into_params(parameter_in = Query)]
pub struct EditTerms {
    /// Say what would happen, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[param(max_length = 1000, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub comment: String,
    /// The revision before returns unless this one is confirmed within so many seconds, 10 to 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 10, maximum = 3600)]
    pub confirm_secs: Option<u64>,
}
