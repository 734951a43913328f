//! `esplanade show counters|ports|errors|neighbours|diagnoses|certificates|status|runtime`.

use super::explain::Dataplane;
use super::{Format, human, runtime};
use anyhow::{Result, bail};
use api::{
    AuditRecord, CaCertificate, Certificate, Counters, Diagnosis, DropCounter, InterfaceDrops, Neighbour,
    Port, Status,
};
use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets::UTF8_HORIZONTAL_ONLY};
use esplanade::client::Client;
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[arg(value_enum)]
    what: What,
    /// Drop reasons that have counted nothing, too; all records of the audit log, not the last 100 only
    #[arg(long)]
    all: bool,
    /// Only runtime: show again every so many seconds what happened in between, until Ctrl-C
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    watch: Option<u64>,
    #[command(flatten)]
    dataplane: Dataplane,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// What came in and what became of it, per interface and per SA
    Counters,
    /// The data plane's ports
    Ports,
    /// Every reason for which packets were dropped, with the remedy
    Errors,
    /// The hosts on our links
    Neighbours,
    /// Why negotiations failed
    Diagnoses,
    /// Certificates in use, the one that ends first ahead
    Certificates,
    /// Who changed something, read a secret, or was refused, by the API; the newest first
    Audit,
    /// The certificate of the gateway's own CA, for --ca of those who ask it over TLS
    Ca,
    /// The two processes
    Status,
    /// Workers: packets per burst, cycles per packet and stage, idle share, the longest rounds
    Runtime,
}

pub(super) fn run(client: &Client, options: Options) -> Result<ExitCode> {
    let format = options.format;
    if options.watch.is_some() && !matches!(options.what, What::Runtime) {
        bail!("--watch goes with `show runtime`");
    }
    match options.what {
        What::Runtime => runtime::run(&options.dataplane, options.watch.map(Duration::from_secs), format),
        What::Counters => format.print(&client.get(api::path::COUNTERS)?, counters),
        What::Ports => format.print(&client.get(api::path::PORTS)?, |ports: &Vec<Port>| self::ports(ports)),
        What::Neighbours => {
            format.print(&client.list(api::path::NEIGHBOURS)?, |list: &Vec<Neighbour>| neighbours(list))
        }
        What::Diagnoses => {
            format.print(&client.list(api::path::DIAGNOSES)?, |list: &Vec<Diagnosis>| diagnoses(list))
        }
        What::Certificates => {
            format.print(&client.get(api::path::CERTIFICATES)?, |list: &Vec<Certificate>| certificates(list))
        }
        What::Audit => {
            let path = api::path::AUDIT;
            let records = if options.all { client.list(path)? } else { client.get(path)? };
            format.print(&records, |list: &Vec<AuditRecord>| audit(list))
        }
        What::Ca => format.print(&client.get(api::path::CA)?, |ca: &CaCertificate| ca.certificate.clone()),
        What::Status => format.print(&client.get(api::path::STATUS)?, status),
        What::Errors => {
            let mut reasons: Vec<DropCounter> = client.get(api::path::ERRORS)?;
            reasons.retain(|reason| options.all || reason.count > 0);
            format.print(&reasons, |reasons| errors(reasons))
        }
    }
}

fn audit(records: &[AuditRecord]) -> String {
    let now = human::now();
    let rows = records.iter().map(|record| {
        let AuditRecord { time, who, from, method, path, status, untold, .. } = record;
        let untold = if *untold > 0 { format!(", {untold} refusals before") } else { String::new() };
        let what = format!("{method} {}", path.escape_debug());
        [
            human::duration(now.saturating_sub(*time)),
            who.clone(),
            from.clone(),
            what,
            format!("{status}{untold}"),
        ]
    });
    table(["ago", "who", "from", "what", "status"], rows)
}

pub(super) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    // On a terminal the columns share its width; elsewhere each is as wide as its contents.
    table
        .load_preset(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    table.add_rows(rows);
    format!("{table}\n")
}

fn counters(all: &Counters) -> String {
    let Counters { received, forwarded, delivered, dropped, .. } = all;
    let mut out =
        format!("received {received} = forwarded {forwarded} + delivered {delivered} + dropped {dropped}\n");
    let interface = |i: &api::InterfaceCounters| {
        [
            i.name.clone(),
            i.rx_packets.to_string(),
            i.rx_bytes.to_string(),
            i.tx_packets.to_string(),
            i.tx_bytes.to_string(),
            i.dropped.to_string(),
        ]
    };
    out += &table(
        ["interface", "rx packets", "rx bytes", "tx packets", "tx bytes", "dropped"],
        all.interfaces.iter().map(interface),
    );
    let sa = |s: &api::SaCounters| {
        let policed = s.in_policed + s.out_policed;
        let figures =
            [s.in_packets, s.in_bytes, s.out_packets, s.out_bytes, s.auth_failures, s.replays, policed]
                .map(|n| n.to_string());
        let [a, b, c, d, e, f, g] = figures;
        [s.spi.clone(), s.connection.clone(), a, b, c, d, e, f, g]
    };
    let header = [
        "SPI",
        "connection",
        "in packets",
        "in bytes",
        "out packets",
        "out bytes",
        "auth failures",
        "replays",
        "policed",
    ];
    out += &table(header, all.sas.iter().map(sa));
    out
}

