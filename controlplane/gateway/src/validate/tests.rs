//! Every error and warning, by a document that has it; the document without it has none.

mod ipv6;

use crate::algorithm::{Authentication, DhGroup, Encryption};
use crate::model::{
    Df, Dpd, Identity, Ike, IkeVersion, Ipsec, Policer, PolicyAction, PolicyDirection, PskSource, Role,
    RoutingMode, Via,
};
use crate::{Code, Desired, Diagnostic, Report, check};
use std::time::Duration;

/// Valid, and without a warning.
const GOOD: &str = r#"
[dataplane]
socket = "/tmp/dp.sock"
[[dataplane.port]]
name = "p0"
[[dataplane.port]]
name = "p1"

[[interface]]
name = "wan"
port = "p0"
role = "outside"
vrf = 1
addresses = ["192.0.2.1/24", "192.0.2.2/24"]

[[interface]]
name = "lan"
port = "p1"
role = "inside"
addresses = ["10.1.0.1/24"]

[vpn-gateway]
name = "tokyo"
bandwidth = 500
addresses = ["192.0.2.1", "192.0.2.2"]

[[customer-gateway]]
name = "osaka"
ip = "198.51.100.1"

[[route]]
vrf = 1
prefix = "0.0.0.0/0"
via = "192.0.2.254"

[[connection]]
name = "c1"
routing-mode = "protected-data-flows"
local-networks = ["10.1.0.0/24"]
remote-networks = ["10.2.0.0/24"]
profile = "modern"

[[connection.tunnel]]
customer-gateway = "osaka"
psk-file = "c1.psk"

[[connection.tunnel]]
customer-gateway = "osaka"
psk-file = "c1.psk"
"#;

/// The document with `from` replaced by `to`, once.
fn with(from: &str, to: &str) -> Report {
    assert!(GOOD.contains(from), "{from:?} is not in the document");
    check(&GOOD.replacen(from, to, 1), "gw.toml")
}

fn with_line(line: &str, after: &str) -> Report {
    with(after, &format!("{after}\n{line}"))
}

/// A line in the first tunnel.
fn tunnel(line: &str) -> Report {
    with_line(line, "psk-file = \"c1.psk\"")
}

/// A line in the connection.
fn connection(line: &str) -> Report {
    with_line(line, "profile = \"modern\"")
}

fn desired(report: &Report) -> &Desired {
    report.desired.as_ref().unwrap_or_else(|| panic!("{report}"))
}

/// The only error, which must have this code and path.
#[track_caller]
fn error<'a>(report: &'a Report, code: Code, path: &str) -> &'a Diagnostic {
    assert!(report.desired.is_none(), "accepted\n{report}");
    let [error] = &report.errors[..] else { panic!("one error expected\n{report}") };
    assert_eq!((error.code, error.path.as_str()), (code, path), "{report}");
    error
}

#[track_caller]
fn warning<'a>(report: &'a Report, code: Code, path: &str) -> &'a Diagnostic {
    assert!(report.desired.is_some(), "refused\n{report}");
    let found = report.warnings.iter().find(|w| w.code == code && w.path == path);
    found.unwrap_or_else(|| panic!("no {code} at {path}\n{report}"))
}

#[test]
fn the_good_document_has_no_problem() {
    let report = check(GOOD, "gw.toml");
    assert_eq!(report.diagnostics().count(), 0, "{report}");
    let desired = desired(&report);
    assert_eq!(desired.control.dataplane_socket.to_str(), Some("/tmp/dp.sock"));
    assert_eq!(desired.connections[0].vpn_gateway, "tokyo");
    assert!(matches!(&desired.routes[0].via, Via::Gateway { interface, .. } if interface == "wan"));
    assert_eq!(desired.interfaces[0].role, Role::Outside);
}

