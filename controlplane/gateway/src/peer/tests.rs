//! What is written for peers; that real ones take it is tested with them (`peer-config/` scenarios).

use super::*;
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
    let text = DOCUMENT.replace("FLOWS", flows).replace("TUNNEL", tunnel);
    let report = crate::check(&text, "test");
    let desired = report.desired.unwrap_or_else(|| panic!("{:#?}", report.errors));
    let planned = plan(&desired, &InterfaceIds::default());
    let secret = |tunnel: &TunnelPlan| match tunnel.index {
        1 => Some(r"it#s{a}\key"),
        _ => Some("plain.key"),
    };
    render(vendor, &PeerTunnel::of(&desired, &planned.tunnels, "hq.branch", secret))
}

fn text(vendor: Vendor, flows: &str, tunnel: &str) -> String {
    files(vendor, flows, tunnel).files.iter().map(|file| &**file.text as &str).collect()
}

#[test]
fn every_vendor_reads_back_by_its_name() {
    for vendor in Vendor::ALL {
        assert_eq!(Vendor::from_name(&vendor.name().to_uppercase()), Some(vendor));
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
