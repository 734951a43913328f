//! What a connection is made of: networks, routing, how packets are dressed and limited, and what passes beside it.

use super::*;

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
fn dpd_and_encapsulation() {
    let dpd = |text: &str| tunnel(&format!("dpd = {text}"));
    let of = |report: &Report| desired(report).connections[0].tunnels[0].dpd;
    assert_eq!(of(&dpd("false")), None);
    assert_eq!(of(&dpd("{ timeout = 130 }")), Some(Dpd { timeout: Duration::from_secs(130) }));
    assert_eq!(of(&dpd("{ enabled = false }")), None);
    for seconds in [10, 3600] {
        let timeout = Duration::from_secs(seconds);
        assert_eq!(of(&dpd(&format!("{{ timeout = {seconds} }}"))), Some(Dpd { timeout }));
    }
    for seconds in [0, 9, 3601] {
        let report = dpd(&format!("{{ timeout = {seconds} }}"));
        error(&report, Code::OutOfRange, "connection[0].tunnel[0].dpd.timeout");
    }
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

#[test]
fn tags_and_resource_groups() {
    let report = connection("resource-group = \"prod\"\ntags = { \"Cost Centre\" = \"42\", pilot = \"\" }");
    let labels = &desired(&report).connections[0].labels;
    assert_eq!(labels.resource_group.as_deref(), Some("prod"));
    let tags: Vec<_> = labels.tags.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(tags, [("Cost Centre", "42"), ("pilot", "")]);
    let tagged = with_line("tags = { site = \"osaka\" }", "ip = \"198.51.100.1\"");
    assert_eq!(desired(&tagged).customer_gateways["osaka"].labels.tags["site"], "osaka");
    error(&connection("tags = { \"\" = \"x\" }"), Code::Malformed, "connection[0].tags.");
    error(&connection("tags = { \"a=b\" = \"x\" }"), Code::Malformed, "connection[0].tags.a=b");
    error(&connection("tags = { a = 1 }"), Code::WrongType, "connection[0].tags.a");
    error(&connection("tags = \"a\""), Code::WrongType, "connection[0].tags");
    error(&connection("resource-group = \"a b\""), Code::Malformed, "connection[0].resource-group");
    let many: String = (0..51).map(|n| format!("t{n} = \"\", ")).collect();
    error(&connection(&format!("tags = {{ {many} }}")), Code::OutOfRange, "connection[0].tags");
}
