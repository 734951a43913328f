//! What is written for peers; that real ones take it is tested with them (`peer-config/` scenarios).

use super::*;
use crate::algorithm::Encryption;
use crate::plan::{InterfaceIds, plan};

const DOCUMENT: &str = r#"
[[interface]]
name = "outside"
port = "wan"
role = "outside"
addresses = ["192.0.2.1/24", "192.0.2.9/24"]

[vpn-gateway]
name = "gw"
addresses = ["192.0.2.1", "192.0.2.9"]

[[customer-gateway]]
name = "branch"
ip = "198.51.100.7"

[[connection]]
name = "hq.branch"
vpn-gateway = "gw"
FLOWS

[[connection.tunnel]]
customer-gateway = "branch"
psk = 'it#s{a}\key'
local-id = "gw.example"
remote-id = "keyid:0xc0ffee"
TUNNEL

[[connection.tunnel]]
customer-gateway = "branch"
psk = "plain.key"
TUNNEL
"#;

const FLOWS: &str = "routing-mode = 'protected-data-flows'\nlocal-networks = ['10.1.0.0/16']\nremote-networks = ['10.2.0.0/16']";

/// The files for a vendor of the connection above.
fn files(vendor: Vendor, flows: &str, tunnel: &str) -> PeerConfig {
    rendered(vendor, flows, tunnel).unwrap_or_else(|error| panic!("{error}"))
}

fn rendered(vendor: Vendor, flows: &str, tunnel: &str) -> Result<PeerConfig, Unsupported> {
    rendered_from(DOCUMENT, vendor, flows, tunnel)
}

fn rendered_from(
    document: &str,
    vendor: Vendor,
    flows: &str,
    tunnel: &str,
) -> Result<PeerConfig, Unsupported> {
    let text = document.replace("FLOWS", flows).replace("TUNNEL", tunnel);
    let report = crate::check(&text, "test");
    let desired = report.desired.unwrap_or_else(|| panic!("{:#?}", report.errors));
    let planned = plan(&desired, &InterfaceIds::default());
    let secret = |tunnel: &TunnelPlan| match tunnel.index {
        1 => Some(r"it#s{a}\key"),
        _ => Some("plain.key"),
    };
    render(vendor, &PeerTunnel::of(&desired, &planned.tunnels, "hq.branch", secret))
}

/// What libreswan and Cisco have, too.
const CURRENT: &str = "ike = { encryption = 'aes256', authentication = 'sha256', dh-group = 'group14', lifetime = 28800 }\n\
                       ipsec = { encryption = 'aes256gcm16', pfs = 'group19', lifetime = 3600 }";

fn text(vendor: Vendor, flows: &str, tunnel: &str) -> String {
    files(vendor, flows, tunnel).files.iter().map(|file| &**file.text as &str).collect()
}

#[test]
fn every_vendor_reads_back_by_its_name() {
    let names = ["strongswan", "libreswan", "linux", "frr", "cisco-ios", "generic", "json"];
    assert_eq!(Vendor::ALL.map(Vendor::name), names);
    for name in names {
        let vendor = Vendor::from_name(&name.to_uppercase());
        assert_eq!(vendor.map(Vendor::name), Some(name));
    }
}

