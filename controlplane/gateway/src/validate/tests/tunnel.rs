//! What a tunnel is made of: peers that know each other, algorithms, lifetimes.

use super::*;

#[test]
fn psk() {
    let psk = |text: &str| with("psk-file = \"c1.psk\"", &format!("psk = '{text}'"));
    let path = "connection[0].tunnel[0].psk";
    let report = psk("sesame");
    let auth = &desired(&report).connections[0].tunnels[0].auth;
    assert!(matches!(auth.psk(), Some(PskSource::Inline(_))));
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
    let kind = |text: &str| desired(&id(text)).connections[0].tunnels[0].local_id.clone();
    assert!(matches!(kind("ops@example.com"), Identity::Email(_)));
    assert!(matches!(kind("keyid:0x0123"), Identity::KeyId(_)));
    assert!(matches!(kind("C=DE, O=Example Inc., CN=gw-a"), Identity::Dn(_)));
    error(&id("keyid:"), Code::Malformed, path);
    error(&id(""), Code::Malformed, path);
    let plain = check(GOOD, "gw.toml");
    let tunnels = &desired(&plain).connections[0].tunnels;
    assert_eq!(tunnels[1].local_id, Identity::Address("192.0.2.2".parse().expect("ip")));
    assert_eq!(tunnels[1].remote_id, Identity::Address("198.51.100.1".parse().expect("ip")));
}

#[test]
fn certificates() {
    let tunnel = |lines: &str| with("psk-file = \"c1.psk\"", lines);
    let own = "certificate = \"a.pem\"\nprivate-key = \"a.key\"\n";
    let both = format!(
        "{own}ca = [\"x.pem\", \"y.pem\"]\ncrl = \"x.crl\"\ncrl-strict = true\nrsa-padding = \"pkcs1\""
    );
    let report = tunnel(&both);
    let auth = &desired(&report).connections[0].tunnels[0].auth;
    let LocalAuth::Certificate(ours) = &auth.local else { panic!("{auth:?}") };
    let RemoteAuth::Certificate(theirs) = &auth.remote else { panic!("{auth:?}") };
    assert_eq!((ours.rsa_padding, ours.private_key.to_str()), (RsaPadding::Pkcs1, Some("a.key")));
    assert_eq!((theirs.ca.len(), theirs.crl.len(), theirs.crl_strict), (2, 1, true));
    assert!(auth.psk().is_none());
    let mixed = tunnel(&format!("{own}psk-file = \"c1.psk\""));
    let auth = &desired(&mixed).connections[0].tunnels[0].auth;
    assert!(matches!((&auth.local, &auth.remote), (LocalAuth::Certificate(_), RemoteAuth::Psk(_))));
    let field = |name: &str| format!("connection[0].tunnel[0].{name}");
    error(&tunnel(&format!("{both}\npsk-file = \"c1.psk\"")), Code::ConflictingKeys, &field("psk-file"));
    error(&tunnel(own), Code::MissingKey, &field("")[..field("").len() - 1]);
    error(&tunnel("certificate = \"a.pem\"\nca = \"x.pem\""), Code::MissingKey, &field("certificate"));
    error(&tunnel("private-key = \"a.key\"\npsk-file = \"p\""), Code::ConflictingKeys, &field("private-key"));
    error(&tunnel("crl = \"x.crl\"\npsk-file = \"p\""), Code::ConflictingKeys, &field("crl"));
    error(&tunnel(&format!("{own}ca = []")), Code::Malformed, &field("ca"));
    let padding = tunnel(&format!("{own}ca = \"x.pem\"\nrsa-padding = \"oaep\""));
    error(&padding, Code::UnknownValue, &field("rsa-padding"));
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
        reauth: Duration::ZERO,
        childless: false,
    };
    let ipsec = Ipsec {
        encryption: Encryption::Aes128Cbc,
        authentication: Authentication::Sha1,
        pfs: Some(DhGroup::Modp1024),
        lifetime: day,
        esn: false,
        replay_window: 1024,
        tfc: 0,
    };
    assert_eq!((tunnel.ike, tunnel.ipsec), (ike, ipsec));
    assert_eq!(tunnel.dpd, Some(Dpd { timeout: Duration::from_secs(30) }));
    assert!(tunnel.nat_traversal && desired(&report).connections[0].effective_immediately);
    let w = warning(&report, Code::WeakAlgorithm, "connection[0].tunnel[0].ike.dh-group");
    assert_eq!(w.message, "dh-group is left out, and its default group2 is weak");
    warning(&report, Code::WeakAlgorithm, "connection[0].tunnel[1].ipsec.authentication");
}

#[test]
fn ike_messages_are_cut_where_one_says() {
    let fragments = |line: &str| desired(&tunnel(line)).connections[0].tunnels[0].fragments;
    assert_eq!(fragments(""), Some(1280));
    assert_eq!(fragments("ike-fragments = true"), Some(1280));
    assert_eq!(fragments("ike-fragments = 576"), Some(576));
    assert_eq!(fragments("ike-fragments = false"), None);
    for wrong in ["575", "9217"] {
        let report = tunnel(&format!("ike-fragments = {wrong}"));
        error(&report, Code::OutOfRange, "connection[0].tunnel[0].ike-fragments");
    }
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
fn tfc() {
    let ipsec = |tfc: &str| tunnel(&format!("ipsec = {{ tfc = {tfc} }}"));
    let padded = |tfc: &str| desired(&ipsec(tfc)).connections[0].tunnels[0].ipsec.tfc;
    assert_eq!((padded("\"mtu\""), padded("600"), padded("\"none\"")), (u16::MAX, 600, 0));
    error(&ipsec("10"), Code::OutOfRange, "connection[0].tunnel[0].ipsec.tfc");
    error(&ipsec("\"much\""), Code::UnknownValue, "connection[0].tunnel[0].ipsec.tfc");
}

#[test]
fn an_ike_sa_may_begin_without_child() {
    let childless = |text: &str| desired(&tunnel(text)).connections[0].tunnels[0].ike.childless;
    assert!(!childless("ike = {}") && childless("ike = { childless = true }"));
    error(&tunnel("ike = { childless = 1 }"), Code::WrongType, "connection[0].tunnel[0].ike.childless");
}

#[test]
fn reauthentication_is_off_or_a_time() {
    let of = |text: &str| {
        desired(&tunnel(&format!("ike = {{ reauth = {text} }}"))).connections[0].tunnels[0].ike.reauth
    };
    assert_eq!(of("false"), Duration::ZERO);
    assert_eq!(of("300"), Duration::from_secs(300));
    assert_eq!(of("604800"), Duration::from_secs(604_800));
    for text in ["299", "604801", "true"] {
        let report = tunnel(&format!("ike = {{ reauth = {text} }}"));
        assert!(report.desired.is_none(), "{text}");
    }
}