#[test]
fn the_example_is_valid() {
    let report = check(include_str!("../../../../docs/examples/two-sites.toml"), "two-sites.toml");
    assert!(report.desired.is_some(), "{report}");
    let codes: Vec<Code> = report.warnings.iter().map(|w| w.code).collect();
    assert_eq!(codes, [Code::OneTunnelOnly]);
}

#[test]
fn an_error_says_where_and_what_to_do() {
    let report = tunnel("ike = { lifetime = 90_000 }");
    let e = error(&report, Code::LifetimeOutOfRange, "connection[0].tunnel[0].ike.lifetime");
    assert_eq!((e.file.as_str(), e.line, e.column), ("gw.toml", 46, 20));
    assert_eq!(e.value.as_deref(), Some("90000"));
    assert_eq!(e.allowed.as_deref(), Some("0 to 86400 seconds"));
    assert!(e.fix.is_some());
}

#[test]
fn every_error_is_reported_in_one_run() {
    let text = GOOD
        .replace("role = \"inside\"", "role = \"between\"")
        .replace("bandwidth = 500", "bandwith = 500")
        .replace("198.51.100.1", "198.51.100.256")
        .replace("10.2.0.0/24", "10.2.0.1/24");
    let report = check(&text, "gw.toml");
    let codes: Vec<Code> = report.errors.iter().map(|e| e.code).collect();
    assert_eq!(codes, [Code::UnknownValue, Code::UnknownKey, Code::Malformed, Code::Malformed]);
    assert_eq!(report.errors[1].fix.as_deref(), Some("did you mean bandwidth?"));
    assert!(report.errors.is_sorted_by_key(|e| e.line));
}

#[test]
fn syntax() {
    let report = with("name = \"tokyo\"", "name = tokyo");
    assert_eq!(report.errors[0].code, Code::Syntax, "{report}");
    assert_eq!(report.errors[0].line, 23);
}

#[test]
fn keys() {
    error(&connection("colour = \"red\""), Code::UnknownKey, "connection[0].colour");
    error(&connection("Routing_Mode = \"flows\""), Code::DuplicateKey, "connection[0].routing-mode");
    error(
        &with("customer-gateway = \"osaka\"\n", ""),
        Code::MissingKey,
        "connection[0].tunnel[0].customer-gateway",
    );
    error(&tunnel("psk = \"x\""), Code::ConflictingKeys, "connection[0].tunnel[0].psk");
    error(&with("psk-file = \"c1.psk\"\n", ""), Code::MissingKey, "connection[0].tunnel[0]");
    error(&connection("effective-immediately = 3"), Code::WrongType, "connection[0].effective-immediately");
    error(&with_line("mtu = 100", "port = \"p0\""), Code::OutOfRange, "interface[0].mtu");
    error(&with_line("vlan = 4095", "port = \"p0\""), Code::OutOfRange, "interface[0].vlan");
}

#[test]
fn what_comes_later_says_so() {
    for line in ["bgp = {}", "health-check = {}", "tags = {}", "enable-bgp = true"] {
        let report = connection(line);
        let key = line.split(' ').next().unwrap_or_default();
        error(&report, Code::NotYet, &format!("connection[0].{key}"));
    }
    error(&tunnel("ike = { version = \"ikev1\" }"), Code::NotYet, "connection[0].tunnel[0].ike.version");
}

#[test]
fn aliases_are_understood() {
    let report = with("routing-mode = \"protected-data-flows\"", "routing_mode = \"Flow Protection\"");
    assert_eq!(desired(&report).connections[0].routing_mode, RoutingMode::ProtectedDataFlows);
    let report = connection("Apply-Immediately = \"no\"");
    assert!(!desired(&report).connections[0].effective_immediately);
}

#[test]
fn multi_cidr_needs_ikev2() {
    let two = "local-networks = [\"10.1.0.0/24\", \"10.3.0.0/24\"]";
    assert!(with("local-networks = [\"10.1.0.0/24\"]", two).desired.is_some());
    let text = GOOD.replace("local-networks = [\"10.1.0.0/24\"]", two).replacen(
        "psk-file = \"c1.psk\"",
        "psk-file = \"c1.psk\"\nike = { version = \"ikev1\" }",
        1,
    );
    let report = check(&text, "gw.toml");
    assert!(report.errors.iter().any(|e| e.code == Code::MultiCidrNeedsIkev2), "{report}");
}

