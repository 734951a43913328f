//! The Nonce payload (RFC 7296 section 3.9).

use serde::{Deserialize, Serialize};

use super::error::DecodeError;

/// Random data of one side, 16 to 256 bytes.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                           Nonce Data                          ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct Nonce(Vec<u8>);

impl Nonce {
    /// Shortest nonce in bytes.
    pub const MIN_LEN: usize = 16;
    /// Longest nonce in bytes.
    pub const MAX_LEN: usize = 256;

    /// Takes nonce bytes.
    ///
    /// # Errors
    /// When there are fewer than 16 or more than 256.
    pub fn new(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        if (Self::MIN_LEN..=Self::MAX_LEN).contains(&bytes.len()) {
            return Ok(Self(bytes));
        }
        Err(DecodeError::Value { what: "nonce length", value: bytes.len() as u64 })
    }

    /// Reads the payload body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        Self::new(body.to_vec())
    }

    /// Appends the payload body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    /// The random bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for Nonce {
    type Error = DecodeError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        Self::new(bytes)
    }
}

impl From<Nonce> for Vec<u8> {
    fn from(nonce: Nonce) -> Self {
        nonce.0
    }
}
