//! `esplanade list-sas`.

use super::Format;
use super::select::Filter;
use anyhow::Result;
use api::{ChildSa, IkeSa, Party, Path, PathLimit, PathState, Reach, Traffic};
use clap::Args;
use esplanade::client::Client;
use std::fmt::Write as _;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only the SAs of this connection
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(client: &Client, options: &Options) -> Result<ExitCode> {
    let mut sas: Vec<IkeSa> = options.filter.list(client, api::path::SAS)?;
    if let Some(name) = &options.connection {
        sas.retain(|sa| &sa.name == name);
    }
    options.format.print(&sas, |sas| sas.iter().map(ike_sa).collect())
}

/// One IKE SA and its children, in the order and words that people know from swanctl.
pub(super) fn ike_sa(sa: &IkeSa) -> String {
    let mut out = String::new();
    let mark = |ours: bool| if ours { "*" } else { "" };
    // Writing to a String cannot fail: the results are ignored throughout.
    let _ = writeln!(
        out,
        "{}: #{}, {}, IKEv{}, {}_i{} {}_r{}",
        sa.name,
        sa.unique_id,
        state(&sa.state),
        sa.version,
        if sa.initiator { &sa.local.spi } else { &sa.remote.spi },
        mark(sa.initiator),
        if sa.initiator { &sa.remote.spi } else { &sa.local.spi },
        mark(!sa.initiator),
    );
    let _ = writeln!(out, "  local  {}{}", party(&sa.local), if sa.nat_local { " (behind NAT)" } else { "" });
    let _ =
        writeln!(out, "  remote {}{}", party(&sa.remote), if sa.nat_remote { " (behind NAT)" } else { "" });
    if let Some(proposal) = &sa.proposal {
        let _ = writeln!(out, "  {proposal}");
    }
    if let Some(age) = sa.established_secs {
        let times = [
            in_secs("rekeying", sa.rekey_secs),
            in_secs("reauthentication", sa.reauth_secs),
            in_secs("expires", sa.expires_secs),
        ];
        let _ = writeln!(out, "  established {age}s ago{}", times.concat());
    }
    if let Some(path) = &sa.path {
        out += &self::path(path);
    }
    for child in &sa.children {
        out += &child_sa(child);
    }
    out
}

/// What probes found of the path, or why they did not.
fn path(path: &Path) -> String {
    let found = match (path.outbound, path.inbound) {
        (None, None) => String::new(),
        (out, inbound) => {
            let reach = |reach: Option<Reach>| reach.map_or_else(|| "unknown".to_owned(), reached);
            format!("out {}, in {}, ", reach(out), reach(inbound))
        }
    };
    let state = match path.state {
        PathState::Off => "not probed (no target)",
        PathState::Waiting => "no SA carries a probe",
        PathState::Silent => "the probe target does not answer",
        PathState::Searching => "searching",
        PathState::Complete => "complete",
        PathState::Stuck => "not even the smallest probe passes",
    };
    format!("  path MTU {found}{state}\n")
}

fn reached(reach: Reach) -> String {
    let limit = match reach.limit {
        PathLimit::Link => "",
        PathLimit::Router => " (a router said so)",
        PathLimit::BlackHole => " (BLACK HOLE: larger packets vanish)",
        PathLimit::Fragmented => " (larger packets come in fragments)",
        PathLimit::Sender => " (the peer sends no larger packets)",
    };
    format!("{}{limit}", reach.mtu)
}

fn child_sa(child: &ChildSa) -> String {
    let mut out = String::new();
    let udp = if child.encap { "-in-UDP" } else { "" };
    let _ = writeln!(
        out,
        "  {}: #{}, {}, {}, {}{udp}:{}",
        child.name,
        child.unique_id,
        state(&child.state),
        state(&child.mode),
        child.protocol,
        child.proposal,
    );
    let times = in_secs("rekeying", child.rekey_secs) + &in_secs("expires", child.expires_secs);
    let _ = writeln!(out, "    installed {}s ago{times}", child.installed_secs);
    let _ = writeln!(out, "    in  {}, {}", child.spi_in, traffic(child.inbound));
    let _ = writeln!(out, "    out {}, {}", child.spi_out, traffic(child.outbound));
    let _ = writeln!(out, "    local  {}", child.local_ts.join(" "));
    let _ = writeln!(out, "    remote {}", child.remote_ts.join(" "));
    out
}

fn in_secs(what: &str, secs: Option<u64>) -> String {
    secs.map(|secs| format!(", {what} in {secs}s")).unwrap_or_default()
}

fn party(party: &Party) -> String {
    format!("'{}' @ {}[{}]", party.id, party.host, party.port)
}

fn traffic(traffic: Traffic) -> String {
    let idle = traffic.idle_secs.map(|secs| format!(", {secs}s ago")).unwrap_or_default();
    let policed = match traffic.policed {
        0 => String::new(),
        packets => format!(", {packets} above the limit"),
    };
    format!("{:>9} bytes, {:>7} packets{policed}{idle}", traffic.bytes, traffic.packets)
}

/// A state as the API spells it.
fn state(state: &impl serde::Serialize) -> String {
    serde_json::to_value(state).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
