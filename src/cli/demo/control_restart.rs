//! The control plane dies and comes back, and nothing of it shows on the wire.

use super::{Device, Options, Steps};
use anyhow::{Context, Result};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use esplanade::lab::{Devices, KillReport, Lab, Site, SiteOptions, kill_control};
use std::time::Duration;

const KILLS: usize = 20;

/// Runs it and prints its outcome; true if nothing was lost, negotiated again, or sent under an IV that was used.
pub(super) fn run(options: &Options) -> Result<bool> {
    let steps = Steps { quiet: options.json };
    let report = show(&steps, &Lab::new()?, options)?;
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{}", table(&report));
    }
    let KillReport { packets_lost, renegotiations, ivs_reused, kills_mid_exchange, .. } = report;
    Ok(packets_lost == 0 && renegotiations == 0 && ivs_reused == 0 && kills_mid_exchange * 2 >= KILLS)
}

fn show(steps: &Steps, lab: &Lab, options: &Options) -> Result<KillReport> {
    let devices = match options.device {
        Device::Tap => Devices::Tap,
        Device::AfPacket => Devices::AfPacket,
    };
    let wan = steps.run("outside network: a bridge in a namespace", || lab.wan())?;
    let start = |side: u8| {
        let what = format!("gateway {side}: data plane and control plane, and a host behind it");
        steps.run(&what, || Site::start(lab, &wan, &site_options(side, devices)))
    };
    let (peer, mut site) = (start(2)?, start(1)?);
    steps.run("IKEv2: negotiate the tunnel", || {
        site.gateway.command(&["initiate", "site"])?;
        site.gateway.wait_established(lab, Duration::from_secs(20))
    })?;
    let name = "kill -9 of the control plane, under traffic and in the middle of exchanges";
    let bar = steps.bar(name);
    let kill = |kill: usize| bar.set_message(format!("{name}: {} of {KILLS}", kill + 1));
    let report = kill_control(lab, &wan, &mut site, &peer, KILLS, kill).context(name)?;
    let time = bar.elapsed();
    bar.finish_and_clear();
    steps.done(name, time);
    Ok(report)
}

/// An AEAD in IKE and ESP, so that there are IVs that must not come twice.
fn site_options(side: u8, devices: Devices) -> SiteOptions {
    SiteOptions {
        immediately: false,
        ike: ["aes256gcm16", "sha256", "group19"].map(str::to_owned),
        ipsec: ["aes256gcm16", "sha256", "group19"].map(str::to_owned),
        ..SiteOptions::new(side, devices)
    }
}

fn table(report: &KillReport) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    table.add_row(["kill -9 of the control plane", &report.kills.to_string()]);
    table.add_row(["  in the middle of an exchange", &report.kills_mid_exchange.to_string()]);
    table.add_row(["rekeys that ended well", &report.rekeys.to_string()]);
    table.add_row(["negotiations from nothing", &report.renegotiations.to_string()]);
    table.add_row(["pings through the tunnel", &report.packets_sent.to_string()]);
    table.add_row(["  lost", &report.packets_lost.to_string()]);
    table.add_row(["messages and packets with an IV", &report.ivs.to_string()]);
    table.add_row(["  with one that was used before", &report.ivs_reused.to_string()]);
    table
}