#[test]
fn flows_need_both_networks() {
    let report = with("local-networks = [\"10.1.0.0/24\"]\n", "");
    error(&report, Code::FlowsNeedBothNetworks, "connection[0].routing-mode");
    let destination = GOOD
        .replace("protected-data-flows", "destination")
        .replace("local-networks = [\"10.1.0.0/24\"]\n", "");
    let report = check(&destination, "gw.toml");
    warning(&report, Code::NoRoute, "connection[0]");
    assert_eq!(desired(&report).connections[0].local_networks[0].to_string(), "0.0.0.0/0");
    let routed = format!("{destination}\n[[route]]\nprefix = \"10.2.0.0/24\"\nconnection = \"c1\"\n");
    assert_eq!(check(&routed, "gw.toml").diagnostics().count(), 0);
}

#[test]
fn asn() {
    let asn = |text: &str| with_line(&format!("asn = {text}"), "ip = \"198.51.100.1\"");
    for (text, value) in [("45104", 45_104), ("4294967295", u32::MAX), ("\"123.456\"", 8_061_384)] {
        assert_eq!(desired(&asn(text)).customer_gateways["osaka"].asn, Some(value));
    }
    for text in ["0", "4294967296", "\"0.0\"", "-1", "\"x\""] {
        error(&asn(text), Code::AsnOutOfRange, "customer-gateway[0].asn");
    }
    for text in ["\"1.65536\"", "\"65536.1\"", "\"1.2.3\""] {
        error(&asn(text), Code::AsdotPartOutOfRange, "customer-gateway[0].asn");
    }
}

#[test]
fn psk() {
    let psk = |text: &str| with("psk-file = \"c1.psk\"", &format!("psk = '{text}'"));
    let path = "connection[0].tunnel[0].psk";
    let report = psk("sesame");
    assert!(matches!(&desired(&report).connections[0].tunnels[0].psk, PskSource::Inline(_)));
    assert!(psk(&"x".repeat(100)).desired.is_some());
    error(&psk(""), Code::PskLength, path);
    let long = psk(&"secret".repeat(17));
    let e = error(&long, Code::PskLength, path);
    assert!(e.value.is_none() && e.excerpt.is_none());
    assert!(!long.to_string().contains("secretsecret"), "{long}");
    for text in ["open sesame", "open\"sesame", "öffne"] {
        let report = psk(text);
        error(&report, Code::PskCharset, path);
        assert!(!report.to_string().contains(text), "{report}");
    }
    let number = with("psk-file = \"c1.psk\"", "psk = 123454321");
    error(&number, Code::WrongType, path);
    assert!(!number.to_string().contains("123454321"), "{number}");
}

#[test]
fn identities() {
    let id = |text: &str| tunnel(&format!("local-id = \"{text}\""));
    let path = "connection[0].tunnel[0].local-id";
    assert_eq!(
        desired(&id("gw.example.com")).connections[0].tunnels[0].local_id.to_string(),
        "gw.example.com"
    );
    assert!(id(&"x".repeat(100)).desired.is_some());
    error(&id("a b"), Code::IdHasSpace, path);
    error(&id(&"x".repeat(101)), Code::IdTooLong, path);
    error(&id(""), Code::Malformed, path);
    let plain = check(GOOD, "gw.toml");
    let tunnels = &desired(&plain).connections[0].tunnels;
    assert_eq!(tunnels[1].local_id, Identity::Address("192.0.2.2".parse().expect("ip")));
    assert_eq!(tunnels[1].remote_id, Identity::Address("198.51.100.1".parse().expect("ip")));
}

