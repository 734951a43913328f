//! Certificates for both ends.

use ike::pki::{Credential, Trust};
use ike::{Identity, LocalAuth, RemoteAuth, RsaPadding};
use std::sync::Arc;
use test_pki::{Ca, Issued, Kind, Request};
use zeroize::Zeroizing;

use crate::Scenario;

/// The wall clock at virtual time zero, seconds since the Unix epoch.
pub const EPOCH: i64 = 1_800_000_000;

/// A root, a CA below it, and what they issued for each end: names and keys are the same every time.
#[derive(Debug)]
pub struct Certificates {
    /// Trusted by both ends.
    pub root: Ca,
    /// Issues the certificates.
    pub issuing: Ca,
}

impl Default for Certificates {
    fn default() -> Self {
        let root = Ca::root("Root", Kind::Ed25519, EPOCH);
        let issuing = root.intermediate("Issuing", Kind::Ed25519, EPOCH);
        Self { root, issuing }
    }
}

impl Certificates {
    /// What end `name` (`a` or `b`) asks for.
    pub fn request(name: &str) -> Request {
        Request::new(&format!("gw-{name}"), &[&format!("{name}.example")], Kind::Ed25519, EPOCH)
    }

    /// The proof of whoever holds this certificate.
    pub fn proof(issued: &Issued) -> LocalAuth {
        let pkcs8 = Zeroizing::new(issued.pkcs8.clone());
        let credential = Credential::new(&issued.chain, pkcs8, RsaPadding::Pkcs1).expect("they fit");
        LocalAuth::Certificate(Arc::new(credential))
    }

    /// Trust in a CA, without revocation lists.
    pub fn trust(ca: &Ca) -> RemoteAuth {
        let trust = Trust::new(std::slice::from_ref(&ca.certificate), &[], false).expect("a CA");
        RemoteAuth::Certificate(Arc::new(trust))
    }

    /// Both ends prove themselves by certificate, as `a.example` and `b.example`.
    pub fn scenario(&self) -> Scenario {
        let mut scenario = Scenario::modern();
        for (at, [ours, theirs]) in [["a", "b"], ["b", "a"]].into_iter().enumerate() {
            let connection = &mut scenario.connections[at];
            connection.local_id = Identity::Fqdn(format!("{ours}.example"));
            connection.remote_id = Identity::Fqdn(format!("{theirs}.example"));
            connection.local_auth = Self::proof(&self.issuing.issue(&Self::request(ours)));
            connection.remote_auth = Self::trust(&self.root);
        }
        scenario
    }
}
