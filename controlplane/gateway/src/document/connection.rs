//! `[[connection]]` and `[[connection.tunnel]]`.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};

use super::authentication::{self, identity};
use super::labels::labels;
use super::network::{any, interface_address, vrf};
use super::reader::{Reader, one_or_many};
use super::suite::{self, Profile};
use super::value::Value;
use super::{Parsed, ParsedConnection};
use crate::diagnostic::{Code, Problem, Sink};
use crate::model::{
    Connection, Df, Dpd, Encapsulation, Fragmentation, Identity, PathProbe, Policer, RoutingMode, Tunnel,
    same_family,
};

/// Keys of later versions.
const LATER: &[&str] = &[
    "bgp",
    "enable-bgp",
    "local-asn",
    "health-check",
    "transit-router",
    "attachment",
    "ecmp",
    "weight",
    "tunnel-cidr",
    "local-bgp-ip",
    "role",
    "on-tunnel-loss",
];

pub(super) fn connection(mut reader: Reader<'_>, sink: &mut Sink<'_>) -> ParsedConnection {
    let name = reader.require(&["name"], "\"tokyo-osaka\"", sink).and_then(|v| v.name(sink));
    let vpn_gateway = reader.take(&["vpn-gateway", "gateway"], sink).and_then(|v| v.reference(sink));
    let modes = [
        ("destination", RoutingMode::Destination),
        ("destination-routing", RoutingMode::Destination),
        ("protected-data-flows", RoutingMode::ProtectedDataFlows),
        ("flow-protection", RoutingMode::ProtectedDataFlows),
        ("flows", RoutingMode::ProtectedDataFlows),
    ];
    let routing_mode = reader.take(&["routing-mode"], sink).and_then(|v| v.word(&modes, sink));
    let mut local_networks =
        networks(&mut reader, &["local-networks", "local-network", "local-subnet"], sink);
    let mut remote_networks =
        networks(&mut reader, &["remote-networks", "remote-network", "remote-subnet"], sink);
    if local_networks.is_empty() {
        local_networks = all_like(&remote_networks);
    }
    if remote_networks.is_empty() {
        remote_networks = all_like(&local_networks);
    }
    let immediately = &["effective-immediately", "apply-immediately", "effect-immediately"];
    let effective_immediately = reader.take(immediately, sink).and_then(|v| v.flag(sink));
    let vrf = vrf(&mut reader, sink);
    let encapsulation = encapsulation(&mut reader, sink);
    let labels = labels(&mut reader, sink);
    let policer = reader.take(&["policer"], sink).and_then(|v| policer(&v, sink));
    let profiles = [("modern", Profile::Modern), ("classic", Profile::Classic)];
    let profile = reader.take(&["profile"], sink).and_then(|v| v.word(&profiles, sink));
    let profile = profile.unwrap_or(Profile::Classic);
    let dpd = reader.take(&["compat"], sink).and_then(|v| v.word(&COMPAT, sink)).unwrap_or(DPD);
    let tunnels = reader.each("tunnel", sink, |tunnel, sink| self::tunnel(tunnel, profile, dpd, sink));
    let value = Connection {
        name: name.unwrap_or_default(),
        vpn_gateway: vpn_gateway.unwrap_or_default(),
        routing_mode: routing_mode.unwrap_or(RoutingMode::Destination),
        local_networks,
        remote_networks,
        effective_immediately: effective_immediately.unwrap_or(true),
        vrf,
        encapsulation,
        policer,
        labels,
        tunnels: Vec::new(),
    };
    ParsedConnection { connection: reader.parsed(value, LATER, sink), tunnels }
}

/// The networks of a side; none where the key is absent.
fn networks(reader: &mut Reader<'_>, names: &[&'static str], sink: &mut Sink<'_>) -> Vec<IpNet> {
    let Some(value) = reader.take(names, sink) else { return Vec::new() };
    let items = one_or_many(value);
    let mut networks: Vec<IpNet> = Vec::new();
    for item in items {
        let Some(net) = item.network(sink) else { continue };
        if networks.contains(&net) {
            sink.error(item.problem(Code::Duplicate, format!("{net} is listed twice")).fix("remove one"));
        } else {
            networks.push(net);
        }
    }
    networks
}

