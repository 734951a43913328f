//! Integrity algorithms (RFC 7296 section 3.3.2, transform type 3).

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::prf::hmac;
use crate::wire::Transform;
use crate::wire::iana::IntegId;

/// An integrity algorithm: HMAC, truncated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the registry's names")]
pub enum Integ {
    HmacMd5_96,
    HmacSha1_96,
    HmacSha256_128,
    HmacSha384_192,
    HmacSha512_256,
}

impl Integ {
    /// All of them, in the registry's order.
    pub const ALL: &'static [Self] = &[
        Self::HmacMd5_96,
        Self::HmacSha1_96,
        Self::HmacSha256_128,
        Self::HmacSha384_192,
        Self::HmacSha512_256,
    ];

    /// The algorithm of a transform ID, if we have it.
    pub fn from_id(id: IntegId) -> Option<Self> {
        Self::ALL.iter().copied().find(|integ| integ.id() == id)
    }

    /// Its transform ID.
    pub fn id(self) -> IntegId {
        match self {
            Self::HmacMd5_96 => IntegId::HMAC_MD5_96,
            Self::HmacSha1_96 => IntegId::HMAC_SHA1_96,
            Self::HmacSha256_128 => IntegId::HMAC_SHA2_256_128,
            Self::HmacSha384_192 => IntegId::HMAC_SHA2_384_192,
            Self::HmacSha512_256 => IntegId::HMAC_SHA2_512_256,
        }
    }

    /// As it is proposed.
    pub fn transform(self) -> Transform {
        Transform::integ(self.id())
    }

    /// Key length in bytes: the hash's output length (RFC 4868 section 2.1.1, RFC 2403, RFC 2404).
    pub fn key_len(self) -> usize {
        match self {
            Self::HmacMd5_96 => 16,
            Self::HmacSha1_96 => 20,
            Self::HmacSha256_128 => 32,
            Self::HmacSha384_192 => 48,
            Self::HmacSha512_256 => 64,
        }
    }

    /// Length of the checksum on the wire, in bytes.
    pub fn icv_len(self) -> usize {
        match self {
            Self::HmacMd5_96 | Self::HmacSha1_96 => 12,
            Self::HmacSha256_128 => 16,
            Self::HmacSha384_192 => 24,
            Self::HmacSha512_256 => 32,
        }
    }

    /// The checksum of `message`.
    pub fn compute(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let parts = [message];
        let mut icv = match self {
            Self::HmacMd5_96 => hmac!(md5::Md5, key, parts),
            Self::HmacSha1_96 => hmac!(sha1::Sha1, key, parts),
            Self::HmacSha256_128 => hmac!(sha2::Sha256, key, parts),
            Self::HmacSha384_192 => hmac!(sha2::Sha384, key, parts),
            Self::HmacSha512_256 => hmac!(sha2::Sha512, key, parts),
        };
        icv.truncate(self.icv_len());
        icv
    }

    /// Whether `icv` is the checksum of `message`, in constant time.
    pub fn verify(self, key: &[u8], message: &[u8], icv: &[u8]) -> bool {
        icv.len() == self.icv_len() && bool::from(self.compute(key, message).ct_eq(icv))
    }
}
