//! The functions of `shim/ipsec_mb.h`, declared by hand.

use std::ffi::{c_char, c_int};

use crate::{
    job::Job,
    key::{KeyMaterial, Lines},
    suite::{Integrity, Suite},
};

/// `EMB_BATCH`: jobs of one call at most.
pub(super) const BATCH: usize = 64;

/// `emb_manager`.
#[repr(C)]
pub(super) struct RawManager {
    _opaque: [u8; 0],
}

/// `struct emb_material`.
#[repr(C)]
pub(super) struct Material {
    cipher: c_int,
    mac: c_int,
    key: *const u8,
    key_len: usize,
    mac_key: *const u8,
    mac_key_len: usize,
}

impl Material {
    /// Of key material without a salt; refers to it.
    pub(super) fn new(suite: Suite, material: &KeyMaterial<'_>) -> Material {
        Material {
            cipher: suite.cipher().transform().0.into(),
            mac: suite.integrity().map_or(0, Integrity::transform).into(),
            key: material.encryption.as_ptr(),
            key_len: material.encryption.len(),
            mac_key: material.authentication.as_ptr(),
            mac_key_len: material.authentication.len(),
        }
    }
}

#[expect(improper_ctypes, reason = "the shim reads the first fields of a key and passes by the rest")]
unsafe extern "C" {
    pub(super) fn emb_manager_new(error: *mut *const c_char) -> *mut RawManager;
    pub(super) fn emb_manager_free(manager: *mut RawManager);
    pub(super) safe fn emb_version() -> *const c_char;
    pub(super) fn emb_arch(manager: *const RawManager) -> *const c_char;
    pub(super) safe fn emb_job_size_matches(size: usize) -> c_int;
    pub(super) safe fn emb_call(material: &Material) -> u8;
    pub(super) fn emb_schedule_size(manager: *const RawManager, material: &Material) -> usize;
    pub(super) fn emb_schedule_lines(manager: *const RawManager, material: &Material) -> Lines;
    pub(super) fn emb_expand(manager: *mut RawManager, material: &Material, out: *mut u8);
    pub(super) fn emb_seal(manager: *mut RawManager, jobs: *mut Job<'_>, count: usize) -> usize;
    pub(super) fn emb_open(manager: *mut RawManager, jobs: *mut Job<'_>, count: usize) -> usize;
}
