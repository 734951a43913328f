//! A gateway with two hundred tunnels under traffic, of which one is edited: nothing happens to the others.

use super::{Device, Options, Steps};
use anyhow::{Context, Result};
use api::{ChildState, ConfigChange, Connection, IkeSa, Impact, NegotiationStatus, Status, TunnelState};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use esplanade::lab::{Devices, Fleet, Lab};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Datagrams a second, there and back, over all tunnels.
const RATE: u32 = 400;
/// Traffic before and after the edit.
const WHILE: Duration = Duration::from_secs(5);
/// Between two looks at how many tunnels are up.
const LOOK: Duration = Duration::from_millis(200);
/// For the tunnels to come up.
const PATIENCE: Duration = Duration::from_secs(300);
/// The edit: of one connection's CHILD_SA, as the document has it before and after.
const EDIT: [&str; 2] = ["ipsec = { encryption = \"aes256gcm16\"", "ipsec = { encryption = \"aes128gcm16\""];

#[derive(Debug, Serialize)]
struct Outcome {
    tunnels: usize,
    /// At the end.
    tunnels_up: usize,
    /// From the start of the gateway's processes until all were up.
    seconds_to_bring_up: f64,
    /// Connections that the edit changed.
    changed: usize,
    /// CHILD_SAs of the other connections that are the same before and after.
    spis_unchanged: usize,
    /// Through the other tunnels, there and back.
    packets_sent: usize,
    packets_lost: usize,
    /// Through the edited one, whose SA is rekeyed.
    edited_packets_lost: usize,
    /// From the request to commit until the revision is stored and the data plane has it, milliseconds.
    commit_ms: f64,
    /// From there until the edited tunnel has its new SA, milliseconds.
    rekeyed_ms: f64,
    /// Resident memory of the control process, KiB.
    control_rss_kib: u64,
}

/// Runs it and prints its outcome; true if all are up and the others noticed nothing.
pub(super) fn run(options: &Options) -> Result<bool> {
    let steps = Steps { quiet: options.json };
    let outcome = show(&steps, &Lab::new()?, options)?;
    if options.json {
        println!("{}", serde_json::to_string(&outcome)?);
    } else {
        println!("{}", table(&outcome));
    }
    let Outcome { tunnels, tunnels_up, changed, spis_unchanged, packets_lost, .. } = outcome;
    Ok(tunnels_up == tunnels && changed == 1 && spis_unchanged + 1 == tunnels && packets_lost == 0)
}

fn show(steps: &Steps, lab: &Lab, options: &Options) -> Result<Outcome> {
    let devices = match options.device {
        Device::Tap => Devices::Tap,
        Device::AfPacket => Devices::AfPacket,
    };
    let tunnels = usize::from(options.tunnels);
    let wan = steps.run("outside network: a bridge in a namespace", || lab.wan())?;
    let fleet = steps
        .run("charons, and a gateway with a host behind it", || Fleet::start(lab, &wan, devices, tunnels))?;
    steps.run(&format!("IKEv2: {tunnels} tunnels come up"), || {
        lab.wait_for("all tunnels", PATIENCE, || {
            // Who is asked negotiates, too.
            lab.sleep(LOOK)?;
            Ok((up(&fleet)? == tunnels).then_some(()))
        })
    })?;
    let seconds_to_bring_up = (fleet.started.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    let traffic = fleet.traffic(RATE)?;
    steps.run("light traffic through all of them", || lab.sleep(WHILE))?;
    let before = spis(&fleet)?;
    let edited = &fleet.tunnels[tunnels / 2].connection;
    let edit = steps.run(&format!("edit connection {edited} and commit"), || edit(lab, &fleet, edited))?;
    steps.run("traffic goes on", || lab.sleep(WHILE))?;
    let delivered = steps.run("count what came back", || traffic.stop())?;
    let after = spis(&fleet)?;
    let others = || fleet.tunnels.iter().zip(&delivered).filter(|(tunnel, _)| tunnel.connection != *edited);
    Ok(Outcome {
        tunnels,
        tunnels_up: up(&fleet)?,
        seconds_to_bring_up,
        changed: edit.changed,
        spis_unchanged: others().filter(|(t, _)| same(&before, &after, &t.connection)).count(),
        packets_sent: others().map(|(_, delivered)| delivered.sent).sum(),
        packets_lost: others().map(|(_, delivered)| delivered.lost).sum(),
        edited_packets_lost: delivered[tunnels / 2].lost,
        commit_ms: milliseconds(edit.commit),
        rekeyed_ms: milliseconds(edit.rekeyed),
        control_rss_kib: resident(&fleet)?,
    })
}

fn up(fleet: &Fleet) -> Result<usize> {
    let all: Vec<Connection> = fleet.site.gateway.client().get(api::path::CONNECTIONS)?;
    let tunnels = all.iter().flat_map(|connection| &connection.tunnels);
    Ok(tunnels.filter(|tunnel| tunnel.status == NegotiationStatus::IpsecSaEstablished).count())
}

/// The SPIs in use, by connection.
fn spis(fleet: &Fleet) -> Result<BTreeMap<String, Vec<String>>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for IkeSa { name, children, .. } in fleet.site.gateway.sas()? {
        let used = children.into_iter().filter(|child| child.state == ChildState::Installed);
        all.entry(name).or_default().extend(used.flat_map(|child| [child.spi_in, child.spi_out]));
    }
    Ok(all)
}

