//! FRR: static routes into the interfaces of routed tunnels. It has no ESP: the kernel does that, as the script for Linux says.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::{PeerConfig, PeerFile, PeerTunnel, Unsupported, Vendor, linux};

/// Farther than every tunnel: what has no tunnel left goes nowhere, and never in clear.
const LAST: u8 = 250;

pub(super) fn render(tunnels: &[PeerTunnel<'_>]) -> Result<PeerConfig, Unsupported> {
    if let Some(tunnel) = tunnels.iter().find(|tunnel| !tunnel.is_routed()) {
        let fix =
            "set routing-mode = \"destination\", or take the script of --vendor linux, which needs no routes";
        return Err(tunnel.unsupported(Vendor::Frr, "routing-mode", "protected-data-flows", fix));
    }
    let name = tunnels.first().map(PeerTunnel::connection).unwrap_or_default();
    let path = format!("/etc/frr/{name}.conf");
    let mut config = linux::script(tunnels, "");
    let text = routes(&name, &path, tunnels);
    config
        .notes
        .push(format!("after the script has made the interfaces: vtysh -f {path}, then write memory"));
    config.files.push(PeerFile { path, text });
    Ok(config)
}

fn routes(name: &str, path: &str, tunnels: &[PeerTunnel<'_>]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    line!(text, "! Connection {name}: routes into its tunnels, the first one preferred.  vtysh -f {path}");
    for tunnel in tunnels {
        line!(text, "interface {}", tunnel.device());
        line!(text, " description {} to {}", tunnel.name(), tunnel.plan.local);
        line!(text, "exit");
    }
    let routed = |text: &mut String, tunnel: &PeerTunnel<'_>, to: &str, distance: u8| {
        for network in &tunnel.behind {
            let family = if network.addr().is_ipv4() { "ip" } else { "ipv6" };
            line!(text, "{family} route {network} {to} {distance}");
        }
    };
    for (tunnel, distance) in tunnels.iter().zip((1..LAST).map(|n| n * 10)) {
        routed(&mut text, tunnel, &tunnel.device(), distance);
    }
    if let Some(tunnel) = tunnels.first() {
        routed(&mut text, tunnel, "blackhole", LAST);
    }
    text
}
