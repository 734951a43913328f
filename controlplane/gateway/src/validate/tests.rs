//! Every error and warning, by a document that has it; the document without it has none.

mod api;
mod connection;
mod ipv6;
mod json;
mod tunnel;

use crate::algorithm::{Authentication, DhGroup, Encryption};
use crate::model::{
    Df, Dpd, Identity, Ike, IkeVersion, Ipsec, LocalAuth, Policer, PolicyAction, PolicyDirection, PskSource,
    RemoteAuth, Role, RoutingMode, RsaPadding, Via,
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
fn the_examples_are_valid() {
    for text in [
        include_str!("../../../../docs/examples/two-sites.toml"),
        include_str!("../../../../docs/examples/certificates.toml"),
    ] {
        let report = check(text, "example.toml");
        assert!(report.desired.is_some(), "{report}");
        let codes: Vec<Code> = report.warnings.iter().map(|w| w.code).collect();
        assert_eq!(codes, [Code::OneTunnelOnly]);
    }
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
    let later = [
        "bgp = {}",
        "enable-bgp = true",
        "local-asn = 45104",
        "health-check = {}",
        "transit-router = \"x\"",
        "attachment = \"x\"",
    ];
    for line in later {
        let report = connection(line);
        let key = line.split(' ').next().unwrap_or_default();
        error(&report, Code::NotYet, &format!("connection[0].{key}"));
    }
    error(&tunnel("ike = { version = \"ikev1\" }"), Code::NotYet, "connection[0].tunnel[0].ike.version");
}

#[test]
fn compat_is_the_dead_peer_detection_of_a_year() {
    let timeout =
        |report: &crate::Report| desired(report).connections[0].tunnels[0].dpd.map(|d| d.timeout.as_secs());
    assert_eq!(timeout(&connection("")), Some(30));
    assert_eq!(timeout(&connection("compat = \"2023\"")), Some(130));
    assert_eq!(timeout(&connection("compat = \"2019\"")), Some(3600));
    error(&connection("compat = \"2020\""), Code::UnknownValue, "connection[0].compat");
    // What the tunnel says itself holds.
    let both = with("customer-gateway = \"osaka\"", "customer-gateway = \"osaka\"\ndpd = { timeout = 60 }");
    assert_eq!(timeout(&both), Some(60));
}

#[test]
fn aliases_are_understood() {
    let report = with("routing-mode = \"protected-data-flows\"", "routing_mode = \"Flow Protection\"");
    assert_eq!(desired(&report).connections[0].routing_mode, RoutingMode::ProtectedDataFlows);
    let report = connection("Apply-Immediately = \"no\"");
    assert!(!desired(&report).connections[0].effective_immediately);
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

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Whatever is cut out of or put into the document: a report, never a panic, and never a secret in it.
    #[test]
    fn any_text_gives_a_report(at in 0..GOOD.len(), cut in 0..40_usize, put in "[\\PC\n\"\\[\\]=]{0,12}") {
        let text = GOOD.replace("psk-file = \"c1.psk\"", "psk = \"sesame-sesame-sesame\"");
        let end = (at + cut).min(text.len());
        if text.is_char_boundary(at) && text.is_char_boundary(end) {
            let report = check(&format!("{}{put}{}", &text[..at], &text[end..]), "gw.toml");
            let _ = report.to_string();
            assert_eq!(report.desired.is_some(), report.errors.is_empty());
        }
    }
}
