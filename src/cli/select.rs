//! Which connections a command is for.

use super::exit::NotFound;
use anyhow::Result;
use api::{Connection, ConnectionFilter};
use clap::Args;
use esplanade::client::{Client, with_query};
use serde::de::DeserializeOwned;

#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Only what has this tag, or this value of it
    #[arg(long, value_name = "KEY[=VALUE]")]
    tag: Option<String>,
    /// Only what is of this resource group
    #[arg(long, value_name = "NAME")]
    resource_group: Option<String>,
}

impl Filter {
    /// The connections that it lets pass.
    pub(super) fn connections(&self, client: &Client) -> Result<Vec<Connection>> {
        self.list(client, api::path::CONNECTIONS)
    }

    /// Those of a list that have such tags, or belong to connections that do.
    pub(super) fn list<T: DeserializeOwned>(&self, client: &Client, path: &str) -> Result<Vec<T>> {
        let Self { tag, resource_group } = self;
        let filter = ConnectionFilter { tag: tag.clone(), resource_group: resource_group.clone() };
        client.list(&with_query(path, &filter)?)
    }
}

/// The connection of that name with its tunnels, or with the one of that index.
pub(super) fn connection(client: &Client, name: &str, tunnel: Option<u8>) -> Result<Connection> {
    let all: Vec<Connection> = client.list(api::path::CONNECTIONS)?;
    let names: Vec<String> = all.iter().map(|connection| connection.name.clone()).collect();
    let found = all.into_iter().find(|connection| connection.name == name);
    let mut connection = found.ok_or_else(|| {
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        NotFound(format!("there is no connection {name:?}; there are: {known}"))
    })?;
    connection.tunnels.retain(|one| tunnel.is_none_or(|index| index == one.index));
    if connection.tunnels.is_empty() {
        return Err(NotFound(format!("connection {name} has no tunnel {}", tunnel.unwrap_or(1))).into());
    }
    Ok(connection)
}
