//! Pseudorandom functions and prf+ (RFC 7296 section 2.13).

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};

use super::Secret;
use crate::wire::Transform;
use crate::wire::iana::PrfId;

/// HMAC over the concatenation of `parts`, for any key length.
macro_rules! hmac {
    ($digest:ty, $key:expr, $parts:expr) => {{
        let mut mac = Hmac::<$digest>::new_from_slice($key).expect("HMAC takes keys of any length");
        $parts.iter().for_each(|part: &&[u8]| mac.update(part));
        mac.finalize().into_bytes().to_vec()
    }};
}
pub(super) use hmac;

/// A pseudorandom function, transform type 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the registry's names")]
pub enum Prf {
    HmacMd5,
    HmacSha1,
    HmacSha256,
    HmacSha384,
    HmacSha512,
}

impl Prf {
    /// All of them, in the registry's order.
    pub const ALL: &'static [Self] =
        &[Self::HmacMd5, Self::HmacSha1, Self::HmacSha256, Self::HmacSha384, Self::HmacSha512];

    /// The function of a transform ID, if we have it.
    pub fn from_id(id: PrfId) -> Option<Self> {
        Self::ALL.iter().copied().find(|prf| prf.id() == id)
    }

    /// Its transform ID.
    pub fn id(self) -> PrfId {
        match self {
            Self::HmacMd5 => PrfId::HMAC_MD5,
            Self::HmacSha1 => PrfId::HMAC_SHA1,
            Self::HmacSha256 => PrfId::HMAC_SHA2_256,
            Self::HmacSha384 => PrfId::HMAC_SHA2_384,
            Self::HmacSha512 => PrfId::HMAC_SHA2_512,
        }
    }

    /// As it is proposed.
    pub fn transform(self) -> Transform {
        Transform::prf(self.id())
    }

    /// Length of its output and preferred key, in bytes.
    pub fn output_len(self) -> usize {
        match self {
            Self::HmacMd5 => 16,
            Self::HmacSha1 => 20,
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 => 64,
        }
    }

    /// prf(key, parts concatenated).
    pub fn compute(self, key: &[u8], parts: &[&[u8]]) -> Secret {
        Secret::new(match self {
            Self::HmacMd5 => hmac!(md5::Md5, key, parts),
            Self::HmacSha1 => hmac!(sha1::Sha1, key, parts),
            Self::HmacSha256 => hmac!(sha2::Sha256, key, parts),
            Self::HmacSha384 => hmac!(sha2::Sha384, key, parts),
            Self::HmacSha512 => hmac!(sha2::Sha512, key, parts),
        })
    }

    /// The first `len` bytes of prf+(key, seed concatenated): at most 255 times the output length.
    ///
    /// ```text
    /// T1 = prf (K, S | 0x01)
    /// T2 = prf (K, T1 | S | 0x02)
    /// ...
    /// ```
    pub(crate) fn plus(self, key: &Secret, seed: &[&[u8]], len: usize) -> Secret {
        debug_assert!(len <= 255 * self.output_len(), "prf+ has a one-byte counter");
        let mut stream = Vec::with_capacity(len + self.output_len());
        let mut last = Secret::default();
        for counter in 1..=u8::MAX {
            if stream.len() >= len {
                break;
            }
            let counter = [counter];
            let parts: Vec<&[u8]> =
                [last.expose()].into_iter().chain(seed.iter().copied()).chain([&counter[..]]).collect();
            let block = self.compute(key.expose(), &parts);
            stream.extend_from_slice(block.expose());
            last = block;
        }
        let output = Secret::from(stream.get(..len).unwrap_or(&stream));
        drop(Secret::new(stream));
        output
    }
}