#[test]
fn lifetimes() {
    for phase in ["ike", "ipsec"] {
        let lifetime = |secs: &str| tunnel(&format!("{phase} = {{ lifetime = {secs} }}"));
        let path = format!("connection[0].tunnel[0].{phase}.lifetime");
        assert_eq!(lifetime("86400").diagnostics().count(), 0);
        warning(&lifetime("0"), Code::LifetimeZero, &path);
        error(&lifetime("-1"), Code::LifetimeOutOfRange, &path);
        error(&lifetime("86401"), Code::LifetimeOutOfRange, &path);
        error(&lifetime("99999999999999999999999"), Code::LifetimeOutOfRange, &path);
    }
}

#[test]
fn algorithms() {
    let report = tunnel("ipsec = { encryption = \"rot13\" }");
    let e = error(&report, Code::UnknownAlgorithm, "connection[0].tunnel[0].ipsec.encryption");
    let allowed = e.allowed.as_deref().expect("a list");
    assert!(allowed.starts_with("aes, aes192, aes256, des, 3des, aes128gcm16, aes192gcm16, "), "{allowed}");
    assert!(allowed.ends_with("aes256gmac, chacha20poly1305"), "{allowed}");
    let report = tunnel("ike = { encryption = \"chacha20poly1305\" }");
    let e = error(&report, Code::UnknownAlgorithm, "connection[0].tunnel[0].ike.encryption");
    assert_eq!(
        e.allowed.as_deref(),
        Some("aes, aes192, aes256, des, 3des, aes128gcm16, aes192gcm16, aes256gcm16")
    );
    error(
        &tunnel("ike = { dh-group = \"group3\" }"),
        Code::UnknownAlgorithm,
        "connection[0].tunnel[0].ike.dh-group",
    );
    let guomi = tunnel("ike = { encryption = \"sm4\" }");
    error(&guomi, Code::GuomiNeedsIkev1, "connection[0].tunnel[0].ike.encryption");
    let report = tunnel("ipsec = { pfs = \"disabled\", esn = false, replay-window = 64 }");
    let ipsec = desired(&report).connections[0].tunnels[0].ipsec;
    assert_eq!((ipsec.pfs, ipsec.esn, ipsec.replay_window), (None, false, 64));
    error(
        &tunnel("ipsec = { replay-window = 31 }"),
        Code::OutOfRange,
        "connection[0].tunnel[0].ipsec.replay-window",
    );
}

#[test]
fn the_defaults_are_those_of_the_requirements_and_are_linted() {
    let report = with("profile = \"modern\"\n", "");
    let day = Duration::from_secs(86_400);
    let tunnel = &desired(&report).connections[0].tunnels[0];
    let ike = Ike {
        version: IkeVersion::V2,
        encryption: Encryption::Aes128Cbc,
        authentication: Authentication::Sha1,
        dh_group: DhGroup::Modp1024,
        lifetime: day,
    };
    let ipsec = Ipsec {
        encryption: Encryption::Aes128Cbc,
        authentication: Authentication::Sha1,
        pfs: Some(DhGroup::Modp1024),
        lifetime: day,
        esn: false,
        replay_window: 1024,
    };
    assert_eq!((tunnel.ike, tunnel.ipsec), (ike, ipsec));
    assert_eq!(tunnel.dpd, Some(Dpd { timeout: Duration::from_secs(30) }));
    assert!(tunnel.nat_traversal && desired(&report).connections[0].effective_immediately);
    let w = warning(&report, Code::WeakAlgorithm, "connection[0].tunnel[0].ike.dh-group");
    assert_eq!(w.message, "dh-group is left out, and its default group2 is weak");
    warning(&report, Code::WeakAlgorithm, "connection[0].tunnel[1].ipsec.authentication");
}

