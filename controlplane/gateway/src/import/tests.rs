//! Files as people have them, and that what is written for peers can be read back.

use proptest::prelude::*;

use super::*;
use crate::Desired;
use crate::peer::{PeerTunnel, Vendor, render};

const SITE: &str = include_str!("site.conf");

fn import(text: &str) -> (Desired, Vec<String>) {
    let source = Source { name: "swanctl.conf", text };
    let imported = swanctl(&[source], Options::default()).unwrap_or_else(|error| panic!("{error}"));
    let report = crate::check(&imported.document, "imported");
    let desired = report.desired.unwrap_or_else(|| panic!("{:#?}\n{}", report.errors, *imported.document));
    (desired, imported.warnings.iter().map(ToString::to_string).collect())
}

#[test]
fn a_site_is_read_with_its_defaults_and_its_key() {
    let (desired, warnings) = import(SITE);
    let [connection] = &desired.connections[..] else { panic!("{desired:?}") };
    let tunnel = &connection.tunnels[0];
    assert_eq!(
        (tunnel.local_id.to_string(), tunnel.remote_id.to_string()),
        ("hq.example".into(), "branch.example".into())
    );
    assert_eq!(tunnel.ike.encryption.name(), "aes256gcm16");
    assert_eq!((tunnel.ike.authentication.name(), tunnel.ike.dh_group.name()), ("sha384", "group20"));
    assert_eq!((tunnel.ike.lifetime.as_secs(), tunnel.ipsec.lifetime.as_secs()), (35_640, 3960));
    assert!(tunnel.ipsec.esn && connection.effective_immediately);
    assert_eq!(tunnel.dpd.map(|dpd| dpd.timeout.as_secs()), Some(60));
    assert_eq!(connection.local_networks.len(), 2);
    let Some(crate::model::PskSource::Inline(psk)) = tunnel.auth.psk() else { panic!("{:?}", tunnel.auth) };
    assert_eq!(psk.expose(), b"a#b{c}");
    for warning in [
        "swanctl.conf:6: remote_addrs: one address only",
        "swanctl.conf:17: remote_ts: protocol and ports of 10.2.0.0/16[tcp/443] are not carried over",
        "swanctl.conf:20: updown is not carried over",
        "swanctl.conf:25: mobike is not carried over",
    ] {
        assert!(warnings.iter().any(|w| w == warning), "{warning}\n{warnings:#?}");
    }
    assert!(!warnings.concat().contains("a#b"));
}

#[test]
fn certificates_name_their_files() {
    let text = "connections { c { local_addrs = 192.0.2.1\n remote_addrs = 192.0.2.2\n local { auth = pubkey\n certs = hq.pem\n \
                id = \"C=DE, O=Example, CN=hq\" }\n remote { auth = pubkey\n id = branch@example\n cacerts = root.pem }\n \
                children { c { } } } }";
    let (desired, _) = import(text);
    let tunnel = &desired.connections[0].tunnels[0];
    assert!(tunnel.auth.psk().is_none());
    let crate::model::LocalAuth::Certificate(own) = &tunnel.auth.local else { panic!("{:?}", tunnel.auth) };
    assert_eq!(own.certificate.to_str(), Some("/etc/swanctl/x509/hq.pem"));
    assert_eq!(desired.connections[0].remote_networks[0].to_string(), "192.0.2.2/32");
    assert_eq!(tunnel.ike.dh_group.name(), "group31");
}

#[test]
fn what_we_cannot_be_is_left_out_and_said() {
    for (lines, why) in [
        ("version = 1", "IKEv1"),
        ("remote_addrs = %any", "address of the peer"),
        ("local_addrs = %defaultroute", "--gateway-ip"),
        ("local { auth = eap-mschapv2 }", "eap-mschapv2"),
    ] {
        let text = format!(
            "connections {{ c {{ local_addrs = 192.0.2.1\n remote_addrs = 192.0.2.2\n remote {{ auth = psk }}\n \
             local {{ auth = psk }}\n children {{ c {{ }} }}\n {lines} }} }}\nsecrets {{ ike {{ secret = x }} }}"
        );
        let (desired, warnings) = import(&text);
        assert!(desired.connections.is_empty(), "{lines}");
        assert!(warnings.iter().any(|warning| warning.contains(why)), "{warnings:?}");
    }
}

#[test]
fn several_children_become_one() {
    let text = "connections { c { local_addrs = 192.0.2.1\n remote_addrs = 192.0.2.2\n remote { auth = psk }\n local { auth = psk }\n \
                children { a { local_ts = 10.1.0.0/24\n remote_ts = 10.2.0.0/24\n }\n b { local_ts = 10.1.0.0/24\n \
                remote_ts = 10.3.0.0/24\n } } } }\nsecrets { ike { secret = 0x6162 } }";
    let (desired, warnings) = import(text);
    assert_eq!(desired.connections[0].remote_networks.len(), 2);
    assert!(warnings.iter().any(|warning| warning.contains("one CHILD_SA")), "{warnings:?}");
}

#[test]
fn broken_files_say_where() {
    let long = "a { ".repeat(9);
    for (text, line) in [
        ("connections {\n a = 1\n", 3),
        ("a }\n", 1),
        ("\na = \"b\n", 2),
        ("}", 1),
        ("a = b { c", 1),
        (&long, 1),
        ("a : b {\n}", 1),
        ("a : a { }\n", 1),
        ("= x", 1),
    ] {
        let error = settings::parse(&[Source { name: "f", text }]).expect_err(text);
        assert_eq!((&*error.file, error.line), ("f", line), "{text}: {error}");
    }
}

