use super::*;
use crate::document::{Loaded, load};
use gateway::plan::InterfaceIds;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use test_pki::{Ca, Issued, Kind, Request, pem};

const NOW: i64 = 1_800_000_000;
const EXAMPLE: &str = include_str!("../../../docs/examples/certificates.toml");

/// The files that the example names, beside it.
struct Folder {
    folder: tempfile::TempDir,
    root: Ca,
    issuing: Ca,
}

impl Folder {
    fn new() -> Self {
        let root = Ca::root("Root", Kind::Ed25519, NOW);
        let issuing = root.intermediate("Issuing", Kind::Ed25519, NOW);
        let folder = Self { folder: tempfile::tempdir().expect("a folder"), root, issuing };
        folder.write("gw.toml", EXAMPLE.as_bytes(), 0o644);
        folder.own(&folder.issuing.issue(&request("gw-a.example", Kind::P256)));
        folder.write("root.pem", &pem("CERTIFICATE", std::slice::from_ref(&folder.root.certificate)), 0o644);
        folder.write("issuing.crl", &folder.issuing.revoke(&[], NOW), 0o644);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8], mode: u32) {
        std::fs::write(self.path(name), bytes).expect("written");
        std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(mode)).expect("mode set");
    }

    fn own(&self, issued: &Issued) {
        self.write("gw-a.pem", &pem("CERTIFICATE", &issued.chain), 0o644);
        self.write("gw-a.key", &key("PRIVATE KEY", &issued.pkcs8), 0o600);
    }

    fn load(&self) -> Result<Loaded, LoadError> {
        load(&self.path("gw.toml"), &InterfaceIds::default())
    }

    fn error(&self) -> String {
        self.load().expect_err("an error").to_string()
    }
}

fn request(name: &str, kind: Kind) -> Request {
    Request::new("gw-a", &[name], kind, NOW)
}

fn key(label: &str, der: &[u8]) -> Vec<u8> {
    pem(label, &[der.to_vec()])
}

#[test]
fn certificates_of_every_kind_come_from_their_files() {
    let folder = Folder::new();
    for kind in [Kind::Ed25519, Kind::P256, Kind::P384, Kind::P521, Kind::Rsa] {
        folder.own(&folder.issuing.issue(&request("gw-a.example", kind)));
        let loaded = folder.load().unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        let auth = loaded.auth.values().next().expect("a tunnel");
        let ike::LocalAuth::Certificate(own) = &auth.local else { panic!("{auth:?}") };
        assert_eq!(own.chain().len(), 2, "with the intermediate");
        let ike::RemoteAuth::Certificate(trust) = &auth.remote else { panic!("{auth:?}") };
        assert_eq!(trust.authorities()[0].subject().to_string(), "O=Example, CN=Root");
    }
}

#[test]
fn der_is_read_as_well() {
    let folder = Folder::new();
    let issued = folder.root.issue(&request("gw-a.example", Kind::Rsa));
    folder.write("gw-a.pem", &issued.chain[0], 0o644);
    folder.write("gw-a.key", &issued.pkcs8, 0o600);
    folder.write("root.pem", &folder.root.certificate, 0o644);
    folder.write("issuing.crl", &pem("X509 CRL", &[folder.issuing.revoke(&[], NOW)]), 0o644);
    assert!(folder.load().is_ok());
}

#[test]
fn each_fault_of_a_file_says_how_to_mend_it() {
    let folder = Folder::new();
    let issued = folder.issuing.issue(&request("gw-a.example", Kind::P256));
    folder.write("gw-a.key", &key("PRIVATE KEY", &issued.pkcs8), 0o644);
    assert!(folder.error().contains("chmod 600"));
    folder.write("gw-a.key", &key("EC PRIVATE KEY", &[0x30, 0]), 0o600);
    assert!(folder.error().contains("openssl pkcs8 -topk8"));
    folder.write("gw-a.key", &key("PRIVATE KEY", &issued.pkcs8), 0o600);
    let error = folder.error();
    assert!(error.contains("is not that of the certificate O=Example, CN=gw-a"), "{error}");
    folder.own(&folder.issuing.issue(&request("gw-x.example", Kind::P256)));
    let error = folder.error();
    assert!(error.contains("gw-x.example, not for local-id gw-a.example"), "{error}");
    folder.own(&issued);
    folder.write("root.pem", b"nothing\n-----BEGIN JUNK-----\n-----END JUNK-----\n", 0o644);
    assert!(folder.error().contains("no PEM block of a CERTIFICATE"));
    folder.write("root.pem", &pem("CERTIFICATE", &issued.chain[..1]), 0o644);
    assert!(folder.error().contains("not the certificate of a CA"));
    folder.write("root.pem", &pem("CERTIFICATE", std::slice::from_ref(&folder.root.certificate)), 0o644);
    folder.write("issuing.crl", b"\x30\x00", 0o644);
    assert!(folder.error().contains("issuing.crl: revocation list 1"));
    std::fs::remove_file(folder.path("gw-a.pem")).expect("removed");
    assert!(matches!(folder.load(), Err(LoadError::Read { .. })));
}

#[test]
fn a_certificate_on_one_side_and_a_key_on_the_other() {
    let folder = Folder::new();
    folder.write("gw.psk", b"sesame\n", 0o600);
    for (without, local) in [("ca = ", true), ("certificate = ", false)] {
        let keep = |line: &&str| !line.starts_with(without) && !line.starts_with("crl");
        let keep = |line: &&str| keep(line) && (local || !line.starts_with("private-key"));
        let mut text: String = EXAMPLE.lines().filter(keep).map(|line| format!("{line}\n")).collect();
        text = text.replace("local-id", "psk-file = \"gw.psk\"\nlocal-id");
        folder.write("gw.toml", text.as_bytes(), 0o644);
        let loaded = folder.load().unwrap_or_else(|error| panic!("{error}"));
        let auth = loaded.auth.values().next().expect("a tunnel");
        assert_eq!(matches!(auth.local, ike::LocalAuth::Certificate(_)), local);
        assert_eq!(matches!(auth.remote, ike::RemoteAuth::Psk(_)), local);
    }
}