fn same(before: &BTreeMap<String, Vec<String>>, after: &BTreeMap<String, Vec<String>>, name: &str) -> bool {
    before.get(name).is_some_and(|spis| spis.len() == 2 && after.get(name) == Some(spis))
}

struct Edit {
    changed: usize,
    commit: Duration,
    rekeyed: Duration,
}

/// Commits the document with one connection changed, and waits for the tunnel.
fn edit(lab: &Lab, fleet: &Fleet, connection: &str) -> Result<Edit> {
    let gateway = &fleet.site.gateway;
    let start = Instant::now();
    let report = gateway.commit(|config| {
        let (before, after) = config.split_once(&format!("name = \"{connection}\"\nrouting-mode"))?;
        let edited = after.replacen(EDIT[0], EDIT[1], 1);
        (edited != after).then(|| format!("{before}name = \"{connection}\"\nrouting-mode{edited}"))
    })?;
    let is_changed =
        |change: &&ConfigChange| change.kind == "connection" && change.impact != Impact::Unchanged;
    let changed = report.changes.iter().filter(is_changed).count();
    let in_force = || {
        let all: Vec<Connection> = gateway.client().get(api::path::CONNECTIONS)?;
        Ok(all.iter().flat_map(|c| &c.tunnels).all(|t| t.state == TunnelState::Active).then_some(()))
    };
    lab.wait_for("the document to be in force", PATIENCE, in_force)?;
    let commit = start.elapsed();
    lab.wait_for("the edited tunnel", PATIENCE, || {
        let sas = gateway.sas()?;
        let children = sas.iter().filter(|sa| sa.name == connection).flat_map(|sa| &sa.children);
        let weaker =
            |child: &&api::ChildSa| child.state == ChildState::Installed && child.proposal.key_bits == 128;
        Ok(children.into_iter().find(weaker).map(drop))
    })?;
    Ok(Edit { changed, commit, rekeyed: start.elapsed().saturating_sub(commit) })
}

/// Of the control process, KiB.
fn resident(fleet: &Fleet) -> Result<u64> {
    let status: Status = fleet.site.gateway.client().get(api::path::STATUS)?;
    let text = std::fs::read_to_string(format!("/proc/{}/status", status.pid))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// To a tenth.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

fn table(outcome: &Outcome) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    table.add_row(["tunnels up", &format!("{} of {}", outcome.tunnels_up, outcome.tunnels)]);
    table.add_row(["  after", &format!("{:.1} s", outcome.seconds_to_bring_up)]);
    table.add_row(["connections that the edit changed", &outcome.changed.to_string()]);
    table.add_row(["others with the same SPIs as before", &outcome.spis_unchanged.to_string()]);
    table.add_row(["datagrams through the others", &outcome.packets_sent.to_string()]);
    table.add_row(["  lost", &outcome.packets_lost.to_string()]);
    table.add_row(["  lost in the edited one", &outcome.edited_packets_lost.to_string()]);
    table.add_row(["in force after", &format!("{} ms", outcome.commit_ms)]);
    table.add_row(["  edited tunnel rekeyed", &format!("{} ms later", outcome.rekeyed_ms)]);
    table.add_row(["memory of the control process", &format!("{} KiB", outcome.control_rss_kib)]);
    table
}