#[test]
fn the_peer_sees_everything_from_its_side() {
    let text = text(Vendor::StrongSwan, FLOWS, "");
    for line in [
        "  hq-branch-1 {",
        "    local_addrs = 198.51.100.7",
        "    remote_addrs = 192.0.2.1",
        "    remote_addrs = 192.0.2.9",
        "      id = \"keyid:#c0ffee\"",
        "      id = \"@gw.example\"",
        "        local_ts = 10.2.0.0/16",
        "        remote_ts = 10.1.0.0/16",
        "    proposals = aes128-sha1-modp1024",
        "        esp_proposals = aes128-sha1-modp1024-noesn",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
}

#[test]
fn a_key_that_means_something_to_swanctl_is_written_in_hexadecimal() {
    let text = text(Vendor::StrongSwan, FLOWS, "");
    assert!(text.contains("secret = 0x697423737b617d5c6b6579\n"), "{text}");
    assert!(text.contains("secret = \"plain.key\"\n"), "{text}");
}

#[test]
fn routed_tunnels_get_interfaces_and_no_policy_that_takes_everything() {
    let config = files(Vendor::StrongSwan, "", "");
    let [swanctl, script] = &config.files[..] else { panic!("{config:?}") };
    assert!(swanctl.text.contains("if_id_in = ") && !swanctl.text.contains("priority"), "{}", *swanctl.text);
    assert_eq!(script.text.matches("ip link add esp").count(), 2);
}

/// A gateway with networks behind it, some of which are not for the tunnels.
const BEHIND: &str = r#"
[[interface]]
name = "lan"
port = "lan"
role = "inside"
addresses = ["10.1.0.1/24", "2001:db8:1::1/64"]
[[interface]]
name = "other"
port = "lan"
vlan = 7
role = "inside"
vrf = 7
addresses = ["10.7.0.1/24"]
[[route]]
prefix = "10.5.0.0/16"
via = "10.1.0.2"
[[route]]
prefix = "10.2.0.0/16"
connection = "hq.branch"
"#;

#[test]
fn routed_tunnels_lead_to_what_is_behind_us() {
    let document = format!("{DOCUMENT}{BEHIND}");
    let text = |vendor, at: usize| {
        let config = rendered_from(&document, vendor, "", "").unwrap_or_else(|error| panic!("{error}"));
        String::clone(&config.files[at].text)
    };
    let script = text(Vendor::Linux, 0);
    assert!(script.contains("in ${NETWORKS-10.1.0.0/24 10.5.0.0/16}; do"), "{script}");
    let script = text(Vendor::StrongSwan, 1);
    assert_eq!(script.matches("\nip route replace 10.5.0.0/16 dev esp").count(), 2, "{script}");
}

#[test]
fn frr_prefers_the_primary_and_lets_nothing_out_in_clear() {
    let document = format!("{DOCUMENT}{BEHIND}");
    let config = rendered_from(&document, Vendor::Frr, "", "").unwrap_or_else(|error| panic!("{error}"));
    let [script, routes] = &config.files[..] else { panic!("{config:?}") };
    assert!(script.text.contains("in ${NETWORKS-}; do"), "its routes are FRR's: {}", *script.text);
    let distances: Vec<_> = routes
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("ip route 10.5.0.0/16 ")?.split_once(' '))
        .collect();
    let [(first, "10"), (second, "20"), ("blackhole", "250")] = distances[..] else {
        panic!("{}", *routes.text)
    };
    assert!(first.starts_with("esp") && second.starts_with("esp") && first != second);
    let refused = rendered_from(&document, Vendor::Frr, FLOWS, "").expect_err("nothing to route");
    assert_eq!((refused.field, &refused.value[..]), ("routing-mode", "protected-data-flows"));
}

#[test]
fn modern_suites_have_names_everywhere() {
    let modern = "ike = { encryption = 'aes256gcm16', authentication = 'sha384', dh-group = 'group31' }\n\
                  ipsec = { encryption = 'aes256gcm16', pfs = 'group31', esn = true }";
    let swan = text(Vendor::StrongSwan, FLOWS, modern);
    assert!(swan.contains("proposals = aes256gcm16-prfsha384-curve25519\n"), "{swan}");
    assert!(swan.contains("esp_proposals = aes256gcm16-curve25519-esn\n"), "{swan}");
}

#[test]
fn the_table_and_json_tell_the_same() {
    let (table, json) = (text(Vendor::Generic, FLOWS, ""), text(Vendor::Json, FLOWS, ""));
    let tunnels: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(tunnels[0]["remote-address"], "192.0.2.1");
    assert_eq!(tunnels[1]["pre-shared-key"], "plain.key");
    assert_eq!(tunnels[0]["local-networks"][0], "10.2.0.0/16");
    assert_eq!(
        tunnels[0].as_object().expect("an object").len(),
        table.lines().take_while(|l| !l.is_empty()).count()
    );
}

#[test]
fn secrets_do_not_print() {
    let config = files(Vendor::StrongSwan, FLOWS, "");
    assert!(!format!("{config:?}").contains("plain.key"));
}

#[test]
fn libreswan_gets_a_connection_per_tunnel_and_their_secrets() {
    let config = files(Vendor::Libreswan, FLOWS, CURRENT);
    let [conf, secrets] = &config.files[..] else { panic!("{config:?}") };
    assert_eq!(conf.path, "/etc/ipsec.d/hq-branch.conf");
    let (id, first) = interface_and_connection(&conf.text, "hq-branch-1");
    let expected = include_str!("expected/libreswan.conf").replace("IF_ID", &id);
    assert_eq!(first, expected);
    assert_eq!(
        *secrets.text,
        "@#c0ffee @gw.example : PSK \"it#s{a}\\key\"\n198.51.100.7 192.0.2.9 : PSK \"plain.key\"\n"
    );
}

