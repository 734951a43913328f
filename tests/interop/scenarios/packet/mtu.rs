//! Links of every MTU in the middle of the path: pings of all sizes with and without DF, TCP and traceroute, in both families.

use super::path::Path;
use crate::Scenario;
use crate::report::{Report, Sizes};
use crate::scene::{Initiator, Scene, With, waiting_site};
use anyhow::{Context, Result, ensure};
use esplanade::lab::{Lab, Namespace, Peer, Ping, SwanOptions, Tcp};
use std::time::Duration;

/// The MTUs in the middle; hosts and gateways have 1,500, or as much as the path.
const MTUS: [u16; 4] = [1280, 1400, 1500, 9000];
/// Echo payloads; the last makes an IPv4 packet of 9,000 bytes.
const SIZES: [u16; 9] = [0, 56, 1000, 1200, 1372, 1472, 2000, 4000, 8972];

pub(crate) fn scenarios() -> Vec<Scenario> {
    let row = |peer: &'static str, mtu: u16| {
        Scenario::new(format!("packet/mtu/{peer}/{mtu}"), move |lab| every_size(lab, peer, mtu))
    };
    let mut all: Vec<_> =
        ["esplanade", "strongswan"].into_iter().flat_map(|peer| MTUS.map(|mtu| row(peer, mtu))).collect();
    all[1].chosen = true;
    all
}

fn every_size(lab: &Lab, peer: &'static str, mtu: u16) -> Result<Report> {
    let with = match peer {
        "esplanade" => With::Esplanade(Box::new(waiting_site(2))),
        _ => With::StrongSwan(Box::new(SwanOptions {
            local_ts: "10.2.0.0/24,2001:db8:2::/64".into(),
            remote_ts: "10.1.0.0/24,2001:db8:1::/64".into(),
            ..SwanOptions::default()
        })),
    };
    let path = Path::lay(lab, mtu, &with)?;
    let scene = &path.scene;
    scene.establish(Initiator::Us)?;
    let mut sizes = Vec::new();
    for version in [4, 6] {
        let ends = Ends::of(scene, version)?;
        let row = ends.check(mtu).with_context(|| format!("IPv{version}"));
        let (largest, tcp) = scene.explain(row)?;
        sizes.push(Sizes { path: mtu, peer, version, largest, tcp });
    }
    path.scene.finish()?;
    Ok(Report { note: "every size with and without DF, traceroute, TCP".into(), sizes })
}

/// The two ends of one family.
struct Ends<'s> {
    lab: &'s Lab,
    host: &'s Namespace,
    own: String,
    /// Where the peer's end lives, and its address.
    other: &'s Namespace,
    to: String,
    /// Addresses of the routers between, as traceroute shows them.
    routers: Vec<String>,
    /// Bytes of IP and ICMP header of an echo request.
    headers: u16,
}

impl<'s> Ends<'s> {
    fn of(scene: &'s Scene<'_>, version: u8) -> Result<Self> {
        let address = |side: u8, host: u8| match version {
            4 => format!("10.{side}.0.{host}"),
            _ => format!("2001:db8:{side}::{host}"),
        };
        let (other, last, routers) = match &scene.peer {
            Peer::Esplanade(site) => (&site.host, 2, vec![address(1, 1), address(2, 1)]),
            Peer::StrongSwan(_, namespace) => (namespace, 1, vec![address(1, 1)]),
            Peer::Linux(_) => anyhow::bail!("the guest is not in this scene"),
        };
        let headers = if version == 4 { 28 } else { 48 };
        let (own, to) = (address(1, 2), address(2, last));
        Ok(Self { lab: scene.lab, host: &scene.site.host, own, other, to, routers, headers })
    }

    /// Returns the largest packet with DF, and TCP both ways.
    fn check(&self, mtu: u16) -> Result<(u16, [Tcp; 2])> {
        let largest = self.largest_unfragmented(mtu)?;
        let overhead = mtu.saturating_sub(largest);
        ensure!(
            overhead <= 120,
            "DF passes up to {largest} bytes on a path of {mtu}: {overhead} of overhead"
        );
        for size in SIZES {
            ensure!(self.passes(size, "dont")?, "an echo of {size} bytes without DF does not pass");
            let fits = size + self.headers <= largest;
            ensure!(
                self.passes(size, "do")? == fits,
                "an echo of {size} bytes with DF: passes is not {fits}"
            );
        }
        self.traceroute()?;
        let tcp = |reverse| Tcp::run(self.lab, (self.host, &self.own), (self.other, &self.to), 1, reverse);
        let (there, back) = (tcp(false).context("TCP there")?, tcp(true).context("TCP back")?);
        ensure!(there.mbit_per_s > 1.0 && back.mbit_per_s > 1.0, "TCP came to a halt: {there:?} {back:?}");
        Ok((largest, [there, back]))
    }

    /// What the sender learns of a path by what our gateway tells it, bytes: so much passes with DF, and not one byte more.
    fn largest_unfragmented(&self, mtu: u16) -> Result<u16> {
        let learned =
            self.lab.wait_for("the sender to learn the path's MTU", Duration::from_secs(10), || {
                if self.passes(mtu - self.headers, "do")? {
                    return Ok(Some(mtu));
                }
                // It is told in two steps: what the tunnel leaves of our own link, then what the path's routers tell us.
                let route = self.host.ip(&["route", "get", &self.to])?;
                let told = route
                    .split_once(" mtu ")
                    .and_then(|(_, mtu)| mtu.split_whitespace().next()?.parse().ok());
                let Some(told) = told else { return Ok(None) };
                Ok(self.passes(told - self.headers, "do")?.then_some(told))
            })?;
        ensure!(!self.passes(learned + 1 - self.headers, "do")?, "{} bytes with DF passed", learned + 1);
        Ok(learned)
    }

    /// Whether an echo of this payload comes back; one of three may be lost, or be what the MTU is learned by.
    fn passes(&self, payload: u16, df: &str) -> Result<bool> {
        let options = ["-M", df, "-W", "0.5"];
        let ping =
            Ping::with(self.host, &self.own, &self.to, 3, Duration::from_millis(20), payload, &options)?;
        Ok(ping.received > 0)
    }

    /// With UDP and with ICMP, every router on the way and the end answer.
    fn traceroute(&self) -> Result<()> {
        for probe in ["-U", "-I"] {
            let shown =
                self.host.run("traceroute", &["-n", "-q", "1", "-w", "2", "-m", "6", probe, &self.to])?;
            let hops: Vec<&str> =
                shown.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
            let expected: Vec<&str> = self.routers.iter().chain([&self.to]).map(String::as_str).collect();
            ensure!(hops == expected, "traceroute {probe}: {shown}");
        }
        Ok(())
    }
}
