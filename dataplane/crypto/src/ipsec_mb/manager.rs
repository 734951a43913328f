//! A safe owner of the library's manager.

use std::{
    ffi::{CStr, c_char},
    fmt,
    ptr::{self, NonNull},
};

use super::ffi::{self, Material, RawManager};
use crate::{
    backend::BackendError,
    job::Job,
    key::{KeyError, KeyMaterial, Schedule},
    memory::{Block, KeyMemory},
    suite::Suite,
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
        if ffi::emb_job_size_matches(size_of::<Job<'_>>()) == 0 {
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

    /// Expands keys of the right lengths for `suite`; the salt is cut off.
    pub(super) fn expand(
        &mut self,
        suite: Suite,
        keys: &KeyMaterial<'_>,
        memory: &KeyMemory,
    ) -> Result<Schedule, KeyError> {
        let material = Material::new(suite, keys);
        let call = ffi::emb_call(&material);
        if call == 0 {
            return Err(BackendError::Setup(format!("it has no {suite}")).into());
        }
        let raw = self.raw.as_ptr();
        // SAFETY: the manager is live; the shim takes any material for which there is a call.
        let (size, lines) =
            unsafe { (ffi::emb_schedule_size(raw, &material), ffi::emb_schedule_lines(raw, &material)) };
        let block = Block::new(size, 64, memory)?;
        // SAFETY: the block is as large and aligned as the shim asks, zeroed, and never moves; the keys have
        // the lengths of the material.
        unsafe { ffi::emb_expand(raw, &material, block.start().as_ptr()) };
        Ok(Schedule::IpsecMb { block, call, lines })
    }

    /// Encrypts and authenticates the pending jobs, at most [`BATCH`](ffi::BATCH). The number of jobs that are not
    /// [`Ok`](crate::Status::Ok) then; the buffer of one that has failed is still to be wiped.
    pub(super) fn seal(&mut self, jobs: &mut [Job<'_>]) -> usize {
        assert!(jobs.len() <= ffi::BATCH, "the shim has no room for more");
        // SAFETY: a job's spans lie in its buffer, which is borrowed mutably with it, unless it is not pending;
        // a key with a call has a schedule that the shim made for that call.
        unsafe { ffi::emb_seal(self.raw.as_ptr(), jobs.as_mut_ptr(), jobs.len()) }
    }

    /// Checks tags and decrypts; otherwise as [`seal`](Self::seal).
    pub(super) fn open(&mut self, jobs: &mut [Job<'_>]) -> usize {
        assert!(jobs.len() <= ffi::BATCH, "the shim has no room for more");
        // SAFETY: as for `seal`.
        unsafe { ffi::emb_open(self.raw.as_ptr(), jobs.as_mut_ptr(), jobs.len()) }
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
