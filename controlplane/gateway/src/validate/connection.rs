//! Rules of connections and of what they refer to.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::system::{outside_interface, overlaps_service_range, service_range};
use crate::algorithm::Encryption;
use crate::diagnostic::{Code, Problem, Sink};
use crate::document::{Parsed, ParsedConnection};
use crate::model::{
    CustomerGateway, Identity, IkeVersion, Interface, PathProbe, PskSource, Route, RoutingMode, Tunnel, Via,
    VpnGateway, same_family,
};

/// Mbit/s from which a slow cipher is worth a warning.
const FAST: u32 = 200;

/// What connections refer to.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) gateways: &'a [Parsed<VpnGateway>],
    pub(super) customers: &'a BTreeMap<String, CustomerGateway>,
}

impl Context<'_> {
    fn gateway(&self, name: &str) -> Option<&VpnGateway> {
        self.gateways.iter().map(|g| &g.value).find(|g| g.name == name)
    }
}

/// Checks one connection and fills in what follows from its two ends.
pub(super) fn check(parsed: &mut ParsedConnection, context: &Context<'_>, sink: &mut Sink<'_>) {
    gateway(parsed, context, sink);
    networks(parsed, sink);
    tunnels(parsed, context, sink);
}

fn gateway(parsed: &mut ParsedConnection, context: &Context<'_>, sink: &mut Sink<'_>) {
    let connection = &mut parsed.connection;
    let names: Vec<&str> = context.gateways.iter().map(|g| g.value.name.as_str()).collect();
    let problem = if connection.gives("vpn-gateway") {
        let name = connection.value.vpn_gateway.as_str();
        if name.is_empty() || names.contains(&name) {
            return;
        }
        let message = format!("there is no vpn-gateway {name}");
        Problem::new(Code::NotFound, connection.field("vpn-gateway"), message)
            .value(name)
            .allowed(names.join(", "))
    } else if let [only] = names[..] {
        connection.value.vpn_gateway = only.to_owned();
        return;
    } else if names.is_empty() {
        let message = "the document has no [vpn-gateway]";
        Problem::new(Code::MissingKey, &connection.at, message)
            .fix("add  [vpn-gateway]  with name and addresses")
    } else {
        let message = "vpn-gateway is missing, and there is more than one";
        Problem::new(Code::MissingKey, &connection.at, message).allowed(names.join(", "))
    };
    sink.error(problem);
}

fn networks(parsed: &ParsedConnection, sink: &mut Sink<'_>) {
    let connection = &parsed.connection;
    if connection.value.routing_mode == RoutingMode::ProtectedDataFlows {
        for field in ["local-networks", "remote-networks"] {
            if !connection.gives(field) {
                let message = format!("protected-data-flows needs {field}");
                let problem =
                    Problem::new(Code::FlowsNeedBothNetworks, connection.field("routing-mode"), message);
                sink.error(problem.fix(format!("add  {field} = [\"10.1.0.0/24\"]")));
            }
        }
    }
    let sides = [
        ("local-networks", &connection.value.local_networks),
        ("remote-networks", &connection.value.remote_networks),
    ];
    for ((field, networks), (other_field, others)) in [(sides[0], sides[1]), (sides[1], sides[0])] {
        let alone = networks.iter().find(|net| !others.iter().any(|other| same_family(net, other)));
        if let Some(net) = alone {
            let message = format!("{net} has no counterpart of its family in {other_field}");
            let problem = Problem::new(Code::ConflictingKeys, connection.field(field), message);
            let family = if net.addr().is_ipv4() { "IPv4" } else { "IPv6" };
            sink.error(problem.value(net.to_string()).fix(format!("add an {family} network there")));
        }
    }
    let ikev1 = parsed.tunnels.iter().any(|t| t.value.ike.version == IkeVersion::V1);
    for (field, networks) in sides {
        if ikev1 && networks.len() > 1 {
            let message = format!("more than one network in {field} needs ikev2");
            let problem = Problem::new(Code::MultiCidrNeedsIkev2, connection.field(field), message);
            sink.error(problem.fix("use ikev2, or one connection for each network"));
        }
        for net in networks.iter().filter(|net| overlaps_service_range(net)) {
            let message = format!("{net} overlaps {}, which the service uses", service_range());
            let problem = Problem::new(Code::RouteOverlapsServiceRange, connection.field(field), message);
            sink.warn(problem.value(net.to_string()).fix("use another range where you can"));
        }
    }
}

