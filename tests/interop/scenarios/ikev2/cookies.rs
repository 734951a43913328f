//! A flood of `IKE_SA_INIT` that strongSwan could have sent, under many false addresses and under the peer's own, while the
//! peer connects again and again (RFC 7296 section 2.6).

use crate::Scenario;
use crate::scenarios::flood::ipv4;
use crate::scenarios::strongswan::GCM_ECP256;
use anyhow::{Context, Result, bail, ensure};
use esplanade::lab::{Capture, Flood, Lab, Peer, Ping, Site, SwanOptions, Wire};
use std::net::Ipv4Addr;
use std::time::Duration;

const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const PER_SECOND: u32 = 2000;
/// How often the peer connects meanwhile.
const CONNECTS: usize = 5;
/// Ethernet, IPv4 and UDP.
const HEADERS: usize = 14 + 20 + 8;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("ikev2/cookies/spoofed-flood", flooded)]
}

fn flooded(lab: &Lab) -> Result<String> {
    let wan = lab.wan()?;
    let charon_lines = "retransmit_timeout = 1".to_owned();
    let peer = Peer::strongswan(lab, &wan, &SwanOptions { charon_lines, ..GCM_ECP256.swan() })?;
    let site = Site::start(lab, &wan, &GCM_ECP256.site())?;
    let stranger = lab.namespace("flood")?;
    Wire::lay((&stranger, "wan"), (&wan, "wan9"), 1500)?;
    wan.plug("wan9", "br0")?;
    stranger.address("wan", "192.0.2.9/24")?;

    let capture = Capture::only(lab, &wan, "br0", "first", "udp dst port 500 and src host 192.0.2.2")?;
    connect(lab, &site, &peer)?;
    let mut first = None;
    capture.each(|frame| first = first.take().or_else(|| frame.get(HEADERS..).map(<[u8]>::to_vec)))?;
    let packets = false_beginnings(&first.context("no IKE_SA_INIT was seen")?)?;

    let flood = Flood::start(&stranger, GATEWAY, packets, PER_SECOND)?;
    lab.sleep(Duration::from_secs(2))?;
    let connected = (0..CONNECTS).try_for_each(|nth| {
        connect(lab, &site, &peer)
            .with_context(|| format!("connection {} in the flood:\n{}", nth + 1, peer.log()))
    });
    let sent = flood.stop()?;
    connected?;
    let Peer::StrongSwan(swan, _) = &peer else { bail!("another peer") };
    let asked = swan.log().matches("N(COOKIE)").count();
    ensure!(asked > 0, "the peer was never asked for a cookie, with {sent} packets sent");
    connect(lab, &site, &peer).context("after the flood")?;
    Ok(format!(
        "{sent} false beginnings; {CONNECTS} of {CONNECTS} connections, {asked} messages with cookies"
    ))
}

/// The peer connects, all pings come back, and it deletes what it made.
fn connect(lab: &Lab, site: &Site, peer: &Peer) -> Result<()> {
    peer.initiate()?;
    site.gateway.wait_established(lab, Duration::from_secs(5))?;
    let ping = Ping::run(&site.host, &site.inner(), peer.inner(), 10, Duration::from_millis(20), 56)?;
    ensure!(ping.received > 0, "{ping:?}");
    peer.swanctl(&["--terminate", "--ike", "t"])?;
    let carries = |sa: &api::IkeSa| !sa.children.is_empty();
    lab.wait_for("our SAs to be gone", Duration::from_secs(10), || {
        Ok((!site.gateway.sas()?.iter().any(carries)).then_some(()))
    })
}

/// The same message under other names: SPIs, addresses of anybody, and each fourth time the peer's own.
fn false_beginnings(message: &[u8]) -> Result<Vec<Vec<u8>>> {
    let length = u16::try_from(8 + message.len()).context("a long message")?.to_be_bytes();
    let udp = [&[1, 0xf4, 1, 0xf4][..], &length, &[0, 0]].concat();
    let spoofed = (0..4000_u32).map(|n| {
        let anybody = Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(203, 0, 0, 1)) + n * 7);
        let source = if n % 4 == 0 { PEER } else { anybody };
        let spi = (0x5e1f_0000_0000_0000 | u64::from(n)).to_be_bytes();
        ipv4(source, 17, 0, &[&udp[..], &spi, &message[spi.len()..]].concat())
    });
    Ok(spoofed.collect())
}
