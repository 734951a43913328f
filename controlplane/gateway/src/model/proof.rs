//! Who each end of a tunnel is, and how it proves that.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use crate::psk::Psk;

/// Where the pre-shared key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PskSource {
    Inline(Psk),
    /// A file of mode 0600 that holds only the key.
    File(PathBuf),
}

impl Serialize for PskSource {
    /// Where it is, never what it is.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Inline(_) => serializer.serialize_str("in the document"),
            Self::File(path) => path.serialize(serializer),
        }
    }
}

/// How both ends of a tunnel prove who they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Proofs {
    pub local: LocalAuth,
    pub remote: RemoteAuth,
}

impl Proofs {
    /// The pre-shared key, where either end uses one.
    #[must_use]
    pub fn psk(&self) -> Option<&PskSource> {
        match (&self.local, &self.remote) {
            (LocalAuth::Psk(psk), _) | (_, RemoteAuth::Psk(psk)) => Some(psk),
            (LocalAuth::Certificate(_), RemoteAuth::Certificate(_)) => None,
        }
    }
}

/// How we prove who we are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalAuth {
    Psk(PskSource),
    Certificate(OwnCertificate),
}

/// How the peer must prove who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemoteAuth {
    Psk(PskSource),
    Certificate(Authority),
}

/// Our certificate and its private key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct OwnCertificate {
    /// Our own first, then the intermediates; PEM, or one in DER.
    pub certificate: PathBuf,
    /// A file of mode 0600: PKCS#8, unencrypted.
    pub private_key: PathBuf,
    pub rsa_padding: RsaPadding,
}

/// How an RSA key signs where the peer knows RFC 7427.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RsaPadding {
    Pss,
    Pkcs1,
}

/// Whose certificates a peer may show.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Authority {
    /// Certificates of CAs; never empty.
    pub ca: Vec<PathBuf>,
    /// Revocation lists.
    pub crl: Vec<PathBuf>,
    /// A certificate whose issuer has no current list is refused.
    pub crl_strict: bool,
}

/// An IKE identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    Address(IpAddr),
    Fqdn(String),
    /// `name@domain`.
    Email(String),
    /// `C=DE, O=Example, CN=gw-a`, in the order of the certificate.
    Dn(String),
    /// `keyid:` and text, or `keyid:0x` and hexadecimal digits.
    KeyId(String),
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(a) => a.fmt(f),
            Self::Fqdn(name) | Self::Email(name) | Self::Dn(name) | Self::KeyId(name) => f.write_str(name),
        }
    }
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
