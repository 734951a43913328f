//! CAs and certificates for tests. Nothing is kept in files: what a test needs is made when it runs.
//!
//! Ed25519 keys come from their names, so that a seeded simulation is the same every time; keys of other kinds
//! are random.

#![forbid(unsafe_code)]

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    RsaKeySize, SanType, SerialNumber,
};
use std::net::IpAddr;
use time::{Duration, OffsetDateTime};

/// A kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// RSA of 2048 bits.
    Rsa,
}

impl Kind {
    fn key(self, name: &str) -> KeyPair {
        let generated = match self {
            Self::Ed25519 => return ed25519(name),
            Self::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Self::P521 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512),
            Self::Rsa => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
        };
        generated.expect("a key")
    }
}

/// PKCS#8 around a private key made of a name.
fn ed25519(name: &str) -> KeyPair {
    const HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let mut private = [0x5a; 32];
    name.bytes()
        .enumerate()
        .for_each(|(at, byte)| private[at % 32] ^= byte.rotate_left(u32::try_from(at / 32).unwrap_or(0)));
    KeyPair::try_from([&HEAD[..], &private].concat()).expect("an Ed25519 key")
}

/// What a certificate says.
#[derive(Debug, Clone)]
pub struct Request {
    /// Common name; the subject is `O=Example, CN=` and this.
    pub common_name: String,
    /// Alternative names: addresses, `name@domain`, or domain names.
    pub names: Vec<String>,
    /// Kind of key.
    pub kind: Kind,
    /// First and last second, since the Unix epoch.
    pub validity: (i64, i64),
    /// As dotted numbers.
    pub extended_usage: Option<&'static [u64]>,
    /// Whether its key may sign; the key usage is absent without.
    pub signs: Option<bool>,
}

impl Request {
    /// A certificate for these names, valid around `now` (seconds since the Unix epoch).
    pub fn new(common_name: &str, names: &[&str], kind: Kind, now: i64) -> Self {
        Self {
            common_name: common_name.to_owned(),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            kind,
            validity: (now - 3600, now + 90 * 86_400),
            extended_usage: None,
            signs: Some(true),
        }
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, "Example");
        subject.push(DnType::CommonName, self.common_name.as_str());
        params.distinguished_name = subject;
        params.subject_alt_names = self.names.iter().map(|name| san(name)).collect();
        params.not_before = moment(self.validity.0);
        params.not_after = moment(self.validity.1);
        params.serial_number = Some(serial(&self.common_name));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = match self.signs {
            None => Vec::new(),
            Some(true) => vec![KeyUsagePurpose::DigitalSignature],
            Some(false) => vec![KeyUsagePurpose::KeyEncipherment],
        };
        let other = |oid: &[u64]| ExtendedKeyUsagePurpose::Other(oid.to_vec());
        params.extended_key_usages = self.extended_usage.map(other).into_iter().collect();
        params
    }
}

fn san(name: &str) -> SanType {
    match name.parse::<IpAddr>() {
        Ok(ip) => SanType::IpAddress(ip),
        Err(_) if name.contains('@') => SanType::Rfc822Name(name.try_into().expect("ASCII")),
        Err(_) => SanType::DnsName(name.try_into().expect("ASCII")),
    }
}

fn moment(since_epoch: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::seconds(since_epoch)
}

/// Of the name, so that it is the same every time.
fn serial(name: &str) -> SerialNumber {
    let folded = name.bytes().fold(0x1234_5678_u64, |sum, byte| sum.rotate_left(7) ^ u64::from(byte));
    SerialNumber::from(folded >> 1)
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Issued {
    /// In DER: the certificate, then the intermediates up to the root, without it.
    pub chain: Vec<Vec<u8>>,
    /// The private key.
    pub pkcs8: Vec<u8>,
    serial: SerialNumber,
}

/// A CA.
#[derive(Debug)]
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate in DER.
    pub certificate: Vec<u8>,
    /// Its own certificate and those above it, without the root; empty for a root.
    above: Vec<Vec<u8>>,
}

impl Ca {
    /// A root, valid around `now` (seconds since the Unix epoch).
    pub fn root(name: &str, kind: Kind, now: i64) -> Self {
        let (params, key) = (ca_params(name, kind, now), kind.key(name));
        let certificate = params.self_signed(&key).expect("a certificate").der().to_vec();
        Self { issuer: Issuer::new(params, key), certificate, above: Vec::new() }
    }

    /// A CA below this one.
    pub fn intermediate(&self, name: &str, kind: Kind, now: i64) -> Self {
        let (params, key) = (ca_params(name, kind, now), kind.key(name));
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").der().to_vec();
        let above = [std::slice::from_ref(&certificate), &self.above[..]].concat();
        Self { issuer: Issuer::new(params, key), certificate, above }
    }

    /// A certificate of this CA.
    pub fn issue(&self, request: &Request) -> Issued {
        let (params, key) = (request.params(), request.kind.key(&request.common_name));
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").der().to_vec();
        let serial = serial(&request.common_name);
        Issued { chain: [&[certificate], &self.above[..]].concat(), pkcs8: key.serialize_der(), serial }
    }

    /// The list of what this CA revoked, in DER, current for ten days.
    pub fn revoke(&self, issued: &[&Issued], now: i64) -> Vec<u8> {
        let revoked = |issued: &&Issued| RevokedCertParams {
            serial_number: issued.serial.clone(),
            revocation_time: moment(now - 60),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: moment(now - 60),
            next_update: moment(now + 10 * 86_400),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: issued.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("a list").der().to_vec()
    }
}

/// Each in a block of PEM, as files have them.
pub fn pem(label: &str, ders: &[Vec<u8>]) -> Vec<u8> {
    let blocks: Vec<_> = ders.iter().map(|der| pem::Pem::new(label, der.clone())).collect();
    pem::encode_many(&blocks).into_bytes()
}

fn ca_params(name: &str, kind: Kind, now: i64) -> CertificateParams {
    let mut params = Request::new(name, &[], kind, now).params();
    params.not_after = moment(now + 3650 * 86_400);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}
