//! The Key Exchange payload (RFC 7296 section 3.4).

use serde::{Deserialize, Serialize};

use super::codec::Reader;
use super::error::DecodeError;
use super::iana::KeId;

/// A public value of a key exchange method. Its length is checked against the method by `crypto`.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |   Diffie-Hellman Group Num    |           RESERVED            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                       Key Exchange Data                       ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KePayload {
    /// The method.
    pub group: KeId,
    /// The sender's public value.
    pub data: Vec<u8>,
}

impl KePayload {
    /// Reads the payload body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(body, "KE payload");
        let group = KeId(r.u16()?);
        r.take(2)?;
        Ok(Self { group, data: r.rest().to_vec() })
    }

    /// Appends the payload body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.group.0.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.data);
    }
}
