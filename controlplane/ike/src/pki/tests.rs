//! Chains that lead to a CA, and each way in which one does not; signatures of every kind of key.

use std::time::Duration;
use test_pki::{Ca, Issued, Kind, Request};
use zeroize::Zeroizing;

use super::{Certificate, Credential, MAX_CERTIFICATES, PkiError, Refusal, Trust};
use crate::crypto::{RsaPadding, SignatureError};
use crate::wire::iana::{AuthMethod, CertEncoding, IdType, SignatureHash};
use crate::wire::{AuthPayload, CertPayload, IdPayload};

const NOW: i64 = 1_800_000_000;
const KINDS: [Kind; 5] = [Kind::Ed25519, Kind::P256, Kind::P384, Kind::P521, Kind::Rsa];
const IPSEC_IKE: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 17];
const SERVER_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];

fn now() -> Duration {
    Duration::from_secs(NOW.unsigned_abs())
}

fn root() -> Ca {
    Ca::root("Root", Kind::Ed25519, NOW)
}

fn request() -> Request {
    Request::new("gw-a", &["gw-a.example", "192.0.2.1", "2001:db8::1", "ops@example"], Kind::Ed25519, NOW)
}

fn trust(ca: &Ca) -> Trust {
    Trust::new(std::slice::from_ref(&ca.certificate), &[], false).expect("a CA")
}

fn payloads(chain: &[Vec<u8>]) -> Vec<CertPayload> {
    let cert = |data: &Vec<u8>| CertPayload { encoding: CertEncoding::X509_SIGNATURE, data: data.clone() };
    chain.iter().map(cert).collect()
}

fn check(trust: &Trust, issued: &Issued) -> Result<Certificate, Refusal> {
    trust.check(payloads(&issued.chain).iter(), now())
}

fn credential(issued: &Issued, padding: RsaPadding) -> Credential {
    Credential::new(&issued.chain, Zeroizing::new(issued.pkcs8.clone()), padding).expect("a credential")
}

#[test]
fn a_chain_of_every_kind_of_key_leads_to_its_root() {
    for kind in KINDS {
        let root = Ca::root("Root", kind, NOW);
        let issuing = root.intermediate("Middle", kind, NOW).intermediate("Issuing", kind, NOW);
        let issued = issuing.issue(&Request { kind, ..request() });
        assert_eq!(issued.chain.len(), 3);
        let own = check(&trust(&root), &issued).expect("trusted");
        assert_eq!(own.subject().to_string(), "O=Example, CN=gw-a");
        let backwards: Vec<_> =
            [&issued.chain[..1], &[issued.chain[2].clone(), issued.chain[1].clone()]].concat();
        assert!(trust(&root).check(payloads(&backwards).iter(), now()).is_ok(), "in any order");
    }
}

#[test]
fn without_its_intermediate_or_of_another_root_it_is_unknown() {
    let issued = root().intermediate("Issuing", Kind::Ed25519, NOW).issue(&request());
    let alone = trust(&root()).check(payloads(&issued.chain[..1]).iter(), now());
    let Err(Refusal::UnknownCa { trusted, issuer }) = alone else { panic!("{alone:?}") };
    assert_eq!((trusted.as_str(), issuer.as_str()), ("O=Example, CN=Root", "O=Example, CN=Issuing"));
    let other = trust(&Ca::root("Other", Kind::P256, NOW));
    assert!(matches!(check(&other, &issued), Err(Refusal::UnknownCa { .. })));
    let impostor = Ca::root("Root", Kind::P256, NOW).issue(&request());
    assert!(check(&trust(&root()), &impostor).is_err(), "the same name, another key");
}

#[test]
fn a_certificate_counts_between_its_first_and_last_second() {
    let expired = root().issue(&Request { validity: (NOW - 100, NOW - 1), ..request() });
    let refusal = check(&trust(&root()), &expired).expect_err("expired");
    let until = "2027-01-15T07:59:59Z".to_owned();
    assert_eq!(refusal, Refusal::Expired { now: "2027-01-15T08:00:00Z".to_owned(), until });
    let early = root().issue(&Request { validity: (NOW + 1, NOW + 100), ..request() });
    assert!(matches!(check(&trust(&root()), &early), Err(Refusal::NotYetValid { .. })));
    let last = root().issue(&Request { validity: (NOW, NOW), ..request() });
    assert!(check(&trust(&root()), &last).is_ok());
}