#[test]
fn weak_values_are_linted() {
    for (phase, key, value) in [
        ("ike", "encryption", "des"),
        ("ike", "authentication", "md5"),
        ("ike", "dh-group", "group5"),
        ("ipsec", "encryption", "3des"),
        ("ipsec", "pfs", "group1"),
    ] {
        let report = tunnel(&format!("{phase} = {{ {key} = \"{value}\" }}"));
        warning(&report, Code::WeakAlgorithm, &format!("connection[0].tunnel[0].{phase}.{key}"));
    }
    let slow = tunnel("ipsec = { encryption = \"3des\", authentication = \"sha256\" }");
    warning(&slow, Code::SlowCipher, "connection[0].tunnel[0].ipsec");
    let text = GOOD.replace("bandwidth = 500", "bandwidth = 199").replacen(
        "psk-file = \"c1.psk\"",
        "psk-file = \"c1.psk\"\nipsec = { encryption = \"3des\" }",
        1,
    );
    assert!(!check(&text, "gw.toml").warnings.iter().any(|w| w.code == Code::SlowCipher));
    let aead = tunnel("ipsec = { authentication = \"sha256\" }");
    warning(&aead, Code::NoEffect, "connection[0].tunnel[0].ipsec.authentication");
    warning(&tunnel("ike = { mode = \"aggressive\" }"), Code::NoEffect, "connection[0].tunnel[0].ike.mode");
}

#[test]
fn tunnels_are_one_or_two() {
    let second = "\n[[connection.tunnel]]\ncustomer-gateway = \"osaka\"\npsk-file = \"c1.psk\"\n";
    let start = GOOD.find("\n[[connection.tunnel]]").expect("tunnels");
    error(&check(&GOOD[..start], "gw.toml"), Code::TwoTunnelsRequired, "connection[0]");
    let one = format!("{}{second}", &GOOD[..start]);
    warning(&check(&one, "gw.toml"), Code::OneTunnelOnly, "connection[0].tunnel[0]");
    let report = check(&format!("{GOOD}{second}"), "gw.toml");
    error(&report, Code::TwoTunnelsRequired, "connection[0].tunnel[2]");
    let report = with("addresses = [\"192.0.2.1\", \"192.0.2.2\"]", "addresses = [\"192.0.2.1\"]");
    error(&report, Code::AddressNotOurs, "connection[0].tunnel[1]");
}

#[test]
fn different_psks_are_linted() {
    let keys = |a: &str, b: &str| {
        let text = GOOD.replacen("psk-file = \"c1.psk\"", &format!("psk = \"{a}\""), 1);
        check(&text.replacen("psk-file = \"c1.psk\"", &format!("psk = \"{b}\""), 1), "gw.toml")
    };
    assert_eq!(keys("x", "x").diagnostics().count(), 0);
    warning(&keys("x", "y"), Code::PsksDiffer, "connection[0].tunnel[1].psk");
}

#[test]
fn the_service_range() {
    let report = with("10.2.0.0/24", "100.64.1.0/24");
    warning(&report, Code::RouteOverlapsServiceRange, "connection[0].remote-networks");
    let route = |prefix: &str| {
        check(&format!("{GOOD}\n[[route]]\nprefix = \"{prefix}\"\nconnection = \"c1\"\n"), "gw.toml")
    };
    assert!(route("10.9.0.0/16").desired.is_some());
    assert!(route("0.0.0.0/0").desired.is_some());
    error(&route("100.100.0.0/16"), Code::RouteOverlapsServiceRange, "route[1].prefix");
    error(&route("100.0.0.0/8"), Code::RouteOverlapsServiceRange, "route[1].prefix");
}

