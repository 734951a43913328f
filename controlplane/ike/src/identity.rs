//! Identities of the ends, as people write them and as ID payloads carry them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::pki::{DistinguishedName, NameError};
use crate::wire::IdPayload;
use crate::wire::iana::IdType;

/// Who a peer is (RFC 7296 section 3.5).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Identity {
    /// ID_IPV4_ADDR or ID_IPV6_ADDR.
    Address(IpAddr),
    /// ID_FQDN; compared without regard to case.
    Fqdn(String),
    /// ID_RFC822_ADDR; compared without regard to case.
    Email(String),
    /// ID_DER_ASN1_DN; compared as distinguished names are.
    Dn(DistinguishedName),
    /// ID_KEY_ID.
    KeyId(Vec<u8>),
}

impl Identity {
    /// As it stands in an ID payload.
    pub fn to_payload(&self) -> IdPayload {
        match self {
            Self::Address(addr) => IdPayload::from_addr(*addr),
            Self::Fqdn(name) => IdPayload::new(IdType::FQDN, name.as_bytes()),
            Self::Email(name) => IdPayload::new(IdType::RFC822_ADDR, name.as_bytes()),
            Self::Dn(name) => IdPayload::new(IdType::DER_ASN1_DN, name.as_der()),
            Self::KeyId(bytes) => IdPayload::new(IdType::KEY_ID, bytes.as_slice()),
        }
    }

    /// Whether the peer's payload names this identity.
    pub fn matches(&self, payload: &IdPayload) -> bool {
        match self {
            Self::Address(_) | Self::KeyId(_) => self.to_payload().same_identity(payload),
            Self::Fqdn(name) => payload.id_type == IdType::FQDN && same_text(name, &payload.data),
            Self::Email(name) => payload.id_type == IdType::RFC822_ADDR && same_text(name, &payload.data),
            Self::Dn(name) => {
                let theirs = DistinguishedName::from_der(&payload.data);
                payload.id_type == IdType::DER_ASN1_DN && theirs.is_ok_and(|theirs| name.matches(&theirs))
            }
        }
    }
}

/// A key ID as people write it: as text where it is text.
fn key_id_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(|c: char| c.is_control() || c.is_whitespace()) => text.to_owned(),
        _ => bytes.iter().fold("0x".to_owned(), |hex, byte| format!("{hex}{byte:02x}")),
    }
}

/// The bytes of `0x` and hexadecimal digits, or of the text itself.
fn key_id(text: &str) -> Vec<u8> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() % 2 == 0 && digits.is_ascii());
    let byte = |at: usize| u8::from_str_radix(digits?.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.and_then(|all| (0..all.len()).step_by(2).map(byte).collect());
    bytes.unwrap_or_else(|| text.as_bytes().to_vec())
}

fn same_text(name: &str, data: &[u8]) -> bool {
    name.as_bytes().eq_ignore_ascii_case(data)
}

/// Why a text is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Nothing there.
    #[error("an identity cannot be empty")]
    Empty,
    /// Spaces and control characters are refused.
    #[error("an identity cannot contain {0:?}")]
    Character(char),
    /// It has a `=`, and is no distinguished name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// An address, `name@domain`, `keyid:TEXT` or `keyid:0xHEX`, a distinguished name (`C=DE, CN=gw-a`), or else a
/// fully qualified domain name.
impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let kind = text.split_once('=').map(|(kind, _)| kind);
        if kind.is_some_and(|kind| !kind.contains('@') && !kind.starts_with("keyid:")) {
            return Ok(Self::Dn(text.parse()?));
        }
        if let Some(c) = text.chars().find(|c| c.is_whitespace() || c.is_control()) {
            return Err(IdentityError::Character(c));
        }
        match text.strip_prefix("keyid:") {
            _ if text.is_empty() => Err(IdentityError::Empty),
            Some("") => Err(IdentityError::Empty),
            Some(id) => Ok(Self::KeyId(key_id(id))),
            None => Ok(text.parse().map(Self::Address).unwrap_or_else(|_| {
                let name = text.to_owned();
                if text.contains('@') { Self::Email(name) } else { Self::Fqdn(name) }
            })),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(addr) => addr.fmt(f),
            Self::Fqdn(name) | Self::Email(name) => f.write_str(name),
            Self::Dn(name) => name.fmt(f),
            Self::KeyId(bytes) => write!(f, "keyid:{}", key_id_text(bytes)),
        }
    }
}