#[test]
fn a_revoked_certificate_is_refused_even_by_an_old_list() {
    let (root, issued) = (root(), root().issue(&request()));
    let other = root.issue(&Request::new("gw-b", &["gw-b.example"], Kind::Ed25519, NOW));
    let with = |list: Vec<u8>, strict| Trust::new(std::slice::from_ref(&root.certificate), &[list], strict);
    let old = with(root.revoke(&[&issued], NOW - 20 * 86_400), false).expect("a list");
    assert!(matches!(check(&old, &issued), Err(Refusal::Revoked { .. })));
    assert!(check(&old, &other).is_ok());
    let strict = with(root.revoke(&[&issued], NOW), true).expect("a list");
    assert!(matches!(check(&strict, &issued), Err(Refusal::Revoked { .. })));
    assert!(check(&strict, &other).is_ok());
    let stale = with(root.revoke(&[], NOW - 20 * 86_400), true).expect("a list");
    assert!(matches!(check(&stale, &other), Err(Refusal::RevocationUnknown { .. })));
    let none = Trust::new(std::slice::from_ref(&root.certificate), &[], true).expect("a CA");
    assert!(matches!(check(&none, &other), Err(Refusal::RevocationUnknown { .. })));
}

#[test]
fn its_usage_allows_ike() {
    let ca = root();
    let of = |extended_usage, signs| {
        check(&trust(&ca), &ca.issue(&Request { extended_usage, signs, ..request() }))
    };
    assert!(of(None, None).is_ok());
    assert!(of(Some(IPSEC_IKE), Some(true)).is_ok());
    assert!(of(Some(&[2, 5, 29, 37, 0]), None).is_ok());
    let refusal = of(Some(SERVER_AUTH), None).expect_err("for TLS");
    assert!(refusal.to_string().contains("1.3.6.1.5.5.7.3.1"), "{refusal}");
    assert!(matches!(of(None, Some(false)), Err(Refusal::Usage { .. })));
    let as_ca = trust(&ca)
        .check(payloads(&[ca.intermediate("Issuing", Kind::Ed25519, NOW).certificate]).iter(), now());
    assert!(matches!(as_ca, Err(Refusal::Invalid { .. })));
}

#[test]
fn it_holds_its_alternative_names_its_subject_and_its_key_identifier() {
    let own = Certificate::from_der(&root().issue(&request()).chain[0]).expect("a certificate");
    let id = |kind, data: &[u8]| own.holds(&IdPayload::new(kind, data));
    assert!(
        id(IdType::FQDN, b"GW-A.example") && !id(IdType::FQDN, b"gw-a") && !id(IdType::FQDN, b"ops@example")
    );
    assert!(id(IdType::RFC822_ADDR, b"ops@example") && !id(IdType::RFC822_ADDR, b"gw-a.example"));
    assert!(id(IdType::IPV4_ADDR, &[192, 0, 2, 1]) && !id(IdType::IPV4_ADDR, &[192, 0, 2, 2]));
    assert!(own.holds(&IdPayload::from_addr("2001:db8::1".parse().expect("an address"))));
    assert!(id(IdType::DER_ASN1_DN, own.subject().as_der()));
    assert!(!id(IdType::DER_ASN1_DN, own.issuer().as_der()));
    assert!(!id(IdType::KEY_ID, b""));
    let ca = Certificate::from_der(&root().certificate).expect("a certificate");
    assert!(
        ca.holds(&IdPayload::new(IdType::KEY_ID, &ca.key_identifier[..])) && ca.key_identifier.len() == 20
    );
    assert_eq!(own.identities(), "O=Example, CN=gw-a; gw-a.example; 192.0.2.1; 2001:db8::1; ops@example");
}

