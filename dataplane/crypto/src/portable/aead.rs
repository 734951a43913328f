//! AES-GCM with a 96-bit nonce and a tag of 8, 12 or 16 bytes (RFC 4106, NIST SP 800-38D), and
//! ChaCha20-Poly1305 (RFC 7634, RFC 8439).

use aes_gcm::{
    AeadInOut, AesGcm, KeyInit,
    aead::{
        Nonce,
        array::typenum::Unsigned,
        consts::{U8, U12, U16},
    },
    aes::{Aes128, Aes192, Aes256},
};
use chacha20poly1305::ChaCha20Poly1305;

use crate::job::{Job, Status};

type Gcm<Aes, TagLen> = AesGcm<Aes, U12, TagLen>;

/// AES-GCM by key and tag length, or ChaCha20-Poly1305.
pub(crate) enum AeadKey {
    Aes128Tag8(Gcm<Aes128, U8>),
    Aes192Tag8(Gcm<Aes192, U8>),
    Aes256Tag8(Gcm<Aes256, U8>),
    Aes128Tag12(Gcm<Aes128, U12>),
    Aes192Tag12(Gcm<Aes192, U12>),
    Aes256Tag12(Gcm<Aes256, U12>),
    Aes128(Gcm<Aes128, U16>),
    Aes192(Gcm<Aes192, U16>),
    Aes256(Gcm<Aes256, U16>),
    ChaCha20Poly1305(ChaCha20Poly1305),
}

/// Runs `$body` with the key of whichever algorithm.
macro_rules! with_key {
    ($aead:expr, $key:ident => $body:expr) => {
        match $aead {
            AeadKey::Aes128Tag8($key) => $body,
            AeadKey::Aes192Tag8($key) => $body,
            AeadKey::Aes256Tag8($key) => $body,
            AeadKey::Aes128Tag12($key) => $body,
            AeadKey::Aes192Tag12($key) => $body,
            AeadKey::Aes256Tag12($key) => $body,
            AeadKey::Aes128($key) => $body,
            AeadKey::Aes192($key) => $body,
            AeadKey::Aes256($key) => $body,
            AeadKey::ChaCha20Poly1305($key) => $body,
        }
    };
}

impl AeadKey {
    /// AES-GCM from 16, 24 or 32 bytes, with a tag of 8, 12 or 16.
    pub(super) fn gcm(key: &[u8], tag_len: usize) -> AeadKey {
        match (key.len(), tag_len) {
            (16, 8) => AeadKey::Aes128Tag8(init(key)),
            (24, 8) => AeadKey::Aes192Tag8(init(key)),
            (_, 8) => AeadKey::Aes256Tag8(init(key)),
            (16, 12) => AeadKey::Aes128Tag12(init(key)),
            (24, 12) => AeadKey::Aes192Tag12(init(key)),
            (_, 12) => AeadKey::Aes256Tag12(init(key)),
            (16, _) => AeadKey::Aes128(init(key)),
            (24, _) => AeadKey::Aes192(init(key)),
            _ => AeadKey::Aes256(init(key)),
        }
    }

    /// ChaCha20-Poly1305 from 32 bytes.
    pub(super) fn chacha20_poly1305(key: &[u8]) -> AeadKey {
        AeadKey::ChaCha20Poly1305(init(key))
    }

    pub(super) fn seal(&self, job: &mut Job<'_>) -> Status {
        with_key!(self, key => seal(key, job))
    }

    pub(super) fn open(&self, job: &mut Job<'_>) -> Status {
        with_key!(self, key => open(key, job))
    }
}

fn init<A: KeyInit>(key: &[u8]) -> A {
    A::new_from_slice(key).expect("the length was checked against the suite")
}

fn seal<A: AeadInOut>(key: &A, job: &mut Job<'_>) -> Status {
    let (aad, aad_len) = job.aad().bytes();
    let Some((nonce, data, tag)) = parts::<A>(job) else { return Status::BadLength };
    match key.encrypt_inout_detached(&nonce, &aad[..aad_len], data.into()) {
        Ok(made) => {
            tag.copy_from_slice(&made);
            Status::Ok
        }
        Err(_) => Status::BadLength,
    }
}

fn open<A: AeadInOut>(key: &A, job: &mut Job<'_>) -> Status {
    let (aad, aad_len) = job.aad().bytes();
    let Some((nonce, data, tag)) = parts::<A>(job) else { return Status::BadLength };
    let Ok(tag) = aes_gcm::aead::Tag::<A>::try_from(&*tag) else { return Status::BadLength };
    match key.decrypt_inout_detached(&nonce, &aad[..aad_len], data.into(), &tag) {
        Ok(()) => Status::Ok,
        Err(_) => Status::AuthFailed,
    }
}

/// Nonce, encrypted part and tag.
fn parts<'j, A: AeadInOut>(job: &'j mut Job<'_>) -> Option<(Nonce<A>, &'j mut [u8], &'j mut [u8])> {
    let nonce = Nonce::<A>::try_from(&job.nonce()[..12]).ok()?;
    let encrypted = job.encrypted();
    let (data, tag) = job.parts();
    Some((nonce, data.get_mut(encrypted)?, tag.get_mut(..A::TagSize::USIZE)?))
}
