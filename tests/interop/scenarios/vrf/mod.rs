//! Two VRFs with the same inner prefixes, each with a tunnel to a peer of its own.

use crate::Scenario;
use anyhow::{Result, ensure};
use esplanade::lab::{Capture, Gateway, GatewayOptions, Lab, Namespace, Ping, StrongSwan, SwanOptions, Wire};
use std::fmt::Write as _;
use std::time::Duration;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("vrf/same-prefixes-two-peers", no_crossover).chosen()]
}

/// The VRFs; peer and host of a VRF carry its number.
const VRFS: [u8; 2] = [1, 2];

/// Each host reaches the address that only its own peer has, and not the one that only the other's has.
fn no_crossover(lab: &Lab) -> Result<String> {
    let wan = lab.wan()?;
    let capture = Capture::start(lab, &wan, "br0", "outside")?;
    let gateway_ns = lab.namespace("gw")?;
    Wire::lay((&gateway_ns, "out"), (&wan, "gwout"), 1500)?;
    wan.plug("gwout", "br0")?;
    let mut peers = Vec::new();
    let mut hosts = Vec::new();
    for vrf in VRFS {
        peers.push(peer(lab, &wan, vrf)?);
        let host = lab.namespace(&format!("host{vrf}"))?;
        Wire::lay((&gateway_ns, &format!("in{vrf}")), (&host, "lan"), 1500)?;
        host.address("lan", "10.1.0.2/24")?;
        host.route("10.2.0.0/24", "10.1.0.1")?;
        hosts.push(host);
    }
    let options = GatewayOptions {
        name: "gateway".into(),
        config: config(),
        dataplane: dataplane(),
        files: Vec::new(),
        store: false,
    };
    let gateway = Gateway::start(lab, &gateway_ns, &options)?;
    for vrf in VRFS {
        gateway.command(&["initiate", &format!("vrf{vrf}")])?;
    }
    for (host, vrf) in hosts.iter().zip(VRFS) {
        let ping =
            |to: u8| Ping::run(host, "10.1.0.2", &format!("10.2.0.1{to}"), 10, Duration::from_millis(20), 56);
        let (own, other) = (ping(vrf)?, ping(3 - vrf)?);
        ensure!(own.received == own.sent, "VRF {vrf}: its own peer: {own:?}");
        ensure!(other.received == 0, "VRF {vrf}: the other VRF's peer answered: {other:?}");
    }
    drop(gateway);
    let seen = capture.finish()?;
    ensure!(seen.leaks == 0 && seen.esp > 0, "{seen:?}");
    Ok("each VRF reaches its own peer only".into())
}

/// strongSwan at 192.0.2.(10 + VRF), with 10.2.0.(10 + VRF) as the one address behind it.
fn peer(lab: &Lab, wan: &Namespace, vrf: u8) -> Result<(StrongSwan, Namespace)> {
    let namespace = lab.namespace(&format!("peer{vrf}"))?;
    let port = format!("peer{vrf}");
    Wire::lay((&namespace, "wan"), (wan, &port), 1500)?;
    wan.plug(&port, "br0")?;
    namespace.address("wan", &format!("192.0.2.1{vrf}/24"))?;
    namespace.address("lo", &format!("10.2.0.1{vrf}/32"))?;
    let options = SwanOptions { local: format!("192.0.2.1{vrf}"), ..SwanOptions::default() };
    Ok((StrongSwan::start(lab, &namespace, &port, &options)?, namespace))
}

fn config() -> String {
    let mut text = String::from(
        "[[interface]]\nname = \"outside\"\nport = \"out\"\nrole = \"outside\"\naddresses = [\"192.0.2.1/24\"]\n\
         [vpn-gateway]\nname = \"gw\"\naddresses = [\"192.0.2.1\"]\n",
    );
    for vrf in VRFS {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            r#"
[[interface]]
name = "inside{vrf}"
port = "in{vrf}"
role = "inside"
vrf = {vrf}
addresses = ["10.1.0.1/24"]

[[customer-gateway]]
name = "peer{vrf}"
ip = "192.0.2.1{vrf}"

[[connection]]
name = "vrf{vrf}"
vrf = {vrf}
routing-mode = "protected-data-flows"
local-networks = ["10.1.0.0/24"]
remote-networks = ["10.2.0.0/24"]
effective-immediately = false

[[connection.tunnel]]
customer-gateway = "peer{vrf}"
psk = "{psk}"
"#,
            psk = SwanOptions::default().psk
        );
    }
    text
}

fn dataplane() -> String {
    let port = |index: usize, name: &str| {
        format!("[[dataplane.port]]\nname = \"{name}\"\ndevice = \"net_af_packet{index},iface={name}\"\n")
    };
    let ports: Vec<String> =
        ["out", "in1", "in2"].iter().enumerate().map(|(index, name)| port(index, name)).collect();
    format!("workers = 1\n{}", ports.concat())
}