#[test]
fn what_a_peer_sends_is_bounded_and_may_be_anything() {
    let (ca, trusted) = (root(), trust(&root()));
    assert_eq!(trusted.check(std::iter::empty(), now()), Err(Refusal::Missing));
    let url = CertPayload { encoding: CertEncoding::HASH_AND_URL_X509, data: vec![0; 30] };
    assert!(matches!(trusted.check([&url].into_iter(), now()), Err(Refusal::Encoding(_))));
    let junk = payloads(&[vec![0x30; 40], vec![]]);
    assert!(matches!(trusted.check(junk.iter(), now()), Err(Refusal::Invalid { .. })));
    let huge = payloads(&[vec![0x30; super::MAX_CERTIFICATE_LEN + 1]]);
    assert!(matches!(trusted.check(huge.iter(), now()), Err(Refusal::Invalid { .. })));
    // Beyond the bound nothing is read, not even the intermediate that would help.
    let issued = ca.intermediate("Issuing", Kind::Ed25519, NOW).issue(&request());
    let mut many = vec![issued.chain[0].clone()];
    many.extend(std::iter::repeat_n(issued.chain[0].clone(), MAX_CERTIFICATES - 1));
    many.push(issued.chain[1].clone());
    assert!(matches!(trusted.check(payloads(&many).iter(), now()), Err(Refusal::UnknownCa { .. })));
    let with_junk = [issued.chain[0].clone(), vec![0x30, 0x80], issued.chain[1].clone()];
    assert!(trusted.check(payloads(&with_junk).iter(), now()).is_ok());
}

#[test]
fn configured_files_must_fit_each_other() {
    let (ca, issued) = (root(), root().issue(&request()));
    let other = ca.issue(&Request::new("gw-b", &[], Kind::Ed25519, NOW));
    let rsa = ca.issue(&Request::new("gw-c", &[], Kind::Rsa, NOW));
    let with = |chain: &[Vec<u8>], key: &Issued| {
        Credential::new(chain, Zeroizing::new(key.pkcs8.clone()), RsaPadding::Pss).map(|_| ())
    };
    assert_eq!(with(&issued.chain, &issued), Ok(()));
    assert_eq!(with(&[], &issued), Err(PkiError::Empty));
    let mismatch = PkiError::KeyMismatch("O=Example, CN=gw-a".to_owned());
    assert_eq!(with(&issued.chain, &other), Err(mismatch));
    assert!(matches!(with(&issued.chain, &rsa), Err(PkiError::Key(_))));
    assert!(matches!(with(&[vec![1]], &issued), Err(PkiError::Certificate { index: 1, .. })));
    assert!(matches!(Trust::new(&issued.chain, &[], false), Err(PkiError::NotCa(_))));
    let list = Trust::new(std::slice::from_ref(&ca.certificate), &[vec![0]], false);
    assert!(matches!(list, Err(PkiError::RevocationList { index: 1, .. })));
    let debug = format!("{:?}", credential(&issued, RsaPadding::Pss));
    assert!(debug.contains("SigningKey(Ed25519)") && debug.len() < 300, "{debug}");
}

const ALL: [SignatureHash; 4] = crate::crypto::ACCEPTED_HASHES;

#[test]
fn every_kind_of_key_signs_with_and_without_rfc_7427() {
    for kind in KINDS {
        for padding in [RsaPadding::Pss, RsaPadding::Pkcs1] {
            let own = credential(&root().issue(&Request { kind, ..request() }), padding);
            let public = own.certificate().public_key().expect("a known kind");
            for hashes in [Some(&ALL[..]), None] {
                let Ok(auth) = own.key().sign(b"octets", hashes, padding) else {
                    assert_eq!((kind, hashes), (Kind::Ed25519, None));
                    continue;
                };
                assert_eq!(auth.method == AuthMethod::DIGITAL_SIGNATURE, hashes.is_some());
                assert_eq!(public.verify(&auth, b"octets"), Ok(()), "{kind:?} {padding:?} {hashes:?}");
                assert!(matches!(public.verify(&auth, b"other"), Err(SignatureError::Bad(_))));
                let mut changed = auth.clone();
                changed.data[0] ^= 1;
                assert!(public.verify(&changed, b"octets").is_err());
            }
        }
    }
}