#[test]
fn references() {
    let report = with("customer-gateway = \"osaka\"", "customer-gateway = \"kyoto\"");
    let e = error(&report, Code::NotFound, "connection[0].tunnel[0].customer-gateway");
    assert_eq!(e.allowed.as_deref(), Some("osaka"));
    error(&connection("vpn-gateway = \"kyoto\""), Code::NotFound, "connection[0].vpn-gateway");
    error(&with("port = \"p1\"", "port = \"p2\""), Code::NotFound, "interface[1].port");
    error(&with("via = \"192.0.2.254\"", "via = \"203.0.113.1\""), Code::NotFound, "route[0].via");
    error(&with("via = \"192.0.2.254\"", "connection = \"c2\""), Code::NotFound, "route[0].connection");
    error(
        &with("via = \"192.0.2.254\"", "connection = \"c1\""),
        Code::ConflictingKeys,
        "route[0].connection",
    );
    error(&with("via = \"192.0.2.254\"", "interface = \"lan\""), Code::ConflictingKeys, "route[0].interface");
    error(&with("via = \"192.0.2.254\"\n", ""), Code::MissingKey, "route[0]");
    let both = "via = \"192.0.2.254\"\ndiscard = true";
    error(&with("via = \"192.0.2.254\"", both), Code::ConflictingKeys, "route[0]");
    let elsewhere =
        with("addresses = [\"192.0.2.1\", \"192.0.2.2\"]", "addresses = [\"192.0.2.1\", \"10.1.0.1\"]");
    error(&elsewhere, Code::AddressNotOurs, "vpn-gateway.addresses");
}

#[test]
fn duplicates() {
    let again = |text: &str| check(&format!("{GOOD}\n{text}"), "gw.toml");
    let lan = "[[interface]]\nname = \"dmz\"\nport = \"p1\"\nrole = \"inside\"\n";
    error(&again(lan), Code::Duplicate, "interface[2].port");
    assert!(again(&format!("{lan}vlan = 5\n")).desired.is_some());
    let address = format!("{lan}vlan = 5\naddresses = [\"10.1.0.1/25\"]\n");
    error(&again(&address), Code::Duplicate, "interface[2].addresses");
    let osaka = "[[customer-gateway]]\nname = \"osaka\"\nip = \"198.51.100.2\"\n";
    error(&again(osaka), Code::Duplicate, "customer-gateway[1].name");
    let route = "[[route]]\nvrf = 1\nprefix = \"0.0.0.0/0\"\ndiscard = true\n";
    error(&again(route), Code::Duplicate, "route[1].prefix");
    let twin = GOOD[GOOD.find("[[connection]]").expect("a connection")..].replace("\"c1\"", "\"c2\"");
    let report = again(&twin);
    let codes: Vec<Code> = report.errors.iter().map(|e| e.code).collect();
    assert_eq!(codes, [Code::Duplicate; 3], "{report}");
    error(
        &with("[\"10.1.0.0/24\"]", "[\"10.1.0.0/24\", \"10.1.0.0/24\"]"),
        Code::Duplicate,
        "connection[0].local-networks[1]",
    );
}

#[test]
fn addresses_and_networks() {
    error(&with("10.1.0.1/24", "10.1.0.0/24"), Code::Malformed, "interface[1].addresses[0]");
    error(&with("10.1.0.1/24", "10.1.0.1"), Code::Malformed, "interface[1].addresses[0]");
    let report = with("10.2.0.0/24", "10.2.0.7/24");
    let e = error(&report, Code::Malformed, "connection[0].remote-networks[0]");
    assert_eq!(e.fix.as_deref(), Some("write 10.2.0.0/24, or 10.2.0.7/32 for the one host"));
    error(&with("198.51.100.1", "224.0.0.1"), Code::Malformed, "customer-gateway[0].ip");
    error(
        &with("198.51.100.1", "192.0.2.1"),
        Code::ConflictingKeys,
        "connection[0].tunnel[0].customer-gateway",
    );
}