fn tunnels(parsed: &mut ParsedConnection, context: &Context<'_>, sink: &mut Sink<'_>) {
    let gateway = context.gateway(&parsed.connection.value.vpn_gateway);
    count(parsed, gateway, sink);
    let bandwidth = gateway.map_or(0, |g| g.bandwidth);
    for (index, tunnel) in parsed.tunnels.iter_mut().enumerate() {
        let local = gateway.and_then(|g| g.addresses.get(index)).copied();
        identities(tunnel, local, context, sink);
        slow_cipher(tunnel, bandwidth, sink);
        probe_target(tunnel, &parsed.connection.value.remote_networks, sink);
    }
    if let [first, second] = &parsed.tunnels[..]
        && let (Some(PskSource::Inline(a)), Some(PskSource::Inline(b))) =
            (first.value.auth.psk(), second.value.auth.psk())
        && a != b
    {
        let problem =
            Problem::new(Code::PsksDiffer, second.field("psk"), "the two tunnels have different keys");
        sink.warn(problem.fix("make sure that the peer has them the same way round"));
    }
}

/// One tunnel or two, and a gateway address for each.
fn count(parsed: &ParsedConnection, gateway: Option<&VpnGateway>, sink: &mut Sink<'_>) {
    let connection = &parsed.connection;
    match parsed.tunnels.len() {
        0 => {
            let problem =
                Problem::new(Code::TwoTunnelsRequired, &connection.at, "the connection has no tunnel");
            sink.error(problem.allowed("one or two [[connection.tunnel]]").fix("add  [[connection.tunnel]]"));
        }
        1 => {
            let message = "one tunnel only: there is no redundancy";
            let problem = Problem::new(Code::OneTunnelOnly, &parsed.tunnels[0].at, message);
            sink.warn(
                problem.fix("add a second [[connection.tunnel]], to a second address where the peer has one"),
            );
        }
        2 => {
            let have = gateway.map_or(2, |g| g.addresses.len());
            if have < 2 {
                let message =
                    "the second tunnel starts at the gateway's second address, and there is only one";
                let problem = Problem::new(Code::AddressNotOurs, &parsed.tunnels[1].at, message);
                sink.error(problem.fix("give the [vpn-gateway] two addresses"));
            }
        }
        many => {
            let message = format!("a connection has two tunnels, not {many}");
            let problem = Problem::new(Code::TwoTunnelsRequired, &parsed.tunnels[2].at, message);
            sink.error(problem.allowed("one or two [[connection.tunnel]]").fix("remove the others"));
        }
    }
}

/// The peer exists; identities that were left out are the addresses of the two ends.
fn identities(
    tunnel: &mut Parsed<Tunnel>,
    local: Option<IpAddr>,
    context: &Context<'_>,
    sink: &mut Sink<'_>,
) {
    let name = tunnel.value.customer_gateway.clone();
    let Some(customer) = context.customers.get(&name) else {
        if !name.is_empty() {
            let known: Vec<&str> = context.customers.keys().map(String::as_str).collect();
            let message = format!("there is no customer-gateway {name}");
            let problem = Problem::new(Code::NotFound, tunnel.field("customer-gateway"), message).value(name);
            sink.error(problem.allowed(known.join(", ")).fix("name one of those, or add it"));
        }
        return;
    };
    if !tunnel.gives("local-id")
        && let Some(local) = local
    {
        tunnel.value.local_id = Identity::Address(local);
    }
    if !tunnel.gives("remote-id") {
        tunnel.value.remote_id = Identity::Address(customer.ip);
    }
    // A peer without a valid address was reported already.
    let two_families = |local: &IpAddr| local.is_ipv4() != customer.ip.is_ipv4();
    if let Some(local) = local.filter(two_families).filter(|_| !customer.ip.is_unspecified()) {
        let message =
            format!("{} cannot be reached from {local}: the one is IPv4, the other IPv6", customer.ip);
        let problem = Problem::new(Code::ConflictingKeys, tunnel.field("customer-gateway"), message);
        sink.error(problem.fix("give both ends of a tunnel addresses of one family"));
    }
    if local == Some(customer.ip) {
        let message = format!("{} is our own address", customer.ip);
        let problem = Problem::new(Code::ConflictingKeys, tunnel.field("customer-gateway"), message);
        sink.error(problem.fix("a customer-gateway's ip is the peer's"));
    }
}