/// RFC 7427 appendix A, the AlgorithmIdentifiers of RSA (A.1.2, A.4.3), ECDSA (A.3.2); RFC 8420 appendix A.
#[test]
fn the_algorithm_identifiers_are_those_of_the_rfcs() {
    let sha = |n: u8| format!("300d060960864801650304020{n}0500");
    let pss = |n, salt: &str, len: &str, inner: &str| {
        format!(
            "30{len}06092a864886f70d01010a30{inner}a00f{h}a11c301a06092a864886f70d010108{h}a2030201{salt}",
            h = sha(n)
        )
    };
    let expected = [
        (Kind::Rsa, RsaPadding::Pkcs1, SignatureHash::SHA2_256, "300d06092a864886f70d01010b0500".to_owned()),
        (Kind::Rsa, RsaPadding::Pkcs1, SignatureHash::SHA2_384, "300d06092a864886f70d01010c0500".to_owned()),
        (Kind::Rsa, RsaPadding::Pkcs1, SignatureHash::SHA2_512, "300d06092a864886f70d01010d0500".to_owned()),
        (Kind::Rsa, RsaPadding::Pss, SignatureHash::SHA2_256, pss(1, "20", "41", "34")),
        (Kind::Rsa, RsaPadding::Pss, SignatureHash::SHA2_512, pss(3, "40", "41", "34")),
        (Kind::P256, RsaPadding::Pss, SignatureHash::SHA2_256, "300a06082a8648ce3d040302".to_owned()),
        (Kind::P384, RsaPadding::Pss, SignatureHash::SHA2_384, "300a06082a8648ce3d040303".to_owned()),
        (Kind::P521, RsaPadding::Pss, SignatureHash::SHA2_512, "300a06082a8648ce3d040304".to_owned()),
        (Kind::Ed25519, RsaPadding::Pss, SignatureHash::IDENTITY, "300506032b6570".to_owned()),
    ];
    for (kind, padding, hash, identifier) in expected {
        let own = credential(&root().issue(&Request { kind, ..request() }), padding);
        let auth = own.key().sign(b"octets", Some(&[hash]), padding).expect("signed");
        let len = usize::from(auth.data[0]);
        assert_eq!(hex::encode(&auth.data[1..=len]), identifier, "{kind:?} {padding:?} {hash}");
    }
}

#[test]
fn a_hash_that_the_peer_lacks_or_that_is_too_weak_is_not_used() {
    let own = credential(&root().issue(&Request { kind: Kind::P256, ..request() }), RsaPadding::Pss);
    let theirs = [SignatureHash::SHA1, SignatureHash::SHA2_512];
    let error = own.key().sign(b"octets", Some(&theirs), RsaPadding::Pss).expect_err("no common hash");
    let (ours, theirs) = ("SHA2-256".to_owned(), "SHA1, SHA2-512".to_owned());
    assert_eq!(error, SignatureError::NoHash { ours, theirs });
    // sha1WithRSAEncryption in method 14 (RFC 7427 appendix A.1.1) is not even looked at.
    let rsa = credential(&root().issue(&Request { kind: Kind::Rsa, ..request() }), RsaPadding::Pss);
    let sha1 = hex::decode("0f300d06092a864886f70d0101050500").expect("hex");
    let auth = AuthPayload { method: AuthMethod::DIGITAL_SIGNATURE, data: [sha1, vec![0; 256]].concat() };
    let public = rsa.certificate().public_key().expect("RSA");
    assert!(matches!(public.verify(&auth, b"octets"), Err(SignatureError::Unsupported(_))));
    for data in [vec![], vec![200, 1], vec![0], vec![3, 0x30, 1, 0]] {
        let auth = AuthPayload { method: AuthMethod::DIGITAL_SIGNATURE, data };
        assert_eq!(public.verify(&auth, b"octets"), Err(SignatureError::Malformed));
    }
}
