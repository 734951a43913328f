//! The Certificate and Certificate Request payloads (RFC 7296 sections 3.6 and 3.7).

use serde::{Deserialize, Serialize};

use super::codec::Reader;
use super::error::DecodeError;
use super::iana::CertEncoding;

/// A certificate or related data, not interpreted here.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Cert Encoding |              Certificate Data                 ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertPayload {
    /// What `data` is.
    pub encoding: CertEncoding,
    /// The encoded certificate.
    pub data: Vec<u8>,
}

impl CertPayload {
    /// Reads the payload body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(body, "CERT payload");
        Ok(Self { encoding: CertEncoding(r.u8()?), data: r.rest().to_vec() })
    }

    /// Appends the payload body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.encoding.0);
        out.extend_from_slice(&self.data);
    }
}

/// The certification authorities a peer trusts.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Cert Encoding |            Certification Authority            ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertReqPayload {
    /// The encoding asked for.
    pub encoding: CertEncoding,
    /// For X.509 the concatenated SHA-1 hashes of the trust anchors' public keys.
    pub authorities: Vec<u8>,
}

impl CertReqPayload {
    /// Reads the payload body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(body, "CERTREQ payload");
        Ok(Self { encoding: CertEncoding(r.u8()?), authorities: r.rest().to_vec() })
    }

    /// Appends the payload body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.encoding.0);
        out.extend_from_slice(&self.authorities);
    }
}
