//! A stranger on the outside link sends far more than the gateway can handle; a tunnel with strongSwan goes on.

use crate::Scenario;
use crate::scene::waiting_site;
use anyhow::{Context, Result, ensure};
use api::{DropCounter, IkeSa};
use esplanade::lab::{Flood, Lab, Peer, Ping, Site, SiteOptions, SwanOptions, Wire};
use std::net::Ipv4Addr;
use std::time::Duration;

const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Many times what a debug build handles, if the machine sends so much.
const PER_SECOND: u32 = 150_000;
/// Pings during the flood, and their distance.
const PINGS: (u32, Duration) = (400, Duration::from_millis(25));

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mixtures: [(&str, &[Kind]); 4] = [
        ("forged", &[Kind::Forged]),
        ("fragments", &[Kind::Fragment]),
        ("ike", &[Kind::FirstContact, Kind::IkeWithSpi]),
        ("mixture", &[Kind::Forged, Kind::Unknown, Kind::Fragment, Kind::FirstContact, Kind::IkeWithSpi]),
    ];
    let scenario = |(name, kinds): (&str, &'static [Kind])| {
        Scenario::new(format!("flood/{name}"), move |lab| flooded(lab, kinds))
    };
    let mut all: Vec<Scenario> = mixtures.into_iter().map(scenario).collect();
    if let Some(mixture) = all.pop() {
        all.push(mixture.chosen());
    }
    all
}

/// What a flood is made of.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// ESP with the SPI of the honest tunnel, from anywhere.
    Forged,
    /// ESP with an SPI of nobody.
    Unknown,
    /// The first fragment of something.
    Fragment,
    /// `IKE_SA_INIT` as far as its header tells.
    FirstContact,
    /// IKE that pretends to belong to an IKE SA.
    IkeWithSpi,
}

/// Pings, a rekey and liveness of an honest tunnel in the flood.
fn flooded(lab: &Lab, kinds: &'static [Kind]) -> Result<String> {
    let wan = lab.wan()?;
    let peer = Peer::strongswan(lab, &wan, &SwanOptions::default())?;
    let options = SiteOptions { tunnel_lines: "dpd = { timeout = 10 }".into(), ..waiting_site(1) };
    let site = Site::start(lab, &wan, &options)?;
    let stranger = lab.namespace("flood")?;
    Wire::lay((&stranger, "wan"), (&wan, "wan9"), 1500)?;
    wan.plug("wan9", "br0")?;
    stranger.address("wan", "192.0.2.9/24")?;
    site.gateway.command(&["initiate", "site"])?;
    site.gateway.wait_established(lab, Duration::from_secs(15))?;
    let before = only_sa(&site)?;
    ensure!(ping(&site, &peer, 20)?.received == 20, "pings are lost before the flood");

    let packets = packets(kinds, &before)?;
    let flood = Flood::start(&stranger, GATEWAY, packets, PER_SECOND)?;
    let pinged = std::thread::scope(|scope| {
        let pings = scope.spawn(|| ping(&site, &peer, PINGS.0));
        lab.sleep(Duration::from_secs(2))?;
        site.gateway.command(&["rekey", "site"]).context("a rekey in the flood")?;
        pings.join().unwrap_or_else(|_| anyhow::bail!("ping thread"))
    });
    let sent = flood.stop()?;
    let shed = count(&site, "overload_fair_share")?;
    let figures =
        format!("{pinged:?}, {sent} sent, {shed} shed\n{}", site.gateway.command(&["show", "errors"])?);
    let pinged = pinged.with_context(|| figures.clone())?;
    let after = only_sa(&site)?;
    ensure!(after.unique_id == before.unique_id, "the IKE SA did not survive: {figures}");
    ensure!(after.children[0].spi_in != before.children[0].spi_in, "nothing was rekeyed: {figures}");
    // What the device loses before the worker sees it is lost to all alike: a shared machine has some of that.
    let loss = pinged.loss_percent();
    ensure!(loss <= 40.0, "{loss:.0} % of the honest pings are lost: {figures}");
    ensure!(ping(&site, &peer, 20)?.received == 20, "pings are lost after the flood: {figures}");
    Ok(format!("{sent} packets, {shed} shed; honest loss {loss:.1} %"))
}

fn ping(site: &Site, peer: &Peer, count: u32) -> Result<Ping> {
    Ping::run(&site.host, &site.inner(), peer.inner(), count, PINGS.1, 56)
}

fn only_sa(site: &Site) -> Result<IkeSa> {
    site.gateway.sas()?.into_iter().next().context("there is no IKE SA")
}

fn count(site: &Site, reason: &str) -> Result<u64> {
    let reasons: Vec<DropCounter> = site.gateway.client().get(api::path::ERRORS)?;
    reasons.iter().find(|r| r.name == reason).map(|r| r.count).with_context(|| format!("no reason {reason}"))
}

/// Packets of the kinds in turn, each from another source.
fn packets(kinds: &[Kind], honest: &IkeSa) -> Result<Vec<Vec<u8>>> {
    let spi = u32::from_str_radix(&honest.children[0].spi_in, 16).context("an SPI")?;
    let sources = (0..4000_u32).map(|n| Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(203, 0, 0, 1)) + n * 7));
    Ok(sources.zip(kinds.iter().cycle()).map(|(source, kind)| kind.packet(source, spi)).collect())
}

impl Kind {
    fn packet(self, source: Ipv4Addr, spi: u32) -> Vec<u8> {
        let esp = |spi: u32| [&spi.to_be_bytes()[..], &[0, 0, 1, 0], &[0x5a; 120]].concat();
        match self {
            Self::Forged => ipv4(source, 50, 0, &esp(spi)),
            Self::Unknown => ipv4(source, 50, 0, &esp(spi ^ 0x0101_0101)),
            Self::Fragment => ipv4(source, 50, 0x2000, &esp(spi)),
            Self::FirstContact => ipv4(source, 17, 0, &ike(source, [0; 8])),
            Self::IkeWithSpi => ipv4(source, 17, 0, &ike(source, [7; 8])),
        }
    }
}

/// An IPv4 packet to the gateway; the kernel adds the checksum.
pub(crate) fn ipv4(source: Ipv4Addr, protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
    let [a, b] = len.to_be_bytes();
    let [f, g] = fragment.to_be_bytes();
    let header = [0x45, 0, a, b, 0, 1, f, g, 64, protocol, 0, 0];
    [&header[..], &source.octets(), &GATEWAY.octets(), payload].concat()
}

/// An IKE header (RFC 7296 section 3.1) of an `IKE_SA_INIT` request in UDP without a checksum, and noise.
fn ike(source: Ipv4Addr, responder_spi: [u8; 8]) -> Vec<u8> {
    let udp = [1, 0xf4, 1, 0xf4, 0, 236, 0, 0];
    let rest = [33, 0x20, 34, 8, 0, 0, 0, 0, 0, 0, 0, 228];
    [&udp[..], &source.octets(), &[9; 4], &responder_spi, &rest, &[0x33; 200]].concat()
}
