//! `esplanade connection`: the connections, their state, and what their peers must be configured with.

use super::select::Filter;
use super::{Format, object, private, show};
use anyhow::{Context, Result, bail};
use api::{Connection, ObjectKind, PeerConfig, Tunnel};
use clap::{Args, Subcommand};
use esplanade::client::Client;
use gateway::peer::Vendor;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the tunnels of all connections, or of those with a tag or in a resource group
    ///
    /// Examples:
    ///   esplanade connection list
    ///   esplanade connection list --tag site=osaka --json
    #[command(verbatim_doc_comment)]
    List(ListOptions),
    /// Show how a connection is configured, field by field as `set` takes them; `tunnel show` tells what it does
    ///
    /// Example:  esplanade connection show hq
    #[command(verbatim_doc_comment)]
    Show(object::Show),
    /// Create a connection; a tunnel without a psk gets one made, which `peer-config` shows
    ///
    /// Examples:
    ///   esplanade connection create hq --file hq.toml --plan
    ///   esplanade connection create hq profile=modern 'local-networks=["10.1.0.0/24"]' tunnel[0].customer-gateway=osaka
    #[command(verbatim_doc_comment)]
    Create(object::Create),
    /// Change fields of a connection; what is not named stays as it is
    ///
    /// A change that interrupts traffic is said first, and asked about on a terminal.
    ///
    /// Examples:
    ///   esplanade connection set hq tunnel[0].ike.lifetime=3600 tunnel[1].ike.lifetime=3600
    ///   esplanade connection set hq mtu= --confirm 120
    #[command(verbatim_doc_comment)]
    Set(object::Set),
    /// Delete a connection with its SAs; it asks first
    ///
    /// Example:  esplanade connection delete hq
    #[command(verbatim_doc_comment)]
    Delete(object::Delete),
    /// Print what the peer must be configured with, in the words of its software; the pre-shared key is part of it
    ///
    /// Examples:
    ///   esplanade connection peer-config hq --vendor strongswan
    ///   esplanade connection peer-config hq --vendor libreswan --into ./hq-peer
    ///   esplanade connection peer-config hq --vendor linux >vpn-hq
    #[command(verbatim_doc_comment)]
    PeerConfig(PeerOptions),
}

#[derive(Debug, Args)]
pub(super) struct ListOptions {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct PeerOptions {
    /// Connection
    name: String,
    /// The peer's software: strongswan, libreswan; linux: a script for the kernel and strongSwan; frr: routes into its interfaces; cisco-ios; generic: a table of all parameters; json: the same for programs
    #[arg(long, value_parser = vendor, default_value = "generic", value_name = "NAME")]
    vendor: Vendor,
    /// Write the files, mode 0600, into this folder, which must not have them yet
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

fn vendor(name: &str) -> Result<Vendor, String> {
    let known = || Vendor::ALL.map(Vendor::name).join(", ");
    Vendor::from_name(name).ok_or_else(|| format!("known are {}", known()))
}

pub(super) fn run(client: &Client, command: &Command) -> Result<ExitCode> {
    match command {
        Command::List(options) => list(client, options),
        Command::Show(options) => object::show(client, ObjectKind::Connections, options),
        Command::Create(options) => object::create(client, ObjectKind::Connections, options),
        Command::Set(options) => object::set(client, ObjectKind::Connections, options),
        Command::Delete(options) => object::delete(client, ObjectKind::Connections, options),
        Command::PeerConfig(options) => peer_config(client, options),
    }
}

fn list(client: &Client, options: &ListOptions) -> Result<ExitCode> {
    let all = options.filter.connections(client)?;
    options.format.print(&all, |all| tunnels(all))
}

fn tunnels(connections: &[Connection]) -> String {
    let row = |connection: &Connection, tunnel: &Tunnel| {
        let tags = connection.tags.iter().map(|(key, value)| match &**value {
            "" => key.clone(),
            value => format!("{key}={value}"),
        });
        [
            format!("{}/{}", connection.name, tunnel.index),
            tunnel.role.clone(),
            tunnel.gateway_ip.to_string(),
            format!("{} ({})", tunnel.customer_gateway, tunnel.customer_gateway_ip),
            tunnel.status.name().to_owned(),
            tunnel.failure.clone().unwrap_or_default(),
            connection.resource_group.clone().unwrap_or_default(),
            tags.collect::<Vec<_>>().join(", "),
        ]
    };
    let header = ["tunnel", "role", "gateway IP", "customer gateway", "status", "failure", "group", "tags"];
    let rows = connections.iter().flat_map(|c| c.tunnels.iter().map(move |tunnel| row(c, tunnel)));
    show::table(header, rows)
}

fn peer_config(client: &Client, options: &PeerOptions) -> Result<ExitCode> {
    let config: PeerConfig = client.get(&api::path::peer_config(&options.name, options.vendor.name()))?;
    if let Some(folder) = &options.into {
        write(&config, folder)?;
    }
    options.format.print(&config, |config| match &options.into {
        Some(_) => notes(config),
        None => print(config),
    })
}

/// Every file, one after the other; a single one as it is.
fn print(config: &PeerConfig) -> String {
    let mut out = match &config.files[..] {
        [only] => only.text.clone(),
        files => files.iter().map(|file| format!("##### {}\n{}\n", file.path, file.text)).collect(),
    };
    out += &notes(config);
    out
}

fn notes(config: &PeerConfig) -> String {
    config.notes.iter().map(|note| format!("# {note}\n")).collect()
}

fn write(config: &PeerConfig, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for file in &config.files {
        let Some(name) = Path::new(&file.path).file_name() else { bail!("{} names no file", file.path) };
        let path = folder.join(name);
        let mut out = private::create(&path)?;
        out.write_all(file.text.as_bytes())?;
        eprintln!("{}: for {}", path.display(), file.path);
    }
    Ok(())
}
