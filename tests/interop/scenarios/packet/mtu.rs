//! Links of every MTU in the middle of the path: pings of all sizes with and without DF, and TCP.
//!
//! ```text
//!  host1 ── gateway ── wan ──[ MTU of the scenario ]── far ── peer
//!  10.1.0.2    192.0.2.1  .126                         .129   .130  10.2.0.1
//! ```

use crate::Scenario;
use anyhow::{Context, Result, ensure};
use esplanade::lab::{
    Capture, Devices, Lab, Namespace, Ping, Site, SiteOptions, StrongSwan, SwanOptions, Tcp, Wire,
};
use std::time::Duration;

/// The MTUs in the middle; hosts and gateways have 1,500, or as much as the path.
const MTUS: [u16; 4] = [1280, 1400, 1500, 9000];
/// Echo payloads; the last makes an IP packet of 9,000 bytes.
const SIZES: [u16; 9] = [0, 56, 1000, 1200, 1372, 1472, 2000, 4000, 8972];
const HOST: &str = "10.1.0.2";
const BEHIND_PEER: &str = "10.2.0.1";
/// IP and ICMP header of an echo request, bytes.
const ECHO_HEADERS: u16 = 28;

pub(crate) fn scenarios() -> Vec<Scenario> {
    let row = |mtu: u16| Scenario::new(format!("packet/mtu/{mtu}"), move |lab| every_size(lab, mtu));
    MTUS.map(|mtu| if mtu == 1400 { row(mtu).chosen() } else { row(mtu) }).into()
}

/// The scene, in the order it is to be taken down.
struct Scene {
    site: Site,
    _swan: StrongSwan,
    peer: Namespace,
    _far: Namespace,
    capture: Capture,
    _wan: Namespace,
}

fn every_size(lab: &Lab, mtu: u16) -> Result<String> {
    let scene = set(lab, mtu)?;
    let gateway = &scene.site.gateway;
    let errors = || gateway.command(&["show", "errors"]).unwrap_or_else(|error| error.to_string());
    let established = gateway
        .command(&["initiate", "site"])
        .and_then(|_| gateway.wait_established(lab, Duration::from_secs(15)));
    let note = established.and_then(|()| check(lab, &scene, mtu)).with_context(errors)?;
    drop(scene.site);
    let seen = scene.capture.finish()?;
    ensure!(seen.leaks == 0 && seen.esp > 0, "{seen:?}");
    Ok(note)
}

fn check(lab: &Lab, scene: &Scene, mtu: u16) -> Result<String> {
    let host = &scene.site.host;
    // With DF, the sender learns at last what fits: by our "fragmentation needed", made of the path's.
    let largest = largest_unfragmented(host, mtu)?;
    let overhead = mtu - largest;
    ensure!(
        overhead <= 120,
        "DF passes up to {largest} bytes on a path of {mtu}: {overhead} bytes of overhead"
    );
    let too_big = ping(host, largest + 1 - ECHO_HEADERS, "do")?;
    ensure!(too_big.received == 0, "{} bytes with DF passed, but {largest} are the most", largest + 1);
    // Without DF every size passes, in as many pieces as it takes; but the peer's kernel learns its own way
    // back by losing a packet.
    ping(host, mtu - ECHO_HEADERS, "dont")?;
    for size in SIZES {
        let passed = ping(host, size, "dont")?;
        ensure!(passed.received == passed.sent, "echo of {size} bytes without DF: {passed:?}");
    }
    let out = Tcp::run(lab, (host, HOST), (&scene.peer, BEHIND_PEER), 2, false)?;
    let back = Tcp::run(lab, (host, HOST), (&scene.peer, BEHIND_PEER), 2, true)?;
    ensure!(out.mbit_per_s > 1.0 && back.mbit_per_s > 1.0, "TCP came to a halt: {out:?} {back:?}");
    Ok(format!("inner MTU {largest}, TCP {:.0}/{:.0} Mbit/s", out.mbit_per_s, back.mbit_per_s))
}

/// The largest IP packet with DF that comes back, bytes; the first pings may be lost to learning.
fn largest_unfragmented(host: &Namespace, mtu: u16) -> Result<u16> {
    for _ in 0..3 {
        ping(host, mtu - ECHO_HEADERS, "do")?;
    }
    let (mut fits, mut exceeds) = (mtu - 200, mtu + 1);
    let least = ping(host, fits - ECHO_HEADERS, "do")?;
    ensure!(least.received == least.sent, "{fits} bytes with DF on a path of {mtu}: {least:?}");
    while exceeds - fits > 1 {
        let tried = fits.midpoint(exceeds);
        if ping(host, tried - ECHO_HEADERS, "do")?.received > 0 {
            fits = tried;
        } else {
            exceeds = tried;
        }
    }
    Ok(fits)
}

fn ping(host: &Namespace, payload: u16, df: &str) -> Result<Ping> {
    Ping::with(host, HOST, BEHIND_PEER, 2, Duration::from_millis(50), payload, &["-M", df, "-W", "1"])
}

fn set(lab: &Lab, mtu: u16) -> Result<Scene> {
    let edge = mtu.max(1500);
    let (wan, far, peer) = (lab.wan()?, lab.namespace("far")?, lab.namespace("peer")?);
    wan.ip(&["link", "set", "br0", "mtu", &edge.to_string()])?;
    wan.address("br0", "192.0.2.126/25")?;
    Wire::lay((&wan, "mid"), (&far, "mid"), mtu)?;
    Wire::lay((&far, "edge"), (&peer, "wan"), edge)?;
    wan.address("mid", "192.0.2.193/30")?;
    far.address("mid", "192.0.2.194/30")?;
    far.address("edge", "192.0.2.129/26")?;
    peer.address("wan", "192.0.2.130/26")?;
    peer.address("lo", &format!("{BEHIND_PEER}/24"))?;
    wan.route("192.0.2.128/25", "192.0.2.194")?;
    far.route("192.0.2.0/25", "192.0.2.193")?;
    peer.route("192.0.2.0/25", "192.0.2.129")?;
    let capture = Capture::start(lab, &wan, "br0", "outside")?;
    let swan = SwanOptions { local: "192.0.2.130".into(), ..SwanOptions::default() };
    let swan = StrongSwan::start(lab, &peer, "strongswan", &swan)?;
    // net_tap sends no jumbo frames, and af_packet neither shows those nor fragments as they were sent.
    let devices = if edge > 1500 { Devices::Pcap } else { Devices::Tap };
    let options = SiteOptions {
        immediately: false,
        peer: "192.0.2.130".into(),
        mtu: edge,
        more: "[[route]]\nprefix = \"192.0.2.128/25\"\nvia = \"192.0.2.126\"\n".into(),
        ..SiteOptions::new(1, devices)
    };
    let site = Site::start(lab, &wan, &options)?;
    Ok(Scene { site, _swan: swan, peer, _far: far, capture, _wan: wan })
}
