//! AES-GCM with a 96-bit nonce and a 128-bit tag (RFC 4106, NIST SP 800-38D).

use aes_gcm::{
    AeadInOut, Aes128Gcm, Aes256Gcm, AesGcm, KeyInit,
    aead::{Nonce, consts::U12},
    aes::Aes192,
};

use crate::job::{Job, Status};

type Aes192Gcm = AesGcm<Aes192, U12>;

/// Bytes of tag.
const TAG: usize = 16;

/// Round keys and hash key of one of the three key sizes.
pub(crate) enum GcmKey {
    Aes128(Aes128Gcm),
    Aes192(Aes192Gcm),
    Aes256(Aes256Gcm),
}

impl GcmKey {
    /// From 16, 24 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> GcmKey {
        const CHECKED: &str = "the length was checked against the suite";
        match key.len() {
            16 => GcmKey::Aes128(Aes128Gcm::new_from_slice(key).expect(CHECKED)),
            24 => GcmKey::Aes192(Aes192Gcm::new_from_slice(key).expect(CHECKED)),
            _ => GcmKey::Aes256(Aes256Gcm::new_from_slice(key).expect(CHECKED)),
        }
    }

    pub(super) fn seal(&self, job: &mut Job<'_>) -> Status {
        match self {
            GcmKey::Aes128(key) => seal(key, job),
            GcmKey::Aes192(key) => seal(key, job),
            GcmKey::Aes256(key) => seal(key, job),
        }
    }

    pub(super) fn open(&self, job: &mut Job<'_>) -> Status {
        match self {
            GcmKey::Aes128(key) => open(key, job),
            GcmKey::Aes192(key) => open(key, job),
            GcmKey::Aes256(key) => open(key, job),
        }
    }
}

fn seal<A: AeadInOut>(key: &A, job: &mut Job<'_>) -> Status {
    let aad = job.aad;
    let Some((nonce, data, tag)) = parts::<A>(job) else { return Status::BadLength };
    match key.encrypt_inout_detached(&nonce, aad.as_slice(), data.into()) {
        Ok(made) => {
            tag.copy_from_slice(&made);
            Status::Ok
        }
        Err(_) => Status::BadLength,
    }
}

fn open<A: AeadInOut>(key: &A, job: &mut Job<'_>) -> Status {
    let aad = job.aad;
    let Some((nonce, data, tag)) = parts::<A>(job) else { return Status::BadLength };
    let Ok(tag) = aes_gcm::aead::Tag::<A>::try_from(&*tag) else { return Status::BadLength };
    match key.decrypt_inout_detached(&nonce, aad.as_slice(), data.into(), &tag) {
        Ok(()) => Status::Ok,
        Err(_) => Status::AuthFailed,
    }
}

/// Nonce, encrypted part and tag.
fn parts<'j, A: AeadInOut>(job: &'j mut Job<'_>) -> Option<(Nonce<A>, &'j mut [u8], &'j mut [u8])> {
    let nonce = Nonce::<A>::try_from(&job.nonce[..12]).ok()?;
    let (head, tail) = job.buffer.split_at_mut_checked(job.tag_at)?;
    Some((nonce, head.get_mut(job.cipher.clone())?, tail.get_mut(..TAG)?))
}
