//! The system part: interfaces, static routes, policies.

use ipnet::{IpNet, Ipv4Net};

use super::Parsed;
use super::reader::{Reader, one_or_many};
use super::value::Value;
use crate::diagnostic::{Code, Problem, Sink};
use crate::model::{
    HostAddress, Interface, Policy, PolicyAction, PolicyDirection, Role, Route, Via, Vrf, same_family,
};

/// Bytes an interface's largest packet may have: RFC 791's least, and the most an mbuf holds.
const MTU: (i128, i128) = (576, 9_216);
/// The least of a link with IPv6 (RFC 8200 section 5), bytes.
const IPV6_MIN_MTU: u16 = 1280;

/// First and last port.
const ANY_PORT: (u16, u16) = (0, u16::MAX);

pub(super) fn interface(mut reader: Reader<'_>, sink: &mut Sink<'_>) -> Parsed<Interface> {
    let name = reader.require(&["name"], "\"wan\"", sink).and_then(|v| v.name(sink));
    let port = reader.require(&["port"], "\"port0\"", sink).and_then(|v| v.reference(sink));
    let vlan = reader.take(&["vlan"], sink);
    let vlan = vlan.and_then(|v| v.number((1, 4094), "", Code::OutOfRange, sink));
    let roles = [("outside", Role::Outside), ("inside", Role::Inside)];
    let role = reader.require(&["role"], "\"outside\"", sink).and_then(|v| v.word(&roles, sink));
    let vrf = vrf(&mut reader, sink);
    let addresses = reader.take(&["addresses", "address"], sink).map(one_or_many).unwrap_or_default();
    let addresses = addresses.iter().filter_map(|v| interface_address(v, sink)).collect();
    let mtu = reader.take(&["mtu"], sink).and_then(|v| v.number(MTU, "bytes", Code::OutOfRange, sink));
    let value = Interface {
        name: name.unwrap_or_default(),
        port: port.unwrap_or_default(),
        vlan: vlan.unwrap_or(0),
        role: role.unwrap_or(Role::Inside),
        vrf,
        addresses,
        mtu: mtu.unwrap_or(1500),
    };
    let parsed = reader.parsed(value, &["dhcp", "bond", "mac"], sink);
    if parsed.value.mtu < IPV6_MIN_MTU && parsed.value.addresses.iter().any(|net| net.addr().is_ipv6()) {
        let message = format!("a link with IPv6 carries at least {IPV6_MIN_MTU} bytes");
        let problem = Problem::new(Code::OutOfRange, parsed.field("mtu"), message);
        sink.error(problem.value(parsed.value.mtu.to_string()).fix("raise the mtu, or remove the address"));
    }
    parsed
}

pub(super) fn interface_address(value: &Value<'_>, sink: &mut Sink<'_>) -> Option<IpNet> {
    let net = value.interface_address(sink)?;
    // The first address of an IPv6 network is that of all its routers (RFC 4291 section 2.6.1).
    let edge = net.addr() == net.network() || (net.addr().is_ipv4() && net.addr() == net.broadcast());
    let host = !edge || net.prefix_len() >= net.max_prefix_len() - 1;
    if !host {
        let message = format!("{} is the network or broadcast address of {}", net.addr(), net.trunc());
        sink.error(value.problem(Code::Malformed, message).fix("give the address of a host in it"));
    }
    host.then_some(net)
}

pub(super) fn route(mut reader: Reader<'_>, sink: &mut Sink<'_>) -> Parsed<Route> {
    let vrf = vrf(&mut reader, sink);
    let prefix = reader.require(&["prefix", "destination"], "\"10.2.0.0/24\"", sink);
    let prefix = prefix.and_then(|v| v.network(sink));
    let gateway = reader.take(&["via"], sink).and_then(|v| v.address(sink));
    let interface = reader.take(&["interface"], sink).and_then(|v| v.reference(sink));
    let connection = reader.take(&["connection"], sink).and_then(|v| v.reference(sink));
    let discard = reader.take(&["discard"], sink).and_then(|v| v.flag(sink)).unwrap_or(false);
    let via = match (gateway, interface, connection, discard) {
        // Without an interface, validation finds the one on whose network the gateway is.
        (Some(address), interface, None, false) => {
            Some(Via::Gateway { interface: interface.unwrap_or_default(), address })
        }
        (None, Some(interface), None, false) => Some(Via::Interface(interface)),
        (None, None, Some(connection), false) => Some(Via::Connection(connection)),
        (None, None, None, true) => Some(Via::Discard),
        _ => None,
    };
    let written = ["via", "interface", "connection", "discard"];
    let parsed = reader.parsed(
        Route { vrf, prefix: prefix.unwrap_or_else(any), via: via.clone().unwrap_or(Via::Discard) },
        &["weight", "metric", "bfd"],
        sink,
    );
    if via.is_none() {
        let given: Vec<&str> = written.into_iter().filter(|field| parsed.gives(field)).collect();
        let allowed = "one of via (with or without interface), interface, connection, discard = true";
        let problem = if given.is_empty() {
            Problem::new(Code::MissingKey, &parsed.at, "the route leads nowhere")
                .fix("add  via = \"192.0.2.254\"")
        } else {
            let message = format!("{} do not make one next hop", given.join(" and "));
            Problem::new(Code::ConflictingKeys, &parsed.at, message).fix("keep one of them")
        };
        sink.error(problem.allowed(allowed));
    }
    parsed
}

