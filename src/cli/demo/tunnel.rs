//! The plain demo: a tunnel on this machine, from nothing to measured traffic.

use super::{Device, Options, Steps, Who};
use anyhow::{Context, Result};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use esplanade::lab::{
    Capture, Devices, GuestOptions, Lab, Namespace, Peer, Ping, Site, SiteOptions, SwanOptions,
};
use indicatif::ProgressBar;
use serde::Serialize;
use std::time::{Duration, Instant};

#[derive(Debug, Serialize)]
struct Outcome {
    peer: &'static str,
    ike_established: bool,
    ike_milliseconds: u64,
    suite: String,
    ping_loss_percent: f64,
    tcp_mbit_per_s: BothWays,
    esp_packets: u64,
    cleartext_leaks: u64,
}

#[derive(Debug, Serialize)]
struct BothWays {
    /// From the host behind the demo's gateway to the host behind its peer.
    outbound: f64,
    /// The other way.
    inbound: f64,
}

/// Runs it and prints its outcome; true if all is sound.
pub(super) fn run(options: &Options) -> Result<bool> {
    let outcome = Demo { steps: Steps { quiet: options.json }, lab: Lab::new()? }.run(options)?;
    if options.json {
        println!("{}", serde_json::to_string(&outcome)?);
    } else {
        println!("{}", table(&outcome));
    }
    Ok(outcome.ike_established && outcome.ping_loss_percent == 0.0 && outcome.cleartext_leaks == 0)
}

struct Demo {
    steps: Steps,
    lab: Lab,
}

impl Demo {
    fn run(&self, options: &Options) -> Result<Outcome> {
        let (lab, steps) = (&self.lab, &self.steps);
        let devices = match options.device {
            Device::Tap => Devices::Tap,
            Device::AfPacket => Devices::AfPacket,
        };
        let name = match options.peer {
            Who::Esplanade => "esplanade",
            Who::Strongswan => "strongswan",
            Who::Linux => "linux",
        };
        let wan = steps.run("outside network: a bridge in a namespace", || lab.wan())?;
        let capture =
            steps.run("capture on the outside link", || Capture::start(lab, &wan, "br0", "outside"))?;
        let peer = steps.run(&format!("peer: {name}"), || self.peer(options.peer, &wan, devices))?;
        let site_options = SiteOptions { immediately: false, ..SiteOptions::new(1, devices) };
        let site = steps.run("gateway: data plane and control plane, and a host behind it", || {
            Site::start(lab, &wan, &site_options)
        })?;
        let start = Instant::now();
        steps.run("IKEv2: negotiate the tunnel", || {
            site.gateway.command(&["initiate", "site"])?;
            site.gateway.wait_established(lab, Duration::from_secs(20))
        })?;
        let ike_milliseconds = u64::try_from(start.elapsed().as_millis())?;
        let suite = site.gateway.suite()?;
        let interval = Duration::from_millis(50);
        let ping = steps.run("ping through the tunnel", || {
            Ping::run(&site.host, &site.inner(), peer.inner(), 20, interval, 56)
        })?;
        let outbound = self.tcp("TCP outbound", &site, &peer, options.seconds, false)?;
        let inbound = self.tcp("TCP inbound", &site, &peer, options.seconds, true)?;
        let seen = steps.run("look for cleartext on the outside link", || capture.finish())?;
        Ok(Outcome {
            peer: name,
            ike_established: true,
            ike_milliseconds,
            suite,
            ping_loss_percent: ping.loss_percent(),
            tcp_mbit_per_s: BothWays { outbound, inbound },
            esp_packets: seen.esp,
            cleartext_leaks: seen.leaks,
        })
    }

    /// Starts the other end; it waits to be called.
    fn peer(&self, who: Who, wan: &Namespace, devices: Devices) -> Result<Peer> {
        match who {
            Who::Esplanade => Peer::esplanade(
                &self.lab,
                wan,
                &SiteOptions { immediately: false, ..SiteOptions::new(2, devices) },
            ),
            Who::Strongswan => Peer::strongswan(&self.lab, wan, &SwanOptions::default()),
            Who::Linux => Peer::linux(&self.lab, wan, &GuestOptions::default()),
        }
    }

    /// One TCP run, with the live rate beside it.
    fn tcp(&self, name: &str, site: &Site, peer: &Peer, seconds: u32, reverse: bool) -> Result<f64> {
        let bar = self.steps.bar(name);
        let done = std::sync::atomic::AtomicBool::new(false);
        let tcp = std::thread::scope(|scope| {
            scope.spawn(|| live_rate(site, &bar, name, &done));
            let tcp = peer.tcp(&self.lab, site, seconds, reverse);
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            tcp
        });
        let tcp = tcp.with_context(|| name.to_owned())?;
        bar.finish_and_clear();
        self.steps
            .done(&format!("{name}: {:.0} Mbit/s", tcp.mbit_per_s), Duration::from_secs(seconds.into()));
        Ok(tcp.mbit_per_s)
    }
}

/// Shows what the gateway's SAs carry, twice a second, until `done`.
fn live_rate(site: &Site, bar: &ProgressBar, name: &str, done: &std::sync::atomic::AtomicBool) {
    let mut before = (Instant::now(), site.gateway.sa_bytes());
    while !done.load(std::sync::atomic::Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(500));
        let now = (Instant::now(), site.gateway.sa_bytes());
        if let (Ok(earlier), Ok(bytes)) = (&before.1, &now.1) {
            let seconds = now.0.duration_since(before.0).as_secs_f64();
            let rate = |which: usize| (bytes[which].saturating_sub(earlier[which])) as f64 * 8e-6 / seconds;
            bar.set_message(format!("{name}: in {:.0}, out {:.0} Mbit/s", rate(0), rate(1)));
        }
        before = now;
    }
}

fn table(outcome: &Outcome) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    let tcp = &outcome.tcp_mbit_per_s;
    table.add_row(["peer", outcome.peer]);
    table.add_row(["IKE SA established in", &format!("{} ms", outcome.ike_milliseconds)]);
    table.add_row(["CHILD_SA", &outcome.suite]);
    table.add_row(["ping loss", &format!("{} %", outcome.ping_loss_percent)]);
    table.add_row(["TCP outbound / inbound", &format!("{:.0} / {:.0} Mbit/s", tcp.outbound, tcp.inbound)]);
    table.add_row(["ESP packets on the outside link", &outcome.esp_packets.to_string()]);
    table.add_row(["inner packets in clear there", &outcome.cleartext_leaks.to_string()]);
    table
}