#[test]
fn dpd_and_encapsulation() {
    let dpd = |text: &str| tunnel(&format!("dpd = {text}"));
    let of = |report: &Report| desired(report).connections[0].tunnels[0].dpd;
    assert_eq!(of(&dpd("false")), None);
    assert_eq!(of(&dpd("{ timeout = 130 }")), Some(Dpd { timeout: Duration::from_secs(130) }));
    assert_eq!(of(&dpd("{ enabled = false }")), None);
    error(&dpd("{ timeout = 0 }"), Code::OutOfRange, "connection[0].tunnel[0].dpd.timeout");
    let report = connection("df = \"clear\"\ndscp = 46\nmtu = 1400\nmss = 1360");
    let encapsulation = desired(&report).connections[0].encapsulation;
    assert_eq!((encapsulation.df, encapsulation.dscp), (Df::Clear, Some(46)));
    assert_eq!((encapsulation.mtu, encapsulation.mss), (1400, 1360));
    error(&connection("dscp = 64"), Code::OutOfRange, "connection[0].dscp");
}

#[test]
fn policer() {
    let of = |text: &str| desired(&connection(&format!("policer = {text}"))).connections[0].policer;
    let all = Policer { bandwidth: Some(1000), pps: Some(120_000), burst: 50 };
    assert_eq!(of("{ bandwidth = 1000, pps = 120_000, burst = 50 }"), Some(all));
    let one = Policer { bandwidth: None, pps: Some(10), burst: 100 };
    assert_eq!(of("{ packets-per-second = 10 }"), Some(one));
    assert_eq!(of("false"), None);
    assert_eq!(desired(&connection("")).connections[0].policer, None, "off by default");
    let wrong = |text: &str, code, path: &str| {
        error(&connection(&format!("policer = {text}")), code, &format!("connection[0].policer{path}"));
    };
    wrong("{ burst = 50 }", Code::MissingKey, "");
    wrong("{ bandwidth = 0 }", Code::OutOfRange, ".bandwidth");
    wrong("{ pps = 9 }", Code::OutOfRange, ".pps");
    wrong("{ pps = 10, burst = 0 }", Code::OutOfRange, ".burst");
    wrong("{ pps = 10, rate = 7 }", Code::UnknownKey, ".rate");
    wrong("true", Code::WrongType, "");
}

#[test]
fn policy() {
    let policy = |lines: &str| {
        let networks = "src = \"192.0.2.1/32\"\ndst = \"203.0.113.0/24\"";
        check(&format!("{GOOD}\n[[policy]]\n{networks}\n{lines}\n"), "gw.toml")
    };
    let report = policy("action = \"bypass\"\nprotocol = \"tcp\"\nports = \"8000-8100\"\nsrc-ports = 9");
    let entry = desired(&report).policies[0];
    assert_eq!((entry.action, entry.direction), (PolicyAction::Bypass, PolicyDirection::Both));
    assert_eq!((entry.protocol, entry.src_ports, entry.dst_ports), (6, (9, 9), (8000, 8100)));
    let entry = desired(&policy("action = \"discard\"\ndirection = \"in\"")).policies[0];
    assert_eq!((entry.action, entry.direction), (PolicyAction::Discard, PolicyDirection::In));
    assert_eq!((entry.protocol, entry.src_ports, entry.dst_ports), (0, (0, 65_535), (0, 65_535)));
    let bypass = |lines: &str| policy(&format!("action = \"bypass\"\n{lines}"));
    error(&policy(""), Code::MissingKey, "policy[0].action");
    error(&policy("action = \"protect\""), Code::UnknownValue, "policy[0].action");
    error(&bypass("ports = 443"), Code::ConflictingKeys, "policy[0].ports");
    error(&bypass("protocol = 17\nports = \"9-1\""), Code::Malformed, "policy[0].ports");
    error(&bypass("protocol = 0"), Code::OutOfRange, "policy[0].protocol");
    let one = "[[policy]]\naction = \"discard\"\nsrc = \"0.0.0.0/0\"\ndst = \"203.0.113.0/24\"\n";
    let many = |count| check(&format!("{GOOD}\n{}", one.repeat(count)), "gw.toml");
    assert_eq!(desired(&many(1024)).policies.len(), 1024);
    error(&many(1025), Code::OutOfRange, "policy[1024]");
}