/// One `conn` and the number of its interface.
fn interface_and_connection(text: &str, name: &str) -> (String, String) {
    let start = text.find(&format!("conn {name}\n")).unwrap_or_else(|| panic!("{text}"));
    let conn = text[start..].split_inclusive("\n\n").next().expect("one");
    let id = conn.lines().find_map(|line| line.trim().strip_prefix("ipsec-interface="));
    (id.unwrap_or_default().to_owned(), conn.to_owned())
}

#[test]
fn libreswan_is_asked_for_nothing_it_lacks() {
    let refused = |tunnel: &str, flows: &str| {
        let unsupported = rendered(Vendor::Libreswan, flows, tunnel).expect_err("refused");
        (unsupported.field, unsupported.to_string())
    };
    let (field, message) = refused("", FLOWS);
    assert_eq!((field, &*message), ("ike.dh-group", "hq.branch/1: libreswan has no ike.dh-group = group2"));
    let des = CURRENT.replace("aes256gcm16", "des");
    assert_eq!(refused(&des, FLOWS).0, "ipsec.encryption");
    let both = "local-networks = ['10.1.0.0/16', '2001:db8:1::/48']\nremote-networks = ['10.2.0.0/16', '2001:db8:2::/48']";
    assert_eq!(refused(CURRENT, both).0, "local-networks");
}

#[test]
fn libreswan_has_a_name_for_every_other_algorithm() {
    for cipher in Encryption::ALL.into_iter().filter(|cipher| *cipher != Encryption::Des) {
        let tunnel = CURRENT.replace("aes256gcm16", cipher.name());
        let text = text(Vendor::Libreswan, FLOWS, &tunnel);
        assert_eq!(text.matches("    esp=").count(), 2, "{text}");
    }
}

#[test]
fn linux_gets_one_script_with_policies_for_networks() {
    let config = files(Vendor::Linux, FLOWS, "");
    let [script] = &config.files[..] else { panic!("{config:?}") };
    assert_eq!(script.path, "/usr/local/sbin/vpn-hq-branch");
    for line in
        ["        priority = 2000", "    secret = \"plain.key\"", "delete table inet vpn-hq-branch", "END"]
    {
        assert!(script.text.lines().any(|l| l == line), "{line}\n{}", *script.text);
    }
    assert!(!script.text.contains("ip link"), "{}", *script.text);
}

#[test]
fn linux_gets_interfaces_where_routes_choose() {
    let script = text(Vendor::Linux, "", "");
    assert_eq!(script.matches("ip link add esp").count(), 2);
    assert_eq!(script.matches("if_id_in = ").count(), 2);
    assert!(
        script.contains("    ip route replace \"$network\" dev esp") && script.contains(" metric 200\n"),
        "{script}"
    );
}

#[test]
fn cisco_gets_an_interface_per_tunnel() {
    let tunnel = format!("{CURRENT}\ndpd = true");
    let text = DOCUMENT.replace("keyid:0xc0ffee", "keyid:branch-7");
    let config = rendered_from(&text, Vendor::CiscoIos, FLOWS, &tunnel).expect("rendered");
    let ios = &*config.files[0].text;
    let second = ios.find("!\ncrypto ikev2 proposal hq-branch-2").expect("a second tunnel");
    let first = &ios["! In configuration mode; then: write memory\n".len()..second];
    let number =
        first.split_once("interface Tunnel").and_then(|(_, rest)| rest.lines().next()).expect("an interface");
    assert_eq!(first, include_str!("expected/cisco.ios").replace("NUMBER", number));
    assert!(ios.trim_end().ends_with(" 20"), "{ios}");
}

#[test]
fn cisco_is_asked_for_nothing_it_lacks() {
    let names = DOCUMENT.replace("keyid:0xc0ffee", "branch.example");
    let refused = |text: &str, tunnel: &str| {
        rendered_from(text, Vendor::CiscoIos, FLOWS, tunnel).expect_err("refused").field
    };
    assert_eq!(refused(DOCUMENT, CURRENT), "local-id or remote-id");
    assert_eq!(refused(&names, &CURRENT.replace("group14", "group31")), "ike.dh-group");
    assert_eq!(refused(&names, &CURRENT.replace("'aes256gcm16'", "'aes256ctr'")), "ipsec.encryption");
    assert_eq!(refused(&names, &CURRENT.replace("lifetime = 3600", "esn = true")), "ipsec.esn");
}
