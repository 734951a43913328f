//! The functions of `shim/ipsec_mb.h`, declared by hand.

use std::ffi::{c_char, c_int};

use crate::{job::Job, memory::Block};

/// `IMB_MGR`.
#[repr(C)]
pub(super) struct RawManager {
    _opaque: [u8; 0],
}

/// `struct emb_gcm_job`: one AES-GCM packet.
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

/// `struct emb_etm_job`: one cipher and MAC packet.
#[repr(C)]
pub(super) struct EtmJob {
    key: *const u8,
    data: *mut u8,
    cipher_at: u64,
    cipher_len: u64,
    mac_len: u64,
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
        let aad = job.aad.as_slice();
        let data = &mut job.buffer[job.cipher.clone()];
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
        EtmJob {
            key: schedule.start().as_ptr(),
            data: job.buffer.as_mut_ptr(),
            cipher_at: job.cipher.start as u64,
            cipher_len: job.cipher.len() as u64,
            mac_len: (job.tag_at + job.esn_high.map_or(0, |high| high.len())) as u64,
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
    pub(super) fn emb_etm_seal(manager: *mut RawManager, jobs: *mut EtmJob, count: usize);
    pub(super) fn emb_etm_open(manager: *mut RawManager, jobs: *mut EtmJob, count: usize);
}
