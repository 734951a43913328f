//! The path MTU where no router tells it: only probes can find it. Out and back may differ.
//!
//! ```text
//!  host1 ── gateway1 ── wan ──[ MTU out ]──► far ── gateway2 ── host2
//!  10.1.0.2  192.0.2.1   ◄────[ MTU in  ]────      192.0.2.2   10.2.0.2
//! ```

use crate::Scenario;
use crate::scene::last_lines;
use anyhow::{Context, Result, ensure};
use api::{Path, PathLimit, PathState, Reach};
use esplanade::lab::{Capture, Devices, Lab, Namespace, Site, SiteOptions, Tcp, Wire};
use std::time::{Duration, Instant};

/// Links of hosts and gateways: as much as any path.
const EDGE: u16 = 9000;
/// What AES-GCM's packets are a multiple of, bytes: sizes between two of them are not told apart.
const STEP: u16 = 4;
const LIMIT: Duration = Duration::from_secs(60);
/// Each path, to the peer and back, bytes.
const PATHS: [(u16, u16); 6] =
    [(1280, 1280), (1400, 1400), (1500, 1500), (9000, 9000), (1400, 1280), (1300, 9000)];

pub(crate) fn scenarios() -> Vec<Scenario> {
    let row = |(out, back): (u16, u16)| {
        Scenario::new(format!("packet/probe/{out}-{back}"), move |lab| find(lab, out, back))
    };
    PATHS.map(|path| if path == (1400, 1280) { row(path).chosen() } else { row(path) }).into()
}

/// The scene, in the order it is to be taken down.
struct Scene {
    site: Site,
    other: Site,
    capture: Capture,
    _far: Namespace,
    _wan: Namespace,
}

fn find(lab: &Lab, out: u16, back: u16) -> Result<String> {
    let scene = set(lab, out, back)?;
    let gateway = &scene.site.gateway;
    let explain = || {
        let sas = gateway.command(&["list-sas"]).unwrap_or_else(|error| error.to_string());
        let errors = gateway.command(&["show", "errors"]).unwrap_or_else(|error| error.to_string());
        format!("{sas}\n{errors}\n{}", last_lines(&gateway.dataplane.log()))
    };
    gateway.command(&["initiate", "site"])?;
    gateway.wait_established(lab, Duration::from_secs(15)).with_context(explain)?;
    let start = Instant::now();
    let found =
        || Ok(gateway.sas()?.first().and_then(|sa| sa.path).filter(|path| path.state == PathState::Complete));
    let path = lab.wait_for("both path MTUs", LIMIT, found).with_context(explain)?;
    let seconds = start.elapsed().as_secs();
    check(&path, out, back).with_context(explain)?;
    let tcp = |reverse| {
        let ends = ((&scene.site.host, "10.1.0.2"), (&scene.other.host, "10.2.0.2"));
        Tcp::run(lab, ends.0, ends.1, 2, reverse)
    };
    let (there, here) = (tcp(false).with_context(explain)?, tcp(true).with_context(explain)?);
    ensure!(there.mbit_per_s > 1.0 && here.mbit_per_s > 1.0, "TCP came to a halt: {there:?} {here:?}");
    let log = gateway.dataplane.log();
    let holes = log.lines().filter(|line| line.contains("black hole")).count();
    drop(scene.site);
    drop(scene.other);
    let seen = scene.capture.finish()?;
    ensure!(seen.leaks == 0 && seen.esp > 0, "{seen:?}");
    let holes_expected =
        [path.outbound, path.inbound].iter().flatten().filter(|r| r.limit == PathLimit::BlackHole).count();
    ensure!(holes == holes_expected, "{holes} black holes in the log, {holes_expected} expected:\n{log}");
    let note = |reach: Option<Reach>| reach.map_or_else(String::new, |r| format!("{} {:?}", r.mtu, r.limit));
    Ok(format!("out {}, in {}, found in {seconds} s", note(path.outbound), note(path.inbound)))
}

/// What was found is what the links take; where they take less than ours, packets vanish on the way out, and
/// the peer's arrive in fragments or not at all, as it sets DF.
fn check(path: &Path, out: u16, back: u16) -> Result<()> {
    let vanishing = |mtu: u16| if mtu < EDGE { PathLimit::BlackHole } else { PathLimit::Link };
    for (name, reach, mtu, limit) in [
        ("outbound", path.outbound, out, vanishing(out)),
        ("inbound", path.inbound, back, if out == back { vanishing(back) } else { fragmented(back) }),
    ] {
        let reach = reach.with_context(|| format!("no {name} path MTU"))?;
        let exact = reach.mtu <= mtu && reach.mtu + STEP > mtu;
        ensure!(
            exact && reach.limit == limit,
            "{name}: {reach:?} where the link takes {mtu}, {limit:?} expected"
        );
    }
    Ok(())
}

fn fragmented(mtu: u16) -> PathLimit {
    if mtu < EDGE { PathLimit::Fragmented } else { PathLimit::Link }
}

fn set(lab: &Lab, out: u16, back: u16) -> Result<Scene> {
    let (wan, far) = (lab.wan()?, lab.namespace("far")?);
    far.bridge("br0")?;
    for (router, address, near) in
        [(&wan, "192.0.2.126/32", "192.0.2.1/32"), (&far, "192.0.2.129/32", "192.0.2.2/32")]
    {
        router.ip(&["link", "set", "br0", "mtu", &EDGE.to_string()])?;
        router.address("br0", address)?;
        router.ip(&["route", "add", near, "dev", "br0"])?;
        // A router whose ICMP is filtered.
        router.ip(&["rule", "add", "iif", "lo", "ipproto", "icmp", "blackhole"])?;
    }
    Wire::lay((&wan, "there"), (&far, "there"), out)?;
    Wire::lay((&wan, "back"), (&far, "back"), back)?;
    for (device, near, other) in
        [("there", "198.51.100.1/30", "198.51.100.2/30"), ("back", "198.51.100.5/30", "198.51.100.6/30")]
    {
        wan.address(device, near)?;
        far.address(device, other)?;
    }
    wan.route("192.0.2.2/32", "198.51.100.2")?;
    far.route("192.0.2.1/32", "198.51.100.5")?;
    let capture = Capture::start(lab, &wan, "br0", "outside")?;
    let via = |peer: u8, router: &str| {
        format!("[[route]]\nprefix = \"192.0.2.{peer}/32\"\nvia = \"192.0.2.{router}\"\n")
    };
    let options = |side: u8, router: &str| SiteOptions {
        immediately: false,
        mtu: EDGE,
        ipsec: ["aes128gcm16", "sha1", "group2"].map(str::to_owned),
        more: via(3 - side, router),
        ..SiteOptions::new(side, Devices::Pcap)
    };
    // Where both ways are alike, the peer sets DF, and what is too large for the way back vanishes as well.
    let df = if out == back { "df = \"set\"" } else { "" };
    let other = SiteOptions {
        tunnel_lines: "probe = false".into(),
        connection_lines: df.into(),
        ..options(2, "129")
    };
    let other = Site::start(lab, &far, &other)?;
    let site = SiteOptions { tunnel_lines: "probe = { target = \"10.2.0.1\" }".into(), ..options(1, "126") };
    let site = Site::start(lab, &wan, &site)?;
    Ok(Scene { site, other, capture, _far: far, _wan: wan })
}
