//! The plan of a document, object by object.

use super::*;
use crate::check;

const TEXT: &str = r#"
[[interface]]
name = "wan"
port = "p0"
role = "outside"
vrf = 1
addresses = ["192.0.2.1/24", "192.0.2.2/24"]
[[interface]]
name = "lan"
port = "p1"
vlan = 7
role = "inside"
vrf = 2
addresses = ["10.1.0.1/24"]
mtu = 9000
[vpn-gateway]
name = "tokyo"
addresses = ["192.0.2.1", "192.0.2.2"]
[[customer-gateway]]
name = "osaka"
ip = "198.51.100.1"
[[route]]
vrf = 1
prefix = "0.0.0.0/0"
via = "192.0.2.254"
[[route]]
vrf = 2
prefix = "10.9.0.0/16"
connection = "c1"
[[policy]]
action = "bypass"
vrf = 1
src = "192.0.2.1/32"
dst = "203.0.113.0/24"
protocol = "udp"
ports = 53
[[connection]]
name = "c1"
vrf = 2
routing-mode = "flows"
local-networks = ["10.1.0.0/24"]
remote-networks = ["10.2.0.0/24", "10.3.0.0/16"]
profile = "modern"
[[connection.tunnel]]
customer-gateway = "osaka"
psk = "x"
[[connection.tunnel]]
customer-gateway = "osaka"
psk = "x"
"#;

fn plan_of(text: &str) -> Plan {
    let report = check(text, "gw.toml");
    plan(report.desired.as_ref().unwrap_or_else(|| panic!("{report}")), &InterfaceIds::default())
}

#[test]
fn interfaces_and_addresses() {
    let plan = plan_of(TEXT).dataplane;
    let lan = InterfacePlan {
        id: 2,
        name: "lan".into(),
        port: "p1".into(),
        vlan: 7,
        role: Role::Inside,
        vrf: 2,
        mtu: 9000,
    };
    assert_eq!(plan.interfaces[1], lan);
    let addresses: Vec<String> =
        plan.addresses.iter().map(|a| format!("{} {}", a.interface, a.address)).collect();
    assert_eq!(addresses, ["1 192.0.2.1/24", "1 192.0.2.2/24", "2 10.1.0.1/24"]);
}

#[test]
fn tunnels_start_at_the_two_gateway_addresses() {
    let plan = plan_of(TEXT);
    let ends: Vec<String> = plan
        .tunnels
        .iter()
        .map(|t| format!("{} {}>{} vrf {}/{}", t.name(), t.local, t.remote, t.inner_vrf, t.outer_vrf))
        .collect();
    assert_eq!(ends, ["c1/1 192.0.2.1>198.51.100.1 vrf 2/1", "c1/2 192.0.2.2>198.51.100.1 vrf 2/1"]);
    assert_eq!(plan.dataplane.tunnels[0].id, plan.tunnels[0].id);
    assert_eq!(plan.dataplane.tunnels[1].connection, plan.tunnels[0].connection_id);
    assert_ne!(plan.tunnels[0].id, plan.tunnels[1].id);
}

#[test]
fn next_hops_and_routes() {
    let plan = plan_of(TEXT);
    let hop = |id: u32| plan.dataplane.next_hops.iter().find(|h| h.id == id).map(|h| h.kind.clone());
    let tunnels = NextHopKind::Tunnels(plan.tunnels.iter().map(|t| t.id).collect());
    let gateway = "192.0.2.254".parse().ok();
    let routes: Vec<_> =
        plan.dataplane.routes.iter().map(|r| (r.vrf, r.prefix.to_string(), r.source, r.next_hop)).collect();
    assert_eq!(routes[0], (1, "192.0.2.0/24".into(), RouteSource::System, None));
    assert_eq!(routes[1], (2, "10.1.0.0/24".into(), RouteSource::System, None));
    assert_eq!((routes[2].0, routes[2].1.as_str()), (1, "0.0.0.0/0"));
    assert_eq!(routes[2].3.and_then(hop), Some(NextHopKind::Interface { interface: 1, gateway }));
    assert_eq!(routes[3].3.and_then(hop), Some(tunnels.clone()));
    let policy: Vec<_> = plan
        .dataplane
        .policy_routes
        .iter()
        .map(|p| (p.vrf, p.priority, p.src.to_string(), p.dst.to_string(), hop(p.next_hop)))
        .collect();
    assert_eq!(policy[0], (2, 952, "10.1.0.0/24".into(), "10.2.0.0/24".into(), Some(tunnels.clone())));
    assert_eq!(policy[1], (2, 960, "10.1.0.0/24".into(), "10.3.0.0/16".into(), Some(tunnels)));
    let bypass = &plan.dataplane.policies[0];
    assert_eq!((bypass.vrf, bypass.protocol, bypass.dst_ports), (1, 17, (53, 53)));
}

#[test]
fn the_same_document_gives_the_same_plan() {
    assert_eq!(plan_of(TEXT), plan_of(TEXT));
}

#[test]
fn another_connection_changes_no_number() {
    let more = format!(
        "{TEXT}\n[[customer-gateway]]\nname = \"kyoto\"\nip = \"198.51.100.2\"\n[[connection]]\nname = \"a\"\n\
         profile = \"modern\"\n[[connection.tunnel]]\ncustomer-gateway = \"kyoto\"\npsk = \"y\"\n"
    );
    let (few, many) = (plan_of(TEXT), plan_of(&more));
    assert!(few.tunnels.iter().all(|t| many.tunnels.contains(t)));
    assert!(few.dataplane.next_hops.iter().all(|h| many.dataplane.next_hops.contains(h)));
}

#[test]
fn interfaces_keep_their_numbers_over_a_reload() {
    let first = plan_of(TEXT);
    let report = check(TEXT, "gw.toml");
    let mut desired = report.desired.unwrap_or_else(|| panic!("valid"));
    desired.interfaces.reverse();
    let second = plan(&desired, &first.interface_ids);
    assert_eq!(second.interface_ids, first.interface_ids);
    assert_eq!(second.dataplane.interfaces[0].id, 2);
}

#[test]
fn host_addresses_and_the_peers_beside_them() {
    let inner = r#"psk = "x"
inner-address = "169.254.10.6/30""#;
    let text = TEXT.replace("10.1.0.0/24\"]\nremote", "10.1.0.0/24\", \"169.254.10.0/24\"]\nremote");
    let text = text.replace("10.3.0.0/16", "169.254.10.0/24");
    let (before, last) = text.rsplit_once("psk = \"x\"").unwrap();
    let text = format!("{before}{inner}{last}\n[[host-address]]\naddress = \"10.9.9.9/32\"\n");
    let plan = plan_of(&text);
    let hosts: Vec<_> =
        plan.dataplane.host_addresses.iter().map(|host| (host.vrf, host.address.to_string())).collect();
    assert_eq!(hosts, [(0, "10.9.9.9/32".to_owned()), (2, "169.254.10.6/30".to_owned())]);
    let peer = "169.254.10.5/32".parse().unwrap();
    let route = plan.dataplane.routes.iter().find(|route| route.prefix == peer).unwrap();
    assert_eq!((route.vrf, route.source), (2, RouteSource::System));
    let hop = plan.dataplane.next_hops.iter().find(|hop| Some(hop.id) == route.next_hop).unwrap();
    assert_eq!(hop.kind, NextHopKind::Tunnels(vec![plan.tunnels[1].id]), "its own tunnel only");
}