/// Everything in the families of `other`; 0.0.0.0/0 where that says nothing either.
fn all_like(other: &[IpNet]) -> Vec<IpNet> {
    let mut all = vec![any()];
    if other.iter().any(|net| net.addr().is_ipv6()) {
        all.push(IpNet::V6(Ipv6Net::default()));
        all.retain(|everything| other.iter().any(|net| same_family(net, everything)));
    }
    all
}

fn encapsulation(reader: &mut Reader<'_>, sink: &mut Sink<'_>) -> Encapsulation {
    let mut number = |name: &'static str, range, sink: &mut Sink<'_>| -> Option<u16> {
        reader.take(&[name], sink).and_then(|v| v.number(range, "bytes", Code::OutOfRange, sink))
    };
    let mtu = number("mtu", (576, 9_216), sink).unwrap_or(0);
    let mss = number("mss", (216, 9_176), sink).unwrap_or(0);
    let df = [("copy", Df::Copy), ("set", Df::Set), ("clear", Df::Clear)];
    let df = reader.take(&["df"], sink).and_then(|v| v.word(&df, sink)).unwrap_or(Df::Copy);
    let words = [("before", Fragmentation::Before), ("after", Fragmentation::After)];
    let fragmentation = reader.take(&["fragmentation"], sink).and_then(|v| v.word(&words, sink));
    let dscp = reader.take(&["dscp"], sink).and_then(|value| match value.as_text() {
        Some("copy") => None,
        _ => value.number((0, 63), "", Code::OutOfRange, sink),
    });
    let fragmentation = fragmentation.unwrap_or(Fragmentation::Before);
    Encapsulation { mtu, mss, df, fragmentation, dscp }
}

/// How long a policer's bucket fills where the document does not say, milliseconds.
const BURST: u32 = 100;

/// `false`, or `{ bandwidth = 1000, pps = 120000, burst = 100 }` with one of the first two at least.
fn policer(value: &Value<'_>, sink: &mut Sink<'_>) -> Option<Policer> {
    if !value.is_table() && value.flag(sink) == Some(false) {
        return None;
    }
    let mut reader = value.table(sink)?;
    let mut number = |names, range, unit| {
        reader.take(names, sink).map(|v| v.number::<u32>(range, unit, Code::OutOfRange, sink))
    };
    let bandwidth = number(&["bandwidth"], (1, 400_000), "Mbit/s");
    let pps = number(&["pps", "packets-per-second"], (10, 1_000_000_000), "packets/s");
    let burst = number(&["burst"], (1, 10_000), "ms").flatten().unwrap_or(BURST);
    reader.finish(&[], sink);
    if bandwidth.is_none() && pps.is_none() {
        let problem = Problem::new(Code::MissingKey, value.at(), "the policer has no limit");
        sink.error(problem.fix("add  bandwidth = 1000  (Mbit/s) or  pps = 120000"));
    }
    Some(Policer { bandwidth: bandwidth.flatten(), pps: pps.flatten(), burst })
}

