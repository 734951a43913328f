//! Rules between interfaces, addresses and static routes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::unique;
use crate::diagnostic::{Code, Problem, Sink};
use crate::document::{Parsed, ParsedConnection};
use crate::model::{Interface, Policy, Role, Route, Via};

/// Carrier-grade NAT space (RFC 6598), used by the service itself.
pub(super) fn service_range() -> IpNet {
    IpNet::V4(Ipv4Net::new_assert([100, 64, 0, 0].into(), 10))
}

/// Whether `net` takes part of the service range without being a default route.
pub(super) fn overlaps_service_range(net: &IpNet) -> bool {
    let range = service_range();
    range.contains(net) || (net.prefix_len() > 0 && net.contains(&range))
}

/// The most policies: every packet is compared with those of its VRF.
const MAX_POLICIES: usize = 1024;

/// There are not too many.
pub(super) fn policies(policies: &[Parsed<Policy>], sink: &mut Sink<'_>) {
    if let Some(first) = policies.get(MAX_POLICIES) {
        let message = format!("{} policies are more than {MAX_POLICIES}", policies.len());
        let problem = Problem::new(Code::OutOfRange, &first.at, message);
        sink.error(problem.fix("join networks, or let routes choose"));
    }
}

/// Names, places and addresses are unique.
pub(super) fn interfaces(interfaces: &[Parsed<Interface>], ports: Option<&[String]>, sink: &mut Sink<'_>) {
    unique(interfaces.iter().map(|i| (i.value.name.as_str(), i.field("name"))), sink);
    let mut places: BTreeMap<(&str, u16), &str> = BTreeMap::new();
    let mut addresses: BTreeMap<(u16, IpAddr), &str> = BTreeMap::new();
    for parsed in interfaces {
        let interface = &parsed.value;
        if let Some(ports) = ports
            && !interface.port.is_empty()
            && !ports.contains(&interface.port)
        {
            let message = format!("[dataplane] has no port {}", interface.port);
            let problem = Problem::new(Code::NotFound, parsed.field("port"), message).value(&*interface.port);
            sink.error(
                problem
                    .allowed(ports.join(", "))
                    .fix("name one of those, or add a [[dataplane.port]] of that name"),
            );
        }
        let place = (interface.port.as_str(), interface.vlan);
        if !interface.port.is_empty()
            && let Some(first) = places.insert(place, &interface.name)
        {
            let field = if parsed.gives("vlan") { "vlan" } else { "port" };
            let message =
                format!("VLAN {} of port {} already is interface {first}", interface.vlan, interface.port);
            let fix = "give one of them another vlan or port";
            sink.error(Problem::new(Code::Duplicate, parsed.field(field), message).fix(fix));
        }
        for net in &interface.addresses {
            if let Some(first) = addresses.insert((interface.vrf, net.addr()), &interface.name) {
                let message =
                    format!("{} is an address of {first} already, in VRF {}", net.addr(), interface.vrf);
                let problem = Problem::new(Code::Duplicate, parsed.field("addresses"), message);
                sink.error(problem.value(net.to_string()).fix("remove it from one of them, or change a vrf"));
            }
        }
    }
}

/// The outside interface that has `address`.
pub(super) fn outside_interface(interfaces: &[Parsed<Interface>], address: IpAddr) -> Option<&Interface> {
    interfaces
        .iter()
        .map(|i| &i.value)
        .find(|i| i.role == Role::Outside && i.addresses.iter().any(|net| net.addr() == address))
}

