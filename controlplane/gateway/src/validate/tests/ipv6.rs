//! IPv6 in documents.

use super::*;

/// [`GOOD`] with IPv6 outside and both families inside.
fn dual_stack() -> String {
    GOOD.replace(r#"["192.0.2.1/24", "192.0.2.2/24"]"#, r#"["2001:db8::1/64", "2001:db8::2/64"]"#)
        .replace(r#"["192.0.2.1", "192.0.2.2"]"#, r#"["2001:db8::1", "2001:db8::2"]"#)
        .replace("198.51.100.1", "2001:db8:ffff::1")
        .replace("0.0.0.0/0", "::/0")
        .replace("192.0.2.254", "2001:db8::fe")
        .replace(r#"["10.1.0.1/24"]"#, r#"["10.1.0.1/24", "2001:db8:1::1/64"]"#)
        .replace(r#"["10.1.0.0/24"]"#, r#"["10.1.0.0/24", "2001:db8:1::/64"]"#)
        .replace(r#"["10.2.0.0/24"]"#, r#"["10.2.0.0/24", "2001:db8:2::/64"]"#)
}

fn changed(from: &str, to: &str) -> Report {
    let text = dual_stack();
    assert!(text.contains(from), "{from}");
    check(&text.replacen(from, to, 1), "gw.toml")
}

#[test]
fn a_document_of_both_families_is_valid_and_pairs_each_with_its_own() {
    let report = check(&dual_stack(), "gw.toml");
    let desired = report.desired.as_ref().unwrap_or_else(|| panic!("{report}"));
    assert!(report.warnings.is_empty(), "{report}");
    let flows: Vec<_> = desired.connections[0].flows().map(|(l, r)| format!("{l} {r}")).collect();
    assert_eq!(flows, ["10.1.0.0/24 10.2.0.0/24", "2001:db8:1::/64 2001:db8:2::/64"]);
    assert!(matches!(&desired.routes[0].via, Via::Gateway { interface, .. } if interface == "wan"));
}

#[test]
fn addresses_that_nobody_can_send_to_are_refused() {
    for address in ["::", "::1", "ff02::1", "fe80::1", "::ffff:192.0.2.1"] {
        let report = changed("2001:db8:ffff::1", address);
        error(&report, Code::Malformed, "customer-gateway[0].ip");
        let report = changed("2001:db8:1::1/64", &format!("{address}/64"));
        error(&report, Code::Malformed, "interface[1].addresses[1]");
    }
    error(&changed("2001:db8:1::1/64", "2001:db8:1::/64"), Code::Malformed, "interface[1].addresses[1]");
    let bare = changed("2001:db8:1::1/64", "2001:db8:1::1");
    let e = error(&bare, Code::Malformed, "interface[1].addresses[1]");
    assert_eq!(e.fix.as_deref(), Some("write 2001:db8:1::1/128 or /64"));
}

#[test]
fn families_do_not_mix() {
    let codes: Vec<_> = changed("2001:db8:ffff::1", "198.51.100.1").errors.iter().map(|e| e.code).collect();
    assert_eq!(codes, [Code::ConflictingKeys; 2], "both tunnels");
    let alone = changed(r#"["10.2.0.0/24", "2001:db8:2::/64"]"#, r#"["10.2.0.0/24"]"#);
    error(&alone, Code::ConflictingKeys, "connection[0].local-networks");
    error(&changed("\"::/0\"", "\"0.0.0.0/0\""), Code::ConflictingKeys, "route[0].via");
    let policy =
        "[[policy]]\naction = \"bypass\"\nsrc = \"2001:db8:1::/64\"\ndst = \"192.0.2.0/24\"\n[vpn-gateway]";
    error(&changed("[vpn-gateway]", policy), Code::ConflictingKeys, "policy[0].dst");
}

#[test]
fn a_side_without_networks_is_anything_of_the_other_sides_families() {
    let text = dual_stack()
        .replace("protected-data-flows", "destination")
        .replace("remote-networks = [\"10.2.0.0/24\", \"2001:db8:2::/64\"]\n", "");
    let report = check(&text, "gw.toml");
    let desired = report.desired.as_ref().unwrap_or_else(|| panic!("{report}"));
    let networks = desired.connections[0].remote_networks.iter().map(ToString::to_string);
    assert_eq!(networks.collect::<Vec<_>>(), ["0.0.0.0/0", "::/0"]);
}

#[test]
fn a_link_of_ipv6_carries_1280_bytes() {
    let report = changed("port = \"p1\"", "port = \"p1\"\nmtu = 1279");
    error(&report, Code::OutOfRange, "interface[1].mtu");
    assert!(changed("port = \"p1\"", "port = \"p1\"\nmtu = 1280").errors.is_empty());
}