pub(super) fn policy(mut reader: Reader<'_>, sink: &mut Sink<'_>) -> Parsed<Policy> {
    let vrf = vrf(&mut reader, sink);
    let actions = [("bypass", PolicyAction::Bypass), ("discard", PolicyAction::Discard)];
    let action = reader.require(&["action"], "\"bypass\"", sink).and_then(|v| v.word(&actions, sink));
    let directions =
        [("both", PolicyDirection::Both), ("out", PolicyDirection::Out), ("in", PolicyDirection::In)];
    let direction = reader.take(&["direction"], sink).and_then(|v| v.word(&directions, sink));
    let src = reader.require(&["src", "source"], "\"192.0.2.1/32\"", sink).and_then(|v| v.network(sink));
    let dst =
        reader.require(&["dst", "destination"], "\"198.51.100.0/24\"", sink).and_then(|v| v.network(sink));
    let protocol = reader.take(&["protocol"], sink).and_then(|v| protocol(&v, sink)).flatten();
    let mut range = |keys| reader.take(keys, sink).and_then(|v| ports(&v, sink)).unwrap_or(ANY_PORT);
    let value = Policy {
        vrf,
        action: action.unwrap_or(PolicyAction::Discard),
        direction: direction.unwrap_or(PolicyDirection::Both),
        src: src.unwrap_or_else(any),
        dst: dst.unwrap_or_else(any),
        protocol: protocol.unwrap_or(0),
        src_ports: range(&["src-ports", "src-port"]),
        dst_ports: range(&["dst-ports", "dst-port", "ports", "port"]),
    };
    let parsed = reader.parsed(value, &[], sink);
    if parsed.gives("src") && parsed.gives("dst") && !same_family(&parsed.value.src, &parsed.value.dst) {
        let message = format!("{} and {} are of two families", parsed.value.src, parsed.value.dst);
        let problem = Problem::new(Code::ConflictingKeys, parsed.field("dst"), message);
        sink.error(problem.fix("write one policy for IPv4 and one for IPv6"));
    }
    for key in ["src-ports", "dst-ports"] {
        if parsed.gives(key) && !matches!(parsed.value.protocol, 6 | 17) {
            let problem = Problem::new(Code::ConflictingKeys, parsed.field(key), "ports need tcp or udp");
            sink.error(problem.fix("add  protocol = \"tcp\""));
        }
    }
    parsed
}

pub(super) fn host_address(mut reader: Reader<'_>, sink: &mut Sink<'_>) -> Parsed<HostAddress> {
    let vrf = vrf(&mut reader, sink);
    let address = reader.require(&["address"], "\"10.1.255.1/32\"", sink);
    let address = address.and_then(|v| interface_address(&v, sink));
    reader.parsed(HostAddress { vrf, address: address.unwrap_or_else(any) }, &[], sink)
}

/// A protocol by number or by one of a few names; `Some(None)` is any.
#[expect(clippy::option_option, reason = "the outer one says whether it could be read")]
fn protocol(value: &Value<'_>, sink: &mut Sink<'_>) -> Option<Option<u8>> {
    if value.as_text().is_some() {
        let names =
            [("any", None), ("icmp", Some(1)), ("icmpv6", Some(58)), ("tcp", Some(6)), ("udp", Some(17))];
        return value.word(&names, sink);
    }
    value.number((1, 255), "", Code::OutOfRange, sink).map(Some)
}

/// `443`, or `"8000-8100"`, both included.
fn ports(value: &Value<'_>, sink: &mut Sink<'_>) -> Option<(u16, u16)> {
    let Some(text) = value.as_text() else {
        return value.number((0, 65_535), "", Code::OutOfRange, sink).map(|port: u16| (port, port));
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if first <= last => Some((first, last)),
        _ => {
            let problem = value.problem(Code::Malformed, "not a range of ports");
            sink.error(problem.allowed("a port such as 443, or a range such as \"8000-8100\""));
            None
        }
    }
}

/// A VRF's number; 0 where none is given.
pub(super) fn vrf(reader: &mut Reader<'_>, sink: &mut Sink<'_>) -> Vrf {
    let value = reader.take(&["vrf"], sink);
    value.and_then(|v| v.number((0, 65_535), "", Code::OutOfRange, sink)).unwrap_or(0)
}

/// 0.0.0.0/0.
pub(super) fn any() -> IpNet {
    IpNet::V4(Ipv4Net::default())
}
