//! CERT and AUTH payloads of a peer, up to the verdict on its chain and its signature.

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::Duration;

use ike::pki::{Certificate, Trust};
use ike::wire::iana::{AuthMethod, CertEncoding, IdType};
use ike::wire::{AuthPayload, CertPayload, IdPayload};
use test_pki::{Ca, Kind, Request};

/// The moment at which chains are checked, seconds since the Unix epoch.
const NOW: i64 = 1_800_000_000;

static TRUST: LazyLock<Trust> = LazyLock::new(|| {
    let (root, issuing) = authorities();
    let lists = [issuing.revoke(&[], NOW)];
    Trust::new(&[root.certificate], &lists, false).expect("a CA")
});

fn authorities() -> (Ca, Ca) {
    let root = Ca::root("Root", Kind::Ed25519, NOW);
    let issuing = root.intermediate("Issuing", Kind::Ed25519, NOW);
    (root, issuing)
}

/// A list of (length in two bytes, bytes). The first is an AUTH payload, the second an ID payload's data, the
/// others are certificates.
pub fn ike_certificates(data: &[u8]) {
    let mut parts = Vec::new();
    let mut rest = data;
    while let [high, low, tail @ ..] = rest {
        let (part, tail) = tail.split_at(usize::from(u16::from_be_bytes([*high, *low])).min(tail.len()));
        parts.push(part.to_vec());
        rest = tail;
    }
    let mut parts = parts.into_iter();
    let auth = parts.next().unwrap_or_default();
    let id = parts.next().unwrap_or_default();
    let encoding = CertEncoding::X509_SIGNATURE;
    let payloads: Vec<_> = parts.map(|data| CertPayload { encoding, data }).collect();
    for payload in &payloads {
        if let Ok(certificate) = Certificate::from_der(&payload.data) {
            try_proof(&certificate, &auth, &id);
        }
    }
    let _ = black_box(TRUST.check(payloads.iter(), Duration::from_secs(NOW.unsigned_abs())));
}

/// A certificate revocation list, as read from an operator's file; what it says is asked about a chain of its issuer.
pub fn ike_revocations(data: &[u8]) {
    static CHAIN: LazyLock<Vec<CertPayload>> = LazyLock::new(|| {
        let encoding = CertEncoding::X509_SIGNATURE;
        issued().into_iter().map(|data| CertPayload { encoding, data }).collect()
    });
    static ROOT: LazyLock<Vec<u8>> = LazyLock::new(|| authorities().0.certificate);
    for strict in [false, true] {
        if let Ok(trust) = Trust::new(std::slice::from_ref(&ROOT), &[data.to_vec()], strict) {
            let _ = black_box(trust.check(CHAIN.iter(), Duration::from_secs(NOW.unsigned_abs())));
        }
    }
}

fn try_proof(certificate: &Certificate, auth: &[u8], id: &[u8]) {
    black_box(certificate.identities());
    for id_type in IdType::KNOWN {
        let id = IdPayload::new(*id_type, id);
        black_box((certificate.holds(&id), id.to_string()));
    }
    for method in AuthMethod::KNOWN {
        let auth = AuthPayload { method: *method, data: auth.to_vec() };
        let _ = black_box(certificate.verify(&auth, b"octets"));
    }
}

/// A chain of three with an intermediate, beside an AUTH payload of Ed25519 and a distinguished name.
pub fn seed() -> Vec<u8> {
    let chain = issued();
    let auth = [&[7, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70], &[0x11; 64][..]].concat();
    let subject = Certificate::from_der(&chain[0]).expect("a certificate").subject().clone();
    let mut parts = vec![auth, subject.as_der().to_vec()];
    parts.extend(chain);
    let len = |part: &Vec<u8>| u16::try_from(part.len()).expect("short").to_be_bytes();
    parts.iter().flat_map(|part| [&len(part)[..], part].concat()).collect()
}

/// The certificates of a gateway and of whom issued it.
fn issued() -> Vec<Vec<u8>> {
    let (_, issuing) = authorities();
    issuing.issue(&Request::new("gw-a", &["gw-a.example", "192.0.2.1"], Kind::Ed25519, NOW)).chain
}

/// A list that revokes that gateway.
pub fn revocation_seed() -> Vec<u8> {
    let (_, issuing) = authorities();
    let issued = issuing.issue(&Request::new("gw-a", &["gw-a.example"], Kind::Ed25519, NOW));
    issuing.revoke(&[&issued], NOW)
}