/// Next hops exist; a gateway gets the interface on whose network it is.
pub(super) fn routes(
    routes: &mut [Parsed<Route>],
    interfaces: &[Parsed<Interface>],
    connections: &[ParsedConnection],
    sink: &mut Sink<'_>,
) {
    let mut prefixes: BTreeMap<(u16, IpNet), String> = BTreeMap::new();
    for parsed in routes {
        next_hop(parsed, interfaces, connections, sink);
        let route = &parsed.value;
        if !parsed.gives("prefix") {
            continue;
        }
        if let Some(first) = prefixes.insert((route.vrf, route.prefix), parsed.at.path.clone()) {
            let message = format!("VRF {} has a route to {} already: {first}", route.vrf, route.prefix);
            let problem = Problem::new(Code::Duplicate, parsed.field("prefix"), message);
            sink.error(problem.value(route.prefix.to_string()).fix("remove one of them"));
        }
        if matches!(route.via, Via::Connection(_)) && overlaps_service_range(&route.prefix) {
            let message = format!("{} overlaps {}", route.prefix, service_range());
            let problem = Problem::new(Code::RouteOverlapsServiceRange, parsed.field("prefix"), message);
            sink.error(problem.value(route.prefix.to_string()).fix("route a prefix outside that range"));
        }
    }
}

fn next_hop(
    parsed: &mut Parsed<Route>,
    interfaces: &[Parsed<Interface>],
    connections: &[ParsedConnection],
    sink: &mut Sink<'_>,
) {
    let vrf = parsed.value.vrf;
    let names = || interfaces.iter().map(|i| i.value.name.as_str());
    match parsed.value.via.clone() {
        Via::Discard => {}
        Via::Gateway { address, .. } if address.is_ipv4() != parsed.value.prefix.addr().is_ipv4() => {
            let message =
                format!("{address} is no router for {}: they are of two families", parsed.value.prefix);
            let problem = Problem::new(Code::ConflictingKeys, parsed.field("via"), message);
            sink.error(problem.fix("give a router of the prefix's family"));
        }
        Via::Gateway { interface, address } => {
            let candidates = interfaces.iter().map(|i| &i.value).filter(|i| {
                i.vrf == vrf && (interface.is_empty() || i.name == interface) && on_link(i, address)
            });
            match candidates.map(|i| i.name.clone()).next() {
                Some(interface) => parsed.value.via = Via::Gateway { interface, address },
                None => {
                    let place = if interface.is_empty() { "an interface".to_owned() } else { interface };
                    let message = format!("{address} is on no network of {place} in VRF {vrf}");
                    let fix = "give the address of a router on a connected network of that VRF";
                    let at = parsed.field("via");
                    sink.error(Problem::new(Code::NotFound, at, message).value(address.to_string()).fix(fix));
                }
            }
        }
        Via::Interface(name) => {
            let found = interfaces.iter().find(|i| i.value.name == name).map(|i| i.value.vrf);
            match found {
                None => not_found(parsed, "interface", &name, names(), sink),
                Some(other) if other != vrf => other_vrf(parsed, "interface", &name, other, sink),
                Some(_) => {}
            }
        }
        Via::Connection(name) => {
            let connection = |c: &ParsedConnection| c.connection.value.name == name;
            match connections.iter().find(|c| connection(c)).map(|c| c.connection.value.vrf) {
                None => {
                    let names = connections.iter().map(|c| c.connection.value.name.as_str());
                    not_found(parsed, "connection", &name, names, sink);
                }
                Some(other) if other != vrf => other_vrf(parsed, "connection", &name, other, sink),
                Some(_) => {}
            }
        }
    }
}

fn on_link(interface: &Interface, address: IpAddr) -> bool {
    interface.addresses.iter().any(|net| net.contains(&address) && net.addr() != address)
}

fn not_found<'a>(
    route: &Parsed<Route>,
    field: &'static str,
    name: &str,
    names: impl Iterator<Item = &'a str>,
    sink: &mut Sink<'_>,
) {
    let known: Vec<&str> = names.collect();
    let problem = Problem::new(Code::NotFound, route.field(field), format!("there is no {field} {name}"));
    sink.error(problem.value(name).allowed(known.join(", ")).fix("name one of those, or add it"));
}

fn other_vrf(route: &Parsed<Route>, field: &'static str, name: &str, other: u16, sink: &mut Sink<'_>) {
    let message = format!("the route is in VRF {}, but {field} {name} is in VRF {other}", route.value.vrf);
    sink.error(
        Problem::new(Code::ConflictingKeys, route.field(field), message).fix(format!("add  vrf = {other}")),
    );
}
