//! Rules of host addresses: those of `[[host-address]]` and the inner ones of tunnels.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::diagnostic::{At, Code, Problem, Sink};
use crate::document::{Parsed, ParsedConnection};
use crate::model::{HostAddress, Interface, Tunnel, Vrf};

/// The most that the data plane takes, over all VRFs.
const LIMIT: usize = 1024;

/// An address of the document: where it stands, and what it is.
struct Own<'a> {
    at: &'a At,
    vrf: Vrf,
    address: IpNet,
}

/// Host addresses are nobody else's in their VRF; inner addresses leave one address for the peer, and the
/// tunnel's networks cover both.
pub(super) fn addresses(
    hosts: &[Parsed<HostAddress>],
    interfaces: &[Parsed<Interface>],
    connections: &[ParsedConnection],
    sink: &mut Sink<'_>,
) {
    let mut own: Vec<Own<'_>> = Vec::new();
    for parsed in hosts.iter().filter(|parsed| parsed.gives("address")) {
        let HostAddress { vrf, address } = parsed.value;
        own.push(Own { at: parsed.field("address"), vrf, address });
    }
    for parsed in connections {
        for tunnel in &parsed.tunnels {
            let Some(address) = tunnel.value.inner_address else { continue };
            own.push(Own { at: tunnel.field("inner-address"), vrf: parsed.connection.value.vrf, address });
            inner(tunnel, address, parsed, sink);
        }
    }
    unique(&own, interfaces, sink);
    if let Some(first) = own.get(LIMIT) {
        let message = format!("more than {LIMIT} host addresses");
        sink.error(Problem::new(Code::OutOfRange, first.at, message).fix("remove some"));
    }
}

fn unique(own: &[Own<'_>], interfaces: &[Parsed<Interface>], sink: &mut Sink<'_>) {
    let of = |i: &Interface| i.addresses.iter().map(|net| (i.vrf, net.addr())).collect::<Vec<_>>();
    let mut taken: BTreeMap<(Vrf, IpAddr), &str> = BTreeMap::new();
    for interface in interfaces {
        taken.extend(of(&interface.value).into_iter().map(|key| (key, interface.value.name.as_str())));
    }
    for Own { at, vrf, address } in own {
        if let Some(first) = taken.insert((*vrf, address.addr()), &at.path) {
            let message = format!("{} is an address of {first} already, in VRF {vrf}", address.addr());
            let problem = Problem::new(Code::Duplicate, at, message).value(address.to_string());
            sink.error(problem.fix("give another address"));
        }
    }
}

fn inner(tunnel: &Parsed<Tunnel>, address: IpNet, parsed: &ParsedConnection, sink: &mut Sink<'_>) {
    let at = tunnel.field("inner-address");
    let Some(peer) = tunnel.value.inner_peer() else {
        let message = format!("{address} does not say which address is the peer's");
        let problem = Problem::new(Code::Malformed, at, message).value(address.to_string());
        sink.error(
            problem.allowed("an address of a /30 or /31 (IPv6: /127), whose other address is the peer's"),
        );
        return;
    };
    let connection = &parsed.connection.value;
    let sides = [
        ("local-networks", &connection.local_networks, address.addr()),
        ("remote-networks", &connection.remote_networks, peer),
    ];
    for (field, networks, address) in sides {
        if !networks.iter().any(|net| net.contains(&address)) {
            let message = format!("{field} of {} do not cover {address}", connection.name);
            let fix = format!("add {} to {field}, on both ends", IpNet::from(address));
            sink.error(Problem::new(Code::ConflictingKeys, at, message).fix(fix));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Code, Report, check};

    const DOCUMENT: &str = r#"
[[interface]]
name = "wan"
port = "p0"
role = "outside"
addresses = ["192.0.2.1/24"]
[vpn-gateway]
name = "gw"
addresses = ["192.0.2.1"]
[[customer-gateway]]
name = "peer"
ip = "198.51.100.1"
[[connection]]
name = "c"
LOCAL
[[connection.tunnel]]
customer-gateway = "peer"
psk = "x"
inner-address = "INNER"
"#;

    fn with(local: &str, inner: &str, more: &str) -> Report {
        check(&(DOCUMENT.replace("LOCAL", local).replace("INNER", inner) + more), "gw.toml")
    }

    fn codes(report: &Report) -> Vec<Code> {
        report.errors.iter().map(|error| error.code).collect()
    }

    #[test]
    fn an_inner_address_leaves_one_for_the_peer() {
        for inner in ["169.254.10.1/30", "169.254.10.2/30", "169.254.10.1/31"] {
            let report = with("", inner, "");
            assert!(report.desired.is_some(), "{report}");
        }
        for inner in ["169.254.10.1/29", "169.254.10.1/32"] {
            assert_eq!(codes(&with("", inner, "")), [Code::Malformed], "{inner}");
        }
        assert_eq!(codes(&with("", "169.254.10.3/30", "")), [Code::Malformed], "a broadcast address");
    }

    #[test]
    fn the_networks_cover_both_ends() {
        let report = with("local-networks = [\"10.1.0.0/24\"]", "169.254.10.1/30", "");
        assert_eq!(codes(&report), [Code::ConflictingKeys]);
        assert!(report.errors[0].message.contains("169.254.10.1"), "{report}");
    }

    #[test]
    fn probes_ask_the_inner_peer_unless_the_tunnel_says_otherwise() {
        let target = |probe: &str| {
            let report = with("", &format!("169.254.10.1/30\"\n{probe}\n#"), "");
            report.desired.as_ref().map(|desired| desired.connections[0].tunnels[0].probe_target())
        };
        let address = |text: &str| text.parse().ok();
        assert_eq!(target(""), Some(address("169.254.10.2")));
        assert_eq!(target("probe = true"), Some(address("169.254.10.2")));
        assert_eq!(target("probe = false"), Some(None));
        assert_eq!(target("probe = { target = \"10.2.0.1\" }"), Some(address("10.2.0.1")));
        let report = with(
            "remote-networks = [\"169.254.10.0/30\"]",
            "169.254.10.1/30\"\nprobe = { target = \"10.2.0.1\" }\n#",
            "",
        );
        assert_eq!(codes(&report), [Code::ConflictingKeys], "the tunnel does not carry it");
    }

    #[test]
    fn an_address_is_used_once_in_a_vrf() {
        let host =
            |address: &str, vrf: u16| format!("[[host-address]]\nvrf = {vrf}\naddress = \"{address}\"\n");
        for taken in ["192.0.2.1/32", "169.254.10.1/32"] {
            assert_eq!(codes(&with("", "169.254.10.1/30", &host(taken, 0))), [Code::Duplicate], "{taken}");
            let report = with("", "169.254.10.1/30", &host(taken, 1));
            assert!(report.desired.is_some(), "{report}");
        }
    }
}
