//! A safe owner of the library's manager.

use std::{
    ffi::{CStr, c_char, c_int},
    fmt,
    ptr::{self, NonNull},
};

use super::{
    Call, call,
    ffi::{self, EtmJob, GcmJob, RawManager},
};
use crate::{
    backend::BackendError,
    key::KeyError,
    memory::{Block, KeyMemory},
    suite::{Integrity, Suite},
};

/// An `IMB_MGR`, set up for this processor.
pub(super) struct Manager {
    raw: NonNull<RawManager>,
}

// SAFETY: a manager is plain memory that any one thread may use at a time; its functions take
// `&mut self`, and `instruction_set` only reads what set-up wrote.
unsafe impl Send for Manager {}

impl Manager {
    pub(super) fn new() -> Result<Manager, BackendError> {
        if ffi::emb_job_sizes_match(size_of::<GcmJob>(), size_of::<EtmJob>()) == 0 {
            return Err(BackendError::Setup("the shim was built for other structures".to_owned()));
        }
        let mut error = ptr::null();
        // SAFETY: `error` is a valid place for the answer.
        let raw = unsafe { ffi::emb_manager_new(&raw mut error) };
        // SAFETY: on failure the shim sets `error` to a static string.
        NonNull::new(raw)
            .map(|raw| Manager { raw })
            .ok_or_else(|| BackendError::Setup(unsafe { text(error) }))
    }

    /// What the processor lets the library use.
    pub(super) fn instruction_set(&self) -> String {
        // SAFETY: the manager is live; the answer is a static string.
        unsafe { text(ffi::emb_arch(self.raw.as_ptr())) }
    }

    /// Expands keys of the right lengths for `suite`.
    pub(super) fn expand(
        &mut self,
        suite: Suite,
        encryption: &[u8],
        authentication: &[u8],
        memory: &KeyMemory,
    ) -> Result<Block, KeyError> {
        match call(suite.cipher()) {
            Call::Gcm | Call::Gmac => self.expand_gcm(encryption, memory),
            Call::Jobs => self.expand_etm(suite, encryption, authentication, memory),
        }
    }

    fn expand_gcm(&mut self, key: &[u8], memory: &KeyMemory) -> Result<Block, KeyError> {
        let block = Block::new(ffi::emb_gcm_key_size(), 64, memory)?;
        // SAFETY: the block is as large and aligned as the shim asks; `key` has 16, 24 or 32 bytes.
        unsafe { ffi::emb_gcm_expand(self.raw.as_ptr(), block.start().as_ptr(), key.as_ptr(), key.len()) };
        Ok(block)
    }

    fn expand_etm(
        &mut self,
        suite: Suite,
        key: &[u8],
        mac_key: &[u8],
        memory: &KeyMemory,
    ) -> Result<Block, KeyError> {
        let block = Block::new(ffi::emb_etm_key_size(), 64, memory)?;
        let (cipher, _) = suite.cipher().transform();
        // SAFETY: the block is as large and aligned as the shim asks and never moves; the shim reads
        // both keys in the lengths given and refuses a length that it does not expect.
        let refused = unsafe {
            ffi::emb_etm_expand(
                self.raw.as_ptr(),
                block.start().as_ptr(),
                c_int::from(cipher),
                key.as_ptr(),
                key.len(),
                c_int::from(suite.integrity().map_or(0, Integrity::transform)),
                mac_key.as_ptr(),
                mac_key.len(),
            )
        };
        match refused {
            0 => Ok(block),
            _ => Err(BackendError::Setup(format!("it has no {suite}")).into()),
        }
    }

    /// Encrypts and computes tags.
    ///
    /// # Safety
    ///
    /// Every pointer of the jobs is valid for its length, and nothing else uses the bytes meanwhile.
    pub(super) unsafe fn seal(&mut self, gcm: &[GcmJob], gmac: &[GcmJob], etm: &mut [EtmJob]) {
        // SAFETY: the slices are what they say; their pointers are by this function's contract.
        unsafe {
            ffi::emb_gcm_seal(self.raw.as_ptr(), gcm.as_ptr(), gcm.len());
            ffi::emb_gmac_tag(self.raw.as_ptr(), gmac.as_ptr(), gmac.len());
            ffi::emb_etm_seal(self.raw.as_ptr(), etm.as_mut_ptr(), etm.len());
        }
    }

    /// Computes tags and decrypts.
    ///
    /// # Safety
    ///
    /// As for [`seal`](Self::seal).
    pub(super) unsafe fn open(&mut self, gcm: &[GcmJob], gmac: &[GcmJob], etm: &mut [EtmJob]) {
        // SAFETY: as for `seal`.
        unsafe {
            ffi::emb_gcm_open(self.raw.as_ptr(), gcm.as_ptr(), gcm.len());
            ffi::emb_gmac_tag(self.raw.as_ptr(), gmac.as_ptr(), gmac.len());
            ffi::emb_etm_open(self.raw.as_ptr(), etm.as_mut_ptr(), etm.len());
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // SAFETY: the manager came from `emb_manager_new` and is not used again.
        unsafe { ffi::emb_manager_free(self.raw.as_ptr()) };
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manager({})", self.instruction_set())
    }
}

/// The version of the loaded library.
pub(super) fn version() -> String {
    // SAFETY: the answer is a static string.
    unsafe { text(ffi::emb_version()) }
}

/// A C string as ours.
///
/// # Safety
///
/// `string` is null or a static NUL-terminated string.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return "unknown".to_owned();
    }
    // SAFETY: by this function's contract.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}
