//! `[api]`: where it listens over TLS, and what it shows there.

use super::*;

fn api(lines: &str) -> Report {
    check(&format!("{GOOD}\n[api]\n{lines}\n"), "test")
}

#[test]
fn addresses_for_tls_are_one_or_several() {
    let listen = |lines| desired(&api(lines)).control.api.listen.clone();
    let one: std::net::SocketAddr = "192.0.2.1:8443".parse().expect("an address");
    assert_eq!(listen("listen = \"192.0.2.1:8443\""), [one]);
    assert_eq!(listen("listen = [\"0.0.0.0:8443\", \"[::]:8443\", \"[2001:db8::1]:443\"]").len(), 3);
    assert_eq!(listen(""), []);
    for wrong in ["192.0.2.1", "gw.example:8443", "192.0.2.1:0", "224.0.0.1:1", "[::ffff:192.0.2.1]:1"] {
        error(&api(&format!("listen = \"{wrong}\"")), Code::Malformed, "api.listen");
    }
    let twice = api("listen = [\"192.0.2.1:8443\", \"192.0.2.1:8443\"]");
    error(&twice, Code::Duplicate, "api.listen[1]");
    let many: Vec<String> = (1..=17).map(|port| format!("192.0.2.1:{port}")).collect();
    error(&api(&format!("listen = {many:?}")), Code::OutOfRange, "api.listen");
}

#[test]
fn a_certificate_goes_with_its_key_and_with_an_address() {
    let listen = "listen = \"192.0.2.1:8443\"";
    let both = "certificate = \"api.pem\"\nkey = \"api.key\"";
    let shown = desired(&api(&format!("{listen}\n{both}"))).control.api.certificate.clone();
    assert_eq!(shown.map(|files| files.key), Some("api.key".into()));
    error(&api(&format!("{listen}\ncertificate = \"api.pem\"")), Code::MissingKey, "api.certificate");
    error(&api(&format!("{listen}\nkey = \"api.key\"")), Code::MissingKey, "api.key");
    warning(&api(both), Code::NoEffect, "api.certificate");
}
