//! `esplanade diagnose`: why a connection is not up, and what would mend it.

use super::tunnel::is_up;
use super::{Exit, Format, select, show};
use anyhow::Result;
use api::{Connection, Diagnosis, NegotiationStatus, RecordRequest, Tunnel};
use clap::Args;
use esplanade::client::Client;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

mod recording;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The connection
    #[arg(value_name = "CONNECTION", required_unless_present = "replay")]
    name: Option<String>,
    /// Only this tunnel of it, 1 or 2
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2))]
    tunnel: Option<u8>,
    /// Older failures, too, not only why the tunnel is down now
    #[arg(long)]
    all: bool,
    /// Negotiate the tunnel now and write what happens to a new file, without secrets
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    record: Option<PathBuf>,
    /// Seconds to wait for the result of a recorded negotiation
    #[arg(long, value_name = "SECONDS", default_value_t = 50, requires = "record", value_parser = clap::value_parser!(u64).range(1..=50))]
    wait: u64,
    /// Record what the peer begins, and begin nothing
    #[arg(long, requires = "record")]
    passive: bool,
    /// Play a recorded negotiation again, here and offline, and tell what comes of it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "record", "all", "tunnel"])]
    replay: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// What is known of one tunnel.
#[derive(Debug, Serialize)]
struct Verdict {
    tunnel: Tunnel,
    /// The newest first.
    failures: Vec<Diagnosis>,
}

pub(super) fn run(client: &Client, options: &Options) -> Result<ExitCode> {
    match (&options.name, &options.record, &options.replay) {
        (_, _, Some(file)) => recording::replay(file, options.format),
        (Some(name), Some(file), None) => {
            let request =
                RecordRequest { tunnel: options.tunnel, wait_secs: options.wait, passive: options.passive };
            recording::record(client, name, request, file, options.format)
        }
        (Some(name), None, None) => tell(client, name, options),
        (None, _, None) => anyhow::bail!("name a connection, or a recording with --replay"),
    }
}

/// Why it is down now, or was before.
fn tell(client: &Client, name: &str, options: &Options) -> Result<ExitCode> {
    let connection = select::connection(client, name, options.tunnel)?;
    let failures: Vec<Diagnosis> = client.list(api::path::DIAGNOSES)?;
    let verdicts = verdicts(connection, &failures, options.all);
    let up = verdicts.iter().all(|verdict| is_up(&verdict.tunnel));
    options.format.print(&verdicts, |verdicts| verdicts.iter().map(text).collect())?;
    Ok(Exit::up(up).into())
}

fn verdicts(connection: Connection, failures: &[Diagnosis], all: bool) -> Vec<Verdict> {
    let Connection { name, tunnels, .. } = connection;
    let of = |tunnel: Tunnel| {
        let mine = failures.iter().filter(|d| d.connection == name && d.tunnel == tunnel.index);
        // A failure that the tunnel came up after is not why it is down.
        let most = if all { usize::MAX } else { usize::from(tunnel.failure.is_some()) };
        let failures = mine.take(most).cloned().collect();
        Verdict { tunnel, failures }
    };
    tunnels.into_iter().map(of).collect()
}

fn text(verdict: &Verdict) -> String {
    let Tunnel { index, gateway_ip, customer_gateway_ip, status, .. } = &verdict.tunnel;
    let state = match status {
        NegotiationStatus::IpsecSaEstablished => "up",
        NegotiationStatus::IkeSaEstablished | NegotiationStatus::IpsecSaNotEstablished => {
            "the IKE SA is up, no CHILD_SA is"
        }
        NegotiationStatus::IkeSaNotEstablished => "no IKE SA is up",
    };
    let failures = match (&verdict.failures[..], is_up(&verdict.tunnel)) {
        ([], true) => String::new(),
        ([], false) => "  no negotiation has failed so far; `esplanade initiate` begins one\n".to_owned(),
        (failures, _) => show::diagnoses(failures),
    };
    format!("tunnel {index}, {gateway_ip} to {customer_gateway_ip}: {state}\n{failures}")
}
