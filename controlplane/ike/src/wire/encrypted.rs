//! The Encrypted payload (RFC 7296 section 3.14) and its fragment (RFC 7383 section 2.5), still sealed.

use serde::{Deserialize, Serialize};

use super::codec::Reader;
use super::error::DecodeError;
use super::iana::PayloadType;

/// A sealed chain of payloads. Always the last payload of its message.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Next Payload  |C|  RESERVED   |         Payload Length        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                     Initialization Vector                     |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                    Encrypted IKE Payloads                     ~
/// +               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |               |             Padding (0-255 octets)            |
/// +-+-+-+-+-+-+-+-+                               +-+-+-+-+-+-+-+-+
/// |                                               |  Pad Length   |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                    Integrity Checksum Data                    ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncryptedPayload {
    /// Type of the first payload inside.
    pub first_inner: PayloadType,
    /// IV, ciphertext and checksum; their lengths follow from the algorithms.
    pub body: Vec<u8>,
}

/// One fragment of a sealed chain of payloads.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Next Payload  |C|  RESERVED   |         Payload Length        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |        Fragment Number        |        Total Fragments        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~      IV, Encrypted content, Padding, Pad Length, ICV          ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FragmentPayload {
    /// Type of the first payload inside, in fragment 1; 0 in the others.
    pub first_inner: PayloadType,
    /// From 1.
    pub number: u16,
    /// At least `number`.
    pub total: u16,
    /// IV, ciphertext and checksum.
    pub body: Vec<u8>,
}

impl FragmentPayload {
    /// Reads the payload body.
    pub fn decode(first_inner: PayloadType, body: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(body, "SKF payload");
        let (number, total) = (r.u16()?, r.u16()?);
        if number == 0 || number > total {
            return Err(DecodeError::Value { what: "fragment number", value: u64::from(number) });
        }
        Ok(Self { first_inner, number, total, body: r.rest().to_vec() })
    }

    /// Appends the payload body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.total.to_be_bytes());
        out.extend_from_slice(&self.body);
    }
}
