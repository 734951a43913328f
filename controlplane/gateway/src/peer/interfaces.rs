//! The interfaces of routed tunnels on Linux, and the routes into them.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::{MTU, PeerFile, PeerTunnel, list};

/// A script that makes them; `None` where policies choose, which need none. `device` names a tunnel's interface.
pub(super) fn script(
    path: String,
    tunnels: &[PeerTunnel<'_>],
    device: impl Fn(&PeerTunnel<'_>) -> String,
) -> Option<PeerFile> {
    let mut text = Zeroizing::new(String::new());
    line!(text, "#!/bin/sh\n# Once after each start of the machine, as root; again does no harm.\nset -e");
    let routed = tunnels.iter().filter(|tunnel| tunnel.is_routed());
    for tunnel in routed.clone() {
        let (id, device) = (tunnel.plan.id, device(tunnel));
        line!(text, "ip link show {device} >/dev/null 2>&1 || ip link add {device} type xfrm if_id {id}");
        line!(text, "ip link set {device} mtu {MTU} up");
        if let Some((theirs, prefix, _)) = tunnel.inner {
            line!(text, "ip address replace {theirs}/{prefix} dev {device}");
        }
        let metric = 100 * u32::from(tunnel.plan.index);
        for network in &tunnel.behind {
            line!(text, "ip route replace {network} dev {device} metric {metric}");
        }
    }
    routed.clone().next().is_some().then_some(PeerFile { path, text })
}

/// Where they lead, for people.
pub(super) fn networks(tunnel: &PeerTunnel<'_>) -> String {
    if tunnel.behind.is_empty() { "no network yet".to_owned() } else { list(&tunnel.behind, ", ") }
}
