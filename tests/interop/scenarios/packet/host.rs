//! Programs of the gateway itself, on the TUN device of its host address.
//!
//! ```text
//!  host1 ── gw1 ═══════ tunnel ═══════ gw2 ── host2
//!  10.1.0.2   10.255.0.1     10.255.0.2      10.2.0.2
//! ```

use crate::Scenario;
use crate::scene::{Initiator, Scene, With, waiting_site};
use anyhow::{Result, ensure};
use esplanade::lab::{Lab, Namespace, Peer, Ping, Process, Site, SiteOptions, Tcp};
use std::time::Duration;

/// The inner addresses of both ends, the device that has ours, and the prefix of both.
const INNER: [&str; 2] = ["10.255.0.1", "10.255.0.2"];
const DEVICE: &str = "esplanade0";
const PREFIX: &str = "10.255.0.0/30";

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("packet/host/ping", ping).chosen(),
        Scenario::new("packet/host/traceroute", traceroute),
        Scenario::new("packet/host/silent", silent),
        Scenario::new("packet/host/unfinished", unfinished),
        Scenario::new("packet/host/bgp", bgp),
    ]
}

fn site(side: u8) -> SiteOptions {
    let inner = INNER[usize::from(side - 1)];
    SiteOptions {
        tunnel_lines: format!("inner-address = \"{inner}/30\""),
        local_networks: format!("[\"10.{side}.0.0/24\", \"{PREFIX}\"]"),
        remote_networks: format!("[\"10.{}.0.0/24\", \"{PREFIX}\"]", 3 - side),
        ..waiting_site(side)
    }
}

fn scene(lab: &Lab) -> Result<Scene<'_>> {
    let scene = Scene::set(lab, &site(1), &With::Esplanade(Box::new(site(2))))?;
    scene.establish(Initiator::Us)?;
    Ok(scene)
}

fn other<'s>(scene: &'s Scene<'_>) -> Result<&'s Site> {
    match &scene.peer {
        Peer::Esplanade(site) => Ok(site),
        Peer::StrongSwan(..) | Peer::Linux(_) => anyhow::bail!("the peer is not ours"),
    }
}

/// Every ping of the pair comes back.
fn all(from: &Namespace, source: &str, to: &str, count: u32) -> Result<()> {
    let ping = Ping::run(from, source, to, count, Duration::from_millis(20), 56)?;
    ensure!(ping.received == ping.sent, "{source} to {to}: {ping:?}");
    Ok(())
}

/// Between the inner addresses, to the host across the tunnel and back, and with control killed meanwhile.
fn ping(lab: &Lab) -> Result<String> {
    let mut scene = scene(lab)?;
    let gateway = &scene.site.namespace;
    scene.explain(all(gateway, INNER[0], INNER[1], 20))?;
    scene.explain(all(gateway, DEVICE, "10.2.0.2", 20))?;
    // The kernel answers without a route of its own.
    scene.explain(all(&other(&scene)?.host, "10.2.0.2", INNER[0], 20))?;
    scene.explain(all(&scene.site.host, "10.1.0.2", INNER[0], 20))?;
    let (gateway, namespace) = (&mut scene.site.gateway, &scene.site.namespace);
    let pinged = std::thread::scope(|scope| {
        let ping = scope.spawn(|| all(namespace, INNER[0], INNER[1], 200));
        lab.sleep(Duration::from_secs(1))?;
        gateway.control.kill();
        lab.sleep(Duration::from_secs(1))?;
        gateway.restart_control(lab, namespace)?;
        ping.join().unwrap_or_else(|_| anyhow::bail!("ping thread"))
    });
    scene.explain(pinged)?;
    scene.finish()?;
    Ok("TUN to TUN, host and back; none lost while control was dead".into())
}

/// From host to host, both gateways are hops.
fn traceroute(lab: &Lab) -> Result<String> {
    let scene = scene(lab)?;
    let args = ["-n", "-q", "1", "-w", "2", "-m", "6", "10.2.0.2"];
    let shown = scene.explain(scene.site.host.run("traceroute", &args))?;
    let hops: Vec<&str> = shown.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    scene.explain(if hops == ["10.1.0.1", "10.2.0.1", "10.2.0.2"] {
        Ok(())
    } else {
        Err(anyhow::anyhow!("{shown}"))
    })?;
    scene.finish()?;
    Ok("gateway, gateway, host".into())
}

/// The far gateway says that a host beside it does not answer.
fn silent(lab: &Lab) -> Result<String> {
    let scene = scene(lab)?;
    let ping = scene.site.host.command("ping").args(["-n", "-c", "1", "-W", "6", "10.2.0.77"]).output()?;
    let shown = String::from_utf8_lossy(&ping.stdout);
    scene.explain(if shown.contains("From 10.2.0.1 icmp_seq=1 Destination Host Unreachable") {
        Ok(())
    } else {
        Err(anyhow::anyhow!("{shown}"))
    })?;
    scene.finish()?;
    Ok("host unreachable from the far gateway".into())
}

/// Hosts leave their checksums to a device that there is not: TCP passes all the same, both ways.
fn unfinished(lab: &Lab) -> Result<String> {
    let scene = scene(lab)?;
    let (near, far) = (&scene.site.host, &other(&scene)?.host);
    for (host, device) in [(near, "lan1"), (far, "lan2")] {
        host.run("ethtool", &["-K", device, "tx", "on", "tso", "off", "gso", "off"])?;
    }
    let tcp = scene.explain(Tcp::run(lab, (near, "10.1.0.2"), (far, "10.2.0.2"), 2, false))?;
    scene.finish()?;
    Ok(format!("TCP at {:.0} Mbit/s", tcp.mbit_per_s))
}

/// BIRD on each gateway, across the tunnel, learns the other's route.
fn bgp(lab: &Lab) -> Result<String> {
    let scene = scene(lab)?;
    let birds = [(1, &scene.site.namespace), (2, &other(&scene)?.namespace)];
    let _running =
        birds.map(|(side, namespace)| bird(lab, namespace, side)).into_iter().collect::<Result<Vec<_>>>()?;
    let socket = lab.folder().join("bird1.sock").to_string_lossy().into_owned();
    let learned = lab.wait_for("BGP", Duration::from_secs(30), || {
        // It does not answer before it has made its socket.
        let routes = scene.site.namespace.run("birdc", &["-s", &socket, "show", "route"]);
        Ok(routes.is_ok_and(|routes| routes.contains("10.99.2.0/24")).then_some(()))
    });
    scene.explain(learned)?;
    scene.finish()?;
    Ok("BIRD to BIRD, a route each".into())
}

fn bird(lab: &Lab, namespace: &Namespace, side: usize) -> Result<Process> {
    let (ours, peer) = (INNER[side - 1], INNER[2 - side]);
    let text = format!(
        "log stderr all;\nrouter id {ours};\nprotocol device {{ }}\n\
         protocol static {{ ipv4; route 10.99.{side}.0/24 blackhole; }}\n\
         protocol bgp {{ local {ours} as {}; neighbor {peer} as {}; connect delay time 1; \
         connect retry time 2; ipv4 {{ import all; export all; }}; }}\n",
        65_000 + side,
        65_003 - side,
    );
    let file = |end: &str| lab.folder().join(format!("bird{side}.{end}"));
    std::fs::write(file("conf"), text)?;
    let (config, socket) = (file("conf"), file("sock"));
    let args = ["-f", "-c", &config.to_string_lossy(), "-s", &socket.to_string_lossy()];
    namespace.start("bird", &args, &file("log"))
}
