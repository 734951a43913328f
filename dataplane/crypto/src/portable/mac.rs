//! HMAC, truncated (RFC 2104, RFC 4868).

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use crate::suite::Integrity;

/// The state after the inner and the outer pad.
pub(super) enum MacKey {
    Md5(Hmac<Md5>),
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

impl MacKey {
    /// From a key of any length (RFC 2104 has no limit; suites fix it).
    pub(super) fn new(mac: Integrity, key: &[u8]) -> MacKey {
        const ANY: &str = "HMAC takes a key of any length";
        match mac {
            Integrity::HmacMd5 => MacKey::Md5(Hmac::new_from_slice(key).expect(ANY)),
            Integrity::HmacSha1 => MacKey::Sha1(Hmac::new_from_slice(key).expect(ANY)),
            Integrity::HmacSha256 => MacKey::Sha256(Hmac::new_from_slice(key).expect(ANY)),
            Integrity::HmacSha384 => MacKey::Sha384(Hmac::new_from_slice(key).expect(ANY)),
            Integrity::HmacSha512 => MacKey::Sha512(Hmac::new_from_slice(key).expect(ANY)),
        }
    }

    /// Writes the tag of `data` and `more`, as long as `tag` is.
    pub(super) fn write(&self, data: &[u8], more: &[u8], tag: &mut [u8]) {
        self.with_tag(data, more, |full| tag.copy_from_slice(&full[..tag.len()]));
    }

    /// Compares the tag of `data` and `more` with `tag` in constant time.
    pub(super) fn verify(&self, data: &[u8], more: &[u8], tag: &[u8]) -> bool {
        self.with_tag(data, more, |full| full[..tag.len()].ct_eq(tag).into())
    }

    fn with_tag<R>(&self, data: &[u8], more: &[u8], then: impl FnOnce(&[u8]) -> R) -> R {
        fn tag<M: Mac + Clone, R>(key: &M, data: &[u8], more: &[u8], then: impl FnOnce(&[u8]) -> R) -> R {
            let mut mac = key.clone();
            mac.update(data);
            mac.update(more);
            then(&mac.finalize().into_bytes())
        }
        match self {
            MacKey::Md5(key) => tag(key, data, more, then),
            MacKey::Sha1(key) => tag(key, data, more, then),
            MacKey::Sha256(key) => tag(key, data, more, then),
            MacKey::Sha384(key) => tag(key, data, more, then),
            MacKey::Sha512(key) => tag(key, data, more, then),
        }
    }
}
