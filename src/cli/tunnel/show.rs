//! `esplanade tunnel show`.

use super::{Format, ShowOptions, human};
use crate::cli::{sas, show};
use anyhow::Result;
use api::{Connection, Diagnosis, IkeSa, Tunnel, TunnelTraffic};
use esplanade::client::Client;
use serde::Serialize;
use std::fmt::Write as _;
use std::process::ExitCode;

/// All that is known of one tunnel.
#[derive(Debug, Serialize)]
struct Detail {
    connection: String,
    routing_mode: String,
    local_networks: Vec<String>,
    remote_networks: Vec<String>,
    #[serde(flatten)]
    tunnel: Tunnel,
    sas: Vec<IkeSa>,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnosis: Option<Diagnosis>,
}

pub(super) fn run(client: &Client, options: &ShowOptions) -> Result<ExitCode> {
    let ShowOptions { name, format } = options;
    let connection = name.find(client)?;
    let sas: Vec<IkeSa> = client.list(api::path::SAS)?;
    let diagnoses: Vec<Diagnosis> = client.list(api::path::DIAGNOSES)?;
    print(*format, &details(connection, &sas, &diagnoses))
}

fn print(format: Format, details: &Vec<Detail>) -> Result<ExitCode> {
    format.print(details, |details| details.iter().map(text).collect())
}

fn details(connection: Connection, sas: &[IkeSa], diagnoses: &[Diagnosis]) -> Vec<Detail> {
    let Connection { name, routing_mode, local_networks, remote_networks, tunnels, .. } = connection;
    let detail = |tunnel: Tunnel| {
        let mine = |of: &str, index: u8| of == name && index == tunnel.index;
        // A failure that the tunnel came up after is not why it is down.
        let failed = diagnoses.iter().filter(|_| tunnel.failure.is_some());
        Detail {
            connection: name.clone(),
            routing_mode: routing_mode.clone(),
            local_networks: local_networks.clone(),
            remote_networks: remote_networks.clone(),
            sas: sas.iter().filter(|sa| mine(&sa.name, sa.tunnel)).cloned().collect(),
            diagnosis: failed.into_iter().find(|d| mine(&d.connection, d.tunnel)).cloned(),
            tunnel,
        }
    };
    tunnels.into_iter().map(detail).collect()
}

fn text(detail: &Detail) -> String {
    let tunnel = &detail.tunnel;
    let up = match tunnel.up_secs {
        Some(secs) => format!("up for {}", human::duration(secs)),
        None => format!("down, {}", tunnel.status.name()),
    };
    let mut out = format!("{}: {up}\n", tunnel.name);
    // Writing to a String cannot fail: the results are ignored throughout.
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "  {name:<17} {value}");
    };
    line("tunnel ID", &tunnel.id.to_string());
    line("role", &tunnel.role);
    line("state", tunnel.state.name());
    line("gateway IP", &tunnel.gateway_ip.to_string());
    line("customer gateway", &format!("{} ({})", tunnel.customer_gateway, tunnel.customer_gateway_ip));
    line("routing mode", &detail.routing_mode);
    line("local networks", &detail.local_networks.join(" "));
    line("remote networks", &detail.remote_networks.join(" "));
    if let Some(traffic) = &tunnel.traffic {
        let carried = |packets, bytes| format!("{packets} packets, {}B", human::count(bytes));
        line("received", &carried(traffic.in_packets, traffic.in_bytes));
        line("sent", &carried(traffic.out_packets, traffic.out_bytes));
        line("dropped", &drops(traffic));
    }
    if let Some(diagnosis) = &detail.diagnosis {
        let _ = write!(out, "last failure: {}\n{}", diagnosis.code, show::cause(diagnosis));
    }
    out + &detail.sas.iter().map(sas::ike_sa).collect::<String>()
}

/// How many, and of which kinds.
fn drops(traffic: &TunnelTraffic) -> String {
    let kinds = [
        (traffic.auth_failures, "authentication failures"),
        (traffic.replays, "replays"),
        (traffic.selector_failures, "outside the selectors"),
        (traffic.in_policed + traffic.out_policed, "above the limits"),
        (traffic.other_drops, "others"),
    ];
    let some = kinds.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let some: Vec<String> = some.collect();
    if some.is_empty() { "nothing".to_owned() } else { some.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples;

    #[test]
    fn a_tunnel_in_full() {
        let mut connection = samples::connection("hq", 2);
        connection.tunnels[0].up_secs = Some(7500);
        let traffic = TunnelTraffic { in_packets: 3, in_bytes: 4200, replays: 2, ..TunnelTraffic::default() };
        connection.tunnels[0].traffic = Some(traffic);
        connection.tunnels[1].failure = Some("PskMismatch".to_owned());
        let sas = [samples::ike_sa("hq", 1), samples::ike_sa("other", 1)];
        let details = details(connection, &sas, &[samples::diagnosis("hq", 2, "PskMismatch")]);
        let [first, second] = &details[..] else { panic!("two tunnels") };
        let first = text(first);
        assert!(first.starts_with("hq/1: up for 2h 5m\n"), "{first}");
        for line in [
            "  received          3 packets, 4.20kB\n",
            "  dropped           2 replays\n",
            "  established 100s ago, rekeying in 3000s, reauthentication in 80000s, expires in 3500s\n",
        ] {
            assert!(first.contains(line), "no {line:?} in {first}");
        }
        assert!(!first.contains("other"), "{first}");
        let second = text(second);
        assert!(second.starts_with("hq/2: down, ike_sa_not_established\n"), "{second}");
        assert!(second.contains("last failure: PskMismatch\n"), "{second}");
    }
}
