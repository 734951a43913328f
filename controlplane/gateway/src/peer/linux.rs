//! Linux: a script for the kernel's part, with XFRM interfaces where routes choose. The kernel has no IKE: strongSwan gives it
//! the keys.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::{MTU, PeerConfig, PeerFile, PeerTunnel, list, strongswan};

pub(super) fn render(tunnels: &[PeerTunnel<'_>]) -> PeerConfig {
    let routes = |tunnel: &PeerTunnel<'_>| list(&tunnel.behind, " ");
    script(tunnels, &tunnels.first().map(routes).unwrap_or_default())
}

/// The script; `networks` are those that it routes into the tunnels unless it is told others.
pub(super) fn script(tunnels: &[PeerTunnel<'_>], networks: &str) -> PeerConfig {
    let name = tunnels.first().map(PeerTunnel::connection).unwrap_or_default();
    let path = format!("/usr/local/sbin/vpn-{name}");
    let mut text = Zeroizing::new(String::new());
    head(&name, &path, tunnels, &mut text);
    down(&name, tunnels, &mut text);
    interfaces(tunnels, networks, &mut text);
    largest_segment(&name, tunnels, &mut text);
    keys(tunnels, &mut text);
    let mut notes = strongswan::certificates(tunnels);
    notes.push(format!("it holds the key: install -m 0700 FILE {path}"));
    PeerConfig { files: vec![PeerFile { path, text }], notes }
}

fn head(name: &str, path: &str, tunnels: &[PeerTunnel<'_>], text: &mut String) {
    line!(text, "#!/bin/sh");
    line!(text, "# Connection {name}: the kernel has ESP, strongSwan 5.9 or later gives it the keys.");
    line!(text, "#   sh {path}         brings it up, at each start of the machine; again does no harm");
    line!(text, "#   sh {path} down    removes all that it made");
    if tunnels.iter().any(PeerTunnel::is_routed) {
        line!(text, "# Routes choose what goes into the tunnels. Other networks than those below, or none:");
        line!(text, "#   NETWORKS=\"10.1.0.0/16 10.5.0.0/16\" sh {path}");
    }
    line!(text, "set -eu");
    line!(text, "conf=/etc/swanctl/conf.d/{name}.conf");
}

fn down(name: &str, tunnels: &[PeerTunnel<'_>], text: &mut String) {
    line!(text, "\nif [ \"${{1-up}}\" = down ]; then");
    line!(text, "    rm -f \"$conf\"");
    line!(text, "    swanctl --load-all --noprompt >/dev/null");
    for tunnel in tunnels {
        line!(text, "    swanctl --terminate --ike {} --timeout 5 >/dev/null 2>&1 || :", tunnel.name());
        if tunnel.is_routed() {
            line!(text, "    ip link delete {} 2>/dev/null || :", tunnel.device());
        }
    }
    line!(
        text,
        "    if command -v nft >/dev/null; then nft delete table inet vpn-{name} 2>/dev/null || :; fi"
    );
    line!(text, "    exit 0\nfi");
}

/// Where networks choose, policies do, which need no interface.
fn interfaces(tunnels: &[PeerTunnel<'_>], networks: &str, text: &mut String) {
    line!(text, "\nsysctl -qw net.ipv4.ip_forward=1");
    if tunnels.iter().any(|tunnel| tunnel.plan.local_networks.iter().any(|net| net.addr().is_ipv6())) {
        line!(text, "sysctl -qw net.ipv6.conf.all.forwarding=1");
    }
    for tunnel in tunnels.iter().filter(|tunnel| tunnel.is_routed()) {
        let (id, device) = (tunnel.plan.id, tunnel.device());
        line!(text, "\nip link show {device} >/dev/null 2>&1 || ip link add {device} type xfrm if_id {id}");
        line!(text, "ip link set {device} mtu {MTU} up");
        line!(text, "# What leaves by the one tunnel may come back by the other.");
        line!(text, "sysctl -qw net.ipv4.conf.{device}.rp_filter=2");
        if let Some((theirs, prefix, _)) = tunnel.inner {
            line!(text, "ip address replace {theirs}/{prefix} dev {device}");
        }
        let metric = 100 * u32::from(tunnel.plan.index);
        line!(text, "for network in ${{NETWORKS-{networks}}}; do");
        line!(text, "    ip route replace \"$network\" dev {device} metric {metric}");
        line!(text, "done");
    }
}

fn largest_segment(name: &str, tunnels: &[PeerTunnel<'_>], text: &mut String) {
    let routed = tunnels.iter().filter(|tunnel| tunnel.is_routed());
    let devices: Vec<_> = routed.map(|tunnel| format!("\"{}\"", tunnel.device())).collect();
    line!(text, "\n# TCP that is forwarded learns what fits; without nft it finds out by ICMP.");
    line!(text, "if command -v nft >/dev/null; then nft -f - <<'END'");
    line!(text, "table inet vpn-{name}\ndelete table inet vpn-{name}\ntable inet vpn-{name} {{");
    line!(text, "    chain forward {{");
    line!(text, "        type filter hook forward priority mangle; policy accept;");
    if devices.is_empty() {
        // Less the headers of IPv6 and TCP: what is enough for IPv4, too.
        line!(text, "        rt ipsec exists tcp flags syn tcp option maxseg size set {}", MTU - 60);
    } else {
        let devices = devices.join(", ");
        line!(text, "        oifname {{ {devices} }} tcp flags syn tcp option maxseg size set rt mtu");
    }
    line!(text, "    }}\n}}\nEND\nfi");
}

fn keys(tunnels: &[PeerTunnel<'_>], text: &mut String) {
    line!(text, "\numask 077\ncat >\"$conf\" <<'END'");
    text.push_str(&strongswan::swanctl(tunnels));
    line!(text, "END\nswanctl --load-all --noprompt");
}