fn ports(ports: &[Port]) -> String {
    let row = |p: &Port| {
        let link = match (p.up, p.speed_mbit) {
            (false, _) => "down".to_owned(),
            (true, 0) => "up".to_owned(),
            (true, speed) => format!("up, {speed} Mbit/s"),
        };
        let offloads: Vec<_> = p.offloads.iter().map(|offload| offload.name()).collect();
        let offloads = if offloads.is_empty() { "-".to_owned() } else { offloads.join(", ") };
        let (mtu, queues) = (p.mtu.to_string(), p.queues.to_string());
        let steering = [&[p.steering.name().to_owned()], p.steering_notes.as_slice()].concat().join("\n");
        [p.name.clone(), p.driver.clone(), p.mac.clone(), link, mtu, queues, offloads, steering]
    };
    table(["port", "driver", "MAC", "link", "MTU", "queues", "offloads", "steering"], ports.iter().map(row))
}

fn errors(reasons: &[DropCounter]) -> String {
    if reasons.is_empty() {
        return "no packet was dropped\n".to_owned();
    }
    let places = |reason: &DropCounter| {
        let place = |drops: &InterfaceDrops| {
            let name = if drops.interface.is_empty() { "none" } else { &drops.interface };
            format!("{name}: {}", drops.count)
        };
        reason.interfaces.iter().map(place).collect::<Vec<_>>().join("\n")
    };
    let row = |r: &DropCounter| [r.name.clone(), r.count.to_string(), places(r), r.help.clone()];
    table(["reason", "packets", "interface", "what it means, and the remedy"], reasons.iter().map(row))
}

fn neighbours(list: &[Neighbour]) -> String {
    let row = |n: &Neighbour| {
        let mac = n.mac.clone().unwrap_or_else(|| "-".to_owned());
        [
            n.ip.to_string(),
            mac,
            n.interface.clone(),
            n.vrf.to_string(),
            word(&n.state),
            format!("{} s", n.age_secs),
        ]
    };
    table(["address", "MAC", "interface", "VRF", "state", "age"], list.iter().map(row))
}

pub(super) fn diagnoses(list: &[Diagnosis]) -> String {
    let text = |d: &Diagnosis| {
        format!(
            "{} tunnel {} with {}, {} s ago, {} times: {}\n",
            d.connection, d.tunnel, d.remote, d.age_secs, d.count, d.code
        ) + &cause(d)
    };
    if list.is_empty() { "no negotiation failed\n".to_owned() } else { list.iter().map(text).collect() }
}

/// What went wrong, and what mends it on either side.
pub(super) fn cause(d: &Diagnosis) -> String {
    let field = |name: &str, value: &Option<String>| {
        value.as_ref().map(|v| format!("  {name:<12} {v}\n")).unwrap_or_default()
    };
    let rule = if d.rfc.is_empty() { String::new() } else { format!(", {}", d.rfc) };
    let sure =
        if d.confidence.is_empty() { String::new() } else { format!("; the cause is {}", d.confidence) };
    format!("  {}{sure}{rule}\n", d.message)
        + &field("parameter", &d.parameter)
        + &field("here", &d.ours)
        + &field("there", &d.theirs)
        + &field("fix here", &d.fix_here)
        + &field("fix there", &d.fix_there)
}

fn certificates(list: &[Certificate]) -> String {
    let row = |c: &Certificate| {
        let left = match c.valid_secs {
            secs if secs < 0 => "expired".to_owned(),
            secs => format!("{} days", secs / 86_400),
        };
        [c.subject.clone(), word(&c.holder), c.until.clone(), left, c.tunnels.join(" ")]
    };
    if list.is_empty() {
        return "no certificate in use\n".to_owned();
    }
    table(["subject", "holder", "valid until", "left", "tunnels"], list.iter().map(row))
}

fn status(s: &Status) -> String {
    let error = s.dataplane.last_error.as_ref().map(|e| format!("  last error: {e}\n")).unwrap_or_default();
    format!(
        "control plane: up {} s, process {}, {}\ndata plane: {} at {}, session {}\n{error}SAs: {} IKE, {} CHILD; {} adopted, {} restored from the journal\n",
        s.uptime_secs,
        s.pid,
        s.config_file,
        word(&s.dataplane.state),
        s.dataplane.socket,
        s.dataplane.epoch,
        s.ike_sas,
        s.child_sas,
        s.adopted_sas,
        s.restored_ike_sas
    )
}

/// A state as the API spells it.
fn word(state: &impl Serialize) -> String {
    serde_json::to_value(state).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
