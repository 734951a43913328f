//! The functions of `shim/ipsec_mb.h`, declared by hand.

use std::{
    ffi::{c_char, c_int},
    ops::Range,
};

use crate::{job::Job, memory::Block, suite::Mode};

/// `IMB_MGR`.
#[repr(C)]
pub(super) struct RawManager {
    _opaque: [u8; 0],
}

/// `struct emb_gcm_job`: one AES-GCM or AES-GMAC packet.
#[repr(C)]
pub(super) struct GcmJob {
    key: *const u8,
    data: *mut u8,
    len: u64,
    nonce: *const u8,
    aad: *const u8,
    aad_len: u64,
    tag: *mut u8,
    key_len: u64,
    /// Ours alone: the place in the batch.
    pub(super) owner: usize,
}

/// `struct emb_etm_job`: one cipher and MAC packet, ChaCha20-Poly1305 among them.
#[repr(C)]
pub(super) struct EtmJob {
    key: *const u8,
    data: *mut u8,
    cipher_at: u64,
    cipher_len: u64,
    mac_at: u64,
    mac_len: u64,
    aad: *const u8,
    aad_len: u64,
    iv: *const u8,
    tag: *mut u8,
    tag_len: u64,
    /// 1 once the library has completed the job.
    pub(super) done: u64,
    /// Ours alone: the place in the batch.
    pub(super) owner: usize,
}

impl GcmJob {
    /// Describes an AEAD job; its layout was checked when it was made.
    pub(super) fn new(job: &mut Job<'_>, schedule: &Block, tag: *mut u8, owner: usize) -> GcmJob {
        let span = job.cipher.clone();
        Self::over(job, span, schedule, tag, owner)
    }

    /// Describes an AES-GMAC job, which authenticates from the explicit IV to the tag. `None` without room
    /// for an IV.
    pub(super) fn gmac(job: &mut Job<'_>, schedule: &Block, tag: *mut u8, owner: usize) -> Option<GcmJob> {
        let span = job.cipher.start.checked_sub(job.key.sizes.iv_len)?..job.tag_at;
        Some(Self::over(job, span, schedule, tag, owner))
    }

    fn over(job: &mut Job<'_>, span: Range<usize>, schedule: &Block, tag: *mut u8, owner: usize) -> GcmJob {
        let aad = job.aad.as_slice();
        let data = &mut job.buffer[span];
        GcmJob {
            key: schedule.start().as_ptr(),
            data: data.as_mut_ptr(),
            len: data.len() as u64,
            nonce: job.nonce.as_ptr(),
            aad: aad.as_ptr(),
            aad_len: aad.len() as u64,
            tag,
            key_len: job.key.suite.cipher().key_len() as u64,
            owner,
        }
    }
}

impl EtmJob {
    /// Describes a cipher and MAC job; its layout was checked when it was made. With ESN the four
    /// bytes after the data, where the tag goes, hold the high half of the sequence number.
    pub(super) fn new(job: &mut Job<'_>, schedule: &Block, tag: *mut u8, owner: usize) -> EtmJob {
        let aad = job.aad.as_slice();
        // An AEAD has its header beside; else it is authenticated with the rest.
        let (mac_at, mac_len) = match job.key.sizes.mode {
            Mode::Aead => (job.cipher.start, job.cipher.len()),
            _ => (0, job.tag_at + job.esn_high.map_or(0, |high| high.len())),
        };
        EtmJob {
            key: schedule.start().as_ptr(),
            data: job.buffer.as_mut_ptr(),
            cipher_at: job.cipher.start as u64,
            cipher_len: job.cipher.len() as u64,
            mac_at: mac_at as u64,
            mac_len: mac_len as u64,
            aad: aad.as_ptr(),
            aad_len: aad.len() as u64,
            iv: job.nonce.as_ptr(),
            tag,
            tag_len: job.key.sizes.icv_len as u64,
            done: 0,
            owner,
        }
    }
}

unsafe extern "C" {
    pub(super) fn emb_manager_new(error: *mut *const c_char) -> *mut RawManager;
    pub(super) fn emb_manager_free(manager: *mut RawManager);
    pub(super) safe fn emb_version() -> *const c_char;
    pub(super) fn emb_arch(manager: *const RawManager) -> *const c_char;
    pub(super) safe fn emb_gcm_key_size() -> usize;
    pub(super) safe fn emb_etm_key_size() -> usize;
    pub(super) safe fn emb_job_sizes_match(gcm: usize, etm: usize) -> c_int;
    pub(super) fn emb_gcm_expand(manager: *mut RawManager, out: *mut u8, key: *const u8, len: usize);
    pub(super) fn emb_etm_expand(
        manager: *mut RawManager,
        out: *mut u8,
        cipher: c_int,
        key: *const u8,
        len: usize,
        mac: c_int,
        mac_key: *const u8,
        mac_key_len: usize,
    ) -> c_int;
    pub(super) fn emb_gcm_seal(manager: *mut RawManager, jobs: *const GcmJob, count: usize);
    pub(super) fn emb_gcm_open(manager: *mut RawManager, jobs: *const GcmJob, count: usize);
    pub(super) fn emb_gmac_tag(manager: *mut RawManager, jobs: *const GcmJob, count: usize);
    pub(super) fn emb_etm_seal(manager: *mut RawManager, jobs: *mut EtmJob, count: usize);
    pub(super) fn emb_etm_open(manager: *mut RawManager, jobs: *mut EtmJob, count: usize);
}