#[test]
fn what_sections_take_over_is_bounded() {
    use std::fmt::Write as _;
    let mut text = "s0 { a = 1\n }\n".to_owned();
    for n in 1..8 {
        let inner: String = (0..30).map(|i| format!("i{i} : s{} {{ }}\n", n - 1)).collect();
        let _ = writeln!(text, "s{n} {{ {inner} }}");
    }
    assert!(settings::parse(&[Source { name: "f", text: &text }]).is_err());
}

/// The peer that has what we wrote for it is our mirror image.
#[test]
fn what_is_written_for_strongswan_reads_back() {
    let ours = r#"
[[interface]]
name = "outside"
port = "wan"
role = "outside"
addresses = ["192.0.2.1/24"]
[vpn-gateway]
name = "gw"
addresses = ["192.0.2.1"]
[[customer-gateway]]
name = "branch"
ip = "198.51.100.7"
[[connection]]
name = "hq"
profile = "modern"
routing-mode = "protected-data-flows"
local-networks = ["10.1.0.0/16"]
remote-networks = ["10.2.0.0/16", "10.3.0.0/16"]
[[connection.tunnel]]
customer-gateway = "branch"
psk = 'it#s{a}\key'
local-id = 'keyid:a"b\c'
remote-id = "keyid:0xc0ffee"
dpd = { timeout = 60 }
"#;
    let ours = crate::check(ours, "ours").desired.expect("valid");
    let plan = crate::plan(&ours, &crate::plan::InterfaceIds::default());
    let tunnels = PeerTunnel::of(&ours, &plan.tunnels, "hq", |_| Some(r"it#s{a}\key"));
    let config = render(Vendor::StrongSwan, &tunnels).expect("rendered");
    let (theirs, warnings) = import(&config.files[0].text);
    let (ours, theirs) = (&ours.connections[0], &theirs.connections[0]);
    assert_eq!(
        (&ours.local_networks, &ours.remote_networks),
        (&theirs.remote_networks, &theirs.local_networks)
    );
    let (ours, theirs) = (&ours.tunnels[0], &theirs.tunnels[0]);
    assert_eq!((&ours.local_id, &ours.remote_id), (&theirs.remote_id, &theirs.local_id));
    assert_eq!((ours.ike, ours.dpd), (theirs.ike, theirs.dpd));
    // An AEAD cipher leaves the hash open.
    let authentication = ours.ipsec.authentication;
    assert_eq!(ours.ipsec, crate::model::Ipsec { authentication, ..theirs.ipsec });
    assert_eq!(ours.auth.psk(), theirs.auth.psk());
    assert!(warnings.iter().all(|w| w.contains("pre-shared key") || w.contains("priority")), "{warnings:#?}");
}

#[test]
fn an_identity_that_no_document_can_have_is_left_out() {
    for id in ["@", "@@", "fqdn:", "keyid:", "dns:a b"] {
        let text = format!(
            "connections {{ c {{ local_addrs = 192.0.2.1\n remote_addrs = 192.0.2.2\n local {{ auth = psk\n id = \"{id}\"\n }}\n \
             remote {{ auth = psk }}\n children {{ c {{ }} }}\n }} }}\nsecrets {{ ike {{ secret = x\n }} }}"
        );
        let (desired, warnings) = import(&text);
        assert_eq!(desired.connections[0].tunnels[0].local_id.to_string(), "192.0.2.1", "{id}");
        assert!(warnings.iter().any(|warning| warning.contains("local id")), "{id}: {warnings:#?}");
    }
}

#[test]
fn keys_get_files_of_their_own() {
    let options = Options { psk_files: Some("/etc/esplanade/"), ..Options::default() };
    let imported = swanctl(&[Source { name: "swanctl.conf", text: SITE }], options).expect("read");
    let [KeyFile { path, key }] = &imported.key_files[..] else { panic!("one key") };
    assert_eq!((&path[..], &key[..]), ("/etc/esplanade/branch.psk", "a#b{c}"));
    assert!(imported.document.contains("psk-file = \"/etc/esplanade/branch.psk\""));
    assert!(!imported.document.contains("a#b{c}") && !imported.document.contains("psk = "));
    assert!(!imported.warnings.iter().any(|warning| warning.message.contains("pre-shared key")));
}

proptest! {
    #[test]
    fn no_text_stops_the_reader(text in "[a-z0-9 .:,{}=#\"\\\\\n%@\\[\\]/-]{0,200}") {
        let _ = swanctl(&[Source { name: "f", text: &text }], Options::default());
    }

    /// Whatever values a connection has, what is written is a document.
    #[test]
    fn any_value_makes_a_document(
        key in "(proposals|rekey_time|local_addrs|dpd_delay|version|reauth_time|over_time)",
        child in "(local_ts|esp_proposals|life_time|replay_window|tfc_padding|rekey_time)",
        value in "[a-z0-9%./,-]{0,20}",
        id in "[!-~]{0,20}",
    ) {
        let id = id.replace(['"', '\\'], "");
        let text = format!(
            "connections {{ c {{ local_addrs = 192.0.2.1\n remote_addrs = 192.0.2.2\n local {{ auth = psk\n id = \"{id}\"\n }}\n \
             remote {{ auth = psk }}\n children {{ c {{ {child} = {value}\n }} }}\n {key} = {value}\n }} }}\n\
             secrets {{ ike {{ secret = x\n }} }}"
        );
        let imported = swanctl(&[Source { name: "f", text: &text }], Options::default()).expect("its syntax is sound");
        let report = crate::check(&imported.document, "f");
        prop_assert!(report.desired.is_some(), "{}\n{:#?}", *imported.document, report.errors);
    }
}
