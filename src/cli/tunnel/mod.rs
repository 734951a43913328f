//! `esplanade tunnel`: the tunnels of all connections, one by one.

mod act;
mod show;

use super::select::{self, Filter};
use super::{Exit, Format, human};
use anyhow::Result;
use api::{Connection, NegotiationStatus, Tunnel};
use clap::{Args, Subcommand};
use esplanade::client::Client;
use std::process::ExitCode;
use std::str::FromStr;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List tunnels: role, state, addresses, negotiation status, since when they are up, or why they are not
    ///
    /// Examples:
    ///   esplanade tunnel list
    ///   esplanade tunnel list --down --json
    ///   esplanade tunnel list --tag site=osaka
    #[command(verbatim_doc_comment)]
    List(ListOptions),
    /// Show tunnels in detail: SAs with their ages and the times that are left, what they carried and dropped, the last failure
    ///
    /// Examples:
    ///   esplanade tunnel show hq/1
    ///   esplanade tunnel show hq --json
    #[command(verbatim_doc_comment)]
    Show(ShowOptions),
    /// Negotiate tunnels that are down, and tell what came of it
    ///
    /// Exit status 2 when one is not up in time; the diagnosis says why.
    ///
    /// Examples:
    ///   esplanade tunnel up hq/2
    ///   esplanade tunnel up hq --wait 45
    #[command(verbatim_doc_comment)]
    Up(act::Options),
    /// Delete the SAs of tunnels; they stay down until `tunnel up`, and stay configured
    ///
    /// Example:  esplanade tunnel down hq/2
    #[command(verbatim_doc_comment)]
    Down(act::Options),
    /// Replace the CHILD_SAs of tunnels, or with --ike their IKE SAs, without a gap
    ///
    /// Example:  esplanade tunnel rekey hq/1 --ike
    #[command(verbatim_doc_comment)]
    Rekey(act::Rekey),
    /// Delete the SAs of tunnels, negotiate anew from nothing, and tell what came of it; this interrupts them
    ///
    /// Exit status 2 when one is not up in time; the diagnosis says why.
    ///
    /// Example:  esplanade tunnel reset hq/1
    #[command(verbatim_doc_comment)]
    Reset(act::Options),
}

#[derive(Debug, Args)]
pub(super) struct ListOptions {
    #[command(flatten)]
    filter: Filter,
    /// Only those that are not up
    #[arg(long)]
    down: bool,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct ShowOptions {
    /// A tunnel as CONNECTION/INDEX, or a connection for all of its tunnels
    #[arg(value_name = "NAME")]
    name: Name,
    #[command(flatten)]
    format: Format,
}

/// A tunnel, or all tunnels of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    connection: String,
    index: Option<u8>,
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (connection, index) = match text.rsplit_once('/') {
            None => (text, None),
            Some((connection, "1")) => (connection, Some(1)),
            Some((connection, "2")) => (connection, Some(2)),
            Some(_) => return Err("a tunnel is CONNECTION/1 or CONNECTION/2".to_owned()),
        };
        if connection.is_empty() {
            return Err("the connection's name is missing".to_owned());
        }
        Ok(Self { connection: connection.to_owned(), index })
    }
}

impl Name {
    /// The connection with the tunnels that are meant only.
    fn find(&self, client: &Client) -> Result<Connection> {
        select::connection(client, &self.connection, self.index)
    }
}

pub(super) fn run(client: &Client, command: &Command) -> Result<ExitCode> {
    match command {
        Command::List(options) => list(client, options),
        Command::Show(options) => show::run(client, options),
        Command::Up(options) => act::up(client, options),
        Command::Down(options) => act::down(client, options),
        Command::Rekey(options) => act::rekey(client, options),
        Command::Reset(options) => act::reset(client, options),
    }
}

fn list(client: &Client, options: &ListOptions) -> Result<ExitCode> {
    let ListOptions { filter, down, format } = options;
    let wanted = filter.connections(client)?;
    let mut tunnels: Vec<Tunnel> = wanted.into_iter().flat_map(|connection| connection.tunnels).collect();
    tunnels.retain(|tunnel| !*down || !is_up(tunnel));
    format.print(&tunnels, |tunnels| table(tunnels))
}

fn table(tunnels: &[Tunnel]) -> String {
    let row = |tunnel: &Tunnel| {
        [
            tunnel.name.clone(),
            tunnel.role.clone(),
            tunnel.state.name().to_owned(),
            tunnel.gateway_ip.to_string(),
            format!("{} ({})", tunnel.customer_gateway, tunnel.customer_gateway_ip),
            tunnel.status.name().to_owned(),
            tunnel.up_secs.map(human::duration).unwrap_or_default(),
            tunnel.failure.clone().unwrap_or_default(),
        ]
    };
    let header = ["tunnel", "role", "state", "gateway IP", "customer gateway", "status", "up for", "failure"];
    super::show::table(header, tunnels.iter().map(row))
}

pub(super) fn is_up(tunnel: &Tunnel) -> bool {
    tunnel.status == NegotiationStatus::IpsecSaEstablished
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_connection_or_one_of_its_tunnels() {
        let name =
            |text: &str| text.parse::<Name>().map(|Name { connection, index }| (connection, index)).ok();
        assert_eq!(name("hq"), Some(("hq".to_owned(), None)));
        assert_eq!(name("hq/2"), Some(("hq".to_owned(), Some(2))));
        assert!([name("hq/3"), name("hq/"), name("/1"), name("")].iter().all(Option::is_none));
    }
}
