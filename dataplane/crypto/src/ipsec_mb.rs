//! intel-ipsec-mb: packets of a batch share the vector units ("multi-buffer").
//!
//! AES-GCM uses the library's direct calls, one packet each; cipher and MAC suites go through its job
//! manager, which interleaves up to 16 packets. Each context has a manager of its own.

mod ffi;
mod manager;

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use subtle::ConstantTimeEq;

use crate::{
    backend::{Backend, BackendError, Context},
    job::{Job, Status},
    key::{Key, KeyError, KeyMaterial, Schedule},
    memory::KeyMemory,
    suite::Suite,
};
use ffi::{EtmJob, GcmJob};
use manager::Manager;

/// Jobs handed to the library at once: half of its queue, and a burst.
const BATCH: usize = 64;
/// Bytes of the longest tag.
const MAX_TAG: usize = 32;

/// The ipsec-mb back-end.
#[derive(Debug)]
pub struct IpsecMb {
    /// For expanding keys, off the hot path.
    manager: Mutex<Manager>,
    description: String,
}

impl IpsecMb {
    /// Sets the library up for this processor.
    ///
    /// # Errors
    ///
    /// [`BackendError::Setup`] when the processor is not supported.
    pub fn new() -> Result<IpsecMb, BackendError> {
        let manager = Manager::new()?;
        let description = format!("ipsec-mb {} ({})", manager::version(), manager.instruction_set());
        Ok(IpsecMb { manager: Mutex::new(manager), description })
    }
}

impl Backend for IpsecMb {
    fn name(&self) -> &'static str {
        "ipsec-mb"
    }

    fn describe(&self) -> String {
        self.description.clone()
    }

    fn expand(&self, suite: Suite, material: &KeyMaterial<'_>, memory: &KeyMemory) -> Result<Key, KeyError> {
        material.check(suite)?;
        let (encryption, salt) = material.split_salt(suite);
        let mut manager = self.manager.lock().unwrap_or_else(PoisonError::into_inner);
        let block = manager.expand(suite, encryption, material.authentication, memory)?;
        Ok(Key { suite, salt, schedule: Schedule::IpsecMb(block) })
    }

    fn context(&self) -> Result<Box<dyn Context>, BackendError> {
        Ok(Box::new(IpsecMbContext::new(Manager::new()?)))
    }
}

/// A manager, and room to describe one batch to it.
struct IpsecMbContext {
    manager: Manager,
    gcm: Vec<GcmJob>,
    etm: Vec<EtmJob>,
    /// By job: the tag that the library computed.
    computed: Box<[[u8; MAX_TAG]; BATCH]>,
    /// By job: the tag that came with the packet, whose place may hold the ESN meanwhile.
    received: Box<[[u8; MAX_TAG]; BATCH]>,
}

// SAFETY: the raw pointers in the descriptions are used only within a call, which takes `&mut self`.
unsafe impl Send for IpsecMbContext {}

impl Context for IpsecMbContext {
    fn seal(&mut self, jobs: &mut [Job<'_>]) {
        for batch in jobs.chunks_mut(BATCH) {
            self.describe(batch);
            // SAFETY: `describe` has just pointed the descriptions at the batch and at `self`.
            unsafe { self.manager.seal(&self.gcm, &mut self.etm) };
            self.conclude(batch, |job, computed, _received| {
                job.buffer[job.tag_at..job.tag_at + computed.len()].copy_from_slice(computed);
                Status::Ok
            });
        }
    }

    fn open(&mut self, jobs: &mut [Job<'_>]) {
        for batch in jobs.chunks_mut(BATCH) {
            self.describe(batch);
            // SAFETY: as for `seal`.
            unsafe { self.manager.open(&self.gcm, &mut self.etm) };
            self.conclude(batch, |_job, computed, received| match computed.ct_eq(received).into() {
                true => Status::Ok,
                false => Status::AuthFailed,
            });
        }
    }
}

impl IpsecMbContext {
    fn new(manager: Manager) -> IpsecMbContext {
        IpsecMbContext {
            manager,
            gcm: Vec::with_capacity(BATCH),
            etm: Vec::with_capacity(BATCH),
            computed: Box::new([[0; MAX_TAG]; BATCH]),
            received: Box::new([[0; MAX_TAG]; BATCH]),
        }
    }

    /// Describes each pending job of a batch of at most [`BATCH`] to the library.
    fn describe(&mut self, batch: &mut [Job<'_>]) {
        self.gcm.clear();
        self.etm.clear();
        for (owner, job) in batch.iter_mut().enumerate().filter(|(_, job)| job.is_pending()) {
            let key: &Key = job.key;
            let Schedule::IpsecMb(schedule) = &key.schedule else {
                job.finish(Status::WrongBackend);
                continue;
            };
            let icv_len = key.suite.icv_len();
            let tag = &mut job.buffer[job.tag_at..job.tag_at + icv_len];
            self.received[owner][..icv_len].copy_from_slice(tag);
            let computed = self.computed[owner].as_mut_ptr();
            if key.suite.is_aead() {
                self.gcm.push(GcmJob::new(job, schedule, computed, owner));
            } else {
                // The high half of the sequence number is authenticated as if it followed the data.
                if let Some(high) = job.esn_high {
                    tag[..high.len()].copy_from_slice(&high);
                }
                self.etm.push(EtmJob::new(job, schedule, computed, owner));
            }
        }
    }

    /// Ends every job that the library has processed; `judge` sees its computed and received tag.
    fn conclude(&self, batch: &mut [Job<'_>], judge: impl Fn(&mut Job<'_>, &[u8], &[u8]) -> Status) {
        let gcm = self.gcm.iter().map(|job| (job.owner, true));
        let etm = self.etm.iter().map(|job| (job.owner, job.is_done()));
        for (owner, done) in gcm.chain(etm) {
            let job = &mut batch[owner];
            let icv_len = job.key.suite.icv_len();
            let status = match done {
                true => judge(job, &self.computed[owner][..icv_len], &self.received[owner][..icv_len]),
                false => Status::AuthFailed,
            };
            job.finish(status);
        }
    }
}

impl fmt::Debug for IpsecMbContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IpsecMbContext").field("manager", &self.manager).finish_non_exhaustive()
    }
}
