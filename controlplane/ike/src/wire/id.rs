//! The Identification payloads (RFC 7296 section 3.5).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::codec::Reader;
use super::error::DecodeError;
use super::iana::IdType;
use crate::pki::DistinguishedName;

/// Who a peer claims to be.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |   ID Type     |                 RESERVED                      |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                   Identification Data                         ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdPayload {
    /// What `data` is.
    pub id_type: IdType,
    /// As it stood on the wire: AUTH covers these bytes too (RFC 7296 section 2.15). Zero in what we send.
    pub reserved: [u8; 3],
    /// Address bytes, name, or distinguished name.
    pub data: Vec<u8>,
}

impl IdPayload {
    /// An identity of `id_type`.
    pub fn new(id_type: IdType, data: impl Into<Vec<u8>>) -> Self {
        Self { id_type, reserved: [0; 3], data: data.into() }
    }

    /// An address as an identity.
    pub fn from_addr(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(v4) => Self::new(IdType::IPV4_ADDR, v4.octets()),
            IpAddr::V6(v6) => Self::new(IdType::IPV6_ADDR, v6.octets()),
        }
    }

    /// The address, if this is a well-formed address identity.
    pub fn addr(&self) -> Option<IpAddr> {
        match self.id_type {
            IdType::IPV4_ADDR => <[u8; 4]>::try_from(&self.data[..]).ok().map(|b| Ipv4Addr::from(b).into()),
            IdType::IPV6_ADDR => <[u8; 16]>::try_from(&self.data[..]).ok().map(|b| Ipv6Addr::from(b).into()),
            _ => None,
        }
    }

    /// Whether both name the same peer: the reserved bytes do not count.
    pub fn same_identity(&self, other: &Self) -> bool {
        self.id_type == other.id_type && self.data == other.data
    }

    /// The payload body, over which AUTH is computed (IDi' and IDr' of RFC 7296 section 2.15 before prf).
    pub fn body(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + self.data.len());
        self.encode(&mut out);
        out
    }

    /// Reads the payload body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(body, "ID payload");
        Ok(Self { id_type: IdType(r.u8()?), reserved: r.array()?, data: r.rest().to_vec() })
    }

    /// Appends the payload body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.id_type.0);
        out.extend_from_slice(&self.reserved);
        out.extend_from_slice(&self.data);
    }
}

/// As people write it: the address, the name, the distinguished name, or hex for what is not text.
impl fmt::Display for IdPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(addr) = self.addr() {
            return addr.fmt(f);
        }
        if let Ok(name) = DistinguishedName::from_der(&self.data)
            && self.id_type == IdType::DER_ASN1_DN
        {
            return name.fmt(f);
        }
        match std::str::from_utf8(&self.data) {
            Ok(text) if !text.is_empty() && !text.chars().any(char::is_control) => f.write_str(text),
            _ => {
                write!(f, "{}:0x", self.id_type)?;
                self.data.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}