/// Probes go through the tunnel only if it carries what is for their target.
fn probe_target(tunnel: &Parsed<Tunnel>, remote: &[IpNet], sink: &mut Sink<'_>) {
    let PathProbe::Target(target) = tunnel.value.probe else { return };
    if !remote.iter().any(|net| net.contains(&target)) {
        let message = format!("remote-networks do not cover {target}: the tunnel carries no probes to it");
        let problem = Problem::new(Code::ConflictingKeys, tunnel.field("probe"), message);
        sink.error(
            problem.value(target.to_string()).fix("name an address behind the peer that answers pings"),
        );
    }
}

fn slow_cipher(tunnel: &Parsed<Tunnel>, bandwidth: u32, sink: &mut Sink<'_>) {
    let slow = matches!(tunnel.value.ipsec.encryption, Encryption::Des | Encryption::TripleDes);
    if slow && bandwidth >= FAST {
        let name = tunnel.value.ipsec.encryption.name();
        let message = format!("{name} is too slow for {bandwidth} Mbit/s");
        let problem = Problem::new(Code::SlowCipher, tunnel.field("ipsec"), message);
        sink.warn(problem.value(name).fix("use aes from 200 Mbit/s on"));
    }
}

/// Two tunnels between the same addresses with the same identities cannot be told apart by the responder, nor
/// two policy routes with the same networks.
pub(super) fn apart(
    connections: &[ParsedConnection],
    context: &Context<'_>,
    interfaces: &[Parsed<Interface>],
    sink: &mut Sink<'_>,
) {
    let mut tunnels: BTreeMap<(u16, IpAddr, IpAddr, String, String), String> = BTreeMap::new();
    let mut flows = BTreeMap::new();
    for parsed in connections {
        let connection = &parsed.connection.value;
        for (index, tunnel) in parsed.tunnels.iter().enumerate() {
            let local =
                context.gateway(&connection.vpn_gateway).and_then(|g| g.addresses.get(index)).copied();
            let remote = context.customers.get(&tunnel.value.customer_gateway).map(|c| c.ip);
            let (Some(local), Some(remote)) = (local, remote) else { continue };
            let vrf = outside_interface(interfaces, local).map_or(0, |i| i.vrf);
            let ids = (tunnel.value.local_id.to_string(), tunnel.value.remote_id.to_string());
            if let Some(first) = tunnels.insert((vrf, local, remote, ids.0, ids.1), tunnel.at.path.clone()) {
                let message = format!("{first} already joins {local} to {remote} with the same identities");
                let problem = Problem::new(Code::Duplicate, &tunnel.at, message);
                sink.error(
                    problem.fix("give one of them another local-id or remote-id, or use one connection"),
                );
            }
        }
        if connection.routing_mode != RoutingMode::ProtectedDataFlows {
            continue;
        }
        for flow in connection.flows() {
            if let Some(first) = flows.insert((connection.vrf, flow), connection.name.clone()) {
                let message = format!("connection {first} already carries {} to {}", flow.0, flow.1);
                let problem =
                    Problem::new(Code::Duplicate, parsed.connection.field("remote-networks"), message);
                sink.error(problem.fix("give one of them other networks, or another vrf"));
            }
        }
    }
}

/// A destination-mode connection to which no route leads carries nothing.
pub(super) fn reachable(connections: &[ParsedConnection], routes: &[Parsed<Route>], sink: &mut Sink<'_>) {
    for parsed in connections {
        let connection = &parsed.connection.value;
        let routed =
            routes.iter().any(|r| matches!(&r.value.via, Via::Connection(name) if *name == connection.name));
        if connection.routing_mode == RoutingMode::Destination && !routed && !connection.name.is_empty() {
            let problem =
                Problem::new(Code::NoRoute, &parsed.connection.at, "no route leads into the connection");
            let fix = format!(
                "add  [[route]]  with prefix = \"10.2.0.0/24\" and connection = \"{}\"",
                connection.name
            );
            sink.warn(problem.fix(fix));
        }
    }
}
