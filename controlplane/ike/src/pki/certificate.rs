//! One certificate: what IKE wants to know of it.

use rustls_pki_types::CertificateDer;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use x509_cert::der::{DateTime, Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages, SubjectAltName, SubjectKeyIdentifier};

use super::{DistinguishedName, MAX_CERTIFICATE_LEN};
use crate::crypto::{KeyKind, PublicKey, SignatureError};
use crate::wire::iana::IdType;
use crate::wire::{AuthPayload, IdPayload};

/// A certificate that was read; nothing about it is verified by that.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    subject: DistinguishedName,
    issuer: DistinguishedName,
    names: Vec<GeneralName>,
    pub(super) key_identifier: Vec<u8>,
    usage: Option<KeyUsage>,
    is_ca: bool,
    spki: Vec<u8>,
    key: Option<PublicKey>,
    not_after: Duration,
}

impl Certificate {
    /// Reads one in DER, of at most [`MAX_CERTIFICATE_LEN`] bytes.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn from_der(der: &[u8]) -> Result<Self, String> {
        if der.len() > MAX_CERTIFICATE_LEN {
            return Err(format!("{} bytes long, at most {MAX_CERTIFICATE_LEN} are read", der.len()));
        }
        Self::parse(der).map_err(|error| format!("not an X.509 certificate: {error}"))
    }

    fn parse(der: &[u8]) -> x509_cert::der::Result<Self> {
        let parsed = x509_cert::Certificate::from_der(der)?;
        let tbs = parsed.tbs_certificate();
        let names = tbs.get_extension::<SubjectAltName>()?.map(|(_, names)| names.0);
        let key_identifier = tbs.get_extension::<SubjectKeyIdentifier>()?;
        let spki = tbs.subject_public_key_info().to_der()?;
        Ok(Self {
            subject: name(tbs.subject())?,
            issuer: name(tbs.issuer())?,
            names: names.unwrap_or_default(),
            key_identifier: key_identifier.map(|(_, id)| id.0.into_bytes().to_vec()).unwrap_or_default(),
            usage: tbs.get_extension::<KeyUsage>()?.map(|(_, usage)| usage),
            is_ca: tbs.get_extension::<BasicConstraints>()?.is_some_and(|(_, basic)| basic.ca),
            key: PublicKey::from_spki(&spki),
            spki,
            not_after: tbs.validity().not_after.to_unix_duration(),
            der: CertificateDer::from(der.to_vec()),
        })
    }

    /// As it is sent.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whose it is.
    pub fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// Who signed it.
    pub fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }

    /// Its last moment, since the Unix epoch.
    pub fn not_after(&self) -> Duration {
        self.not_after
    }

    /// The kind of its key; `None` for one that we do not have.
    pub fn key_kind(&self) -> Option<KeyKind> {
        self.key.as_ref().map(|key| key.kind)
    }

    pub(crate) fn public_key(&self) -> Option<&PublicKey> {
        self.key.as_ref()
    }

    /// Checks AUTH over the signed octets with its key (RFC 7296 section 2.15, RFC 7427).
    ///
    /// # Errors
    /// What is wrong with the signature.
    pub fn verify(&self, auth: &AuthPayload, octets: &[u8]) -> Result<(), SignatureError> {
        self.key.as_ref().ok_or(SignatureError::Key)?.verify(auth, octets)
    }

    pub(super) fn as_webpki(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// SubjectPublicKeyInfo, whose hash CERTREQ names.
    pub(super) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Whether it may sign certificates.
    pub(super) fn is_ca(&self) -> bool {
        self.is_ca && self.allows(KeyUsages::KeyCertSign.into())
    }

    /// Whether it may sign an IKE exchange (RFC 4945 section 5.1.3.2).
    pub(super) fn may_authenticate(&self) -> bool {
        self.allows(KeyUsages::DigitalSignature | KeyUsages::NonRepudiation)
    }

    /// Whether its key usage has one of these, or it does not restrict its key.
    fn allows(&self, wanted: x509_cert::der::flagset::FlagSet<KeyUsages>) -> bool {
        self.usage.is_none_or(|usage| !(usage.0 & wanted).is_empty())
    }

    /// Whether it is for who `id` names (RFC 4945 section 3.1): an alternative name, or the subject, or for a
    /// key ID the subject key identifier.
    pub fn holds(&self, id: &IdPayload) -> bool {
        let text = |name: &str| name.as_bytes().eq_ignore_ascii_case(&id.data);
        match id.id_type {
            IdType::DER_ASN1_DN => {
                DistinguishedName::from_der(&id.data).is_ok_and(|dn| self.subject.matches(&dn))
            }
            IdType::KEY_ID => !id.data.is_empty() && self.key_identifier == id.data,
            IdType::FQDN => self.any_name(|n| matches!(n, GeneralName::DnsName(dns) if text(dns.as_str()))),
            IdType::RFC822_ADDR => {
                self.any_name(|n| matches!(n, GeneralName::Rfc822Name(mail) if text(mail.as_str())))
            }
            IdType::IPV4_ADDR | IdType::IPV6_ADDR => {
                self.any_name(|n| matches!(n, GeneralName::IpAddress(ip) if ip.as_bytes() == id.data))
            }
            _ => false,
        }
    }

    fn any_name(&self, fits: impl Fn(&GeneralName) -> bool) -> bool {
        self.names.iter().any(fits)
    }

    /// The identities it holds, as people write them.
    pub fn identities(&self) -> String {
        let names = self.names.iter().filter_map(identity);
        std::iter::once(self.subject.to_string())
            .filter(|subject| !subject.is_empty())
            .chain(names)
            .collect::<Vec<_>>()
            .join("; ")
    }
}

fn name(name: &x509_cert::name::Name) -> x509_cert::der::Result<DistinguishedName> {
    let der = name.to_der()?;
    DistinguishedName::from_der(&der).map_err(|_| x509_cert::der::ErrorKind::Failed.into())
}

fn identity(name: &GeneralName) -> Option<String> {
    Some(match name {
        GeneralName::DnsName(name) | GeneralName::Rfc822Name(name) => name.as_str().to_owned(),
        GeneralName::IpAddress(ip) => match ip.as_bytes() {
            bytes if bytes.len() == 4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string(),
            bytes => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string(),
        },
        _ => return None,
    })
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, until {})", self.subject, date(self.not_after))
    }
}

/// A moment since the Unix epoch as people read it, in UTC.
pub fn date(since_epoch: Duration) -> String {
    let whole = Duration::from_secs(since_epoch.as_secs());
    DateTime::from_unix_duration(whole).map_or_else(|_| "after 9999".to_owned(), |date| date.to_string())
}