/// `profile` and `standard` say what holds where the tunnel does not.
fn tunnel(mut reader: Reader<'_>, profile: Profile, standard: Dpd, sink: &mut Sink<'_>) -> Parsed<Tunnel> {
    let customer = reader.require(&["customer-gateway"], "\"osaka\"", sink).and_then(|v| v.reference(sink));
    let auth = authentication::proofs(&mut reader, sink);
    let local_id = reader.take(&["local-id"], sink).and_then(|v| identity(&v, sink));
    let remote_id = reader.take(&["remote-id"], sink).and_then(|v| identity(&v, sink));
    let at = reader.at().clone();
    let table = reader.table("ike", sink);
    let ike = suite::ike(table, &at, profile, sink);
    let table = reader.table("ipsec", sink);
    let ipsec = suite::ipsec(table, &at, profile, ike.version, sink);
    let dpd = reader.take(&["dpd"], sink);
    let dpd = dpd.map_or(Some(standard), |v| dpd_of(&v, standard, sink));
    let nat = reader.take(&["nat-traversal", "nat-t"], sink).and_then(|v| v.flag(sink));
    let fragments = reader.take(&["ike-fragments"], sink);
    let fragments = fragments.map_or(Some(FRAGMENTS), |v| fragments_of(&v, sink));
    let inner_address = reader.take(&["inner-address"], sink).and_then(|v| interface_address(&v, sink));
    let probe = reader.take(&["probe"], sink);
    let probe = probe.map_or(PathProbe::InnerPeer, |v| path_probe(&v, sink));
    let placeholder = Identity::Address(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let value = Tunnel {
        customer_gateway: customer.unwrap_or_default(),
        auth,
        local_id: local_id.unwrap_or_else(|| placeholder.clone()),
        remote_id: remote_id.unwrap_or(placeholder),
        ike,
        ipsec,
        dpd,
        nat_traversal: nat.unwrap_or(true),
        fragments,
        inner_address,
        probe,
    };
    reader.parsed(value, LATER, sink)
}

/// Latest standard (DPD-03).
const DPD: Dpd = Dpd { timeout: Duration::from_secs(30) };

/// What gateways of a year did, for peers that still expect it (requirement C-1).
const COMPAT: [(&str, Dpd); 2] = [
    ("2023", Dpd { timeout: Duration::from_secs(130) }),
    ("2019", Dpd { timeout: Duration::from_secs(3600) }),
];

/// IP packets of this size pass every path of IPv6 (RFC 7383 section 2.5.1).
const FRAGMENTS: u16 = 1280;

/// `true`, `false`, or the size of the IP packets, bytes.
fn fragments_of(value: &Value<'_>, sink: &mut Sink<'_>) -> Option<u16> {
    match value.as_flag() {
        Some(enabled) => enabled.then_some(FRAGMENTS),
        None => Some(value.number((576, 9216), "bytes", Code::OutOfRange, sink).unwrap_or(FRAGMENTS)),
    }
}

/// `true`, `false`, or `{ timeout = 30 }`.
fn dpd_of(value: &Value<'_>, standard: Dpd, sink: &mut Sink<'_>) -> Option<Dpd> {
    if !value.is_table() {
        return value.flag(sink).unwrap_or(true).then_some(standard);
    }
    let mut reader = value.table(sink)?;
    let enabled = reader.take(&["enabled", "enable"], sink).and_then(|v| v.flag(sink)).unwrap_or(true);
    let timeout = reader.take(&["timeout"], sink);
    let timeout = timeout.and_then(|v| v.number((10, 3600), "seconds", Code::OutOfRange, sink));
    reader.finish(&["interval", "action"], sink);
    let timeout = timeout.map_or(standard.timeout, Duration::from_secs);
    enabled.then_some(Dpd { timeout })
}

/// `true`, `false`, or `{ target = "10.2.0.1" }`.
fn path_probe(value: &Value<'_>, sink: &mut Sink<'_>) -> PathProbe {
    if !value.is_table() {
        return if value.flag(sink) == Some(false) { PathProbe::Off } else { PathProbe::InnerPeer };
    }
    let Some(mut reader) = value.table(sink) else { return PathProbe::InnerPeer };
    let enabled = reader.take(&["enabled", "enable"], sink).and_then(|v| v.flag(sink)).unwrap_or(true);
    let target = reader.take(&["target"], sink).and_then(|v| v.address(sink));
    reader.finish(&[], sink);
    match target {
        _ if !enabled => PathProbe::Off,
        Some(target) => PathProbe::Target(target),
        None => PathProbe::InnerPeer,
    }
}
