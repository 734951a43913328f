//! Lists in parts.

use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::ConnectionFilter;

/// Which part of a list is wanted; by default all of it. The next part is where `Link` says, with `rel="next"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// At most so many, 1-1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// Where the part begins: as it stands in `Link`, and of no other list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(pattern = "^([0-9a-f]{2})+$")]
    pub cursor: Option<String>,
}

/// Which part of a list is wanted, and of which connections; by default all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ListQuery {
    /// `KEY`, or `KEY=VALUE`: of connections with this tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Of connections of this resource group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group: Option<String>,
    /// At most so many, 1-1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// Where the part begins: as it stands in `Link`, and of no other list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(pattern = "^([0-9a-f]{2})+$")]
    pub cursor: Option<String>,
}

impl ListQuery {
    /// Its two halves.
    #[must_use]
    pub fn split(self) -> (ConnectionFilter, Page) {
        let Self { tag, resource_group, limit, cursor } = self;
        (ConnectionFilter { tag, resource_group }, Page { limit, cursor })
    }
}
